"""The way out: at once while nothing waits, in order whatever the socket takes, and bounded."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.interfaces import ISSLTransport
from zope.interface import alsoProvides

from mm2ss.iec104.wire import FULL, Wire


class _Socket(socket.socket):
    """A socket that takes what it is told to take, and keeps it.

    :ivar takes: how much the next calls take: octets, or an error that is raised.
    """

    def __init__(self) -> None:
        super().__init__()
        self.takes: list[int | OSError] = []
        self.sent = b""

    def send(self, data: Any, flags: int = 0) -> int:
        taken = self.takes.pop(0) if self.takes else len(data)
        if isinstance(taken, OSError):
            raise taken
        self.sent += data[:taken]
        return min(taken, len(data))


class _Transport:
    """Does with a producer what Twisted's TCP transports do."""

    def __init__(self, handle: _Socket) -> None:
        self.handle = handle
        self.waiting = b""
        self.producer: Any = None
        self.streaming = False

    def getHandle(self) -> _Socket:
        return self.handle

    def write(self, data: bytes) -> None:
        assert isinstance(data, bytes)
        self.waiting += data
        if self.producer and self.streaming and len(self.waiting) > FULL:
            self.producer.pauseProducing()

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        assert self.producer is None
        self.producer = producer
        self.streaming = streaming
        if not streaming:
            producer.resumeProducing()

    def unregisterProducer(self) -> None:
        self.producer = None

    def flush(self) -> None:
        """The socket is ready, and takes everything."""
        self.handle.sent += self.waiting
        self.waiting = b""
        if self.producer:
            self.producer.resumeProducing()


class _Line:
    """A wire, what it writes to, and what it said."""

    def __init__(self, encrypted: bool = False) -> None:
        self.socket = _Socket()
        self.transport = _Transport(self.socket)
        if encrypted:  # Twisted's TLS transports pass `getHandle` on to the connection below
            alsoProvides(self.transport, ISSLTransport)
        self.told: list[bool] = []
        self.wire = Wire(self.transport, self.told.append)  # type: ignore[arg-type]  # as far as used


@pytest.fixture
def line() -> Iterator[_Line]:
    """A line whose socket is closed afterwards."""
    line = _Line()
    yield line
    line.socket.close()


def test_atOnceWhileNothingWaits(line: _Line) -> None:
    """The socket has it before `write` returns; the transport is not troubled."""
    line.wire.write(b"one")
    line.wire.write(b"two")
    assert line.socket.sent == b"onetwo"
    assert (line.transport.waiting, line.transport.producer) == (b"", None)


def test_theRestIsTheTransports(line: _Line) -> None:
    """What the socket does not take, and all that comes behind it, waits for its turn."""
    line.socket.takes = [2]
    line.wire.write(b"one")
    line.wire.write(b"two")
    assert (line.socket.sent, line.transport.waiting) == (b"on", b"etwo")
    line.transport.flush()
    line.wire.write(b"three")
    assert line.socket.sent == b"onetwothree"
    assert line.transport.producer is None
    assert line.told == []


@pytest.mark.parametrize("error", [BlockingIOError(), ConnectionResetError(), BrokenPipeError()])
def test_aSocketThatFailsIsTheTransports(line: _Line, error: OSError) -> None:
    """No error comes out of `write`: the transport finds it again and ends the connection."""
    line.socket.takes = [error]
    line.wire.write(b"one")
    assert (line.socket.sent, line.transport.waiting) == (b"", b"one")


def test_tellsWhenSoMuchWaits(line: _Line) -> None:
    """Full is said once, and empty once, so that who writes stops and goes on."""
    line.socket.takes = [0]
    line.wire.write(bytes(FULL))
    assert line.told == []
    line.wire.write(b"x")
    line.wire.write(b"x")
    assert line.told == [True]
    line.transport.flush()
    assert line.told == [True, False]
    assert len(line.socket.sent) == FULL + 2


def test_closesWithWhatWaits(line: _Line) -> None:
    """Twisted does not close a transport that has a producer: the wire lets go."""
    line.socket.takes = [0]
    line.wire.write(b"last")
    line.wire.close()
    assert line.transport.producer is None


def test_encryptedOctetsNeverGoAround() -> None:
    """With TLS the handle is the socket below it: everything goes through the transport."""
    line = _Line(encrypted=True)
    line.wire.write(bytes(FULL))
    line.wire.write(b"x")
    assert (line.socket.sent, len(line.transport.waiting)) == (b"", FULL + 1)
    assert line.told == [True]
    line.transport.flush()
    assert line.told == [True, False]
    line.socket.close()


@given(
    st.lists(
        st.one_of(
            st.tuples(st.binary(min_size=1, max_size=20), st.integers(0, 20)), st.just("flush")
        ),
        max_size=30,
    )
)
def test_octetsArriveInOrder(steps: list[Any]) -> None:
    """Whatever the socket takes and when: nothing is lost, doubled or overtaken."""
    line = _Line()
    expected = b""
    for step in steps:
        if step == "flush":
            line.transport.flush()
            continue
        data, taken = step
        line.socket.takes = [taken]
        line.wire.write(data)
        expected += data
        assert line.socket.sent + line.transport.waiting == expected
    line.socket.close()
