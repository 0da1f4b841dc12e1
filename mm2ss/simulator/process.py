"""The process behind a simulated station: what changes by itself."""

from __future__ import annotations

from math import inf
from random import Random

from mm2ss.simulator.points import Kind, Point, Points

#: How far a measurand moves at once at the most, as a part of its range.
_STRIDE = 0.08
#: How much a counter counts at once at the most.
_PULSES = 9


class Process:
    """Changes points, each about as often as its activity says.

    The same seed gives the same changes at the same times.

    :param points: what may change; those without activity do not.
    :param random: where chance comes from.
    :param now: the monotonic second at which it begins.
    """

    def __init__(self, points: Points, random: Random, now: float) -> None:
        self._points = points
        self._random = random
        self._due = {
            point.address: now + random.uniform(0, point.activity)
            for point in points
            if point.activity > 0
        }

    @property
    def deadline(self) -> float:
        """When something changes next (monotonic seconds); inf = never."""
        return min(self._due.values(), default=inf)

    def advance(self, now: float) -> list[tuple[int, float]]:
        """The changes that are due, in their order: address and new value.

        What would have happened during a long pause happens once.
        """
        changes: list[tuple[int, float]] = []
        for address, due in sorted(self._due.items(), key=lambda item: item[1]):
            if due > now:
                break
            point = self._points.get(address)
            assert point is not None
            self._due[address] = now + self._pause(point)
            changes.append((address, self._next(point)))
        return changes

    def _pause(self, point: Point) -> float:
        if point.cyclic:
            return point.activity
        return point.activity * self._random.uniform(0.5, 1.5)

    def _next(self, point: Point) -> float:
        """Another value for the point, within its range."""
        if point.kind is Kind.SINGLE:
            return 1 - point.value
        if point.kind is Kind.DOUBLE:
            return 1 if point.value == 2 else 2
        if point.kind is Kind.COUNTER:
            return point.value + self._random.randint(1, _PULSES)
        if point.kind is Kind.BITSTRING:
            return int(point.value) ^ 1 << self._random.randrange(32)
        if point.kind is Kind.STEP:
            return self._bounded(point, point.value + self._random.choice((-1, 1)))
        stride = (point.high - point.low) * _STRIDE
        value = self._bounded(point, point.value + self._random.uniform(-stride, stride))
        return round(value) if point.kind is Kind.SCALED else round(value, 4)

    @staticmethod
    def _bounded(point: Point, value: float) -> float:
        return min(max(value, point.low), point.high)
