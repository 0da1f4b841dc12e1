"""The way out of one TCP connection: at once if nothing waits, and bounded."""

from __future__ import annotations

import socket
from collections.abc import Callable

from twisted.internet.interfaces import (
    IConsumer,
    IPullProducer,
    IPushProducer,
    ISSLTransport,
    ITCPTransport,
)
from zope.interface import implementer

#: Octets that may wait for a peer that does not read before it counts as full: what Twisted's own
#: buffer takes before it tells its producer to pause.
FULL = 65536


class ITcpConnection(ITCPTransport, IPushProducer, IConsumer):
    """What Twisted's TCP and TLS connections provide, and this package uses."""


@implementer(IPushProducer, IPullProducer)
class Wire:
    """Writes to a transport.

    Twisted's transports queue what is written until the reactor's next turn: two more system calls
    for each write, and a delay. So as long as nothing waits, octets go to the socket directly; what
    it does not take is given to the transport, and so is everything after it until the transport
    has nothing left. A socket that fails is left to the transport, which tells the protocol of it
    in a turn of its own, never in the middle of a write. Where there is no plain socket (TLS), the
    transport gets everything.

    :param transport: of a connection that was made.
    :param full: told True when `FULL` octets wait, and False when nothing waits any more.
    """

    __slots__ = ("_full", "_isFull", "_isRegistering", "_send", "_transport", "_waiting")

    def __init__(self, transport: ITcpConnection, full: Callable[[bool], None]) -> None:
        self._transport = transport
        self._full = full
        self._waiting = 0  # octets given to the transport since it had nothing
        self._isFull = False
        self._isRegistering = False
        self._send = _plainSend(transport)
        if self._send is None:
            transport.registerProducer(self, True)

    def write(self, data: bytes) -> None:
        """Send octets behind all that was written before."""
        if self._send is None:
            self._transport.write(data)
            return
        if not self._waiting:
            try:
                sent = self._send(data)
            except OSError:
                sent = 0
            if sent == len(data):
                return
            data = data[sent:]
            self._isRegistering = True  # which asks for more at once
            self._transport.registerProducer(self, False)
            self._isRegistering = False
        self._waiting += len(data)
        self._transport.write(data)
        if self._waiting > FULL and not self._isFull:
            self.pauseProducing()

    def close(self) -> None:
        """Let the transport close as soon as it has nothing left."""
        self._transport.unregisterProducer()

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


def _plainSend(transport: ITcpConnection) -> Callable[[bytes], int] | None:
    """What sends octets on the transport's own socket; None where it has none."""
    if ISSLTransport.providedBy(transport):
        return None  # its handle is the socket below the encryption
    handle = getattr(transport, "getHandle", lambda: None)()
    return handle.send if isinstance(handle, socket.socket) else None
