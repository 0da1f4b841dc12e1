"""A journal in memory, that takes its time and fails when told to."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from twisted.internet.interfaces import IReactorTime

from mm2ss.relay.journalapi import GroupFigures


class MemoryJournal:
    """One group's part of a journal that outlives the group, as a disk does.

    :ivar disk: what is on disk, by position.
    :ivar failing: whether writing fails.
    :ivar latency: seconds that a write takes.
    """

    def __init__(self, clock: IReactorTime, held: Sequence[bytes] = ()) -> None:
        self._clock = clock
        self.held = list(held)
        self.disk = dict(enumerate(held))
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

    def write(self, entries: Sequence[tuple[int, bytes]], done: Callable[[bool], None]) -> None:
        assert entries
        self._clock.callLater(self.latency, self._write, dict(entries), done)

    def _write(self, entries: dict[int, bytes], done: Callable[[bool], None]) -> None:
        if not self.failing:
            self.disk |= entries
        done(not self.failing)

    def settle(self, position: int) -> None:
        assert position > self.settled
        self.settled = position

    def expire(self) -> int:
        return 0

    @property
    def unsettled(self) -> list[bytes]:
        """What the next process would find."""
        return [self.disk[at] for at in sorted(self.disk) if at >= self.settled]

    @property
    def figures(self) -> GroupFigures:
        held = self.unsettled
        return GroupFigures(len(held), sum(map(len, held)), len(self.disk), 0, 0, self.full)
