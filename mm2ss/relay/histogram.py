"""A histogram: how many values fell into each of some classes, and what they sum up to."""

from __future__ import annotations

from bisect import bisect_left

from mm2ss.relay.snapshot import HistogramSnapshot


class Histogram:
    """Counts values by size. Plain integers, so that adding one costs next to nothing.

    :param bounds: the largest value of each class, rising; what is larger than the last one has a
        class of its own.
    """

    __slots__ = ("_bounds", "_counts", "_sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def add(self, value: float) -> None:
        """Count a value."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def snapshot(self, zeros: int = 0) -> HistogramSnapshot:
        """The counts of this moment.

        :param zeros: values of 0 that were counted elsewhere.
        """
        first, *others = self._counts
        return HistogramSnapshot(self._bounds, (first + zeros, *others), self._sum)
