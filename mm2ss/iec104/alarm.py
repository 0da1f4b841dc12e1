"""Deadlines that move all the time, by the thousand, with one pending call of the reactor."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from heapq import heappop, heappush
from math import ceil, inf

from twisted.internet.interfaces import IDelayedCall, IReactorTime

#: Seconds of lateness after which the alarms look at the sockets first: reactors run their timers
#: before they read, so after a long pause of the process an acknowledgement may lie unread while
#: its time-out is judged.
LATE = 1.0
#: What is more than `FAR` seconds ahead may come up to `SLICE` seconds late, so that all that is
#: due in one slice of time wakes the process once. (The standard gives its time-outs in whole
#: seconds. A power of two, because its multiples are exact.)
FAR = 2.0
SLICE = 0.125


class Wheel:
    """The alarms of a process.

    :param clock: monotonic time and timers.
    :param late: told that they are late, and go off in the reactor's next turn.
    """

    def __init__(self, clock: IReactorTime, late: Callable[[], object] = lambda: None) -> None:
        self._clock = clock
        self._late = late
        self._seconds = clock.seconds
        # The alarms by the moment when they go off, and these moments, as a heap. A slice that
        # becomes empty stays until its moment.
        self._slices: dict[float, dict[Alarm, None]] = {}
        self._moments: list[float] = []
        self._ready: deque[tuple[float, Alarm]] = deque()  # what goes off now
        self._count = 0
        self._call: IDelayedCall | None = None
        self._calledAt = inf  # -inf while alarms go off

    def enter(self, alarm: Alarm, deadline: float) -> float:
        """Have an alarm go off that is not on the wheel; returns when it will.

        :param deadline: seconds of the clock.
        """
        moment = deadline
        if deadline - self._seconds() > FAR:
            moment = ceil(deadline / SLICE) * SLICE
        self._count += 1
        alarms = self._slices.get(moment)
        if alarms is not None:
            alarms[alarm] = None
            return moment
        self._slices[moment] = {alarm: None}
        heappush(self._moments, moment)
        if moment < self._calledAt:
            self._schedule()
        return moment

    def leave(self, alarm: Alarm, moment: float) -> None:
        """Take an alarm off the wheel.

        :param moment: what `enter` said.
        """
        alarms = self._slices.get(moment)
        if alarms is not None:
            alarms.pop(alarm, None)  # it may be among those that go off now
        self._count -= 1
        if not self._count and self._calledAt > -inf:
            self._schedule()

    def _schedule(self) -> None:
        """Have the reactor call at the first moment, if anybody waits for one."""
        if not self._count:
            self._slices.clear()
            self._moments.clear()
            self._ready.clear()
        if self._call is not None:
            # Not reset(): Twisted then searches its list of all timers for this one.
            self._call.cancel()
            self._call = None
        self._calledAt = inf
        if self._ready or self._moments:
            now = self._seconds()
            self._calledAt = now if self._ready else self._moments[0]
            self._call = self._clock.callLater(max(0.0, self._calledAt - now), self._goOff)

    def _goOff(self, mayBeLate: bool = False) -> None:
        self._call = None
        now = self._seconds()
        if now - self._calledAt > LATE and not mayBeLate:
            self._late()
            self._call = self._clock.callLater(0, self._goOff, True)
            return
        self._calledAt = -inf
        moments, ready = self._moments, self._ready
        while moments and moments[0] <= now:
            moment = heappop(moments)
            ready.extend((moment, alarm) for alarm in self._slices.pop(moment))
        try:
            while ready:
                moment, alarm = ready.popleft()
                if alarm.moment == moment:
                    self._count -= 1
                    alarm.goOff(now)
        finally:
            self._schedule()  # also for those that are behind one that has failed


class Alarm:
    """Calls back when a deadline has come, no earlier; later by `SLICE` at most if it was far.

    A deadline that moves away leaves the alarm where it is on the wheel: when that moment comes it
    is put where it then belongs. So a busy connection does not touch its timer.

    :param wheel: what it hangs on.
    :param wake: called when the deadline has come.
    :ivar at: the deadline, in seconds of the clock; inf = not set.
    :ivar moment: for the wheel: when it comes to this alarm; inf = it does not.
    """

    __slots__ = ("_wake", "_wheel", "at", "moment")

    def __init__(self, wheel: Wheel, wake: Callable[[], object]) -> None:
        self._wheel = wheel
        self._wake = wake
        self.at = inf
        self.moment = inf

    def set(self, deadline: float) -> None:
        """Go off at this time (seconds of the clock; inf = not before it is set again)."""
        isSooner = deadline < self.at
        self.at = deadline
        if isSooner and deadline < self.moment:
            if self.moment < inf:
                self._wheel.leave(self, self.moment)
            self.moment = self._wheel.enter(self, deadline)

    def cancel(self) -> None:
        """Leave nothing pending."""
        self.at = inf
        if self.moment < inf:
            self._wheel.leave(self, self.moment)
            self.moment = inf

    def goOff(self, now: float) -> None:
        """The wheel has come to this alarm, and has let go of it."""
        self.moment = inf
        if self.at <= now:
            self.at = inf
            self._wake()
        elif self.at < inf:
            self.moment = self._wheel.enter(self, self.at)
