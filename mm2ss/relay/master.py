"""One master as its group sees it: its place in the ledger, and what it has asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from mm2ss.config.model import Address
from mm2ss.iec104.apci import CloseCause
from mm2ss.relay.ledger import Ledger, Reader
from mm2ss.relay.lines import Turn
from mm2ss.relay.rights import Rights
from mm2ss.relay.snapshot import MasterSnapshot

#: Requests of one master that may wait, for the RTU or for their refusal to be taken; beyond it
#: the acknowledgement of its requests is withheld, so that its k stops it.
QUEUE_MAX = 64


class Outlet(Protocol):
    """One connection, as far as the traffic of a group needs it."""

    peer: str
    """The other end, for logs."""

    @property
    def window(self) -> int:
        """How many ASDUs may be sent now; 0 unless data transfer is started."""

    def send(self, asdus: Sequence[bytes], now: float) -> None:
        """Send ASDUs, at most `window`."""

    def hold(self, held: bool, now: float) -> None:
        """Withhold the acknowledgement of what is received, or give it again."""

    def release(self, count: int, now: float) -> None:
        """Acknowledge the first `count` I frames of the connection, and never less again."""

    def pause(self, paused: bool) -> None:
        """Stop or resume reading from the connection."""

    def close(self, cause: CloseCause, detail: str = "") -> None:
        """Close the connection."""

    def fail(self) -> None:
        """Log the exception that is being handled, and cut the connection a little later."""


class Note(Protocol):
    """Where the group's parts tell what an operator wants to know."""

    def __call__(self, text: str, peer: str = "-", warn: bool = False) -> None:
        """One event: what happened, and with whom."""


class Master:
    """A master that is connected to the group.

    :ivar outlet: its connection.
    :param keeps: whether its acknowledgement settles events.
    :ivar address: where it connects from.
    :ivar rights: what it may ask for.
    :ivar started: whether data transfer is started; only then anything is sent to it.
    :ivar slot: its originator address towards the RTU, once it has asked for something.
    :ivar queue: requests that wait for their turn.
    :ivar throttled: the acknowledgement of its requests is withheld.
    :ivar heldBack: how often the RTU was held back for its sake.
    :ivar inLine: its requests that wait until others of their kind are done.
    """

    def __init__(
        self,
        outlet: Outlet,
        address: Address,
        rights: Rights,
        ledger: Ledger,
        keeps: bool = True,
    ) -> None:
        self.outlet = outlet
        self.address = address
        self.rights = rights
        self.started = False
        self.slot: int | None = None
        self.queue: list[Turn[Master]] = []
        self.inLine = 0
        self.reader = Reader(ledger, keeps)
        self._ledger = ledger
        self._progress = 0.0
        self._refusals = 0
        self.throttled = False
        self.heldBack = 0

    @property
    def peer(self) -> str:
        """Its address and port, for logs."""
        return self.outlet.peer

    @property
    def load(self) -> int:
        """Its requests that wait, and the relay's own answers to them that wait for it."""
        if self._refusals:
            self._refusals = min(self._refusals, len(self.reader.lane))
        return len(self.queue) + self.inLine + self._refusals

    def refuse(self, answer: bytes) -> None:
        """Put the relay's own negative answer behind what waits."""
        self._refusals += 1
        self.reader.add(answer)

    def throttle(self, now: float) -> int:
        """Let its requests be acknowledged only while not too many of them wait; returns `load`."""
        load = self.load
        held = load > QUEUE_MAX
        if held != self.throttled:
            self.throttled = held
            self.outlet.hold(held, now)
        return load

    def start(self, greeting: bytes, position: int | None, now: float) -> None:
        """Data transfer starts: first `greeting`, then all that is not settled, then what comes.

        :param position: a place in the ledger from which to go on instead.
        """
        self._ledger.attach(self.reader, position)
        self.reader.addFirst(greeting)
        self.started = True
        self._progress = now

    def stop(self) -> None:
        """Nothing is sent any more."""
        self.started = False
        self._ledger.detach(self.reader)

    def pump(self, now: float) -> None:
        """Send what waits, as far as the window allows."""
        reader = self.reader
        ledger = self._ledger
        position = reader.position
        if not self.started or (position >= ledger.end and not reader.lane):
            return
        window = self.outlet.window
        if window > 0:
            if not reader.flight:
                self._progress = now
            frames = reader.take(window)
            if frames:
                if reader.position > position >= reader.joined:
                    ledger.arrivals.sent(position, now)
                self.outlet.send(frames, now)

    def acknowledged(self, count: int, now: float) -> None:
        """The master acknowledged the first `count` frames of its connection."""
        self._progress = now
        self.reader.acknowledged(count)
        self.pump(now)
        if self.throttled:
            self.throttle(now)

    def snapshot(self, now: float) -> MasterSnapshot:
        """Its figures of this moment."""
        reader = self.reader
        return MasterSnapshot(
            peer=self.peer,
            address=str(self.address),
            started=self.started,
            keeps=reader.keeps,
            sent=reader.sent,
            delivered=reader.delivered,
            waiting=reader.waiting if self.started else 0,
            silence=self.silence(now),
            requests=self.load,
            heldBack=self.heldBack,
        )

    def isStale(self, now: float) -> bool:
        """Whether data waits for it that is older than a command of its may be."""
        position = self.reader.position
        if not self.started or position >= self._ledger.end:
            return False
        return position < self._ledger.horizon(now)

    def silence(self, now: float) -> float:
        """Seconds since it last acknowledged anything while something is unacknowledged."""
        return now - self._progress if self.reader.flight else 0.0
