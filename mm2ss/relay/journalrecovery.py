"""Reads the journal's folder at the start: what is held, what is damaged, what was never finished.

What counts in a segment:

* Up to the length that a later segment states (``CLOSED``), everything; nothing behind it.
* Else up to the offset that its last ``SYNCED`` states, everything; damage there is a fault of the
  disk: it is reported, and what follows it is read.
* Behind that is what the last write left. It may have been acknowledged (the sync succeeded) or
  cut short by a power cut, so it counts up to the first damage. It was written front to back in
  the order of the events, so this keeps the order; what an interrupted write left was never
  acknowledged. These entries are *uncertain*: they may so far stand in the system's cache only
  (after a kill), so the first commit writes them again.
"""

from __future__ import annotations

import gc
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from mm2ss.relay.journalapi import GroupKey, JournalError
from mm2ss.relay.journaldisk import Disk
from mm2ss.relay.journalrecords import (
    VERSION,
    Kind,
    Record,
    parseClosed,
    parseData,
    parseGroup,
    parseHead,
    parseMark,
    parseSynced,
    scan,
)
from mm2ss.relay.journalstate import PREFIX, SEQ_SHIFT, Chain, Entry, Segment


@dataclass(frozen=True)
class Damage:
    """Octets of a file that are no records.

    :ivar cut: they are what an interrupted write left, or stand behind that; else they are a
        fault of the disk.
    :ivar records: whole data records that stand behind the first damage of an interrupted write;
        they were not acknowledged, unless the disk has lost what it had synced.
    """

    name: str
    offset: int
    octets: bytes
    cut: bool
    records: int = 0


@dataclass
class Recovered:
    """What the folder holds.

    :ivar chains: by tag.
    :ivar segments: in order.
    :ivar uncertain: unsettled entries that must be written again, in order.
    :ivar unreadable: files with the errors that the disk gave.
    :ivar number: of the next segment.
    """

    chains: dict[bytes, Chain] = field(default_factory=dict)
    segments: list[Segment] = field(default_factory=list)
    uncertain: list[tuple[Chain, Entry]] = field(default_factory=list)
    damages: list[Damage] = field(default_factory=list)
    unreadable: list[tuple[str, OSError]] = field(default_factory=list)
    number: int = 1


def recover(disk: Disk) -> Recovered:
    """Read the folder; changes nothing in it.

    :raises OSError: when the folder cannot be read at all.
    :raises JournalError: when a segment is of a newer format.
    """
    reader = _Reader(disk)
    numbers = sorted(_numbers(disk.names()))
    # A million new objects and no garbage: looking for it would take half of the time.
    collects = gc.isenabled()
    gc.disable()
    try:
        for number in reversed(numbers):
            reader.readSegment(number)
        return reader.finish(numbers[-1] + 1 if numbers else 1)
    finally:
        if collects:
            gc.enable()


def _numbers(names: Iterable[str]) -> Iterator[int]:
    for name in names:
        digits = name.removeprefix(PREFIX)
        if digits != name and digits.isascii() and digits.isdigit():
            yield int(digits)


class _Reader:
    """Reads segments from the newest to the oldest, so that what a newer one says of an older one
    is known in time."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self._found = Recovered()
        self._closed: dict[int, int] = {}
        self._entries: dict[bytes, dict[int, tuple[Entry, Segment]]] = {}
        self._uncertain: set[Entry] = set()
        self._marks: dict[bytes, int] = {}
        self._keys: dict[bytes, GroupKey] = {}

    def readSegment(self, number: int) -> None:
        segment = Segment(number)
        self._found.segments.append(segment)
        try:
            data = self._disk.read(segment.name)
        except OSError as error:
            segment.readable = False
            self._found.unreadable.append((segment.name, error))
            return
        segment.size = len(data)
        # An entry that stands twice was copied; the copies are equal.
        for record in self._counting(segment, data):
            self._take(record, segment)

    def _counting(self, segment: Segment, data: bytes) -> Iterator[Record]:
        """The records of a segment that count."""
        closed = self._closed.get(segment.number)
        if closed is not None:
            segment.synced = closed
            if closed > len(data):
                self._found.damages.append(Damage(segment.name, len(data), b"", False))
            for record in scan(data[:closed], segment.number):
                kind, offset, _, body = record
                if kind == Kind.DAMAGE:
                    self._damaged(segment, offset, body)
                else:
                    yield record
        else:
            yield from self._open(segment, data)

    def _open(self, segment: Segment, data: bytes) -> Iterator[Record]:
        """The same where no later segment says how much counts."""
        records = list(scan(data, segment.number))
        for kind, offset, _, body in records:
            if kind == Kind.SYNCED and parseSynced(body) <= offset:
                segment.synced = max(segment.synced, parseSynced(body))
        for index, record in enumerate(records):
            kind, offset, end, _ = record
            if kind != Kind.DAMAGE:
                yield record
                continue
            if offset < segment.synced:
                self._damaged(segment, offset, data[offset : min(end, segment.synced)])
            if end > segment.synced:
                start = max(offset, segment.synced)
                behind = sum(later[0] == Kind.DATA for later in records[index:])
                self._found.damages.append(Damage(segment.name, start, data[start:], True, behind))
                return

    def _damaged(self, segment: Segment, offset: int, octets: bytes) -> None:
        self._found.damages.append(Damage(segment.name, offset, octets, False))

    def _take(self, record: Record, segment: Segment) -> None:
        """Remember what a record says."""
        kind, offset, _, body = record
        if kind == Kind.DATA:
            tag, seq, wall, asdu = parseData(body)
            entry = Entry(0, seq, wall, asdu)
            kept = self._entries.setdefault(tag, {}).setdefault(seq, (entry, segment))
            if kept[0] is entry and offset >= segment.synced:
                self._uncertain.add(entry)
        elif kind == Kind.MARK:
            tag, seq = parseMark(body)
            self._marks[tag] = max(seq, self._marks.get(tag, 0))
        elif kind == Kind.CLOSED:
            number, length = parseClosed(body)
            self._closed.setdefault(number, length)
        elif kind == Kind.GROUP:
            tag, key = parseGroup(body)
            self._keys[tag] = key
        elif kind == Kind.HEAD and parseHead(body) != VERSION:
            raise JournalError(
                f"{self._disk.place}: {segment.name} is of another version of mm2ss"
                f" (format {parseHead(body)}; this one knows {VERSION})"
            )

    def finish(self, number: int) -> Recovered:
        """Put together what was read."""
        found = self._found
        found.number = number
        found.segments.reverse()
        found.damages.sort(key=lambda damage: (damage.name, damage.offset))
        # Where there are no entries, a mark has done its work: new numbers are above all old ones.
        # (A file that cannot be read now may hold some, and be read another time.)
        tags = {**self._marks, **self._entries} if found.unreadable else self._entries
        for tag in tags:
            chain = Chain(tag, self._keys.get(tag), number << SEQ_SHIFT)
            chain.mark = self._marks.get(tag, 0)
            found.chains[tag] = chain
            for seq, (entry, segment) in sorted(self._entries.get(tag, {}).items()):
                if seq >= chain.mark:
                    entry.position = len(chain.entries)
                    chain.entries.append(entry)
                    segment.add(chain, entry)
                    if entry in self._uncertain:
                        found.uncertain.append((chain, entry))
        return found
