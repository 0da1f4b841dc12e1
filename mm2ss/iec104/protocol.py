"""A TCP connection that carries a `Conduit`: its socket, its alarm, and its end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol as Interface
from typing import cast

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.internet.interfaces import IAddress, IDelayedCall, IReactorTime
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure

from mm2ss.iec104.alarm import Alarm
from mm2ss.iec104.apci import CloseCause
from mm2ss.iec104.conduit import Conduit
from mm2ss.iec104.link import Link, LinkEvent
from mm2ss.iec104.loop import Loop
from mm2ss.iec104.wire import ITcpConnection, Wire

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
_log = Logger()


class LinkOwner(Interface):
    """Who a connection reports to."""

    def linkUp(self, connection: LinkProtocol) -> None:
        """The TCP connection is there; data transfer is stopped."""

    def linkEvents(self, connection: LinkProtocol, events: list[LinkEvent]) -> None:
        """Something happened on the connection; never called after `linkDown`.

        What happens too often to make an object of it goes past this to those whom an owner names
        to the connection's `Conduit`.
        """

    def linkDown(self, connection: LinkProtocol, cause: CloseCause, detail: str) -> None:
        """The connection is gone or being closed; called once, with the first cause."""


class LinkProtocol(Protocol):
    """One TCP connection of either role: what carries a `Conduit`.

    :param makeLink: gives the `Link` for a connection made at the given monotonic second.
    :param owner: who is told.
    :param clock: monotonic time and timers.
    :param loop: what it shares with other connections; by default nothing.
    :ivar peer: the other end as ``address:port``, for logs.
    :ivar local: the own end, likewise.
    :ivar conduit: what is sent and received; there from `linkUp` until the connection is lost.
    :ivar link: the protocol machine; there from `linkUp` on.
    """

    conduit: Conduit
    link: Link
    _wire: Wire

    def __init__(
        self,
        makeLink: Callable[[float], Link],
        owner: LinkOwner,
        clock: IReactorTime,
        loop: Loop | None = None,
    ) -> None:
        self._makeLink = makeLink
        self._owner = owner
        self._clock = clock
        self._seconds = clock.seconds
        self._loop = loop or Loop(clock)
        self._alarm = Alarm(self._loop.wheel, self._wake)
        self._cutter: IDelayedCall | None = None
        self.peer = self.local = "-"
        self._isDown = False
        self._isLost = False
        self._waiters: list[Deferred[object]] = []

    # -- what the owner does ----------------------------------------------------------------

    def send(self, asdus: Sequence[bytes]) -> None:
        """Send ASDUs, at most `Conduit.window`, with one write.

        :raises ValueError: as `Link.send`.
        """
        self.conduit.send(asdus, self._seconds())

    def start(self) -> None:
        """Start data transfer (controlling station)."""
        now = self._seconds()
        self.link.start(now)
        self.conduit.flush(now)

    def stop(self) -> None:
        """Stop data transfer (controlling station)."""
        now = self._seconds()
        self.link.stop(now)
        self.conduit.flush(now)

    def close(self, cause: CloseCause, detail: str = "") -> None:
        """Close the connection; the owner is told at once, through `linkDown`."""
        if self._isDown:
            return
        dead = cause in _DEAD_PEER
        if not dead:
            self.conduit.flush(self._seconds())
        self._goDown(cause, detail)
        transport = self._tcp
        if dead:
            transport.abortConnection()
            return
        self._wire.close()
        self._cutter = self._clock.callLater(CLOSE_TIME, self._cut)
        transport.loseConnection()  # last: it may call connectionLost at once

    def whenLost(self) -> Deferred[object]:
        """Fires with None when the TCP connection is gone."""
        if self._isLost:
            return succeed(None)
        waiter: Deferred[object] = Deferred()
        self._waiters.append(waiter)
        return waiter

    # -- what the conduit asks for ----------------------------------------------------------

    def deliver(self, events: list[LinkEvent]) -> None:
        """Tell the owner."""
        self._owner.linkEvents(self, events)

    def fail(self) -> None:
        """Log the exception that is being handled, and cut the connection."""
        if self._isLost:
            _log.failure("{peer}, which is gone, was to be served, which failed.", peer=self.peer)
        else:
            self._wire.fail()

    def pause(self, paused: bool) -> None:
        """Stop or resume reading from the socket."""
        transport = self._tcp
        (transport.pauseProducing if paused else transport.resumeProducing)()

    # -- what the transport does ------------------------------------------------------------

    @property
    def _tcp(self) -> ITcpConnection:
        return cast(ITcpConnection, self.transport)

    def connectionMade(self) -> None:
        transport = self._tcp
        transport.setTcpNoDelay(True)
        transport.setTcpKeepAlive(True)
        self._wire = Wire(transport, self._setCongested, self._loop.wires)
        self.peer = addressText(transport.getPeer())
        self.local = addressText(transport.getHost())
        now = self._seconds()
        self.link = self._makeLink(now)
        self.conduit = Conduit(
            self.link, self, self._wire.write, self._alarm, self.peer, self.local
        )
        self._wire.open(self.conduit.received)  # past `dataReceived`, where all are read together
        self._owner.linkUp(self)
        self.conduit.flush(now)

    def dataReceived(self, data: bytes) -> None:
        """What Twisted has read: with TLS, on other reactors, and before an end."""
        self.conduit.received(data, self._seconds())

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._wire.lose()
        if self._cutter and self._cutter.active():
            self._cutter.cancel()
        self._cutter = None
        if isinstance(reason.value, ConnectionDone):
            self._goDown(CloseCause.PEER_CLOSED, "")
        elif isinstance(reason.value, ConnectionAborted):  # by `Wire.fail`
            self._goDown(CloseCause.FAULT, "")
        else:
            self._goDown(CloseCause.PEER_RESET, str(reason.value))
        self._isLost = True
        # All refer to this connection. Without them no cycle is left for the garbage collector.
        del self.conduit, self._wire, self._alarm
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            waiter.callback(None)

    # -- between the two --------------------------------------------------------------------

    def _setCongested(self, congested: bool) -> None:
        self.conduit.setCongested(congested, self._seconds())

    def _wake(self) -> None:
        try:
            self.conduit.wake(self._seconds())
        except Exception:
            self.fail()

    def _goDown(self, cause: CloseCause, detail: str) -> None:
        if self._isDown:
            return
        self._isDown = True
        self._alarm.cancel()
        self.conduit.shut()
        try:
            self._owner.linkDown(self, cause, detail)
        except Exception:
            _log.failure("To take note of the end of {peer} has failed.", peer=self.peer)

    def _cut(self) -> None:
        self._cutter = None
        self._tcp.abortConnection()


class LinkFactory(Factory):
    """Makes the connections of one role.

    :param makeLink: as for `LinkProtocol`.
    :param owner: told of every connection.
    :param clock: monotonic time and timers.
    :param loop: what they share with others; by default nothing.
    """

    noisy = False

    def __init__(
        self,
        makeLink: Callable[[float], Link],
        owner: LinkOwner,
        clock: IReactorTime,
        loop: Loop | None = None,
    ) -> None:
        self._makeLink = makeLink
        self._owner = owner
        self._clock = clock
        self._loop = loop or Loop(clock)

    def buildProtocol(self, addr: IAddress | None) -> LinkProtocol | None:
        """A connection; subclasses return None to refuse it."""
        connection = LinkProtocol(self._makeLink, self._owner, self._clock, self._loop)
        connection.factory = self
        return connection


def addressText(address: object) -> str:
    """An address as logs show it: ``192.0.2.1:2404``, ``[2001:db8::1]:2404``."""
    if not isinstance(address, (IPv4Address, IPv6Address)):
        return str(address)
    host = address.host.removeprefix("::ffff:") if "." in address.host else address.host
    return f"[{host}]:{address.port}" if ":" in host else f"{host}:{address.port}"
