"""What a simulated station has to send, and what it keeps until it is acknowledged."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from mm2ss.iec104.asdu import Cause

#: Events that are kept while nobody takes them; then the oldest is given up, as an RTU's event
#: buffer does.
EVENTS_MAX = 500
#: Answers that may wait for a master that asks and does not acknowledge; a general interrogation
#: of a large station is a few hundred.
ANSWERS_MAX = 5000

_CAUSE = 0x3F
#: Spontaneous data, return information, and counter readings: a reset cannot be undone.
_EVENTS = frozenset((Cause.SPONTANEOUS, Cause.RETURN_REMOTE, Cause.RETURN_LOCAL, *range(37, 42)))


def isEvent(asdu: bytes) -> bool:
    """Whether an ASDU must not be lost; all others can be asked for again."""
    return asdu[2] & _CAUSE in _EVENTS


class Outbox:
    """The one queue of a station, in the order in which things happened.

    Events outlive a connection: what was sent and not acknowledged is sent first on the next.
    Everything else belongs to the transfer in which it arose and ends with it.

    :param eventsMax: events that are kept, at least 1.
    :param answersMax: other ASDUs that may wait.
    :ivar lost: events that were given up because there were too many.
    """

    def __init__(self, eventsMax: int = EVENTS_MAX, answersMax: int = ANSWERS_MAX) -> None:
        self.lost = 0
        self._eventsMax = eventsMax
        self._answersMax = answersMax
        self._waiting: deque[bytes] = deque()
        self._events = 0  # of those that wait
        self._inFlight: deque[bytes] = deque()
        self._acknowledged = 0  # as the connection counts
        self._open = False

    def __len__(self) -> int:
        """How many wait to be sent."""
        return len(self._waiting)

    @property
    def pending(self) -> list[bytes]:
        """The events that no master has acknowledged, in order."""
        return [asdu for asdu in (*self._inFlight, *self._waiting) if isEvent(asdu)]

    @property
    def overrun(self) -> bool:
        """Whether more answers wait than may."""
        return len(self._waiting) - self._events > self._answersMax

    def open(self, acknowledged: int) -> None:
        """Data transfer starts on a connection on which so many I frames are acknowledged."""
        self._open = True
        self._acknowledged = acknowledged

    def close(self) -> None:
        """Data transfer stops; what is in flight may still be acknowledged."""
        self._open = False
        self._keepEvents()

    def connectionLost(self) -> None:
        """The connection is gone: what was in flight is to be sent again, if it is an event."""
        self._waiting.extendleft(reversed(self._inFlight))
        self._inFlight.clear()
        self.close()

    def put(self, asdus: Iterable[bytes]) -> None:
        """Queue ASDUs; while stopped, only events are kept."""
        for asdu in asdus:
            if isEvent(asdu):
                self._events += 1
            elif not self._open:
                continue
            self._waiting.append(asdu)
        self._limit()

    def take(self, count: int) -> list[bytes]:
        """The next ASDUs to send now, at most so many; they are in flight from now on."""
        taken = [self._waiting.popleft() for _ in range(min(count, len(self._waiting)))]
        self._events -= sum(map(isEvent, taken))
        self._inFlight.extend(taken)
        return taken

    def acknowledged(self, count: int) -> None:
        """The peer has acknowledged the first `count` I frames of the connection."""
        while self._acknowledged < count and self._inFlight:
            self._inFlight.popleft()
            self._acknowledged += 1

    def forgetEvents(self) -> None:
        """Drop the events that wait: the master had the buffer reset."""
        self._waiting = deque(asdu for asdu in self._waiting if not isEvent(asdu))
        self._events = 0

    def _keepEvents(self) -> None:
        self._waiting = deque(filter(isEvent, self._waiting))
        self._events = len(self._waiting)
        self._limit()

    def _limit(self) -> None:
        """Give up the oldest events that are too many."""
        excess = self._events - self._eventsMax
        if excess <= 0:
            return
        kept: deque[bytes] = deque()
        for asdu in self._waiting:
            if excess and isEvent(asdu):
                excess -= 1
                self._events -= 1
                self.lost += 1
            else:
                kept.append(asdu)
        self._waiting = kept
