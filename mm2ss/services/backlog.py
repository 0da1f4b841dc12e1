"""Lines on their way to a file: they wait while it cannot be written, and no gap is silent."""

from __future__ import annotations

from collections.abc import Callable

from mm2ss.services.rotatingfile import RotatingFile


class Backlog:
    """One file and the lines that are not in it yet.

    :ivar octets: of the lines that wait.
    :ivar lost: lines that were dropped after those that wait.
    :ivar troubled: the last try to write the file failed; set by who tries.
    :param gap: makes the line that tells how many were lost.
    """

    def __init__(self, file: RotatingFile, gap: Callable[[int], bytes]) -> None:
        self.file = file
        self.octets = 0
        self.lost = 0
        self.troubled = False
        self._gap = gap
        # Lost lines for which lines stand among those that wait, less these.
        self._told = 0
        self._waiting: list[bytes] = []

    @property
    def waiting(self) -> int:
        """How many lines wait."""
        return len(self._waiting)

    def add(self, line: bytes, isFull: bool) -> bool:
        """Let a line wait for its file to be written, or drop and count it.

        :param isFull: there is no room for it, if the file cannot be written.
        :return: whether it waits.
        """
        # What comes after a lost line is lost too, until the file says how many there were:
        # the order in the file is the order of the lines.
        if self.lost or (self.troubled and isFull):
            self.lost += 1
            return False
        self._waiting.append(line)
        self.octets += len(line)
        return True

    def write(self) -> None:
        """Append to the file all that waits for it, and how much was lost.

        :raises OSError: what could not be written goes on waiting.
        """
        try:
            self.file.take(self._waiting)
            if self.lost:
                self._waiting.append(self._gap(self.lost))
                self._told += self.lost - 1
                self.lost = 0
                self.file.take(self._waiting)
            self._told = 0
        finally:
            self.octets = sum(map(len, self._waiting))

    def forget(self) -> int:
        """Give up what waits, and begin anew; gives how many lines are lost by now."""
        count = len(self._waiting) + self.lost + self._told
        self._waiting.clear()
        self.octets = self.lost = self._told = 0
        self.troubled = False
        return count
