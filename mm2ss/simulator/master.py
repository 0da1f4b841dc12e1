"""A small controlling station: it starts data transfer, asks, commands, and tells what it sees."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Final

from twisted.application.internet import ClientService
from twisted.application.service import Service
from twisted.internet.defer import Deferred, gatherResults, succeed
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.python.failure import Failure

from mm2ss.config.parameters import LinkParameters
from mm2ss.iec104.apci import CloseCause, closeText
from mm2ss.iec104.asdu import Cause
from mm2ss.iec104.elements import decode
from mm2ss.iec104.link import Link, LinkEvent, Received, Role, Started, State
from mm2ss.iec104.protocol import LinkFactory, LinkProtocol
from mm2ss.simulator.words import (
    Names,
    causeWord,
    isMirror,
    isNegative,
    objectWords,
)

#: Seconds between two attempts to connect.
RETRY: Final = 0.5
#: Seconds that an answer may take.
ANSWER_TIME: Final = 10.0

_FIRST_COMMAND: Final = 45
_LAST_COMMAND: Final = 64

#: Takes what is to be shown: direction (``->``, ``<-``, ``--``), what happened, and to what.
Tell = Callable[[str, str, str], None]


class Refused(Exception):
    """The station answered a request with no."""


class NotConnected(Exception):
    """The connection is gone, and the request with it."""


class Unanswered(Exception):
    """No answer came in time."""


class _Asked:
    """A request that waits for its answer."""

    def __init__(self, asdu: bytes, final: int, answer: Deferred[None]) -> None:
        self.asdu = asdu
        self.final = final
        self.answer = answer

    def matches(self, asdu: bytes) -> bool:
        """Whether a mirror answers it: type, common address and object address are the same."""
        mine = self.asdu
        return asdu[0] == mine[0] and asdu[4:9] == mine[4:9]


def _unanswered(_result: object, seconds: float) -> Failure:
    return Failure(Unanswered(f"no answer within {seconds:g} s"))


class DemoMaster(Service):
    """A master that connects, and connects again when it is disconnected.

    :param reactor: connects, and keeps monotonic time.
    :param host: IPv4 address to connect to.
    :param port: TCP port, 1-65535.
    :param tell: shows what happens.
    :param names: the names of points.
    :param parameters: windows and timers.
    :ivar started: whether data transfer is started.
    :ivar data: ASDUs with process data received.
    :ivar confirmed: requests that were confirmed.
    :ivar commands: of these, commands to the process (types 45-64).
    :ivar seen: the newest value of each point.
    :ivar unasked: mirrors received that answer nothing this master has asked.
    """

    def __init__(
        self,
        reactor: Any,
        host: str,
        port: int,
        tell: Tell,
        names: Names,
        parameters: LinkParameters | None = None,
    ) -> None:
        self._reactor = reactor
        self._tell = tell
        self._names = names
        self._parameters = parameters or LinkParameters()
        self._client = ClientService(
            TCP4ClientEndpoint(reactor, host, port, timeout=int(self._parameters.t0)),
            LinkFactory(self._makeLink, self, reactor),
            retryPolicy=lambda _attempts: RETRY,
            clock=reactor,
        )
        self._connection: LinkProtocol | None = None
        self._waiters: list[Deferred[None]] = []
        self._asked: list[_Asked] = []
        self._unsent: deque[bytes] = deque()
        self.started = False
        self.data = 0
        self.confirmed = 0
        self.commands = 0
        self.seen: dict[int, float] = {}
        self.unasked = 0

    # -- service ----------------------------------------------------------------------------

    def startService(self) -> None:
        """Begin to connect."""
        Service.startService(self)
        self._client.startService()

    def stopService(self) -> Deferred[list[object]]:
        """Acknowledge, stop data transfer and disconnect; fires when that is done."""
        Service.stopService(self)
        pending: list[Deferred[Any]] = [self._client.stopService()]
        connection = self._connection
        if connection is not None:
            pending.append(connection.whenLost())
            if connection.link.state is State.STARTED:
                connection.stop()
            connection.close(CloseCause.SHUTDOWN)
        return gatherResults(pending, consumeErrors=True)

    # -- what it can be told to do ----------------------------------------------------------

    def whenStarted(self) -> Deferred[None]:
        """Fires when data transfer is started."""
        if self.started:
            return succeed(None)
        waiter: Deferred[None] = Deferred()
        self._waiters.append(waiter)
        return waiter

    def ask(self, asdu: bytes, final: int = Cause.ACTIVATION_CON) -> Deferred[None]:
        """Send a request; fires when the mirror with this cause has come.

        Fails with `Refused` when the station says no, with `NotConnected` when the connection is
        lost or there is none, with `Unanswered` after `ANSWER_TIME`.
        """
        answer: Deferred[None] = Deferred()
        if not self.started:
            answer.errback(NotConnected("data transfer is not started"))
            return answer
        asked = _Asked(asdu, final, answer)
        self._asked.append(asked)
        answer.addTimeout(ANSWER_TIME, self._reactor, _unanswered)
        answer.addBoth(self._answered, asked)
        self._tell("->", "request", objectWords(asdu, self._names))
        self._unsent.append(asdu)
        self._pump()
        return answer

    def _answered(self, result: object, asked: _Asked) -> Any:
        if asked in self._asked:
            self._asked.remove(asked)
        return result

    # -- connection -------------------------------------------------------------------------

    def _makeLink(self, now: float) -> Link:
        return Link(Role.CONTROLLING, self._parameters, now)

    def linkUp(self, connection: LinkProtocol) -> None:
        """Connected: start data transfer at once."""
        self._connection = connection
        self._tell("--", "connected", f"to {connection.peer}")
        connection.start()

    def linkDown(self, connection: LinkProtocol, cause: CloseCause, detail: str) -> None:
        """The connection is gone."""
        self._connection = None
        self.started = False
        self._unsent.clear()
        text = "" if cause is CloseCause.SHUTDOWN else closeText(cause, detail)
        self._tell("--", "disconnected", text)
        for asked in tuple(self._asked):
            asked.answer.errback(NotConnected(closeText(cause, detail)))

    def linkEvents(self, connection: LinkProtocol, events: list[LinkEvent]) -> None:
        """The station sent something."""
        for event in events:
            if connection is not self._connection:
                return
            if isinstance(event, Received):
                for asdu in event.asdus:
                    self._hear(asdu)
            elif isinstance(event, Started):
                self._begin()
        self._pump()

    def _begin(self) -> None:
        self.started = True
        self._tell("--", "started", "data transfer is started (STARTDT confirmed)")
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            waiter.callback(None)

    def _pump(self) -> None:
        connection = self._connection
        if connection is not None and self._unsent and connection.conduit.window:
            count = min(connection.conduit.window, len(self._unsent))
            connection.send([self._unsent.popleft() for _ in range(count)])

    # -- what it hears ----------------------------------------------------------------------

    def _hear(self, asdu: bytes) -> None:
        if len(asdu) < 9:
            return
        self._tell("<-", causeWord(asdu), objectWords(asdu, self._names))
        if not isMirror(asdu):
            if asdu[0] < _FIRST_COMMAND:
                self._learn(asdu)
            return
        asked = next((asked for asked in self._asked if asked.matches(asdu)), None)
        cause = asdu[2] & 0x3F
        if asked is None:
            # The termination of a request whose confirmation was enough is no surprise.
            self.unasked += cause != Cause.ACTIVATION_TERM
            return
        if isNegative(asdu):
            asked.answer.errback(Refused(causeWord(asdu)))
            return
        if cause == Cause.ACTIVATION_CON:
            self.confirmed += 1
            self.commands += _FIRST_COMMAND <= asdu[0] <= _LAST_COMMAND
        if cause == asked.final:
            asked.answer.callback(None)

    def _learn(self, asdu: bytes) -> None:
        """Process data: remember the values."""
        self.data += 1
        try:
            objects = decode(asdu)
        except ValueError:
            return
        for item in objects:
            if item.value is not None:
                self.seen[item.address] = item.value
