"""What a group sees of the journal: callbacks, bounds, age, room, failures, the end."""

from __future__ import annotations

import errno
from itertools import pairwise
from random import Random

import pytest
from twisted.logger import LogEvent, LogLevel

from mm2ss.relay import journal
from mm2ss.relay.journal import GroupKey, Hold, JournalError, JournalService
from mm2ss.relay.journalapi import LATENCY_CLASSES, SafeCopy
from tests.journals import NORTH, SOUTH, InlineReactor, JournalLog, JournalWorld, collectLog
from tests.powercut import ModelDisk

journalLog = pytest.fixture(collectLog)


def test_journalIsASafeCopy() -> None:
    """What the service gives is what the pure modules know."""
    copy: SafeCopy = JournalWorld().north
    assert copy.held == []


def test_doneComesInALaterTurn() -> None:
    """Never from within write, whatever the result is."""
    world = JournalWorld()
    world.write(0, b"one")
    world.write(1)
    assert world.told == []
    world.work()
    assert world.told == [(0, True), (1, True)]


def test_positionsMayHaveGaps() -> None:
    """What needs no safe copy is left out; positions begin with what is held."""
    world = JournalWorld()
    world.write(3, b"three", b"five", b"seven", step=2)
    world.work()
    world.north.settle(5)
    world.work(2.0)
    world.stop()
    world = world.again()
    assert world.north.held == [b"five", b"seven"]
    world.write(2, b"next")
    world.north.settle(1)
    world.work(2.0)
    world.stop()
    assert world.again().north.held == [b"seven", b"next"]


def test_twoThousandGroupsInOneTurnCostOneSync() -> None:
    """12 frames each, handed over in the same turn of the reactor."""
    keys = [GroupKey(number, 1, f"group {number}") for number in range(2000)]
    world = JournalWorld(keys=keys, segmentSize=8 << 20)
    world.disk.operations.clear()
    for group in world.groups.values():
        world.write(0, *[bytes(40)] * 12, group=group)
    world.work()
    assert len(world.told) == 2000 and all(success for _, success in world.told)
    assert world.disk.operations.count("sync") == 1
    figures = world.service.figures
    assert (figures.frames, figures.written, figures.commits) == (24_000, 24_000, 1)
    assert figures.octets == 24_000 * 40


def test_whatIsSettledOnTheWayIsConfirmedAndForgotten() -> None:
    """A master may be faster than the disk."""
    world = JournalWorld()
    world.write(0, b"one", b"two")
    world.north.settle(1)
    world.work()
    assert world.told == [(0, True)]
    assert world.north.figures.frames == 1
    world.write(2, b"three")
    world.north.settle(3)
    world.work(1.0)
    assert world.north.figures.frames == world.north.figures.octets == 0
    world.stop()
    assert world.again().north.held == []


@pytest.mark.parametrize("hold", [Hold(frames=3), Hold(octets=12)])
def test_bound(hold: Hold, journalLog: JournalLog) -> None:
    """At the bound a write is refused, in order, until something is settled; the log says it."""
    world = JournalWorld(hold=hold)
    rooms: list[bool] = []
    world.north.onRoom = lambda: rooms.append(True)
    world.write(0, b"aaaa", b"bbbb")
    world.write(2, b"cccc")
    assert "hold_max" in world.north.full
    assert world.north.room == 0
    world.write(3, b"dddd")
    world.write(4, b"eeee")
    world.work()
    assert world.told == [(0, True), (2, True), (3, False), (4, False)]
    assert rooms == []
    (line,) = journalLog.lines(LogLevel.error, group=1)
    assert "hold_max" in line
    world.north.settle(1)
    world.clock.advance(0)
    assert rooms == [True]
    assert len(journalLog.lines(LogLevel.info, group=1)) == 1
    world.write(3, b"dddd")
    world.work(1.0)
    assert world.told[-1] == (3, True)
    assert world.north.figures.refused == 2
    world.stop()
    assert world.again().north.held == [b"bbbb", b"cccc", b"dddd"]


def test_roomCountsFrames() -> None:
    """So that a group can hand over as much as fits."""
    world = JournalWorld(hold=Hold(frames=10))
    assert world.north.room == 10
    world.write(0, *[b"x"] * 4)
    assert world.north.room == 6


def test_whatIsBehindARefusedEntryIsRefused() -> None:
    """Until the refused one is offered again, or settled: there is never a hole."""
    world = JournalWorld(hold=Hold(frames=2))
    world.write(0, b"0", b"1")
    world.work()
    world.write(2, b"2", b"3")
    world.north.settle(2)
    world.write(4, b"4")
    world.work(0.1)
    assert world.told == [(0, True), (2, False), (4, False)]
    world.write(2, b"2", b"3", b"4")
    world.work(0.1)
    assert world.told[-1] == (2, True)
    world.north.settle(3)
    world.write(5, b"5")
    world.north.settle(6)
    world.write(6, b"6")
    world.work(0.1)
    assert world.told[-1] == (6, True)


def test_heldBeyondTheBoundIsKept() -> None:
    """A bound that is made smaller drops nothing."""
    world = JournalWorld()
    world.write(0, *[b"%d" % number for number in range(10)])
    world.work()
    world.stop()
    world = world.again(hold=Hold(frames=5))
    assert len(world.north.held) == 10
    assert world.north.full


def test_ageAtTheStart(journalLog: JournalLog) -> None:
    """What is older than `hold_age` at the start is given up, counted, and said at error."""
    world = JournalWorld()
    world.write(0, b"old")
    world.work()
    world.wall += 100
    world.write(1, b"new")
    world.work(1.0)
    world.stop()
    world = world.again(hold=Hold(age=50.0), wall=1e9 + 120)
    assert world.north.held == [b"new"]
    assert world.north.figures.expired == 1
    assert "1 events" in journalLog.lines(LogLevel.error, group=1)[0]
    world.write(1, b"newer")
    world.north.settle(1)
    world.work(2.0)
    world.stop()
    assert world.again().north.held == [b"newer"]


def test_ageWhileRunning(journalLog: JournalLog) -> None:
    """`expire` gives up what has become too old, and says where the ledger is settled."""
    world = JournalWorld(hold=Hold(age=50.0))
    world.write(0, b"old", b"older")
    world.work()
    world.wall += 40
    world.write(2, b"new")
    world.work(1.0)
    assert world.north.expire() == 0
    world.wall += 20
    assert world.north.expire() == 2
    assert world.north.settled == 2
    assert world.north.figures.expired == 2
    assert len(journalLog.lines(LogLevel.error, group=1)) == 1
    assert world.south.expire() == 0


def test_fullDisk(journalLog: JournalLog) -> None:
    """Nothing is confirmed, all groups know why, it is tried again less and less often, and they
    hear when there is room."""
    world = JournalWorld()
    rooms: list[str] = []
    world.north.onRoom = lambda: rooms.append("north")
    world.south.onRoom = lambda: rooms.append("south")
    world.disk.capacity = 1000
    world.write(0, b"one")
    world.work()
    assert world.told == [(0, False)]
    assert "cannot be written" in world.south.full and "KiB" in world.south.full
    world.write(0, b"one")
    world.write(0, b"one", group=world.south)
    world.work(100.0)
    assert world.told[1:] == [(0, False)] * 2
    (line,) = journalLog.lines(LogLevel.error)
    assert "/model" in line and "Events that no master has taken" in line
    assert rooms == []
    world.disk.capacity = None
    world.work(31.0)
    world.clock.advance(0)
    assert sorted(rooms) == ["north", "south"]
    assert len([line for line in journalLog.lines(LogLevel.info) if "can be written" in line]) == 1
    assert world.service.figures.failures == 0  # nothing was tried on the full disk


def test_aFailingDiskIsTriedAgainLater() -> None:
    """The delay doubles up to half a minute, whether or not anybody writes."""
    world = JournalWorld()
    world.disk.failures = dict.fromkeys(range(10_000), errno.EIO)
    world.write(0, b"one")
    world.work()
    assert world.told == [(0, False)]
    tries = []
    for _ in range(300):
        before = world.service.figures.failures
        world.work(1.0)
        if world.service.figures.failures > before:
            tries.append(round(world.clock.seconds()))
    assert tries[:5] == [1, 3, 7, 15, 31]
    assert max(later - earlier for earlier, later in pairwise(tries)) <= 31
    world.disk.failures.clear()
    world.work(31.0)
    assert world.north.full == ""


def test_oneFailureIsNotSeen() -> None:
    """A single failure costs a new segment, and no group hears of it."""
    world = JournalWorld()
    world.write(0, b"one")
    world.disk.failures[2] = errno.EIO
    world.work()
    assert world.told == [(0, True)]
    assert world.again().north.held == [b"one"]


def test_whatWasHandedOverBeforeAFailureWasHeardOfFails() -> None:
    """Otherwise it would stand behind a hole."""
    world = JournalWorld()
    writer = world.service._writer
    assert writer is not None
    world.write(0, b"one")
    world.clock.advance(0)
    world.disk.failures = dict.fromkeys(range(6), errno.EIO)
    writer.round()
    world.disk.failures.clear()
    world.write(1, b"two")
    world.clock.advance(2.0)
    writer.round()  # it works again, but "two" does not know that "one" has failed
    world.clock.hear()
    assert world.told == [(0, False), (1, False)]
    world.work()
    world.write(0, b"one", b"two")
    world.work(1.0)
    assert world.told[-1] == (0, True)


def test_aSlowDiskBoundsWhatIsOnItsWay(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the bound of the hand-over, writes are refused at once."""
    monkeypatch.setattr(journal, "HANDOVER_MAX", 1000)
    world = JournalWorld()
    world.write(0, *[bytes(100)] * 10)
    assert "too slow" in world.south.full
    world.write(0, b"x", group=world.south)
    world.clock.advance(0)
    assert world.told == [(0, False)]
    world.work()
    assert world.south.full == ""


def test_faultsOfTheCaller() -> None:
    """They raise at once; the journal goes on."""
    world = JournalWorld()
    world.write(0, b"zero", b"one")
    with pytest.raises(ValueError, match="position 1 after 1"):
        world.write(1, b"one")
    with pytest.raises(ValueError, match="octets"):
        world.write(2, bytes(65001))
    with pytest.raises(ValueError, match="open already"):
        world.service.open(NORTH)
    with pytest.raises(ValueError, match="absolute"):
        JournalService("relative", InlineReactor(), lambda: 0.0)
    world.work()
    assert world.told == [(0, True)]


def test_aGroupThatFailsHarmsNoOther(loggedFailures: list[LogEvent]) -> None:
    """Its fault is logged, and the others hear what they must."""

    def fail(success: bool) -> None:
        raise RuntimeError("group's fault")

    world = JournalWorld()
    world.north.write([(0, b"x")], fail)
    world.write(1, b"y")
    world.write(0, b"x", group=world.south)
    world.work()
    assert sorted(world.told) == [(0, True), (1, True)]
    assert len(loggedFailures) == 1
    loggedFailures.clear()


def test_beforeTheStartNothingIsTaken() -> None:
    """Whoever writes too early is told no."""
    clock = InlineReactor()
    service = JournalService("/model", clock, lambda: 0.0, disk=ModelDisk(Random(1)))
    group = service.open(NORTH)
    told: list[bool] = []
    group.write([(0, b"x")], told.append)
    assert "not started" in group.full
    clock.advance(0)
    assert told == [False]


def test_stopFinishesWhatWasHandedOver() -> None:
    """Also what was handed over in the same turn; afterwards nothing is taken and nothing told."""
    world = JournalWorld()
    world.write(0, b"one")
    world.stop()
    assert world.told == [(0, True)]
    world.write(1, b"two")
    assert world.clock.getDelayedCalls() == []
    with pytest.raises(JournalError, match="again"):
        world.service.startService()
    assert world.again().north.held == [b"one"]


def test_stopWithAFullDisk() -> None:
    """It ends, and what could not be written is told so."""
    world = JournalWorld()
    world.disk.capacity = 0
    world.write(0, b"one")
    world.work()
    world.write(0, b"one")
    world.stop()
    assert world.told == [(0, False)] * 2


def test_stopWithoutStart() -> None:
    """Nothing to wait for."""
    service = JournalService("/model", InlineReactor(), lambda: 0.0, disk=ModelDisk(Random(1)))
    done: list[None] = []
    service.stopService().addCallback(done.append)
    assert done == [None]


def test_aFaultOfTheWriterIsTold(
    loggedFailures: list[LogEvent], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All that waits is answered with no, all groups know, and the service stops in order."""
    world = JournalWorld()
    world.write(0, b"one")
    writer = world.service._writer
    assert writer is not None
    monkeypatch.setattr(writer, "_waitForWork", lambda: 1 / 0)
    writer.run()
    world.clock.hear()
    world.clock.advance(0)
    assert world.told == [(0, False)]
    assert "ZeroDivisionError" in world.south.full
    world.write(0, b"x", group=world.south)
    world.clock.advance(0)
    assert world.told == [(0, False)] * 2
    assert len(loggedFailures) == 1
    loggedFailures.clear()
    world.stop()


def test_aGroupOpenedLateHasNothingHeld() -> None:
    """It can write like the others, and has its events at the next start."""
    world = JournalWorld(keys=[NORTH])
    late = world.service.open(SOUTH)
    world.write(0, b"late", group=late)
    world.work()
    assert world.told == [(0, True)]
    assert world.again().south.held == [b"late"]


def test_aGroupOpenedLateGetsWhatCouldNotBeSetAside() -> None:
    """It is its own, after all."""
    world = JournalWorld()
    world.write(7, b"x", b"y")
    world.work()
    world.disk.capacity = 0
    world = world.again([SOUTH])
    late = world.service.open(NORTH)
    assert late.held == [b"x", b"y"]
    late.settle(1)
    world.disk.capacity = None
    world.work(60.0)
    world.stop()
    assert world.again().north.held == [b"y"]


def test_latenciesAreCounted() -> None:
    """Each commit in its class; the mean and the longest are there, too."""
    world = JournalWorld()
    world.write(0, b"x")
    world.work()
    figures = world.service.figures
    assert sum(figures.latencies) == figures.commits == 1
    assert len(figures.latencies) == len(LATENCY_CLASSES) + 1
    assert figures.lastLatency == figures.maxLatency == figures.meanLatency == 0.0
    assert figures.files == 1 and figures.size == world.disk.used
