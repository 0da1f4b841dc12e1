"""The event logs: what a line says, when it is on disk, and what happens when the disk is not."""

from __future__ import annotations

import errno
import os
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import Clock
from twisted.logger import LogEvent, Logger, LogLevel, LogPublisher, globalLogPublisher

from mm2ss.config.service_settings import LogLevel as LowestLevel
from mm2ss.services import eventlog
from mm2ss.services.eventlog import EventLogService, fileName, oneLine
from tests.logfiles import NOON, FakeDisk, FakeFile, TwistdLog, twoHoursEast

STAMP = "2026-07-01 12:20:30.123456+02:00"


class World:
    """A running event log service over a real folder and a clock of our own."""

    def __init__(
        self,
        folder: Path,
        groups: dict[int, str],
        rotateAt: int = 0,
        keep: int = 3,
        directory: Path | None = None,
        level: LowestLevel = LowestLevel.INFO,
    ) -> None:
        self.folder = directory or folder / "log"
        self.clock = Clock()
        self.disk = FakeDisk()
        self.publisher = LogPublisher()
        self.log = Logger("mm2ss.relay.group", observer=self.publisher)
        self.wall = NOON
        self.service = EventLogService(
            groups,
            str(self.folder),
            rotateAt,
            keep,
            self.clock,
            lambda: self.wall,
            self.publisher,
            self.disk,
            level,
        )
        self.service.startService()

    def say(self, text: str, group: int = 1, peer: str = "10.0.0.7:40312") -> None:
        self.log.info("{text}", text=text, group=group, peer=peer)

    def flush(self) -> None:
        self.clock.advance(eventlog.FLUSH_DELAY)

    def retry(self) -> None:
        self.clock.advance(eventlog.RETRY_DELAY)

    def read(self, name: str = "1-RTU.log") -> str:
        return (self.folder / name).read_text(encoding="utf-8")

    def texts(self, name: str = "1-RTU.log") -> list[str]:
        """The texts of a file's lines, without time and peer."""
        return [line.split(" ", 3)[3] for line in self.read(name).splitlines()]

    def files(self) -> list[str]:
        return sorted(path.name for path in self.folder.iterdir())


@pytest.fixture(autouse=True)
def twistdLog(monkeypatch: pytest.MonkeyPatch) -> Iterator[TwistdLog]:
    """Collect what twistd's log would show; local time is two hours ahead of UTC."""
    yield from twoHoursEast(monkeypatch)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A service for group 1, "RTU", that is stopped after the test and leaves no call behind."""
    world = World(tmp_path, {1: "RTU"})
    yield world
    if world.service.running:
        world.service.stopService()
    assert world.clock.getDelayedCalls() == []
    assert world.disk.open == 0


def test_line(world: World) -> None:
    """A line has local time with microseconds and distance from UTC, the peer, and the text."""
    world.log.info("Master {what}.", what="connected", group=1, peer="10.0.0.7:40312")
    world.flush()
    if hasattr(time, "tzset"):
        assert world.read() == f"{STAMP} 10.0.0.7:40312 Master connected.\n"
    assert re.fullmatch(r"2026-\d\d-\d\d \d\d:\d\d:30\.123456[+-]\d\d:\d\d \S+ .*\n", world.read())


def test_groupsComeAndGo(world: World) -> None:
    """A group is logged from `open` on until `close`, which writes what waits."""
    world.say("too early", group=2)
    world.service.open(2, "two")
    assert world.service.pathOf(2) == str(world.folder / "2-two.log")
    world.say("logged", group=2)
    world.service.open(2, "two")
    world.service.close(2)
    world.say("too late", group=2)
    assert world.texts("2-two.log") == ["logged"]
    world.service.close(2)
    world.service.close(1)
    world.service.open(1, "new name")
    world.say("renamed")
    world.flush()
    assert world.files() == ["1-new_name.log", "2-two.log"]
    assert world.service.pathOf(2) is None


def test_groupsGoWhileTheDiskIsFull(world: World, twistdLog: TwistdLog) -> None:
    """What their files do not take is said to be lost, and makes room for others."""
    world.disk.space = 0
    world.say("one")
    world.say("two")
    world.flush()
    assert world.service.troubled == 1
    world.service.close(1)
    assert twistdLog.texts(LogLevel.error)[-1].startswith("2 lines of event logs")
    assert world.service.troubled == 0
    assert world.service._octets == 0
    world.disk.space = 1000
    world.retry()
    assert world.read() == ""


def test_level_is_named_above_info(world: World) -> None:
    """Warnings and errors say so; debug events are not for this file."""
    for level in ("debug", "info", "warn", "error", "critical"):
        getattr(world.log, level)("text", group=1, peer="")
    world.flush()
    assert world.texts() == ["text", "warn: text", "error: text", "critical: text"]


@pytest.mark.parametrize(
    ("lowest", "kept"),
    [
        (LowestLevel.INFO, ["text", "warn: text", "error: text", "critical: text"]),
        (LowestLevel.WARN, ["warn: text", "error: text", "critical: text"]),
        (LowestLevel.ERROR, ["error: text", "critical: text"]),
    ],
)
def test_lowest_level(tmp_path: Path, lowest: LowestLevel, kept: list[str]) -> None:
    """What is less important than the configured level is not written."""
    world = World(tmp_path, {1: "RTU"}, level=lowest)
    for level in ("debug", "info", "warn", "error", "critical"):
        getattr(world.log, level)("text", group=1, peer="")
    world.service.stopService()
    assert world.texts() == kept


@pytest.mark.parametrize("peer", ["", None])
def test_no_peer_is_a_dash(world: World, peer: str | None) -> None:
    """The peer's place is never empty, so that the columns stay where they are."""
    world.log.info("text", group=1, peer=peer)
    world.log.info("text", group=1)
    world.flush()
    assert [line.split(" ")[2] for line in world.read().splitlines()] == ["-", "-"]


def test_peer_is_one_word(world: World) -> None:
    """Blanks in a peer's name do not shift the columns."""
    world.say("text", peer="a b\nc")
    world.flush()
    assert world.read().split(" ")[2] == "a_b\\nc"


def test_failure_is_named(world: World, loggedFailures: list[LogEvent]) -> None:
    """An event with a failure shows its message, in the same line."""
    try:
        raise RuntimeError("broken\nin two")
    except RuntimeError:
        world.log.failure("Group failed:", group=1)
    world.flush()
    assert world.texts() == ["critical: Group failed: broken\\nin two"]


def test_event_without_a_text(world: World) -> None:
    """An event whose fields cannot be turned into text takes its line and disturbs nobody."""

    class Mute:
        def __str__(self) -> str:
            raise RuntimeError("mute")

    world.log.info("text", group=1, peer=Mute())
    world.log.info("{nothing}", group=1)
    world.flush()
    first, second = world.texts()
    assert "has no text" in first
    assert "Unable to format" in second


@given(st.text())
def test_any_text_is_one_printable_line(text: str) -> None:
    """Whatever a peer sends cannot end a line, move a cursor, or fail to be encoded."""
    line = oneLine(text)
    line.encode()
    assert line.isprintable()
    assert len(line.splitlines()) <= 1


def test_line_ends_are_readable() -> None:
    """Control characters appear as Python writes them; other writing systems stay as they are."""
    assert oneLine("a\r\nb\x1b[2J\x00\u2028 Überwachung 变电站") == (
        "a\\r\\nb\\x1b[2J\\x00\\u2028 Überwachung 变电站"
    )


def test_long_text_is_cut() -> None:
    """One event cannot fill the disk."""
    assert oneLine("x" * 10000) == "x" * eventlog.MAX_TEXT + " [cut]"


def test_file_name() -> None:
    """Every character of the name but letters, digits, point, underscore, minus becomes _."""
    assert fileName(111, "RTU-ABB") == "111-RTU-ABB.log"
    assert fileName(7, "../a b\\ü:1.x") == "7-.._a_b___1.x.log"


def test_only_groups_with_a_log_write(tmp_path: Path) -> None:
    """A group without log events has no file; events of nobody's group are not ours."""
    world = World(tmp_path, {1: "RTU", 2: "Other"})
    world.say("mine", group=1)
    world.say("not logged", group=3)
    world.log.info("the service's own")
    world.log.info("odd", group=["1"])
    world.flush()
    assert world.files() == ["1-RTU.log"]
    assert world.texts() == ["mine"]
    assert world.service.pathOf(1) == str(world.folder / "1-RTU.log")
    assert world.service.pathOf(3) is None
    world.service.stopService()


def test_folder_is_made_at_start(tmp_path: Path) -> None:
    """Not before the start, when the process may still have another user and folder."""
    service = EventLogService({1: "RTU"}, str(tmp_path / "a" / "log"), 0, 0, Clock(), time.time)
    assert not (tmp_path / "a").exists()
    service.startService()
    service.stopService()
    assert (tmp_path / "a" / "log").is_dir()
    if os.name == "posix":
        assert (tmp_path / "a" / "log").stat().st_mode & 0o027 == 0


def test_directory_must_be_absolute() -> None:
    """twistd changes its folder, so a relative one would mean another place."""
    with pytest.raises(ValueError, match="absolute"):
        EventLogService({}, "log", 0, 0, Clock(), time.time)


def test_written_within_a_second(world: World) -> None:
    """Lines wait a little for others, then go to the file in one write, in their order."""
    for number in range(10):
        world.say(str(number))
    assert world.disk.opened == []
    world.clock.advance(1)
    assert world.texts() == [str(number) for number in range(10)]
    assert len(world.disk.opened) == 1
    assert world.clock.getDelayedCalls() == []


def test_stop_writes_what_waits(world: World) -> None:
    """What was logged before the stop is in the file after it, and nothing after the stop."""
    world.say("last")
    world.service.stopService()
    world.say("too late")
    assert world.texts() == ["last"]
    assert world.clock.getDelayedCalls() == []


def test_can_be_started_again(world: World) -> None:
    """A second start goes on at the end of the file."""
    world.say("one")
    world.service.stopService()
    world.service.startService()
    world.say("two")
    world.flush()
    assert world.texts() == ["one", "two"]


def test_burst_does_not_wait(world: World) -> None:
    """More than may wait is written at once, and none of it is lost."""
    for number in range(2000):
        world.say(str(number))
    assert world.texts()
    world.flush()
    assert world.texts() == [str(number) for number in range(2000)]


def test_thousands_of_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Never more than one file is open, and one turn of the reactor writes a bounded number."""
    groups = dict.fromkeys(range(1, 1001), "RTU")
    world = World(tmp_path, groups)
    callLater = world.clock.callLater
    turns = []

    def countingCallLater(delay: float, function: Callable[[], None]) -> IDelayedCall:
        turns.append(len(world.disk.opened))
        return callLater(delay, function)

    monkeypatch.setattr(world.clock, "callLater", countingCallLater)
    for group in groups:
        world.say("the network is down", group=group)
    world.flush()
    assert turns == list(range(0, 1000, eventlog.FILES_PER_TURN))
    assert len(world.files()) == 1000
    assert world.disk.most == 1
    assert world.clock.getDelayedCalls() == []
    world.service.stopService()


def test_rotation(tmp_path: Path) -> None:
    """A file that is full is renamed, so many are kept, and each holds whole lines only."""
    world = World(tmp_path, {1: "RTU"}, rotateAt=200, keep=2)
    for number in range(20):
        world.say(f"{number:030}")
        if number % 3 == 0:
            world.flush()
    world.service.stopService()
    names = ["1-RTU.log.2", "1-RTU.log.1", "1-RTU.log"]
    assert world.files() == sorted(names)
    texts = [text for name in names for text in world.texts(name)]
    assert texts == [f"{number:030}" for number in range(20 - len(texts), 20)]
    assert len(texts) >= 5
    for name in names:
        assert 0 < (world.folder / name).stat().st_size <= 200


def test_rotation_that_keeps_none(tmp_path: Path) -> None:
    """With nothing to keep, a full file is begun anew."""
    world = World(tmp_path, {1: "RTU"}, rotateAt=100, keep=0)
    for text in ("a", "b", "c"):
        world.say(text)
    world.service.stopService()
    assert world.files() == ["1-RTU.log"]
    assert world.texts() == ["c"]


def test_line_longer_than_a_file(tmp_path: Path) -> None:
    """A line that is longer than the bound has a file of its own."""
    world = World(tmp_path, {1: "RTU"}, rotateAt=10, keep=2)
    for text in ("a", "b", "c"):
        world.say(text)
    world.service.stopService()
    assert [world.texts(name) for name in world.files()] == [["c"], ["b"], ["a"]]


def test_file_that_cannot_be_renamed_grows_on(tmp_path: Path, twistdLog: TwistdLog) -> None:
    """A program that holds the file (Windows) costs the rotation and one complaint, no line."""
    world = World(tmp_path, {1: "RTU"}, rotateAt=100, keep=1)
    (world.folder / "1-RTU.log.1").mkdir()
    for text in ("a", "b", "c", "d"):
        world.say(text)
        world.flush()
    assert world.texts() == ["a", "b", "c", "d"]
    (complaint,) = twistdLog.texts(LogLevel.error)
    assert "Cannot rename" in complaint
    assert str(world.folder / "1-RTU.log") in complaint
    (world.folder / "1-RTU.log.1").rmdir()
    world.say("e")
    world.flush()
    assert world.texts() == ["e"]
    world.service.stopService()


def test_file_that_was_moved_away(world: World) -> None:
    """An operator may move or remove the file at any time: the next line makes it anew."""
    world.say("one")
    world.flush()
    os.rename(world.folder / "1-RTU.log", world.folder / "old")
    world.say("two")
    world.flush()
    assert world.texts() == ["two"]


def test_half_a_line_does_not_spoil_the_next(tmp_path: Path) -> None:
    """What a power cut left of a line is ended before the next one begins."""
    (tmp_path / "log").mkdir()
    (tmp_path / "log" / "1-RTU.log").write_text("one\ntw")
    world = World(tmp_path, {1: "RTU"})
    world.say("text")
    world.flush()
    one, half, text = world.read().splitlines()
    assert (one, half, text[-4:]) == ("one", "tw", "text")
    world.service.stopService()


def test_half_a_line_that_cannot_be_taken_back(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the disk fills within a line and refuses to shorten the file, the next begins anew."""

    def refuse(file: FakeFile, size: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(FakeFile, "truncate", refuse)
    world.disk.space = 20
    world.say("one")
    world.flush()
    assert len(world.read()) == 20
    world.disk.space = float("inf")
    world.retry()
    assert [line[-3:] for line in world.read().splitlines()][1:] == ["one"]


def test_full_disk(world: World, twistdLog: TwistdLog) -> None:
    """A full disk costs one clear complaint; the lines wait and are written when there is room."""
    world.say("before")
    world.flush()
    world.disk.space = 20
    for number in range(5):
        world.say(str(number))
        world.flush()
    assert world.texts() == ["before"], "half a line was left in the file"
    world.retry()
    (complaint,) = twistdLog.texts(LogLevel.error)
    assert str(world.folder / "1-RTU.log") in complaint
    assert os.strerror(errno.ENOSPC) in complaint
    world.disk.space = float("inf")
    world.retry()
    assert world.texts() == ["before", "0", "1", "2", "3", "4"]
    assert twistdLog.texts(LogLevel.info) == ["All event logs can be written again."]
    world.say("after")
    world.flush()
    assert world.texts()[-1] == "after"


def test_second_trouble_is_told_again(world: World, twistdLog: TwistdLog) -> None:
    """Once for each trouble, not once for ever."""
    for _ in range(2):
        world.disk.space = 0
        world.say("text")
        world.flush()
        world.retry()
        world.disk.space = float("inf")
        world.retry()
    assert len(twistdLog.texts(LogLevel.error)) == 2


def test_lost_lines_are_counted(world: World) -> None:
    """Memory is bounded: what does not fit is lost, and the file says how much and where."""
    world.disk.space = 0
    for number in range(5000):
        world.say(f"{number:0100}")
        if number == 0:
            world.flush()
    world.disk.space = float("inf")
    world.retry()
    world.say("after")
    world.flush()
    *kept, lost, after = world.texts()
    assert after == "after"
    assert kept == [f"{number:0100}" for number in range(len(kept))]
    assert 300 < len(kept) < 500
    assert lost == f"warn: {5000 - len(kept)} lines were lost here"


def test_disk_that_fills_again_at_the_count(world: World) -> None:
    """The count of lost lines itself waits when it cannot be written, before what follows."""
    world.say(f"{0:0100}")
    world.flush()
    octets = len(world.read())
    world.disk.space = 0
    for number in range(1000):
        world.say(f"{number:0100}")
        if number == 0:
            world.flush()
    world.disk.space = eventlog.MAX_WAITING_GROUP // octets * octets + 10
    world.retry()
    assert "lost" not in world.read()
    world.say("after")
    world.disk.space = float("inf")
    world.retry()
    _, *kept, lost, after = world.texts()
    assert (lost, after) == (f"warn: {1000 - len(kept)} lines were lost here", "after")


def test_memory_for_all_groups_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many groups cannot write, they share one bound."""
    monkeypatch.setattr(eventlog, "MAX_WAITING", 2000)
    world = World(tmp_path, {1: "RTU", 2: "RTU"})
    world.disk.space = 0
    for group in (1, 2):
        world.say("first", group=group)
    world.flush()
    for number in range(100):
        world.say(str(number), group=1)
    world.say("second", group=2)
    world.disk.space = float("inf")
    world.retry()
    assert world.texts("2-RTU.log") == ["first", "warn: 1 lines were lost here"]
    assert 10 < len(world.texts("1-RTU.log")) < 40
    world.service.stopService()


def test_trouble_of_one_is_not_trouble_of_all(tmp_path: Path, twistdLog: TwistdLog) -> None:
    """A file that cannot be written does not keep the other groups from writing."""
    world = World(tmp_path, {1: "RTU", 2: "RTU"})
    (world.folder / "1-RTU.log").mkdir()
    for group in (1, 2):
        world.say("text", group=group)
    world.flush()
    assert world.texts("2-RTU.log") == ["text"]
    assert len(twistdLog.texts(LogLevel.error)) == 1
    (world.folder / "1-RTU.log").rmdir()
    world.retry()
    assert world.texts("1-RTU.log") == ["text"]
    world.service.stopService()


def test_retry_beside_an_ordinary_write(tmp_path: Path) -> None:
    """A retry that falls between a line and its writing takes its turn with it."""
    world = World(tmp_path, {1: "RTU", 2: "RTU"})
    world.disk.space = 0
    world.say("one", group=1)
    world.flush()
    world.disk.space = float("inf")
    world.clock.advance(eventlog.RETRY_DELAY - eventlog.FLUSH_DELAY / 2)
    world.say("two", group=2)
    world.flush()
    assert (world.texts("1-RTU.log"), world.texts("2-RTU.log")) == (["one"], ["two"])
    assert world.clock.getDelayedCalls() == []
    world.service.stopService()


def test_thousands_in_trouble(tmp_path: Path, twistdLog: TwistdLog) -> None:
    """A full disk names a few files in twistd's log, not thousands of them."""
    groups = dict.fromkeys(range(1, 301), "RTU")
    world = World(tmp_path, groups)
    world.disk.space = 0
    for group in groups:
        world.say("text", group=group)
    world.clock.pump([eventlog.FLUSH_DELAY] * 3)
    world.retry()
    complaints = twistdLog.texts(LogLevel.error)
    assert len(complaints) == eventlog.MAX_NAMED
    assert "not named" in complaints[-1]
    world.disk.space = float("inf")
    world.clock.pump([eventlog.RETRY_DELAY] * 4)
    assert all(world.texts(f"{group}-RTU.log") == ["text"] for group in groups)
    assert world.clock.getDelayedCalls() == []
    world.service.stopService()


def test_folder_that_cannot_be_made(tmp_path: Path, twistdLog: TwistdLog) -> None:
    """The service starts without its folder, says so, and makes it when it can."""
    (tmp_path / "file").write_text("in the way")
    world = World(tmp_path, {1: "RTU"}, directory=tmp_path / "file" / "log")
    assert str(world.folder) in twistdLog.texts(LogLevel.error)[0]
    world.say("text")
    world.flush()
    assert len(twistdLog.texts(LogLevel.error)) == 2
    (tmp_path / "file").unlink()
    world.retry()
    assert world.texts() == ["text"]
    world.service.stopService()


def test_stop_in_trouble(world: World, twistdLog: TwistdLog) -> None:
    """A stop does not wait for the disk: it says how many lines never reached it."""
    world.disk.space = 0
    for _ in range(3):
        world.say("text")
    world.flush()
    world.service.stopService()
    assert world.clock.getDelayedCalls() == []
    assert twistdLog.texts(LogLevel.error)[-1].startswith("3 lines of event logs")
    world.disk.space = float("inf")
    world.service.startService()
    world.say("again")
    world.flush()
    assert world.texts() == ["again"]


def test_own_complaints_do_not_come_back(tmp_path: Path) -> None:
    """With the global publisher, a service in trouble does not write about itself to itself."""
    clock, disk = Clock(), FakeDisk()
    service = EventLogService(
        {1: "RTU"}, str(tmp_path), 0, 0, clock, time.time, globalLogPublisher, disk
    )
    service.startService()
    disk.space = 0
    Logger("mm2ss.relay.group").info("text", group=1)
    clock.advance(eventlog.FLUSH_DELAY)
    assert len(clock.getDelayedCalls()) == 1
    disk.space = float("inf")
    clock.advance(eventlog.RETRY_DELAY)
    service.stopService()
    assert len((tmp_path / "1-RTU.log").read_text().splitlines()) == 1
