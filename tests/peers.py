"""Peers for the tests: they speak the protocol properly unless told otherwise."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import cast

from twisted.internet.interfaces import IAddress, IConnector
from twisted.internet.protocol import ClientFactory, Factory
from twisted.python.failure import Failure

from mm2ss.config.parameters import LinkParameters
from mm2ss.iec104.apci import CloseCause
from mm2ss.iec104.link import Closed, Link, LinkEvent, Received, Role, State
from mm2ss.iec104.protocol import LinkProtocol
from tests.fakes import FakePort, FakeReactor, FakeTransport
from tests.stations import DEFAULTS, frames


class RecordingOwner:
    """A `LinkOwner` that keeps what it is told and checks the order of it.

    :ivar connection: the newest connection, or None when it is down.
    :ivar events: all events of all connections.
    :ivar downs: (cause, detail) of each connection's end.
    :ivar onEvents: called with (connection, events) after they were kept, if set.
    :ivar onUp: called with a new connection, if set.
    """

    def __init__(self) -> None:
        self.connection: LinkProtocol | None = None
        self.ups: list[LinkProtocol] = []
        self.events: list[LinkEvent] = []
        self.downs: list[tuple[CloseCause, str]] = []
        self.onUp: Callable[[LinkProtocol], None] | None = None
        self.onEvents: Callable[[LinkProtocol, list[LinkEvent]], None] | None = None
        self._gone: list[LinkProtocol] = []

    def linkUp(self, connection: LinkProtocol) -> None:
        assert connection not in self.ups, "up twice"
        self.ups.append(connection)
        self.connection = connection
        if self.onUp:
            self.onUp(connection)

    def linkEvents(self, connection: LinkProtocol, events: list[LinkEvent]) -> None:
        assert connection in self.ups and connection not in self._gone, "events after linkDown"
        assert events, "no event"
        assert not any(isinstance(event, Closed) for event in events), "Closed is for linkDown"
        self.events += events
        if self.onEvents:
            self.onEvents(connection, events)

    def linkDown(self, connection: LinkProtocol, cause: CloseCause, detail: str) -> None:
        assert connection in self.ups and connection not in self._gone, "down twice"
        self._gone.append(connection)
        self.downs.append((cause, detail))
        if connection is self.connection:
            self.connection = None

    @property
    def received(self) -> list[bytes]:
        """All ASDUs that arrived, in order."""
        return [a for event in self.events if isinstance(event, Received) for a in event.asdus]

    @property
    def causes(self) -> list[CloseCause]:
        """Why the connections ended, one after the other."""
        return [cause for cause, _ in self.downs]

    def count(self, kind: type[LinkEvent]) -> int:
        """How many events of a kind came."""
        return sum(isinstance(event, kind) for event in self.events)


class _Peer(RecordingOwner):
    """What a fake master and a fake RTU have in common: one connection, a queue to send from.

    :ivar reply: asked for the ASDUs that answer each received one, if set.
    """

    role: Role

    def __init__(self, reactor: FakeReactor, parameters: LinkParameters) -> None:
        super().__init__()
        self.reactor = reactor
        self.parameters = parameters
        self.reply: Callable[[bytes], Sequence[bytes]] | None = None
        self._queue: deque[bytes] = deque()

    @property
    def link(self) -> Link:
        """Its `Link`; there must be a connection."""
        assert self.connection is not None
        return self.connection.link

    @property
    def transport(self) -> FakeTransport:
        """Its end of the connection, which must be there."""
        assert self.connection is not None
        return cast(FakeTransport, self.connection.transport)

    @property
    def connected(self) -> bool:
        """Whether there is a connection."""
        return self.connection is not None

    @property
    def started(self) -> bool:
        """Whether data transfer is started."""
        return self.connection is not None and self.link.state is State.STARTED

    @property
    def heard(self) -> list[str]:
        """All frames that the other side has written on the newest connection."""
        return frames(self._remote.value())

    @property
    def _remote(self) -> FakeTransport:
        remote = cast(FakeTransport, self.ups[-1].transport).remote
        assert remote is not None
        return remote

    def send(self, *asdus: bytes) -> None:
        """Queue ASDUs; they go as the window allows, those that wait also later."""
        self._queue.extend(asdus)
        self._pump()

    def raw(self, octets: bytes) -> None:
        """Send any octets past the `Link`, which does not learn of them."""
        self.transport.write(octets)

    def mute(self, muted: bool = True) -> None:
        """Withhold acknowledgements of what is received, or give them again."""
        assert self.connection is not None
        self.connection.conduit.hold(muted, self.reactor.seconds())

    def leave(self) -> None:
        """Close in order (TCP FIN)."""
        assert self.connection is not None
        self.connection.close(CloseCause.SHUTDOWN)

    def die(self) -> None:
        """Reset the connection."""
        self.transport.abortConnection()

    def freeze(self, frozen: bool = True) -> None:
        """Stop reading from the socket (its timers go on), or read all that waits."""
        assert self.connection is not None
        self.connection.conduit.pause(frozen)
        self._remote.stall(frozen)

    def linkUp(self, connection: LinkProtocol) -> None:
        self._queue.clear()
        super().linkUp(connection)

    def linkEvents(self, connection: LinkProtocol, events: list[LinkEvent]) -> None:
        super().linkEvents(connection, events)
        if self.reply:
            for event in events:
                if isinstance(event, Received):
                    for item in event.asdus:
                        self._queue.extend(self.reply(item))
        if connection is self.connection:
            self._pump()

    def _pump(self) -> None:
        connection = self.connection
        if connection is not None and self._queue and connection.conduit.window:
            count = min(connection.conduit.window, len(self._queue))
            connection.send([self._queue.popleft() for _ in range(count)])

    def _makeLink(self, now: float) -> Link:
        return Link(self.role, self.parameters, now)


class FakeMaster(_Peer):
    """A controlling station that connects to `port` of `host` from an address of its own."""

    role = Role.CONTROLLING

    def __init__(
        self,
        reactor: FakeReactor,
        port: int,
        address: str = "192.0.2.1",
        host: str = "192.0.2.254",
        parameters: LinkParameters = DEFAULTS,
    ) -> None:
        super().__init__(reactor, parameters)
        self.address = address
        self._destination = (host, port)
        self.failures: list[Exception] = []

    def connect(self) -> None:
        """Try to connect; `failures` has the reason if that fails."""
        self.reactor.connectTCP(
            *self._destination, _MasterFactory(self), bindAddress=(self.address, 0)
        )

    def start(self) -> None:
        """Send STARTDT act."""
        assert self.connection is not None
        self.connection.start()

    def stop(self) -> None:
        """Send STOPDT act."""
        assert self.connection is not None
        self.connection.stop()


class _MasterFactory(ClientFactory):
    noisy = False

    def __init__(self, master: FakeMaster) -> None:
        self._master = master

    def buildProtocol(self, addr: IAddress | None) -> LinkProtocol:
        master = self._master
        return LinkProtocol(master._makeLink, master, master.reactor)

    def clientConnectionFailed(self, connector: IConnector, reason: Failure) -> None:
        self._master.failures.append(cast(Exception, reason.value))


class FakeRtu(_Peer):
    """A controlled station that listens; one connection at a time is its newest.

    Until `reply` is set it only takes what it is sent.
    """

    role = Role.CONTROLLED

    def __init__(
        self,
        reactor: FakeReactor,
        host: str = "198.51.100.1",
        port: int = 2404,
        parameters: LinkParameters = DEFAULTS,
    ) -> None:
        super().__init__(reactor, parameters)
        self.host = host
        self.port = port
        self._listener: FakePort | None = None

    def listen(self) -> None:
        """Accept connections from now on."""
        self._listener = self.reactor.listenTCP(self.port, _RtuFactory(self), interface=self.host)

    def stopListening(self) -> None:
        """Refuse new connections; the one that is there stays."""
        if self._listener is not None:
            self._listener.stopListening()
            self._listener = None


class _RtuFactory(Factory):
    noisy = False

    def __init__(self, rtu: FakeRtu) -> None:
        self._rtu = rtu

    def buildProtocol(self, addr: IAddress | None) -> LinkProtocol:
        rtu = self._rtu
        return LinkProtocol(rtu._makeLink, rtu, rtu.reactor)
