"""Which originator address each master has towards the RTU."""

from __future__ import annotations

from collections.abc import Set
from heapq import heappop, heappush

#: Seconds before the number of a master that left is given to another: a late answer that
#: carries it must not reach a stranger.
QUARANTINE = 60.0
_LAST = 255


class Slots:
    """The 255 originator addresses of one group; the lowest that is out of quarantine is used."""

    def __init__(self) -> None:
        self._next = 1  # neither this nor any above it was ever given
        self._free: list[int] = []  # a heap of what has rested
        self._resting: list[tuple[float, int]] = []

    def take(self, now: float, pending: Set[int] = frozenset()) -> int:
        """A slot (1-255) for a master.

        When none is out of quarantine the one that has rested longest is taken, if possible one
        that is not pending.

        :param pending: slots under which something was asked that may still be answered.
        :raises ValueError: when all 255 are in use.
        """
        resting = [entry for entry in self._resting if entry[0] > now or entry[1] in pending]
        for until, slot in self._resting:
            if until <= now and slot not in pending:
                heappush(self._free, slot)
        self._resting = resting
        if self._free:
            return heappop(self._free)
        if self._next <= _LAST:
            self._next += 1
            return self._next - 1
        if not resting:
            raise ValueError("all 255 originator addresses are in use")
        oldest = next((entry for entry in resting if entry[1] not in pending), resting[0])
        resting.remove(oldest)
        return oldest[1]

    def giveBack(self, slot: int, now: float) -> None:
        """The master left; its slot rests for `QUARANTINE` seconds, and longer while pending."""
        self._resting.append((now + QUARANTINE, slot))
