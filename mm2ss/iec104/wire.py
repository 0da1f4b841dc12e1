"""The socket of one TCP connection: read and written with others or at once, and bounded."""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Callable

from twisted.internet.interfaces import (
    IConsumer,
    IPullProducer,
    IPushProducer,
    ISSLTransport,
    ITCPTransport,
)
from twisted.logger import Logger
from zope.interface import implementer

#: Octets that may wait for a peer that does not read before it counts as full: what Twisted's own
#: buffer takes before it tells its producer to pause.
FULL = 65536
#: Octets that are read at once: as many as Twisted's transports read.
READ = 65536


class ITcpConnection(ITCPTransport, IPushProducer, IConsumer):
    """What Twisted's TCP and TLS connections provide, and this package uses."""


class Wires:
    """The wires of a process that are read together, and written together, in each turn.

    A busy relay spends half of its time in the system's sending and receiving, and half in its own
    code, and a processor's caches are too small for both. So a turn of the reactor first reads
    what has come on all connections, then works on all of it, and then sends all that has become
    of it; see `mm2ss.services.turns`, which says when. Compared with reading, working and sending
    for one connection after the other, that takes a quarter less of the processor's time.

    :ivar byTransport: the wires that may be read, by their transports.
    :ivar holding: whether they hold what is written, until `send`.
    :ivar unsent: those that hold something.
    :ivar behind: the next turn is to serve all that are ready, however many.
    """

    def __init__(self) -> None:
        self.byTransport: dict[object, Wire] = {}
        self.holding = False
        self.unsent: deque[Wire] = deque()
        self.behind = False
        self._afterwards: deque[Callable[[], None]] = deque()

    @property
    def waiting(self) -> bool:
        """Whether `send` has anything to do."""
        return bool(self.unsent or self._afterwards)

    def catchUp(self) -> None:
        """Alarms are late: see that all that has come is read before they go off."""
        self.behind = True

    def afterwards(self, call: Callable[[], None]) -> None:
        """Call this when all has been sent."""
        self._afterwards.append(call)

    def send(self) -> None:
        """Send all that is held, and then do what was put off until then."""
        unsent, afterwards = self.unsent, self._afterwards
        while unsent:
            wire = unsent.popleft()
            try:
                wire.flush()
            except Exception:
                wire.fail()
        while afterwards:
            afterwards.popleft()()


@implementer(IPushProducer, IPullProducer)
class Wire:
    """Reads and writes for a transport.

    Twisted's transports queue what is written until the reactor's next turn: two more system calls
    for each write, and a delay. So as long as nothing waits, octets go to the socket directly, at
    the end of this turn if its wires are written together, else at once; what the socket does not
    take is given to the transport, and so is everything after it until the transport has nothing
    left. A socket that fails is left to the transport, which tells the protocol of it in a turn of
    its own, never in the middle of a write. Where there is no plain socket (TLS), the transport
    gets everything, and reads.

    :param transport: of a connection that was made.
    :param full: told True when `FULL` octets wait, and False when nothing waits any more.
    :param wires: those that it is read and written with; None = each for itself.
    :ivar read: reads so many octets from its socket, at most; empty = the end. Not there with TLS.
    :ivar receive: takes what was read, and the time.
    """

    __slots__ = (
        "_full",
        "_held",
        "_isFull",
        "_isRegistering",
        "_send",
        "_transport",
        "_waiting",
        "_wires",
        "read",
        "receive",
    )
    _log = Logger()

    def __init__(
        self,
        transport: ITcpConnection,
        full: Callable[[bool], None],
        wires: Wires | None = None,
    ) -> None:
        self._transport = transport
        self._full = full
        self._held = b""  # for the end of the turn
        self._waiting = 0  # octets given to the transport since it had nothing
        self._isFull = False
        self._isRegistering = False
        self.receive: Callable[[bytes, float], None] = _ignore
        plain = _plainSocket(transport)
        if plain is None:
            self._wires = self._send = None
            transport.registerProducer(self, True)
        else:
            self._wires, self._send = wires, plain.send
            self.read: Callable[[int], bytes] = plain.recv

    def open(self, receive: Callable[[bytes, float], None]) -> None:
        """Give what is read to this from now on, if it is read together with others."""
        if self._wires is not None:
            self.receive = receive
            self._wires.byTransport[self._transport] = self

    def write(self, data: bytes) -> None:
        """Send octets behind all that was written before."""
        if self._held:
            self._held += data
        elif self._send is None or self._waiting:
            self._pass(data)
        else:
            self._held = data
            wires = self._wires
            if wires is not None and wires.holding:
                wires.unsent.append(self)
            else:
                self.flush()

    def flush(self) -> None:
        """Send what is held."""
        data = self._held
        if data and self._send is not None:
            self._held = b""
            try:
                sent = self._send(data)
            except OSError:
                sent = 0
            if sent < len(data):
                self._pass(data[sent:])

    def _pass(self, data: bytes) -> None:
        """Give octets to the transport."""
        if self._send is None:
            self._transport.write(data)
            return
        if not self._waiting:
            self._isRegistering = True  # which asks for more at once
            self._transport.registerProducer(self, False)
            self._isRegistering = False
        self._waiting += len(data)
        self._transport.write(data)
        if self._waiting > FULL and not self._isFull:
            self.pauseProducing()

    def fail(self) -> None:
        """Whoever reads or writes is failing: log the exception, and cut the connection.

        Nothing leaves any more, lest it acknowledge what was read and not worked on, and nothing
        is taken that came behind that.
        """
        self._log.failure("To serve a connection has failed, and it is cut.")
        self._transport.abortConnection()
        self.receive = _ignore
        self._held = b""
        self._send = None  # all goes to the transport, which sends nothing any more

    def close(self) -> None:
        """Let the transport close as soon as it has nothing left."""
        self.flush()
        self._transport.unregisterProducer()

    def lose(self) -> None:
        """The connection is gone: nothing is read or sent any more."""
        self._held = b""
        self.receive = _ignore
        if self._wires is not None:
            self._wires.byTransport.pop(self._transport, None)

    def pauseProducing(self) -> None:
        """So much waits that no more should come."""
        if not self._isFull:  # a full transport says so at every write
            self._isFull = True
            self._full(True)

    def resumeProducing(self) -> None:
        """Nothing waits any more."""
        if self._isRegistering:
            return
        if self._send is not None:
            self._waiting = 0
            self._transport.unregisterProducer()
        if self._isFull:
            self._isFull = False
            self._full(False)

    def stopProducing(self) -> None:
        """The connection is gone; the protocol's `connectionLost` says the rest."""


def _ignore(_data: bytes, _now: float) -> None:
    """Nobody is there any more."""


def _plainSocket(transport: ITcpConnection) -> socket.socket | None:
    """The transport's own socket; None where it has none."""
    if ISSLTransport.providedBy(transport):
        return None  # its handle is the socket below the encryption
    handle = getattr(transport, "getHandle", lambda: None)()
    return handle if isinstance(handle, socket.socket) else None
