"""A connection of the campaign: a `Link` on an asyncio transport, which can also misbehave."""

from __future__ import annotations

import asyncio
from math import inf
from typing import cast

from mm2ss.config.parameters import LinkParameters
from mm2ss.iec104.apci import CloseCause, FrameBuffer, isI, isS, unwrap
from mm2ss.iec104.link import Closed, Link, LinkEvent, Role, State

#: Causes for which an end of the campaign closes a connection: the other end was too slow. Any
#: other cause says that the relay broke the protocol.
TIMEOUTS = frozenset(
    (
        CloseCause.T1_I_FRAME,
        CloseCause.T1_STARTDT,
        CloseCause.T1_STOPDT,
        CloseCause.T1_TESTFR,
        CloseCause.IDLE,
    )
)


class StationConnection(asyncio.Protocol):
    """One end of a connection.

    :ivar cause: why this end closed it, if it did.
    :ivar lost: set when the connection is gone.
    """

    role: Role

    def __init__(self, parameters: LinkParameters, releaseDelay: float | None = None) -> None:
        self.parameters = parameters
        self.cause: CloseCause | None = None
        self.detail = ""
        self.lost = asyncio.Event()
        self.link = Link(self.role, parameters, 0.0)
        self._releaseDelay = releaseDelay
        self._frozen = False
        self._timer: asyncio.TimerHandle | None = None
        self._out = FrameBuffer()
        self._acknowledged = 0

    # -- what its owner does ----------------------------------------------------------------

    @property
    def closed(self) -> bool:
        """Whether nothing can be sent any more."""
        return self.lost.is_set() or self._transport.is_closing()

    def isIn(self, state: State) -> bool:
        """Whether the connection is there and its link in a state."""
        return not self.closed and self.link.state is state

    def hold(self, held: bool) -> None:
        """Withhold acknowledgements of what is received, or give them again."""
        self.link.automatic = not held
        if not held and not self.closed:
            self.link.release(self.link.received, self.now())
            self.flush()

    def freeze(self, frozen: bool = True) -> None:
        """Do nothing at all any more, the socket stays open; or wake up again."""
        if self.closed or frozen == self._frozen:
            return
        self._frozen = frozen
        if frozen:
            self._transport.pause_reading()
            self._disarm()
        else:
            self._transport.resume_reading()
            self._arm()

    def leave(self) -> None:
        """Close in order (FIN)."""
        if not self.lost.is_set():
            self._transport.close()

    def die(self) -> None:
        """Close without any order (RST)."""
        if not self.lost.is_set():
            self._transport.abort()

    def send(self, asdus: list[bytes]) -> None:
        """Send ASDUs, at most the window."""
        self.link.send(asdus, self.now())
        self.flush()

    def flush(self) -> None:
        """Write what the link has to say; see that it is woken in time."""
        if self._frozen or self.closed:
            return
        data = self.link.takeOutput()
        if data:
            self._noteAcknowledgement(data)
            self._transport.write(data)
        self._arm()

    @staticmethod
    def now() -> float:
        """Monotonic seconds."""
        return asyncio.get_running_loop().time()

    # -- what its owner is told -------------------------------------------------------------

    def up(self) -> None:
        """The connection is there."""

    def happened(self, events: list[LinkEvent]) -> None:
        """The link has something to tell."""

    def acknowledging(self, count: int) -> None:
        """This end is about to acknowledge the first `count` I frames that it received."""

    def down(self) -> None:
        """The connection is gone; called once."""

    # -- what the transport does ------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self.link = Link(self.role, self.parameters, self.now(), releaseDelay=self._releaseDelay)
        self.up()
        self.flush()

    def data_received(self, data: bytes) -> None:
        # Not when it was cut in this very turn: what a dead line brings is not received.
        if not self._frozen and not self.closed:
            self._handle(self.link.receive(data, self.now()))

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        self.lost.set()
        self.link.shut()
        self.down()

    # -- between the two --------------------------------------------------------------------

    def _handle(self, events: list[LinkEvent]) -> None:
        closing = events.pop() if events and isinstance(events[-1], Closed) else None
        if events:
            self.happened(events)
        if isinstance(closing, Closed):
            self.cause, self.detail = closing.cause, closing.detail
            self._transport.close()
            return
        if not self.closed:
            self.flush()

    def _noteAcknowledgement(self, data: bytes) -> None:
        numbers = [apdu[1] >> 1 for apdu in self._out.feed(data) if isI(apdu) or isS(apdu)]
        if numbers:
            count = unwrap(self._acknowledged, numbers[-1])
            if count > self._acknowledged:
                self._acknowledged = count
                self.acknowledging(count)

    def _arm(self) -> None:
        """See that the link is woken at its deadline; a call that comes too early arms anew."""
        deadline = self.link.deadline
        if self._frozen or self.closed or deadline == inf:
            return
        if self._timer is not None:
            if self._timer.when() <= deadline:
                return
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_at(deadline, self._wake)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _wake(self) -> None:
        self._timer = None
        if not self.closed:
            self._handle(self.link.wake(self.now()))
            self._arm()
