"""The journal on a real disk: its thread, its lock, a killed process, a full file system."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from twisted.internet.task import Clock
from twisted.logger import LogLevel

from mm2ss.relay.diskfiles import FolderLock, RealDisk, folderProblem, makeFolder
from mm2ss.relay.journal import GroupJournal, GroupKey, JournalError, JournalService
from tests.journals import JournalLog, collectLog

KEYS = [GroupKey(number, 1, f"group {number}") for number in range(20)]
#: Seconds that a thread or a child may take before the test fails.
PATIENCE = 30.0

journalLog = pytest.fixture(collectLog)


class RealTime(Clock):
    """A reactor whose turns the test makes."""

    def __init__(self) -> None:
        super().__init__()
        self.said: queue.Queue[Callable[[], Any]] = queue.Queue()

    def callFromThread(self, call: Callable[..., Any], *args: Any) -> None:
        self.said.put(lambda: call(*args))

    def until(self, reached: Callable[[], bool]) -> None:
        """Turn until something is so."""
        end = time.monotonic() + PATIENCE
        while not reached():
            self.advance(0)
            if reached():
                return
            try:
                self.said.get(timeout=0.05)()
            except queue.Empty:
                assert time.monotonic() < end, "it takes too long"


class Relay:
    """A journal with its thread, in a real folder."""

    def __init__(self, folder: Path, **options: Any) -> None:
        self.clock = RealTime()
        self.service = JournalService(str(folder), self.clock, time.time, **options)
        self.groups = [self.service.open(key) for key in KEYS]
        self.service.startService()

    def write(self, group: GroupJournal, first: int, *asdus: bytes) -> bool:
        """Write, and wait for the answer."""
        told: list[bool] = []
        group.write(list(enumerate(asdus, first)), told.append)
        self.clock.until(lambda: bool(told))
        return told[0]

    def stop(self) -> None:
        ended: list[None] = []
        self.service.stopService().addCallback(ended.append)
        self.clock.until(lambda: bool(ended))
        assert self.clock.getDelayedCalls() == []


@pytest.fixture
def relays() -> Iterator[Callable[..., Relay]]:
    """Makes relays that are stopped at the end, whatever the test does."""
    made: list[Relay] = []

    def make(folder: Path, **options: Any) -> Relay:
        made.append(Relay(folder, **options))
        return made[-1]

    yield make
    for relay in made:
        if not relay.service.stopped:
            relay.stop()


def test_eventsSurviveARestart(tmp_path: Path, relays: Callable[..., Relay]) -> None:
    """Written, in part settled, stopped and started again."""
    folder = tmp_path / "state" / "journal"
    relay = relays(folder)
    for group in relay.groups:
        assert relay.write(group, 0, *(b"%d.%d" % (group.key.id, event) for event in range(100)))
        group.settle(50)
    relay.stop()
    relay = relays(folder)
    for group in relay.groups:
        assert group.held == [b"%d.%d" % (group.key.id, event) for event in range(50, 100)]
    assert relay.service.figures.frames == 1000


@pytest.mark.skipif(os.name != "posix", reason="modes are a matter of POSIX")
def test_filesAreForTheOwnerOnly(tmp_path: Path, relays: Callable[..., Relay]) -> None:
    """Events tell much about a plant."""
    relay = relays(tmp_path / "journal")
    assert relay.write(relay.groups[0], 0, b"secret")
    assert (tmp_path / "journal").stat().st_mode & 0o777 == 0o700
    for file in (tmp_path / "journal").iterdir():
        assert file.stat().st_mode & 0o777 == 0o600


def test_manySmallWritesAreGathered(tmp_path: Path, relays: Callable[..., Relay]) -> None:
    """While a commit is on its way, and for a moment after it, others wait for the next one."""
    relay = relays(tmp_path)
    told: list[bool] = []
    for turn in range(10):
        for group in relay.groups:
            group.write([(turn, b"event")], told.append)
        relay.clock.advance(0)
    relay.clock.until(lambda: len(told) == 10 * len(KEYS))
    assert all(told)
    assert relay.service.figures.commits <= 4


def test_oneProcessAFolder(tmp_path: Path, relays: Callable[..., Relay]) -> None:
    """The second one fails with one line that names the folder; after a stop it is free."""
    relay = relays(tmp_path)
    with pytest.raises(JournalError, match="in use by another process") as caught:
        relays(tmp_path)
    assert str(tmp_path) in str(caught.value) and "\n" not in str(caught.value)
    relay.stop()
    relays(tmp_path)


def test_lockAgainstAnotherProcess(tmp_path: Path) -> None:
    """It is the system's lock: another process is kept out, and its death frees the folder."""
    code = (
        "import sys, time; from mm2ss.relay.diskfiles import FolderLock;"
        "lock = FolderLock(sys.argv[1]); print('locked', flush=True); time.sleep(600)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE
    ) as child:
        try:
            assert child.stdout is not None and child.stdout.readline() == b"locked\n"
            with pytest.raises(JournalError):
                FolderLock(str(tmp_path))
        finally:
            child.kill()
    FolderLock(str(tmp_path)).release()


def test_folderThatCannotBeUsed(tmp_path: Path, relays: Callable[..., Relay]) -> None:
    """One clear error at the start, and nothing is left locked."""
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(JournalError, match="Cannot make the journal's folder"):
        relays(tmp_path / "file" / "journal")
    with pytest.raises(JournalError, match="Cannot lock"):
        FolderLock(str(tmp_path / "nothing"))


def test_realDisk(tmp_path: Path) -> None:
    """The file operations do what their texts say."""
    makeFolder(str(tmp_path / "a" / "b"))
    makeFolder(str(tmp_path / "a" / "b"))
    disk = RealDisk(str(tmp_path / "a" / "b"))
    (tmp_path / "a" / "b" / "folder").mkdir()
    file = disk.create("one")
    file.append(b"12")
    file.append(b"34")
    file.sync()
    file.close()
    file.close()
    disk.sync("one")
    disk.syncDirectory()
    assert disk.names() == ["one"]
    assert disk.read("one") == b"1234"
    assert (disk.free() or 0) > 0
    with pytest.raises(FileExistsError):
        disk.create("one")
    disk.remove("one")
    with pytest.raises(FileNotFoundError):
        disk.remove("one")
    assert RealDisk(str(tmp_path / "nothing")).free() is None


CHILD = """
import sys, time
from pathlib import Path
from tests.test_journal_disk import Relay
relay = Relay(Path(sys.argv[1]), segmentSize=20_000)
first = int(sys.argv[2])
print("held", *[event.decode() for event in relay.groups[0].held], flush=True)
at = len(relay.groups[0].held)
for number in range(first, first + 1_000_000):
    assert relay.write(relay.groups[0], at, b"%d" % number)
    print("confirmed", number, flush=True)
    at += 1
    if number % 5 == 0:
        relay.groups[0].settle(at - 3)
        print("settled", number - 3, flush=True)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="there is no SIGKILL")
def test_killedAtAnyInstant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A writing process is killed again and again; what it has confirmed is held at its next
    start, in order, once."""
    random = Random(7)
    first = 0
    confirmed: list[int] = []
    settled = -1
    for _ in range(6):
        command = [sys.executable, "-c", CHILD, str(tmp_path / "journal"), str(first)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout is not None
            held = [int(word) for word in child.stdout.readline().split()[1:]]
            assert held == sorted(set(held))
            assert {number for number in confirmed if number > settled} <= set(held)
            for _ in range(random.randint(1, 12)):
                kind, number = child.stdout.readline().split()
                if kind == "confirmed":
                    confirmed.append(int(number))
                else:
                    settled = int(number)
            time.sleep(random.random() * 0.06)
            child.kill()
            for line in child.stdout:
                kind, number = line.split()
                if kind == "confirmed":
                    confirmed.append(int(number))
                else:
                    settled = int(number)
        first = max(confirmed) + 1000


@pytest.fixture
def smallFileSystem(tmp_path: Path) -> Iterator[Path]:
    """A folder on a file system of 1 MiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    if not hasattr(os, "geteuid") or os.geteuid() != 0 or not Path("/proc/mounts").exists():
        pytest.skip("only root on Linux can mount a small file system")
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "mm2ss-test", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a tmpfs cannot be mounted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("reserve", [0, 200_000])
def test_fullFileSystem(
    smallFileSystem: Path, relays: Callable[..., Relay], journalLog: JournalLog, reserve: int
) -> None:
    """With and without noticing it in time: nothing confirmed is lost, and the flow resumes when
    there is room, be it that somebody else makes it or that masters take events."""
    relay = relays(smallFileSystem / "journal", reserve=reserve, segmentSize=100_000)
    group = relay.groups[0]
    at = 0
    while relay.write(group, at, *[bytes(200)] * 100):
        at += 100
        assert at < 10_000
    assert group.full
    assert "Cannot write the journal" in journalLog.lines(LogLevel.error)[0]
    rooms: list[bool] = []
    group.onRoom = lambda: rooms.append(True)
    assert not relay.write(group, at, b"x")
    group.settle(at - 150)
    relay.clock.until(lambda: bool(rooms))
    assert relay.write(group, at, b"the last")
    relay.stop()
    relay = relays(smallFileSystem / "journal", reserve=reserve, segmentSize=100_000)
    held = relay.groups[0].held
    assert held == [bytes(200)] * 150 + [b"the last"]


def test_folderProblem(tmp_path: Path) -> None:
    """What stands in the way of a folder is told beforehand, and nothing is made or kept."""
    place = tmp_path / "state" / "journal"
    assert folderProblem(str(place)) == "" and not (tmp_path / "state").exists()
    place.mkdir(parents=True)
    lock = FolderLock(str(place))
    assert "in use by another process" in folderProblem(str(place))
    lock.release()
    assert folderProblem(str(place)) == ""
    FolderLock(str(place)).release()
    (tmp_path / "file").touch()
    assert f"{tmp_path / 'file'} is no folder" in folderProblem(str(tmp_path / "file" / "journal"))
