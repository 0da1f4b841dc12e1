"""An RTU and a master for measurements: as fast as Python allows, and not more than that.

All frames are made beforehand and have one length; nothing is kept of what arrives but its number.
No timers: a measurement is shorter than they are.
"""

from __future__ import annotations

import asyncio
import socket
from typing import cast

from mm2ss.iec104.apci import MODULO, UFunction, encodeI, encodeS, encodeU

#: Octets of each frame of the RTU: an M_SP_NA_1 with one object.
FRAME = 16
_STARTDT_ACT, _STARTDT_CON = UFunction.STARTDT_ACT, UFunction.STARTDT_CON
_ANSWERS = {
    UFunction.STARTDT_ACT: encodeU(UFunction.STARTDT_CON),
    UFunction.STOPDT_ACT: encodeU(UFunction.STOPDT_CON),
    UFunction.TESTFR_ACT: encodeU(UFunction.TESTFR_CON),
}


def _stream() -> bytes:
    """All frames that an RTU can send before its numbers repeat, twice over."""
    frames = [
        encodeI(number, 0, bytes((1, 1, 3, 0, 32, 0)) + number.to_bytes(3, "little") + b"\1")
        for number in range(MODULO)
    ]
    return b"".join(frames) * 2


_STREAM = _stream()


class _Station(asyncio.Protocol):
    """Cuts the stream into frames by their length."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        connection = transport.get_extra_info("socket")
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None

    def write(self, data: bytes) -> None:
        """Send, if there is a connection."""
        if self.transport is not None:
            self.transport.write(data)

    def close(self) -> None:
        """End the connection."""
        if self.transport is not None:
            self.transport.abort()

    def data_received(self, data: bytes) -> None:
        if self._rest:
            data = self._rest + data
        at, size, frames = 0, len(data), 0
        while size - at >= 6 and size - at >= data[at + 1] + 2:
            control = data[at + 2]
            if not control & 1:
                frames += 1
            elif control & 2:
                self.control(control)
            else:
                self.acknowledged(data[at + 4] >> 1 | data[at + 5] << 7)
            at += data[at + 1] + 2
        self._rest = data[at:]
        if frames:
            self.frames(frames)

    def control(self, function: int) -> None:
        """A U frame came."""
        answer = _ANSWERS.get(UFunction(function))
        if answer:
            self.write(answer)

    def acknowledged(self, number: int) -> None:
        """An S frame came, with this N(R)."""

    def frames(self, count: int) -> None:
        """So many I frames came."""


class FastRtu(_Station):
    """Sends as many frames as its window allows, until there have been `limit`.

    :ivar confirmed: frames that were acknowledged, on all connections.
    """

    def __init__(self, k: int, limit: int = 10**12) -> None:
        super().__init__()
        self.limit = limit
        self.confirmed = 0
        self._k = k
        self._sent = self._acknowledged = 0
        self._started = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._sent = self._acknowledged = 0
        self._started = False
        self._rest = b""

    def control(self, function: int) -> None:
        super().control(function)
        if function == _STARTDT_ACT:
            self._started = True
            self.pump()
        elif function == UFunction.STOPDT_ACT:
            self._started = False

    def acknowledged(self, number: int) -> None:
        count = (number - self._acknowledged) & (MODULO - 1)
        self._acknowledged += count
        self.confirmed += count
        self.pump()

    def pump(self) -> None:
        """Send what the window and the limit allow."""
        under = self._sent - self._acknowledged
        room = min(self._k - under, self.limit - self.confirmed - under)
        if self._started and room > 0:
            first = self._sent % MODULO * FRAME
            self.write(_STREAM[first : first + room * FRAME])
            self._sent += room


class FastMaster(_Station):
    """Takes all there is, acknowledges each time that w frames have come.

    :ivar received: I frames so far.
    :ivar stalled: while True, nothing is acknowledged.
    """

    def __init__(self, w: int, stalled: bool = False) -> None:
        super().__init__()
        self.stalled = stalled
        self.received = 0
        self._w = w
        self._acknowledged = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.write(encodeU(UFunction.STARTDT_ACT))

    def frames(self, count: int) -> None:
        self.received += count
        if self.received - self._acknowledged >= self._w:
            self.acknowledge()

    def acknowledge(self) -> None:
        """Acknowledge all that has come, unless it stalls."""
        if not self.stalled and self.received != self._acknowledged:
            self._acknowledged = self.received
            self.write(encodeS(self.received))
