"""How late the reactor is: what a program that does all in one thread must know of itself."""

from __future__ import annotations

from bisect import bisect_left

from twisted.application.service import Service
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from mm2ss.relay.snapshot import HistogramSnapshot

#: Seconds from one sample to the next.
PERIOD = 0.5
#: Seconds that end the classes of lateness.
LAGS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


class LoopLag(Service):
    """Asks to be called each `PERIOD`, and counts how late it is.

    :param clock: monotonic time and timers.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._counts = [0] * (len(LAGS) + 1)
        self._total = 0.0
        self._call: IDelayedCall | None = None

    def startService(self) -> None:
        """Begin to count."""
        Service.startService(self)
        self._next()

    def stopService(self) -> None:
        """Count no more."""
        Service.stopService(self)
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def snapshot(self) -> HistogramSnapshot:
        """How late it was, in seconds."""
        return HistogramSnapshot(LAGS, tuple(self._counts), self._total)

    def _next(self) -> None:
        due = self._clock.seconds() + PERIOD
        self._call = self._clock.callLater(PERIOD, self._sample, due)

    def _sample(self, due: float) -> None:
        lag = max(0.0, self._clock.seconds() - due)
        self._counts[bisect_left(LAGS, lag)] += 1
        self._total += lag
        self._next()
