"""A journal in memory, that takes its time and fails when told to."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence

from twisted.internet.interfaces import IReactorTime

from mm2ss.relay.journalapi import GroupFigures


class MemoryJournal:
    """One group's part of a journal that outlives the group, as a disk does.

    :ivar disk: what is on disk, by position.
    :ivar failing: whether writing fails.
    :ivar latency: seconds that a write takes.
    """

    def __init__(
        self, clock: IReactorTime, held: Sequence[bytes] = (), breaks: Sequence[int] = ()
    ) -> None:
        self._clock = clock
        self.held = list(held)
        self.breaks = list(breaks)
        self.disk = dict(enumerate(held))
        # On which connection of the RTU each came; below 0: of an earlier process.
        self._sessions = {at: bisect_right(breaks, at) - len(held) for at in self.disk}
        self.settled = 0
        self.failing = False
        self.latency = 0.01
        self.onRoom: Callable[[], None] = lambda: None

    @property
    def full(self) -> str:
        return "the disk is full" if self.failing else ""

    @property
    def room(self) -> int:
        return 0 if self.failing else 100_000

    def write(
        self, entries: Sequence[tuple[int, bytes]], done: Callable[[bool], None], session: int = 0
    ) -> None:
        assert entries
        self._clock.callLater(self.latency, self._write, dict(entries), done, session)

    def _write(self, entries: dict[int, bytes], done: Callable[[bool], None], session: int) -> None:
        if not self.failing:
            self.disk |= entries
            self._sessions |= dict.fromkeys(entries, session)
        done(not self.failing)

    def settle(self, position: int) -> None:
        assert position > self.settled
        self.settled = position

    def expire(self) -> int:
        return 0

    @property
    def unsettled(self) -> list[bytes]:
        """What the next process would find."""
        return [self.disk[at] for at in self._places]

    @property
    def unsettledBreaks(self) -> list[int]:
        """Where in it a connection of the RTU began."""
        sessions = [self._sessions[at] for at in self._places]
        return [at for at in range(1, len(sessions)) if sessions[at] != sessions[at - 1]]

    @property
    def _places(self) -> list[int]:
        return sorted(at for at in self.disk if at >= self.settled)

    @property
    def figures(self) -> GroupFigures:
        held = self.unsettled
        return GroupFigures(len(held), sum(map(len, held)), len(self.disk), 0, 0, self.full)
