"""The journal: the safe copy on disk of the RTUs' events, one for the whole process.

`JournalService` locks and reads the folder at its start, keeps the writer's thread, and is the
bridge between it and the groups. What they see of it is `mm2ss.relay.journalapi.SafeCopy`; how it
is done on disk says docs/journal.md.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from mm2ss.relay.diskfiles import FolderLock, RealDisk, makeFolder
from mm2ss.relay.journalapi import GroupKey, Hold, JournalError, JournalFigures
from mm2ss.relay.journalaside import NOTHING, Aside, letGo, setAside
from mm2ss.relay.journaldisk import Disk
from mm2ss.relay.journalgroup import ENTRY_OVERHEAD, GroupJournal, Write
from mm2ss.relay.journalneighbours import Neighbours
from mm2ss.relay.journalrecords import tagOf
from mm2ss.relay.journalrecovery import recover
from mm2ss.relay.journalstate import Chain
from mm2ss.relay.journalstore import RESERVE, SEGMENT_SIZE, Store
from mm2ss.relay.journalwriter import Report, Tally, Writer, startThread

__all__ = ["GroupJournal", "GroupKey", "Hold", "JournalError", "JournalFigures", "JournalService"]

#: Octets that may be on their way to the writer, all groups together: what 10 000 groups with 12
#: frames each hand over in one second, and what a disk that hangs may cost in memory.
HANDOVER_MAX = 32 * 1024 * 1024

_DEFAULT_HOLD = Hold()


class JournalService(Service):
    """The journal of one process.

    :param directory: absolute path of the journal's own folder; made at start (mode 0700).
    :param reactor: callLater and callFromThread.
    :param wallClock: seconds since the epoch; also called in other threads.
    :param hold: bounds of each group that is opened without own ones.
    :param segmentSize: octets after which a new file is begun.
    :param reserve: octets of the disk that are left free.
    :param disk: instead of the folder, which is then neither made nor locked.
    :param startThread: starts the writer; returns what waits for its end.
    :param now: monotonic seconds, for the writer.
    :param neighbours: the journals of other processes, beside this one.
    :ivar expected: groups that will be opened while it runs: what the start finds of them is not
        set aside.
    """

    _log = Logger()

    stopped = False
    _lock: FolderLock | None = None
    _store: Store | None = None
    _writer: Writer | None = None
    _join: Callable[[], None] | None = None
    _turn: IDelayedCall | None = None
    _ending: Deferred[None] | None = None
    _trouble = "the journal has not started"
    _failures = 0  # of the writer, that are known here
    _onTheWay = 0  # octets handed over and not answered
    _setAside = 0

    def __init__(
        self,
        directory: str,
        reactor: Any,
        wallClock: Callable[[], float],
        hold: Hold = _DEFAULT_HOLD,
        segmentSize: int = SEGMENT_SIZE,
        reserve: int = RESERVE,
        disk: Disk | None = None,
        startThread: Callable[[Callable[[], None]], Callable[[], None]] = startThread,
        now: Callable[[], float] = time.monotonic,
        neighbours: Neighbours | None = None,
    ) -> None:
        if not os.path.isabs(directory):
            raise ValueError(f"{directory!r} is not absolute: twistd changes its folder")
        self._directory = directory
        self._reactor = reactor
        self._wallClock = wallClock
        self._hold = hold
        self._sizes = (segmentSize, reserve)
        self._disk = disk
        self._startThread = startThread
        self._now = now
        self._neighbours = neighbours
        self._tally = Tally()
        self.expected: Collection[GroupKey] = ()
        self._groups: dict[GroupKey, GroupJournal] = {}
        self._closing: dict[GroupJournal, Deferred[None]] = {}
        self._handed: list[Write] = []
        # Insertion-ordered sets of groups: with results to tell, and waiting for room.
        self._toDeliver: dict[GroupJournal, None] = {}
        self._wanting: dict[GroupJournal, None] = {}

    def open(self, key: GroupKey, hold: Hold | None = None) -> GroupJournal:
        """One group's part. What belongs neither to a group that is open when the service starts
        nor to an expected one is set aside then.

        :raises ValueError: when the key is open already.
        """
        if key in self._groups:
            raise ValueError(f"{key} is open already")
        group = GroupJournal(key, hold or self._hold, self)
        if self._store is not None:
            group.begin(self._store.late(key), isStart=False)
        self._groups[key] = group
        return group

    def close(self, group: GroupJournal, keep: bool) -> Deferred[None]:
        """End the part of a group that has stopped; it is told nothing any more.

        :param keep: what is held is for the next one who opens its key; else it is set aside.
        :return: fires when that may be done.
        """
        closed = self._closing[group] = Deferred[None]()
        group.close(lambda: self._release(group, keep))
        return closed

    # -- start and stop ---------------------------------------------------------------------

    def startService(self) -> None:
        """Lock the folder, read it (blocks: about 1 s for 100 000 frames), start the writer.

        :raises JournalError: another process has the folder, or it cannot be used.
        """
        if self.stopped:
            raise JournalError("A journal that has stopped cannot start again")
        if self._disk is None:
            makeFolder(self._directory)
            neighbours = self._neighbours
            self._lock = neighbours.lock() if neighbours else FolderLock(self._directory)
            self._disk = RealDisk(self._directory)
        try:
            store = self._read(self._disk)
        except (OSError, JournalError) as error:
            self._unlock()
            if isinstance(error, JournalError):
                raise
            text = f"Cannot read the journal's folder {self._directory}: {error}"
            raise JournalError(text) from error
        Service.startService(self)
        self._store = store
        self._trouble = ""
        self._writer = Writer(store, self._post, self._now)
        self._tally = self._writer.tally
        self._join = self._startThread(self._writer.run)

    def _read(self, disk: Disk) -> Store:
        """Read the folder, and give each group what is held for it."""
        found = recover(disk)
        store = Store(disk, found, *self._sizes)
        own = (*self._groups, *self.expected)
        known = set(map(tagOf, own))
        if self._neighbours is not None and self._lock is not None:
            findings = self._neighbours.share(self._lock, store, found, own)
            self._tell(Aside(findings, [], 0))
            known.update(self._neighbours.tags)
        chains = {key: store.chain(key) for key in self._groups}
        aside = setAside(disk, found, known)
        self._tell(aside)
        for chain in found.chains.values():
            store.drop(chain, len(chain.entries) if chain in aside.chains else 0)
        for key, chain in chains.items():
            store.drop(chain, self._groups[key].begin(chain))
        frames = sum(group.frames for group in self._groups.values())
        self._log.info("{count} events are held in {place}", count=frames, place=disk.place)
        return store

    def stopService(self) -> Deferred[None]:
        """Fires when all that was handed over is on disk (or was answered with False), the writer
        has ended and the folder is unlocked. Never fails."""
        Service.stopService(self)
        self._trouble = "the journal stops"
        if self._writer is None or self.stopped:
            self._end()
            return succeed(None)
        self._ending = Deferred()
        self._handOver()
        self._writer.stop()
        return self._ending

    def _end(self) -> None:
        """Nothing can happen any more."""
        self.stopped = True
        if self._turn is not None:
            self._turn.cancel()
            self._turn = None
        self._wanting.clear()
        for group in self._groups.values():
            group.giveUp()
            self._deliver(group)
        join, self._join = self._join, None
        if join is not None:
            join()
        self._unlock()
        self._closeAll()
        ending, self._ending = self._ending, None
        if ending is not None:
            ending.callback(None)

    def _unlock(self) -> None:
        lock, self._lock = self._lock, None
        if lock is not None:
            lock.release()

    # -- what the groups' parts need (journalgroup.Hub) --------------------------------------

    @property
    def full(self) -> str:
        """Why no group can write, "" if they can."""
        if self._trouble:
            return self._trouble
        if self._onTheWay >= HANDOVER_MAX:
            return "the journal's disk is too slow"
        return ""

    def wall(self) -> int:
        """Milliseconds since 1970 (UTC)."""
        return max(0, int(self._wallClock() * 1000))

    def take(self, write: Write) -> None:
        """Hand a write over, together with all others of this turn."""
        write.generation = self._failures
        self._handed.append(write)
        self._onTheWay += write.octets + ENTRY_OVERHEAD * len(write.entries)
        self._later()

    def deliverSoon(self, group: GroupJournal) -> None:
        """Tell a group's results in a later turn."""
        self._toDeliver[group] = None
        self._later()

    def wantRoom(self, group: GroupJournal) -> None:
        """Tell a group when there is room."""
        self._wanting[group] = None

    def settled(self, chain: Chain, position: int) -> None:
        """Something of a group is settled."""
        if self._writer is not None:
            self._writer.settle(chain, position)
            if self._wanting:
                self._later()

    def note(self, isError: bool, text: str, group: GroupJournal) -> None:
        """A line in a group's event log."""
        log = self._log.error if isError else self._log.info
        log("{text}", text=text, group=group.key.id, peer="journal")

    # -- turns of the reactor ---------------------------------------------------------------

    def _later(self) -> None:
        if self._turn is None and not self.stopped:
            self._turn = self._reactor.callLater(0, self._thisTurn)

    def _thisTurn(self) -> None:
        self._turn = None
        self._handOver()
        self._deliverAll()
        self._tellRoom()

    def _handOver(self) -> None:
        handed, self._handed = self._handed, []
        if handed and self._writer is not None:
            self._writer.handOver(handed)

    def _deliverAll(self) -> None:
        groups, self._toDeliver = self._toDeliver, {}
        for group in groups:
            self._deliver(group)

    def _deliver(self, group: GroupJournal) -> None:
        try:
            group.deliver()
        except Exception:
            self._log.failure("A group failed on hearing from the journal", group=group.key.id)
            self.deliverSoon(group)

    def _tellRoom(self) -> None:
        for group in list(self._wanting):
            if not group.full:
                del self._wanting[group]
                try:
                    group.onRoom()
                except Exception:
                    self._log.failure("A group failed on room in the journal", group=group.key.id)

    # -- what the writer tells --------------------------------------------------------------

    def _post(self, report: Report) -> None:
        """In the writer's thread."""
        self._reactor.callFromThread(self._reported, report)

    def _reported(self, report: Report) -> None:
        self._failures = report.failures
        if report.error is not None:
            self._died(report.error)
        elif self.running:
            self._troubled(report.full)
        for write, success in report.results:
            self._onTheWay -= write.octets + ENTRY_OVERHEAD * len(write.entries)
            write.group.finished(write, success)
            self._toDeliver[write.group] = None
        self._deliverAll()
        if report.ended:
            self._ended()
        elif self._wanting and not self.full:
            self._later()

    def _troubled(self, trouble: str) -> None:
        """Say when writing fails for the first time, and when it works again."""
        if trouble and not self._trouble:
            self._log.error(
                "Cannot write the journal in {place}: {trouble}. Events that no master has taken"
                " are not acknowledged, the RTUs keep them. It is tried again.",
                place=self._directory,
                trouble=trouble,
            )
        elif self._trouble and not trouble:
            self._log.info("The journal in {place} can be written.", place=self._directory)
        self._trouble = f"the journal cannot be written: {trouble}" if trouble else ""

    def _died(self, error: BaseException) -> None:
        self._trouble = f"the journal's writer has failed: {error!r}"
        self._log.failure("The journal's writer has failed", Failure(error))

    def _ended(self) -> None:
        """The writer has ended, as it was told or by a fault."""
        self._writer = None
        if self._ending is not None:
            self._end()
        else:
            for group in self._groups.values():
                group.giveUp()
                self._toDeliver[group] = None
            self._deliverAll()
            self._closeAll()

    # -- groups that leave while it runs ------------------------------------------------------

    def _release(self, group: GroupJournal, keep: bool) -> None:
        """The writer has answered all that a group has written."""
        store, disk, chain = self._store, self._disk, group.chain
        if self._writer is None or store is None or disk is None or chain is None:
            self._closed(group)
            return

        def work() -> None:
            aside = letGo(store, disk, chain, keep)
            self._reactor.callFromThread(self._closed, group, aside)

        self._writer.call(work)

    def _closed(self, group: GroupJournal, aside: Aside = NOTHING) -> None:
        closed = self._closing.pop(group, None)
        if closed is None:
            return  # the writer's end came before
        del self._groups[group.key]
        self._wanting.pop(group, None)
        self._toDeliver.pop(group, None)
        self._tell(aside)
        closed.callback(None)

    def _closeAll(self) -> None:
        """The writer has ended; what it has not done is left to the next start."""
        for group in list(self._closing):
            self._closed(group)

    def _tell(self, aside: Aside) -> None:
        self._setAside += aside.number
        for finding in aside.findings:
            (self._log.error if finding.isError else self._log.info)("{text}", text=finding.text)

    @property
    def figures(self) -> JournalFigures:
        """For status and metrics."""
        groups = self._groups.values()
        frames = sum(group.frames for group in groups)
        octets = sum(group.octets for group in groups)
        return self._tally.figures(frames, octets, self._setAside, self.full)
