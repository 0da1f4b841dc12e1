"""One fast master: its connection, what must come on it, and its commands."""

from __future__ import annotations

import errno
import select
import socket
import time
from typing import TYPE_CHECKING

from tests.bench.loop import prepare
from tests.bench.stream import (
    CHUNK,
    S_HEAD,
    STARTDT_ACT,
    STARTDT_CON,
    TESTFR_ACT,
    TESTFR_CON,
    acknowledge,
    command,
    cut,
    frameI,
)

if TYPE_CHECKING:
    from tests.bench.fastmaster import Masters

#: What a connection is in.
CONNECTING, STARTING, LIVE, LOST = range(4)


class Line:
    """One master.

    :ivar octets: of events received.
    :ivar times: after which count what came when (nanoseconds), if it is wanted.
    """

    __slots__ = (
        "_masters",
        "_rest",
        "acknowledged",
        "asked",
        "askedAt",
        "host",
        "octets",
        "replies",
        "sentCommands",
        "since",
        "socket",
        "state",
        "times",
    )

    def __init__(self, host: tuple[str, int], masters: Masters) -> None:
        self.host = host
        self._masters = masters
        self.socket: socket.socket | None = None
        self.state = LOST
        self.times: list[tuple[int, int]] | None = None
        self.reset()

    def reset(self) -> None:
        """As before a connection."""
        self.octets = self.acknowledged = 0
        self.since = 0.0
        self.replies = self.sentCommands = 0
        self.asked = b""
        self.askedAt = 0
        self._rest = b""

    def connect(self) -> None:
        """Try to connect."""
        self.reset()
        self.socket = socket.socket()
        prepare(self.socket)
        self.state = CONNECTING
        if self.socket.connect_ex(self.host) not in (0, errno.EINPROGRESS):
            self.socket.close()
            self._masters.lost(self)
            return
        self._masters.loop.add(self.socket.fileno(), self.ready, select.EPOLLOUT)

    def begun(self, connection: socket.socket) -> None:
        """The connection is made: ask for data transfer."""
        self.socket = connection
        self.state = STARTING
        connection.send(STARTDT_ACT)

    def close(self) -> None:
        """The connection is over."""
        assert self.socket is not None
        self._masters.loop.drop(self.socket.fileno())
        self.socket.close()
        self.since = 0.0  # nothing is to be acknowledged any more
        self._masters.lost(self)

    def ready(self, _mask: int) -> None:
        """Something came, or the connection is made, or over."""
        assert self.socket is not None
        if self.state == CONNECTING:
            if self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                self.close()
                return
            self._masters.loop.change(self.socket.fileno(), select.EPOLLIN)
            self.begun(self.socket)
            return
        try:
            data = self.socket.recv(CHUNK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.close()
        elif (
            self.state == LIVE
            and not self._rest
            and self._masters.expected.startswith(data, self.octets % self._masters.stream.span)
        ):
            self.octets += len(data)
            self._received()
        else:
            self._frames(data)

    def _received(self) -> None:
        """Events came: acknowledge them by w."""
        masters = self._masters
        count = masters.stream.frames(self.octets)
        if self.times is not None:
            self.times.append((count, time.monotonic_ns()))
        waiting = count - self.acknowledged
        if waiting >= masters.w:
            if waiting > masters.k:
                masters.error(f"{waiting} frames are not acknowledged, k is {masters.k}")
            self.acknowledge(count)
        elif not self.since:
            self.since = time.monotonic()

    def acknowledge(self, count: int) -> None:
        """Acknowledge so many events."""
        assert self.socket is not None
        self.acknowledged = count
        self.since = 0.0
        self.socket.send(acknowledge(count + self._masters.shift))

    def acknowledgeAll(self) -> None:
        """Acknowledge what has come."""
        if self.since:
            self.acknowledge(self._masters.stream.frames(self.octets))

    def _frames(self, data: bytes) -> None:
        """Something else than only the events that must come: look at each frame."""
        stream, expected = self._masters.stream, self._masters.expected
        count = stream.frames(self.octets)
        begun = self.octets - stream.offset(count)
        if begun:  # what came of the frame that was not complete
            end = self.octets % stream.span
            data = expected[end - begun : end] + data
            self.octets -= begun
        frames, self._rest = cut(self._rest + data)
        for frame in frames:
            self._frame(frame)
        if self.state == LIVE and expected.startswith(self._rest, self.octets % stream.span):
            self.octets += len(self._rest)
            self._rest = b""
        if stream.frames(self.octets) > count:
            self._received()

    def _frame(self, frame: bytes) -> None:
        assert self.socket is not None
        masters = self._masters
        place = self.octets % masters.stream.span
        if self.state == LIVE and masters.expected.startswith(frame, place):
            self.octets += len(frame)
        elif frame == TESTFR_ACT:
            self.socket.send(TESTFR_CON)
        elif frame == masters.welcome and self.state == STARTING:
            masters.live(self)
        elif self.asked and not frame[2] & 1:
            self._answered(frame)
        elif frame not in (STARTDT_CON, TESTFR_CON) and not frame.startswith(S_HEAD):
            masters.error(f"after {masters.stream.frames(self.octets)} events {frame.hex(' ')}")
            self.state = LOST

    # -- commands ---------------------------------------------------------------------------

    def ask(self) -> None:
        """Send a command."""
        assert self.socket is not None
        self.asked = command(1 + self.sentCommands % 1000)
        frame = frameI(self.sentCommands, self.replies + self._masters.shift, self.asked)
        self.sentCommands += 1
        self.askedAt = time.monotonic_ns()
        self.socket.send(frame)

    def _answered(self, frame: bytes) -> None:
        """The confirmation or the termination of the command came."""
        now = time.monotonic_ns()
        masters = self._masters
        self.replies += 1
        asdu = frame[6:]
        if asdu[0] != self.asked[0] or asdu[3:] != self.asked[3:] or asdu[2] not in (7, 10):
            masters.error(f"{self.asked.hex(' ')} was answered {asdu.hex(' ')}")
        elif asdu[2] == 7:
            masters.roundTrips.append(now - self.askedAt)
        else:
            masters.loop.every(masters.gap, masters.next)
