"""When the entries of a group's ledger came from the RTU, and how long they waited to be sent."""

from __future__ import annotations

from bisect import bisect_right
from math import inf

from mm2ss.relay.histogram import Histogram
from mm2ss.relay.snapshot import HistogramSnapshot

#: Seconds that end the classes of waits. A master that keeps up is in the first one.
WAITS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0)
#: Chunks of which the arrival is remembered one by one; beyond it several share a mark.
MARKS_MAX = 512


class Arrivals:
    """Remembers the moment of each chunk, as long as its entries may still have to be sent.

    Where somebody is more than `MARKS_MAX` chunks behind, marks are made more seldom: the wait of
    an entry is then too long by at most 1/128 of the time that is remembered. That they are made as
    often as before again waits until most of the seldom ones are gone: else these would be thinned
    again and again while he stays behind.
    """

    def __init__(self) -> None:
        # A mark: what stands at the position and behind it came at the moment, or later. What was
        # there before the first chunk came at a time that nobody knows.
        self._positions = [0]
        self._moments = [-inf]
        self._step = 0.0  # seconds from one mark to the next, at least
        self._newest = 0
        self._latest = -inf
        self._atOnce = 0
        self._waits = Histogram(WAITS)

    def came(self, position: int, now: float) -> None:
        """A chunk comes now.

        :param position: where its first entry will stand.
        """
        self._newest = position
        self._latest = now
        moments = self._moments
        if now - moments[-1] > self._step:
            self._positions.append(position)
            moments.append(now)
            if len(moments) > MARKS_MAX:
                self._thin()

    def sent(self, position: int, now: float) -> None:
        """A write hands entries to a connection now; the oldest of them stands at `position`."""
        if position >= self._newest:
            if now == self._latest:
                self._atOnce += 1
            else:
                self._waits.add(now - self._latest)
            return
        moment = self._moments[max(bisect_right(self._positions, position) - 1, 0)]
        if moment > -inf:
            self._waits.add(now - moment)

    def before(self, moment: float) -> int:
        """A position before which every entry came at that moment or earlier."""
        mark = bisect_right(self._moments, moment) - 1
        return self._positions[mark] if mark >= 0 else 0

    def waits(self) -> HistogramSnapshot:
        """How long the oldest entry of each write had waited, in seconds."""
        return self._waits.snapshot(self._atOnce)

    def forget(self, position: int) -> None:
        """Nothing before a position will be asked for any more."""
        passed = bisect_right(self._positions, position) - 1
        if passed > 0:
            del self._positions[:passed], self._moments[:passed]
            if len(self._moments) <= MARKS_MAX // 4:
                self._step = 0.0

    def _thin(self) -> None:
        """Make marks more seldom, and forget those that had not been made so."""
        positions, moments = self._positions, self._moments
        self._step = (moments[-1] - moments[1]) / (MARKS_MAX // 2)
        self._positions, self._moments = positions[:1], moments[:1]
        for position, moment in zip(positions, moments, strict=True):
            if moment - self._moments[-1] > self._step:
                self._positions.append(position)
                self._moments.append(moment)
