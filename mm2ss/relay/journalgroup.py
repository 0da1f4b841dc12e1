"""One group's part of the journal, on the reactor's side: bounds, order, who is told what."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

from mm2ss.relay.journalapi import GroupFigures, GroupKey, Hold
from mm2ss.relay.journalrecords import MAX_ASDU
from mm2ss.relay.journalstate import Chain

#: Octets that an entry which is handed over costs beside its ASDU, about.
ENTRY_OVERHEAD = 100


class Write:
    """Entries on their way to the disk.

    :ivar octets: of their ASDUs.
    :ivar wall: when they were handed over, in ms since 1970 (UTC).
    :ivar session: on which connection of the RTU they came.
    :ivar generation: how many failures of the writer were known then.
    :ivar result: what `done` will be told; None = not known yet.
    """

    __slots__ = ("done", "entries", "generation", "group", "octets", "result", "session", "wall")

    def __init__(
        self,
        group: GroupJournal,
        entries: Sequence[tuple[int, bytes]],
        done: Callable[[bool], None],
        wall: int,
        session: int,
    ) -> None:
        self.group = group
        self.entries = entries
        self.done = done
        self.octets = sum(len(asdu) for _, asdu in entries)
        self.wall = wall
        self.session = session
        self.generation = 0
        self.result: bool | None = None


class Hub(Protocol):
    """What a group's journal needs of the whole."""

    @property
    def full(self) -> str:
        """Why no group can write, "" if they can."""
        ...

    @property
    def stopped(self) -> bool:
        """The journal has stopped for good."""
        ...

    def wall(self) -> int:
        """Milliseconds since 1970 (UTC)."""
        ...

    def take(self, write: Write) -> None:
        """Hand a write to the writer."""
        ...

    def deliverSoon(self, group: GroupJournal) -> None:
        """Call the group's `deliver` in a turn of its own."""
        ...

    def wantRoom(self, group: GroupJournal) -> None:
        """Call the group's `onRoom` in a turn of its own once its `full` is ""."""
        ...

    def settled(self, chain: Chain, position: int) -> None:
        """Something of a group that was on disk is settled, and all before the position."""
        ...

    def note(self, isError: bool, text: str, group: GroupJournal) -> None:
        """A line in the group's event log."""
        ...


def nobody() -> None:
    """The default `onRoom`."""


class GroupJournal:
    """One group's part of the journal (made by `JournalService.open`); see `SafeCopy`, whose
    texts are not repeated here.

    :ivar settled: position before which all is settled; the writer's thread reads it, too.
    :ivar chain: what the group has on disk; belongs to the writer's thread.
    """

    def __init__(self, key: GroupKey, hold: Hold, hub: Hub) -> None:
        self.key = key
        self.held: list[bytes] = []
        self.breaks: list[int] = []
        self.onRoom: Callable[[], None] = nobody
        self.settled = 0
        self.chain: Chain | None = None
        self._hold = hold
        self._hub = hub
        # What is on disk and not settled: position, octets, wall time in ms.
        self._kept: deque[tuple[int, int, int]] = deque()
        self._outstanding: list[Write] = []
        self._frames = self._octets = 0
        self._next = 0  # a write must not begin before this position
        self._owed = -1  # the last position that was refused
        self._isFull = False  # as the log knows it
        self._written = self._refused = self._expired = 0
        self._emptied: Callable[[], None] | None = None  # set once it is closed

    # -- from the start to the end ----------------------------------------------------------

    def begin(self, chain: Chain, isStart: bool = True) -> int:
        """Take over what is on disk, at the start without what is too old (else `expire` sees
        to it).

        :return: how many entries at the chain's beginning are too old.
        """
        self.chain = chain
        oldest = self._oldestWelcome() if isStart else 0
        tooOld = 0
        for entry in chain.entries:
            if entry.wall >= oldest:
                break
            tooOld += 1
        self._giveUp(tooOld)
        before = -1
        for entry in list(chain.entries)[tooOld:]:
            if self.held and entry.seq != before + 1:
                self.breaks.append(len(self.held))
            before = entry.seq
            self._kept.append((len(self.held), len(entry.asdu), entry.wall))
            self.held.append(entry.asdu)
            self._octets += len(entry.asdu)
        self._frames = self._next = len(self.held)
        return tooOld

    def close(self, emptied: Callable[[], None]) -> None:
        """Take nothing more and tell the group nothing more.

        :param emptied: called when nothing is on its way to the disk any more.
        """
        self.onRoom = nobody
        for write in self._outstanding:
            write.done = lambda _success: None
        self._emptied = emptied
        self.deliver()

    # -- what the group may ask -------------------------------------------------------------

    @property
    def full(self) -> str:
        """Why a write would be refused now."""
        return self._hub.full or self._bound()

    def _bound(self) -> str:
        if self._frames >= self._hold.frames:
            return f"{self._frames} events are held in the journal (hold_max)"
        if self._octets >= self._hold.octets:
            return f"{self._octets} octets of events are held in the journal (hold_max)"
        return ""

    @property
    def room(self) -> int:
        """Frames that may be handed over now."""
        return 0 if self.full else self._hold.frames - self._frames

    @property
    def frames(self) -> int:
        """Frames that are held, or handed over."""
        return self._frames

    @property
    def octets(self) -> int:
        """Octets of their ASDUs."""
        return self._octets

    @property
    def written(self) -> int:
        """Frames put on disk since the start."""
        return self._written

    @property
    def figures(self) -> GroupFigures:
        """For status and metrics."""
        return GroupFigures(
            self._frames, self._octets, self._written, self._refused, self._expired, self.full
        )

    # -- writing ----------------------------------------------------------------------------

    def write(
        self, entries: Sequence[tuple[int, bytes]], done: Callable[[bool], None], session: int = 0
    ) -> None:
        """Put entries on disk; see `SafeCopy.write`.

        :raises ValueError: the caller's fault: positions do not rise, an ASDU is too long.
        """
        self._check(entries)
        if self._hub.stopped or self._emptied is not None:
            return
        write = Write(self, entries, done, self._hub.wall(), session)
        self._outstanding.append(write)
        if not entries:
            write.result = True
            self._hub.deliverSoon(self)
        elif self.full or (self.settled <= self._owed < entries[0][0]):
            self._refuse(write)
        else:
            self._next = entries[-1][0] + 1
            if self._next > self._owed:
                self._owed = -1
            self._frames += len(entries)
            self._octets += write.octets
            self._hub.take(write)

    def _check(self, entries: Sequence[tuple[int, bytes]]) -> None:
        last = self._next - 1
        for position, asdu in entries:
            if position <= last:
                raise ValueError(f"position {position} after {last}")
            if len(asdu) > MAX_ASDU:
                raise ValueError(f"an ASDU of {len(asdu)} octets")
            last = position

    def _refuse(self, write: Write) -> None:
        write.result = False
        self._refused += 1
        self._owed = max(self._owed, write.entries[-1][0])
        bound = self._bound()
        if bound and not self._isFull:
            self._isFull = True
            text = f"{bound}: nothing more is acknowledged to the RTU, it keeps its events."
            self._hub.note(True, text, self)
        self._hub.wantRoom(self)
        self._hub.deliverSoon(self)

    def finished(self, write: Write, success: bool) -> None:
        """The writer is done with a write; `deliver` must be called afterwards."""
        write.result = success
        if success:
            self._written += len(write.entries)
            for position, asdu in write.entries:
                self._kept.append((position, len(asdu), write.wall))
            self._forget()
        else:
            self._frames -= len(write.entries)
            self._octets -= write.octets
            self._refused += 1
            self._owed = max(self._owed, write.entries[-1][0])
            self._next = min(self._next, write.entries[0][0])
            self._hub.wantRoom(self)

    def deliver(self) -> None:
        """Tell the results that are known, in order."""
        while self._outstanding and self._outstanding[0].result is not None:
            write = self._outstanding.pop(0)
            write.done(bool(write.result))
        if self._emptied is not None and not self._outstanding:
            emptied, self._emptied = self._emptied, nobody
            emptied()

    def giveUp(self) -> None:
        """The writer is gone: what it has not answered was not written."""
        for write in self._outstanding:
            if write.result is None:
                self.finished(write, False)

    # -- settling ---------------------------------------------------------------------------

    def settle(self, position: int) -> None:
        """All entries before `position` are settled."""
        if position > self.settled and self._emptied is None:
            self.settled = position
            self._forget()

    def _forget(self) -> None:
        """Let go of what is on disk and settled."""
        kept = self._kept
        settled = self.settled
        if not kept or kept[0][0] >= settled:
            return
        while kept and kept[0][0] < settled:
            self._frames -= 1
            self._octets -= kept.popleft()[1]
        assert self.chain is not None
        self._hub.settled(self.chain, settled)
        if self._isFull and not self._bound():
            self._isFull = False
            self._hub.note(False, "The journal has room for the RTU's events again.", self)

    def expire(self) -> int:
        """Give up what is older than `Hold.age`; see `SafeCopy.expire`."""
        oldest = self._oldestWelcome()
        position = self.settled
        tooOld = 0
        for kept, _, wall in self._kept:
            if wall >= oldest:
                break
            position = kept + 1
            tooOld += 1
        self._giveUp(tooOld)
        self.settle(position)
        return self.settled

    def _oldestWelcome(self) -> int:
        return self._hub.wall() - int(self._hold.age * 1000) if self._hold.age else 0

    def _giveUp(self, tooOld: int) -> None:
        if tooOld:
            self._expired += tooOld
            text = (
                f"{tooOld} events of the RTU are given up: no master has taken them within"
                f" {self._hold.age:g} s (hold_age)."
            )
            self._hub.note(True, text, self)
