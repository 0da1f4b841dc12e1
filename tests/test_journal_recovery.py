"""What the journal makes of damaged files, strangers and newer versions, at its start."""

from __future__ import annotations

from random import Random

import pytest
from twisted.logger import LogLevel

from mm2ss.relay import journalrecords
from mm2ss.relay.journal import GroupKey, JournalError
from mm2ss.relay.journalrecords import Encoder, tagOf
from tests.journals import NORTH, SOUTH, JournalLog, JournalWorld, collectLog
from tests.powercut import ModelDisk

EVENTS = [b"event %d, " % number + bytes([number]) * 40 for number in range(6)]


journalLog = pytest.fixture(collectLog)


def filled() -> ModelDisk:
    """A disk with a journal: three events in one commit, three in the next, stopped in order."""
    world = JournalWorld()
    world.write(0, *EVENTS[:3])
    world.work()
    world.write(3, *EVENTS[3:])
    world.work(1.0)
    world.stop()
    return world.disk


def harm(disk: ModelDisk, what: bytes, harmed: bytes) -> None:
    """Exchange octets in the first segment."""
    name = segments(disk)[0]
    content = disk.content(name)
    assert content.count(what) == 1
    disk.put(name, content.replace(what, harmed))


def segments(disk: ModelDisk) -> list[str]:
    return [name for name in disk.listing() if name.startswith("segment-")]


def asides(disk: ModelDisk) -> list[str]:
    return [name for name in disk.listing() if not name.startswith("segment-")]


def test_everythingIsThereAgain() -> None:
    """What was not settled at a stop is held at the next start."""
    assert JournalWorld(filled()).north.held == EVENTS


def test_damageIsSetAsideAndTheRestRead(journalLog: JournalLog) -> None:
    """A damaged event is lost, saved as octets, and said at error; those behind it are held."""
    disk = filled()
    harm(disk, EVENTS[1], b"x" * len(EVENTS[1]))
    world = JournalWorld(disk)
    assert world.north.held == EVENTS[:1] + EVENTS[2:]
    (name,) = asides(disk)
    assert name.startswith("damaged-segment-000000000001-")
    assert b"x" * len(EVENTS[1]) in disk.content(name)
    (line,) = [line for line in journalLog.lines(LogLevel.error) if "damaged octets" in line]
    assert name in line and "/model" in line
    assert world.service.figures.setAside == 1


def test_aDamagedLengthHidesNothing() -> None:
    """Where a length is wrong, the next record is found by its form and checksum."""
    disk = filled()
    world = JournalWorld(disk)
    length = (len(EVENTS[1]) + 24).to_bytes(2, "little")
    name = segments(disk)[0]
    content = bytearray(disk.content(name))
    at = content.index(EVENTS[1]) - 24 - 2
    assert content[at : at + 2] == length
    content[at : at + 2] = b"\xff\xff"
    disk.put(name, bytes(content))
    world = JournalWorld(disk)
    assert world.north.held == EVENTS[:1] + EVENTS[2:]


def test_theSameDamageIsSetAsideOnce() -> None:
    """A process that is killed again and again does not fill the disk with copies."""
    disk = filled()
    harm(disk, EVENTS[1], b"x" * len(EVENTS[1]))
    for _ in range(3):
        JournalWorld(disk)
    assert len(asides(disk)) == 1


def test_aFileThatIsCutShort(journalLog: JournalLog) -> None:
    """A segment that later ones know to be longer is read as far as it goes, and said at error."""
    disk = filled()
    world = JournalWorld(disk)
    world.write(6, b"later")
    world.work()
    world.stop()
    name = segments(disk)[0]
    content = disk.content(name)
    disk.put(name, content[: content.index(EVENTS[4])])
    assert JournalWorld(disk).north.held == [*EVENTS[:4], b"later"]
    assert any("shorter" in line for line in journalLog.lines(LogLevel.error))


def test_aTornTailIsCut(journalLog: JournalLog) -> None:
    """What an interrupted write has left is cut off, which is information and no error."""
    disk = filled()
    name = segments(disk)[0]
    disk.put(name, disk.content(name) + Encoder(1).data(tagOf(NORTH), 99, 0, b"torn")[:-1])
    assert JournalWorld(disk).north.held == EVENTS
    assert any("unfinished" in line for line in journalLog.lines(LogLevel.info))
    assert journalLog.lines(LogLevel.error) == []
    assert asides(disk) == []


def test_recordsBehindATearAreKeptForPeople() -> None:
    """They are not given to masters (what is between them is missing), but set aside."""
    disk = filled()
    name = segments(disk)[0]
    encoder = Encoder(1)
    lost, whole = (encoder.data(tagOf(NORTH), seq, 0, b"e%d" % seq) for seq in (1 << 34, 2 << 34))
    disk.put(name, disk.content(name) + bytes(len(lost)) + whole)
    assert JournalWorld(disk).north.held == EVENTS
    (aside,) = asides(disk)
    assert aside.startswith("cut-") and whole in disk.content(aside)


def test_anUnreadableSegmentIsLeftAlone(journalLog: JournalLog) -> None:
    """It is said at error and not deleted; what it holds comes when it can be read again."""
    disk = filled()
    name = segments(disk)[0]
    disk.unreadable.add(name)
    world = JournalWorld(disk)
    assert world.north.held == []
    assert any(name in line for line in journalLog.lines(LogLevel.error))
    world.write(0, b"new")
    world.work(rounds=3)
    world.north.settle(1)
    world.work(2.0, rounds=3)
    world.write(1, b"newer")
    world.work(2.0, rounds=3)
    world = world.again()
    assert world.north.held == [b"newer"]
    disk.unreadable.clear()
    assert world.again().north.held == [b"newer"] or name in disk.listing()


def test_aMarkThatCouldNotBeReadKillsNothingNewer() -> None:
    """Numbers of a later start are above those of all earlier ones, also of those not seen."""
    world = JournalWorld()
    world.write(0, *EVENTS)
    world.work()
    world.north.settle(6)
    world.work(2.0)
    world.stop()
    disk = world.disk
    disk.unreadable.update(segments(disk))
    world = JournalWorld(disk)
    world.write(0, b"new")
    world.work()
    assert world.told == [(0, True)]
    disk.unreadable.clear()
    assert world.again().north.held == [b"new"]


def test_aNewerFormatStopsTheStart(monkeypatch: pytest.MonkeyPatch) -> None:
    """A journal of a newer version is not touched: one clear error."""
    disk = ModelDisk(Random(1))
    monkeypatch.setattr(journalrecords, "VERSION", 2)
    disk.put("segment-000000000001", Encoder(1).head())
    monkeypatch.undo()
    with pytest.raises(JournalError, match="another version"):
        JournalWorld(disk)


@pytest.mark.parametrize(
    "key", [GroupKey(9, 11, "north"), GroupKey(1, 12, "north"), GroupKey(1, 11, "North")]
)
def test_strangersAreSetAside(key: GroupKey, journalLog: JournalLog) -> None:
    """Events whose group differs in number, RTU number or name reach no master, but a file."""
    world = JournalWorld(filled(), [key, SOUTH])
    assert world.groups[key].held == world.south.held == []
    (name,) = asides(world.disk)
    lines = world.disk.content(name).decode().splitlines()
    assert 'group 1, RTU 11, "north"' in lines[0]
    assert [bytes.fromhex(line.split()[-1]) for line in lines[1:]] == EVENTS
    assert lines[1].startswith("2001-09-09 01:46:40.000+00:00 ")
    (line,) = journalLog.lines(LogLevel.error)
    assert "6 events of group 1" in line and name in line
    assert world.service.figures.setAside == 6


def test_strangersPinNothing() -> None:
    """Once set aside they are forgotten, and their segment is deleted."""
    world = JournalWorld(filled(), [SOUTH])
    old = segments(world.disk)
    world.write(0, b"mine", group=world.south)
    world.work(rounds=3)
    assert not set(old) & set(segments(world.disk))
    assert world.again().north.held == []


def test_strangersWaitForRoom(journalLog: JournalLog) -> None:
    """What cannot be set aside on a full disk stays in the journal and is told at error."""
    disk = filled()
    disk.capacity = disk.used
    world = JournalWorld(disk, [SOUTH])
    assert not any(map(disk.content, asides(disk)))
    assert any("cannot be set aside" in line for line in journalLog.lines(LogLevel.error))
    disk.capacity = None
    world.stop()
    JournalWorld(disk, [SOUTH])
    assert any(map(disk.content, asides(disk)))


def test_otherFilesAreLeftAlone() -> None:
    """A file that is no segment is neither read nor deleted."""
    disk = filled()
    for name in ("notes.txt", "segment-x", "segment-", "lock"):
        disk.put(name, b"mine")
    world = JournalWorld(disk)
    assert world.north.held == EVENTS
    world.stop()
    assert {"notes.txt", "segment-x", "segment-", "lock"} <= set(disk.listing())
