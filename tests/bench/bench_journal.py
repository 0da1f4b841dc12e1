"""What the journal costs: its own files against sqlite3, and how long a start takes.

    python -m tests.bench.bench_journal [--folder DIR] [--seconds 2]

The folder decides which disk is measured (the default is the current one: a tmpfs would sync for
nothing). sqlite3 runs in WAL mode with ``synchronous=FULL``, one table, one transaction a batch.
Figures of one run may be compared with each other; machines are different, and busy.
"""

from __future__ import annotations

import argparse
import os
import queue
import shutil
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet.task import Clock

from mm2ss.relay.diskfiles import RealDisk
from mm2ss.relay.journal import GroupKey, JournalService
from mm2ss.relay.journalrecovery import recover
from mm2ss.relay.journalstate import Entry
from mm2ss.relay.journalstore import Store

KEY = GroupKey(1, 1, "bench")
ASDU = bytes(range(40))
BATCHES = (1, 12, 1000)
REPLAYED = 100_000

Commit = Callable[[int], None]


def ownFiles(folder: Path) -> Commit:
    """Commits of so many frames in our own files, synced; what was before is settled."""
    folder.mkdir()
    store = Store(disk := RealDisk(str(folder)), recover(disk))
    chain = store.chain(KEY)
    position = 0

    def commit(count: int) -> None:
        nonlocal position
        store.settle(chain, position)
        entries = [(chain, Entry(position + place, 0, 10**12, ASDU)) for place in range(count)]
        position += count
        store.commit(entries)
        store.tidy()

    return commit


def sqlite(folder: Path) -> Commit:
    """The same in a table."""
    folder.mkdir()
    base = sqlite3.connect(folder / "journal.db", isolation_level=None)
    base.execute("PRAGMA journal_mode=WAL")
    base.execute("PRAGMA synchronous=FULL")
    base.execute(
        "CREATE TABLE event (tag BLOB, seq INTEGER, wall INTEGER, asdu BLOB,"
        " PRIMARY KEY (tag, seq)) WITHOUT ROWID"
    )
    position = 0

    def commit(count: int) -> None:
        nonlocal position
        base.execute("BEGIN")
        base.execute("DELETE FROM event WHERE tag = ? AND seq < ?", (b"12345678", position))
        base.executemany(
            "INSERT INTO event VALUES (?, ?, ?, ?)",
            [(b"12345678", position + place, 10**12, ASDU) for place in range(count)],
        )
        base.execute("COMMIT")
        position += count

    return commit


def measure(commit: Commit, count: int, seconds: float) -> tuple[float, float, float]:
    """Milliseconds of a commit (median, 99 %), and microseconds of processor time a frame."""
    commit(count)
    times = []
    end = time.monotonic() + seconds
    processor = time.process_time()
    while time.monotonic() < end:
        start = time.perf_counter()
        commit(count)
        times.append(time.perf_counter() - start)
    processor = time.process_time() - processor
    last = statistics.quantiles(times, n=100)[-1] if len(times) > 1 else times[0]
    return statistics.median(times) * 1e3, last * 1e3, processor / len(times) / count * 1e6


def compareCommits(folder: Path, seconds: float) -> None:
    """The table of commits."""
    print(
        f"{'':10}{'frames':>8}{'ms median':>11}{'ms 99 %':>9}{'us/frame':>10}{'cpu us/frame':>14}"
    )
    for name, make in (("own files", ownFiles), ("sqlite3", sqlite)):
        commit = make(folder / name)
        for count in BATCHES:
            median, last, processor = measure(commit, count, seconds)
            perFrame = median * 1e3 / count
            print(f"{name:10}{count:8}{median:11.2f}{last:9.2f}{perFrame:10.1f}{processor:14.1f}")


def compareReplay(folder: Path) -> None:
    """How long it takes to read what is held."""
    commit = ownFiles(folder / "replay own")
    # (Never settled: the store's settle is at the position of the last commit only.)
    commit(REPLAYED)
    start = time.perf_counter()
    found = recover(RealDisk(str(folder / "replay own")))
    (chain,) = found.chains.values()
    own = time.perf_counter() - start
    assert len(chain.entries) == REPLAYED
    sqlite(folder / "replay sqlite3")(REPLAYED)
    start = time.perf_counter()
    base = sqlite3.connect(folder / "replay sqlite3" / "journal.db")
    rows = base.execute("SELECT tag, seq, wall, asdu FROM event ORDER BY tag, seq").fetchall()
    other = time.perf_counter() - start
    assert len(rows) == REPLAYED
    print(f"replay of {REPLAYED} frames: own files {own:.2f} s, sqlite3 {other:.2f} s")


class Turns(Clock):
    """A reactor whose turns are made here."""

    def __init__(self) -> None:
        super().__init__()
        self.said: queue.Queue[Callable[[], Any]] = queue.Queue()

    def callFromThread(self, call: Callable[..., Any], *args: Any) -> None:
        self.said.put(lambda: call(*args))


def manyGroups(folder: Path, groups: int = 2000, frames: int = 12) -> None:
    """All groups write in the same moment, through the whole service with its thread."""
    turns = Turns()
    service = JournalService(str(folder / "service"), turns, time.time)
    journals = [service.open(GroupKey(number, 1, f"group {number}")) for number in range(groups)]
    service.startService()
    told: list[bool] = []
    entries = [(position, ASDU) for position in range(frames)]
    start = time.perf_counter()
    for journal in journals:
        journal.write(entries, told.append)
    turns.advance(0)
    handed = time.perf_counter() - start
    while len(told) < groups:
        turns.said.get()()
        turns.advance(0)
    total = time.perf_counter() - start
    commits = service.figures.commits
    started = time.perf_counter()
    for journal in journals:
        for position in range(frames + 1):
            journal.settle(position)
    settling = (time.perf_counter() - started) / groups / frames
    print(
        f"{groups} groups x {frames} frames at once: {total * 1e3:.0f} ms until the last is told,"
        f" {commits} commits; the reactor is busy for {handed * 1e3:.0f} ms;"
        f" settle {settling * 1e6:.2f} us a frame"
    )
    ended: list[None] = []
    service.stopService().addCallback(ended.append)
    while not ended:
        turns.said.get()()


def main() -> None:
    """Measure all, print tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--folder", default=os.getcwd(), help="where the files are made")
    parser.add_argument("--seconds", type=float, default=2.0, help="for each line of the table")
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="bench-journal-", dir=arguments.folder))
    try:
        compareCommits(folder, arguments.seconds)
        compareReplay(folder)
        manyGroups(folder)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
