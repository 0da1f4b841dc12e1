"""Whose request an answer belongs to, whatever the RTU does with the originator address."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from mm2ss.config.model import GroupOptions, OriginatorEcho, OriginatorMode
from mm2ss.iec104.asdu import BROADCAST, Cause, buildAsdu, withOriginator
from mm2ss.relay.audit import Outcome
from mm2ss.relay.lines import Turn
from mm2ss.relay.requests import (
    BROADCAST_TIME,
    ECHO_PROOF,
    INTERROGATION_TIME,
    REQUESTS_MAX,
    TOMBSTONE,
    Requests,
)
from tests.groups import answer, data, interrogation, read, request

A, B = "A", "B"
SLOTS = {A: 1, B: 2}
CON, TERM, DECON = Cause.ACTIVATION_CON, Cause.ACTIVATION_TERM, Cause.DEACTIVATION_CON


class Table:
    """`Requests` of masters A (slot 1) and B (slot 2), with time."""

    def __init__(self, echo: OriginatorEcho = OriginatorEcho.AUTO, **options: Any) -> None:
        self.requests: Requests[str] = Requests(
            GroupOptions(originatorEcho=echo, **options), lambda *_: None
        )
        self.now = 0.0

    def ask(self, owner: str, asdu: bytes) -> bytes:
        """A request goes to the RTU; return it as the RTU sees it."""
        slot = SLOTS.setdefault(owner, len(SLOTS) + 1)
        self.requests.open(Turn(owner, asdu, self.now), slot, self.now)
        return withOriginator(asdu, slot)

    def wait(self, seconds: float) -> None:
        """Time passes."""
        end = self.now + seconds
        while self.requests.deadline <= end:
            self.now = max(self.now, self.requests.deadline)
            self.requests.wake(self.now)
            assert self.requests.deadline > self.now, "busy loop"
        self.now = end

    def answer(self, asdu: bytes) -> str:
        """Whose request a mirror answers."""
        found = self.requests.answer(asdu, self.now)
        self.requests.advance()
        return found.owner if found else "nobody"

    def reading(self, asdu: bytes) -> str:
        """Whose read data answers."""
        found = self.requests.reading(asdu, self.now)
        return found.owner if found else "nobody"

    def interrogated(self, asdu: bytes) -> list[str]:
        """Whose interrogations data belongs to."""
        return [found.owner for found in self.requests.interrogations(asdu, self.now)]

    def prove(self) -> None:
        """Let the table learn that the RTU echoes."""
        for number in range(ECHO_PROOF):
            asked = self.ask(A, request(address=9000 + number, content=b"\x81"))
            assert self.answer(answer(asked)) == A


def foreign(asdu: bytes, originator: int = 0) -> bytes:
    """The ASDU with an originator address of the RTU's making."""
    return withOriginator(asdu, originator)


def test_R07_answersWithoutOriginator() -> None:
    """With originator address 0 in every reply the point tells whose it is."""
    table = Table()
    one, two = table.ask(A, request(address=1)), table.ask(B, request(address=2))
    assert table.answer(foreign(answer(two))) == B
    assert table.answer(foreign(answer(one))) == A
    assert table.answer(foreign(answer(one, TERM))) == A
    assert table.answer(foreign(answer(two, TERM))) == B
    assert len(table.requests) == 0


def test_R08_constantForeignOriginator() -> None:
    """A constant originator address of the RTU's own changes nothing, and is never believed."""
    table = Table()
    for number in range(10):
        one = table.ask(A, request(address=number))
        two = table.ask(B, request(46, address=number))
        assert table.answer(foreign(answer(two), 77)) == B
        assert table.answer(foreign(answer(one), 77)) == A
    assert not table.requests.mirrorEcho.known


@pytest.mark.parametrize(
    "change", [{"typeId": 46}, {"address": 101}, {"station": 33}], ids=["type", "object", "station"]
)
def test_keyIsTypeStationAndObject(change: dict[str, Any]) -> None:
    """An answer about another point, station or type belongs to nobody."""
    table = Table()
    table.ask(A, request())
    assert table.answer(answer(request(**change))) == "nobody"
    assert len(table.requests) == 1


def test_selectAndExecuteAreTold() -> None:
    """S/E of an answer must be that of the request."""
    table = Table()
    table.ask(A, request(content=b"\x81"))
    table.ask(B, request(content=b"\x01"))
    assert table.answer(answer(request(content=b"\x01"))) == B
    assert table.answer(answer(request(content=b"\x81"))) == A


def test_R10_refusalsNeedNoQualifier() -> None:
    """Causes 44-47 are known by type and addresses, whatever the RTU leaves in the object."""
    for cause in (44, 45, 46, 47):
        table = Table()
        table.ask(A, request(content=b"\x81"))
        assert table.answer(answer(request(content=b"\x00"), cause, negative=True)) == A
        assert len(table.requests) == 0


def test_phases() -> None:
    """Each answer has its time: nothing is confirmed twice, a refusal comes before the rest."""
    table = Table()
    asked = table.ask(A, request())
    assert table.answer(answer(asked, DECON)) == "nobody"
    assert table.answer(answer(asked)) == A
    assert table.answer(answer(asked)) == "nobody"
    assert table.answer(answer(asked, 47, negative=True)) == "nobody"
    assert table.answer(answer(asked, TERM)) == A
    assert table.answer(answer(asked, TERM)) == "nobody"


def test_R09_negativeConfirmationEndsIt() -> None:
    """After a negative confirmation no termination is expected."""
    table = Table()
    asked = table.ask(A, request())
    assert table.answer(answer(asked, negative=True)) == A
    assert len(table.requests) == 0


def test_terminationWithoutConfirmation() -> None:
    """Some RTUs never confirm; but one that was confirmed comes first."""
    table = Table()
    one, two = table.ask(A, request()), table.ask(B, request())
    assert table.answer(foreign(answer(one))) == A
    assert table.answer(foreign(answer(two, TERM))) == A
    assert table.answer(foreign(answer(two, TERM))) == B


def test_deactivation() -> None:
    """A confirmed deactivation ends itself and what it deactivated; a negative one only itself."""
    for negative, left in ((False, 0), (True, 1)):
        table = Table()
        asked = table.ask(A, interrogation())
        assert table.answer(answer(asked)) == A
        stop = table.ask(A, interrogation(cause=Cause.DEACTIVATION))
        assert table.answer(answer(stop, DECON, negative)) == A
        assert len(table.requests) == left


def test_ambiguousAnswersGoToTheOldest() -> None:
    """Equal requests are answered first come, first served, and this is counted."""
    table = Table()
    asked = [table.ask(owner, request(104, 0)) for owner in (A, B)]
    assert [table.answer(foreign(answer(one))) for one in asked] == [A, B]
    assert table.requests.ambiguous == 1


def test_valueDecidesBetweenCandidates() -> None:
    """Where several requests could be meant, the value tells them apart; a time tag does not."""
    table = Table()
    on, off = bytes((1, *range(7))), bytes((0, *range(7)))
    table.ask(A, request(58, content=on))
    table.ask(B, request(58, content=off))
    assert table.answer(answer(request(58, content=bytes((0, *range(1, 8)))))) == B
    assert table.answer(answer(request(58, content=bytes((1, *range(1, 8)))))) == A
    assert table.requests.ambiguous == 0


def test_valueIsNoKey() -> None:
    """An RTU that mirrors another value (its own clock, say) is understood all the same."""
    table = Table()
    table.ask(A, request(103, 0))
    assert table.answer(answer(request(103, 0, bytes(range(7))))) == A
    table.ask(A, request(48, content=bytes((1, 2, 0))))
    assert table.answer(answer(request(48, content=bytes((2, 2, 0))))) == A


def test_R17_testCounterDecides() -> None:
    """107 of two masters: each gets the answer with its own counter, whatever the time in it."""
    table = Table()
    for owner, counter in ((A, 1), (B, 2)):
        table.ask(owner, request(107, 0, bytes((counter, 0, *bytes(7)))))
    assert table.answer(answer(request(107, 0, bytes((2, 0, *bytes(range(7))))))) == B
    assert table.answer(answer(request(107, 0, bytes((1, 0, *bytes(range(7))))))) == A


@pytest.mark.parametrize("odd", [0, 20, 30])
def test_R13_terminationWithOddQualifier(odd: int) -> None:
    """An interrogation's termination with another QOI than was asked for still finds it."""
    table = Table()
    assert table.answer(answer(table.ask(A, interrogation(25)))) == A
    assert table.answer(foreign(answer(interrogation(odd), TERM))) == A


@pytest.mark.parametrize("echoed", [True, False])
def test_qualifierTellsInterrogationsApart(echoed: bool) -> None:
    """Of several interrogations of a station, even of one master, the QOI tells which is meant."""
    table = Table(OriginatorEcho.YES if echoed else OriginatorEcho.NO)
    one, two = table.ask(A, interrogation(20)), table.ask(A, interrogation(21))
    for asked in (one, two):
        assert table.answer(answer(asked)) == A
    assert table.answer(answer(two, TERM)) == A
    assert table.interrogated(data(5, 20)) == [A]
    assert table.interrogated(data(5, 21)) == []


def test_echoIsLearned() -> None:
    """After some answers with the right originator address the RTU is believed to echo it."""
    table = Table()
    table.ask(A, request())
    assert table.answer(answer(table.ask(B, request()))) == A
    table.answer(answer(request()))
    table.prove()
    assert table.requests.mirrorEcho.known
    table.ask(A, request())
    two = table.ask(B, request())
    assert table.answer(answer(two)) == B


def test_echoIsUnlearned() -> None:
    """One answer with a wrong originator address ends the belief; it reaches nobody itself."""
    table = Table()
    table.prove()
    asked = table.ask(A, request())
    assert table.answer(foreign(answer(asked), 200)) == "nobody"
    assert not table.requests.mirrorEcho.known
    assert table.answer(foreign(answer(asked), 200)) == A


def test_zeroIsNoWrongEcho() -> None:
    """An answer with originator address 0 goes by its key even at an RTU that echoes."""
    table = Table()
    table.prove()
    asked = table.ask(A, request())
    assert table.answer(foreign(answer(asked))) == A


@pytest.mark.parametrize("told", [OriginatorEcho.YES, OriginatorEcho.NO])
def test_echoIsTold(told: OriginatorEcho) -> None:
    """What is configured about the echo is not unlearned."""
    table = Table(told)
    table.ask(A, request())
    two = table.ask(B, request())
    expected = B if told is OriginatorEcho.YES else A
    assert table.answer(answer(two)) == expected
    for originator in (0, 77, 99):
        table.answer(foreign(answer(table.ask(A, request(address=5))), originator))
    assert table.requests.mirrorEcho.known == (told is OriginatorEcho.YES)


def test_noEchoWithoutSlots() -> None:
    """With oa_mode fixed or keep the originator address tells nothing, whatever is configured."""
    for mode in (OriginatorMode("fixed", 5), OriginatorMode("keep")):
        table = Table(OriginatorEcho.YES, originatorMode=mode)
        for _ in range(5):
            assert table.answer(answer(table.ask(A, request()))) == A
            table.answer(answer(request(), TERM))
        assert not table.requests.mirrorEcho.known


def test_R22_lateAnswerFindsItsOwner() -> None:
    """A request that was not answered in time is remembered for a minute."""
    table = Table()
    asked = table.ask(A, request())
    table.wait(10 + TOMBSTONE - 1)
    assert table.answer(foreign(answer(asked))) == A
    table.wait(2)
    assert table.answer(foreign(answer(asked))) == "nobody"
    assert len(table.requests) == 0
    assert table.requests.deadline == inf


def test_R22_freshRequestComesBeforeATombstone() -> None:
    """Who asks the same again is answered first; the late answer still finds the first asker."""
    table = Table()
    late = table.ask(A, request())
    table.wait(11)
    table.ask(B, request())
    assert table.answer(foreign(answer(late))) == B
    assert table.answer(foreign(answer(late))) == A


def test_R22_lateAnswerWithAnotherValueIsTheTombstones() -> None:
    """A late answer that shows the value only the overdue request had is not another master's."""
    table = Table()
    late = table.ask(A, request(content=b"\x01"))
    table.wait(11)
    fresh = table.ask(B, request(content=b"\x00"))
    assert table.answer(foreign(answer(late))) == A
    assert table.answer(foreign(answer(fresh))) == B


def test_R22_lateAnswerWithEchoIsNobodyElses() -> None:
    """At an RTU that echoes, an answer under a slot without such a request reaches nobody."""
    table = Table()
    table.prove()
    table.ask(B, request())
    assert table.answer(answer(foreign(request(), SLOTS[A]))) == "nobody"


def test_deadlines() -> None:
    """Confirmation, termination, read, clock and interrogation have their times."""
    times: list[tuple[bytes, float, bool]] = [
        (request(), 10, False),
        (request(), 30, True),
        (read(5), 10, False),
        (request(103, 0), 30, False),
        (interrogation(), INTERROGATION_TIME, True),
        (request(101, 0), INTERROGATION_TIME, True),
    ]
    for asdu, seconds, confirmed in times:
        table = Table()
        asked = table.ask(A, asdu)
        if confirmed:
            table.answer(answer(asked))
        (kept,) = table.requests._byOwner[A]
        table.wait(seconds - 0.1)
        assert not kept.expired, asdu
        table.wait(0.2)
        assert kept.expired, asdu


def test_interrogationProgresses() -> None:
    """Data keeps an interrogation alive; without any for a minute it is over."""
    table = Table()
    assert table.answer(answer(table.ask(A, interrogation()))) == A
    for _ in range(10):
        table.wait(INTERROGATION_TIME - 1)
        assert table.interrogated(data(5, 20)) == [A]
    table.wait(INTERROGATION_TIME + 1)
    assert table.interrogated(data(5, 20)) == []
    assert table.answer(answer(interrogation(), TERM)) == A


def test_R11_interrogatedData() -> None:
    """Data belongs to every running interrogation of its station with its QOI."""
    table = Table()
    for owner, asdu in ((A, interrogation()), (B, interrogation()), (A, interrogation(25))):
        table.ask(owner, asdu)
    assert table.interrogated(data(5, 20)) == [A, B]
    assert table.interrogated(data(5, 25)) == [A]
    assert table.interrogated(data(5, 21)) == []
    assert table.interrogated(data(5, 20, station=33)) == []


def test_R15_reading() -> None:
    """Data with cause 5 belongs to who reads the point, also inside a block; it ends the read."""
    table = Table()
    table.ask(A, read(1005))
    block = buildAsdu(1, 5, 32, (1000).to_bytes(3, "little") + bytes(10), count=10, sequence=True)
    assert table.reading(data(1004, 5)) == "nobody"
    assert table.reading(block) == A
    table.ask(B, read(1005))
    assert table.reading(block) == B


def test_R15_extraConfirmationsOfARead() -> None:
    """Confirmations around the data of a read, as some stacks send them, find the reader."""
    table = Table()
    asked = table.ask(A, read(5))
    assert table.answer(answer(asked)) == A
    assert table.reading(data(5, 5)) == A
    assert table.answer(answer(asked)) == A
    table.wait(TOMBSTONE + 1)
    assert table.answer(answer(asked)) == "nobody"
    assert len(table.requests) == 0


def test_readersOfOnePoint() -> None:
    """Two readers of a point: by the echoed originator address, else in their order."""
    table = Table()
    for owner in (A, B):
        table.ask(owner, read(5))
    assert [table.reading(data(5, 5)) for _ in range(2)] == [A, B]
    table = Table(OriginatorEcho.YES)
    for owner in (A, B):
        table.ask(owner, read(5))
    answers = [data(5, 5, originator=SLOTS[owner]) for owner in (B, A)]
    assert [table.reading(one) for one in answers] == [B, A]


@pytest.mark.parametrize("more", [0, REQUESTS_MAX])
def test_anAnswerCountsBeforeWhatComesThen(more: int) -> None:
    """What was answered is confirmed, also when its time is up before that was registered, or so
    many other requests come that the oldest is given up."""
    ended: list[tuple[int, Outcome]] = []
    table = Table()
    table.requests = Requests(
        GroupOptions(), lambda one, outcome: ended.append((one.objectAddress, outcome))
    )
    asked = table.ask(A, request(105, 0))
    assert table.requests.answer(answer(asked), table.now) is not None
    for number in range(more):
        table.ask(A, request(address=number + 1))
    table.wait(1000)
    assert ended[0] == (0, Outcome.CONFIRMED)
    assert [outcome for _, outcome in ended[1:]] == [Outcome.TIMED_OUT] * more


def test_echoOfDataIsLearnedApart() -> None:
    """An RTU that echoes in mirrors only is believed for mirrors only."""
    table = Table()
    for number in range(5):
        table.ask(A, read(number))
        assert table.reading(data(number, 5)) == A
        assert table.answer(answer(table.ask(A, request(address=number)))) == A
    assert table.requests.mirrorEcho.known
    assert not table.requests.dataEcho.known


BROADCAST_PATTERNS: dict[str, list[tuple[int, int]]] = {
    "blocks": [(1, CON), (1, 20), (1, TERM), (2, CON), (2, 20), (2, TERM)],
    "confirmed first": [(1, CON), (2, CON), (1, 20), (2, 20), (1, TERM), (2, TERM)],
    "as one": [(BROADCAST, CON), (1, 20), (2, 20), (BROADCAST, TERM)],
}


@pytest.mark.parametrize("pattern", BROADCAST_PATTERNS)
def test_R21_broadcast(pattern: str) -> None:
    """An interrogation of all stations is answered in one of three ways; each is understood."""
    table = Table()
    table.ask(A, interrogation(station=BROADCAST))
    for station, cause in BROADCAST_PATTERNS[pattern]:
        if cause == 20:
            assert table.interrogated(data(5, 20, station=station)) == [A]
        else:
            assert table.answer(answer(interrogation(station=station), cause)) == A
        table.wait(1)
    table.wait(BROADCAST_TIME)
    assert len(table.requests) == 0


def test_R21_broadcastWaitsForWhoConfirmed() -> None:
    """As long as a station that answered is not done, further stations may answer."""
    table = Table()
    table.ask(A, interrogation(station=BROADCAST))
    assert table.answer(answer(interrogation(station=1))) == A
    table.wait(INTERROGATION_TIME - 1)
    assert table.answer(answer(interrogation(station=2))) == A
    assert table.answer(answer(interrogation(station=1), TERM)) == A
    assert table.answer(answer(interrogation(station=3), 47, negative=True)) == A
    table.wait(2 * BROADCAST_TIME)
    assert table.answer(answer(interrogation(station=2), TERM)) == A
    table.wait(BROADCAST_TIME + 1)
    assert len(table.requests) == 0


def test_R21_broadcastClock() -> None:
    """Each station confirms a broadcast clock once; no termination is waited for."""
    table = Table()
    table.ask(A, request(103, 0, station=BROADCAST))
    for station in (1, 2, 3):
        assert table.answer(answer(request(103, 0, station=station))) == A
    table.wait(BROADCAST_TIME + 1)
    assert len(table.requests) == 0


def directoryAnswer(last: bool) -> bytes:
    """A directory of one file."""
    objects = (7).to_bytes(3, "little") + bytes((1, 0, 9, 0, 0, 0x20 if last else 0, *bytes(7)))
    return buildAsdu(126, 5, 32, objects)


def test_R19_directory() -> None:
    """A directory belongs to who called it; its last file ends the call."""
    table = Table()
    call: Callable[[], bytes] = lambda: request(122, 0, bytes(4), cause=5)  # noqa: E731  # a line says it
    table.ask(A, call())
    for last in (False, True):
        found = table.requests.directory(directoryAnswer(last), table.now)
        assert found is not None and found.owner == A
    table.ask(B, call())
    found = table.requests.directory(directoryAnswer(True), table.now)
    assert found is not None and found.owner == B


def test_voidForgetsEverything() -> None:
    """When the RTU's connection is gone no answer will come."""
    table = Table()
    asked = table.ask(A, request())
    table.ask(A, request(122, 7, bytes((1, 0, 0, 1)), cause=13))
    table.requests.void()
    assert len(table.requests) == 0
    assert table.requests.deadline == inf
    assert table.answer(answer(asked)) == "nobody"


def test_R20_privateTypes() -> None:
    """Private types are matched by type and addresses, and remembered for further answers."""
    table = Table()
    asked = table.ask(A, request(200, content=b"xyz"))
    for cause in (7, 5, 10, 44, 55):
        assert table.answer(foreign(answer(asked, cause))) in (A, "nobody")
    assert table.answer(foreign(data(9, 7, 200))) == "nobody"


@pytest.mark.parametrize("size", range(9))
def test_shortAnswersAreNobodys(size: int) -> None:
    """An ASDU that is cut off after its header belongs to nobody and does no harm."""
    table = Table()
    for asdu in (request(), interrogation(), read(5), request(122, 0, bytes(4), cause=5)):
        table.ask(A, asdu)
    for asdu in (request(), interrogation()):
        assert table.answer(answer(asdu)[:size].ljust(6, b"\0")) == "nobody"
    assert table.reading(data(5, 5)[: max(size, 6)]) == "nobody"
    table.requests.directory(directoryAnswer(True)[: max(size, 6)], 0)


def test_memoryIsBoundedPerMaster() -> None:
    """Beyond a thousand open requests of one master its oldest are forgotten."""
    table = Table()
    for number in range(REQUESTS_MAX + 100):
        table.ask(A, request(address=number))
    table.ask(B, request(address=1))
    assert len(table.requests) == REQUESTS_MAX + 1
    assert table.answer(answer(request(address=99))) == "nobody"
    assert table.answer(answer(request(address=100))) == A


def test_memoryIsBoundedAtSpeed() -> None:
    """However many requests are asked and answered within their deadlines, none is kept."""
    table = Table()
    for number in range(5000):
        asked = table.ask(A, request(address=number % 50, content=b"\x81"))
        assert table.answer(answer(asked)) == A
    assert len(table.requests) == 0
    assert len(table.requests._expiry) <= 512


class RequestsMachine(RuleBasedStateMachine):
    """Random requests, answers and time: tables stay consistent and get empty in the end."""

    def __init__(self) -> None:
        super().__init__()
        self.table = Table()
        self.asked: list[tuple[str, bytes]] = []

    @rule(
        owner=st.sampled_from([A, B, "C"]),
        typeId=st.sampled_from([45, 58, 100, 101, 102, 103, 105, 107, 113, 122, 200]),
        address=st.integers(0, 2),
        first=st.sampled_from([0, 1, 20, 25, 0x81]),
        station=st.sampled_from([1, 2, BROADCAST]),
        cause=st.sampled_from([5, 6, 6, 8, 13]),
    )
    def ask(
        self, owner: str, typeId: int, address: int, first: int, station: int, cause: int
    ) -> None:
        content = request(typeId)[9:]
        content = bytes((first,)) + content[1:] if content else content
        asdu = request(typeId, address, content, cause=cause, station=station)
        self.asked.append((owner, self.table.ask(owner, asdu)))

    @rule(
        which=st.integers(0, 200),
        cause=st.sampled_from([5, 7, 7, 7, 9, 10, 10, 44, 47, 13]),
        negative=st.booleans(),
        originator=st.sampled_from([None, 0, 77, 1]),
        station=st.sampled_from([None, 1, 3, BROADCAST]),
    )
    def answer(
        self, which: int, cause: int, negative: bool, originator: int | None, station: int | None
    ) -> None:
        if not self.asked:
            return
        _, asdu = self.asked[which % len(self.asked)]
        reply = answer(asdu, cause, negative)
        if originator is not None:
            reply = foreign(reply, originator)
        if station is not None:
            reply = reply[:4] + station.to_bytes(2, "little") + reply[6:]
        found = self.table.requests.answer(reply, self.table.now)
        if found is not None:
            assert (found.typeId, found.objectAddress) == (
                reply[0],
                int.from_bytes(reply[6:9], "little"),
            )
            key = (found.owner, reply[0], reply[6:9])
            assert key in {(owner, one[0], one[6:9]) for owner, one in self.asked}

    @rule(address=st.integers(0, 2), cause=st.sampled_from([5, 20, 25]))
    def show(self, address: int, cause: int) -> None:
        asdu = data(address, cause, station=1)
        if cause == 5:
            self.table.requests.reading(asdu, self.table.now)
        else:
            self.table.requests.interrogations(asdu, self.table.now)

    @rule(seconds=st.sampled_from([0.0, 0.5, 5.0, 31.0]))
    def wait(self, seconds: float) -> None:
        self.table.wait(seconds)

    @rule()
    def lose(self) -> None:
        self.table.requests.void()
        self.asked.clear()

    @invariant()
    def tablesAgree(self) -> None:
        requests = self.table.requests
        indexed = [
            kept
            for stations in requests._index.values()
            for some in stations.values()
            for kept in some
        ]
        owned = [kept for some in requests._byOwner.values() for kept in some]
        assert len(indexed) == len(set(indexed)) == len(owned) == len(requests)
        assert set(indexed) == set(owned)
        assert all(requests._byOwner.values())
        waiting = {entry[2] for entry in requests._expiry}
        assert set(owned) <= waiting, "something would never be forgotten"
        assert requests.slots == {kept.slot for kept in owned}

    def teardown(self) -> None:
        self.table.wait(1000)
        assert len(self.table.requests) == 0
        assert not self.table.requests._index
        assert self.table.requests.deadline == inf


TestRequestsMachine: Any = RequestsMachine.TestCase
TestRequestsMachine.settings = settings(stateful_step_count=40)
