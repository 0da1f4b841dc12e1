"""One pending timer call for one deadline that moves all the time."""

from __future__ import annotations

from collections.abc import Callable
from math import inf

from twisted.internet.interfaces import IDelayedCall, IReactorTime

#: Seconds of lateness after which the alarm looks at the sockets first: reactors run their timers
#: before they read, so after a long pause of the process an acknowledgement may lie unread while
#: its time-out is judged.
LATE = 1.0


class Alarm:
    """Calls back no earlier than a deadline, with at most one pending call.

    A deadline that moves away leaves the call where it is: it comes early, its owner finds
    nothing to do and sets the alarm anew. So a busy connection does not touch its timer.

    :param clock: monotonic time and timers.
    :param wake: called when the alarm goes off; may be early, never late.
    :ivar at: when it goes off; inf = not set.
    """

    def __init__(self, clock: IReactorTime, wake: Callable[[], object]) -> None:
        self._clock = clock
        self._wake = wake
        self._call: IDelayedCall | None = None
        self.at = inf
        self._late = False

    def set(self, deadline: float) -> None:
        """Go off at this time (seconds of the clock; inf = not before it is set again)."""
        if deadline >= self.at:
            return
        self.at = deadline
        if self._call is not None:
            # Not reset(): Twisted then searches its list of all timers for this one.
            self._call.cancel()
        delay = max(0.0, deadline - self._clock.seconds())
        self._call = self._clock.callLater(delay, self._goOff)

    def cancel(self) -> None:
        """Leave nothing pending."""
        self.at = inf
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def _goOff(self) -> None:
        self._call = None
        if not self._late and self._clock.seconds() - self.at > LATE:
            self._late = True
            self._call = self._clock.callLater(0, self._goOff)
            return
        self._late = False
        self.at = inf
        self._wake()
