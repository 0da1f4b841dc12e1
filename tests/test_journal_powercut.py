"""The journal under power cuts, kills, full and failing disks, at any operation, again and again.

The model plays the group's part as the relay does: it offers events in order, offers again what
was refused, and holds the journal to its one promise: what it has confirmed and no master has
taken is there at the next start, in order, once, unmodified.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass, field
from random import Random

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from mm2ss.relay import journalstate
from mm2ss.relay.journal import GroupJournal, GroupKey, JournalService
from mm2ss.relay.journalrecovery import recover
from tests.journals import InlineReactor
from tests.powercut import ModelDisk, PowerCut

KEYS = [GroupKey(1, 11, "north"), GroupKey(2, 11, "south"), GroupKey(3, 13, "Ümspannwerk")]
SEGMENT = 1500
RESERVE = 1500
KNOBS = journalstate.SPARE_SEGMENTS, journalstate.SPARE_FILES, journalstate.CARRY_STEP


@dataclass
class Plant:
    """A group as the model knows it.

    :ivar events: of this run, by position (those that need no journal are in it as b"").
    :ivar confirmed: positions that the journal has confirmed.
    :ivar offered: the position from which nothing has been offered.
    :ivar settled: as in the ledger.
    :ivar past: settled before this run. They may return as long as only the system's cache knows
        that they are settled.
    :ivar returned: settled before this run, and perhaps back. A mark that comes to light later (in
        a file whose removal a power cut undoes) takes them away again.
    :ivar held: how many were there at the start. Those of them that were never confirmed are
        certain when anything is confirmed in this run.
    """

    events: list[bytes] = field(default_factory=list)
    confirmed: set[int] = field(default_factory=set)
    offered: int = 0
    settled: int = 0
    journal: GroupJournal | None = None
    held: int = 0
    past: list[bytes] = field(default_factory=list)
    returned: set[bytes] = field(default_factory=set)

    def unsettled(self) -> list[tuple[int, bytes]]:
        rest = range(self.settled, len(self.events))
        return [(position, self.events[position]) for position in rest if self.events[position]]

    def owed(self) -> list[bytes]:
        """What must not be lost."""
        return [event for position, event in self.unsettled() if position in self.confirmed]


class JournalMachine(RuleBasedStateMachine):
    """A journal service without its thread, on a model disk."""

    @initialize(seed=st.integers(0, 2**32))
    def begin(self, seed: int) -> None:
        # Little is copied forward, and soon: as much happens in 40 steps as else in a month.
        journalstate.SPARE_SEGMENTS, journalstate.SPARE_FILES = 0, 2
        journalstate.CARRY_STEP = 600
        self.disk = ModelDisk(Random(seed))
        self.random = Random(seed + 1)
        self.serial = 0
        self.plants = {key: Plant() for key in KEYS}
        self.aside: set[bytes] = set()
        self.leaving: set[bytes] = set()  # were to be set aside while the process ran
        self.service: JournalService | None = None
        self.isTroubled = False
        self.start(KEYS)

    # -- the process ------------------------------------------------------------------------

    def start(self, keys: list[GroupKey]) -> None:
        """A start that works, if need be after some that the power cuts short."""
        while True:
            try:
                self.tryStart(keys)
                return
            except PowerCut:
                self.disk.cutPower()

    def tryStart(self, keys: list[GroupKey]) -> None:
        self.clock = InlineReactor()
        self.service = service = JournalService(
            "/model",
            self.clock,
            lambda: 1e9,
            segmentSize=SEGMENT,
            reserve=RESERVE,
            disk=self.disk,
            startThread=lambda target: lambda: None,
            now=self.clock.seconds,
        )
        journals = {key: service.open(key) for key in keys}
        cutAt, self.disk.cutAt = self.disk.cutAt, None
        damages = recover(self.disk).damages
        self.disk.cutAt = cutAt
        assert all(damage.cut for damage in damages), "what was synced is damaged"
        service.startService()
        for key in KEYS:
            if key in journals:
                self.check(self.plants[key], journals[key].held)
                self.plants[key] = self.resumed(self.plants[key], journals[key])
            else:
                # Set aside; if the power is cut soon, it may be there when the group is back.
                plant = self.plants[key]
                self.aside.update(plant.owed())
                self.plants[key] = Plant(past=plant.past + plant.events)
        self.checkAside()

    def check(self, plant: Plant, held: list[bytes]) -> None:
        """What every start must show."""
        expected = [event for event in plant.past + plant.events if event]
        places = {event: place for place, event in enumerate(expected)}
        assert all(event in places for event in held), "of another group, or altered"
        order = [places[event] for event in held]
        assert order == sorted(set(order)), "order, or twice"
        there = set(held)
        gone = self.leaving & self.setAside()  # the power was cut when that was done already
        missing = [event for event in plant.owed() if event not in there | gone]
        assert not missing, f"lost {missing}"
        # Without a hole, lest what the RTU sends again comes after what it sent later.
        unsettled = [event for _, event in plant.unsettled()]
        unsettled = [event for event in unsettled if event not in plant.returned | gone]
        kept = [event in there for event in unsettled]
        assert kept == sorted(kept, reverse=True), "a hole"

    def resumed(self, plant: Plant, journal: GroupJournal) -> Plant:
        """The group after a restart: the RTU sends again what it was not acknowledged, which the
        model takes for new events."""
        # (What could not be set aside while the group was away is owed to it again.)
        owed = {*plant.owed(), *self.aside}
        self.aside -= set(journal.held)
        fresh = Plant(list(journal.held), journal=journal, offered=len(journal.held))
        fresh.held = len(journal.held)
        there = set(journal.held)
        gone = plant.past + plant.events[: plant.settled]
        fresh.returned = {*plant.returned, *gone}
        fresh.past = [event for event in gone if event and event not in there]
        fresh.confirmed = {place for place, event in enumerate(journal.held) if event in owed}
        return fresh

    def setAside(self) -> set[bytes]:
        """What was written to files for people."""
        there: set[bytes] = set()
        for name in self.disk.listing():
            if name.startswith("events-"):
                for line in self.disk.content(name).split(b"\n"):
                    # (A power cut may have left the beginning of such a file, or garbage.)
                    try:
                        there.add(bytes.fromhex(line.rpartition(b" ")[2].decode()))
                    except ValueError:
                        pass
        return there

    def checkAside(self) -> None:
        there = self.setAside()
        assert self.service is not None and self.service._store is not None
        for chain in self.service._store._chains.values():
            there.update(entry.asdu for entry in chain.entries)
        assert self.aside <= there

    # -- what happens -----------------------------------------------------------------------

    @rule(which=st.integers(0, 2), count=st.integers(1, 30), size=st.integers(8, 249))
    def rtuSends(self, which: int, count: int, size: int) -> None:
        plant = self.plants[KEYS[which]]
        if plant.journal is None:
            return
        for _ in range(count):
            self.serial += 1
            text = b"%d/%d " % (which, self.serial)
            needsNone = self.serial % 5 == 0
            plant.events.append(b"" if needsNone else text + self.random.randbytes(size))

    @rule(which=st.integers(0, 2), count=st.integers(1, 40))
    def write(self, which: int, count: int) -> None:
        plant = self.plants[KEYS[which]]
        if plant.journal is None:
            return
        first = max(plant.offered, plant.settled)
        entries = [
            (position, plant.events[position])
            for position in range(first, min(first + count, len(plant.events)))
            if plant.events[position]
        ]
        if not entries:
            return
        plant.offered = entries[-1][0] + 1

        def done(success: bool) -> None:
            if success:
                for other in self.plants.values():
                    other.confirmed.update(range(other.held))
                plant.confirmed.update(position for position, _ in entries)
            else:
                plant.offered = min(plant.offered, entries[0][0])

        plant.journal.write(entries, done)

    @rule(which=st.integers(0, 2), part=st.floats(0, 1))
    def settle(self, which: int, part: float) -> None:
        plant = self.plants[KEYS[which]]
        if plant.journal is None:
            return
        rest = len(plant.events) - plant.settled
        plant.settled += round(rest * part)
        plant.journal.settle(plant.settled)

    @rule(
        times=st.integers(1, 4),
        seconds=st.sampled_from([0.0, 0.06, 1.1, 40.0]),
        hearsLate=st.booleans(),
    )
    def work(self, times: int, seconds: float, hearsLate: bool = False) -> None:
        assert self.service is not None
        for _ in range(times):
            self.clock.advance(0)
            try:
                if self.service._writer is not None:
                    self.service._writer.round()
            except PowerCut:
                # What was confirmed before is told no more: the machine is off.
                self.disk.cutPower()
                self.start(KEYS)
                return
            if not hearsLate:
                self.clock.hear()
            self.clock.advance(0)
            self.clock.advance(seconds)
        self.clock.hear()

    @rule(
        which=st.integers(0, 2),
        count=st.integers(1, 30),
        then=st.sampled_from(["", "cut", "kill", "write"]),
        failAt=st.none() | st.integers(0, 6),
        cutAt=st.none() | st.integers(0, 8),
    )
    def commit(
        self, which: int, count: int, then: str, failAt: int | None, cutAt: int | None
    ) -> None:
        """Single steps would seldom come together so: a write, with an error or a power cut at
        one of its operations, then the end or another write."""
        self.rtuSends(which, count, 100)
        self.write(which, count)
        if failAt is not None:
            self.isTroubled = True
            self.disk.failures = {failAt: errno.EIO}
        self.disk.cutAt = cutAt
        self.work(1, 1.1)
        if then == "cut":
            self.cutPowerNow()
        elif then == "kill":
            self.kill()
        elif then == "write":
            self.write(which, count)
            self.work(1, 0.06)

    @rule(
        times=st.integers(2, 8),
        count=st.integers(1, 12),
        part=st.sampled_from([0.3, 0.7, 0.95]),
        cutAt=st.none() | st.integers(0, 40),
        late=st.integers(0, 2),
    )
    def traffic(self, times: int, count: int, part: float, cutAt: int | None, late: int) -> None:
        """Segments fill and are tidied up; one group's masters are slower than the others'."""
        self.disk.cutAt = cutAt
        for _ in range(times):
            for which in range(3):
                self.rtuSends(which, count, 100)
                self.write(which, count)
            self.work(2, 0.06)
            for which in range(3):
                self.settle(which, 0.1 if which == late else part)

    @rule(operations=st.integers(0, 6))
    def killThenCut(self, operations: int) -> None:
        """The power is cut when what a kill has left is made certain."""
        self.kill()
        self.disk.cutAt = operations
        self.work(1, 0.0)

    @rule(which=st.integers(0, 2), keep=st.booleans())
    def groupRestarts(self, which: int, keep: bool) -> None:
        """A group leaves while the process runs, and comes again: to what it has left, or, when
        that is set aside, to nothing."""
        plant, service = self.plants[KEYS[which]], self.service
        if plant.journal is None or service is None:
            return
        closed: list[None] = []
        if not keep:
            self.leaving.update(plant.owed())
        service.close(plant.journal, keep).addCallback(closed.append)
        self.work(2, 0.06)
        if self.service is not service:
            return  # the power was cut
        assert closed == [None]
        journal = service.open(KEYS[which])
        if keep or journal.held:  # what cannot be set aside stays
            self.check(plant, journal.held)
            self.plants[KEYS[which]] = self.resumed(plant, journal)
        else:
            self.aside.update(plant.owed())
            self.plants[KEYS[which]] = Plant(past=plant.past + plant.events, journal=journal)
        self.checkAside()

    @rule(operations=st.integers(0, 12))
    def armPowerCut(self, operations: int) -> None:
        self.disk.cutAt = operations

    @rule(
        operations=st.integers(0, 8),
        code=st.sampled_from([errno.EIO, errno.ENOSPC]),
        times=st.integers(1, 4),
    )
    def armFailure(self, operations: int, code: int, times: int) -> None:
        self.isTroubled = True
        for number in range(times):
            self.disk.failures[operations + number] = code

    @rule(more=st.integers(0, 6000))
    def diskFills(self, more: int) -> None:
        self.isTroubled = True
        self.disk.capacity = self.disk.used + more

    @precondition(lambda self: self.isTroubled)
    @rule()
    def troubleEnds(self) -> None:
        """Room again: within a few rounds all that is offered is confirmed."""
        self.disk.capacity = None
        self.disk.failures.clear()
        self.isTroubled = False
        self.disk.cutAt = None
        for _ in range(4):
            self.work(1, 40.0)
        for which in range(3):
            plant = self.plants[KEYS[which]]
            if plant.journal is not None:
                assert plant.journal.full == ""
                self.write(which, 10_000)
        self.work(2, 0.06)
        for plant in self.plants.values():
            if plant.journal is not None:
                live = {position for position, _ in plant.unsettled() if position >= plant.held}
                assert live <= plant.confirmed
                assert not any(plant.events[max(plant.offered, plant.settled) :])

    @rule()
    def cutPowerNow(self) -> None:
        self.disk.cutPower()
        self.start(KEYS)

    @rule(keys=st.sets(st.sampled_from(KEYS)), thenCut=st.booleans())
    def killAndChange(self, keys: set[GroupKey], thenCut: bool) -> None:
        self.disk.kill()
        self.start([key for key in KEYS if key in keys])
        if thenCut:
            self.disk.cutPower()
            self.start(KEYS)

    @rule()
    def kill(self) -> None:
        self.disk.kill()
        self.start(KEYS)

    @rule()
    def stopInOrder(self) -> None:
        assert self.service is not None
        wasTroubled = self.isTroubled
        ended: list[None] = []
        self.service.stopService().addCallback(ended.append)
        try:
            if self.service._writer is not None:
                self.service._writer._stopping = True
                self.service._writer.finish()
        except PowerCut:
            self.disk.cutPower()
            self.start(KEYS)
            return
        self.clock.hear()
        self.service._writer = None
        while self.clock.getDelayedCalls():
            self.clock.advance(0)
        settled = [plant.settled for plant in self.plants.values()]
        before = list(self.plants.values())
        isArmed = self.disk.cutAt is not None
        self.disk.cutPower()
        self.start(KEYS)
        if not wasTroubled and not isArmed:
            for position, old, key in zip(settled, before, KEYS, strict=True):
                gone = {event for event in old.events[:position] if event}
                journal = self.plants[key].journal
                assert journal is not None and not gone & set(journal.held), "settled returns"
                # Their marks are synced: from now on they may never return.
                self.plants[key].past.clear()

    def teardown(self) -> None:
        journalstate.SPARE_SEGMENTS, journalstate.SPARE_FILES, journalstate.CARRY_STEP = KNOBS

    # -- always -----------------------------------------------------------------------------

    @invariant()
    def filesAreBounded(self) -> None:
        if getattr(self, "service", None) is None or self.isTroubled:
            return
        assert self.service is not None
        store = self.service._store
        if store is not None and self.service._writer is not None:
            assert len(store._segments) < 60


TestJournal = JournalMachine.TestCase
TestJournal.settings = settings(stateful_step_count=40)
