"""The thread that writes the journal: when it commits, what it does when the disk does not."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Callable
from typing import NamedTuple

from mm2ss.relay.journalapi import LATENCY_CLASSES, JournalFigures
from mm2ss.relay.journalgroup import Write
from mm2ss.relay.journalstate import Chain, Entry
from mm2ss.relay.journalstore import RELIEF, NoRoom, Store

#: Seconds between the beginnings of two commits: an isolated one starts at once, but a thousand
#: groups that have something to write in the same second cost a few syncs and not a thousand.
GATHER = 0.05
#: Seconds before the first new try after a failure, and the longest; each is twice the last.
FIRST_RETRY = 1.0
LONGEST_RETRY = 30.0


def startThread(target: Callable[[], None]) -> Callable[[], None]:
    """Run something in a thread.

    :return: waits for its end.
    """
    # A daemon: when the process ends without stopService, it must not hang.
    thread = threading.Thread(target=target, name="mm2ss journal", daemon=True)
    thread.start()
    return thread.join


class Report(NamedTuple):
    """What the writer tells the reactor's thread.

    :ivar results: writes that are finished, in order, and whether they are on disk.
    :ivar full: why nothing can be written; "" if it can.
    :ivar failures: how many there were.
    :ivar ended: the writer does nothing more.
    :ivar error: what ended it before its time, a fault of the program.
    """

    results: list[tuple[Write, bool]]
    full: str
    failures: int
    ended: bool = False
    error: BaseException | None = None


class Tally:
    """What the writer has done; read by other threads, written by its own."""

    def __init__(self) -> None:
        self.written = self.commits = self.failures = self.carried = 0
        self.size = self.files = 0
        self.last = self.longest = self.total = 0.0
        self.classes = [0] * (len(LATENCY_CLASSES) + 1)

    def timed(self, seconds: float) -> None:
        """A commit took so long."""
        self.commits += 1
        self.last = seconds
        self.longest = max(self.longest, seconds)
        self.total += seconds
        self.classes[bisect_left(LATENCY_CLASSES, seconds * 1000)] += 1

    def figures(self, frames: int, octets: int, setAside: int, full: str) -> JournalFigures:
        """With what only the reactor's thread knows."""
        return JournalFigures(
            frames=frames,
            octets=octets,
            size=self.size,
            files=self.files,
            written=self.written,
            commits=self.commits,
            failures=self.failures,
            lastLatency=self.last,
            maxLatency=self.longest,
            meanLatency=self.total / max(1, self.commits),
            latencies=tuple(self.classes),
            carried=self.carried,
            setAside=setAside,
            full=full,
        )


class Writer:
    """Works on the store, in a thread of its own (`run`); the other methods are for the reactor's.

    :param post: called in the writer's thread with each report.
    :param now: monotonic seconds.
    """

    def __init__(
        self, store: Store, post: Callable[[Report], None], now: Callable[[], float]
    ) -> None:
        self._store = store
        self._post = post
        self._now = now
        self._wake = threading.Condition()
        self._writes: list[Write] = []
        self._settled: dict[Chain, int] = {}
        self._calls: list[Callable[[], object]] = []
        self._stopping = False
        # From here on it is the writer's alone.
        self._nextCommit = 0.0
        self._retry = FIRST_RETRY
        self._retryAt = 0.0
        self._full = ""
        self._isBroken = False  # writing failed; else, when full, the disk only lacks room
        self._moreToTidy = True
        self._generation = 0
        self.tally = Tally()
        self._measure()

    # -- for the reactor's thread -----------------------------------------------------------

    def handOver(self, writes: list[Write]) -> None:
        """Write these; each gets its result in a report."""
        with self._wake:
            self._writes += writes
            self._wake.notify()

    def settle(self, chain: Chain, position: int) -> None:
        """All entries of a group before the position are settled."""
        with self._wake:
            if not self._settled:
                self._wake.notify()
            self._settled[chain] = position

    def call(self, work: Callable[[], object]) -> None:
        """Do this, too, when all that was said before is done."""
        with self._wake:
            self._calls.append(work)
            self._wake.notify()

    def stop(self) -> None:
        """Finish what was handed over, then end with a last report."""
        with self._wake:
            self._stopping = True
            self._wake.notify()

    # -- the thread -------------------------------------------------------------------------

    def run(self) -> None:
        """The thread's whole life."""
        error: BaseException | None = None
        try:
            while self._waitForWork():
                self.round()
            self.finish()
        except BaseException as caught:
            error = caught
        self._post(Report([], self._full, self._generation, True, error))

    def _waitForWork(self) -> bool:
        """Wait until something is due.

        :return: False when it is the end.
        """
        with self._wake:
            while not self._stopping:
                wait = self._dueIn()
                if wait is not None and wait <= 0:
                    return True
                self._wake.wait(wait)
            return False

    def _dueIn(self) -> float | None:
        """Seconds until there is something to do; None = until somebody brings something."""
        times = []
        if self._writes:
            times.append(0.0 if self._full else self._nextCommit)
        if self._settled or self._moreToTidy or self._calls:
            times.append(0.0)
        if self._full:
            times.append(self._retryAt)
        return min(times) - self._now() if times else None

    def round(self) -> None:
        """Do all that is due, once."""
        with self._wake:
            writes, self._writes = self._writes, []
            calls, self._calls = self._calls, []
            settled, self._settled = self._settled, {}
        for chain, position in settled.items():
            self._store.settle(chain, position)
        if self._full and self._now() >= self._retryAt:
            self._tryAgain()
        if writes:
            self._write(writes)
        for call in calls:
            call()
        self._lookAfter()
        self._measure()

    def finish(self) -> None:
        """Write what is left, and close."""
        self.round()
        if not self._isBroken:
            self._attempt(self._store.close)
            self._measure()

    def _write(self, writes: list[Write]) -> None:
        """Commit what is not settled meanwhile, and report on it."""
        fit = [write for write in writes if not self._full and write.generation == self._generation]
        batch: list[tuple[Chain, Entry]] = []
        for write in fit:
            chain, settled, wall = write.group.chain, write.group.settled, write.wall
            session = write.session
            assert chain is not None
            batch += [
                (chain, Entry(position, 0, wall, asdu, session))
                for position, asdu in write.entries
                if position >= settled
            ]
        success = not batch or self._attempt(lambda: self._store.commit(batch))
        if success:
            self.tally.written += len(batch)
        done = set(fit) if success else set()
        self._report([(write, write in done) for write in writes])

    def _attempt(self, action: Callable[[], None], isSynced: bool = True) -> bool:
        """Do something on the disk, when it fails once more (with a new segment).

        :param isSynced: it is a commit, which counts and is timed.
        :return: whether it worked; if not, nothing more is taken for a while.
        """
        start = self._now()
        try:
            try:
                action()
            except NoRoom:
                raise
            except OSError:
                self.tally.failures += 1
                action()
        except OSError as error:
            self._failed(error)
            return False
        if isSynced:
            self._nextCommit = start + GATHER
            self.tally.timed(self._now() - start)
        return True

    def _failed(self, error: OSError) -> None:
        self._isBroken = not isinstance(error, NoRoom)
        self.tally.failures += self._isBroken
        self._generation += 1
        self._full = str(error)
        self._retryAt = self._now() + self._retry
        self._retry = min(self._retry * 2, LONGEST_RETRY)

    def _tryAgain(self) -> None:
        """See whether writing works again."""
        try:
            self._store.tidy()
            self._store.checkRoom(0, RELIEF)
        except OSError as error:
            self._failed(error)
            self._report([])
            return
        if self._attempt(lambda: self._store.commit(())):
            self._full = ""
            self._isBroken = False
            self._retry = FIRST_RETRY
        self._report([])

    def _lookAfter(self) -> None:
        """Write marks that no commit has taken along, and tidy up by one step."""
        store = self._store
        self._moreToTidy = False
        works = True
        if not self._isBroken:
            if store.needsCommit:
                works = self._attempt(lambda: store.commit(()))
            elif store.hasMarks:
                works = self._attempt(store.writeMarks, isSynced=False)
        if works:
            try:
                self._moreToTidy = store.tidy()
            except OSError as error:
                self._failed(error)
                works = False
        if not works:
            self._report([])

    def _report(self, results: list[tuple[Write, bool]]) -> None:
        self._post(Report(results, self._full, self._generation))

    def _measure(self) -> None:
        self.tally.size = self._store.size
        self.tally.files = self._store.files
        self.tally.carried = self._store.carried
