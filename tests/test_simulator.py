"""The built-in RTU: its station under virtual time, its event buffer, and its connections."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from random import Random
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from mm2ss.config.parameters import LinkParameters
from mm2ss.iec104.apci import CloseCause, ProtocolError
from mm2ss.iec104.asdu import BROADCAST, Cause, header, objectAddresses
from mm2ss.iec104.bitfields import Element
from mm2ss.iec104.elements import (
    BCR,
    BSI,
    DCO,
    DIQ,
    FBP,
    NVA,
    QCC,
    QOI,
    QOS,
    QRP,
    R32,
    RCO,
    SCO,
    SVA,
    TSC,
    VTI,
    CP56Time2a,
    InformationObject,
    decode,
    encode,
)
from mm2ss.iec104.layouts import ELEMENTS
from mm2ss.iec104.link import State
from mm2ss.simulator.builtin import demoGroups, demoHost, demoPort, demoRtu
from mm2ss.simulator.master import ANSWER_TIME, DemoMaster, NotConnected, Refused, Unanswered
from mm2ss.simulator.outbox import Outbox
from mm2ss.simulator.plant import COMMON_ADDRESS, plantPoints
from mm2ss.simulator.points import Control, Kind, Point, Points, packed, plainObject
from mm2ss.simulator.process import Process
from mm2ss.simulator.rtu import PORT_RETRY, SimulatedRtu
from mm2ss.simulator.station import Station
from mm2ss.simulator.tour import (
    lookAround,
    operateBreaker,
    readCounters,
    setVoltage,
    switchLighting,
)
from mm2ss.simulator.voice import Echo
from mm2ss.simulator.words import causeWord, objectWords
from tests.fakes import FakeReactor
from tests.peers import FakeMaster

CA = 7
MORNING = datetime(2026, 3, 4, 8, 0, 0)
TIME = CP56Time2a.fromDatetime(datetime(2026, 3, 4, 9, 30, 0))


def makePoints() -> Points:
    """A few points of each kind; 10-12 follow each other, 20 stands alone."""
    return Points(
        (
            Point(10, Kind.SINGLE, "one", group=1),
            Point(11, Kind.SINGLE, "two", value=1, group=1),
            Point(12, Kind.SINGLE, "three", group=2),
            Point(20, Kind.SINGLE, "alone", group=2),
            Point(30, Kind.DOUBLE, "breaker", value=2, group=3),
            Point(40, Kind.STEP, "tap", value=5, low=1, high=6),
            Point(45, Kind.BITSTRING, "bits", value=3),
            Point(50, Kind.NORMALIZED, "ratio", value=0.5, low=-1),
            Point(51, Kind.SCALED, "current", value=100, high=200),
            Point(52, Kind.FLOAT, "voltage", value=110, high=200),
            Point(53, Kind.FLOAT, "frequency", value=50, cyclic=True, activity=5),
            Point(60, Kind.COUNTER, "energy", value=1000, group=1),
            Point(61, Kind.COUNTER, "water", value=20, group=2),
        ),
        (
            Control(110, Kind.SINGLE, 10),
            Control(111, Kind.SINGLE, 11, mustSelect=True),
            Control(130, Kind.DOUBLE, 30, mustSelect=True, runTime=0.5),
            Control(140, Kind.STEP, 40),
            Control(145, Kind.BITSTRING, 45),
            Control(150, Kind.NORMALIZED, 50),
            Control(151, Kind.SCALED, 51),
            Control(152, Kind.FLOAT, 52),
        ),
    )


def request(
    typeId: int, address: int, *elements: Element, cause: int = Cause.ACTIVATION, **header: Any
) -> bytes:
    """A request for the station."""
    ca = header.pop("ca", CA)
    return encode(typeId, cause, ca, [InformationObject(address, elements)], **header)


def single(on: bool = True, se: bool = False, address: int = 110, **header: Any) -> bytes:
    """A single command."""
    return request(45, address, SCO(scs=on, se=se), **header)


def double(on: bool, se: bool = False, **header: Any) -> bytes:
    """A double command to 130, which must be selected and takes half a second."""
    return request(46, 130, DCO(dcs=2 if on else 1, se=se), **header)


def interrogation(qoi: int = 20, **header: Any) -> bytes:
    """An interrogation command."""
    return request(100, 0, QOI(qoi), **header)


def counters(rqt: int = 5, frz: int = 0, **header: Any) -> bytes:
    """A counter interrogation command."""
    return request(101, 0, QCC(rqt=rqt, frz=frz), **header)


class Desk:
    """A station and what one sees of it; `now` is moved by the test."""

    def __init__(self, echo: Echo = "all") -> None:
        self.now = 100.0
        self.resets = 0
        self.points = makePoints()
        self.station = Station(
            self.points, self.now, MORNING, CA, echo, 30, resetEvents=self._reset
        )

    def _reset(self) -> None:
        self.resets += 1

    def ask(self, *asdus: bytes) -> list[bytes]:
        return [answer for asdu in asdus for answer in self.station.receive(asdu, self.now)]

    def brief(self, *asdus: bytes) -> list[str]:
        """The answers as ``45 con``, ``45 con-`` (negative), ``30 11 IOA 10``."""
        return [brief(answer) for answer in self.ask(*asdus)]

    def value(self, address: int) -> float:
        point = self.points.get(address)
        assert point is not None
        return point.value


WORDS = {7: "con", 9: "deact con", 10: "term"}


def brief(asdu: bytes) -> str:
    """An ASDU in a word or two."""
    head = header(asdu)
    text = f"{head.typeId} {WORDS.get(head.cause, head.cause)}" + ("-" if head.negative else "")
    if head.cause in WORDS or head.cause >= 44:
        return text
    addresses = objectAddresses(asdu)
    return f"{text} IOA {addresses[0]}" + (f"-{addresses[-1]}" if head.sequence else "")


@pytest.fixture
def desk() -> Desk:
    """A station that returns originator addresses everywhere."""
    return Desk()


# -- interrogation and system commands ----------------------------------------------------------


def test_general_interrogation(desk: Desk) -> None:
    """Confirmation, every point once without a time, termination."""
    answers = desk.ask(interrogation())
    assert [brief(answer) for answer in answers] == [
        "100 con",
        "1 20 IOA 10-12",  # consecutive addresses: a sequence
        "1 20 IOA 20",
        "3 20 IOA 30",
        "5 20 IOA 40",
        "7 20 IOA 45",
        "9 20 IOA 50",
        "11 20 IOA 51",
        "13 20 IOA 52-53",
        "100 term",
    ]
    items = [item for answer in answers[1:-1] for item in decode(answer)]
    assert [item.address for item in items] == [10, 11, 12, 20, 30, 40, 45, 50, 51, 52, 53]
    assert [item.value for item in items] == [False, True, False, False, 2, 5, 3, 0.5, 100, 110, 50]
    assert all(item.time is None for item in items)


def test_group_interrogation(desk: Desk) -> None:
    """A group's data have the group's cause; an empty group has none; QOI 5 is refused."""
    assert desk.brief(interrogation(21)) == ["100 con", "1 21 IOA 10-11", "100 term"]
    assert desk.brief(interrogation(22)) == ["100 con", "1 22 IOA 12", "100 term"]
    assert desk.brief(interrogation(36)) == ["100 con", "100 term"]
    assert desk.brief(interrogation(5)) == ["100 con-"]
    assert desk.brief(interrogation(cause=8)) == ["100 deact con-"]


def test_large_interrogation() -> None:
    """What does not fit one ASDU comes in several, in order."""
    points = [Point(address, Kind.SINGLE, "") for address in range(1, 301)]
    packs = packed(Kind.SINGLE, [plainObject(point) for point in points])
    assert [len(objects) for _, objects, _ in packs] == [127, 127, 46]
    points = [Point(2 * n, Kind.FLOAT, "") for n in range(1, 101)]
    packs = packed(Kind.FLOAT, [plainObject(point) for point in points])
    assert [(len(objects), sequence) for _, objects, sequence in packs] == [
        (30, False),
        (30, False),
        (30, False),
        (10, False),
    ]


def test_counters(desk: Desk) -> None:
    """Freeze and reset answer without data; a read gives what was frozen last."""
    assert desk.brief(counters()) == ["101 con", "15 37 IOA 60-61", "101 term"]
    assert desk.brief(counters(frz=1)) == ["101 con", "101 term"]
    desk.station.change(60, 1500, desk.now)
    (_, data, _) = desk.ask(counters(rqt=1))
    assert brief(data) == "15 38 IOA 60"
    assert decode(data)[0].find(BCR) == BCR(counter=1000, sq=1)
    desk.ask(counters(rqt=1, frz=2))
    assert (desk.value(60), desk.value(61)) == (0, 20)
    assert decode(desk.ask(counters(rqt=1))[1])[0].find(BCR) == BCR(counter=1500, sq=2)
    desk.ask(counters(rqt=5, frz=3))
    assert desk.value(61) == 0
    assert desk.brief(counters(rqt=0)) == ["101 con-"]
    assert desk.brief(counters(rqt=6)) == ["101 con-"]
    assert desk.brief(counters(cause=8)) == ["101 deact con-"]
    assert desk.brief(counters(rqt=3)) == ["101 con", "101 term"]


def test_read(desk: Desk) -> None:
    """A read is answered with the point, or with 47; counters cannot be read."""
    assert desk.brief(request(102, 30, cause=5)) == ["3 5 IOA 30"]
    assert desk.brief(request(102, 99, cause=5)) == ["102 47-"]
    assert desk.brief(request(102, 60, cause=5)) == ["102 47-"]


def test_clock(desk: Desk) -> None:
    """The confirmation echoes the time; events then carry the new time, moved on."""
    (event,) = desk.station.change(10, 1, desk.now)
    assert str(decode(event)[0].time) == "2026-03-04 08:00:00.000"
    asked = request(103, 0, TIME)
    assert desk.ask(asked) == [request(103, 0, TIME, cause=7)]
    (event,) = desk.station.change(10, 0, desk.now + 2.5)
    assert str(decode(event)[0].time) == "2026-03-04 09:30:02.500"
    assert desk.brief(request(103, 0, CP56Time2a(month=13))) == ["103 con-"]


def test_test_and_reset_commands(desk: Desk) -> None:
    """Test commands come back; a general reset ends in end of initialization."""
    assert desk.brief(request(104, 0, FBP(0x55AA)), request(107, 0, TSC(9), TIME)) == [
        "104 con",
        "107 con",
    ]
    assert desk.brief(request(105, 0, QRP(1))) == ["105 con", "70 4 IOA 0"]
    assert desk.resets == 0
    assert desk.brief(request(105, 0, QRP(2))) == ["105 con"]
    assert desk.resets == 1
    assert desk.brief(request(105, 0, QRP(9))) == ["105 con-"]


def test_power_on_is_told_once(desk: Desk) -> None:
    """The first who starts data transfer hears of the initialization, with COI 0."""
    assert [brief(asdu) for asdu in desk.station.started()] == ["70 4 IOA 0"]
    assert desk.station.started() == []


def test_refusals(desk: Desk) -> None:
    """What is not for this station comes back negative, otherwise unchanged."""
    assert desk.brief(request(110, 0, *decodeElements(110))) == ["110 44-"]
    assert desk.brief(single(cause=3)) == ["45 45-"]
    assert desk.ask(single(ca=8, originator=3)) == [
        single(ca=8, originator=3, cause=46, negative=True)
    ]
    assert desk.brief(single(ca=BROADCAST)) == ["45 46-"]
    assert desk.brief(single(address=999)) == ["45 47-"]
    assert desk.brief(request(46, 110, DCO(dcs=1))) == ["46 47-"]
    assert desk.brief(request(100, 5, QOI(20))) == ["100 47-"]


def decodeElements(typeId: int) -> tuple[Element, ...]:
    """Some elements of a type."""
    return tuple(kind() for kind in ELEMENTS[typeId])


def test_broadcast(desk: Desk) -> None:
    """What goes to all stations is answered with the station's own address."""
    answers = desk.ask(interrogation(ca=BROADCAST))
    assert {header(answer).commonAddress for answer in answers} == {CA}


@pytest.mark.parametrize("asdu", [b"", b"\x2d\x01\x06\x00\x07", single()[:-1], single() + b"\0"])
def test_malformed(desk: Desk, asdu: bytes) -> None:
    """An ASDU whose length is wrong ends the connection, as with other stacks."""
    with pytest.raises(ProtocolError) as caught:
        desk.ask(asdu)
    assert caught.value.cause is CloseCause.BAD_ASDU


# -- commands -----------------------------------------------------------------------------------


@pytest.mark.parametrize("timed", [False, True])
@pytest.mark.parametrize(
    ("typeId", "address", "elements", "target", "expected", "told"),
    [
        (45, 110, (SCO(scs=True),), 10, 1, "30 11 IOA 10"),
        (47, 140, (RCO(rcs=2),), 40, 6, "32 11 IOA 40"),
        (47, 140, (RCO(rcs=1),), 40, 4, "32 11 IOA 40"),
        (48, 150, (NVA.of(-0.25), QOS()), 50, -0.25, "34 3 IOA 50"),
        (49, 151, (SVA(77), QOS()), 51, 77, "35 3 IOA 51"),
        (50, 152, (R32.of(0.5), QOS()), 52, 0.5, "36 3 IOA 52"),
        (51, 145, (BSI(0xF0F0F0F0),), 45, 0xF0F0F0F0, "33 3 IOA 45"),
    ],
)
def test_direct_commands(
    desk: Desk,
    typeId: int,
    address: int,
    elements: tuple[Element, ...],
    target: int,
    expected: float,
    told: str,
    timed: bool,
) -> None:
    """Confirmation, the point's new state (COT 11 where its type may have it), termination."""
    if timed:
        typeId, elements = typeId + 13, (*elements, TIME)
    assert desk.brief(request(typeId, address, *elements)) == [
        f"{typeId} con",
        told,
        f"{typeId} term",
    ]
    assert desk.value(target) == expected


@pytest.mark.parametrize(
    "command",
    [
        request(46, 130, DCO(dcs=0, se=True)),
        request(46, 130, DCO(dcs=3, se=True)),
        request(47, 140, RCO(rcs=3)),
        request(49, 151, SVA(201), QOS()),
        request(50, 152, R32.of(-1), QOS()),
        request(50, 152, R32(0x7FC00000), QOS()),
    ],
)
def test_impossible_values(desk: Desk, command: bytes) -> None:
    """A state that does not exist, or a value out of range, is refused."""
    assert [answer[-1:] for answer in desk.brief(command)] == ["-"]


def test_step_stops_at_the_end(desk: Desk) -> None:
    """The tap changer does not go beyond its last position."""
    higher = request(47, 140, RCO(rcs=2))
    assert desk.brief(higher)[0] == "47 con"
    assert desk.brief(higher) == ["47 con-"]


def test_select_before_operate(desk: Desk) -> None:
    """Select, execute, and half a second later the breaker has moved."""
    assert desk.brief(double(False, se=True)) == ["46 con"]
    assert desk.brief(double(False)) == ["46 con"]
    assert desk.station.deadline == desk.now + 0.5
    assert desk.brief(double(False, se=True)) == ["46 con-"]  # it is running
    assert desk.station.wake(desk.now + 0.25) == []
    done = desk.station.wake(desk.now + 0.5)
    assert [brief(asdu) for asdu in done] == ["31 11 IOA 30", "46 term"]
    assert decode(done[0])[0].find(DIQ) == DIQ(dpi=1)
    assert desk.station.deadline == float("inf")
    assert desk.brief(double(False)) == ["46 con-"]  # a select serves once


def test_execute_without_select(desk: Desk) -> None:
    """A control that must be selected refuses, and nothing moves."""
    assert desk.brief(double(False)) == ["46 con-"]
    assert desk.value(30) == 2


def test_select_expires(desk: Desk) -> None:
    """After the select timeout the execute is refused."""
    desk.ask(double(False, se=True))
    desk.now += 29.75
    assert desk.station._commands.selected(130, desk.now)
    desk.now += 0.25
    assert desk.brief(double(False)) == ["46 con-"]


def test_execute_must_be_what_was_selected(desk: Desk) -> None:
    """On was selected, off is executed: refused, and the select is gone."""
    desk.ask(double(True, se=True))
    assert desk.brief(double(False)) == ["46 con-"]
    assert desk.brief(double(True)) == ["46 con-"]


def test_select_with_one_time_execute_with_another(desk: Desk) -> None:
    """The time tag is no part of what must be the same."""
    other = CP56Time2a.fromDatetime(MORNING)
    assert desk.brief(request(58, 111, SCO(scs=False, se=True), TIME)) == ["58 con"]
    assert desk.brief(request(58, 111, SCO(scs=False), other))[0] == "58 con"


def test_deactivation(desk: Desk) -> None:
    """A select can be taken back; without one there is nothing to take back."""
    assert desk.brief(double(True, cause=8)) == ["46 deact con-"]
    desk.ask(double(True, se=True))
    assert desk.brief(double(True, cause=8)) == ["46 deact con"]
    assert desk.brief(double(True)) == ["46 con-"]


def test_selects_end_with_the_connection(desk: Desk) -> None:
    """The next master cannot execute what this one has selected."""
    desk.ask(double(True, se=True))
    desk.station.stopped()
    assert desk.brief(double(True)) == ["46 con-"]


def test_test_bit(desk: Desk) -> None:
    """Commands with T are answered, with T, and do nothing."""
    answers = desk.ask(single(test=True), double(False, se=True, test=True), counters(test=True))
    assert all(header(answer).test for answer in answers)
    assert [brief(answer) for answer in answers] == [
        "45 con",
        "45 term",
        "46 con",
        "101 con",
        "15 37 IOA 60-61",
        "101 term",
    ]
    assert desk.value(10) == 0
    assert desk.brief(double(False)) == ["46 con-"]  # the select did not count
    assert desk.brief(request(103, 0, TIME, test=True)) == ["103 con"]
    assert desk.brief(request(105, 0, QRP(2), test=True)) == ["105 con"]
    desk.ask(counters(frz=2, test=True))
    assert (desk.resets, desk.value(60)) == (0, 1000)
    assert desk.station.clock.read(desk.now) == MORNING
    assert desk.brief(single(address=999, test=True)) == ["45 47-"]


@pytest.mark.parametrize(
    ("echo", "mirrors", "data", "spontaneous"),
    [
        ("all", 5, 5, 0),
        ("mirrors", 5, 0, 0),
        ("none", 0, 0, 0),
        (77, 77, 77, 77),
        ("last", 5, 5, 5),
    ],
)
def test_originator(echo: Echo, mirrors: int, data: int, spontaneous: int) -> None:
    """Each way of real RTUs to treat originator addresses."""
    desk = Desk(echo)
    con, returned, term = desk.ask(single(originator=5))
    assert (con[3], returned[3], term[3]) == (mirrors, data, mirrors)
    con, *values, term = desk.ask(interrogation(originator=5))
    assert {con[3], term[3]} == {mirrors}
    assert {value[3] for value in values} == {data}
    (refused,) = desk.ask(single(address=999, originator=5))
    assert refused[3] == mirrors
    assert [event[3] for event in desk.station.change(10, 0, desk.now)] == [spontaneous]


def test_changes(desk: Desk) -> None:
    """Spontaneous with time, periodic without, counters silently."""
    change = desk.station.change
    assert [brief(asdu) for asdu in change(30, 1, desk.now)] == ["31 3 IOA 30"]
    assert [brief(asdu) for asdu in change(52, 1, desk.now)] == ["36 3 IOA 52"]
    assert [brief(asdu) for asdu in change(53, 49.9, desk.now)] == ["13 1 IOA 53"]
    assert change(60, 1001, desk.now) == []
    with pytest.raises(KeyError):
        change(999, 1, desk.now)


@pytest.mark.parametrize(
    ("points", "controls"),
    [
        ([Point(1, Kind.SINGLE, ""), Point(1, Kind.SINGLE, "")], []),
        ([Point(0, Kind.SINGLE, "")], []),
        ([Point(1, Kind.SINGLE, "")], [Control(1, Kind.SINGLE, 1)]),
        ([Point(1, Kind.SINGLE, "")], [Control(2, Kind.DOUBLE, 1)]),
        ([], [Control(2, Kind.DOUBLE, 1)]),
    ],
)
def test_bad_points(points: list[Point], controls: list[Control]) -> None:
    """A plan that cannot be is refused."""
    with pytest.raises(ValueError, match=r"IOA|control"):
        Points(points, controls)


@pytest.mark.parametrize(("ca", "echo"), [(0, 0), (65535, 0), (1, 256), (1, -1)])
def test_bad_addresses(ca: int, echo: int) -> None:
    """Common addresses are 1-65534, originator addresses 0-255."""
    with pytest.raises(ValueError, match="address"):
        Station(makePoints(), 0, MORNING, ca, echo)


# -- the process --------------------------------------------------------------------------------


def history(seed: int) -> Iterator[tuple[float, int, float]]:
    """What happens in a minute: when, where, what."""
    points = plantPoints()
    process = Process(points, Random(seed), 0)
    while (now := process.deadline) < 60:
        for address, value in process.advance(now):
            point = points.get(address)
            assert point is not None
            point.value = value
            yield now, address, value


def test_process_is_repeatable() -> None:
    """The same seed gives the same minute, another one another."""
    assert list(history(1)) == list(history(1))
    assert list(history(1)) != list(history(2))


def test_process_stays_within_bounds() -> None:
    """Values are possible ones, and only points with activity change."""
    points = plantPoints()
    for _, address, value in history(3):
        point = points.get(address)
        assert point is not None
        assert point.activity > 0
        if point.kind not in (Kind.COUNTER, Kind.DOUBLE):
            assert point.low <= value <= point.high


def test_process_does_not_catch_up() -> None:
    """After a pause of an hour, each point changes once."""
    points = plantPoints()
    process = Process(points, Random(1), 0)
    addresses = [address for address, _ in process.advance(3600)]
    assert len(addresses) == len(set(addresses))
    assert process.deadline > 3600
    assert Process(makePoints(), Random(1), 0).deadline <= 5
    assert Process(Points([]), Random(1), 0).deadline == float("inf")


# -- what is kept -------------------------------------------------------------------------------


def event(number: int) -> bytes:
    """An event that can be told from others."""
    return encode(1, 3, CA, [InformationObject(number, decodeElements(1))])


def answer(number: int) -> bytes:
    """A reply that can be told from others."""
    return single(address=number, cause=7)


def test_outbox_resends_events_only() -> None:
    """What was not acknowledged comes first on the next connection, replies never."""
    box = Outbox()
    box.open(0)
    box.put([event(1), answer(1), event(2), answer(2), event(3)])
    assert box.take(4) == [event(1), answer(1), event(2), answer(2)]
    box.acknowledged(1)
    box.connectionLost()
    box.put([answer(3), event(4)])  # nobody is there to get a reply
    assert box.pending == [event(2), event(3), event(4)]
    box.open(0)
    assert box.take(9) == [event(2), event(3), event(4)]
    box.acknowledged(3)
    box.connectionLost()
    assert len(box) == 0


def test_outbox_counts_on_after_a_stop() -> None:
    """Data transfer that stops and starts again on a connection goes on counting frames."""
    box = Outbox()
    box.open(0)
    box.put([event(1), event(2)])
    box.take(1)
    box.acknowledged(1)
    box.close()
    box.put([event(3), answer(1)])
    box.open(1)
    assert box.take(9) == [event(2), event(3)]
    box.acknowledged(2)
    assert box.pending == [event(3)]


def test_outbox_gives_up_the_oldest() -> None:
    """A full event buffer loses its oldest events, and counts them; replies are not touched."""
    box = Outbox(eventsMax=3, answersMax=1)
    box.open(0)
    box.put([event(1), answer(1), event(2), event(3)])
    assert box.lost == 0
    box.put([event(4), event(5)])
    assert box.lost == 2
    assert not box.overrun
    assert box.take(9) == [answer(1), event(3), event(4), event(5)]
    box.put([answer(1), answer(2)])
    assert box.overrun


def test_outbox_forgets_events() -> None:
    """A reset of the buffered events leaves the replies."""
    box = Outbox()
    box.open(0)
    box.put([event(1), answer(1), event(2)])
    box.forgetEvents()
    assert box.take(9) == [answer(1)]


# -- the RTU on its port ------------------------------------------------------------------------


class Yard:
    """A simulated RTU on a fake network, and masters that connect to it."""

    def __init__(self, parameters: LinkParameters | None = None, events: int = 100) -> None:
        self.reactor = FakeReactor()
        self.station = Station(makePoints(), 0, MORNING, CA)
        self.rtu = SimulatedRtu(
            self.reactor,
            "198.51.100.1",
            2404,
            self.station,
            outbox=Outbox(events, answersMax=50),
            parameters=parameters,
        )
        self.rtu.startService()

    def master(self, address: str = "192.0.2.1", start: bool = True) -> FakeMaster:
        master = FakeMaster(self.reactor, 2404, address, "198.51.100.1")
        master.connect()
        self.reactor.run(0.1)
        if start:
            master.start()
            self.reactor.run(0.1)
        return master

    def stop(self) -> None:
        done: Deferred[Any] = self.rtu.stopService()
        self.reactor.run(3)
        assert done.called
        assert self.reactor.getDelayedCalls() == []


@pytest.fixture
def yard() -> Iterator[Yard]:
    """An RTU that listens, and that leaves nothing behind."""
    yard = Yard()
    yield yard
    yard.stop()


def test_rtu_answers(yard: Yard) -> None:
    """After STARTDT it tells of its initialization, then answers what it is asked."""
    master = yard.master()
    assert [brief(asdu) for asdu in master.received] == ["70 4 IOA 0"]
    master.send(double(False, se=True), double(False), interrogation(22))
    yard.reactor.run(1)
    assert [brief(asdu) for asdu in master.received[1:]] == [
        "46 con",
        "46 con",
        "100 con",
        "1 22 IOA 12",
        "100 term",
        "31 11 IOA 30",
        "46 term",
    ]


def test_rtu_respects_k() -> None:
    """It sends at most k frames that are not acknowledged; the rest follows in order."""
    yard = Yard(LinkParameters(k=4, w=2))
    master = yard.master()
    master.mute()
    for number in range(10):
        yard.rtu.change(51, number)
    yard.reactor.run(1)
    assert len(master.received) == 4  # end of initialization and three events
    master.mute(False)
    yard.reactor.run(30)  # its acknowledgements take t2 each
    values = [decode(asdu)[0].value for asdu in master.received[1:]]
    assert values == list(range(10))
    yard.stop()


def test_rtu_resends_events(yard: Yard) -> None:
    """Events that were sent and not acknowledged are the first on the next connection."""
    master = yard.master()
    yard.reactor.run(11)  # the end of initialization is acknowledged
    master.mute()
    yard.rtu.change(51, 1)
    master.send(single())
    yard.reactor.run(1)
    assert [brief(asdu) for asdu in master.received[1:]] == [
        "35 3 IOA 51",
        "45 con",
        "30 11 IOA 10",
        "45 term",
    ]
    master.die()
    yard.reactor.run(1)
    yard.rtu.change(51, 2)
    other = yard.master("192.0.2.2")
    assert [brief(asdu) for asdu in other.received] == [
        "35 3 IOA 51",
        "30 11 IOA 10",
        "35 3 IOA 51",
    ]
    assert [decode(other.received[n])[0].value for n in (0, 2)] == [1, 2]


def test_rtu_buffers_while_stopped(yard: Yard) -> None:
    """STOPDT: events wait for the next STARTDT, on the same connection and without repetition."""
    master = yard.master()
    yard.rtu.change(51, 1)
    yard.reactor.run(1)
    master.stop()
    yard.reactor.run(1)
    assert master.link.state is State.STOPPED
    yard.rtu.change(51, 2)
    yard.rtu.change(53, 49.9)  # periodic data does not wait
    yard.reactor.run(1)
    master.start()
    yard.reactor.run(1)
    assert [decode(asdu)[0].value for asdu in master.received[1:]] == [1, 2]


def test_second_connection(yard: Yard) -> None:
    """Another one may connect; when it starts data transfer it takes over, without a gap."""
    first = yard.master()
    second = yard.master("192.0.2.2", start=False)
    assert yard.rtu.connections == 2
    first.mute()
    yard.rtu.change(51, 1)
    yard.reactor.run(1)
    assert second.received == []
    second.start()
    yard.reactor.run(1)
    assert not first.connected
    assert [decode(asdu)[0].value for asdu in second.received] == [1]
    second.send(single())
    yard.reactor.run(1)
    assert [brief(asdu) for asdu in second.received[1:]] == ["45 con", "30 11 IOA 10", "45 term"]


def test_rtu_closes_on_malformed(yard: Yard) -> None:
    """A master that sends an impossible ASDU is disconnected; another one is not hindered."""
    master = yard.master()
    master.send(single()[:-1])
    yard.reactor.run(1)
    assert not master.connected
    assert yard.master().started


def test_rtu_closes_who_asks_and_does_not_acknowledge(yard: Yard) -> None:
    """Answers are bounded."""
    master = yard.master()
    master.mute()
    master.send(*[interrogation()] * 10)
    yard.reactor.run(1)
    assert not master.connected


def test_events_are_reset() -> None:
    """QRP 2 empties the buffer of what was not sent; what is under way is not taken back."""
    yard = Yard(LinkParameters(k=2, w=1))
    master = yard.master()
    yard.reactor.run(11)  # the end of initialization is acknowledged
    master.mute()
    for number in range(5):
        yard.rtu.change(51, number)
    master.send(request(105, 0, QRP(2)))
    yard.reactor.run(1)
    master.mute(False)
    yard.reactor.run(11)
    assert [brief(asdu) for asdu in master.received[1:]] == [
        "35 3 IOA 51",
        "35 3 IOA 51",
        "105 con",
    ]
    yard.stop()


def test_port_taken() -> None:
    """A port that is taken is tried again."""
    yard = Yard()
    second = SimulatedRtu(yard.reactor, "198.51.100.1", 2404, Station(makePoints(), 0, MORNING))
    second.startService()
    assert not second.listening
    yard.rtu.stopService()
    yard.reactor.run(PORT_RETRY)
    assert yard.reactor.listening(2404, "198.51.100.1")
    second.stopService()
    assert yard.reactor.getDelayedCalls() == []


def test_port_taken_until_the_end() -> None:
    """Nothing is left pending when it is stopped while it waits for its port."""
    yard = Yard()
    second = SimulatedRtu(yard.reactor, "198.51.100.1", 2404, Station(makePoints(), 0, MORNING))
    second.startService()
    second.stopService()
    yard.stop()


def test_full_event_buffer() -> None:
    """Nobody takes the events: the newest are kept."""
    yard = Yard(events=3)
    for number in range(10):
        yard.rtu.change(51, number)
    master = yard.master()
    values = [decode(asdu)[0].value for asdu in master.received if asdu[0] == 35]
    assert values == [7, 8, 9]
    yard.stop()


# -- the demo's parts ---------------------------------------------------------------------------


class Told:
    """Keeps what a master tells."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def __call__(self, arrow: str, what: str, detail: str) -> None:
        self.lines.append(f"{arrow} {what} {detail}".rstrip())


class DemoYard:
    """The demo's RTU and a demo master, without the relay between."""

    def __init__(self) -> None:
        self.reactor = FakeReactor()
        self.service = demoRtu(self.reactor, 2404, seed=5)
        self.told = Told()
        self.master = DemoMaster(self.reactor, demoHost(), 2405, self.told, plantPoints().name)

    def run(self, deferred: Deferred[Any]) -> Any:
        """Let it take place; return or raise what it gives."""
        results: list[Any] = []
        deferred.addBoth(results.append)
        self.reactor.run(ANSWER_TIME + 1)
        assert results, "no result"
        return results[0]

    def stop(self) -> None:
        self.run(self.master.stopService())
        self.run(self.service.stopService())
        assert self.reactor.getDelayedCalls() == []


@pytest.fixture
def demoYard() -> Iterator[DemoYard]:
    """Started, and stopped at the end."""
    yard = DemoYard()
    yard.service.startService()
    yard.master.startService()
    yard.reactor.run(1)
    yield yard
    yard.stop()


def test_demo_master(demoYard: DemoYard) -> None:
    """It looks around and commands; each request is answered, and the effects are seen."""
    master = demoYard.master
    assert master.started
    for action in (
        lookAround(master, MORNING),
        readCounters(master),
        switchLighting(master, True),
        operateBreaker(master, False),
        setVoltage(master, 112.5),
    ):
        assert demoYard.run(Deferred.fromCoroutine(action)) is None
    assert (master.confirmed, master.commands, master.unasked) == (7, 4, 0)
    assert (master.seen[101], master.seen[201], master.seen[521]) == (1, 1, 112.5)
    lines = [line for line in demoYard.told.lines if "spontaneous" not in line]
    text = "\n".join(lines)
    assert "<- finished interrogation (station)" in text
    assert "-> request clock synchronization to 2026-03-04 08:00:00.000" in text
    assert "-> request double command IOA 1201: feeder 1 breaker off, select" in text
    assert "<- confirmed set point IOA 1521: voltage set point = 112.5" in text
    assert "<- after command yard lighting on" in text


def test_demo_master_is_refused(demoYard: DemoYard) -> None:
    """A refusal fails the request, whatever its kind."""
    failure = demoYard.run(demoYard.master.ask(double(True, ca=COMMON_ADDRESS)))
    assert failure.check(Refused)
    assert str(failure.value) == "unknown point"
    failure = demoYard.run(Deferred.fromCoroutine(setVoltage(demoYard.master, 500)))
    assert str(failure.value) == "refused"


def test_demo_master_without_connection(demoYard: DemoYard) -> None:
    """Requests fail when the connection is lost, and when there is none; then it connects again."""
    master = demoYard.master
    pending = master.ask(single(ca=COMMON_ADDRESS, address=1101))
    demoYard.reactor.connections[-1][0].abortConnection()
    demoYard.reactor.advance(0)
    assert not master.started
    late: list[Any] = []
    for deferred in (pending, master.ask(single())):
        deferred.addErrback(lambda failure: late.append(failure.type))
    assert late == [NotConnected, NotConnected]
    started = master.whenStarted()
    demoYard.reactor.run(2)
    assert started.called
    assert master.whenStarted().called


def test_demo_master_gets_no_answer(demoYard: DemoYard) -> None:
    """A request without an answer fails in the end; a late answer is counted as unasked."""
    termination = demoYard.master.ask(
        request(105, 0, QRP(1), ca=COMMON_ADDRESS), Cause.ACTIVATION_TERM
    )
    assert demoYard.run(termination).check(Unanswered)
    demoYard.master._hear(single(cause=7))
    assert demoYard.master.unasked == 1


def test_words() -> None:
    """What a master shows of what it has no name for."""
    names = plantPoints().name
    assert objectWords(single()[:-1], names).startswith("C_SC_NA_1 with 1 objects")
    assert objectWords(request(107, 0, TSC(1), TIME), names) == (
        "C_TS_TA_1 to 2026-03-04 09:30:00.000"
    )
    assert causeWord(single(cause=44)) == "unknown type"
    assert causeWord(single(cause=50)) == "cause 50"
    assert objectWords(request(5, 9, VTI(3), *decodeElements(5)[1:], cause=3), names) == (
        "IOA 9 = 3"
    )


def test_demo_group() -> None:
    """The RTU listens one port above the masters', on another address than they use."""
    (group,) = demoGroups(3000)
    assert group.port == 3000
    assert [str(host) for host in group.hosts] == [f"{demoHost()}:3001".replace("::1:", "[::1]:")]
    assert [str(address) for address in group.options.listen] == ["127.0.0.1"]


def test_demo_port() -> None:
    """From the environment, or 2404; nonsense is said clearly."""
    assert demoPort({}) == 2404
    assert demoPort({"MM2SS_DEMO_PORT": "3000"}) == 3000
    for text in ("x", "0", "65535", "-1", "²"):
        with pytest.raises(SystemExit, match="MM2SS_DEMO_PORT"):
            demoPort({"MM2SS_DEMO_PORT": text})


def test_no_address_for_the_rtu(monkeypatch: pytest.MonkeyPatch) -> None:
    """A computer without a second loopback address is told what to do."""
    monkeypatch.setattr("mm2ss.simulator.builtin.RTU_ADDRESSES", ("192.0.2.77",))
    with pytest.raises(SystemExit, match="loopback address other than"):
        demoHost()


def test_types_of_the_plant() -> None:
    """The demo's plant has a point of every kind."""
    assert {point.kind for point in plantPoints()} == set(Kind)
