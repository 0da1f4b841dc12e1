"""The journal's files while the process runs: what stands where, commits, marks, tidying up.

No thread and no clock: one caller at a time, and each method does its work on the disk before it
returns. The order of operations is the whole point; docs/journal.md gives the reasons:

* An entry counts as written when its octets are synced and, in a new segment, the folder too.
* After any failed operation on a segment nothing more is written to it. What was synced before
  counts; the next segment says up to where.
* A new segment begins with what makes older ones expendable: entries that may stand in the
  system's cache only, all marks, the lengths of the older segments - in this order.
* A segment is deleted when nothing in it is needed and a newer one is synced; that it is gone is
  believed when the folder is synced.
"""

from __future__ import annotations

import errno
from collections.abc import Sequence

from mm2ss.relay.journalapi import GroupKey
from mm2ss.relay.journaldisk import Disk, DiskFile
from mm2ss.relay.journalrecords import DATA_OVERHEAD, Encoder, tagOf
from mm2ss.relay.journalrecovery import Recovered
from mm2ss.relay.journalstate import SEQ_SHIFT, Chain, Entry, Segment, isWasteful, pick

#: Octets after which the next segment begins: small enough that few events pin little, large
#: enough that making and deleting files costs nothing beside the syncs.
SEGMENT_SIZE = 8 * 1024 * 1024
#: Octets that are left free on the disk when new entries come: what marks and copies need to free
#: the journal's own space, and what the rest of the machine needs to go on.
RESERVE = 16 * 1024 * 1024
#: After the disk was too full, this part of the reserve more must be free before entries are
#: taken again, lest it changes with every commit.
RELIEF = 0.25


class NoRoom(OSError):
    """The disk is too full for new entries, which has been found out before trying."""


class Store:
    """The journal's files.

    :param found: what `recover` has read; belongs to the store from now on.
    """

    def __init__(
        self,
        disk: Disk,
        found: Recovered,
        segmentSize: int = SEGMENT_SIZE,
        reserve: int = RESERVE,
    ) -> None:
        self._disk = disk
        self._segmentSize = segmentSize
        self._reserve = reserve
        self._chains = found.chains
        self._segments = found.segments
        self._uncertain = found.uncertain
        self._base = found.number << SEQ_SHIFT
        self._number = found.number
        self._file: DiskFile | None = None
        self._encoder = Encoder(0)
        # The tags that the open segment explains, and the chains whose marks it does not have.
        self._explained: set[bytes] = set()
        self._unmarked: dict[Chain, None] = {}
        self._anchor = self._newestRecovered()
        self._anchorSynced = False
        self.carried = 0

    def _newestRecovered(self) -> Segment | None:
        readable = [segment for segment in self._segments if segment.readable]
        # One that was written to again has its beginning: all marks, and all lengths. No older one
        # will do: what was copied forward may stand in the newest one only, and not on disk yet.
        return readable[-1] if readable and readable[-1].synced else None

    # -- what stands where ------------------------------------------------------------------

    @property
    def size(self) -> int:
        """Octets of all segments."""
        return sum(segment.size for segment in self._segments if not segment.removed)

    @property
    def files(self) -> int:
        """Number of segments."""
        return sum(not segment.removed for segment in self._segments)

    @property
    def needsCommit(self) -> bool:
        """Whether a commit is due though there is nothing new: the first one after a start makes
        certain what was found, and lets old segments go."""
        return self._file is None and bool(self._segments)

    @property
    def hasMarks(self) -> bool:
        """Whether there is anything for `writeMarks`."""
        return bool(self._unmarked)

    def chain(self, key: GroupKey) -> Chain:
        """What a group has on disk."""
        tag = tagOf(key)
        chain = self._chains.get(tag)
        if chain is None:
            chain = self._chains[tag] = Chain(tag, key, self._base)
        chain.key = key
        return chain

    def late(self, key: GroupKey) -> Chain:
        """What a group has on disk that is opened after the start. May be called while another
        thread works here: nothing touches the chain of a group that is not open."""
        tag = tagOf(key)
        chain = self._chains.get(tag) or Chain(tag, key, self._base)
        chain.key = key
        return chain

    def drop(self, chain: Chain, count: int) -> None:
        """Before a group is open: forget its first entries; positions begin behind them."""
        self.settle(chain, count)
        for position, entry in enumerate(chain.entries):
            entry.position = position
        chain.session = -1

    def settle(self, chain: Chain, position: int) -> None:
        """All entries of a group before the position are settled."""
        entries = chain.entries
        if not entries or entries[0].position >= position:
            return
        while entries and entries[0].position < position:
            entry = entries.popleft()
            if entry.segment is not None:
                entry.segment.drop(chain, entry)
        chain.mark = entries[0].seq if entries else chain.next
        self._unmarked[chain] = None

    # -- writing ----------------------------------------------------------------------------

    def checkRoom(self, octets: int, relief: float = 0.0) -> None:
        """Look whether the disk has room for new entries of so many octets.

        :param relief: part of the reserve that must be free beyond it.
        :raises NoRoom: it has not.
        """
        free = self._disk.free()
        if free is not None and free - octets < self._reserve * (1 + relief):
            raise NoRoom(
                errno.ENOSPC,
                f"{free // 1024} KiB are free, and {self._reserve // 1024} KiB must stay free",
                self._disk.place,
            )

    def commit(self, entries: Sequence[tuple[Chain, Entry]]) -> None:
        """Put new entries on disk (none: only what is due before them), with one sync.

        :param entries: those of one group in order.
        :raises NoRoom: nothing was tried; the file is as good as before.
        :raises OSError: none of them counts as written. Another try makes a new segment.
        """
        octets = 0
        nexts: dict[Chain, tuple[int, int]] = {}
        for chain, entry in entries:
            octets += len(entry.asdu) + DATA_OVERHEAD
            seq, session = nexts.get(chain) or (chain.next, chain.session)
            if entry.session != session:  # a number is left out
                seq += 1
            entry.seq = seq
            nexts[chain] = seq + 1, entry.session
        if entries:
            self.checkRoom(octets)
        self._append(entries)
        for chain, entry in entries:
            chain.entries.append(entry)
        for chain, (seq, session) in nexts.items():
            chain.next, chain.session = seq, session
            self._chains[chain.tag] = chain

    def _append(self, entries: Sequence[tuple[Chain, Entry]]) -> None:
        """Write entries that have their numbers, and sync. They stand in the open segment then."""
        uncertain: Sequence[tuple[Chain, Entry]] = ()
        if self._file is None or self._segments[-1].size >= self._segmentSize:
            self._close()
            uncertain = [item for item in self._uncertain if item[1].segment is not None]
            self._begin(uncertain)
        segment = self._segments[-1]
        try:
            assert self._file is not None
            parts = self._synced(segment)
            parts += self._marks()
            parts += self._records(entries)
            self._write(segment, parts)
            self._file.sync()
            if not segment.synced:
                self._syncDirectory()
        except OSError:
            self._abandon()
            raise
        segment.synced = segment.size
        self._anchor, self._anchorSynced = segment, True
        self._unmarked.clear()
        for chain, entry in (*uncertain, *entries):
            segment.add(chain, entry)
        self._uncertain = []

    def _begin(self, uncertain: Sequence[tuple[Chain, Entry]]) -> None:
        """Make a new segment with its head, not synced yet."""
        segment = Segment(self._number)
        # A number is never used again, also if the file could not be made.
        self._number += 1
        self._file = self._disk.create(segment.name)
        older = [(one.number, one.synced) for one in self._segments if one.readable]
        self._segments.append(segment)
        self._encoder = encoder = Encoder(segment.number)
        self._explained = set()
        parts = [encoder.head()]
        # First what the lengths behind it make void.
        parts += self._records(uncertain)
        parts += [
            encoder.mark(chain.tag, chain.mark) for chain in self._chains.values() if chain.mark
        ]
        parts += [encoder.closed(number, synced) for number, synced in older]
        try:
            self._write(segment, parts)
        except OSError:
            self._abandon()
            raise

    def _write(self, segment: Segment, parts: list[bytes]) -> None:
        assert self._file is not None
        data = b"".join(parts)
        segment.size += len(data)
        self._file.append(data)

    def _records(self, entries: Sequence[tuple[Chain, Entry]]) -> list[bytes]:
        parts = []
        explained = self._explained
        encode = self._encoder.data
        for chain, entry in entries:
            tag = chain.tag
            if tag not in explained:
                explained.add(tag)
                if chain.key is not None:
                    parts.append(self._encoder.group(tag, chain.key))
            parts.append(encode(tag, entry.seq, entry.wall, entry.asdu))
        return parts

    def _synced(self, segment: Segment) -> list[bytes]:
        """What tells a reader that all before was synced; not in a segment's first write."""
        return [self._encoder.synced(segment.synced)] if segment.synced else []

    def _marks(self) -> list[bytes]:
        return [self._encoder.mark(chain.tag, chain.mark) for chain in self._unmarked]

    def writeMarks(self) -> None:
        """Write the marks that are new, without a sync: losing one makes a duplicate.

        :raises OSError: they were not written; they will be at the next commit.
        """
        if self._file is None:
            self._append(())
            return
        segment = self._segments[-1]
        try:
            self._write(segment, self._synced(segment) + self._marks())
        except OSError:
            self._abandon()
            raise
        self._unmarked.clear()

    def close(self) -> None:
        """Put the last marks on disk and close the file.

        :raises OSError: the last marks are lost.
        """
        try:
            if self._unmarked or self._uncertain or self._file is not None:
                self._append(())
        finally:
            self._close()

    def _close(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            try:
                file.close()
            except OSError:
                pass  # all that counts was synced

    def _abandon(self) -> None:
        """Never write to the open segment again; one with nothing synced is deleted."""
        self._close()
        segment = self._segments[-1]
        # Marks that were in it only must be written again.
        self._unmarked.update({chain: None for chain in self._chains.values() if chain.mark})
        if not segment.synced:
            self._remove(segment)

    # -- tidying up -------------------------------------------------------------------------

    def tidy(self) -> bool:
        """One step: delete the segments that are not needed, or copy something forward so that
        the oldest can be deleted.

        :return: whether there is more to do.
        :raises OSError: a copy failed; nothing is lost.
        """
        self._removeDead()
        if self._file is None or not isWasteful(self._segments, self._segmentSize):
            return False
        oldest = next((one for one in self._segments[:-1] if one.live), None)
        if oldest is None:
            return False
        carried = pick(oldest)
        self._append(carried)
        self.carried += len(carried)
        return True

    def _removeDead(self) -> None:
        """Delete older segments in which nothing is needed; what fails is tried again later."""
        anchor = self._anchor
        if anchor is None:
            return
        dead = [
            segment
            for segment in self._segments
            if segment.number < anchor.number and segment.readable and not segment.live
        ]
        try:
            if dead and not self._anchorSynced:
                # After a start on a full disk: what the anchor says makes the others expendable.
                self._disk.sync(anchor.name)
                self._syncDirectory()
                self._anchorSynced = True
            for segment in dead:
                self._remove(segment)
            if any(segment.removed for segment in self._segments):
                self._syncDirectory()
        except OSError:
            pass  # they cost space only

    def _remove(self, segment: Segment) -> None:
        try:
            if not segment.removed:
                self._disk.remove(segment.name)
        except FileNotFoundError:
            pass
        except OSError:
            return
        segment.removed = True

    def _syncDirectory(self) -> None:
        self._disk.syncDirectory()
        self._segments[:] = [segment for segment in self._segments if not segment.removed]
