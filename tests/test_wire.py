"""The way out: at once or at a turn's end, in order whatever the socket takes, and bounded."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.interfaces import ISSLTransport
from twisted.logger import LogEvent
from zope.interface import alsoProvides

from mm2ss.iec104.wire import FULL, Wire, Wires


class _Socket(socket.socket):
    """A socket that takes what it is told to take, and keeps it.

    :ivar takes: how much the next calls take: octets, or an error that is raised.
    """

    def __init__(self) -> None:
        super().__init__()
        self.takes: list[int | OSError] = []
        self.sent = b""
        self.calls = 0

    def send(self, data: Any, flags: int = 0) -> int:
        self.calls += 1
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
        self.aborted = False

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

    def abortConnection(self) -> None:
        self.aborted = True

    def flush(self) -> None:
        """The socket is ready, and takes everything."""
        self.handle.sent += self.waiting
        self.waiting = b""
        if self.producer:
            self.producer.resumeProducing()


class _Line:
    """A wire, what it writes to, and what it said."""

    def __init__(self, encrypted: bool = False, wires: Wires | None = None) -> None:
        self.socket = _Socket()
        self.transport = _Transport(self.socket)
        if encrypted:  # Twisted's TLS transports pass `getHandle` on to the connection below
            alsoProvides(self.transport, ISSLTransport)
        self.told: list[bool] = []
        transport: Any = self.transport  # as far as it is used
        self.wire = Wire(transport, self.told.append, wires)


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


@pytest.fixture
def held() -> Iterator[_Line]:
    """A line whose wire holds what is written, until all wires of its turn send."""
    wires = Wires()
    wires.holding = True
    line = _Line(wires=wires)
    yield line
    line.socket.close()


def wiresOf(line: _Line) -> Wires:
    wires = line.wire._wires
    assert wires is not None
    return wires


def test_heldUntilTheTurnEnds(held: _Line) -> None:
    """What is written in a turn goes out at its end, as one."""
    held.wire.write(b"one")
    held.wire.write(b"two")
    assert held.socket.calls == 0
    wiresOf(held).send()
    wiresOf(held).send()
    assert (held.socket.sent, held.socket.calls) == (b"onetwo", 1)


def test_whatWaitsIsNotHeld(held: _Line) -> None:
    """Behind what the socket did not take, octets go to the transport at once."""
    held.socket.takes = [2]
    held.wire.write(b"one")
    wiresOf(held).send()
    held.wire.write(b"two")
    assert (held.socket.sent, held.transport.waiting) == (b"on", b"etwo")


def test_closeSendsWhatIsHeld(held: _Line) -> None:
    """What was written before the close goes out before it."""
    held.wire.write(b"last")
    held.wire.close()
    assert held.socket.sent == b"last"
    wiresOf(held).send()
    assert held.socket.calls == 1


def test_aLostWireIsForgotten(held: _Line) -> None:
    """A connection that is gone is neither read nor written, nor told anything."""
    came: list[bytes] = []
    held.wire.open(lambda data, _now: came.append(data))
    assert wiresOf(held).byTransport == {held.transport: held.wire}
    held.wire.write(b"too late")
    held.wire.lose()
    wiresOf(held).send()
    held.wire.receive(b"too late, too", 0.0)
    assert (held.socket.calls, came, wiresOf(held).byTransport) == (0, [], {})


def test_anEncryptedWireIsLeftToItsTransport() -> None:
    """With TLS nothing is read or held here, whatever the others do."""
    wires = Wires()
    wires.holding = True
    line = _Line(encrypted=True, wires=wires)
    line.wire.open(lambda _data, _now: pytest.fail("read below the encryption"))
    line.wire.write(b"x")
    assert (line.transport.waiting, wires.byTransport, list(wires.unsent)) == (b"x", {}, [])
    line.wire.lose()
    line.socket.close()


def test_aFaultCutsItsOwnWireOnly(held: _Line, loggedFailures: list[LogEvent]) -> None:
    """Who fails when he hears that too much waits is cut and logged; others are sent to."""
    wires = wiresOf(held)

    def fail(_full: bool) -> None:
        raise ArithmeticError("a fault of the program")

    guilty = _Line(wires=wires)
    guilty.wire._full = fail
    guilty.socket.takes = [0]
    guilty.wire.write(bytes(FULL + 1))
    held.wire.write(b"innocent")
    wires.send()
    assert (guilty.transport.aborted, held.transport.aborted) == (True, False)
    assert held.socket.sent == b"innocent"
    assert [each["log_failure"].type for each in loggedFailures] == [ArithmeticError]
    loggedFailures.clear()
    guilty.socket.close()


def test_whatComesBehindAFaultIsNotTaken(held: _Line, loggedFailures: list[LogEvent]) -> None:
    """A wire that is cut takes nothing more, should it be read once again before its end."""
    came: list[bytes] = []
    held.wire.open(lambda data, _now: came.append(data))
    held.wire.receive(b"one", 0.0)
    try:
        raise ArithmeticError("a fault of the program")
    except ArithmeticError:
        held.wire.fail()
    held.wire.receive(b"two", 0.0)
    assert (came, held.transport.aborted) == ([b"one"], True)
    loggedFailures.clear()


def test_whatCanWaitComesAfterTheSending(held: _Line) -> None:
    """What was put off until all is sent comes then, once, in its order."""
    sent: list[bytes] = []
    wires = wiresOf(held)
    held.wire.write(b"answer")
    for _ in range(2):
        wires.afterwards(lambda: sent.append(held.socket.sent))
    wires.send()
    wires.send()
    assert sent == [b"answer", b"answer"]


@given(
    st.booleans(),
    st.lists(
        st.one_of(
            st.tuples(st.binary(min_size=1, max_size=20), st.integers(0, 20)),
            st.just("flush"),
            st.just("turn"),
        ),
        max_size=30,
    ),
)
def test_octetsArriveInOrder(together: bool, steps: list[Any]) -> None:
    """Whatever the socket takes and when: nothing is lost, doubled or overtaken."""
    wires = Wires()
    line = _Line(wires=wires if together else None)
    expected = b""
    for step in steps:
        if step == "flush":
            line.transport.flush()
        elif step == "turn":
            wires.holding = not wires.holding
            wires.send()
        else:
            data, taken = step
            line.socket.takes = [taken]
            line.wire.write(data)
            expected += data
        assert line.socket.sent + line.transport.waiting + line.wire._held == expected
    line.wire.close()
    assert line.socket.sent + line.transport.waiting == expected
    line.socket.close()
