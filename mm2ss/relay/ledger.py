"""The ordered log of what a group's RTU sent, and each master's place in it.

What is for all masters stands once in the `Ledger`, at an ever-growing position. Each started
master has a `Reader`: its place in the ledger and a *lane* for what is for this master alone,
merged with the ledger in the order in which the RTU sent it.

An entry is *settled* when a master has acknowledged it. A new reader begins at the first entry
that is not settled, so whichever master dies, a started one has or gets every unsettled entry,
and *settled* is one number that only grows.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Protocol

from mm2ss.relay.arrivals import Arrivals
from mm2ss.relay.repeats import Repeats

#: Octets that a kept frame costs beside its own: Python's bytes object and its place in a list.
FRAME_OVERHEAD = 48
#: Octets of an entry that was dropped: its place in the list.
_EMPTY = 8
#: Cyclic and background data and what an interrogation brought can be had again.
_REPEATABLE = frozenset((1, 2, *range(20, 37)))
#: The ledger looks for entries that nobody needs each time it has grown by this many at least.
_TRIM_STEP = 128


def isRepeatable(asdu: bytes) -> bool:
    """Whether the RTU sends the same again, of itself or when it is interrogated."""
    return not asdu or asdu[2] & 0x3F in _REPEATABLE


class Ledger:
    """The shared log; positions count from 0 for the life of the group.

    :ivar base: position of the first entry in memory.
    :ivar end: position after the last entry.
    :ivar settled: position of the first entry that no (keeping) master has acknowledged.
    :ivar secured: everything before this position is settled, or safe elsewhere.
    :ivar octets: memory of all entries and lanes, `FRAME_OVERHEAD` included.
    :ivar arrivals: when the entries came.
    :ivar thinned: before this position, what can be had again may be missing.
    :param age: seconds; see `horizon`.
    :param journalled: whether what is secured is on disk, where its memory is bounded.
    :param window: as many of its last frames the RTU may send again; see `interrupted`.
    """

    def __init__(self, age: float = 10.0, journalled: bool = False, window: int = 0) -> None:
        self.base = 0
        self.end = 0
        self.settled = 0
        self.secured = 0
        self.thinned = 0
        self.octets = 0
        self._age = age
        self._journalled = journalled
        self._run: tuple[bytes, ...] = ()  # what was taken last, and its position
        self._runPosition = -1
        self._repeats = Repeats(window)
        self._entries: list[bytes] = []
        self._holders: list[Holder] = []
        self._trimAt = _TRIM_STEP
        self._heldOctets = 0  # of the entries that are on disk and not settled
        self.arrivals = Arrivals()

    def load(self, held: Sequence[bytes], breaks: Sequence[int] = ()) -> None:
        """Begin with entries that are safe and not settled.

        :param breaks: which of them were the first of a connection of the RTU.
        """
        for start, end in pairwise((0, *breaks, len(held))):
            self.extend(list(held[start:end]))
            self.interrupted()
        self.secure(self.end)

    def append(self, asdu: bytes) -> None:
        """Add an entry at `end`."""
        self.extend([asdu])

    def extend(self, asdus: Sequence[bytes]) -> None:
        """Add entries at `end`."""
        entries = self._entries
        entries += asdus
        count = len(asdus)
        if isinstance(asdus, tuple):  # what masters that keep pace take next
            self._run = asdus
            self._runPosition = self.end
        self.end += count
        self.octets += len(b"".join(asdus)) + FRAME_OVERHEAD * count
        if len(entries) >= self._trimAt:
            self.trim()

    def horizon(self, now: float) -> int:
        """The position before which every entry is older than `age` seconds."""
        return self.arrivals.before(now - self._age)

    def slice(self, position: int, count: int) -> list[bytes]:
        """At most `count` entries from a position on that is still in memory."""
        first = position - self.base
        return self._entries[first : first + count]

    def run(self, position: int, count: int) -> tuple[bytes, ...]:
        """As `slice`; masters that keep pace are given one and the same tuple."""
        waiting = self.end - position
        if count > waiting:
            count = waiting
        run = self._run
        if self._runPosition != position or len(run) != count:
            first = position - self.base
            self._run = run = tuple(self._entries[first : first + count])
            self._runPosition = position
        return run

    @property
    def pressing(self) -> int:
        """Octets that are to be kept within the group's memory.

        What is on disk in the journal is bounded there, and does not count.
        """
        return self.octets - self._heldOctets

    def settle(self, position: int) -> None:
        """A master has acknowledged all entries before `position`."""
        if position > self.settled:
            secured = self.secured
            if secured > self.settled:
                self._heldOctets -= self._weigh(self.settled, min(position, secured))
            self.settled = position
            if position > secured:
                self.secured = position
        entries = len(self._entries)
        if position == self.end and entries >= _TRIM_STEP:  # he caught up; perhaps all have
            self.trim(least=entries // 2)

    def secure(self, position: int) -> None:
        """All entries before `position` are settled, on disk, or can be had again."""
        if position > self.secured:
            self._heldOctets += self._weigh(self.secured, position)
            self.secured = position

    def _weigh(self, start: int, end: int) -> int:
        """The memory of entries that are on disk, too."""
        if not self._journalled:
            return 0
        return sum(
            len(asdu) + FRAME_OVERHEAD
            for asdu in self.slice(start, end - start)
            if not isRepeatable(asdu)
        )

    def thin(self) -> None:
        """Drop what is unsettled but secured, behind everybody, and can be had again.

        Else cyclic data would pile up while no master is there whose acknowledgement settles.
        The entries stay, empty, and are passed over by who comes to them.
        """
        end = min([self.secured] + [holder.position for holder in self._holders])
        start = max(self.thinned, self.base)
        for index in range(start - self.base, end - self.base):
            asdu = self._entries[index]
            if isRepeatable(asdu):
                self._entries[index] = b""
                self.octets -= len(asdu) + FRAME_OVERHEAD - _EMPTY
        self.thinned = max(self.thinned, end)

    def interrupted(self) -> None:
        """The RTU's connection is lost, perhaps with the last acknowledgements to the RTU.

        It may then send again also what is settled, behind what is not and still stands here. A
        master that starts meanwhile gets all of it (see `origin`), so that events come to it in the
        order in which they happened.
        """
        self._repeats.interrupted(self.end)

    def confirmed(self) -> None:
        """The RTU has the acknowledgement of all its frames, and sends none of them again."""
        self._repeats.confirmed(self.end)

    @property
    def origin(self) -> int:
        """Where a master begins that starts now; see `Repeats.origin`."""
        return self._repeats.origin(self.settled)

    @property
    def floor(self) -> int:
        """What will be the origin if the RTU's connection, or the relay, ends now."""
        return self._repeats.floor(self.settled, self.end)

    def sessions(self, start: int, end: int) -> list[tuple[int, int, int]]:
        """By which connections of the RTU entries came; see `Repeats.sessions`."""
        return self._repeats.sessions(start, end)

    def trim(self, least: int = 1) -> None:
        """Let go of what is settled and behind everybody who holds it, if it is so much."""
        needed = min([self.floor] + [holder.position for holder in self._holders])
        count = needed - self.base
        if count >= least:
            gone = self._entries[:count]
            del self._entries[:count]
            self.base = needed
            self.arrivals.forget(needed)
            full = count - gone.count(b"") if self.thinned > needed - count else count
            self.octets -= len(b"".join(gone)) + FRAME_OVERHEAD * full + _EMPTY * (count - full)
        self._trimAt = max(_TRIM_STEP, 2 * len(self._entries))

    def attach(self, reader: Reader, position: int | None = None) -> None:
        """A master starts (perhaps again): its reader begins at the first unsettled entry, or a
        little before it; see `origin`.

        What is in flight from an earlier start stays so, and settles when it is acknowledged.

        :param position: where to begin instead, earlier and held by a `Holder` until now.
        """
        origin = self.origin
        reader.position = origin if position is None else min(position, origin)
        reader.reached = max(reader.reached, reader.position)
        reader.joined = self.end
        self.hold(reader)

    def detach(self, reader: Reader) -> None:
        """A master takes nothing more; what it still acknowledges settles all the same."""
        self.letGo(reader)
        reader.clearLane()

    def hold(self, holder: Holder) -> None:
        """Keep the entries from the holder's position on, as it moves."""
        self._holders.append(holder)

    def letGo(self, holder: Holder) -> None:
        """Keep nothing for a holder any more."""
        if holder in self._holders:
            self._holders.remove(holder)


class Holder(Protocol):
    """Somebody who needs entries.

    :ivar position: of the first entry that he needs.
    """

    position: int


class Reader:
    """A master's place in the ledger and its lane.

    :ivar position: of the next entry to be sent; set by `Ledger.attach`.
    :ivar joined: the ledger's end when the master started; set by `Ledger.attach`.
    :ivar reached: everything before this position is acknowledged by the master, or was settled
        when it started.
    :ivar keeps: whether its acknowledgement settles.
    :ivar sent: frames taken for the master's connection.
    :ivar delivered: of these, acknowledged.
    :ivar lane: what waits for this master alone: the position before which it is to be sent, and
        the frame.
    :ivar flight: what was sent and is not acknowledged, as runs: frames sent up to and with the
        run, the ledger position after it, and whether its frames are ledger entries. At most k.
    """

    def __init__(self, ledger: Ledger, keeps: bool = True) -> None:
        self.position = 0
        self.joined = 0
        self.reached = 0
        self.keeps = keeps
        self._ledger = ledger
        self.lane: list[tuple[int, bytes]] = []
        self._laneOctets = 0
        self.flight: list[tuple[int, int, bool]] = []
        self.sent = 0
        self.delivered = 0

    @property
    def waiting(self) -> int:
        """Frames not sent yet; what waited before the master started does not count."""
        return self._ledger.end - max(self.position, self.joined) + len(self.lane)

    @property
    def waitingOctets(self) -> int:
        """Memory that only this master's waiting frames need, as `Ledger.octets` counts it."""
        start = max(self.position, self.joined)
        entries = self._ledger.slice(start, self._ledger.end - start)
        return sum(map(len, entries)) + FRAME_OVERHEAD * len(entries) + self._laneOctets

    def add(self, asdu: bytes) -> None:
        """Put a frame for this master alone behind all that the ledger holds now."""
        self._put(self._ledger.end, asdu)

    def addFirst(self, asdu: bytes) -> None:
        """Put a frame before everything that waits (for the end of initialization)."""
        self._put(self.position, asdu)

    def _put(self, stamp: int, asdu: bytes) -> None:
        self.lane.append((stamp, asdu))
        octets = len(asdu) + FRAME_OVERHEAD
        self._laneOctets += octets
        self._ledger.octets += octets

    def take(self, limit: int) -> Sequence[bytes]:
        """The next frames to send, at most `limit`, lane and ledger merged; they are in flight."""
        ledger = self._ledger
        lane = self.lane
        position = self.position
        if not lane and position >= ledger.thinned:
            run = ledger.run(position, limit)
            count = len(run)
            if count:
                self.position = position = position + count
                self.sent = sent = self.sent + count
                self.flight.append((sent, position, True))
            return run
        if position == ledger.end and limit > 0:  # only the lane waits: answers
            own = self._takeLane(limit)
            self.sent += len(own)
            self.flight.append((self.sent, position, False))
            return own
        frames: list[bytes] = []
        while limit > 0:
            stop = lane[0][0] if lane else ledger.end
            if self.position < ledger.thinned:
                self._passDropped(stop)
            shared = stop > self.position
            if shared:
                # One by one where entries may be missing: a run in flight has none missing.
                most = limit if self.position >= ledger.thinned else 1
                chunk = ledger.slice(self.position, min(most, stop - self.position))
                self.position += len(chunk)
            elif lane:
                chunk = self._takeLane(limit)
            else:
                break
            frames += chunk
            limit -= len(chunk)
            self.sent += len(chunk)
            self.flight.append((self.sent, self.position, shared))
        return frames

    def _passDropped(self, stop: int) -> None:
        """Go on to the next entry that was not dropped, or to where to stop."""
        while self.position < stop and not self._ledger.slice(self.position, 1)[0]:
            self.position += 1

    def _takeLane(self, limit: int) -> list[bytes]:
        """What is for this master alone and comes before the next entry; there is some."""
        lane = self.lane
        count = 1
        while count < limit and count < len(lane) and lane[count][0] <= self.position:
            count += 1
        asdus = [asdu for _, asdu in lane[:count]]
        del lane[:count]
        octets = sum(map(len, asdus)) + FRAME_OVERHEAD * count
        self._laneOctets -= octets
        self._ledger.octets -= octets
        return asdus

    def acknowledged(self, count: int) -> None:
        """The master has acknowledged the first `count` frames of its connection."""
        self.delivered = count
        flight = self.flight
        reached = self.reached
        while flight and flight[0][0] <= count:
            position = flight.pop(0)[1]
            if position > reached:
                reached = position
        if flight and flight[0][2]:
            after, position, _ = flight[0]
            # Part of a run; before its first frame this is no more than was reached already.
            reached = max(reached, position - (after - count))
        self.reached = reached
        if self.keeps:
            self._ledger.settle(reached)

    def clearLane(self) -> None:
        """Forget what waits for this master alone."""
        self.lane.clear()
        self._ledger.octets -= self._laneOctets
        self._laneOctets = 0
