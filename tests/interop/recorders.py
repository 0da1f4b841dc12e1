"""Many stations in one process that record what passes and when; they measure the relay's timers.

They have no timers of their own but one: an RTU that is told to sends a value now and then. Values
and TESTFR act are answered at once or, by `Master` ``mute``, never.
"""

from __future__ import annotations

import asyncio
import struct
import time
from typing import cast

from mm2ss.iec104.apci import MODULO
from tests.interop.c104stations import TESTFR_ACT, Frame

STARTDT_ACT, STARTDT_CON = bytes.fromhex("680407000000"), bytes.fromhex("68040b000000")
TESTFR_CON = bytes.fromhex("680483000000")
#: Values after which a master acknowledges; one of which relay and RTU know nothing.
W = 8


class Recorder(asyncio.Protocol):
    """One connection.

    :ivar lost: set when it has ended.
    """

    role = "station"

    def __init__(self) -> None:
        self._frames: list[Frame] = []
        self._rest = b""
        self.received = 0
        self.transport: asyncio.Transport | None = None
        self.lost = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        self.lost.set()

    def data_received(self, data: bytes) -> None:
        now = time.monotonic()
        self._rest += data
        while len(self._rest) > 1 and len(self._rest) >= 2 + self._rest[1]:
            frame, self._rest = self._rest[: 2 + self._rest[1]], self._rest[2 + self._rest[1] :]
            self._frames.append(Frame(now, False, frame))
            if frame == TESTFR_ACT:
                self.send(TESTFR_CON)
            else:
                self.received += not frame[2] & 1
                self.heard(frame)

    def heard(self, frame: bytes) -> None:
        """A frame that is no TESTFR act has come."""

    def send(self, frame: bytes) -> None:
        """Send a frame, if there is a connection."""
        if self.transport is not None:
            self._frames.append(Frame(time.monotonic(), True, frame))
            self.transport.write(frame)

    def frames(self, sent: bool) -> list[Frame]:
        """The frames that it sent, or that it received."""
        return [frame for frame in self._frames if frame.sent is sent]


class Rtu(Recorder):
    """Sends values, all different, from its STARTDT on.

    :param every: seconds between two values; 0 = none are sent.
    """

    role = "rtu"

    def __init__(self, every: float) -> None:
        super().__init__()
        self._every = every
        self._sent = 0

    def heard(self, frame: bytes) -> None:
        if frame == STARTDT_ACT:
            self.send(STARTDT_CON)
            if self._every:
                self._tick()

    def _tick(self) -> None:
        asdu = struct.pack("<BBBBHHBfB", 13, 1, 3, 0, 32, 100, 0, self._sent, 0)
        numbers = self._sent % MODULO << 1, self.received % MODULO << 1
        self.send(struct.pack("<BBHH", 0x68, 4 + len(asdu), *numbers) + asdu)
        self._sent += 1
        if self.transport is not None:
            asyncio.get_running_loop().call_later(self._every, self._tick)


class Master(Recorder):
    """Starts, and acknowledges when W frames have come.

    :param mute: it never acknowledges.
    """

    role = "master"

    def __init__(self, mute: bool = False) -> None:
        super().__init__()
        self._mute = mute

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.send(STARTDT_ACT)

    def heard(self, frame: bytes) -> None:
        # The greeting is acknowledged at once, so that who gets nothing else owes nothing.
        due = self.received % W == 1 and not frame[2] & 1
        if due and not self._mute:
            self.send(struct.pack("<BBHH", 0x68, 4, 1, self.received % MODULO << 1))
