"""Fast RTUs for measurements, as a process of its own: many stations, one address each.

    python -m tests.bench.fastrtu '{"count": 20, "port": 2404, "k": 12}'

Each takes any number of connections, for direct comparison; each connection has a stream of its
own. What it may send is set by orders: a burst without end, or a rate.
"""

from __future__ import annotations

import json
import socket
import sys
import time
from functools import partial
from typing import Any

from tests.bench.loop import Tool, prepare, traffic
from tests.bench.stream import (
    CHUNK,
    STARTDT_ACT,
    STARTDT_CON,
    STOPDT_ACT,
    STOPDT_CON,
    TESTFR_ACT,
    TESTFR_CON,
    Stream,
    acknowledge,
    acknowledged,
    answers,
    cut,
    frameI,
)

#: More events than anybody sends.
ENDLESS = 1 << 60
_CONFIRMED = {STARTDT_ACT: STARTDT_CON, STOPDT_ACT: STOPDT_CON, TESTFR_ACT: TESTFR_CON}


def address(number: int) -> str:
    """The address of an RTU, by its number from 0."""
    return f"127.0.{1 + number // 250}.{1 + number % 250}"


class Line:
    """One connection of an RTU.

    :ivar sent: I frames sent.
    :ivar allowed: I frames that may be sent at all.
    """

    __slots__ = (
        "_acknowledged",
        "_received",
        "_rest",
        "_rtus",
        "allowed",
        "sent",
        "socket",
        "started",
    )

    def __init__(self, connection: socket.socket, rtus: Rtus) -> None:
        self.socket = connection
        self._rtus = rtus
        self.started = False
        self.sent = 0
        self.allowed = rtus.allowed
        self._acknowledged = 0
        self._received = 0
        self._rest = b""

    def ready(self, _mask: int) -> None:
        """Something came, or the connection is over."""
        try:
            data = self.socket.recv(CHUNK)
        except OSError:
            data = b""
        if not data:
            self._rtus.lost(self)
            return
        if self._rest or not self._acknowledge(data):
            frames, self._rest = cut(self._rest + data)
            for frame in frames:
                self._take(frame)
        self.pump()

    def _acknowledge(self, data: bytes) -> bool:
        """Take S frames; False if there is anything else."""
        count = acknowledged(data, self._acknowledged)
        if count is None:
            return False
        if count > self.sent:
            self._rtus.error(f"acknowledged {count} of {self.sent} frames")
        self._acknowledged = count
        return True

    def _take(self, frame: bytes) -> None:
        """Take any frame."""
        if frame[2] & 3 == 3:
            if frame in (STARTDT_ACT, STOPDT_ACT):
                self.started = frame == STARTDT_ACT
                self._rtus.startedChanged(self.started)
            if frame in _CONFIRMED:
                self.socket.send(_CONFIRMED[frame])
        elif frame[2] & 1:
            self._acknowledge(frame)
        elif self.allowed:
            self._rtus.error("a command while events are sent")
        else:
            self._received += 1
            self._acknowledge(acknowledge(int.from_bytes(frame[4:6], "little") >> 1))
            replies = [
                frameI(self.sent + number, self._received, asdu)
                for number, asdu in enumerate(answers(frame[6:]))
            ]
            self.sent += 2
            self.socket.send(b"".join(replies))

    def pump(self) -> None:
        """Send what the window and the order allow."""
        sent = self.sent
        room = min(self._rtus.k - sent + self._acknowledged, self.allowed - sent)
        if room <= 0 or not self.started:
            return
        stamps = self._rtus.stamps
        if stamps is not None:
            stamps.extend([time.monotonic_ns()] * room)
        stream = self._rtus.stream
        start, end = stream.offset(sent), stream.offset(sent + room)
        first = start % stream.span
        if self.socket.send(self._rtus.octets[first : first + end - start]) != end - start:
            self._rtus.error("the socket did not take a whole window")
        self.sent = sent + room


class Rtus(Tool):
    """All RTUs.

    :ivar k: the window.
    :ivar stream: what is sent; its octets.
    :ivar allowed: events that each new connection may send.
    :ivar stamps: when each event of the one RTU was sent, if it is wanted.
    """

    def __init__(self, count: int, port: int, k: int, mixed: bool = False) -> None:
        super().__init__()
        self.k = k
        self.stream = Stream(0, mixed)
        self.octets = memoryview(self.stream.octets)
        self.allowed = 0
        self.stamps: list[int] | None = None
        self._lines: list[Line] = []
        self._started = 0
        self._startedAt = 0.0
        self._rate = 0.0
        self._due = self._since = 0.0
        self._next = 0
        self._listeners = []
        for number in range(count):
            listener = socket.socket()
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((address(number), port))
            listener.listen(50)
            listener.setblocking(False)
            self._listeners.append(listener)
            self.loop.add(listener.fileno(), partial(self._accept, listener))

    def _accept(self, listener: socket.socket, _mask: int) -> None:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        prepare(connection)
        line = self.join(connection)
        self.loop.add(connection.fileno(), line.ready)

    def join(self, connection: socket.socket) -> Line:
        """A new connection."""
        line = Line(connection, self)
        self._lines.append(line)
        return line

    def lost(self, line: Line) -> None:
        """A connection is over."""
        self.loop.drop(line.socket.fileno())
        line.socket.close()
        self._lines.remove(line)
        if line.started:
            self.startedChanged(False)

    def startedChanged(self, started: bool) -> None:
        """A line was started or stopped."""
        self._started += 1 if started else -1
        self._startedAt = time.monotonic()

    def _tick(self) -> None:
        """Allow events at the rate, to one RTU after the other."""
        self._due += (time.monotonic() - self._since) * self._rate * len(self._lines)
        self._since = time.monotonic()
        while self._due >= 1 and self._lines:
            self._due -= 1
            line = self._lines[self._next % len(self._lines)]
            self._next += 1
            line.allowed += 1
            line.pump()

    # -- orders -----------------------------------------------------------------------------

    def doFlow(self, on: bool) -> dict[str, Any]:
        """Send as fast as the windows allow, or send no more."""
        for line in self._lines:
            line.allowed = ENDLESS if on else line.sent
            line.pump()
        return {}

    def doRate(self, perSecond: float, stamp: bool = False) -> dict[str, Any]:
        """Each RTU sends so many events a second; 0: none."""
        self._rate = perSecond
        self._due, self._since = 0.0, time.monotonic()
        if stamp:
            self.stamps = []
        self.loop.every(0.001 if perSecond else 0, self._tick)
        return {}

    def doOne(self) -> dict[str, Any]:
        """Each RTU sends one event."""
        for line in self._lines:
            line.allowed = line.sent + 1
            line.pump()
        return {}

    def doDrop(self) -> dict[str, Any]:
        """Close all connections at once; new ones are welcome at once."""
        dropped = len(self._lines)
        for line in self._lines:
            self.loop.drop(line.socket.fileno())
            line.socket.close()
        self._lines.clear()
        self._started = 0
        return {"dropped": dropped, "at": time.monotonic()}

    def doStatus(self) -> dict[str, Any]:
        """How it stands."""
        return {
            "lines": len(self._lines),
            "started": self._started,
            "startedAt": self._startedAt,
            "sent": sum(line.sent for line in self._lines),
            "errors": self.errors,
        }

    def doTraffic(self) -> dict[str, Any]:
        """What went over all lines."""
        return traffic(line.socket for line in self._lines)

    def doStamps(self) -> dict[str, Any]:
        """When each event was sent, in nanoseconds."""
        return {"stamps": self.stamps}


if __name__ == "__main__":
    Rtus(**json.loads(sys.argv[1])).serve()
