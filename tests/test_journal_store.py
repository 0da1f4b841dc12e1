"""The journal's files in the long run: rotation, tidying up, the order of operations, no room."""

from __future__ import annotations

from random import Random

import pytest

from mm2ss.relay import journalstate
from mm2ss.relay.journalstate import SPARE_FILES, SPARE_SEGMENTS
from tests.journals import NORTH, JournalWorld
from tests.powercut import ModelDisk

SEGMENT = 4000


def commits(world: JournalWorld, count: int, first: int = 0, settle: bool = True) -> int:
    """Write 10 events of 100 octets so many times, and settle each at once.

    :return: the next position.
    """
    for _ in range(count):
        world.write(first, *(b"%08d" % (first + index) + bytes(92) for index in range(10)))
        world.work(0.1)
        first += 10
        if settle:
            world.north.settle(first)
    return first


def segments(disk: ModelDisk) -> list[str]:
    return [name for name in disk.listing() if name.startswith("segment-")]


def test_nothingIsMadeBeforeItIsNeeded() -> None:
    """A journal in which nothing was ever put has no file."""
    world = JournalWorld()
    world.work(rounds=3)
    world.stop()
    assert world.disk.listing() == []


def test_aCommitIsOneWriteAndOneSync() -> None:
    """Also for many groups; a new segment's head is written before, its name synced after."""
    world = JournalWorld()
    world.disk.operations.clear()
    for group in world.groups.values():
        world.write(0, b"one", group=group)
        world.write(1, b"two", group=group)
    world.work()
    made = "create segment-000000000001"
    assert world.disk.operations == [made, "append", "append", "sync", "syncDirectory"]
    world.disk.operations.clear()
    for group in world.groups.values():
        world.write(2, b"three", group=group)
    world.work(1.0)
    assert world.disk.operations == ["append", "sync"]
    assert all(success for _, success in world.told)


def test_settledSegmentsAreDeleted() -> None:
    """However much passes through, what is settled does not stay."""
    world = JournalWorld()
    commits(world, 100)
    assert len(segments(world.disk)) <= 3
    assert world.disk.used < 3 * SEGMENT
    assert world.service.figures.carried == 0


def test_fewUnsettledEventsPinLittle() -> None:
    """One event in each segment is carried forward, and the files stay few, while another group
    writes and writes."""
    world = JournalWorld()
    for number in range(30):
        world.write(number, b"%d" % number, group=world.south)
        commits(world, 10, 100 * number)
    figures = world.service.figures
    assert figures.size <= (SPARE_SEGMENTS + 2) * SEGMENT
    assert 30 <= figures.carried < figures.written / 5
    world.stop()
    assert world.again().south.held == [b"%d" % number for number in range(30)]


def test_oneUnsettledEventPinsOneSegment() -> None:
    """Those behind it are deleted all the same, and nothing needs to be copied."""
    world = JournalWorld()
    world.write(0, b"the one", group=world.south)
    commits(world, 200)
    figures = world.service.figures
    assert figures.files <= 3
    assert figures.carried == 0


def test_copiesAreMadeInSmallSteps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two steps, waiting entries have their turn; what is copied keeps its order."""
    monkeypatch.setattr(journalstate, "CARRY_STEP", 300)
    monkeypatch.setattr(journalstate, "SPARE_SEGMENTS", 0)
    monkeypatch.setattr(journalstate, "SPARE_FILES", 1)
    world = JournalWorld()
    kept = [b"%02d" % number + bytes(98) for number in range(25)]
    world.write(0, *kept, group=world.south)
    world.work()
    before = world.service.figures.carried
    commits(world, 12)
    steps = []
    for _ in range(60):
        world.work(0.1)
        after = world.service.figures.carried
        steps.append(after - before)
        before = after
    assert max(steps) <= 3
    assert before >= 25
    assert world.again().south.held == kept


def test_manyShortSegmentsBecomeFew() -> None:
    """A process that is started again and again leaves no heap of files behind."""
    world = JournalWorld()
    for number in range(3 * SPARE_FILES):
        world.write(len(world.north.held), b"%d" % number)
        world.work(rounds=30)
        world = world.again()
    assert len(segments(world.disk)) <= SPARE_FILES + 2
    assert world.north.held == [b"%d" % number for number in range(3 * SPARE_FILES)]


def test_someRoomIsLeftOnTheDisk() -> None:
    """Entries are refused before the disk is full, so that marks and copies still work."""
    world = JournalWorld(reserve=8000)
    world.disk.capacity = 20_000
    commits(world, 20, settle=False)
    assert False in [success for _, success in world.told]
    assert world.disk.free() is not None and (world.disk.free() or 0) > 500
    assert "KiB" in world.north.full
    world.north.settle(10_000)
    world.work(40.0, rounds=3)
    assert world.north.full == ""


def test_ownDeadFilesGoThoughTheDiskIsFull() -> None:
    """With not an octet free, also after a restart, what is settled is deleted: the journal never
    keeps itself out."""
    world = JournalWorld(reserve=0)
    last = commits(world, 20, settle=False)
    assert len(world.again(reserve=0).north.held) == last
    world.disk.capacity = world.disk.used
    world = JournalWorld(world.disk, reserve=0)
    world.work(rounds=3)
    assert world.north.full
    world.north.settle(last)
    world.work(40.0, rounds=3)
    world.work(40.0, rounds=3)
    assert world.north.full == ""
    assert world.disk.used < 2 * SEGMENT


def test_aMarkSurvivesWithTheNextCommit() -> None:
    """Marks are not synced for themselves, but with whatever is synced next."""
    world = JournalWorld()
    world.write(0, b"one", b"two")
    world.work()
    world.north.settle(1)
    world.write(2, b"three")
    world.work(0.1)
    assert world.told[-1] == (2, True)
    assert world.again().north.held == [b"two", b"three"]


def test_marksCostNoSync() -> None:
    """Settling alone syncs nothing, and however much is settled at once is one write."""
    world = JournalWorld()
    world.write(0, *[b"x"] * 50)
    world.work()
    world.disk.operations.clear()
    for position in range(50):
        world.north.settle(position)
        if position % 10 == 9:
            world.work(0.01)
    assert world.disk.operations == ["append"] * 5


def test_whatFailedNeverReturns() -> None:
    """Entries that were refused, though they are on disk, are void: what is offered instead may
    be others, and has their numbers."""
    for seed in range(20):
        world = JournalWorld(ModelDisk(Random(seed)))
        world.write(0, b"0")
        world.work()
        world.write(1, b"1", b"2", b"3")
        world.disk.failures = {1: 5, 2: 5}
        world.work(0.1)
        assert world.told == [(0, True), (1, False)]
        world.north.settle(3)
        world.work(2.0)
        world.write(3, b"3", b"4")
        world.work(2.0)
        assert world.told[-1] == (3, True)
        assert world.again().north.held == [b"3", b"4"]


def test_marksOutliveTheSegmentTheyStandIn() -> None:
    """What is settled does not return, though the segment that said so is deleted first."""
    world = JournalWorld()
    world.write(0, b"pins the first segment", group=world.south)
    world.write(0, b"settled")
    world.work()
    world.north.settle(1)
    commits(world, 50, first=1)
    world.stop()
    assert "segment-000000000001" in world.disk.listing()
    world = world.again()
    assert world.north.held == []
    assert len(world.south.held) == 1


def test_afterAFailedSyncTheFileIsLeft() -> None:
    """What was written before it is written again into a new segment before it is confirmed."""
    for seed in range(20):
        world = JournalWorld(ModelDisk(Random(seed)))
        world.write(0, b"one")
        world.work()
        world.write(1, b"two")
        world.disk.failures[1] = 5
        world.work(0.1)
        assert world.told == [(0, True), (1, True)]
        assert world.service.figures.failures == 1
        assert len(segments(world.disk)) == 2
        assert world.again([NORTH]).north.held == [b"one", b"two"]
