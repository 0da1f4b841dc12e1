"""Keeps a group's memory within its bounds: holds the RTU back, and cuts off who is too slow."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

from mm2ss.config.model import AckMode, GroupConfig
from mm2ss.iec104.apci import CloseCause
from mm2ss.relay.ledger import FRAME_OVERHEAD, Ledger
from mm2ss.relay.master import Master, Outlet
from mm2ss.relay.places import Places

#: Seconds without any acknowledgement after which a master counts as stalled, and for which the
#: RTU may be held back for the sake of a slow one.
STALL = 2.0
#: A full ledger is full until it has come down to this part of its bound.
RELIEF = 0.75
#: At this part of its bound nothing is read from the RTU either: one with a large window sends on
#: for long although nothing is acknowledged.
EXCESS = 1.25
#: Seconds between looks at what cannot be seen from a frame's arrival.
_LOOK = 0.25


class Pressure:
    """The memory of one group.

    A master is cut off when more than `bufsize` frames wait for it and it has acknowledged
    nothing for `STALL` seconds, or when the ledger has been full for so long and it is furthest
    behind. Until then the RTU's acknowledgement is withheld.

    :param config: the group's row and options.
    :param ledger: its events.
    :param masters: its masters; the list itself, which changes.
    :param places: kept for masters that lost their connection; they are given up first.
    :ivar held: the RTU's acknowledgement is withheld.
    :ivar heldBack: how often that has begun.
    :ivar cutOff: masters that were disconnected because they were too slow.
    :ivar lookAt: when `look` must be called at the latest; inf = never.
    """

    def __init__(
        self, config: GroupConfig, ledger: Ledger, masters: Sequence[Master], places: Places
    ) -> None:
        self._bufferSize = config.bufferSize
        self._ledgerMax = config.options.ledgerMax
        self._immediate = config.options.ackMode is AckMode.IMMEDIATE
        # If less waits in all, nobody has half of `bufferSize` waiting, nor is the ledger full.
        self._little = min(self._ledgerMax, FRAME_OVERHEAD * self._bufferSize // 2)
        self._ledger = ledger
        self._masters = masters
        self._places = places
        self._rtu: Outlet | None = None
        self._heldSince = inf
        self._fullSince = inf
        self._paused = False
        self.held = False
        self.heldBack = 0
        self.cutOff = 0
        self.lookAt = inf

    def rtuStarted(self, rtu: Outlet, now: float) -> None:
        """The RTU sends now, and may have to be held back."""
        self._rtu = rtu
        self.decide(now)

    def rtuStopping(self, now: float) -> None:
        """The RTU is to stop, and confirms that when all its frames are acknowledged."""
        rtu = self._rtu
        held, paused = self.held, self._paused
        self.rtuLost()
        if rtu is not None and held and self._immediate:
            rtu.hold(False, now)
        if rtu is not None and paused:
            rtu.pause(False)

    def rtuLost(self) -> None:
        """The RTU's connection is gone."""
        self._rtu = None
        self.held = self._paused = False
        self._fullSince = inf

    def look(self, now: float, isDue: bool = False) -> None:
        """See to the bounds, after frames came or time has passed.

        :param isDue: it is `lookAt`, and what masters have sent was read before. Only then they are
            judged by their silence: after a pause of the process it may be the relay's own.
        """
        if isDue:
            self.lookAt = inf
        rtu = self._rtu
        if rtu is None or (self._ledger.octets < self._little and not self.held):
            return
        self._places.expire(now)  # they are bounded, too, and nobody need wake the group
        bound = self._bufferSize
        trouble = self.held or self._ledger.pressing >= self._ledgerMax
        for master in tuple(self._masters):
            if master.reader.waiting > bound // 2 and master.started:
                trouble = True
                if isDue and master.reader.waiting > bound and master.silence(now) >= STALL:
                    self._cut(master, now)
        if trouble:
            self.lookAt = min(self.lookAt, now + _LOOK)
            self.decide(now)
            if isDue:
                self._relieve(rtu, now)

    def decide(self, now: float) -> None:
        """Withhold the RTU's acknowledgement while the ledger, or the lane of a master that
        keeps taking what it asked for, is too full; or give it again."""
        if self._isFull():
            self._ledger.trim()
        full = self._isFull()
        self._fullSince = min(self._fullSince, now) if full else inf
        half = self._bufferSize // 2
        lanes = [
            master
            for master in self._masters
            if len(master.reader.lane) > half and master.silence(now) < STALL
        ]
        held = full or bool(lanes)
        if held and not full and self.held and now - self._heldSince >= STALL:
            held = False  # for once: others' events have waited long enough behind that lane
        if held != self.held and self._rtu is not None:
            self.held = held
            self._heldSince = now
            if held:
                self._count(lanes)
            if self._immediate:
                self._rtu.hold(held, now)
        paused = full and (self._paused or self._ledger.pressing >= self._ledgerMax * EXCESS)
        if paused != self._paused and self._rtu is not None:
            self._paused = paused
            self._rtu.pause(paused)

    def _isFull(self) -> bool:
        return self._ledger.pressing >= self._ledgerMax * (RELIEF if self._fullSince < inf else 1)

    def _count(self, lanes: list[Master]) -> None:
        """For whom the RTU is held back: those whose lane is full, or who is furthest behind."""
        self.heldBack += 1
        started = [master for master in self._masters if master.started]
        furthest = sorted(started, key=lambda master: master.reader.position)[:1]
        for master in lanes or furthest:
            master.heldBack += 1

    def _relieve(self, rtu: Outlet, now: float) -> None:
        """The ledger has been full for too long: cut who is furthest behind, or stop reading."""
        if now - self._fullSince < STALL:
            return
        if self._places.giveUpFurthest(self._ledger.settled):
            self.decide(now)
            return
        waiting = {
            master: master.reader.waitingOctets for master in self._masters if master.started
        }
        furthest = max(waiting, key=waiting.__getitem__, default=None)
        if furthest is None:
            rtu.close(CloseCause.POLICY, "its frames fill the memory and no master takes them")
            return
        # Where it is full of what waited before they came, a cut would free nothing: they get
        # their time, as long as they take it.
        owed = sum(waiting.values()) >= self._ledgerMax * (1 - RELIEF)
        if not owed and furthest.silence(now) < STALL:
            return
        self._cut(furthest, now)
        self._ledger.trim()
        if self._ledger.pressing < self._ledgerMax:
            self._fullSince = inf  # that was enough
        self.decide(now)

    def _cut(self, master: Master, now: float) -> None:
        """Disconnect a master that does not take its data."""
        self.cutOff += 1
        master.outlet.close(
            CloseCause.TOO_SLOW,
            f"{master.reader.waiting} frames wait,"
            f" nothing acknowledged for {master.silence(now):.1f} s",
        )
