"""The ledger: what each master gets, what is settled, and what stays in memory."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from mm2ss.relay.ledger import FRAME_OVERHEAD, Ledger, Reader


def entry(number: int) -> bytes:
    """A ledger entry whose length differs from its neighbours'."""
    return b"e%d" % number + bytes(number % 7)


def filled(count: int) -> Ledger:
    """A ledger with so many entries."""
    ledger = Ledger()
    for number in range(count):
        ledger.append(entry(number))
    return ledger


def attached(ledger: Ledger) -> Reader:
    """A reader that starts now."""
    reader = Reader(ledger)
    ledger.attach(reader)
    return reader


def test_everyReaderGetsEveryEntry() -> None:
    """What is appended is there for all readers, in order, each at its own pace."""
    ledger = Ledger()
    one, two = attached(ledger), attached(ledger)
    for number in range(5):
        ledger.append(entry(number))
    assert [*one.take(3), *one.take(9)] == [entry(number) for number in range(5)]
    assert [*two.take(1)] == [entry(0)]
    assert [*one.take(9)] == []


def test_newReaderBeginsAtTheFirstUnsettledEntry() -> None:
    """A master that starts gets what no master has acknowledged, and nothing settled."""
    ledger = Ledger()
    one = attached(ledger)
    for number in range(5):
        ledger.append(entry(number))
    one.take(4)
    one.acknowledged(2)
    assert [*attached(ledger).take(9)] == [entry(2), entry(3), entry(4)]


def test_laneGoesAfterWhatTheLedgerHeld() -> None:
    """A frame for one master comes after all that the RTU sent before it, and before the rest."""
    ledger = Ledger()
    one, two = attached(ledger), attached(ledger)
    ledger.append(entry(0))
    one.add(b"first")
    one.add(b"second")
    ledger.append(entry(1))
    one.add(b"third")
    assert [*one.take(9)] == [entry(0), b"first", b"second", entry(1), b"third"]
    assert [*two.take(9)] == [entry(0), entry(1)]


@pytest.mark.parametrize("limit", [1, 2, 3])
def test_takeObeysItsLimit(limit: int) -> None:
    """Never more frames than asked for, lane frames counted."""
    ledger = filled(3)
    reader = attached(ledger)
    reader.add(b"mine")
    ledger.append(entry(3))
    frames = []
    while chunk := [*reader.take(limit)]:
        assert len(chunk) <= limit
        frames += chunk
    assert frames == [entry(0), entry(1), entry(2), b"mine", entry(3)]
    assert [*reader.take(0)] == []


def test_greetingGoesFirst() -> None:
    """End of initialization is before what waited for the master."""
    ledger = filled(2)
    reader = attached(ledger)
    reader.addFirst(b"greeting")
    assert [*reader.take(9)] == [b"greeting", entry(0), entry(1)]


def test_acknowledgementOfOwnFramesSettlesNothing() -> None:
    """Only what stands in the ledger is settled by being acknowledged."""
    ledger = filled(2)
    reader = attached(ledger)
    reader.addFirst(b"greeting")
    reader.take(1)
    reader.acknowledged(1)
    assert ledger.settled == 0
    reader.take(9)
    reader.acknowledged(2)
    assert ledger.settled == 1


def test_detachedReaderStillSettles() -> None:
    """A master that sent STOPDT acknowledges what it has; that counts, its lane is gone."""
    ledger = filled(3)
    reader = attached(ledger)
    reader.take(2)
    reader.add(b"mine")
    ledger.detach(reader)
    assert len(reader.lane) == 0
    reader.acknowledged(2)
    assert ledger.settled == 2
    ledger.detach(reader)


def test_settledEntriesLeaveMemoryWhenEveryReaderIsPastThem() -> None:
    """A reader that is behind keeps entries in memory; when it goes, they go."""
    ledger = filled(10)
    fast, slow = attached(ledger), attached(ledger)
    fast.take(10)
    fast.acknowledged(10)
    slow.take(4)
    ledger.trim()
    assert ledger.base == 4
    ledger.detach(slow)
    ledger.trim()
    assert (ledger.base, ledger.octets) == (10, 0)


def test_memoryStaysSmallByItself() -> None:
    """With masters that keep up, the ledger does not grow however much goes through it."""
    ledger = Ledger()
    reader = attached(ledger)
    largest = 0
    for number in range(20000):
        ledger.append(entry(number))
        reader.acknowledged(number + len(reader.take(9)))
        largest = max(largest, ledger.end - ledger.base)
    assert ledger.settled == 20000
    assert largest <= 512


def test_waitingSinceTheStartOnly() -> None:
    """What waited before a master started does not count against it."""
    ledger = filled(100)
    reader = attached(ledger)
    assert (reader.waiting, reader.waitingOctets) == (0, 0)
    ledger.append(b"12345")
    reader.add(b"123")
    assert reader.waiting == 2
    assert reader.waitingOctets == 8 + 2 * FRAME_OVERHEAD
    reader.take(101)
    assert (reader.waiting, reader.waitingOctets) == (1, 3 + FRAME_OVERHEAD)


class _Copy:
    """What the model knows of a reader."""

    def __init__(self, reader: Reader) -> None:
        self.reader = reader
        self.attached = False
        self.expected: list[tuple[int, bytes]] = []  # since attach: (position after, frame)
        self.sent: list[int] = []  # for each frame ever sent: ledger position it settles, or 0
        self.acknowledged = 0


class LedgerMachine(RuleBasedStateMachine):
    """Random use of a ledger with several readers against a model that keeps everything."""

    def __init__(self) -> None:
        super().__init__()
        self.ledger = Ledger()
        self.log: list[bytes] = []
        self.settled = 0
        self.copies = [_Copy(Reader(self.ledger)) for _ in range(3)]
        self.serial = 0

    def copy(self, which: int) -> _Copy:
        return self.copies[which]

    @rule(count=st.sampled_from([1, 1, 2, 5, 300]))
    def append(self, count: int) -> None:
        for _ in range(count):
            self.log.append(entry(len(self.log)))
            self.ledger.append(self.log[-1])
            for copy in self.copies:
                if copy.attached:
                    copy.expected.append((len(self.log), self.log[-1]))

    @rule(which=st.integers(0, 2), greeting=st.booleans())
    def attach(self, which: int, greeting: bool) -> None:
        copy = self.copy(which)
        if copy.attached:
            return
        self.ledger.attach(copy.reader)
        copy.attached = True
        copy.expected = [
            (position + 1, self.log[position]) for position in range(self.settled, len(self.log))
        ]
        if greeting:
            copy.reader.addFirst(b"greeting")
            copy.expected.insert(0, (0, b"greeting"))

    @rule(which=st.integers(0, 2))
    def detach(self, which: int) -> None:
        copy = self.copy(which)
        self.ledger.detach(copy.reader)
        copy.attached = False
        copy.expected = []

    @rule(which=st.integers(0, 2))
    def add(self, which: int) -> None:
        copy = self.copy(which)
        if copy.attached:
            self.serial += 1
            copy.reader.add(b"lane %d" % self.serial)
            copy.expected.append((0, b"lane %d" % self.serial))

    @rule(which=st.integers(0, 2), limit=st.integers(0, 400))
    def take(self, which: int, limit: int) -> None:
        copy = self.copy(which)
        if copy.attached:
            frames = [*copy.reader.take(limit)]
            expected, copy.expected = copy.expected[:limit], copy.expected[limit:]
            assert frames == [frame for _, frame in expected]
            copy.sent += [position for position, _ in expected]

    @rule(which=st.integers(0, 2), part=st.floats(0, 1))
    def acknowledge(self, which: int, part: float) -> None:
        copy = self.copy(which)
        open_ = len(copy.sent) - copy.acknowledged
        copy.acknowledged += round(part * open_)
        copy.reader.acknowledged(copy.acknowledged)
        self.settled = max([self.settled, *copy.sent[: copy.acknowledged]])

    @rule()
    def trim(self) -> None:
        self.ledger.trim()

    @invariant()
    def settledIsWhatWasAcknowledged(self) -> None:
        assert self.ledger.settled == self.settled

    @invariant()
    def nothingUnsettledIsForgotten(self) -> None:
        ledger = self.ledger
        assert ledger.base <= ledger.settled <= ledger.end == len(self.log)
        assert ledger.slice(ledger.base, ledger.end) == self.log[ledger.base :]

    @invariant()
    def octetsAreExact(self) -> None:
        lanes = [frame for copy in self.copies for position, frame in copy.expected if not position]
        kept = self.log[self.ledger.base :] + lanes
        assert self.ledger.octets == sum(map(len, kept)) + FRAME_OVERHEAD * len(kept)

    @invariant()
    def flightIsKnown(self) -> None:
        for copy in self.copies:
            assert bool(copy.reader.flight) == (copy.acknowledged < len(copy.sent))

    @precondition(lambda self: all(copy.attached for copy in self.copies))
    @invariant()
    def allSeeTheSameEnd(self) -> None:
        for copy in self.copies:
            lane = sum(1 for position, _ in copy.expected if not position)
            assert len(copy.reader.lane) == lane


TestLedgerMachine: Any = LedgerMachine.TestCase
TestLedgerMachine.settings = settings(stateful_step_count=40)
