"""Between a TCP connection and its `Link`: octets in and out, and one pending timer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol as Interface
from typing import cast

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IAddress, IDelayedCall, IReactorTime
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

from mm2ss.iec104.alarm import Alarm
from mm2ss.iec104.apci import HEAD_LENGTH, CloseCause
from mm2ss.iec104.link import DRAINED, Closed, Link, LinkEvent
from mm2ss.iec104.tape import CHUNKS, Tape
from mm2ss.iec104.wire import ITcpConnection, Wire

#: Octets of replies (TESTFR con, S frames) that may wait for a peer that does not read. I frames
#: are bounded by k; without this bound a peer that asks and never reads would fill the memory.
UNREAD_MAX = 65536
#: Seconds that an orderly close may take before the connection is cut.
CLOSE_TIME = 2.0
#: Causes that say the peer is not there any more: what waits for it cannot be delivered.
_DEAD_PEER = frozenset(
    (
        CloseCause.T1_I_FRAME,
        CloseCause.T1_STARTDT,
        CloseCause.T1_STOPDT,
        CloseCause.T1_TESTFR,
        CloseCause.IDLE,
        CloseCause.TOO_SLOW,
    )
)


class LinkOwner(Interface):
    """Who a connection reports to."""

    def linkUp(self, connection: LinkProtocol) -> None:
        """The TCP connection is there; data transfer is stopped."""

    def linkEvents(self, connection: LinkProtocol, events: list[LinkEvent]) -> None:
        """Something happened on the connection; never called after `linkDown`."""

    def linkAcknowledged(self, connection: LinkProtocol, count: int, now: float) -> None:
        """As `linkEvents` with `Acknowledged`, which happens too often to make an object of it.

        :param now: monotonic seconds.
        """

    def linkDown(self, connection: LinkProtocol, cause: CloseCause, detail: str) -> None:
        """The connection is gone or being closed; called once, with the first cause."""


class LinkProtocol(Protocol):
    """One connection of either role.

    :param makeLink: gives the `Link` for a connection made at the given monotonic second.
    :param owner: who is told.
    :param clock: monotonic time and timers.
    :ivar peer: the other end as ``address:port``, for logs.
    :ivar local: the own end, likewise.
    :ivar link: the protocol machine; there from `linkUp` on.
    :ivar octetsIn: octets received.
    :ivar octetsOut: octets given to the transport.
    :ivar tape: the last chunks, both ways; who follows the connection gives it another one.
    """

    link: Link
    _wire: Wire

    def __init__(
        self, makeLink: Callable[[float], Link], owner: LinkOwner, clock: IReactorTime
    ) -> None:
        self._makeLink = makeLink
        self._owner = owner
        self._clock = clock
        self._alarm = Alarm(clock, self._wake)
        self._cutter: IDelayedCall | None = None
        self._down = False
        self._congested = False
        self._unread = 0
        self.peer = self.local = "-"
        self._lost = False
        self._waiters: list[Deferred[object]] = []
        self.octetsIn = 0
        self.octetsOut = 0
        self.tape = Tape()
        self._now = 0.0  # of the last call from outside; saves reading the clock for the tape

    # -- what the owner does ----------------------------------------------------------------

    @property
    def window(self) -> int:
        """How many ASDUs may be sent now; 0 while the transport's write buffer is full.

        So the buffer is bounded even for a peer that acknowledges what it has not read.
        """
        return 0 if self._congested else self.link.window

    def send(self, asdus: Sequence[bytes]) -> None:
        """Send ASDUs, at most `window`, with one write.

        :raises ValueError: as `Link.send`.
        """
        self._now = now = self._clock.seconds()
        self.link.send(asdus, now)
        self._flush()

    def start(self) -> None:
        """Start data transfer (controlling station)."""
        self._now = now = self._clock.seconds()
        self.link.start(now)
        self._flush()

    def stop(self) -> None:
        """Stop data transfer (controlling station)."""
        self._now = now = self._clock.seconds()
        self.link.stop(now)
        self._flush()

    def hold(self, held: bool) -> None:
        """Withhold acknowledgements of received I frames, or give them again."""
        link = self.link
        if held == link.automatic:
            link.automatic = not held
            if not held:
                self._now = now = self._clock.seconds()
                link.release(link.received, now)
                self._flush()

    def release(self, count: int) -> None:
        """Acknowledge the first `count` I frames received, and never less again.

        :raises ValueError: as `Link.release`.
        """
        if not self._down:
            self._now = now = self._clock.seconds()
            self.link.release(count, now)
            self._flush()

    def pause(self, paused: bool) -> None:
        """Stop or resume reading from the socket."""
        if not self._down:
            transport = self._tcp
            (transport.pauseProducing if paused else transport.resumeProducing)()

    def close(self, cause: CloseCause, detail: str = "") -> None:
        """Close the connection; the owner is told at once, through `linkDown`."""
        if self._down:
            return
        dead = cause in _DEAD_PEER
        if not dead:
            self._now = self._clock.seconds()
            self._flush()
        try:
            self._goDown(cause, detail)
        finally:
            self._closeTransport(dead)

    def _closeTransport(self, dead: bool) -> None:
        transport = self._tcp
        if dead:
            transport.abortConnection()
            return
        self._wire.close()
        self._cutter = self._clock.callLater(CLOSE_TIME, self._cut)
        transport.loseConnection()  # last: it may call connectionLost at once

    def whenLost(self) -> Deferred[object]:
        """Fires with None when the TCP connection is gone."""
        if self._lost:
            return succeed(None)
        waiter: Deferred[object] = Deferred()
        self._waiters.append(waiter)
        return waiter

    # -- what the transport does ------------------------------------------------------------

    @property
    def _tcp(self) -> ITcpConnection:
        return cast(ITcpConnection, self.transport)

    def connectionMade(self) -> None:
        transport = self._tcp
        transport.setTcpNoDelay(True)
        transport.setTcpKeepAlive(True)
        self._wire = Wire(transport, self._setCongested)
        self.peer = addressText(transport.getPeer())
        self.local = addressText(transport.getHost())
        self._now = now = self._clock.seconds()
        self.link = self._makeLink(now)
        self._owner.linkUp(self)
        self._flush()

    def dataReceived(self, data: bytes) -> None:
        if self._down:
            return
        self._now = now = self._clock.seconds()
        size = len(data)
        self.octetsIn += size
        tape = self.tape
        tape.append((now, size, data[tape.tail]))
        if len(tape) > CHUNKS:
            tape.fold()
        count = self.link.receiveS(data, now) if size == HEAD_LENGTH else -1
        if count < 0:
            self._handle(self.link.receive(data, now))
        else:
            self._owner.linkAcknowledged(self, count, now)
            self._flush()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._cutter and self._cutter.active():
            self._cutter.cancel()
        self._cutter = None
        if isinstance(reason.value, ConnectionDone):
            self._goDown(CloseCause.PEER_CLOSED, "")
        else:
            self._goDown(CloseCause.PEER_RESET, str(reason.value))
        self._lost = True
        # Both refer to this connection. Without them no cycle is left for the garbage collector.
        del self._wire, self._alarm
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            waiter.callback(None)

    # -- between the two --------------------------------------------------------------------

    def _handle(self, events: list[LinkEvent]) -> None:
        """Tell the owner what happened, write what is due, close if need be."""
        closed = events.pop() if events and isinstance(events[-1], Closed) else None
        # A congested peer's replies go out, and are counted, before the owner adds I frames.
        replies = self._flush() if self._congested and not closed else 0
        if events:
            self._owner.linkEvents(self, events)
        if isinstance(closed, Closed):
            self.close(closed.cause, closed.detail)
            return
        self._flush()
        if replies:
            self._countUnread(replies)

    def _flush(self) -> int:
        """Write what the link has to say, return how many octets; see that it is woken in time."""
        if self._down:
            return 0
        link = self.link
        size = 0
        if link.output:
            data = link.takeOutput()
            size = len(data)
            self.octetsOut += size
            tape = self.tape
            tape.append((self._now, -size, data[tape.tail]))
            if len(tape) > CHUNKS:
                tape.fold()
            self._wire.write(data)
        if link.soonest < self._alarm.at:
            self._alarm.set(link.soonest)
        return size

    def _countUnread(self, octets: int) -> None:
        """Close a peer that makes us reply and does not read; see `UNREAD_MAX`."""
        self._unread += octets
        if self._unread > UNREAD_MAX:
            self.close(CloseCause.TOO_SLOW, f"{self._unread} octets of replies not read")

    def _setCongested(self, congested: bool) -> None:
        self._congested = congested
        self._unread = 0
        if not congested and not self._down:
            self._now = self._clock.seconds()
            self._owner.linkEvents(self, [DRAINED])
            self._flush()

    def _wake(self) -> None:
        self._now = now = self._clock.seconds()
        self.tape.rest(now)
        self._handle(self.link.wake(now))

    def _goDown(self, cause: CloseCause, detail: str) -> None:
        if self._down:
            return
        self._down = True
        self._alarm.cancel()
        self.link.shut()
        self._owner.linkDown(self, cause, detail)

    def _cut(self) -> None:
        self._cutter = None
        self._tcp.abortConnection()


class LinkFactory(Factory):
    """Makes the connections of one role.

    :param makeLink: as for `LinkProtocol`.
    :param owner: told of every connection.
    :param clock: monotonic time and timers.
    """

    noisy = False

    def __init__(
        self, makeLink: Callable[[float], Link], owner: LinkOwner, clock: IReactorTime
    ) -> None:
        self._makeLink = makeLink
        self._owner = owner
        self._clock = clock

    def buildProtocol(self, addr: IAddress | None) -> LinkProtocol | None:
        """A connection; subclasses return None to refuse it."""
        connection = LinkProtocol(self._makeLink, self._owner, self._clock)
        connection.factory = self
        return connection


def addressText(address: object) -> str:
    """An address as logs show it: ``192.0.2.1:2404``, ``[2001:db8::1]:2404``."""
    if not isinstance(address, (IPv4Address, IPv6Address)):
        return str(address)
    host = address.host.removeprefix("::ffff:") if "." in address.host else address.host
    return f"[{host}]:{address.port}" if ":" in host else f"{host}:{address.port}"
