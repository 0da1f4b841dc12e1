"""The integrated totals of a simulated station: freeze, reset and read."""

from __future__ import annotations

from enum import IntEnum

from mm2ss.iec104.elements import InformationObject
from mm2ss.iec104.values import BCR
from mm2ss.simulator.points import Point, Points

#: RQT of a general counter request; 1-4 are groups.
GENERAL = 5
#: Counters go on with 0 after the highest 32-bit signed number.
_WRAP = 1 << 31
#: The sequence number of readings has 5 bits.
_READINGS = 32


class Freeze(IntEnum):
    """FRZ of a counter interrogation (60870-5-101 7.2.6.23)."""

    READ = 0
    FREEZE = 1
    FREEZE_RESET = 2
    RESET = 3


class Counters:
    """What was frozen of the counters of one station.

    A read gives what was frozen last; of a counter that was never frozen, what it has counted.

    :param points: where the counters count.
    """

    def __init__(self, points: Points) -> None:
        self._points = points
        self._frozen: dict[int, BCR] = {}

    def members(self, rqt: int) -> list[Point]:
        """The counters that a request (RQT 1-5) is for.

        :raises ValueError: when RQT is none of these.
        """
        if not 1 <= rqt <= GENERAL:
            raise ValueError(f"RQT {rqt} is not 1-{GENERAL}")
        return self._points.counters(0 if rqt == GENERAL else rqt)

    def act(self, rqt: int, freeze: Freeze) -> None:
        """Freeze and reset as told; a read does nothing."""
        for point in self.members(rqt):
            if freeze in (Freeze.FREEZE, Freeze.FREEZE_RESET):
                sequence = (self._frozen[point.address].sq + 1) if self._known(point) else 1
                self._frozen[point.address] = BCR(
                    counter=int(point.value) % _WRAP, sq=sequence % _READINGS, iv=point.invalid
                )
            if freeze in (Freeze.FREEZE_RESET, Freeze.RESET):
                point.value = 0

    def read(self, rqt: int) -> list[InformationObject]:
        """The readings, in the order of the addresses."""
        return [
            InformationObject.of(point.address, self._reading(point)) for point in self.members(rqt)
        ]

    def _known(self, point: Point) -> bool:
        return point.address in self._frozen

    def _reading(self, point: Point) -> BCR:
        if self._known(point):
            return self._frozen[point.address]
        return BCR(counter=int(point.value) % _WRAP, iv=point.invalid)
