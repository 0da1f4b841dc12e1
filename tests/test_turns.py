"""The reactor's turns: read all, work on all, send all; and who fails harms nobody else."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.selectreactor import SelectReactor
from twisted.internet.task import Clock
from twisted.logger import LogEvent
from twisted.python import log
from twisted.python.failure import Failure

from mm2ss.config.parameters import LinkParameters
from mm2ss.iec104.apci import CloseCause, encodeS
from mm2ss.iec104.link import Link, LinkEvent, Role
from mm2ss.iec104.loop import Loop
from mm2ss.iec104.protocol import LinkFactory, LinkProtocol
from mm2ss.iec104.wire import Wire, Wires
from mm2ss.services.turns import AT_ONCE, FEW, orderTurns
from tests.stations import STARTDT_ACT, asdu

epollreactor = pytest.importorskip("twisted.internet.epollreactor")

#: More than a socket takes at once: the rest is written when it is ready again.
MUCH = b"m" * 4_000_000


class Server(Protocol):
    """Gives back what comes, and fails at an exclamation mark."""

    def dataReceived(self, data: bytes) -> None:
        if b"!" in data:
            raise ArithmeticError("a fault of the program")
        assert self.transport is not None
        self.transport.write(data)


class Client(Protocol):
    """Says something; ends the reactor when the connection is gone or all has come back."""

    def __init__(self, reactor: Any, text: bytes) -> None:
        self.reactor = reactor
        self.text = text
        self.got = 0
        self.lost = False

    def connectionMade(self) -> None:
        assert self.transport is not None
        self.transport.write(self.text)

    def dataReceived(self, data: bytes) -> None:
        self.got += len(data)
        if self.got == len(self.text):
            self.reactor.stop()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost = True
        if self.reactor.running:
            self.reactor.stop()


def factory(make: Callable[[], Protocol]) -> Factory:
    return Factory.forProtocol(make)


def talk(text: bytes) -> Client:
    """Say something to a server in a reactor with short turns."""
    reactor = epollreactor.EPollReactor()
    assert orderTurns(reactor) is not None, "this Twisted keeps its connections otherwise"
    port = reactor.listenTCP(0, factory(Server), interface="127.0.0.1")
    client = Client(reactor, text)
    reactor.callWhenRunning(
        TCP4ClientEndpoint(reactor, "127.0.0.1", port.getHost().port).connect,
        factory(lambda: client),
    )
    late = reactor.callLater(10, reactor.stop)
    reactor.run(installSignalHandlers=False)
    assert late.active(), "nothing came back"
    late.cancel()
    return client


@pytest.mark.parametrize("text", [b"hello", MUCH])
def test_readsAndWrites(text: bytes) -> None:
    """What is ready to be read is read, and what is ready to be written is written."""
    client = talk(text)
    assert client.got == len(text)


def test_aFaultClosesItsConnection() -> None:
    """Who fails in his connection loses it, and twistd's log says in what he failed."""
    told: list[dict[str, Any]] = []
    log.addObserver(told.append)
    try:
        client = talk(b"!")
    finally:
        log.removeObserver(told.append)
    assert client.lost and client.got == 0
    assert [each["failure"].type for each in told if each["isError"]] == [ArithmeticError]


class Station(Protocol):
    """Answers what comes over a wire, and fails at an exclamation mark.

    :param wires: what its wire belongs to.
    :param tell: told what happens, in this order.
    """

    def __init__(self, wires: Wires, tell: Callable[[str], None]) -> None:
        self.wires = wires
        self.tell = tell

    def connectionMade(self) -> None:
        transport: Any = self.transport
        self.wire = Wire(transport, lambda _full: None, self.wires)
        self.wire.open(self.receive)
        read, send = self.wire.read, transport.getHandle().send

        def reading(size: int) -> bytes:
            self.tell("read")
            return read(size)

        def sending(data: bytes) -> int:
            self.tell("send")
            return int(send(data))

        self.wire.read = reading
        self.wire._send = sending  # type: ignore[assignment]  # nobody gives flags

    def receive(self, data: bytes, now: float) -> None:
        self.tell("work")
        self.wire.write(data.upper())
        if b"!" in data:
            raise ArithmeticError("a fault of the program")

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.tell("lost")
        self.wire.lose()


class Wired:
    """A reactor whose turns are made one by one, and sockets that are connected to its stations."""

    def __init__(self, count: int) -> None:
        self.reactor = epollreactor.EPollReactor()
        self.told: list[str] = []
        wires = orderTurns(self.reactor)
        assert wires is not None
        self.wires = wires
        server = factory(lambda: Station(wires, self.told.append))
        port = self.reactor.listenTCP(0, server, interface="127.0.0.1")
        address = "127.0.0.1", port.getHost().port
        self.peers: list[socket.socket] = []
        for _ in range(count):
            self.peers.append(socket.create_connection(address, 5))
            self.reactor.doIteration(0.1)
        assert len(wires.byTransport) == count
        port.stopListening()

    def turn(self, text: bytes) -> list[str]:
        """All say something, then the reactor makes one turn; returns what happened in it."""
        for peer in self.peers:
            peer.send(text)
        return self.turnAlone()

    def turnAlone(self) -> list[str]:
        self.told.clear()
        self.reactor.doIteration(0.1)
        self.reactor.runUntilCurrent()
        return self.told[:]

    def answers(self) -> list[bytes]:
        return [peer.recv(100) for peer in self.peers]

    def close(self) -> None:
        for peer in self.peers:
            peer.close()
        while self.wires.byTransport:
            self.turnAlone()
        self.reactor.removeAll()


@pytest.fixture
def wired(request: pytest.FixtureRequest) -> Iterator[Wired]:
    """So many stations as the test's parameter says."""
    world = Wired(request.param)
    yield world
    world.close()


@pytest.mark.parametrize("wired", [FEW + 1], indirect=True)
def test_readsThenWorksThenSends(wired: Wired) -> None:
    """What has come on all connections is read first, and all answers are sent last."""
    count = FEW + 1
    assert wired.turn(b"event") == ["read"] * count + ["work"] * count + ["send"] * count
    assert wired.answers() == [b"EVENT"] * count


@pytest.mark.parametrize("wired", [FEW], indirect=True)
def test_fewAreAnsweredAtOnce(wired: Wired) -> None:
    """Where few wait, nobody's answer waits for the others' work."""
    assert wired.turn(b"event") == ["read"] * FEW + ["work", "send"] * FEW
    assert wired.answers() == [b"EVENT"] * FEW


@pytest.mark.parametrize("wired", [AT_ONCE + 2], indirect=True)
def test_soManyTogether(wired: Wired) -> None:
    """No more are served together than that; who is left over has his turn next, and at once where
    alarms are late."""
    many = ["read"] * AT_ONCE + ["work"] * AT_ONCE + ["send"] * AT_ONCE
    rest = ["read", "read", "work", "send", "work", "send"]
    assert wired.turn(b"event") == many
    assert wired.turnAlone() == rest
    wired.answers()
    wired.wires.catchUp()
    assert wired.turn(b"event") == many + rest
    assert wired.answers() == [b"EVENT"] * (AT_ONCE + 2)


def test_aTurnEnds() -> None:
    """Where alarms are late and all are ready again and again, a turn serves each of them once."""

    class Poller:
        def poll(self, timeout: float, most: int) -> list[tuple[int, int]]:
            waits.append(timeout)
            return [(99, 1)] * most

    waits: list[float] = []
    reactor = epollreactor.EPollReactor()
    poller, reactor._poller = reactor._poller, Poller()
    wires = orderTurns(reactor)
    assert wires is not None
    wires.catchUp()
    reactor._poller = poller
    reactor._selectables.update(dict.fromkeys(range(1000, 1000 + 2 * AT_ONCE + 1)))
    reactor.doIteration(7)
    reactor.doIteration(8)
    assert waits == [7, 0, 0, 8]
    reactor._selectables.clear()


@pytest.mark.parametrize("wired", [2], indirect=True)
@pytest.mark.parametrize("isBusy", [False, True])
@pytest.mark.parametrize("ending", [0, 1])
def test_whatWasReadGoesBeforeAnEnd(wired: Wired, isBusy: bool, ending: int) -> None:
    """What came before another one's end is worked on before it, whoever was busy before (whom the
    system then names first)."""
    if isBusy:
        wired.turn(b"before")
        wired.answers()
    other = wired.peers[1 - ending]
    other.send(b"event")
    wired.peers[ending].close()
    wired.peers = [other]
    assert wired.turnAlone() == ["read", "read", "work", "send", "lost"]
    assert wired.answers() == [b"EVENT"]
    assert len(wired.wires.byTransport) == 1


@pytest.mark.parametrize("wired", [FEW + 1], indirect=True)
def test_aFaultCutsItsConnectionOnly(wired: Wired, loggedFailures: list[LogEvent]) -> None:
    """Who fails in his connection loses it; others that were read in this turn are answered."""
    wired.peers[0].send(b"!")
    wired.turn(b"event")
    assert [each["log_failure"].type for each in loggedFailures] == [ArithmeticError]
    loggedFailures.clear()
    guilty = wired.peers.pop(0)
    assert len(wired.wires.byTransport) == FEW
    assert wired.answers() == [b"EVENT"] * FEW
    with pytest.raises(ConnectionResetError):  # and nothing before, also not what he had written
        guilty.recv(100)
    guilty.close()


@pytest.mark.parametrize("wired", [2], indirect=True)
def test_whatWasReadIsWorkedOn(wired: Wired, loggedFailures: list[LogEvent]) -> None:
    """Nothing that was read is lost when another one fails even in taking note of his end."""

    def connectionLost(reason: Failure = connectionDone) -> None:
        raise ArithmeticError("a fault of the program")

    ending, other = wired.peers
    connections: Any = wired.wires.byTransport
    port = ending.getsockname()[1]
    (guilty,) = (each for each in connections if each.getPeer().port == port)
    guilty.protocol.connectionLost = connectionLost
    ending.close()
    other.send(b"event")
    assert wired.turnAlone() == ["read", "read", "work", "send"]
    assert [each["log_failure"].type for each in loggedFailures] == [ArithmeticError]
    loggedFailures.clear()
    wired.wires.byTransport[guilty].lose()
    wired.peers.remove(ending)
    assert wired.answers() == [b"EVENT"]


def test_anEndThatFailsLeavesNoWire(loggedFailures: list[LogEvent]) -> None:
    """The wire of a lost connection is forgotten, whoever fails in taking note of the end."""

    class Owner:
        def linkUp(self, connection: LinkProtocol) -> None:
            """Nothing to do."""

        def linkEvents(self, connection: LinkProtocol, events: list[LinkEvent]) -> None:
            """Nothing to do."""

        def linkDown(self, connection: LinkProtocol, cause: CloseCause, detail: str) -> None:
            raise ArithmeticError("a fault of the program")

    reactor = epollreactor.EPollReactor()
    wires = orderTurns(reactor)
    assert wires is not None
    links = LinkFactory(
        lambda now: Link(Role.CONTROLLED, LinkParameters(), now),
        Owner(),
        reactor,
        Loop(reactor, wires),
    )
    port = reactor.listenTCP(0, links, interface="127.0.0.1")
    peer = socket.create_connection(("127.0.0.1", port.getHost().port), 5)
    reactor.doIteration(1)
    assert len(wires.byTransport) == 1
    peer.close()
    reactor.doIteration(1)
    assert (len(wires.byTransport), len(loggedFailures)) == (0, 1)
    loggedFailures.clear()
    port.stopListening()
    reactor.removeAll()
    for call in reactor.getDelayedCalls():
        call.cancel()


def test_timeoutsAreJudgedWhenAllWasRead(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many acknowledgements came while the process was suspended, none comes too late."""

    class Owner:
        def linkUp(self, connection: LinkProtocol) -> None:
            connections.append(connection)

        def linkEvents(self, connection: LinkProtocol, events: list[LinkEvent]) -> None:
            """Nothing to do."""

        def linkDown(self, connection: LinkProtocol, cause: CloseCause, detail: str) -> None:
            downs.append(cause)

    def turns(count: int) -> None:
        for _ in range(count):
            reactor.runUntilCurrent()
            reactor.doIteration(0)

    connections: list[LinkProtocol] = []
    downs: list[CloseCause] = []
    clock = Clock()
    reactor = epollreactor.EPollReactor()
    monkeypatch.setattr(reactor, "seconds", clock.seconds)
    links = LinkFactory(
        lambda now: Link(Role.CONTROLLED, LinkParameters(), now),
        Owner(),
        reactor,
        Loop(reactor, orderTurns(reactor)),
    )
    port = reactor.listenTCP(0, links, interface="127.0.0.1")
    peers: list[socket.socket] = []
    for _ in range(3 * AT_ONCE):
        peers.append(socket.create_connection(("127.0.0.1", port.getHost().port), 5))
        peers[-1].send(STARTDT_ACT)
        turns(2)
    for connection in connections:
        connection.send([asdu(1)])
    for peer in peers:
        peer.send(encodeS(1))
    clock.advance(2 * LinkParameters().t1)
    turns(5)
    assert (len(connections), downs) == (3 * AT_ONCE, [])
    assert all(connection.link.outstanding == 0 for connection in connections)
    port.stopListening()
    for peer in peers:
        peer.close()
    turns(5)
    assert len(downs) == 3 * AT_ONCE
    reactor.removeAll()


def test_noSleepWhileSomethingIsPutOff() -> None:
    """What a timer has put off until all is sent comes now, and not when something is ready."""

    class Poller:
        def poll(self, timeout: float, most: int) -> list[tuple[int, int]]:
            waits.append(timeout)
            return [(99, 1)]  # of nobody: that is passed over

    waits: list[float] = []
    done: list[bool] = []
    reactor = epollreactor.EPollReactor()
    poller, reactor._poller = reactor._poller, Poller()
    wires = orderTurns(reactor)
    reactor._poller = poller
    assert wires is not None
    reactor.doIteration(7)
    wires.afterwards(lambda: done.append(True))
    reactor.doIteration(7)
    reactor.doIteration(None)
    assert (waits, done) == ([7, 0, -1], [True])
    reactor.removeAll()


def test_otherReactors() -> None:
    """A reactor of another kind is left alone."""
    reactor = SelectReactor()
    assert orderTurns(reactor) is None and "doIteration" not in vars(reactor)
