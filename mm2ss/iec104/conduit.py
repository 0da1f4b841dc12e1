"""The way of the octets of one connection: from a chunk to what its owner is told, and back.

This is the hot path, without its socket. What a connection mostly carries goes straight through:

* I frames of one length, from the RTU: `received` -> `Link.receiveRun` -> `User.received`,
* an S frame alone, from a master: `received` -> `Link.receiveS` -> `User.acknowledged`,
* a batch of ASDUs: `send` -> `Link.send` -> `flush` -> `Wire.write`,
* an acknowledgement: `release` -> `Link.release` -> `flush` -> `Wire.write`.

Everything else (start, stop, tests, what is split, mixed or wrong) goes through `Link.receive` and
`handle`, which do the same frame by frame and tell `Carrier.deliver` what happened.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from mm2ss.iec104.apci import HEAD_LENGTH, CloseCause
from mm2ss.iec104.link import DRAINED, Closed, Link, LinkEvent
from mm2ss.iec104.tape import Tape

#: Octets of replies (TESTFR con, S frames) that may wait for a peer that does not read. I frames
#: are bounded by k; without this bound a peer that asks and never reads would fill the memory.
UNREAD_MAX = 65536


class Carrier(Protocol):
    """What carries a connection's octets."""

    def deliver(self, events: list[LinkEvent]) -> None:
        """Tell the owner what happened."""

    def close(self, cause: CloseCause, detail: str = "") -> None:
        """Close the connection."""

    def fail(self) -> None:
        """Log the exception that is being handled, and cut the connection."""

    def pause(self, paused: bool) -> None:
        """Stop or resume reading from the socket."""


class Waker(Protocol):
    """What wakes a connection; see `mm2ss.iec104.alarm.Alarm`."""

    at: float
    """When it will; inf = not set."""

    def set(self, deadline: float) -> None:
        """Wake at this time, in monotonic seconds; not earlier, and as late as the waker says."""


class User(Protocol):
    """Who works with what a connection carries.

    What does not come in a chunk of its own is told to the owner, through `Carrier.deliver`.
    """

    def received(self, asdus: tuple[bytes, ...], now: float) -> None:
        """ASDUs have arrived, in this order."""

    def acknowledged(self, count: int, now: float) -> None:
        """The peer has acknowledged so many I frames of this connection in all."""


class Conduit:
    """One connection of either role, for those who send and receive on it.

    :param link: its protocol machine.
    :param carrier: its way to its owner.
    :param write: sends octets to the peer, behind all that was written before.
    :param waker: wakes the carrier, which then calls `wake`.
    :param peer: the other end as ``address:port``, for logs.
    :param local: the own end, likewise.
    :ivar user: told what goes the short ways; None = nothing does, and the owner is told all.
    :ivar octetsIn: octets received.
    :ivar octetsOut: octets given to the carrier.
    :ivar tape: the last chunks, both ways.
    """

    def __init__(
        self,
        link: Link,
        carrier: Carrier,
        write: Callable[[bytes], None],
        waker: Waker,
        peer: str,
        local: str,
    ) -> None:
        self.link = link
        self.peer = peer
        self.local = local
        self._carrier = carrier
        self._write = write
        self._waker = waker
        self._down = False
        self._congested = False
        self._unread = 0
        self.user: User | None = None
        self.octetsIn = 0
        self.octetsOut = 0
        self.tape = Tape()

    # -- what arrives -----------------------------------------------------------------------

    def received(self, data: bytes, now: float) -> None:
        """A chunk of octets has arrived."""
        if self._down:
            return
        size = len(data)
        self.octetsIn += size
        self.tape.add(now, size, data)
        link = self.link
        user = self.user
        if user is not None and size == HEAD_LENGTH:
            count = link.receiveS(data, now)
            if count >= 0:
                user.acknowledged(count, now)
                return  # nothing to write but what that call has written itself
        elif user is not None and not self._congested:
            before = link.confirmed
            asdus = link.receiveRun(data, now)
            if asdus:
                if link.confirmed != before:
                    user.acknowledged(link.confirmed, now)
                if not self._down:
                    user.received(asdus, now)
                    self.flush(now)
                return
        self.handle(link.receive(data, now), now)

    def handle(self, events: list[LinkEvent], now: float) -> None:
        """Tell the owner what happened, write what is due, close if need be."""
        closed = events.pop() if events and isinstance(events[-1], Closed) else None
        # A congested peer's replies go out, and are counted, before the owner adds I frames.
        replies = self.flush(now) if self._congested and closed is None else 0
        if events:
            self._carrier.deliver(events)
        if isinstance(closed, Closed):
            self._carrier.close(closed.cause, closed.detail)
            return
        self.flush(now)
        if replies:
            self._countUnread(replies)

    def wake(self, now: float) -> None:
        """A deadline of the link may have come."""
        self.tape.rest(now)
        self.handle(self.link.wake(now), now)

    # -- what is sent -----------------------------------------------------------------------

    @property
    def window(self) -> int:
        """How many ASDUs may be sent now; 0 while the carrier's buffer is full.

        So the buffer is bounded even for a peer that acknowledges what it has not read.
        """
        return 0 if self._congested else self.link.window

    def send(self, asdus: Sequence[bytes], now: float) -> None:
        """Send ASDUs, at most `window`, with one write.

        :raises ValueError: as `Link.send`.
        """
        self.link.send(asdus, now)
        self.flush(now)

    def hold(self, held: bool, now: float) -> None:
        """Withhold acknowledgements of received I frames, or give them again."""
        link = self.link
        if held == link.automatic:
            link.automatic = not held
            if not held:
                self.release(link.received, now)

    def release(self, count: int, now: float) -> None:
        """Acknowledge the first `count` I frames received, and never less again.

        :raises ValueError: as `Link.release`.
        """
        if count > self.link.released:
            self.link.release(count, now)
            self.flush(now)

    def flush(self, now: float) -> int:
        """Write what the link has to say, return how many octets; see that it is woken in time."""
        link = self.link
        size = 0
        if link.output:
            data = link.takeOutput()
            size = len(data)
            self.octetsOut += size
            self.tape.add(now, -size, data)
            self._write(data)
        if link.soonest != self._waker.at:
            self._waker.set(link.soonest)
        return size

    # -- the carrier ------------------------------------------------------------------------

    def setCongested(self, congested: bool, now: float) -> None:
        """So much waits that no more should be sent, or nothing does any more."""
        self._congested = congested
        self._unread = 0
        if not congested and not self._down:
            self._carrier.deliver([DRAINED])
            self.flush(now)

    def pause(self, paused: bool) -> None:
        """Stop or resume reading from the socket."""
        if not self._down:
            self._carrier.pause(paused)

    def close(self, cause: CloseCause, detail: str = "") -> None:
        """Close the connection; the owner is told at once."""
        self._carrier.close(cause, detail)

    def fail(self) -> None:
        """Log the exception that is being handled, and cut the connection: the owner is told
        later."""
        self._carrier.fail()

    def shut(self) -> None:
        """Nothing is to be received, sent or told any more."""
        self._down = True
        self.link.shut()
        # It refers to what refers to this object: no cycle is left for the garbage collector.
        self.user = None

    def _countUnread(self, octets: int) -> None:
        """Close a peer that makes us reply and does not read; see `UNREAD_MAX`."""
        self._unread += octets
        if self._unread > UNREAD_MAX:
            self.close(CloseCause.TOO_SLOW, f"{self._unread} octets of replies not read")
