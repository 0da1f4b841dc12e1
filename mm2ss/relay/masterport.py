"""Where a group's masters connect: its port, who may connect, and what they send."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Protocol

from twisted.internet.defer import Deferred, gatherResults, maybeDeferred
from twisted.internet.interfaces import IAddress, IListeningPort

from mm2ss.config.model import Address, GroupConfig
from mm2ss.iec104.alarm import Alarm
from mm2ss.iec104.apci import CloseCause, closeText
from mm2ss.iec104.link import (
    Acknowledged,
    Drained,
    Ignored,
    Link,
    LinkEvent,
    Received,
    Role,
    RoundTrip,
    Started,
    Stopped,
    StopRequested,
)
from mm2ss.iec104.loop import Loop
from mm2ss.iec104.protocol import LinkFactory, LinkProtocol, addressText
from mm2ss.relay.admission import Policy, Refuse, Replace, addressOf
from mm2ss.relay.exchange import Exchange
from mm2ss.relay.master import Master, Note
from mm2ss.relay.rights import rightsOf
from mm2ss.relay.snapshot import LinksSnapshot, TrafficSnapshot
from mm2ss.relay.trace import Leg, Trace
from mm2ss.relay.traffic import MasterTraffic

#: Frames without meaning that are noted per connection; the others are only counted.
IGNORED_NOTES = 10


class Host(Protocol):
    """What the port needs of its group."""

    @property
    def rtuAddress(self) -> Address | None:
        """Where the RTU is connected."""

    def mastersChanged(self) -> None:
        """A master started, stopped, came or went."""


class _Session:
    """One connection of a master."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self.master: Master | None = None
        self.ignored = 0


class _User:
    """The traffic of a master that has started data transfer."""

    __slots__ = ("_alarm", "_exchange", "_master")

    def __init__(self, master: Master, exchange: Exchange, alarm: Alarm) -> None:
        self._master = master
        self._exchange = exchange
        self._alarm = alarm

    def received(self, asdus: Sequence[bytes], now: float) -> None:
        """Requests."""
        self._exchange.masterReceived(self._master, asdus, now)
        self._alarm.set(self._exchange.deadline)

    def acknowledged(self, count: int, now: float) -> None:
        """Its acknowledgement, by which nothing becomes due earlier."""
        self._exchange.masterAcknowledged(self._master, count, now)


class MasterPort:
    """The masters of one group.

    :param config: the group's row and options.
    :param exchange: where their traffic goes.
    :param group: told when they change.
    :param reactor: listens and keeps time.
    :param note: the group's event log.
    :param alarm: wakes the exchange.
    :param loop: what the connections share with those of other groups.
    :param addresses: where to listen.
    :param trace: told of each connection.
    :ivar refused: connections that were refused, by the name of the `RefuseReason`.
    :ivar closes: connections that ended, by the name of the `CloseCause`.
    """

    def __init__(
        self,
        config: GroupConfig,
        exchange: Exchange,
        group: Host,
        reactor: Any,
        note: Note,
        alarm: Alarm,
        loop: Loop,
        addresses: list[str],
        trace: Trace,
    ) -> None:
        self._config = config
        self._exchange = exchange
        self._group = group
        self._reactor = reactor
        self._note = note
        self._alarm = alarm
        self._addresses = addresses
        self._policy = Policy(config.filter, config.sameAddress, config.maxMasters)
        self._factory = _MasterFactory(self, loop)
        self._ports: list[IListeningPort] = []
        self._sessions: dict[LinkProtocol, _Session] = {}
        self._leaving: list[LinkProtocol] = []
        self._trace = trace
        self.refused: dict[str, int] = {}
        self.closes: Counter[str] = Counter()
        self._traffic = MasterTraffic()

    # -- the port ---------------------------------------------------------------------------

    def open(self) -> None:
        """Listen.

        :raises twisted.internet.error.CannotListenError: when the port cannot be used.
        """
        for address in self._addresses:
            self._ports.append(
                self._reactor.listenTCP(self._config.port, self._factory, interface=address)
            )

    def close(self, cause: CloseCause) -> Deferred[Any]:
        """Stop listening and disconnect all masters; fires when all of it is done."""
        pending: list[Deferred[Any]] = [maybeDeferred(port.stopListening) for port in self._ports]
        self._ports.clear()
        for connection in tuple(self._sessions):
            connection.close(cause)
        pending += [connection.whenLost() for connection in self._leaving]
        return gatherResults(pending, consumeErrors=True)

    def disconnect(self, peer: str) -> int:
        """Disconnect the masters at ``address:port`` or at an address; returns how many."""
        chosen = [
            connection
            for connection, session in self._sessions.items()
            if peer in (connection.peer, str(session.address))
        ]
        for connection in chosen:
            connection.close(CloseCause.OPERATOR)
        return len(chosen)

    def links(self, rtu: TrafficSnapshot) -> LinksSnapshot:
        """The connections of the group, with what went over those of the RTU."""
        return LinksSnapshot(
            listening=bool(self._ports),
            connected=len(self._sessions),
            rtu=rtu,
            masters=self._traffic.snapshot(),
            peers=self._traffic.peers(),
        )

    @property
    def population(self) -> int:
        """Masters that are connected, started or not."""
        return len(self._sessions)

    # -- who may connect --------------------------------------------------------------------

    def admit(self, peer: IAddress | None) -> bool:
        """Judge a new connection; what it replaces is closed, a refusal is noted and counted."""
        address = addressOf(peer)
        connected = [(session.address, each) for each, session in self._sessions.items()]
        decision = self._policy.decide(address, self._group.rtuAddress, connected)
        if isinstance(decision, Refuse):
            reason = decision.reason.name
            self.refused[reason] = self.refused.get(reason, 0) + 1
            self._note(f"refused: {decision} cause={reason}", addressText(peer), warn=True)
            return False
        if isinstance(decision, Replace):
            for connection in decision.old:
                connection.close(CloseCause.REPLACED)
        return True

    def makeLink(self, now: float) -> Link:
        """The protocol machine for a master: the relay is the controlled station."""
        return Link(Role.CONTROLLED, self._config.masters, now, self._config.idleTime)

    # -- what the connections report --------------------------------------------------------

    def linkUp(self, connection: LinkProtocol) -> None:
        """A master is connected."""
        address = addressOf(connection.transport.getPeer())  # type: ignore[union-attr]  # it is connected
        self._sessions[connection] = _Session(address)
        self._traffic.began(address, connection.conduit)
        self._trace.opened(Leg.MASTER, connection.conduit)
        self._note(f"connected, {self._population}", connection.peer)
        self._group.mastersChanged()

    def linkDown(self, connection: LinkProtocol, cause: CloseCause, detail: str) -> None:
        """A master is gone."""
        session = self._sessions.pop(connection)
        self._traffic.ended(session.address, connection.conduit)
        self._leaving.append(connection)
        connection.whenLost().addCallback(lambda _: self._leaving.remove(connection))
        try:
            if session.master is not None:
                self._exchange.masterGone(session.master, self._reactor.seconds())
        finally:
            self.closes[cause.name] += 1
            self._trace.closed(connection.conduit, cause, detail)
            text = f"{closeText(cause, detail)}, {self._population}"
            self._note(f"disconnected: {text} cause={cause.name}", connection.peer)
            self._group.mastersChanged()

    def linkEvents(self, connection: LinkProtocol, events: list[LinkEvent]) -> None:
        """A master sent something."""
        if all(isinstance(event, RoundTrip) for event in events):
            return  # that is all that comes from an idle one
        session = self._sessions[connection]
        now = self._reactor.seconds()
        changed = False
        for event in events:
            if connection not in self._sessions:
                break
            master = session.master
            if isinstance(event, Acknowledged) and master is not None:
                self._exchange.masterAcknowledged(master, event.count, now)
            elif isinstance(event, Drained):
                if master is not None:
                    master.pump(now)
            elif isinstance(event, Received) and master is not None:
                self._exchange.masterReceived(master, event.asdus, now)
            elif not isinstance(event, RoundTrip):
                changed = True
                self._turn(connection, session, event, now)
        if changed:
            self._group.mastersChanged()
        self._alarm.set(self._exchange.deadline)

    def _turn(
        self, connection: LinkProtocol, session: _Session, event: LinkEvent, now: float
    ) -> None:
        """A master started or stopped data transfer, or sent what has no meaning."""
        if isinstance(event, Started):
            text = "STARTDT: data transfer started, end of initialization sent"
            self._note(text, connection.peer)
            if session.master is None:
                self._traffic.started(session.address)
                rights = rightsOf(self._config, session.address)
                conduit = connection.conduit
                master = self._exchange.masterStarted(conduit, session.address, rights, now)
                session.master = master
                conduit.user = _User(master, self._exchange, self._alarm)
            else:
                self._exchange.masterResumed(session.master, now)
        elif isinstance(event, StopRequested) and session.master is not None:
            self._note("STOPDT: data transfer is to stop", connection.peer)
            self._exchange.masterStopping(session.master, now)
        elif isinstance(event, Stopped):
            self._note("data transfer stopped", connection.peer)
        elif isinstance(event, Ignored):
            session.ignored += 1
            if session.ignored <= IGNORED_NOTES:
                self._note(f"ignored: {event.what}", connection.peer)

    @property
    def _population(self) -> str:
        return f"{len(self._sessions)} of {self._config.maxMasters} masters"


class _MasterFactory(LinkFactory):
    """Makes the connections of those who may connect."""

    def __init__(self, port: MasterPort, loop: Loop) -> None:
        super().__init__(port.makeLink, port, port._reactor, loop)
        self._port = port

    def buildProtocol(self, addr: IAddress | None) -> LinkProtocol | None:
        """A connection, or None when the address is refused."""
        return super().buildProtocol(addr) if self._port.admit(addr) else None
