"""The journals of the other processes that share one groups file, and when each may be touched.

All journals stand side by side in one folder: ``journal-1``, ``journal-2`` … of the shards, and
``journal`` of a process that runs all groups. Which groups are whose changes when the number of
processes does; their events then go from journal to journal in parcels (`journalparcels`). In this
order, when a process starts:

1. It locks its own journal, makes parcels of what is in it for other processes' groups, and says in
   its lock that this is done (*settled*).
2. Each other journal that nobody holds is emptied into parcels likewise. One that is held by a
   process of the same division is waited for until it is settled. (It waits for nobody before.)
3. Now no parcel for this process can come any more. It takes in those that there are.

A process of another division that still runs serves groups of this one, and its journal gets new
events of them at every moment. So nothing is started beside it.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import NamedTuple

from mm2ss.relay.diskfiles import (
    FolderLock,
    RealDisk,
    RealFile,
    folderProblem,
    holderOf,
    makeFolder,
)
from mm2ss.relay.journalapi import GroupKey, JournalError
from mm2ss.relay.journalaside import Finding, setAside
from mm2ss.relay.journalparcels import clear, collect
from mm2ss.relay.journalrecords import tagOf
from mm2ss.relay.journalrecovery import Recovered, recover
from mm2ss.relay.journalstore import Store

#: The folder of the parcels, beside the journals.
PARCELS = "parcels"
#: Seconds that a neighbour may take to settle: it may have to read a million events.
PATIENCE = 60.0
#: Seconds for which a lock may say what its last holder has said: the new one writes it at once.
STALE = 1.0
#: Seconds between two looks at a lock.
LOOK = 0.05
#: Instead of a shard, in the lock of a process that runs all groups.
ALL = "all"
_JOURNAL = re.compile(r"journal(-[1-9][0-9]*)?")
_STARTING, _SETTLED, _MOVING = "starting", "settled", "moving"


class Holder(NamedTuple):
    """Who holds a journal, as its lock says.

    :ivar shard: ``2/4``, or `ALL`.
    """

    process: str
    shard: str
    stage: str

    @property
    def division(self) -> str:
        """How the groups are shared out where it belongs."""
        return _division(self.shard)


def _division(shard: str) -> str:
    return shard.partition("/")[2]


def holder(place: str) -> Holder:
    """Who holds a journal that is locked."""
    words = holderOf(place).split()
    return Holder(*words) if len(words) == 3 else Holder("(unknown)", "(unknown)/?", "")


class Neighbours:
    """What one process does with the journals of all.

    :param directory: absolute path of its own journal.
    :param shard: ``2/4``; empty = it runs all groups.
    :param others: the groups of the other processes.
    :param sleep: waits so many seconds.
    :param now: monotonic seconds.
    """

    def __init__(
        self,
        directory: str,
        shard: str = "",
        others: Collection[GroupKey] = (),
        sleep: Callable[[float], None] = time.sleep,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._directory = directory
        self._state = os.path.dirname(directory)
        self._shard = shard or ALL
        self._others = {tagOf(key): key for key in others}
        self._sleep = sleep
        self._now = now

    @property
    def tags(self) -> Collection[bytes]:
        """Of the groups of the other processes."""
        return self._others.keys()

    def problem(self) -> str:
        """Why this process cannot start as things stand; empty when it can. Changes nothing."""
        for place in self._journals():
            found = holder(place)
            if folderProblem(place) and not self._isOfUs(found) and self._lasts(place, found):
                return self._refusal(place, found)
        found = holder(self._directory)
        if found.stage == _MOVING and self._isOfUs(found):
            return ""  # it is ready by the time that this process needs it
        return folderProblem(self._directory)

    def lock(self) -> FolderLock:
        """Lock the own journal.

        :raises JournalError: another process has it.
        """
        lock = self._wait(self._directory, lambda found: found.stage == _MOVING)
        assert lock is not None
        self._tell(lock, _STARTING)
        return lock

    def share(
        self, lock: FolderLock, store: Store, found: Recovered, own: Collection[GroupKey]
    ) -> list[Finding]:
        """Give the neighbours what is theirs, and take what is this process's.

        :param lock: of the own journal.
        :param found: what was found in it.
        :param own: this process's groups.
        :raises JournalError: a process of another division runs, or one does not settle.
        """
        name, folder = os.path.basename(self._directory), self._folder
        chains = list(found.chains.values())
        findings = self._guarded(clear(store, chains, self._others, name, folder))
        self._tell(lock, _SETTLED)
        everybody = {**self._others, **{tagOf(key): key for key in own}}
        for place in self._journals():
            free = self._wait(place, lambda holder: holder.stage != _SETTLED)
            if free is not None:
                self._tell(free, _MOVING)
                findings += self._guarded(self._empty(place, everybody))
                free.release()
        others = set(self._others.values())
        return findings + self._guarded(collect(store, set(own), others, folder))

    # -- other journals ---------------------------------------------------------------------

    def _journals(self) -> list[str]:
        """The folders of all other journals."""
        try:
            with os.scandir(self._state) as entries:
                names = [each.name for each in entries if each.is_dir()]
        except OSError:
            return []
        own = os.path.basename(self._directory)
        return [
            os.path.join(self._state, name)
            for name in sorted(names)
            if _JOURNAL.fullmatch(name) and name != own
        ]

    def _empty(self, place: str, everybody: dict[bytes, GroupKey]) -> Iterator[Finding]:
        """Make parcels of all that a journal holds which nobody uses."""
        disk = RealDisk(place)
        found = recover(disk)
        store = Store(disk, found)
        aside = setAside(disk, found, everybody)
        yield from aside.findings
        for chain in found.chains.values():
            store.drop(chain, len(chain.entries) if chain in aside.chains else 0)
        chains, name = list(found.chains.values()), os.path.basename(place)
        yield from clear(store, chains, everybody, name, self._folder)
        if found.chains:
            store.close()

    @property
    def _folder(self) -> _Parcels:
        return _Parcels(os.path.join(self._state, PARCELS))

    def _guarded(self, work: Iterable[Finding]) -> list[Finding]:
        """What a disk does not do is an error in the log; the events stay where they are safe."""
        findings: list[Finding] = []
        try:
            for finding in work:
                findings.append(finding)
        except (OSError, JournalError) as error:
            text = (
                f"{self._state}: events of groups that have changed their process cannot be handed"
                f" over, and stay where they are until the next start: {error}"
            )
            findings.append(Finding(True, text))
        return findings

    # -- locks ------------------------------------------------------------------------------

    def _wait(self, place: str, worthIt: Callable[[Holder], bool]) -> FolderLock | None:
        """Lock a journal.

        :param worthIt: whether to wait for who holds it.
        :return: None when it is held by a neighbour who has settled.
        :raises JournalError: when it is held by anybody else.
        """
        end = self._now() + PATIENCE
        while True:
            try:
                return FolderLock(place)
            except JournalError as error:
                found = holder(place)
                if place == self._directory and not worthIt(found):
                    raise
                if not self._isOfUs(found):
                    if self._lasts(place, found):
                        raise JournalError(self._refusal(place, found)) from error
                elif not worthIt(found):
                    return None
                if self._now() > end:
                    raise
            self._sleep(LOOK)

    def _isOfUs(self, found: Holder) -> bool:
        return found.division == _division(self._shard)

    def _lasts(self, place: str, found: Holder) -> bool:
        """Whether a lock still says the same after a while, and is still held."""
        self._sleep(STALE)
        return holder(place) == found and bool(folderProblem(place))

    def _refusal(self, place: str, found: Holder) -> str:
        return (
            f"The journal {place} is in use by process {found.process}, which runs as shard"
            f" {found.shard}; this one is to run as shard {self._shard}. The groups of both can"
            " be the same ones, and their events are in that journal: stop that process first."
        )

    def _tell(self, lock: FolderLock, stage: str) -> None:
        try:
            lock.tell(f"{os.getpid()} {self._shard} {stage}")
        except OSError:
            pass  # on a full disk: who waits for it gives up after a while


class _Parcels(RealDisk):
    """The folder of the parcels, which is made with the first one."""

    def names(self) -> list[str]:
        return super().names() if os.path.isdir(self.place) else []

    def create(self, name: str) -> RealFile:
        makeFolder(self.place)
        return super().create(name)
