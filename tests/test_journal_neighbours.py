"""Who may touch which journal when: real folders and locks, and processes that hold them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from twisted.logger import LogLevel

from mm2ss.relay.diskfiles import FolderLock, RealDisk, makeFolder
from mm2ss.relay.journal import JournalService
from mm2ss.relay.journalapi import GroupKey, JournalError
from mm2ss.relay.journalneighbours import PARCELS, Neighbours
from mm2ss.relay.journalrecovery import recover
from mm2ss.relay.journalstate import Entry
from mm2ss.relay.journalstore import Store
from tests.journals import InlineReactor, JournalLog, collectLog

KEYS = [GroupKey(number, 1, f"group {number}") for number in range(1, 5)]
#: Takes a lock, tells something, and holds it until its input ends.
_HOLD = """
import sys
from mm2ss.relay.diskfiles import FolderLock
lock = FolderLock(sys.argv[1])
lock.tell(sys.argv[2])
print(flush=True)
sys.stdin.read()
"""

journalLog = pytest.fixture(collectLog)


@pytest.fixture
def held() -> Iterator[Callable[[Path, str], subprocess.Popen[str]]]:
    """Lets another process hold a journal; all end with the test."""
    processes: list[subprocess.Popen[str]] = []

    def hold(place: Path, text: str) -> subprocess.Popen[str]:
        makeFolder(str(place))
        process = subprocess.Popen(
            [sys.executable, "-c", _HOLD, str(place), text],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        assert process.stdout is not None and process.stdout.readline()
        return process

    yield hold
    for process in processes:
        release(process)


def release(process: subprocess.Popen[str]) -> None:
    """End a process that holds a journal."""
    process.communicate(timeout=30)


class Patience:
    """Time that passes when somebody waits for it.

    :ivar during: called once, at the first wait.
    """

    def __init__(self) -> None:
        self.time = 0.0
        self.during: Callable[[], None] | None = None

    def sleep(self, seconds: float) -> None:
        self.time += seconds
        during, self.during = self.during, None
        if during is not None:
            during()

    def now(self) -> float:
        return self.time


class Shard:
    """The journal of one process among its neighbours."""

    def __init__(self, state: Path, shard: str, own: list[GroupKey]) -> None:
        self.patience = Patience()
        self.folder = state / (f"journal-{shard.partition('/')[0]}" if shard else "journal")
        others = [key for key in KEYS if key not in own]
        waits = self.patience.sleep, self.patience.now
        self.neighbours = Neighbours(str(self.folder), shard, others, *waits)
        self.service = JournalService(
            str(self.folder),
            InlineReactor(),
            lambda: 1e9,
            reserve=0,
            startThread=lambda target: lambda: None,
            neighbours=self.neighbours,
        )
        self.groups = {key: self.service.open(key) for key in own}

    def start(self) -> None:
        self.service.startService()

    def held(self, key: GroupKey) -> list[bytes]:
        return self.groups[key].held

    def kill(self) -> None:
        """The process ends; the system frees its lock."""
        lock = self.service._lock
        if lock is not None:
            lock.release()


def fill(folder: Path, *keys: GroupKey) -> None:
    """A journal that nobody uses holds one event of each group."""
    makeFolder(str(folder))
    disk = RealDisk(str(folder))
    store = Store(disk, recover(disk))
    for key in keys:
        store.commit([(store.chain(key), Entry(0, 0, 1000, key.name.encode()))])
    store.close()


def test_moreProcesses(tmp_path: Path) -> None:
    """Two processes become three: each group's events are in its new process, whoever starts
    first, and nothing is in two journals."""
    fill(tmp_path / "journal-1", KEYS[0], KEYS[1])
    fill(tmp_path / "journal-2", KEYS[2], KEYS[3])
    shards = [
        Shard(tmp_path, "3/3", [KEYS[3], KEYS[1]]),
        Shard(tmp_path, "1/3", [KEYS[0]]),
        Shard(tmp_path, "2/3", [KEYS[2]]),
    ]
    for shard in shards:
        shard.start()
    for shard in shards:
        for key in shard.groups:
            assert shard.held(key) == [key.name.encode()]
        shard.kill()
    assert os.listdir(tmp_path / PARCELS) == []


def test_fewerProcesses(tmp_path: Path) -> None:
    """A process that is not there any more leaves its events to the others."""
    for number, key in enumerate(KEYS, 1):
        fill(tmp_path / f"journal-{number}", key)
    first, second = (
        Shard(tmp_path, "1/2", [KEYS[0], KEYS[3]]),
        Shard(tmp_path, "2/2", KEYS[1:3]),
    )
    for shard in (first, second):
        shard.start()
        assert all(shard.held(key) == [key.name.encode()] for key in shard.groups)
    for shard in (first, second):
        shard.kill()


def test_thereAndBack(tmp_path: Path) -> None:
    """From one process to shards and back: the events go along, also those of stopped ones."""
    fill(tmp_path / "journal", *KEYS)
    shard = Shard(tmp_path, "2/2", KEYS[2:])
    shard.start()
    assert shard.held(KEYS[2]) == [KEYS[2].name.encode()]
    shard.kill()
    whole = Shard(tmp_path, "", KEYS)
    whole.start()
    assert all(whole.held(key) == [key.name.encode()] for key in KEYS)
    whole.kill()


def test_noTwoDivisionsAtOnce(
    tmp_path: Path, held: Callable[[Path, str], subprocess.Popen[str]]
) -> None:
    """While a process of another division runs, nothing is started beside it; the text names it,
    and once it has ended all is well."""
    fill(tmp_path / "journal-2", KEYS[0])
    other = held(tmp_path / "journal-2", "4711 2/4 settled")
    for shard in ("1/2", "1/3", ""):
        problem = Shard(tmp_path, shard, KEYS).neighbours.problem()
        assert "process 4711" in problem and "shard 2/4" in problem and "stop that" in problem
    late = Shard(tmp_path, "1/3", KEYS)
    with pytest.raises(JournalError, match="4711"):
        late.start()
    release(other)
    again = Shard(tmp_path, "1/3", KEYS)
    assert again.neighbours.problem() == ""
    again.start()
    assert again.held(KEYS[0]) == [KEYS[0].name.encode()]
    again.kill()


def test_theSameShardTwice(
    tmp_path: Path, held: Callable[[Path, str], subprocess.Popen[str]]
) -> None:
    """Two processes with the same part cannot run; this is said before anything is started."""
    held(tmp_path / "journal-2", "4711 2/3 settled")
    shard = Shard(tmp_path, "2/3", KEYS)
    assert "in use by another process" in shard.neighbours.problem()
    with pytest.raises(JournalError, match="in use by another process"):
        shard.start()


def test_neighboursThatHaveSettled(
    tmp_path: Path, held: Callable[[Path, str], subprocess.Popen[str]]
) -> None:
    """A neighbour of the same division that has settled is not waited for."""
    held(tmp_path / "journal-2", "4711 2/3 settled")
    shard = Shard(tmp_path, "1/3", KEYS)
    assert shard.neighbours.problem() == ""
    shard.start()
    assert shard.patience.time == 0
    shard.kill()


@pytest.mark.parametrize("stage", ["starting", "moving"])
def test_neighboursThatHaveNot(
    tmp_path: Path, held: Callable[[Path, str], subprocess.Popen[str]], stage: str
) -> None:
    """A neighbour that has still to give away what is not its own is waited for."""
    fill(tmp_path / "journal-2", KEYS[0])
    other = held(tmp_path / "journal-2", f"4711 2/3 {stage}")
    shard = Shard(tmp_path, "1/3", KEYS)
    shard.patience.during = lambda: release(other)
    shard.start()
    assert shard.held(KEYS[0]) == [KEYS[0].name.encode()]
    shard.kill()


def test_aNeighbourThatHangs(
    tmp_path: Path, held: Callable[[Path, str], subprocess.Popen[str]]
) -> None:
    """One that never settles is given up after a while; without its events nothing is begun."""
    held(tmp_path / "journal-2", "4711 2/3 starting")
    shard = Shard(tmp_path, "1/3", KEYS)
    with pytest.raises(JournalError, match="journal-2"):
        shard.start()
    FolderLock(str(shard.folder)).release()


def test_theOwnJournalIsBeingEmptied(
    tmp_path: Path, held: Callable[[Path, str], subprocess.Popen[str]]
) -> None:
    """A neighbour that empties this process's journal, as it was not there, is waited for."""
    other = held(tmp_path / "journal-1", "4711 2/3 moving")
    shard = Shard(tmp_path, "1/3", KEYS)
    assert shard.neighbours.problem() == ""
    shard.patience.during = lambda: release(other)
    shard.start()
    shard.kill()


def test_aDiskThatFails(
    tmp_path: Path, journalLog: JournalLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What cannot be handed over stays where it is, an error says so, and all the rest runs."""
    fill(tmp_path / "journal-1", KEYS[0], KEYS[1])

    def full(*_: Any) -> Any:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("mm2ss.relay.journalparcels.writeNew", full)
    shard = Shard(tmp_path, "1/2", [KEYS[1]])
    shard.start()
    assert shard.held(KEYS[1]) == [KEYS[1].name.encode()]
    shard.kill()
    monkeypatch.undo()
    other = Shard(tmp_path, "2/2", [KEYS[0]])
    other.start()
    assert other.held(KEYS[0]) == [KEYS[0].name.encode()]
    other.kill()
    (error,) = journalLog.lines(LogLevel.error)
    assert "No space left" in error


def test_otherFoldersAreLeftAlone(tmp_path: Path) -> None:
    """Only journals are looked at: not what else stands beside them."""
    for name in ("journal-1.old", "journal-0", "journal-x", "manhole"):
        fill(tmp_path / name, KEYS[0])
    shard = Shard(tmp_path, "1/2", KEYS)
    shard.start()
    assert shard.held(KEYS[0]) == []
    shard.kill()
