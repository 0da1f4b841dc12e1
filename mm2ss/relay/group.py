"""One group as a Twisted service: the RTU's connection, the masters' port, and their life cycle."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from twisted.application.service import MultiService
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.error import CannotListenError
from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure

from mm2ss.config.model import AckMode, Address, GroupConfig, Host
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
    State,
    Stopped,
)
from mm2ss.iec104.loop import Loop
from mm2ss.iec104.protocol import LinkFactory, LinkProtocol
from mm2ss.relay.admission import addressOf
from mm2ss.relay.audit import Audit
from mm2ss.relay.endpoints import (
    PROVEN,
    Connector,
    RetryDelay,
    RotatingEndpoint,
    failureOf,
    listenAddresses,
    portProblem,
)
from mm2ss.relay.exchange import Exchange
from mm2ss.relay.journalapi import SafeCopy
from mm2ss.relay.lifecycle import lifeCycle
from mm2ss.relay.masterport import IGNORED_NOTES, MasterPort
from mm2ss.relay.pacing import Pacer
from mm2ss.relay.snapshot import GroupSnapshot, Standing
from mm2ss.relay.timers import Timers
from mm2ss.relay.trace import Leg, Trace
from mm2ss.relay.traffic import Traffic

#: Seconds between attempts to use a port that was taken.
PORT_RETRY = 5.0
#: Seconds that an acknowledgement to the RTU may wait for more, or for a request to carry it.
RELEASE_DELAY = 0.1
#: Seconds after which a group tries again what was due and failed.
FAULT_PAUSE = 1.0
#: Seconds that taking a group down may take in all.
FINISH_TIME = 10.0


class GroupService(MultiService):
    """Relays between one RTU and its masters.

    The RTU comes first: the masters' port listens only while the RTU's connection is up. The
    RTU sends only while at least one master has data transfer started.

    :param config: the group's row and options.
    :param reactor: connects, listens and keeps (monotonic) time.
    :param audit: told how each command ended.
    :param wallTime: gives seconds since 1970.
    :param journal: the safe copy of the group's events; its service must start before.
    :param trace: what its connections said last; by default one of its own.
    :param pacer: says when the RTU may be called; by default at once.
    :param loop: what it shares with other groups; by default nothing.
    :param portProblem: tells why a port on some addresses cannot be used, or nothing.
    """

    _log = Logger()

    def __init__(
        self,
        config: GroupConfig,
        reactor: Any,
        portProblem: Callable[[list[str], int], str] = portProblem,
        audit: Audit = lambda _entry: None,
        wallTime: Callable[[], float] = lambda: 0.0,
        journal: SafeCopy | None = None,
        trace: Trace | None = None,
        pacer: Pacer | None = None,
        loop: Loop | None = None,
    ) -> None:
        MultiService.__init__(self)
        self.name = f"group {config.id}"
        self.config = config
        self.trace = trace or Trace(config.id, config.name, reactor.seconds, wallTime)
        self._closes: Counter[str] = Counter()
        self._failures: Counter[str] = Counter()
        self._reactor = reactor
        self._portProblem = portProblem
        self._addresses = listenAddresses(config.options.listen)
        loop = loop or Loop(reactor)
        self._exchange = Exchange(
            config, self.note, audit, loop.afterwards, wallTime, journal, self._secured
        )
        self._alarm = Alarm(loop.wheel, self._wake)
        ways = self.note, self._alarm, loop, self._addresses, self.trace
        self._masters = MasterPort(config, self._exchange, self, reactor, *ways)
        self._life = lifeCycle(self)
        self._retry = RetryDelay(len(config.hosts))
        endpoint = RotatingEndpoint(reactor, config.hosts, config.rtu.t0, self._failed)
        factory = LinkFactory(self._makeLink, self, reactor, loop)
        pacer = pacer or Pacer(reactor)
        self._connector = Connector(endpoint, factory, self._retry, reactor, pacer)
        self._rtu: LinkProtocol | None = None
        self._traffic = Traffic()
        self._ignored = 0
        self._timers = Timers(reactor)
        self._done: Deferred[None] | None = None
        self._ended = False

    # -- service ----------------------------------------------------------------------------

    def portProblem(self) -> str:
        """Why the group's port cannot be used; empty when it can."""
        return self._portProblem(self._addresses, self.config.port)

    def standing(self) -> Standing:
        """How it stands at this moment."""
        return Standing(self._rtu is not None, self._masters.population)

    def snapshot(self) -> GroupSnapshot:
        """The group's figures of this moment."""
        transfer = "not connected" if self._rtu is None else self._rtu.link.state.value
        links = self._masters.links(self._traffic.snapshot())
        now = self._reactor.seconds()
        return replace(
            self._exchange.snapshot(transfer, self._masters.refused, links, now),
            rtuCloses=dict(self._closes),
            masterCloses=dict(self._masters.closes),
            rtuFailures=dict(self._failures),
        )

    def disconnect(self, peer: str) -> int:
        """Disconnect the masters at ``address:port`` or at an address; returns how many."""
        return self._masters.disconnect(peer)

    def startService(self) -> None:
        """Begin to connect to the RTU, once the port is known to be free."""
        MultiService.startService(self)
        self._exchange.begin()
        self._alarm.set(self._exchange.deadline)  # what is too old is given up without an RTU, too
        self._begin(noted=False)

    def stopService(self) -> Deferred[Any]:
        """Stop the RTU, then disconnect everybody; fires when nothing is left."""
        self._timers.cancelAll()
        self._connector.stop()
        self._done = Deferred()
        self._timers.set("finish", min(self.config.rtu.t1, FINISH_TIME), self.finished)
        done = self._done
        self._life.finish()
        return done.addCallback(lambda _: self._takeDown())

    def _begin(self, noted: bool) -> None:
        """Connect to the RTU; while the port is taken, wait for it and leave the RTU alone."""
        problem = self.portProblem()
        if problem:
            if not noted:
                self.note(f"{problem}; tried again every {PORT_RETRY:g} s", warn=True)
            self._timers.set("begin", PORT_RETRY, partial(self._begin, noted=True))
            return
        self._connector.start()

    def _takeDown(self) -> Deferred[Any]:
        pending = [MultiService.stopService(self), self._masters.close(CloseCause.SHUTDOWN)]
        if self._rtu is not None:
            pending.append(self._rtu.whenLost())
            self._rtu.close(CloseCause.SHUTDOWN)
        self._timers.cancelAll()  # also what the masters' leaving has scheduled
        self._alarm.cancel()
        unsettled = self._exchange.unsettled
        if unsettled:
            self.note(f"{unsettled} events were not acknowledged by any master", warn=True)
        self.note("stopped")
        return gatherResults(pending, consumeErrors=True).addBoth(lambda _: self._end())

    def _end(self) -> None:
        """Nothing of the group is left; what the journal may still have to say comes too late."""
        self._ended = True
        self._alarm.cancel()

    def note(self, text: str, peer: str = "-", warn: bool = False) -> None:
        """One line for the group's event log."""
        self._log.emit(
            LogLevel.warn if warn else LogLevel.info,
            "{text}",
            text=text,
            group=self.config.id,
            peer=peer,
            log_system=f"{self.config.id} {self.config.name} {peer}",
        )

    # -- the RTU's connection ---------------------------------------------------------------

    @property
    def rtuAddress(self) -> Address | None:
        """Where the RTU is connected."""
        if self._rtu is None or self._rtu.transport is None:
            return None
        try:
            return addressOf(self._rtu.transport.getPeer())
        except ValueError:
            return None

    def _makeLink(self, now: float) -> Link:
        idle = self.config.idleTime
        if self.config.options.ackMode is AckMode.IMMEDIATE:
            return Link(Role.CONTROLLING, self.config.rtu, now, idle)
        link = Link(Role.CONTROLLING, self.config.rtu, now, idle, RELEASE_DELAY)
        link.automatic = False
        return link

    def _failed(self, host: Host, failure: Failure) -> None:
        cause = failureOf(failure).name
        self._failures[cause] += 1
        text = f"RTU not reached: {failure.getErrorMessage()} cause={cause}"
        self.note(text, str(host), warn=True)

    def linkUp(self, connection: LinkProtocol) -> None:
        """The RTU is connected."""
        self._rtu = connection
        conduit = connection.conduit
        conduit.user = self
        self._traffic.began(conduit)
        self.trace.opened(Leg.RTU, conduit)
        self._ignored = 0
        self._timers.set("proven", PROVEN, self._retry.reset)
        self.note("RTU connected", connection.peer)
        self._exchange.rtuConnected(conduit)
        self._life.rtuUp()

    def linkDown(self, connection: LinkProtocol, cause: CloseCause, detail: str) -> None:
        """The RTU is gone, and with it all masters."""
        self._rtu = None
        self._timers.cancel("proven")
        try:
            self._traffic.ended(connection.conduit)
            self._closes[cause.name] += 1
            self.trace.closed(connection.conduit, cause, detail)
            text = f"RTU disconnected: {closeText(cause, detail)} cause={cause.name}"
            self.note(text, connection.peer, warn=cause is not CloseCause.SHUTDOWN)
            self._exchange.rtuLost(self._reactor.seconds())
        finally:
            self._life.rtuLost()

    def received(self, asdus: Sequence[bytes], now: float) -> None:
        """The RTU sent events and answers."""
        if self._rtu is not None:
            exchange = self._exchange
            isPlain = exchange.rtuReceived(self._rtu.conduit, asdus, now)
            deadline = exchange.eventsDeadline if isPlain else exchange.deadline
            if deadline < self._alarm.at:
                self._alarm.set(deadline)

    def acknowledged(self, _count: int, now: float) -> None:
        """The RTU has room for more requests."""
        if self._exchange.rtuAcknowledged(now):
            self._alarm.set(self._exchange.deadline)

    def linkEvents(self, connection: LinkProtocol, events: list[LinkEvent]) -> None:
        """The RTU sent something."""
        exchange = self._exchange
        now = self._reactor.seconds()
        for event in events:
            if self._rtu is not connection:
                return
            if isinstance(event, Received):
                exchange.rtuReceived(connection.conduit, event.asdus, now)
            elif isinstance(event, (Acknowledged, Drained)):
                exchange.rtuAcknowledged(now)
            elif isinstance(event, RoundTrip):
                exchange.roundTrip(event.seconds, now)
                exchange.rtuKnows(connection.link.proven, now)
            elif isinstance(event, Started):
                self.note("RTU confirmed STARTDT: data transfer started", connection.peer)
                self._timers.cancel("proven")
                self._retry.reset()
                self._life.started()
            elif isinstance(event, Stopped):
                self.note("RTU confirmed STOPDT: data transfer stopped", connection.peer)
                exchange.rtuKnows(connection.link.proven, now)
                self._life.stopped()
            elif isinstance(event, Ignored):
                self._ignored += 1
                if self._ignored <= IGNORED_NOTES:
                    self.note(f"ignored: {event.what}", connection.peer)
        self._alarm.set(exchange.deadline)

    # -- the masters ------------------------------------------------------------------------

    def mastersChanged(self) -> None:
        """A master started, stopped, came or went."""
        if self._exchange.active:
            self._timers.cancel("stop")
            self._life.wanted()
        elif self.config.options.stopDelay:
            if "stop" not in self._timers:
                self._timers.set("stop", self.config.options.stopDelay, self.review)
        else:
            self._life.unwanted()

    # -- what the life cycle asks for -------------------------------------------------------

    def openPort(self) -> None:
        """Let masters connect."""
        self._timers.cancel("port")
        try:
            self._masters.open()
        except CannotListenError as error:
            self._masters.close(CloseCause.RESTART)
            self.note(f"port {self.config.port} cannot be used: {error.socketError}", warn=True)
            self._timers.set("port", PORT_RETRY, self.openPort)
        else:
            self.note(f"port {self.config.port} is open for masters")

    def closePort(self) -> None:
        """Refuse masters, and disconnect those that are there."""
        self._timers.cancel("port")
        self._masters.close(CloseCause.RTU_LOST)
        self.note(f"port {self.config.port} is closed")

    def startTransfer(self) -> None:
        """Send STARTDT act to the RTU."""
        # Not on a connection that is about to be closed for what came behind the confirmation.
        if self._rtu is not None and self._rtu.link.state is State.STOPPED:
            self.note("STARTDT sent to the RTU", self._rtu.peer)
            self._rtu.start()

    def transferStarted(self) -> None:
        """The RTU takes requests now."""
        if self._rtu is not None:
            self._exchange.rtuStarted(self._rtu.conduit, self._reactor.seconds())

    def stopTransfer(self) -> None:
        """Send STOPDT act to the RTU."""
        self._exchange.rtuStopping(self._reactor.seconds())
        self._alarm.set(self._exchange.deadline)
        if self._rtu is not None and self._rtu.link.state is State.STARTED:
            self.note("STOPDT sent to the RTU", self._rtu.peer)
            self._rtu.stop()

    def review(self) -> None:
        """Say again whether the RTU is wanted, as the masters now are."""
        if self._exchange.active:
            self._life.wanted()
        else:
            self._life.unwanted()

    def finished(self) -> None:
        """The RTU has stopped, or has had time enough."""
        self._timers.cancel("finish")
        if self._done is not None:
            done, self._done = self._done, None
            done.callback(None)

    # -- time -------------------------------------------------------------------------------

    def _secured(self) -> None:
        """Events have become safe out of turn."""
        if self._ended:
            return
        self._exchange.acknowledge(self._reactor.seconds())
        self._alarm.set(self._exchange.deadline)

    def _wake(self) -> None:
        now = self._reactor.seconds()
        try:
            self._exchange.wake(now)
        except Exception:
            self._log.failure("What was due has failed", group=self.config.id, peer="-")
            self._alarm.set(now + FAULT_PAUSE)
        else:
            self._alarm.set(self._exchange.deadline)
