"""Events come to each master in the order in which they happened, also when the RTU repeats, and
when the relay is killed meanwhile."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from mm2ss.config.model import AckMode
from mm2ss.config.parameters import LinkParameters
from mm2ss.relay.custody import RETRY, Custody
from mm2ss.relay.ledger import Ledger, Reader
from tests.fakes import VirtualClock
from tests.groups import groupConfig
from tests.journals import NORTH, JournalWorld
from tests.memoryjournal import MemoryJournal
from tests.powercut import ModelDisk

#: k of the RTU.
_WINDOW = 5


def _asdu(number: int) -> bytes:
    """A spontaneous event."""
    return bytes((1, 1, 3, 0, 1, 0)) + number.to_bytes(3, "little")


def _number(asdu: bytes) -> int:
    return int.from_bytes(asdu[6:9], "little")


#: Its row: what it sends is due after 12 seconds.
_CONFIG = groupConfig(ackMode=AckMode.THROUGH, rtu=LinkParameters(k=_WINDOW, w=1))


class _Master:
    """A master's connection: it checks the first appearance of each event."""

    def __init__(self, ledger: Ledger, settled: set[int]) -> None:
        self.reader = Reader(ledger)
        self.seen: list[int] = []
        self.settledBefore = frozenset(settled)
        self.acknowledged = 0
        ledger.attach(self.reader)

    def take(self, limit: int) -> None:
        for asdu in self.reader.take(limit):
            number = _number(asdu)
            if number not in self.seen:
                highest = max(self.seen, default=number - 1)
                skipped = set(range(highest + 1, number)) - self.settledBefore
                assert number > highest, "out of order"
                assert not self.seen or not skipped, "a hole"
            self.seen.append(number)


class RepeatingRtuMachine(RuleBasedStateMachine):
    """An RTU that keeps what is not acknowledged, whose line is cut with acknowledgements on it;
    and a relay, with its journal, that is killed, restarted, and short of disk."""

    def __init__(self) -> None:
        super().__init__()
        self.disk = ModelDisk(Random(1))
        self.settled: set[int] = set()
        self.masters: list[_Master] = []
        self.happened = 0
        self.kept: list[int] = []  # at the RTU: not acknowledged, in order
        self.now = 0.0
        self.begin(JournalWorld(self.disk, [NORTH]))

    def begin(self, world: JournalWorld) -> None:
        """The group starts, with what the journal holds."""
        self.world = world
        self.masters.clear()
        self.ledger = Ledger(journalled=True, window=_WINDOW)
        self.custody = Custody(_CONFIG, self.ledger, world.north, lambda: None)
        self.custody.begin()
        self.connect()

    def connect(self) -> None:
        """The RTU begins to send again, from the first event that it still has."""
        self.custody.rtuConnected()
        self.unsent = list(self.kept)
        self.received = 0  # frames of this connection
        self.heard = 0  # of these, the RTU knows to be acknowledged

    def arrive(self, frames: Sequence[int]) -> None:
        """Frames of the RTU."""
        del self.unsent[: len(frames)]
        self.received += len(frames)
        position = self.ledger.end
        self.ledger.extend([_asdu(number) for number in frames])
        self.custody.rtuReceived(len(frames), position, (), self.now)
        self.step()

    def step(self) -> int:
        self.custody.mastersListen(bool(self.masters))
        return self.custody.step(self.now)

    @property
    def room(self) -> int:
        """Of the RTU's window."""
        return _WINDOW - (self.received - self.heard)

    # -- the RTU ----------------------------------------------------------------------------

    @rule(count=st.integers(0, 8))
    def happen(self, count: int) -> None:
        for _ in range(count):
            self.happened += 1
            self.kept.append(self.happened)
            self.unsent.append(self.happened)

    @rule()
    def send(self) -> None:
        self.arrive(self.unsent[: self.room])

    @rule()
    def hear(self) -> None:
        """The RTU receives the acknowledgement of what is settled or safe."""
        heard = self.step()
        del self.kept[: heard - self.heard]
        self.heard = heard

    @rule()
    def prove(self) -> None:
        """The RTU answers a test, or a stop, behind that."""
        self.hear()
        self.custody.rtuKnows(self.heard)
        self.step()

    @rule(arrives=st.integers(0, 10))
    def cut(self, arrives: int) -> None:
        """The RTU's line is cut, with frames and acknowledgements on it."""
        self.arrive(self.unsent[: min(arrives, self.room)])
        self.ledger.interrupted()
        for master in self.masters:
            self.ledger.detach(master.reader)
        self.masters.clear()
        self.step()
        self.connect()

    # -- the relay --------------------------------------------------------------------------

    @rule(seconds=st.sampled_from([0.1, 1, 6, 12]))
    def wait(self, seconds: float) -> None:
        """What no master has acknowledged in time goes to the journal."""
        self.now += seconds
        self.step()

    @rule()
    def write(self) -> None:
        """The journal's thread does what is due, and the group hears of it."""
        self.world.work(1.0)

    @rule(isCut=st.booleans(), seed=st.integers(0, 9))
    def kill(self, isCut: bool, seed: int) -> None:
        """By kill -9, or because the power is cut."""
        self.disk.random = Random(seed)
        self.disk.capacity = None
        if isCut:
            self.disk.cutPower()
        else:
            self.disk.kill()
        self.begin(JournalWorld(self.disk, [NORTH]))

    @rule(isAll=st.booleans())
    def restart(self, isAll: bool) -> None:
        """The relay, or the group only, is stopped in order and started again."""
        self.stop()
        allSettled = self.ledger.settled == self.ledger.end
        if isAll:
            self.world.stop()
            self.begin(JournalWorld(self.disk, [NORTH]))
        else:
            self.world.service.close(self.world.north, keep=True)
            self.world.work(rounds=3)
            self.world.groups[NORTH] = self.world.service.open(NORTH)
            self.begin(self.world)
        assert not (allSettled and self.world.north.held), "something settled stays"

    @rule(isFull=st.booleans())
    def fill(self, isFull: bool) -> None:
        """The disk is full, or has room again."""
        self.disk.capacity = self.disk.used if isFull else None

    def stop(self) -> None:
        """All that came goes to the journal, and the RTU confirms the stop."""
        self.disk.capacity = None
        self.masters.clear()
        self.now += 60
        self.world.work(60, rounds=3)
        self.step()
        self.world.work(60, rounds=3)
        self.prove()
        assert self.heard == self.received, "the RTU cannot stop"

    # -- the masters ------------------------------------------------------------------------

    @rule()
    @precondition(lambda self: len(self.masters) < 3)
    def start(self) -> None:
        self.masters.append(_Master(self.ledger, self.settled))

    @rule(which=st.integers(0, 9), limit=st.integers(1, 10))
    def take(self, which: int, limit: int) -> None:
        if self.masters:
            self.masters[which % len(self.masters)].take(limit)

    @rule(which=st.integers(0, 9), count=st.integers(1, 10))
    def acknowledge(self, which: int, count: int) -> None:
        if self.masters:
            master = self.masters[which % len(self.masters)]
            before = master.acknowledged
            master.acknowledged = min(before + count, len(master.seen))
            self.settled.update(master.seen[before : master.acknowledged])
            master.reader.acknowledged(master.acknowledged)
            self.step()

    @rule(which=st.integers(0, 9))
    def leave(self, which: int) -> None:
        if self.masters:
            self.ledger.detach(self.masters.pop(which % len(self.masters)).reader)
            self.step()

    @rule(count=st.integers(0, 8), limit=st.integers(1, 10), acknowledged=st.integers(1, 5))
    def flow(self, count: int, limit: int, acknowledged: int) -> None:
        """What happens most: a few of the other steps, one after the other."""
        self.happen(count)
        if not self.masters:
            self.start()
        self.send()
        self.take(0, limit)
        self.acknowledge(0, acknowledged)

    @rule()
    def trim(self) -> None:
        self.ledger.trim()

    def teardown(self) -> None:
        """A last master gets everything that was not settled, in order."""
        self.masters.append(last := _Master(self.ledger, self.settled))
        for _ in range(self.happened + 1):
            self.send()
            last.take(10**6)
            last.reader.acknowledged(len(last.seen))
            self.hear()
        assert not self.kept
        assert self.settled | set(last.seen) == set(range(1, self.happened + 1))
        self.settled.update(last.seen)
        self.restart(True)


TestRepeatingRtu: Any = RepeatingRtuMachine.TestCase
TestRepeatingRtu.settings = settings(stateful_step_count=40)


def test_W13_whatComesAgainComesFirst() -> None:
    """The acknowledgement of settled events is lost with the RTU's line, and newer events are still
    held: a master that starts then gets the settled ones once more, before the newer ones."""
    ledger = Ledger(window=_WINDOW)
    master = _Master(ledger, set())
    for number in range(1, 10):
        ledger.append(_asdu(number))
    master.take(9)
    master.reader.acknowledged(7)
    assert ledger.origin == 7, "while the RTU is connected nothing settled is sent again"
    ledger.interrupted()
    assert ledger.origin == 9 - _WINDOW
    back = _Master(ledger, set())
    back.take(9)
    assert back.seen == [5, 6, 7, 8, 9]
    back.reader.acknowledged(5)
    assert ledger.origin == 9, "all is settled: what the RTU sends again comes in order by itself"


def test_whatTheRtuKnowsDoesNotComeAgain() -> None:
    """Settled events are kept as long as the RTU may send them again: until it has confirmed the
    acknowledgement of them all, or has sent k more; no part of them counts."""
    ledger = Ledger(window=_WINDOW)
    custody = Custody(_CONFIG, ledger, None, lambda: None)
    for count, known, floor in ((4, 4, 4), (3, 6, 4), (1, 8, 8), (7, 8, 10)):
        ledger.extend([_asdu(0)] * count)
        custody.rtuReceived(count, ledger.end - count, (), 0.0)
        ledger.settle(ledger.end)
        custody.rtuKnows(known)
        assert (ledger.floor, ledger.origin) == (floor, ledger.end)


def test_aWriteGoesBackToWhatMayComeAgain() -> None:
    """What becomes due goes to the journal with the settled events that the RTU may send again
    before it, each connection's by itself; what can be had again stays out of it."""
    world = JournalWorld(keys=[NORTH])
    ledger = Ledger(journalled=True, window=_WINDOW)
    custody = Custody(_CONFIG, ledger, world.north, lambda: None)
    ledger.extend([_asdu(number) for number in range(10)])
    custody.rtuReceived(10, 0, (), 0.0)
    ledger.settle(9)
    ledger.interrupted()
    cyclic = bytes((9, 1, 1)) + bytes(6)
    ledger.extend([cyclic, _asdu(10), cyclic])
    custody.mastersListen(False)
    custody.step(0.0)
    world.work()
    assert ledger.secured == ledger.end == 13
    world = world.again([NORTH])
    assert [_number(asdu) for asdu in world.north.held] == [5, 6, 7, 8, 9, 10]
    assert world.north.breaks == [5]
    ledger.settle(10)
    assert ledger.floor == 10


def test_cyclicDataAloneIsNotWritten() -> None:
    """Where only that is due which can be had again, settled events are not written for it."""
    world = JournalWorld(keys=[NORTH])
    ledger = Ledger(journalled=True, window=_WINDOW)
    custody = Custody(_CONFIG, ledger, world.north, lambda: None)
    ledger.extend([_asdu(1), bytes((9, 1, 1)) + bytes(6)])
    custody.rtuReceived(2, 0, (), 0.0)
    ledger.settle(1)
    custody.mastersListen(False)
    assert custody.step(0.0) == 2
    world.work()
    assert world.north.figures.frames == 0


def test_whatWasRefusedIsOfferedAgainWhole() -> None:
    """What the disk did not take is offered again from where it left off, though some of it has
    been settled meanwhile: the RTU may send that again, too."""
    world = JournalWorld(keys=[NORTH])
    ledger = Ledger(journalled=True, window=_WINDOW)
    custody = Custody(_CONFIG, ledger, world.north, lambda: None)
    ledger.extend([_asdu(number) for number in range(6)])
    custody.rtuReceived(6, 0, (), 0.0)
    custody.mastersListen(False)
    world.disk.capacity = world.disk.used
    custody.step(0.0)
    ledger.settle(4)
    world.work()
    assert custody.failing
    world.disk.capacity = None
    world.work(60.0)
    assert custody.step(60.0) == 4
    world.work(1.0)
    assert custody.step(60.0) == 6
    assert [_number(asdu) for asdu in world.again([NORTH]).north.held] == [1, 2, 3, 4, 5]


def test_whatTheDiskRefusedIsOfferedAgainSoon() -> None:
    """After a write that failed the next try comes after `RETRY`, though newer events have time."""
    clock = VirtualClock()
    journal = MemoryJournal(clock)
    ledger = Ledger(journalled=True, window=_WINDOW)
    custody = Custody(_CONFIG, ledger, journal, lambda: None)
    custody.mastersListen(True)
    ledger.extend([_asdu(0)])
    custody.rtuReceived(1, 0, (), clock.seconds())
    assert custody.step(clock.seconds()) == 0
    journal.failing = True
    clock.run(custody.deadline - clock.seconds())
    custody.step(clock.seconds())  # its time has come: it is being written
    ledger.extend([_asdu(1)])
    custody.rtuReceived(1, 1, (), clock.seconds())
    custody.step(clock.seconds())
    clock.run(journal.latency)
    assert custody.failing
    journal.failing = False
    custody.step(clock.seconds())
    assert custody.deadline - clock.seconds() <= RETRY
    clock.run(RETRY)
    custody.step(clock.seconds())
    clock.run(journal.latency)
    assert custody.step(clock.seconds()) >= 1
    assert custody.deadline - clock.seconds() > RETRY  # the newer one has time
