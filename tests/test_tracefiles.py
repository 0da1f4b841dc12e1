"""The folder of trace files: what is written when, what is kept, and what a full disk does."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.logger import LogEvent, Logger, LogLevel, LogPublisher, formatEvent

from mm2ss.iec104.apci import CloseCause
from mm2ss.iec104.tape import Recording
from mm2ss.relay.snapshot import TraceSnapshot
from mm2ss.services.tracefiles import MAX_WAITING, TooMany, TraceFiles
from tests.stations import STARTDT_ACT

NOW = 1_800_000_000.5


class Bench:
    """The service with a thread that works when it is told, and its log."""

    def __init__(self, folder: Path, keep: int = 3, faults: bool = True) -> None:
        self.folder = folder
        self.now = NOW
        self.jobs: list[tuple[Callable[[], None], Deferred[None]]] = []
        self.service = TraceFiles(str(folder), keep, faults, lambda: self.now, self._inThread)
        self.lines: list[LogEvent] = []
        publisher = LogPublisher(self.lines.append)  # type: ignore[arg-type]  # any callable
        self.service._log = Logger("test", observer=publisher)
        self.service.startService()

    def _inThread(self, job: Callable[[], None]) -> Deferred[None]:
        done: Deferred[None] = Deferred()
        self.jobs.append((job, done))
        return done

    def work(self) -> None:
        """Let the thread do all there is to do."""
        while self.jobs:
            job, done = self.jobs.pop(0)
            maybeDeferred(job).chainDeferred(done)

    def fault(self, group: int = 111, cause: CloseCause | None = CloseCause.BAD_START) -> None:
        """A fault, a second after the last."""
        self.now += 1
        self.service(trace(group, cause))

    @property
    def names(self) -> list[str]:
        """What is in the folder."""
        return sorted(os.listdir(self.folder)) if self.folder.exists() else []

    def texts(self, level: LogLevel) -> list[str]:
        """What was logged."""
        return [formatEvent(line) for line in self.lines if line["log_level"] is level]


def trace(group: int = 111, cause: CloseCause | None = CloseCause.BAD_START) -> TraceSnapshot:
    """A trace of a group, made at monotonic second 7."""
    record = Recording("RTU", "192.0.2.1:2404", "192.0.2.2:1", ((7.0, 6, STARTDT_ACT),), True)
    return TraceSnapshot(group, "RTU/ABB", "why", cause, "192.0.2.1:2404", 7.0, (record,))


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """The service on a folder that is not there yet."""
    return Bench(tmp_path / "a" / "trace")


def test_file(bench: Bench) -> None:
    """A fault's file is named by group, moment and cause, and the group's event log names it."""
    bench.fault()
    assert bench.names == [], "the reactor's thread does not wait for a disk"
    bench.work()
    (name,) = bench.names
    assert name.startswith("111-RTU_ABB-20") and name.endswith("-BAD_START.pcapng")
    assert (bench.folder / name).read_bytes()[:4] == b"\x0a\x0d\x0d\x0a"
    (line,) = bench.lines
    assert (line["group"], line["peer"]) == (111, "192.0.2.1:2404")
    assert formatEvent(line) == f"trace written to {bench.folder / name}"
    if os.name == "posix":
        assert (bench.folder / name).stat().st_mode & 0o027 == 0
        assert bench.folder.stat().st_mode & 0o027 == 0


def test_onDemand(bench: Bench) -> None:
    """Who asks for a file gets its path when it is written."""
    paths: list[str] = []
    bench.service.save(trace(cause=None)).addCallback(paths.append)
    assert paths == []
    bench.work()
    assert paths == [str(bench.folder / bench.names[0])]
    assert paths[0].endswith("-asked.pcapng")


def test_switchedOff(tmp_path: Path) -> None:
    """Without `enabled` faults write nothing, and there is no folder; who asks gets his file."""
    bench = Bench(tmp_path / "trace", faults=False)
    bench.fault()
    assert bench.jobs == [] and bench.names == [] and not bench.folder.exists()
    bench.service.save(trace())
    bench.work()
    assert len(bench.names) == 1


def test_keep(bench: Bench) -> None:
    """Each group keeps its newest files; other groups and strangers' files are left alone."""
    (bench.folder / "111-notes.txt").write_text("mine")
    bench.fault(11)
    for _ in range(5):
        bench.fault()
    bench.fault(111, None)
    bench.work()
    assert sum(name.startswith("11-") for name in bench.names) == 1
    kept = [name for name in bench.names if name.startswith("111-RTU")]
    assert len(kept) == 3 and kept[-1].endswith("-asked.pcapng")
    assert "111-notes.txt" in bench.names


def test_clockSetBack(bench: Bench) -> None:
    """The file just written stays, even if the clock says that it is the oldest."""
    for _ in range(3):
        bench.fault()
    bench.work()
    before = bench.names
    bench.now -= 86400
    bench.fault()
    bench.work()
    (new,) = set(bench.names) - set(before)
    assert len(bench.names) == 3 and new == bench.names[0]


def test_oneAfterTheOther(bench: Bench) -> None:
    """One file is written at a time, and only so many wait: the others are told of, once."""
    for number in range(MAX_WAITING + 10):
        bench.fault(number)
    assert len(bench.jobs) == 1
    bench.work()
    assert len(bench.names) == MAX_WAITING + 1
    (told,) = bench.texts(LogLevel.error)
    assert f"{MAX_WAITING} trace files wait" in told
    failures: list[Any] = []
    for _ in range(MAX_WAITING + 1):
        bench.service.save(trace())
    bench.service.save(trace()).addErrback(failures.append)
    assert failures[0].check(TooMany)
    bench.work()


def test_folderThatCannotBe(tmp_path: Path) -> None:
    """A folder that cannot be made is said at the start; faults go on to be counted elsewhere."""
    (tmp_path / "file").write_text("in the way")
    bench = Bench(tmp_path / "file" / "trace")
    assert len(bench.texts(LogLevel.error)) == 1
    for _ in range(3):
        bench.fault()
    bench.work()
    said = bench.texts(LogLevel.error)
    assert len(said) == 2 and "no trace could be written" in said[1]
    (tmp_path / "file").unlink()
    bench.fault()
    bench.work()
    assert len(bench.names) == 1


def test_unfinishedFile(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that could not be written whole is not left behind."""

    def full(source: str, target: str) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", full)
        bench.fault()
        bench.work()
    assert bench.names == []
    assert "No space left" in bench.texts(LogLevel.error)[0]


def test_stop(bench: Bench) -> None:
    """Stopping waits for what is to be written."""
    bench.fault()
    stopped: list[object] = []
    bench.service.stopService().addCallback(stopped.append)
    assert stopped == []
    bench.work()
    assert len(stopped) == len(bench.names) == 1


def test_settings(tmp_path: Path) -> None:
    """A relative folder and a number of files below one are refused."""
    with pytest.raises(ValueError, match="absolute"):
        TraceFiles("trace", 1, True, lambda: 0.0, lambda _: Deferred())
    with pytest.raises(ValueError, match="kept"):
        TraceFiles(str(tmp_path), 0, True, lambda: 0.0, lambda _: Deferred())
