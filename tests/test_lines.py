"""What the RTU serves one at a time stands in line; what is alike shares a run."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from mm2ss.iec104.asdu import BROADCAST, Cause
from mm2ss.relay.lines import CLOCK_WAIT, Lines, Patience, Turn, lineOf
from tests.groups import interrogation, read, request

A, B, C = "A", "B", "C"


def turn(owner: str = A, asdu: bytes | None = None, since: float = 0.0) -> Turn[str]:
    """A turn, by default a station interrogation."""
    return Turn(owner, interrogation() if asdu is None else asdu, since)


def test_C01_whatWaitsIsShared() -> None:
    """One runs; all others of its kind share the next run, each with its originator address."""
    lines: Lines[str] = Lines()
    running, waiting = turn(A), turn(B)
    assert lines.enter(running)
    assert not lines.enter(waiting)
    assert not lines.enter(turn(C, interrogation(originator=9)))
    assert lines.leave(running) == [waiting]
    assert waiting.parties == [(B, 0), (C, 9)]
    assert lines.leave(waiting) == [] and len(lines) == 0


@pytest.mark.parametrize(
    ("asdu", "shares"),
    [
        (interrogation(), True),
        (interrogation(21), False),
        (interrogation(test=True), False),
        (interrogation(station=33), False),
    ],
)
def test_C02_onlyWhatIsAlikeIsShared(asdu: bytes, shares: bool) -> None:
    """Station, qualifier and T bit must be the same."""
    lines: Lines[str] = Lines()
    lines.enter(turn(A, interrogation(station=BROADCAST)))
    lines.enter(turn(B))
    lines.enter(turn(C, asdu))
    assert len(lines) == (2 if shares else 3)


def test_C08_resetsAreNotShared() -> None:
    """Reading counters is shared; freezing and resetting is each master's own."""
    for octet, shares in ((0x05, True), (0x45, False), (0x85, False), (0xC5, False)):
        lines: Lines[str] = Lines()
        for owner in (A, B, C):
            lines.enter(turn(owner, request(101, 0, bytes((octet,)))))
        assert len(lines) == (2 if shares else 3)


def test_differentStationsRunSideBySide() -> None:
    """The line is one station's; different kinds do not wait for each other either."""
    lines: Lines[str] = Lines()
    assert lines.enter(turn(A))
    assert lines.enter(turn(B, interrogation(station=33)))
    assert lines.enter(turn(B, request(101, 0, b"\x05")))
    assert lines.enter(turn(B, request(103, 0, bytes(7))))


def test_R21_aBroadcastRunsAlone() -> None:
    """All stations together wait for each, and hold each back."""
    lines: Lines[str] = Lines()
    one, other = turn(A), turn(B, interrogation(station=33))
    everybody = turn(C, interrogation(station=BROADCAST))
    behind = turn(A, interrogation(station=34))
    lines.enter(one)
    lines.enter(other)
    assert not lines.enter(everybody)
    assert not lines.enter(behind), "nobody overtakes what waits for all"
    assert lines.leave(one) == []
    assert lines.leave(other) == [everybody]
    assert lines.leave(everybody) == [behind]


def test_R21_aBroadcastThatGivesUpFreesThoseBehindIt() -> None:
    """Who waited behind one that waits no more need not wait for who runs."""
    for remove in (True, False):
        lines: Lines[str] = Lines()
        lines.enter(turn(A))
        everybody = turn(C, interrogation(station=BROADCAST))
        behind = turn(B, interrogation(station=33))
        lines.enter(everybody)
        lines.enter(behind)
        if remove:
            assert lines.remove([everybody]) == [behind]
        else:
            everybody.drop(C)
            assert lines.forget() == [behind]


def test_removingSeveral() -> None:
    """What is removed together does not free each other."""
    lines: Lines[str] = Lines()
    lines.enter(turn(A))
    everybody = turn(C, interrogation(station=BROADCAST))
    behind = turn(B, interrogation(station=33))
    lines.enter(everybody)
    lines.enter(behind)
    assert lines.remove([everybody, behind]) == []
    assert len(lines) == 1


@pytest.mark.parametrize("typeId", [102, 104, 107, 110, 111, 112, 113])
def test_pointsHaveLines(typeId: int) -> None:
    """Reads, tests and parameters of one point queue; others run beside them."""
    lines: Lines[str] = Lines()
    one, two = turn(A, request(typeId, 1)), turn(B, request(typeId, 1))
    assert lines.enter(one)
    assert not lines.enter(two)
    assert lines.enter(turn(B, request(typeId, 2)))
    assert lines.enter(turn(B, request(typeId, 1, station=33)))
    assert lines.leave(one) == [two]


def test_parametersAreDeactivatedInLine() -> None:
    """Deactivating a parameter is an act of its own; taking back an interrogation is not."""
    assert lineOf(request(113, 1, cause=Cause.DEACTIVATION)) == lineOf(request(113, 1))
    for asdu in (interrogation(cause=Cause.DEACTIVATION), request(), request(200)):
        assert lineOf(asdu) is None


def test_whoDoesNotRunFreesNobody() -> None:
    """Leaving twice, or without having run, changes nothing."""
    lines: Lines[str] = Lines()
    one, two = turn(A), turn(B, interrogation(21))
    lines.enter(one)
    lines.enter(two)
    assert lines.leave(two) == []
    assert lines.leave(one) == [two]
    assert lines.leave(one) == []
    assert lines.leave(turn(A, request())) == []


def test_aMasterInTwice() -> None:
    """A master that asks again while it waits is in twice, and out at once."""
    shared = turn(A)
    shared.parties += turn(B).parties + turn(A).parties
    assert shared.drop(A) == 2
    assert shared.parties == [(B, 0)] and shared.owner == B
    assert shared.drop(A) == 0
    assert shared.drop(B) == 1 and shared.owner == B


def test_theRelaysOwn() -> None:
    """A request of the relay for a master that left has an owner, and nobody to answer."""
    own = Turn(A, request(originator=7), 0, ours=True)
    assert (own.owner, own.parties, own.originator) == (A, [], 7)


def test_C10_patience() -> None:
    """Clocks wait a second, commands their age, interrogations as long as there is progress."""
    patience = Patience(waits=30, ages=10)
    clock, command, all_ = turn(A, request(103, 0, bytes(7))), turn(A, read(1)), turn(A)
    assert [patience.isOver(clock, CLOCK_WAIT + late) for late in (0, 0.01)] == [False, True]
    assert [patience.isOver(command, 10 + late) for late in (0, 0.01)] == [False, True]
    patience.progressed(100, 25)
    patience.progressed(45, 50)
    assert [patience.isOver(all_, 55 + late) for late in (0, 0.01)] == [False, True]
    assert patience.isOver(turn(A, request(101, 0, b"\x05")), 31), "each kind by itself"


class LinesMachine(RuleBasedStateMachine):
    """Random interrogations, reads, ends and departures."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: Lines[str] = Lines()
        self.running: list[Turn[str]] = []
        self.waiting: list[Turn[str]] = []

    @rule(
        owner=st.sampled_from([A, B, C]),
        station=st.sampled_from([1, 2, BROADCAST]),
        asdu=st.sampled_from([interrogation(), interrogation(21), request(101, 0, b"\x85")]),
    )
    def enter(self, owner: str, station: int, asdu: bytes) -> None:
        asdu = asdu[:4] + station.to_bytes(2, "little") + asdu[6:]
        asked = turn(owner, asdu)
        if self.lines.enter(asked):
            self.running.append(asked)
        elif asked.waited:
            self.waiting.append(asked)
        else:
            assert any((owner, 0) in each.parties for each in self.waiting)

    @rule(which=st.integers(0, 9))
    def leave(self, which: int) -> None:
        if self.running:
            done = self.running.pop(which % len(self.running))
            self.freed(self.lines.leave(done))

    @rule(owner=st.sampled_from([A, B, C]))
    def depart(self, owner: str) -> None:
        for each in self.waiting:
            each.drop(owner)
        self.waiting = [each for each in self.waiting if each.parties]
        self.freed(self.lines.forget())

    @rule(which=st.sets(st.integers(0, 9)))
    def giveUp(self, which: set[int]) -> None:
        gone = [each for place, each in enumerate(self.waiting) if place in which]
        self.waiting = [each for each in self.waiting if each not in gone]
        self.freed(self.lines.remove(gone))

    def freed(self, turns: list[Turn[str]]) -> None:
        for each in turns:
            self.waiting.remove(each)
            self.running.append(each)

    @invariant()
    def nobodyRunsBesideAnother(self) -> None:
        stations = [(lineOf(each.asdu), each.station) for each in self.running]
        assert len(stations) == len(set(stations))
        for line, station in stations:
            assert station != BROADCAST or [each for each, _ in stations].count(line) == 1

    @invariant()
    def nobodyWaitsForNothing(self) -> None:
        assert set(self.lines.waiting()) == set(self.waiting)
        assert len(self.lines) == len(self.waiting) + len(self.running)
        for place, each in enumerate(self.waiting):
            line = lineOf(each.asdu)
            before = (*self.running, *self.waiting[:place])
            assert any(
                lineOf(other.asdu) == line
                and (other.station == each.station or BROADCAST in (other.station, each.station))
                for other in before
            )

    def teardown(self) -> None:
        while self.running:
            self.leave(0)
        assert not self.waiting and len(self.lines) == 0


TestLinesMachine: Any = LinesMachine.TestCase
TestLinesMachine.settings = settings(stateful_step_count=30)
