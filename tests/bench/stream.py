"""What a fast RTU sends and a fast master must get: octets made beforehand.

N(S) counts on, and so does a number inside (the object address), with a period of its own. N(R)
stays 0, for nobody commands. So a master that knows where it is compares what comes with what must
come, in one step for a whole chunk: no frame that is lost, doubled, reordered or altered can pass.
"""

from __future__ import annotations

import struct

#: Sequence numbers have 15 bits.
MODULO = 32768
#: Common address of every RTU here.
STATION = 32
#: Frames after which the stream repeats.
PERIOD = 4 * MODULO
#: Octets that are read at most in one step.
CHUNK = 262_144

STARTDT_ACT, STARTDT_CON = b"\x68\x04\x07\0\0\0", b"\x68\x04\x0b\0\0\0"
STOPDT_ACT, STOPDT_CON = b"\x68\x04\x13\0\0\0", b"\x68\x04\x23\0\0\0"
TESTFR_ACT, TESTFR_CON = b"\x68\x04\x43\0\0\0", b"\x68\x04\x83\0\0\0"
#: The beginning of every S frame.
S_HEAD = b"\x68\x04\x01\0"
#: The first I frame of a relay: end of initialization.
GREETING = b"\x68\x0e\0\0\0\0" + bytes((70, 1, 4, 0, STATION, 0, 0, 0, 0, 0))

_TIME_TAG = bytes((0, 0, 30, 12, 15, 6, 24))
_ON, _FLOAT = b"\x01", b"\0\0\xc8\x42\0"


def _event(typeId: int, objects: int, content: bytes) -> bytes:
    """The frame of a spontaneous event, with so many objects in sequence."""
    asdu = bytes((typeId, objects | 0x80 * (objects > 1), 3, 0, STATION, 0, 0, 0, 0)) + content
    return bytes((0x68, len(asdu) + 4, 0, 0, 0, 0)) + asdu


#: What the frames of a stream are, one after the other: all alike (single points with time tag), or
#: of many lengths, as where measurands and single events take turns.
ALIKE = (_event(30, 1, _ON + _TIME_TAG),)
MIXED = (
    *ALIKE,
    _event(36, 1, _FLOAT + _TIME_TAG),
    _event(1, 1, _ON),
    _event(13, 4, _FLOAT * 4),
    _event(31, 1, _ON + _TIME_TAG),
    _event(13, 20, _FLOAT * 20),
    _event(30, 1, _ON + _TIME_TAG),
    _event(9, 6, _FLOAT[:3] * 6),
)
_ACKNOWLEDGE = struct.Struct("<4sH")


class Stream:
    """The frames that are sent, one after the other.

    :param shift: N(S) of the first frame: 0 as the RTU sends it, 1 behind a relay's greeting.
    :param mixed: frames of many lengths.
    :ivar octets: one period of the stream, and `CHUNK` of the next one.
    :ivar span: octets of a period.
    """

    def __init__(self, shift: int = 0, mixed: bool = False) -> None:
        pattern = MIXED if mixed else ALIKE
        self._count = len(pattern)
        self._size = sum(map(len, pattern))
        self._starts = [sum(map(len, pattern[:place])) for place in range(self._count)]
        # By the octets of an unfinished turn of the pattern: how many frames of it are whole.
        self._whole = [
            sum(start <= octets for start in self._starts[1:]) for octets in range(self._size)
        ]
        self.span = self._size * (PERIOD // self._count)
        self.octets = self._build(pattern, shift)

    def _build(self, pattern: tuple[bytes, ...], shift: int) -> bytes:
        octets = bytearray(b"".join(pattern) * (PERIOD // self._count))
        size, count = self._size, self._count
        numbers = struct.pack(f"<{PERIOD}I", *((n + shift) % MODULO << 1 for n in range(PERIOD)))
        inside = struct.pack(f"<{PERIOD}I", *range(1, PERIOD + 1))
        for place, start in enumerate(self._starts):
            for octet in (0, 1):
                octets[start + 2 + octet :: size] = numbers[4 * place + octet :: 4 * count]
            for octet in (0, 1, 2):
                octets[start + 12 + octet :: size] = inside[4 * place + octet :: 4 * count]
        return bytes(octets + octets[:CHUNK])

    def frames(self, octets: int) -> int:
        """How many frames are whole among so many octets."""
        turns, rest = divmod(octets, self._size)
        return turns * self._count + self._whole[rest]

    def offset(self, frames: int) -> int:
        """The octets of so many frames."""
        turns, rest = divmod(frames, self._count)
        return turns * self._size + self._starts[rest]


def acknowledge(count: int) -> bytes:
    """An S frame for so many received frames."""
    return _ACKNOWLEDGE.pack(S_HEAD, count % MODULO << 1)


def acknowledged(data: bytes, before: int) -> int | None:
    """The count that S frames acknowledge, the last one counts; None if there is anything else.

    :param before: what was acknowledged until now.
    """
    if data.count(S_HEAD) * 6 != len(data):
        return None
    number = (data[-2] | data[-1] << 8) >> 1
    return before + (number - before) % MODULO


def cut(data: bytes) -> tuple[list[bytes], bytes]:
    """Whole frames, and what is left of the data."""
    frames = []
    at = 0
    while len(data) - at >= 2 and len(data) - at >= data[at + 1] + 2:
        end = at + data[at + 1] + 2
        frames.append(data[at:end])
        at = end
    return frames, data[at:]


def frameI(sent: int, received: int, asdu: bytes) -> bytes:
    """An I frame."""
    numbers = struct.pack("<HH", sent % MODULO << 1, received % MODULO << 1)
    return bytes((0x68, len(asdu) + 4)) + numbers + asdu


def command(address: int) -> bytes:
    """The ASDU of a single command, direct."""
    return bytes((45, 1, 6, 0, STATION, 0)) + address.to_bytes(3, "little") + b"\x01"


def answers(asdu: bytes) -> tuple[bytes, bytes]:
    """Confirmation and termination of a command."""
    return asdu[:2] + b"\x07" + asdu[3:], asdu[:2] + b"\x0a" + asdu[3:]
