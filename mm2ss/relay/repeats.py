"""What the RTU may send again, and so where a master must begin that gets everything in order.

A connection of the RTU that ends may take acknowledgements with it that were on their way. On the
next one the RTU sends again what it believes unacknowledged, at most its last k frames, in order,
and behind them what has happened since. So within a connection events are in order, and where one
ends there is a *break*, behind which some may stand for the second time.
"""

from __future__ import annotations

from itertools import pairwise


class Repeats:
    """The breaks in a group's ledger.

    :param window: the RTU's k, or less, where no more can be kept.
    """

    __slots__ = ("_breaks", "_count", "_known", "_window")

    def __init__(self, window: int) -> None:
        self._window = window
        # The breaks behind what is settled: from where on the RTU may have sent again behind it
        # what stands before it, and its own position.
        self._breaks: list[tuple[int, int]] = []
        self._count = 0  # of all breaks that there ever were
        self._known = 0  # what stands before, the RTU does not send again from now on

    def interrupted(self, end: int) -> None:
        """The RTU's connection is lost, and the ledger ends here."""
        if end > self._known:
            self._breaks.append((self._repeated(end), end))
            self._count += 1
            self._known = end

    def confirmed(self, end: int) -> None:
        """The RTU has the acknowledgement of all that the ledger has until here."""
        self._known = end

    def _repeated(self, end: int) -> int:
        """From where on the RTU may send again what stands before the end."""
        return max(self._known, end - self._window)

    def origin(self, settled: int) -> int:
        """Where a master begins that starts now: at the first unsettled entry; or, where a break
        is behind that, at the first of what may stand behind the break, too."""
        breaks = self._breaks
        while breaks and breaks[0][1] <= settled:
            breaks.pop(0)
        return min(settled, breaks[0][0]) if breaks else settled

    def floor(self, settled: int, end: int) -> int:
        """What the origin will be if there is a break now; never less again."""
        return min(self.origin(settled), self._repeated(end))

    def sessions(self, start: int, end: int) -> list[tuple[int, int, int]]:
        """The entries from one position to another, cut at the breaks.

        :param start: not before the floor.
        :return: the number of each connection of the RTU, rising, and from where to where.
        """
        later = [position for _, position in self._breaks if position > start]
        parts = pairwise((start, *(position for position in later if position < end), end))
        return [(self._count - len(later) + index, *part) for index, part in enumerate(parts)]
