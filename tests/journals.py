"""A journal service for tests: without its thread, on a model disk or a real one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import Any

from twisted.internet.task import Clock
from twisted.logger import ILogObserver, LogEvent, LogLevel, formatEvent, globalLogPublisher
from zope.interface import implementer

from mm2ss.relay.journal import GroupJournal, GroupKey, Hold, JournalService
from tests.powercut import ModelDisk

NORTH = GroupKey(1, 11, "north")
SOUTH = GroupKey(2, 11, "south")


class InlineReactor(Clock):
    """Time, and calls from the thread that is none; they wait for `hear`."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[Callable[[], Any]] = []

    def callFromThread(self, call: Callable[..., Any], *args: Any) -> None:
        self.said.append(lambda: call(*args))

    def hear(self) -> None:
        said, self.said = self.said, []
        for call in said:
            call()


class JournalWorld:
    """A running journal; `work` is what the thread and the reactor do by themselves.

    :ivar told: what the writes' callbacks were told: their first position and the result.
    """

    def __init__(
        self,
        disk: ModelDisk | None = None,
        keys: Sequence[GroupKey] = (NORTH, SOUTH),
        hold: Hold = Hold(),  # noqa: B008  # it is frozen
        segmentSize: int = 4000,
        reserve: int = 2000,
        wall: float = 1e9,
        expected: Sequence[GroupKey] = (),
    ) -> None:
        self.disk = disk or ModelDisk(Random(1))
        self.clock = InlineReactor()
        self.wall = wall
        self.service = JournalService(
            "/model",
            self.clock,
            lambda: self.wall,
            hold,
            segmentSize,
            reserve,
            self.disk,
            startThread=lambda target: lambda: None,
            now=self.clock.seconds,
        )
        self.service.expected = expected
        self.groups = {key: self.service.open(key) for key in keys}
        self.told: list[tuple[int, bool]] = []
        self.service.startService()

    @property
    def north(self) -> GroupJournal:
        return self.groups[NORTH]

    @property
    def south(self) -> GroupJournal:
        return self.groups[SOUTH]

    def write(
        self, first: int, *asdus: bytes, group: GroupJournal | None = None, step: int = 1
    ) -> None:
        """Hand entries over, from a position on."""
        entries = [(first + step * index, asdu) for index, asdu in enumerate(asdus)]
        (group or self.north).write(entries, lambda success: self.told.append((first, success)))

    def work(self, seconds: float = 0.0, rounds: int = 1) -> None:
        """Let the writer do what is due, after some time, and the reactor hear of it."""
        self.clock.advance(seconds)
        for _ in range(rounds):
            writer = self.service._writer
            assert writer is not None
            writer.round()
            self.clock.hear()
            self.clock.advance(0)

    def stop(self) -> None:
        """Stop in order."""
        ended: list[None] = []
        self.service.stopService().addCallback(ended.append)
        if not ended:
            assert self.service._writer is not None
            # What the thread does when it is told to stop.
            self.service._writer.run()
            self.clock.hear()
        assert ended == [None]
        assert self.clock.getDelayedCalls() == []

    def again(self, keys: Sequence[GroupKey] = (NORTH, SOUTH), **changes: Any) -> JournalWorld:
        """The power is cut, and there is a new process."""
        self.disk.cutPower()
        return JournalWorld(self.disk, keys, **changes)


@implementer(ILogObserver)
class JournalLog:
    """What the journal says in the log."""

    def __init__(self) -> None:
        self.events: list[LogEvent] = []

    def __call__(self, event: LogEvent) -> None:
        if event.get("log_namespace", "").startswith("mm2ss.relay.journal"):
            self.events.append(event)

    def lines(self, level: LogLevel, group: int | None = None) -> list[str]:
        """The texts of one level, of one group's event log or of twistd's."""
        return [
            formatEvent(event)
            for event in self.events
            if event["log_level"] is level and event.get("group") == group
        ]


def collectLog() -> Iterator[JournalLog]:
    """A fixture: all that is said during the test."""
    log = JournalLog()
    globalLogPublisher.addObserver(log)
    yield log
    globalLogPublisher.removeObserver(log)
