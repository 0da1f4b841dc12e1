"""Where each event is safe, and so how far the RTU may be acknowledged.

An event is at every moment unacknowledged at the RTU, or acknowledged by a master (*settled*), or
on disk in the journal. `Ledger.settled` tells the second; this module sees to the third, in time:
what no master has acknowledged when the RTU's t1 runs low, or when the last master has left, goes
to the journal, and the RTU is acknowledged when it is on disk there.

What the RTU may send again though it is settled (`Ledger.floor`) goes to the journal before what
came behind it, and stays there as long: so events keep their order also when the relay is killed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf

from mm2ss.config.model import AckMode, GroupConfig
from mm2ss.relay.ackpoint import AckPoint
from mm2ss.relay.journalapi import SafeCopy
from mm2ss.relay.ledger import Ledger, isRepeatable
from mm2ss.relay.roundtrip import RoundTrips

#: Seconds that an acknowledgement must at least have to reach the RTU before its t1 is over; and
#: how many times the longest round trip seen, where that is more.
MARGIN = 2.0
ROUND_TRIPS = 2
#: Seconds before the time for early acknowledgement at which the journal begins to write, and the
#: least time that an event is given to be acknowledged by a master.
WRITE_TIME = 1.0
#: Seconds for which the RTU's window may be nearly used up before it is acknowledged by count.
COUNT_TIME = 2.0
#: Seconds before writing is tried again after the journal could not take it.
RETRY = 1.0
#: Entries after which the ledger is thinned again.
_THIN_STEP = 256
#: Seconds by which arrival times are rounded; a coarser grain needs less memory.
_GRAIN = 0.1


class Custody:
    """The events of one group.

    :param config: the group's row and options.
    :param ledger: its events.
    :param journal: its journal; None = early acknowledgement goes without.
    :param changed: called when events have become safe, or cannot, out of turn.
    :ivar through: whether the RTU is acknowledged only what is settled or safe.
    :ivar early: frames acknowledged to the RTU before any master had acknowledged them.
    :ivar failing: the journal took nothing when it was asked last; the RTU keeps its events.
    """

    def __init__(
        self,
        config: GroupConfig,
        ledger: Ledger,
        journal: SafeCopy | None,
        changed: Callable[[], None],
    ) -> None:
        self.through = config.options.ackMode is AckMode.THROUGH
        self._rtu = config.rtu
        self._mastersW = config.masters.w
        self._isNarrow = config.rtu.k < config.masters.w
        self._ledger = ledger
        self._journal = journal
        if journal is not None:
            journal.onRoom = self._tryAgain
        self._changed = changed
        self._ack = AckPoint()
        self._roundTrips = RoundTrips()
        # When entries came, rounded down: (second, position of the first of them).
        self._arrivals: list[tuple[float, int]] = []
        self._submitted = ledger.end
        # What is not before the floor is on disk up to here; and with what is on its way there.
        self._onDisk = self._journalled = 0
        self._floor = 0  # as the journal knows it
        self._writes: list[int] = []  # the end of what each write under way makes safe
        self._round = 0  # counts failures: what was written before one secures nothing
        self._retryAt = -inf
        self._now = -inf
        self._rush = True
        self._countAt = inf  # when the RTU is acknowledged by count
        self._dueAt = -inf  # nothing has to be secured before, if masters listen
        self.early = 0
        self.failing = False

    # -- what happens -----------------------------------------------------------------------

    def begin(self) -> int:
        """The group starts: what the journal holds is the head of the ledger; how much it is."""
        if self._journal is not None:
            self._ledger.load(self._journal.held, self._journal.breaks)
            self._onDisk = self._journalled = self._ledger.end
        return self._ledger.end

    def rtuConnected(self) -> None:
        """A new connection of the RTU: it counts from 0 and keeps what was not acknowledged."""
        self._ack = AckPoint()
        self._countAt = inf

    def rtuReceived(self, count: int, position: int, others: Sequence[int], now: float) -> None:
        """Frames came from the RTU; as `AckPoint.add`."""
        if not self.through or len(others) == count:  # nobody asks where these are
            self._ack.received += count
            return
        self._ack.add(count, position, others)
        if self._ledger.end > position:
            arrivals = self._arrivals
            if not arrivals or now - arrivals[-1][0] >= _GRAIN:
                arrivals.append((now, position))
                self._forgetArrivals(self._ledger.secured)

    def rtuKnows(self, count: int) -> None:
        """The RTU has received the acknowledgement of the connection's first `count` frames."""
        if count == self._ack.received:
            self._ledger.confirmed()

    def mastersListen(self, listen: bool) -> None:
        """Whether any master takes events; if none does, all are secured at once."""
        self._rush = not listen

    def roundTrip(self, seconds: float, now: float) -> None:
        """The RTU answered a test or a command after so long."""
        self._roundTrips.add(seconds, now)
        self._dueAt = -inf

    # -- what follows -----------------------------------------------------------------------

    def step(self, now: float) -> int:
        """Secure what is due; returns how many frames of the RTU may be acknowledged.

        To be called after each of the above, and when masters have acknowledged.
        """
        self._now = now
        ledger = self._ledger
        secured = ledger.secured
        if secured > self._submitted:
            self._submitted = secured
        if self._floor < self._journalled:
            self._tellFloor()
        point = self._ack.reached(secured)
        if self._isNarrow:
            self._watchWindow(self._ack.received - point, now)
        if self._submitted < ledger.end and (self._rush or now >= self._dueAt):
            point = self._secureDue(point, now)
        return point

    def _secureDue(self, point: int, now: float) -> int:
        """Secure what has to be by now; as `step`."""
        if now >= self._retryAt:
            due = self._due(now)
            if due > self._submitted:
                self._submit(due)
                point = self._ack.reached(self._ledger.secured)
        self._dueAt = self._soonest() if self._submitted < self._ledger.end else -inf
        return point

    def timeToAcknowledge(self, now: float) -> float:
        """Seconds after its arrival at which an event is acknowledged, settled or not."""
        margin = max(MARGIN, ROUND_TRIPS * self._roundTrips.longest(now))
        return max(self._rtu.t1 - margin, WRITE_TIME)

    @property
    def deadline(self) -> float:
        """When `step` must be called at the latest; inf = never."""
        if not self.through or self._submitted >= self._ledger.end:
            return inf
        return self._dueAt if self._dueAt > -inf and not self._rush else self._soonest()

    def _soonest(self) -> float:
        """When something that is not secured must be; as far as is known now."""
        self._forgetArrivals(self._submitted)
        due = self._now  # what came before the first arrival that is known has waited long enough
        if self._arrivals and self._arrivals[0][1] <= self._submitted and not self._rush:
            due = self._arrivals[0][0] + self._patience(self._now)
        return max(min(due, self._countAt), self._retryAt)

    def _patience(self, now: float) -> float:
        """Seconds after its arrival at which an event goes to the journal, settled or not."""
        return self.timeToAcknowledge(now) - WRITE_TIME

    def _due(self, now: float) -> int:
        """The position before which everything must be secured now."""
        if self._rush:
            return self._ledger.end
        self._forgetArrivals(self._submitted)
        wait = self._patience(now)
        due = next((at for when, at in self._arrivals if when + wait > now), self._ledger.end)
        if now >= self._countAt:
            self._countAt = now + COUNT_TIME
            kept = self._ack.positionOf(self._ack.received - self._rtu.k // 3)
            room = self._ledger.settled + self._mastersW
            due = max(due, min(room, self._ledger.end if kept is None else kept))
        return due

    def _watchWindow(self, unacknowledged: int, now: float) -> None:
        """See when the RTU must be acknowledged because its window is nearly used up.

        That matters only where it is smaller than the w of the masters, who then wait for more
        before they acknowledge, while the RTU waits for its acknowledgement.
        """
        if 3 * unacknowledged >= 2 * self._rtu.k:
            self._countAt = min(self._countAt, now + COUNT_TIME)
            self._dueAt = min(self._dueAt, self._countAt)
        else:
            self._countAt = inf

    def _forgetArrivals(self, before: int) -> None:
        """Nobody asks any more when the entries before a position came."""
        arrivals = self._arrivals
        while len(arrivals) > 1 and arrivals[1][1] <= before:
            arrivals.pop(0)
        if arrivals and before >= self._ledger.end:
            arrivals.clear()

    def _tellFloor(self) -> None:
        """Let the journal forget what is not needed any more."""
        floor = self._ledger.floor
        if self._journal is not None and floor > self._floor:
            self._floor = floor
            self._journal.settle(floor)

    def _submit(self, due: int) -> None:
        """See to it that what is before a position becomes safe."""
        new = self._ledger.slice(self._submitted, due - self._submitted)
        self._submitted = due
        if self._journal is not None and not all(map(isRepeatable, new)):
            self._tellFloor()
            start = max(self._journalled, self._floor)
            self._journalled = due
            for session, first, end in self._ledger.sessions(start, due):
                self._write(session, first, end)
        elif self._writes:
            self._writes[-1] = due
        else:
            self._secure(due)

    def _write(self, session: int, start: int, end: int) -> None:
        """Have the journal write what came on one connection of the RTU."""
        entries = [
            (position, asdu)
            for position, asdu in enumerate(self._ledger.slice(start, end - start), start)
            if not isRepeatable(asdu)
        ]
        if self._journal is not None and entries:
            self._writes.append(end)
            number = self._round
            self._journal.write(entries, lambda safe: self._written(safe, number), session)
        elif self._writes:
            self._writes[-1] = end

    def _written(self, safe: bool, number: int) -> None:
        """The journal has, or has not, put on disk what it was given; in the order of `_submit`."""
        if number != self._round:
            return
        if safe:
            self.failing = False
            self._onDisk = self._writes.pop(0)
            self._secure(self._onDisk)
        else:
            self._round += 1
            self._writes.clear()
            self._submitted = self._ledger.secured
            self._journalled = self._onDisk
            self._retryAt = self._now + RETRY
            self._dueAt = -inf
            self.failing = True
        self._changed()

    def _tryAgain(self) -> None:
        """There is room in the journal again."""
        self._retryAt = self._dueAt = -inf
        self._changed()

    def _secure(self, position: int) -> None:
        self.early += max(0, position - self._ledger.secured)
        self._ledger.secure(position)
        if self._ledger.end - self._ledger.thinned >= _THIN_STEP:
            self._ledger.thin()
