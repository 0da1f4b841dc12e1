"""Groups that leave the journal and come to it while it runs."""

from __future__ import annotations

from random import Random

import pytest
from twisted.internet.defer import Deferred
from twisted.logger import LogLevel

from mm2ss.relay.journal import GroupJournal, GroupKey, Hold
from tests.journals import NORTH, SOUTH, JournalLog, JournalWorld, collectLog
from tests.powercut import ModelDisk

journalLog = pytest.fixture(collectLog)


def _heedless(_success: bool) -> None:
    """Who does not care whether a write succeeded."""


def closing(world: JournalWorld, group: GroupJournal, keep: bool) -> list[None]:
    """Close a group's part; the list is not empty when that is done."""
    done: list[None] = []
    closed: Deferred[None] = world.service.close(group, keep)
    closed.addCallback(done.append)
    return done


def reopened(world: JournalWorld, keep: bool = True) -> GroupJournal:
    """The north's part, closed and opened again."""
    done = closing(world, world.north, keep)
    world.work(rounds=2)
    assert done == [None]
    world.groups[NORTH] = world.service.open(NORTH)
    return world.north


def test_whatIsHeldIsForTheNextGroupOfTheSameKey() -> None:
    """What is on disk and not settled, in order, numbered anew; also what was still on its way."""
    world = JournalWorld()
    world.write(0, b"one", b"two", b"three", step=5)
    world.work()
    world.north.settle(3)
    world.write(20, b"four")
    assert reopened(world).held == [b"two", b"three", b"four"]
    assert world.north.figures.frames == 3


def test_positionsOfTheNextGroupAreItsOwn() -> None:
    """It settles and writes from 0 on, and a crash finds what it has left."""
    world = JournalWorld()
    world.write(100, b"one", b"two", b"three", step=100)
    world.work()
    north = reopened(world)
    north.settle(1)
    world.write(3, b"four")
    world.work(2.0)
    assert north.figures.frames == 3
    assert reopened(world).held == [b"two", b"three", b"four"]
    world.stop()
    assert world.again().north.held == [b"two", b"three", b"four"]


def test_connectionsOfTheRtuAreRemembered() -> None:
    """Where one began among what is held is known: between two writes, where the group was opened
    again, and where the process was started again."""
    world = JournalWorld()
    write = world.north.write
    write([(0, b"a"), (1, b"b")], _heedless, 4)
    write([(2, b"c")], _heedless, 4)
    write([(5, b"d"), (6, b"e"), (7, b"f")], _heedless, 6)
    world.north.settle(1)
    world.work()
    assert world.north.breaks == []
    assert (reopened(world).held, world.north.breaks) == ([b"b", b"c", b"d", b"e", b"f"], [2])
    world.north.write([(5, b"g"), (6, b"h")], _heedless, 6)
    world.north.settle(3)
    world.work(1.0)
    world = world.again()
    assert (world.north.held, world.north.breaks) == ([b"e", b"f", b"g", b"h"], [2])
    world.north.write([(4, b"i")], _heedless, 6)
    world.work(1.0)
    world = world.again()
    assert (len(world.north.held), world.north.breaks) == (5, [2, 4])
    world.stop()


def test_aClosedGroupIsToldNothing() -> None:
    """Neither how its writes ended nor of room, and what it still says is not heard."""
    world = JournalWorld(hold=Hold(frames=2))
    rooms: list[bool] = []
    old = world.north
    old.onRoom = lambda: rooms.append(True)
    world.write(0, b"one", b"two")
    world.write(2, b"three")  # refused
    done = closing(world, old, keep=True)
    old.settle(2)
    world.write(2, b"three", group=old)
    world.work(1.0, rounds=2)
    assert (done, world.told, rooms) == ([None], [], [])
    assert world.service.open(NORTH).held == [b"one", b"two"]
    world.stop()


def test_aKeyIsOpenUntilItIsClosed() -> None:
    """Two groups never work on the same events."""
    world = JournalWorld()
    world.write(0, b"one")
    done = closing(world, world.north, keep=True)
    assert done == []
    with pytest.raises(ValueError, match="open already"):
        world.service.open(NORTH)
    world.work(rounds=2)
    assert done == [None]
    world.service.open(NORTH)


def test_whatIsOnItsWayIsWaitedFor() -> None:
    """What was handed over in this turn, and the writer has not seen yet."""
    world = JournalWorld()
    world.write(0, b"one")
    done = closing(world, world.north, keep=True)
    assert world.service._writer is not None
    world.service._writer.round()
    world.clock.hear()
    assert done == []
    world.work(rounds=2)
    assert done == [None]
    assert world.service.open(NORTH).held == [b"one"]


def test_whatNobodyTakesOverIsSetAside(journalLog: JournalLog) -> None:
    """As at a start: a file with the events, a line in the log, and a new group has nothing."""
    world = JournalWorld()
    world.write(0, b"one", b"two")
    world.write(0, b"south", group=world.south)
    world.work()
    assert reopened(world, keep=False).held == []
    (name,) = [name for name in world.disk.names() if name.startswith("events-1-")]
    lines = world.disk.read(name).decode().splitlines()
    assert [line.split()[-1] for line in lines[1:]] == [b"one".hex(), b"two".hex()]
    assert [name in line for line in journalLog.lines(LogLevel.error)] == [True]
    assert world.service.figures.setAside == 2
    world.write(0, b"new")
    world.work(2.0)
    world.stop()
    world = world.again()
    assert (world.north.held, world.south.held) == ([b"new"], [b"south"])


def test_whatCannotBeSetAsideStays() -> None:
    """On a full disk; the group gets it when it comes back, else the next start sets it aside."""
    world = JournalWorld()
    world.write(0, b"one")
    world.work()
    world.disk.capacity = 0
    assert reopened(world, keep=False).held == [b"one"]


def test_expectedGroupsAreNotSetAside() -> None:
    """What the start finds of a group that is opened a moment later is kept for it."""
    world = JournalWorld()
    world.write(9, b"one")
    world.work()
    world.stop()
    world.disk.cutPower()
    later = JournalWorld(world.disk, [SOUTH], expected=[NORTH])
    assert later.service.open(NORTH).held == [b"one"]


def test_ageIsLookedAtLater() -> None:
    """What is too old when a group is opened is given up when it asks."""
    world = JournalWorld(hold=Hold(age=100))
    world.write(0, b"old")
    world.work()
    world.wall += 60
    world.write(1, b"young")
    world.work(1.0)
    world.wall += 60
    north = reopened(world)
    assert north.held == [b"old", b"young"]
    assert north.expire() == 1
    assert north.figures.frames == 1


def test_closingEndsWithTheJournal() -> None:
    """A journal that stops, or whose writer dies, leaves nobody waiting."""
    world = JournalWorld()
    world.write(0, b"one")
    done = closing(world, world.north, keep=True)
    world.stop()
    assert done == [None]
    assert world.again().north.held == [b"one"]


def test_closingEndsWithTheWriter(loggedFailures: list[object]) -> None:
    """What it has not done is left to the next start."""
    world = JournalWorld()
    world.write(0, b"one")
    world.work()
    assert world.service._writer is not None
    world.service._writer.call(lambda: 1 // 0)
    done = closing(world, world.north, keep=True)
    world.service._writer.run()
    world.clock.hear()
    assert done == [None]
    assert "ZeroDivisionError" in world.service.open(NORTH).full
    loggedFailures.clear()


def test_aGroupIsClosedBeforeTheStart() -> None:
    """Then there is nothing to wait for."""
    world = JournalWorld(ModelDisk(Random(2)), [])
    world.stop()
    key = GroupKey(9, 9, "nine")
    done = closing(world, world.service.open(key), keep=True)
    assert done == [None]
