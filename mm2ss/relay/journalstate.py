"""What the journal knows of its files in memory: groups, entries, segments."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from itertools import islice

from mm2ss.relay.journalapi import GroupKey
from mm2ss.relay.journalrecords import DATA_OVERHEAD

#: What the names of segments begin with.
PREFIX = "segment-"
#: A start numbers its events from (number of its first segment) * 2**this: above all that any
#: earlier start has numbered, whatever of it can be read.
SEQ_SHIFT = 32
#: Octets that are copied forward in one step: some ms, then waiting entries have their turn.
CARRY_STEP = 256 * 1024
#: Segments that may lie around however little of them is needed, as octets and as number (short
#: ones come from restarts). Beyond that, at most half of the space is wasted.
SPARE_SEGMENTS = 4
SPARE_FILES = 16


class Entry:
    """An event on disk, or on its way there.

    :ivar position: its place in the group's ledger.
    :ivar seq: its number in the group on disk.
    :ivar wall: when it was handed over, in ms since 1970 (UTC).
    :ivar session: of those that this process has written, on which connection of the RTU it came.
    :ivar segment: where it stands; None = not on disk, or settled.
    """

    __slots__ = ("asdu", "position", "segment", "seq", "session", "wall")

    def __init__(self, position: int, seq: int, wall: int, asdu: bytes, session: int = 0) -> None:
        self.position = position
        self.seq = seq
        self.wall = wall
        self.asdu = asdu
        self.session = session
        self.segment: Segment | None = None


class Chain:
    """What one group has on disk.

    :ivar key: None when it is not known.
    :ivar entries: what is not settled, in order.
    :ivar next: the number that the next entry gets.
    :ivar session: on which connection of the RTU the last entry came; -1 = on one before the
        group was opened.
    :ivar mark: all numbers below are settled.
    """

    def __init__(self, tag: bytes, key: GroupKey | None, next: int) -> None:
        self.tag = tag
        self.key = key
        self.entries: deque[Entry] = deque()
        self.next = next
        self.session = -1
        self.mark = 0


class Segment:
    """A file of the journal.

    :ivar size: octets of the file.
    :ivar synced: octets that are known to be on disk.
    :ivar live: number of unsettled entries in it, by group.
    :ivar liveOctets: of their records.
    :ivar readable: False when the disk gave an error; the file is then left alone.
    :ivar removed: it is deleted, but that is not synced yet.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self.size = 0
        self.synced = 0
        self.live: dict[Chain, int] = {}
        self.liveOctets = 0
        self.readable = True
        self.removed = False

    @property
    def name(self) -> str:
        """The file's name."""
        return f"{PREFIX}{self.number:012}"

    def add(self, chain: Chain, entry: Entry) -> None:
        """The entry stands here, and no longer where it stood."""
        if entry.segment is not None:
            entry.segment.drop(chain, entry)
        entry.segment = self
        self.live[chain] = self.live.get(chain, 0) + 1
        self.liveOctets += len(entry.asdu) + DATA_OVERHEAD

    def drop(self, chain: Chain, entry: Entry) -> None:
        """The entry is not needed here any more."""
        entry.segment = None
        self.live[chain] -= 1
        if not self.live[chain]:
            del self.live[chain]
        self.liveOctets -= len(entry.asdu) + DATA_OVERHEAD


def isWasteful(segments: Sequence[Segment], segmentSize: int) -> bool:
    """Whether something should be copied forward, so that old segments can be deleted."""
    live = sum(segment.liveOctets for segment in segments)
    size = sum(segment.size for segment in segments if not segment.removed)
    if size > 2 * live + SPARE_SEGMENTS * segmentSize:
        return True
    return len(segments) > SPARE_FILES + 2 * live // segmentSize


def pick(segment: Segment) -> list[tuple[Chain, Entry]]:
    """Some of a segment's unsettled entries, about `CARRY_STEP` octets."""
    picked = []
    octets = 0
    for chain, count in segment.live.items():
        own = (entry for entry in chain.entries if entry.segment is segment)
        for entry in islice(own, count):
            picked.append((chain, entry))
            octets += len(entry.asdu) + DATA_OVERHEAD
            if octets >= CARRY_STEP:
                return picked
    return picked
