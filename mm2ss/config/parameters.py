"""The parameters of one IEC 60870-5-104 connection (subclause 9.6 of the standard)."""

from __future__ import annotations

from dataclasses import dataclass

#: Largest window: half of the sequence number space less one (15-bit numbers, mod 32768).
MAX_WINDOW = 32767


@dataclass(frozen=True)
class LinkParameters:
    """Windows and timers of one connection, as one station uses them.

    They are settings of each station, never negotiated: the peer has its own.

    :ivar k: own I frames that may be unacknowledged before sending stops, 1-32767.
    :ivar w: received I frames after which an acknowledgement is sent at the latest, 1-k.
    :ivar t0: seconds a TCP connect may take, 1-255 (used by the side that connects).
    :ivar t1: seconds to wait for an acknowledgement or a confirmation, 1-255.
    :ivar t2: seconds after which received I frames are acknowledged at the latest, 1-255, < t1.
    :ivar t3: idle seconds after which the connection is tested, 1-172800.
    :raises ValueError: at construction, when a value is out of range, t2 >= t1 or w > k.
    """

    k: int = 12
    w: int = 8
    t0: float = 10
    t1: float = 15
    t2: float = 10
    t3: float = 20

    def __post_init__(self) -> None:
        for name, value, highest in (
            ("k", self.k, MAX_WINDOW),
            ("w", self.w, MAX_WINDOW),
            ("t0", self.t0, 255),
            ("t1", self.t1, 255),
            ("t2", self.t2, 255),
            ("t3", self.t3, 172800),
        ):
            if not 1 <= value <= highest:
                raise ValueError(f"{name} is {value}, not in 1-{highest}")
        if self.t2 >= self.t1:
            raise ValueError(f"t2 ({self.t2}) must be shorter than t1 ({self.t1})")
        if self.w > self.k:
            raise ValueError(f"w ({self.w}) must not exceed k ({self.k})")
