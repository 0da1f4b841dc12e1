"""Which frames of the RTU's present connection stand where in the ledger."""

from __future__ import annotations

from collections.abc import Sequence


class AckPoint:
    """Turns a place in the ledger into a count of frames that the RTU may be acknowledged.

    The RTU counts the frames of one connection, the ledger the entries of the group's life. A
    frame that never entered the ledger (an answer for one master, say) holds nothing back.

    :ivar received: frames received on this connection.
    """

    def __init__(self) -> None:
        self.received = 0
        # Runs of consecutive frames that are consecutive entries: (frame, position, length).
        # (A list, as all queues that are short: an empty deque costs 760 octets.)
        self._runs: list[tuple[int, int, int]] = []

    def add(self, count: int, position: int, others: Sequence[int]) -> None:
        """Frames were received.

        :param count: how many.
        :param position: the ledger's end before them.
        :param others: which of them, counted from 0, did not enter the ledger; ascending.
        """
        start = 0
        for other in (*others, count):
            length = other - start
            if length > 0:
                self._push(self.received + start, position, length)
                position += length
            start = other + 1
        self.received += count

    def _push(self, frame: int, position: int, length: int) -> None:
        if self._runs:
            first, at, before = self._runs[-1]
            if first + before == frame and at + before == position:
                self._runs[-1] = (first, at, before + length)
                return
        self._runs.append((frame, position, length))

    def reached(self, secured: int) -> int:
        """How many frames may be acknowledged when all entries before `secured` are safe.

        :param secured: a position that never goes back.
        """
        runs = self._runs
        while runs:
            frame, position, length = runs[0]
            done = secured - position
            if done < length:
                return frame + max(done, 0)
            runs.pop(0)
        return self.received

    def positionOf(self, frame: int) -> int | None:
        """The place of the first entry at or after a frame; None when there is none."""
        for first, position, length in self._runs:
            if frame < first + length:
                return position + max(frame - first, 0)
        return None
