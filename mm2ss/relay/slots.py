"""Which originator address each master has towards the RTU."""

from __future__ import annotations

from collections import deque
from heapq import heapify, heappop, heappush

#: Seconds before the number of a master that left is given to another: a late answer that
#: carries it must not reach a stranger.
QUARANTINE = 60.0
_SLOTS = range(1, 256)


class Slots:
    """The 255 originator addresses of one group; the lowest that is out of quarantine is used."""

    def __init__(self) -> None:
        self._free = list(_SLOTS)
        heapify(self._free)
        self._resting: deque[tuple[float, int]] = deque()

    def take(self, now: float) -> int:
        """A slot (1-255) for a master.

        When none is out of quarantine the one that has rested longest is taken.

        :raises ValueError: when all 255 are in use.
        """
        resting = self._resting
        while resting and resting[0][0] <= now:
            heappush(self._free, resting.popleft()[1])
        if self._free:
            return heappop(self._free)
        if not resting:
            raise ValueError("all 255 originator addresses are in use")
        return resting.popleft()[1]

    def giveBack(self, slot: int, now: float) -> None:
        """The master left; its slot rests for `QUARANTINE` seconds."""
        self._resting.append((now + QUARANTINE, slot))
