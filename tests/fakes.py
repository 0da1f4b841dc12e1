"""What stands for the reactor in the tests: time, transports, and TCP between made-up hosts."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any, cast

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import (
    CannotListenError,
    ConnectionAborted,
    ConnectionDone,
    ConnectionLost,
    ConnectionRefusedError,
    TimeoutError,
)
from twisted.internet.interfaces import (
    IAddress,
    IConnector,
    IConsumer,
    IListeningPort,
    IPushProducer,
    IReactorTCP,
    IReactorTime,
    ITCPTransport,
)
from twisted.internet.protocol import ClientFactory, Factory, Protocol
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from zope.interface import implementer

from tests.stations import frames


class VirtualClock(Clock):
    """A `Clock` that goes from one pending call to the next, as a real reactor does.

    `Clock.advance` jumps: calls that are due on the way find the time after the jump, as if the
    process had been suspended. Use it to show what a late wake-up does, and `run` for the rest.
    """

    def run(self, seconds: float) -> None:
        """Let time pass, making each call at its own moment."""
        end = self.rightNow + seconds
        while due := [call.getTime() for call in self.calls if call.getTime() <= end]:
            self.rightNow = max(self.rightNow, min(due))
            self.advance(0)
        self.rightNow = end


def tcpAddress(host: str, port: int) -> IPv4Address | IPv6Address:
    """An address of the right family."""
    return (IPv6Address if ":" in host else IPv4Address)("TCP", host, port)


@implementer(ITCPTransport, IPushProducer, IConsumer)
class FakeTransport:
    """One end of a TCP connection in memory, with Twisted's manners.

    Alone (without `remote`), everything written is kept in `writes`, and counts as taken by the
    peer unless `stalled`. With a `remote`, octets arrive there after `latency` seconds.

    Like `twisted.internet.abstract.FileDescriptor` it tells its producer to pause at *every* write
    into a full buffer, resumes it only when all is taken, closes in order only when the buffer is
    empty, and reports the loss in a later turn, never from within a call.

    :ivar writes: what was written, one item a call.
    :ivar buffered: octets that the peer has not taken.
    :ivar stalled: the peer does not read; set it with `stall`.
    :ivar reading: whether the protocol reads (`pauseProducing` makes it False).
    :ivar disconnecting: `loseConnection` was called.
    :ivar aborted: `abortConnection` was called.
    :ivar connected: False once `connectionLost` was called.
    """

    bufferSize = 65536

    def __init__(
        self,
        clock: IReactorTime,
        peer: IPv4Address | IPv6Address | None = None,
        host: IPv4Address | IPv6Address | None = None,
        latency: float = 0.001,
    ) -> None:
        self._clock = clock
        self._peer = peer or tcpAddress("192.0.2.1", 49152)
        self._host = host or tcpAddress("192.0.2.254", 2404)
        self.latency = latency
        self.protocol: Protocol | None = None
        self.remote: FakeTransport | None = None
        self.producer: Any = None
        self._producerPaused = False
        self._streaming = False
        self.writes: list[bytes] = []
        self._buffer: deque[bytes] = deque()
        self._inbox: deque[bytes] = deque()
        self._farEnd: Failure | None = None
        self._finished = False
        self.stalled = False
        self.reading = True
        self.disconnecting = False
        self.aborted = False
        self.connected = False
        self.noDelay = False
        self.keepAlive = False

    # what a test does

    def connect(self, protocol: Protocol) -> None:
        """The connection is made."""
        self.protocol = protocol
        self.connected = True
        protocol.makeConnection(self)

    def receive(self, octets: bytes) -> None:
        """Octets come from the network."""
        self._inbox.append(octets)
        self._read()

    def stall(self, stalled: bool = True) -> None:
        """The peer stops reading, or reads all that waits."""
        self.stalled = stalled
        if not stalled:
            self._drain()

    def lose(self, reason: BaseException | None = None) -> None:
        """The connection ends now, as if the peer had closed it (or for another reason)."""
        if self.connected:
            self.connected = False
            self._buffer.clear()
            if self.producer is not None:
                self.producer.stopProducing()
            assert self.protocol is not None
            self.protocol.connectionLost(Failure(reason or ConnectionDone()))

    @property
    def buffered(self) -> int:
        return sum(map(len, self._buffer))

    def value(self) -> bytes:
        """All that was written."""
        return b"".join(self.writes)

    def clear(self) -> None:
        """Forget what was written."""
        self.writes.clear()

    def frames(self) -> list[str]:
        """What was written since the last call, as frames."""
        octets = self.value()
        self.clear()
        return frames(octets)

    # ITransport, ITCPTransport

    def write(self, data: bytes) -> None:
        assert isinstance(data, bytes)
        if not self.connected or self.aborted or self._finished or not data:
            return
        self.writes.append(data)
        self._buffer.append(data)
        if self.producer is not None and self._streaming and self.buffered > self.bufferSize:
            self._producerPaused = True
            self.producer.pauseProducing()
        if not self.stalled:
            self._drain()

    def writeSequence(self, data: Iterable[bytes]) -> None:
        self.write(b"".join(data))

    def loseConnection(self) -> None:
        if self.connected and not self.disconnecting:
            self.disconnecting = True
            self.reading = False
            self._clock.callLater(0, self._finish)

    def abortConnection(self) -> None:
        if self.connected and not self.aborted:
            self.aborted = self.disconnecting = True
            self.reading = False
            self._buffer.clear()
            self._end(ConnectionAborted(), ConnectionLost())

    def loseWriteConnection(self) -> None:
        raise AssertionError("nobody here closes one half of a connection")

    def getPeer(self) -> IPv4Address | IPv6Address:
        return self._peer

    def getHost(self) -> IPv4Address | IPv6Address:
        return self._host

    def setTcpNoDelay(self, enabled: bool) -> None:
        self.noDelay = enabled

    def getTcpNoDelay(self) -> bool:
        return self.noDelay

    def setTcpKeepAlive(self, enabled: bool) -> None:
        self.keepAlive = enabled

    def getTcpKeepAlive(self) -> bool:
        return self.keepAlive

    # IPushProducer

    def pauseProducing(self) -> None:
        self.reading = False

    def resumeProducing(self) -> None:
        if self.connected and not self.disconnecting:
            self.reading = True
            self._read()

    def stopProducing(self) -> None:
        self.loseConnection()

    # IConsumer

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        assert self.producer is None
        self.producer = producer
        self._streaming = streaming

    def unregisterProducer(self) -> None:
        self.producer = None
        if self.disconnecting:
            self._finish()

    # inside

    def _drain(self) -> None:
        octets = b"".join(self._buffer)
        self._buffer.clear()
        if octets and self.remote is not None:
            self._clock.callLater(self.latency, self.remote._arrive, octets)
        if self.producer is not None and self._producerPaused:
            self._producerPaused = False
            self.producer.resumeProducing()
        elif self.disconnecting:
            self._finish()

    def _finish(self) -> None:
        if not self._buffer and not self.aborted and not self._finished:
            self._finished = True
            self._end(ConnectionDone(), ConnectionDone())

    def _end(self, here: Exception, there: Exception) -> None:
        self._clock.callLater(0, self.lose, here)
        if self.remote is not None:
            self._clock.callLater(self.latency, self.remote._arrive, Failure(there))

    def _arrive(self, what: bytes | Failure) -> None:
        if isinstance(what, Failure):
            self._farEnd = what
        else:
            self._inbox.append(what)
        self._read()

    def _read(self) -> None:
        while self.reading and self.connected and self._inbox:
            assert self.protocol is not None
            self.protocol.dataReceived(self._inbox.popleft())
        if self._farEnd is not None and self.connected and not self._inbox:
            self.lose(self._farEnd.value)


@implementer(IListeningPort)
class FakePort:
    """A listening port of a `FakeReactor`."""

    def __init__(self, reactor: FakeReactor, host: str, port: int, factory: Factory) -> None:
        self._reactor = reactor
        self._host = host
        self.port = port
        self.factory = factory

    def startListening(self) -> None:
        key = (self._host, self.port)
        if key in self._reactor.ports:
            raise CannotListenError(self._host, self.port, OSError("address already in use"))
        self._reactor.ports[key] = self
        self.factory.doStart()

    def stopListening(self) -> Deferred[None]:
        if self._reactor.ports.pop((self._host, self.port), None) is self:
            self.factory.doStop()
        return succeed(None)

    def getHost(self) -> IAddress:
        return tcpAddress(self._host or "0.0.0.0", self.port)


@implementer(IConnector)
class FakeConnector:
    """One attempt to connect; shows the factory what a real connector does."""

    def __init__(
        self, reactor: FakeReactor, destination: tuple[str, int], factory: ClientFactory
    ) -> None:
        self._reactor = reactor
        self._destination = destination
        self.factory = factory
        self.transport: FakeTransport | None = None
        self._pending: Any = None

    def connect(self) -> None:
        raise AssertionError("nobody here connects a connector again")

    def stopConnecting(self) -> None:
        if self._pending is not None and self._pending.active():
            self._pending.cancel()
            self.fail(ConnectionAborted())

    def disconnect(self) -> None:
        if self.transport is not None:
            self.transport.loseConnection()
        else:
            self.stopConnecting()

    def getDestination(self) -> IAddress:
        return tcpAddress(*self._destination)

    def fail(self, reason: Exception) -> None:
        self._pending = None
        self.factory.clientConnectionFailed(self, Failure(reason))
        self.factory.doStop()


@implementer(IReactorTCP)
class FakeReactor(VirtualClock):
    """Time and TCP between hosts that exist only here: pass it where a reactor is expected.

    :ivar ports: what listens, by (host, port); host "" = any that is asked for.
    :ivar silent: hosts that do not answer at all; connecting to them times out.
    :ivar address: the host from which `connectTCP` connects.
    :ivar connections: both ends of every connection ever made: (connecting, accepting).
    :ivar latency: seconds octets and handshakes take, one way.
    """

    def __init__(self, latency: float = 0.001) -> None:
        super().__init__()
        self.latency = latency
        self.address = "192.0.2.254"
        self.ports: dict[tuple[str, int], FakePort] = {}
        self.silent: set[str] = set()
        self.connections: list[tuple[FakeTransport, FakeTransport]] = []
        self._nextPort = 49152

    def listening(self, port: int, host: str = "") -> bool:
        """Whether something listens there."""
        return (host, port) in self.ports or ("", port) in self.ports

    def listenTCP(
        self, port: int, factory: Factory, backlog: int = 50, interface: str = ""
    ) -> FakePort:
        listener = FakePort(self, interface, port, factory)
        listener.startListening()
        return listener

    def connectTCP(
        self,
        host: str,
        port: int,
        factory: Any,
        timeout: float = 30,
        bindAddress: tuple[str, int] | None = None,
    ) -> FakeConnector:
        connector = FakeConnector(self, (host, port), factory)
        factory.doStart()
        factory.startedConnecting(connector)
        source = bindAddress[0] if bindAddress and bindAddress[0] else self.address
        if host in self.silent:
            connector._pending = self.callLater(timeout, connector.fail, TimeoutError())
        else:
            connector._pending = self.callLater(self.latency, self._connect, connector, source)
        return connector

    def _connect(self, connector: FakeConnector, source: str) -> None:
        host, port = connector._destination
        listener = self.ports.get((host, port)) or self.ports.get(("", port))
        if listener is None:
            connector.fail(ConnectionRefusedError())
            return
        connector._pending = None
        self._nextPort += 1
        near, far = tcpAddress(source, self._nextPort), tcpAddress(host, port)
        accepting = FakeTransport(self, peer=near, host=far, latency=self.latency)
        connecting = FakeTransport(self, peer=far, host=near, latency=self.latency)
        accepting.remote, connecting.remote = connecting, accepting
        connector.transport = connecting
        self.connections.append((connecting, accepting))
        client = connector.factory.buildProtocol(far)
        if client is None:
            connector.fail(ConnectionAborted())
            return
        server = listener.factory.buildProtocol(near)
        connecting.connect(cast(Protocol, client))
        if server is None:  # a factory that refuses: Twisted closes what was accepted
            accepting._end(ConnectionDone(), ConnectionDone())
        else:
            accepting.connect(cast(Protocol, server))
