"""The audit trail: a line for every command, none lost silently, whatever the disk does."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, execute
from twisted.internet.task import Clock
from twisted.logger import LogLevel

from mm2ss.iec104.asdu import buildAsdu
from mm2ss.relay.audit import AuditEntry, Outcome, auditEntry
from mm2ss.services import audit
from mm2ss.services.audit import FILE_NAME, AuditService, jsonLine
from mm2ss.services.rotatingfile import forceToDisk
from tests.logfiles import NOON, FakeDisk, TwistdLog, twoHoursEast

SELECT = buildAsdu(45, 6, 32, b"\x64\0\0\x81", originator=7)


def entry(value: str = "on", **fields: Any) -> AuditEntry:
    """A single command that worked."""
    standard: dict[str, Any] = {
        "group": 111,
        "system": "RTU-ABB",
        "master": "10.1.1.16",
        "typeId": 45,
        "typeName": "C_SC_NA_1",
        "commonAddress": 32,
        "objectAddress": 100,
        "value": value,
        "action": "execute",
        "originator": 7,
        "test": False,
        "result": Outcome.TERMINATED,
        "reason": "",
        "duration": 0.25,
    }
    return AuditEntry(**{**standard, **fields})


class Threads:
    """Runs work at once, or when the test lets it, as threads would; counts it."""

    def __init__(self) -> None:
        self.slow = False
        self.count = 0
        self.waiting: list[tuple[Deferred[None], Callable[[], None]]] = []

    def __call__(self, work: Callable[[], None]) -> Deferred[None]:
        self.count += 1
        if not self.slow:
            return execute(work)
        done: Deferred[None] = Deferred()
        self.waiting.append((done, work))
        return done

    def finish(self) -> None:
        """Let the oldest work be done."""
        done, work = self.waiting.pop(0)
        execute(work).chainDeferred(done)


class World:
    """A running audit service over a real folder and a clock of our own."""

    def __init__(self, folder: Path, rotateAt: int = 0, keep: int = 3) -> None:
        self.folder = folder
        self.clock = Clock()
        self.disk = FakeDisk()
        self.wall = NOON
        self.threads = Threads()
        self.service = AuditService(
            str(folder), rotateAt, keep, self.clock, lambda: self.wall, self.threads, self.disk
        )
        self.service.startService()

    def say(self, *values: object) -> None:
        for value in values:
            self.service(entry(str(value)))

    def troubled(self) -> bool:
        return self.service.troubled

    def retry(self) -> None:
        self.clock.advance(audit.RETRY_DELAY)

    def records(self, name: str = FILE_NAME) -> list[dict[str, Any]]:
        text = (self.folder / name).read_text(encoding="utf-8")
        assert not text or text.endswith("\n"), "half a line was left in the file"
        return [json.loads(line) for line in text.split("\n")[:-1]]

    def values(self, name: str = FILE_NAME) -> list[Any]:
        return [record.get("value", record.get("lost")) for record in self.records(name)]

    def files(self) -> list[str]:
        return sorted(path.name for path in self.folder.iterdir())

    def stop(self) -> bool:
        """Stop the service; gives whether it has finished."""
        finished: list[None] = []
        self.service.stopService().addCallback(finished.append)
        return bool(finished)


@pytest.fixture(autouse=True)
def twistdLog(monkeypatch: pytest.MonkeyPatch) -> Iterator[TwistdLog]:
    """Collect what twistd's log would show; local time is two hours ahead of UTC."""
    yield from twoHoursEast(monkeypatch)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A service that is stopped after the test and leaves no call, file or thread behind."""
    world = World(tmp_path / "log")
    yield world
    if world.service.running:
        assert world.stop()
    assert world.clock.getDelayedCalls() == []
    assert world.disk.open == 0 and world.threads.waiting == []


# -- the entry ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asdu", "action", "value"),
    [
        (SELECT, "select", "on"),
        (buildAsdu(45, 6, 32, b"\x64\0\0\x00"), "execute", "off"),
        (buildAsdu(45, 8, 32, b"\x64\0\0\x81"), "deactivate", "on select"),
        (buildAsdu(50, 6, 32, b"\x64\0\0\0\0\x48\x41\0"), "execute", "12.5"),
        (buildAsdu(51, 6, 32, b"\x64\0\0\1\2\3\4"), "execute", "0x04030201"),
        (buildAsdu(58, 6, 32, b"\x64\0\0\x81" + bytes(7)), "select", "on @2000-00-00 00:00"),
        (buildAsdu(100, 6, 32, b"\0\0\0\x14"), "activate", "station"),
        (buildAsdu(101, 6, 32, b"\0\0\0\x45"), "activate", "general freeze"),
        (buildAsdu(105, 6, 32, b"\0\0\0\x01"), "activate", "general reset"),
        (buildAsdu(102, 5, 32, b"\x64\0\0"), "request", ""),
        (buildAsdu(110, 6, 32, b"\x64\0\0\0\x40\x01"), "activate", "0.5 threshold"),
        (buildAsdu(122, 13, 32, b"\x64\0\0\1\0\0\1"), "file transfer", "file 1 section 0 select"),
        (buildAsdu(200, 6, 32, b"\x64\0\0abc"), "activate", "[61 62 63]"),
    ],
)
def test_entryOfAnAsdu(asdu: bytes, action: str, value: str) -> None:
    """An entry says in words what was asked of the RTU."""
    made = auditEntry(1, "RTU", "10.1.1.16", asdu, Outcome.CONFIRMED)
    assert (made.action, made.typeId) == (action, asdu[0])
    assert made.value.startswith(value) and bool(made.value) == bool(value)


def test_wholeEntry() -> None:
    """An entry has the numbers of the header, and the master's own originator address."""
    made = auditEntry(1, "RTU", "10.1.1.16", SELECT, Outcome.TIMED_OUT, "no answer in 10 s", 10.0)
    assert made == AuditEntry(
        1,
        "RTU",
        "10.1.1.16",
        45,
        "C_SC_NA_1",
        32,
        100,
        "on",
        "select",
        7,
        False,
        Outcome.TIMED_OUT,
        "no answer in 10 s",
        10.0,
    )


@given(st.binary(min_size=9, max_size=249))
def test_entryOfAnyAsdu(asdu: bytes) -> None:
    """Whatever a master sends, it has an entry, and that a line of JSON."""
    made = auditEntry(1, "RTU", "10.1.1.16", asdu, Outcome.REFUSED_BY_RELAY)
    assert jsonLine({"value": made.value, "action": made.action})


# -- the line -------------------------------------------------------------------------------


def test_line(world: World) -> None:
    """A record is one line of JSON, with its time, readable without a table of codes."""
    world.service(entry())
    (record,) = world.records()
    if hasattr(time, "tzset"):
        assert record["time"] == "2026-07-01T12:20:30.123456+02:00"
    del record["time"]
    assert record == {
        "group": 111,
        "system": "RTU-ABB",
        "master": "10.1.1.16",
        "type": "C_SC_NA_1",
        "type_id": 45,
        "ca": 32,
        "ioa": 100,
        "action": "execute",
        "value": "on",
        "originator": 7,
        "test": False,
        "result": "terminated",
        "reason": "",
        "seconds": 0.25,
    }


@given(st.text())
def test_anyTextIsOnePrintableLine(text: str) -> None:
    """No text ends a line or moves a cursor, and all come back as they were."""
    line = jsonLine({"text": text})
    assert line.endswith(b"\n") and line[:-1].decode().isprintable()
    assert json.loads(line) == {"text": text}


def test_otherWritingSystems() -> None:
    """Letters of any language stay as they are, for grep."""
    assert jsonLine({"a": "Überwachung 变电站\x9b\U000e0001"}) == (
        '{"a": "Überwachung 变电站\\u009b\\udb40\\udc01"}\n'.encode()
    )


def test_everyOutcomeHasItsOwnWords() -> None:
    """The words of the results are what scripts look for: they do not change unseen."""
    assert [each.value for each in Outcome] == [
        "confirmed",
        "terminated",
        "deactivated",
        "forwarded",
        "refused by RTU",
        "refused by relay",
        "timed out",
        "connection lost",
        "master gone",
    ]


def test_documentationNamesAll(world: World) -> None:
    """docs/audit.md describes every field and every result."""
    world.service(entry())
    text = (Path(__file__).parent.parent / "docs" / "audit.md").read_text("utf-8")
    for word in (*world.records()[0], "lost", "since", *(each.value for each in Outcome)):
        assert f"`{word}`" in text, word


# -- the file -------------------------------------------------------------------------------


def test_writtenAtOnce(world: World) -> None:
    """A record is in the file when the call returns; no clock has to tick for it."""
    world.say(1)
    assert world.values() == ["1"]
    world.say(2)
    assert world.values() == ["1", "2"]


def test_folderAndFileAreMadeAtStart(tmp_path: Path) -> None:
    """What hinders the trail shows at start; before it, nothing is touched."""
    folder = tmp_path / "a" / "log"
    service = AuditService(str(folder), 0, 1, Clock(), time.time, execute)
    assert not (tmp_path / "a").exists() and service.path == str(folder / FILE_NAME)
    service.startService()
    assert (folder / FILE_NAME).read_text() == ""
    if os.name == "posix":
        assert folder.stat().st_mode & 0o027 == 0
        assert (folder / FILE_NAME).stat().st_mode & 0o137 == 0
    service.stopService()


@pytest.mark.parametrize(("directory", "keep"), [("log", 1), (os.path.abspath("log"), 0)])
def test_wrongParameters(directory: str, keep: int) -> None:
    """A relative folder would be another one later; to keep no file would lose records."""
    with pytest.raises(ValueError, match=r"absolute|lost"):
        AuditService(directory, 0, keep, Clock(), time.time, execute)


@pytest.mark.parametrize("rotateAt", [1, 300, 1000, 4096])
def test_rotationLosesNothing(tmp_path: Path, rotateAt: int) -> None:
    """However the file is cut into parts, every record is in one of them, in order."""
    world = World(tmp_path, rotateAt=rotateAt, keep=100)
    world.say(*range(50))
    assert world.stop()
    count = len(world.files())
    names = [FILE_NAME, *(f"{FILE_NAME}.{number}" for number in range(1, count))]
    assert world.files() == sorted(names) and count > 1
    found = [value for name in reversed(names) for value in world.values(name)]
    assert found == [str(number) for number in range(50)]


def test_oldestFileGoesWithALine(tmp_path: Path, twistdLog: TwistdLog) -> None:
    """Only what is older than the files that are kept goes, and twistd's log says so."""
    world = World(tmp_path, rotateAt=1, keep=2)
    world.say(1, 2, 3)
    assert twistdLog.texts(LogLevel.warn) == []
    world.say(4)
    (said,) = twistdLog.texts(LogLevel.warn)
    assert said.startswith(str(tmp_path / f"{FILE_NAME}.2"))
    assert [world.values(name) for name in world.files()] == [["4"], ["3"], ["2"]]
    assert world.stop()


def test_renamingThatFails(tmp_path: Path, twistdLog: TwistdLog) -> None:
    """A file that cannot be renamed grows on: a long trail is better than a gap."""
    world = World(tmp_path, rotateAt=1, keep=1)
    (tmp_path / f"{FILE_NAME}.1").mkdir()
    world.say(1, 2, 3)
    assert world.values() == ["1", "2", "3"]
    assert "Cannot rename" in twistdLog.texts(LogLevel.error)[0]
    assert world.stop()


def test_fileThatWasMovedAway(world: World) -> None:
    """An operator may archive the file at any time."""
    world.say(1)
    os.rename(world.folder / FILE_NAME, world.folder / "old")
    world.say(2)
    assert (world.values("old"), world.values()) == (["1"], ["2"])
    world.clock.advance(audit.SYNC_DELAY)


def test_goesOnAfterARestart(world: World) -> None:
    """A second start appends."""
    world.say(1)
    assert world.stop()
    world.service.startService()
    world.say(2)
    assert world.values() == ["1", "2"]


def test_halfARecord(tmp_path: Path) -> None:
    """What a power cut left of a record does not spoil the one after it."""
    (tmp_path / FILE_NAME).write_text('{"a": 1}\n{"a')
    world = World(tmp_path)
    world.say(2)
    lines = (tmp_path / FILE_NAME).read_text().splitlines()
    assert lines[:2] == ['{"a": 1}', '{"a'] and json.loads(lines[2])["value"] == "2"
    assert world.stop()


# -- a full disk ----------------------------------------------------------------------------


def test_fullDisk(world: World, twistdLog: TwistdLog) -> None:
    """A full disk is one critical line; the records wait and are written when there is room."""
    world.say("before")
    world.disk.space = 20
    world.say(*range(5))
    assert world.values() == ["before"]
    assert world.troubled() and (world.service.waiting, world.service.lost) == (5, 0)
    world.retry()
    (said,) = twistdLog.texts(LogLevel.critical)
    assert world.service.path in said and os.strerror(errno.ENOSPC) in said
    world.disk.space = float("inf")
    world.retry()
    assert world.values() == ["before", "0", "1", "2", "3", "4"]
    assert not world.troubled() and world.service.waiting == 0
    assert "can be written again" in twistdLog.texts(LogLevel.info)[0]
    world.say("after")
    assert world.values()[-1] == "after"
    world.disk.space = 0
    world.say("again")
    assert len(twistdLog.texts(LogLevel.critical)) == 2
    world.disk.space = float("inf")


def test_timeIsThatOfTheRecord(world: World) -> None:
    """A record that waited has the time at which it came."""
    world.disk.space = 0
    world.say(1)
    world.wall += 3600
    world.say(2)
    world.disk.space = float("inf")
    world.retry()
    assert [record["time"][11:16] for record in world.records()] == ["12:20", "13:20"]


def test_gapIsCounted(world: World, twistdLog: TwistdLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is bounded: the file says how many records are lost, where, and since when."""
    monkeypatch.setattr(audit, "MAX_WAITING", 3000)
    world.disk.space = 0
    world.say(*range(8))
    assert world.service.lost == 0
    world.wall += 60
    world.say(*range(8, 50))
    kept = world.service.waiting
    assert 8 <= kept < 15 and world.service.lost == 50 - kept
    assert [
        words
        for words, line in zip(
            ("wait in memory", "being lost"), twistdLog.texts(LogLevel.critical), strict=True
        )
        if words in line
    ] == ["wait in memory", "being lost"]
    world.wall += 60
    world.disk.space = float("inf")
    world.retry()
    world.say("after")
    assert world.values() == [*map(str, range(kept)), 50 - kept, "after"]
    gap = world.records()[kept]
    assert (gap["since"][11:19], gap["time"][11:19]) == ("12:21:30", "12:22:30")
    assert set(gap) == {"time", "lost", "since"}


@pytest.mark.parametrize("room", [0, 10, 200])
def test_gapThatCannotBeWritten(
    world: World, twistdLog: TwistdLog, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    """The count itself waits if it must, in its place before what comes later."""
    monkeypatch.setattr(audit, "MAX_WAITING", 3000)
    values = [f"{number:02}" for number in range(50)]
    world.say("xx")
    octets = (world.folder / FILE_NAME).stat().st_size
    world.disk.space = 0
    world.say(*values)
    kept = world.service.waiting
    world.disk.space = kept * octets + room
    world.retry()
    world.disk.space = 0
    world.say("after")
    assert world.service.lost == 0
    if room == 0:
        assert world.stop()
        lost = 50 - kept + 1
        assert twistdLog.texts(LogLevel.critical)[-1].startswith(f"{lost} records")
        return
    world.disk.space = float("inf")
    world.retry()
    assert world.values() == ["xx", *values[:kept], 50 - kept, "after"]


@given(st.lists(st.one_of(st.integers(0, 900), st.sampled_from(["say", "say", "retry"]))))
def test_nothingIsLostSilently(
    tmp_path_factory: pytest.TempPathFactory, steps: list[int | str]
) -> None:
    """However a disk fills and empties, records and counted gaps are all that came, in order."""
    world = World(tmp_path_factory.mktemp("log"), rotateAt=1000, keep=1000)
    bound, audit.MAX_WAITING = audit.MAX_WAITING, 1500
    said = 0
    try:
        for step in (*steps, "say"):
            if isinstance(step, int):
                world.disk.space = step
            elif step == "retry":
                world.retry()
            else:
                world.say(said)
                said += 1
        world.disk.space = float("inf")
        world.retry()
    finally:
        audit.MAX_WAITING = bound
    assert world.stop()
    count = len(world.files())
    names = [f"{FILE_NAME}.{number}" for number in range(count - 1, 0, -1)]
    at = 0
    for name in (*names, FILE_NAME):
        for value in world.values(name):
            if isinstance(value, str):
                assert value == str(at)
            at += value if isinstance(value, int) else 1
    assert at == said


def test_folderThatCannotBeMade(tmp_path: Path, twistdLog: TwistdLog) -> None:
    """The alarm comes at start; when the folder can be made, the trail begins by itself."""
    (tmp_path / "file").write_text("in the way")
    world = World(tmp_path / "file" / "log")
    assert len(twistdLog.texts(LogLevel.critical)) == 1 and world.troubled()
    world.retry()
    assert world.troubled()
    world.say(1)
    (tmp_path / "file").unlink()
    world.retry()
    assert world.values() == ["1"] and not world.troubled()
    assert len(twistdLog.texts(LogLevel.critical)) == 1
    assert world.stop()


def test_stopInTrouble(world: World, twistdLog: TwistdLog) -> None:
    """A stop tries once more; what cannot be written then is said to be lost."""
    world.disk.space = 0
    world.say(1, 2, 3)
    assert world.stop()
    assert twistdLog.texts(LogLevel.critical)[-1].startswith("3 records")
    assert world.clock.getDelayedCalls() == []
    world.disk.space = float("inf")
    world.service.startService()
    world.say(4)
    assert world.values() == ["4"]


def test_stopWhenThereIsRoomAgain(world: World) -> None:
    """What waited is written by the stop, if the disk has room by then."""
    world.disk.space = 0
    world.say(1)
    world.disk.space = float("inf")
    assert world.stop()
    assert world.values() == ["1"]


def test_recordAfterTheStop(world: World) -> None:
    """A record that comes too late is written all the same, and nothing is scheduled."""
    assert world.stop()
    world.say("late")
    assert world.values() == ["late"] and world.clock.getDelayedCalls() == []


# -- the disk itself ------------------------------------------------------------------------


def test_forcedOntoTheDisk(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many records cost one forcing within the delay, no record none."""
    forced: list[list[str]] = []
    monkeypatch.setattr(audit, "forceToDisk", forced.append)
    world.clock.advance(10)
    assert world.threads.count == 0
    world.say(*range(100))
    world.clock.advance(audit.SYNC_DELAY)
    world.clock.advance(10)
    assert world.threads.count == 1 and forced[0][0] == world.service.path
    world.say("more")
    assert world.stop()
    assert world.threads.count == 2


def test_renamedFilesAreForcedToo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was written before a rotation is forced under its new name."""
    forced: list[list[str]] = []
    monkeypatch.setattr(audit, "forceToDisk", forced.append)
    world = World(tmp_path, rotateAt=1, keep=9)
    world.say(1, 2, 3)
    assert world.stop()
    names = [FILE_NAME, *(f"{FILE_NAME}.{number}" for number in (1, 2, 3))]
    assert forced == [[str(tmp_path / name) for name in names]]


def test_slowDisk(world: World) -> None:
    """A disk that takes its time holds up nothing, and is asked one thing at a time."""
    world.threads.slow = True
    world.say(1)
    world.clock.advance(audit.SYNC_DELAY)
    world.say(2)
    world.clock.pump([audit.SYNC_DELAY] * 5)
    assert world.threads.count == 1 and world.values() == ["1", "2"]
    world.threads.finish()
    world.clock.advance(audit.SYNC_DELAY)
    assert world.threads.count == 2
    world.say(3)
    assert not world.stop(), "the stop did not wait for the disk"
    assert world.clock.getDelayedCalls() == []
    world.threads.finish()
    assert world.threads.count == 3
    world.threads.finish()


def test_diskThatFails(world: World, twistdLog: TwistdLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that cannot keep what it took is an alarm, once, until it works again."""

    def fail(_: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch:
        patch.setattr(audit, "forceToDisk", fail)
        for number in range(3):
            world.say(number)
            world.clock.advance(audit.SYNC_DELAY)
    (said,) = twistdLog.texts(LogLevel.critical)
    assert os.strerror(errno.EIO) in said and world.troubled()
    world.say(4)
    world.clock.advance(audit.SYNC_DELAY)
    assert not world.troubled() and len(world.values()) == 4


def test_forceToDisk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files and folder are forced; a file that is not there any more is no trouble."""
    forced: list[int] = []
    monkeypatch.setattr(os, "fsync", forced.append)
    (tmp_path / "a").write_text("x")
    forceToDisk([str(tmp_path / "a"), str(tmp_path / "a.1")])
    assert len(forced) == (2 if os.name == "posix" else 1)
    forceToDisk([])
    with pytest.raises(OSError, match=r"irectory"):
        forceToDisk([str(tmp_path)])


KILLED = """
import os, signal, sys, time
from twisted.internet.defer import execute
from twisted.internet.task import Clock
from mm2ss.relay.audit import Outcome, auditEntry
from mm2ss.services.audit import AuditService
service = AuditService(sys.argv[1], 0, 1, Clock(), time.time, execute)
service.startService()
for number in range(100):
    asdu = bytes((45, 1, 6, 0, 32, 0, number, 0, 0, 1))
    service(auditEntry(1, "RTU", "10.1.1.16", asdu, Outcome.CONFIRMED))
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")
def test_killedProcess(tmp_path: Path) -> None:
    """A process that is killed leaves every record that it had taken."""
    result = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], check=False, timeout=60)
    assert result.returncode == -9
    lines = (tmp_path / FILE_NAME).read_text().splitlines()
    assert [json.loads(line)["ioa"] for line in lines] == list(range(100))
