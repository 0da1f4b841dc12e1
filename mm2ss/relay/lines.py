"""Requests that the RTU can serve only one at a time stand in line.

Most RTUs run one general interrogation per connection, and give a counter's increment to one
reader; answers to two reads of one point cannot be told apart. So what is alike waits until the
one before it is done. Interrogations that wait for the same thing share one run: however many
masters ask at once, the RTU's line carries one or two interrogations.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

from mm2ss.iec104.asdu import BROADCAST, Cause, TypeId

Owner = TypeVar("Owner")

_TEST = 0x80
_STATION_WIDE = frozenset((TypeId.C_IC_NA_1, TypeId.C_CI_NA_1, TypeId.C_CS_NA_1))
_POINT_WISE = frozenset((102, 104, 107, 110, 111, 112, 113))
#: The FRZ bits of a counter interrogation: 0 only reads and may be shared.
_FREEZE = 0xC0


class Turn(Generic[Owner]):
    """A request that runs, or waits for its turn, with all the masters that share it.

    :ivar asdu: the request as its first master sent it.
    :ivar parties: who asked, each with the originator address he used (0-255).
    :ivar since: when it came, monotonic seconds.
    :ivar waited: it had to wait in line, and has not been sent yet.
    """

    __slots__ = ("asdu", "parties", "since", "waited")

    def __init__(self, owner: Owner, asdu: bytes, since: float) -> None:
        self.asdu = asdu
        self.parties: list[tuple[Owner, int]] = [(owner, asdu[3])]
        self.since = since
        self.waited = False

    @property
    def station(self) -> int:
        """Common address."""
        return self.asdu[4] | self.asdu[5] << 8

    @property
    def owners(self) -> list[Owner]:
        """The masters that share it."""
        return [owner for owner, _ in self.parties]

    def drop(self, owner: Owner) -> bool:
        """Take a master out; returns whether it was in."""
        before = len(self.parties)
        self.parties = [party for party in self.parties if party[0] is not owner]
        return len(self.parties) < before


def lineOf(asdu: bytes) -> int | None:
    """The line that a request stands in, as a key; None for what need not wait."""
    typeId = asdu[0]
    if asdu[2] & 0x3F == Cause.DEACTIVATION:
        return None
    if typeId in _STATION_WIDE:
        return typeId
    if typeId in _POINT_WISE:
        return int.from_bytes(asdu[4:9], "little") << 8 | typeId
    return None


def _shareable(asdu: bytes) -> bool:
    """Whether requests with the same octets may share one run."""
    if asdu[2] & _TEST or asdu[2] & 0x3F != Cause.ACTIVATION:
        return False
    return asdu[0] == TypeId.C_IC_NA_1 or (asdu[0] == TypeId.C_CI_NA_1 and not asdu[9] & _FREEZE)


class Lines(Generic[Owner]):
    """All the lines of one RTU.

    Where the line is the whole station's (interrogations, counters, clock), different stations
    (common addresses) run side by side, but nothing beside a broadcast.
    """

    def __init__(self) -> None:
        self._running: dict[int, dict[int, Turn[Owner]]] = {}
        self._waiting: dict[int, deque[Turn[Owner]]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._running.values())) + sum(map(len, self._waiting.values()))

    def waiting(self) -> Iterator[Turn[Owner]]:
        """All that wait."""
        for turns in self._waiting.values():
            yield from turns

    def turns(self, line: int) -> Iterator[Turn[Owner]]:
        """All of one line, those that wait first."""
        yield from self._waiting.get(line, ())
        yield from self._running.get(line, {}).values()

    def isWaiting(self, turn: Turn[Owner]) -> bool:
        """Whether a request of a line waits."""
        line = lineOf(turn.asdu)
        return line is not None and turn in self._waiting.get(line, ())

    def remove(self, turn: Turn[Owner]) -> None:
        """A request waits no more."""
        turn.parties, parties = [], turn.parties
        self.forget()
        turn.parties = parties

    def forget(self) -> None:
        """Let go of those who wait for nobody."""
        for line in tuple(self._waiting):
            kept = deque(turn for turn in self._waiting[line] if turn.parties)
            if kept:
                self._waiting[line] = kept
            else:
                del self._waiting[line]

    def clear(self) -> None:
        """The RTU's connection is gone: nothing runs, and nobody waits."""
        self._running.clear()
        self._waiting.clear()

    def enter(self, turn: Turn[Owner]) -> bool:
        """Whether a request may run now; if not, it waits, or shares what waits already."""
        line = lineOf(turn.asdu)
        if line is None:
            return True
        waiting = self._waiting.get(line, ())
        if _shareable(turn.asdu):
            for other in waiting:
                if other.asdu[:3] == turn.asdu[:3] and other.asdu[4:] == turn.asdu[4:]:
                    other.parties += turn.parties
                    return False
        if self._free(line, turn.station, waiting):
            self._running.setdefault(line, {})[turn.station] = turn
            return True
        self._waiting.setdefault(line, deque()).append(turn)
        turn.waited = True
        return False

    def leave(self, turn: Turn[Owner]) -> list[Turn[Owner]]:
        """A request that ran is done; returns those that may run now in its place."""
        line = lineOf(turn.asdu)
        running = self._running.get(line, {}) if line is not None else {}
        if line is None or running.get(turn.station) is not turn:
            return []
        del running[turn.station]
        if not running:
            del self._running[line]
        return self._next(line)

    def _next(self, line: int) -> list[Turn[Owner]]:
        """Those who need not wait any more in a line, first come, first served."""
        freed: list[Turn[Owner]] = []
        still: deque[Turn[Owner]] = deque()
        for turn in self._waiting.pop(line, ()):
            if self._free(line, turn.station, still):
                self._running.setdefault(line, {})[turn.station] = turn
                freed.append(turn)
            else:
                still.append(turn)
        if still:
            self._waiting[line] = still
        return freed

    def _free(self, line: int, station: int, before: Iterable[Turn[Owner]]) -> bool:
        """Whether a station's request conflicts with nothing that runs or waits before it."""
        running = self._running.get(line, {})
        stations = [*running, *(turn.station for turn in before)]
        if station == BROADCAST:
            return not stations
        return station not in stations and BROADCAST not in stations
