"""Requests that the RTU can serve only one at a time stand in line.

Most RTUs run one general interrogation per connection, and give a counter's increment to one
reader; answers to two reads of one point cannot be told apart. So what is alike waits until the
one before it is done. Interrogations that wait for the same thing share one run: however many
masters ask at once, the RTU's line carries one or two interrogations.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Generic, TypeVar

from mm2ss.iec104.asdu import BROADCAST, Cause, TypeId

Owner = TypeVar("Owner")

#: Seconds a clock synchronisation may wait: its time is then wrong by as much.
CLOCK_WAIT = 1.0
#: What asks for much, and can be taken back while it runs.
INTERROGATIONS = frozenset((TypeId.C_IC_NA_1, TypeId.C_CI_NA_1))
_TEST = 0x80
_STATION_WIDE = INTERROGATIONS | {TypeId.C_CS_NA_1}
_POINT_WISE = frozenset((102, 104, 107, 110, 111, 112, 113))
#: The FRZ bits of a counter interrogation: 0 only reads and may be shared.
_FREEZE = 0xC0


class Turn(Generic[Owner]):
    """A request that runs, or waits for its turn, with all the masters that share it.

    :ivar asdu: the request as its first master sent it.
    :ivar owner: the first master that asked and did not leave; of the relay's own, for whom.
    :ivar parties: who gets the answers, each with the originator address he used (0-255).
    :ivar since: when it came, monotonic seconds.
    :ivar ours: the relay's own, for a master that left: the answers are for nobody.
    :ivar waited: it had to wait in line, and has not been sent yet.
    """

    __slots__ = ("asdu", "ours", "owner", "parties", "since", "waited")

    def __init__(self, owner: Owner, asdu: bytes, since: float, ours: bool = False) -> None:
        self.asdu = asdu
        self.owner = owner
        self.parties: list[tuple[Owner, int]] = [] if ours else [(owner, asdu[3])]
        self.since = since
        self.ours = ours
        self.waited = False

    @property
    def station(self) -> int:
        """Common address."""
        return self.asdu[4] | self.asdu[5] << 8

    @property
    def owners(self) -> list[Owner]:
        """The masters that share it."""
        return [owner for owner, _ in self.parties]

    @property
    def originator(self) -> int:
        """The originator address (0-255) that its owner used."""
        return self.parties[0][1] if self.parties else self.asdu[3]

    def drop(self, owner: Owner) -> int:
        """Take a master out; returns how often it was in: it may have asked again meanwhile."""
        before = len(self.parties)
        self.parties = [party for party in self.parties if party[0] is not owner]
        if self.parties:
            self.owner = self.parties[0][0]
        return before - len(self.parties)


class Patience:
    """How long requests may wait until they are refused, for late ones are dangerous or useless.

    :param waits: seconds for an interrogation without progress of the one before it.
    :param ages: seconds for everything else, but for clocks.
    """

    def __init__(self, waits: float, ages: float) -> None:
        self._waits = waits
        self._ages = ages
        self._progress = dict.fromkeys(map(int, INTERROGATIONS), 0.0)

    def progressed(self, typeId: int, now: float) -> None:
        """The RTU sent something that belongs to an interrogation, or to another request."""
        if typeId in self._progress:
            self._progress[typeId] = now

    def isOver(self, turn: Turn[Owner], now: float) -> bool:
        """Whether a request has waited for too long."""
        typeId = turn.asdu[0]
        if typeId == TypeId.C_CS_NA_1:
            return now - turn.since > CLOCK_WAIT
        if typeId in self._progress:
            return now - max(turn.since, self._progress[typeId]) > self._waits
        return now - turn.since > self._ages


def lineOf(asdu: bytes) -> int | None:
    """The line that a request stands in, as a key; None for what need not wait."""
    typeId = asdu[0]
    if typeId in INTERROGATIONS and asdu[2] & 0x3F == Cause.DEACTIVATION:
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

    @property
    def anyWaits(self) -> bool:
        """Whether any waits."""
        return bool(self._waiting)

    def waiting(self) -> Iterator[Turn[Owner]]:
        """All that wait."""
        for turns in self._waiting.values():
            yield from turns

    def waitingIn(self, line: int) -> list[Turn[Owner]]:
        """Those that wait in one line, in their order."""
        return list(self._waiting.get(line, ()))

    def runningIn(self, line: int, station: int) -> Turn[Owner] | None:
        """What runs in one line for a station, or for all together (`BROADCAST`)."""
        return self._running.get(line, {}).get(station)

    def remove(self, turns: Sequence[Turn[Owner]]) -> list[Turn[Owner]]:
        """Some wait no more; returns those that may run now, having waited behind them."""
        freed: list[Turn[Owner]] = []
        for line in {lineOf(turn.asdu): None for turn in turns}:
            if line is not None and line in self._waiting:
                kept = (turn for turn in self._waiting[line] if turn not in turns)
                self._waiting[line] = deque(kept)
                freed += self._next(line)
        return freed

    def forget(self) -> list[Turn[Owner]]:
        """Let go of those who wait for nobody; returns as `remove`."""
        return self.remove([turn for turn in self.waiting() if not turn.parties])

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
