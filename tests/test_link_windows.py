"""Sequence numbers, k and w, and acknowledgements that are withheld and released."""

from __future__ import annotations

from operator import attrgetter

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mm2ss.config.parameters import LinkParameters
from mm2ss.iec104.apci import CloseCause, encodeI, encodeS
from mm2ss.iec104.link import Acknowledged, Link, Received, Role
from tests.stations import MOMENT, TESTFR_ACT, Pair, Station, asdu, asdus

BOTH_ROLES = pytest.mark.parametrize("role", Role)


# -- numbers -----------------------------------------------------------------------------------


def test_N01_numbersWrapInBothDirections() -> None:
    """More than 2 x 32768 frames each way: none lost, none reordered, windows kept."""
    pair = Pair(LinkParameters(k=1000, w=700))
    pair.start()
    total = 70000
    wrapped = 0
    while any(station.link.sent < total for station in pair.stations):
        for station in pair.stations:
            assert station.closed is None
            before = station.link.sent
            station.send(min(station.link.window, total - before))
            wrapped += before >> 15 != station.link.sent >> 15
            pair.deliver(station)
    pair.run(10)
    assert wrapped == 4
    for station in pair.stations:
        assert station.link.received == total
        assert station.received == asdus(total)
        assert station.link.outstanding == 0


@BOTH_ROLES
def test_N01_theWireShowsTheWrap(role: Role) -> None:
    """32767 is followed by 0, in N(S) and N(R), and acknowledgements count across it."""
    station = Station.started(role, LinkParameters(k=32767, w=32767))
    station.feedI(32766)
    station.send(32767)
    station.feedS(32766)
    station.forget()
    assert station.link.outstanding == 1
    station.feedI(1, first=32766, acknowledging=32766)
    station.send(2)
    station.feedI(2, first=32767, acknowledging=32769)
    station.send(1)
    assert station.written() == ["I 32767/32767", "I 0/32767", "I 1/1"]
    assert station.events[1] == Acknowledged(32769)
    assert station.link.outstanding == 1
    station.feedS(32770)
    assert station.link.outstanding == 0
    assert station.closed is None


@BOTH_ROLES
@pytest.mark.parametrize("number", [3, 32767])
def test_N02_nsTooHighCloses(role: Role, number: int) -> None:
    """N(S) that leaves a gap closes; the ASDU is not delivered and its N(R) not taken."""
    station = Station.started(role)
    station.send(1)
    station.feedI(2)
    station.feed(encodeI(number, 1, asdu(99)))
    assert station.closed is CloseCause.NS_MISMATCH
    assert station.received == asdus(2)
    assert station.link.outstanding == 1


@BOTH_ROLES
def test_N03_nsRepeatedCloses(role: Role) -> None:
    """N(S) that was seen closes; the ASDU is not delivered twice."""
    station = Station.started(role)
    station.feedI(2)
    station.feedI(1, first=1)
    assert station.closed is CloseCause.NS_MISMATCH
    assert station.received == asdus(2)


@BOTH_ROLES
@pytest.mark.parametrize("kind", ["I", "S"])
@pytest.mark.parametrize("number", [6, 1, 0, 32767])
def test_N04_nrOutsideTheWindowCloses(role: Role, kind: str, number: int) -> None:
    """N(R) above what was sent, or below what is acknowledged, closes; no ASDU is delivered."""
    station = Station.started(role)
    station.send(5)
    station.feedS(2)
    station.feed(encodeS(number) if kind == "S" else encodeI(0, number, asdu(0)))
    assert station.closed is CloseCause.NR_OUT_OF_WINDOW
    assert station.received == []
    assert station.link.outstanding == 3


@BOTH_ROLES
def test_N04_nothingWasEverSent(role: Role) -> None:
    """N(R) = 1 on a link that has sent nothing closes it."""
    station = Station.started(role)
    station.feedS(1)
    assert station.closed is CloseCause.NR_OUT_OF_WINDOW


@BOTH_ROLES
def test_N05_repeatedNrIsAccepted(role: Role) -> None:
    """N(R) that acknowledges nothing new is valid and has no effect, in S and in I."""
    station = Station.started(role)
    station.send(5)
    assert station.feedS(2) == [Acknowledged(2)]
    assert station.feedS(2) == []
    assert station.feed(encodeI(0, 2, asdu(0))) == [Received([asdu(0)])]
    assert station.link.outstanding == 3
    assert station.link.window == 9


@BOTH_ROLES
def test_uFramesDoNotAcknowledge(role: Role) -> None:
    """A TESTFR exchange leaves what is outstanding outstanding, on both sides."""
    station = Station.started(role)
    station.send(2)
    station.feedI(2)
    station.feed(TESTFR_ACT)
    assert station.link.outstanding == 2
    station.run(10)
    assert station.written()[-2:] == ["TESTFR con", "S 2"]


@BOTH_ROLES
def test_oneAcknowledgedEventPerChunk(role: Role) -> None:
    """Acknowledgements in one chunk are told once, first, with the last count."""
    station = Station.started(role)
    station.send(6)
    events = station.feed(encodeS(2), encodeI(0, 3, asdu(0)), encodeS(5), encodeI(1, 5, asdu(1)))
    assert events == [Acknowledged(5), Received(asdus(2))]


# -- k -----------------------------------------------------------------------------------------


@BOTH_ROLES
def test_W01_atMostKUnacknowledged(role: Role) -> None:
    """Exactly k I frames go without an acknowledgement, then only S and U; an ack resumes."""
    station = Station.started(role)
    assert station.link.window == 12
    station.send(5)
    station.send(7)
    assert station.written() == [f"I {n}/0" for n in range(12)]
    assert station.link.window == 0
    with pytest.raises(ValueError, match="1 ASDUs for a window of 0"):
        station.send(1)
    station.feedI(8)
    station.feed(TESTFR_ACT)
    assert station.written() == ["S 8", "TESTFR con"]
    station.feedS(3)
    assert station.link.window == 3
    station.send(3)
    assert station.written() == ["I 12/8", "I 13/8", "I 14/8"]
    assert station.link.window == 0


@BOTH_ROLES
def test_sendIsAllOrNothing(role: Role) -> None:
    """Too many ASDUs, or one that does not fit: nothing is sent, no number is used."""
    station = Station.started(role)
    for wrong in (asdus(13), [asdu(0), b""], [asdu(0), bytes(250)]):
        with pytest.raises(ValueError, match=r"window|fit"):
            station.link.send(wrong, 0)
    assert station.link.sent == 0
    station.link.send([], 0)
    assert station.written() == []
    station.send(1)
    assert station.written() == ["I 0/0"]


def test_thePeersKIsNotJudged() -> None:
    """A peer that sends more than our own k is no offender: its k is its own affair."""
    station = Station.controlling(LinkParameters(k=2, w=2))
    station.feedI(100)
    assert station.closed is None
    assert station.received == asdus(100)


# -- w -----------------------------------------------------------------------------------------


@BOTH_ROLES
def test_W02_sAfterExactlyW(role: Role) -> None:
    """An S after every w received I frames, not before; t2 is for the rest."""
    station = Station.started(role)
    for n in range(1, 21):
        station.feedI(1)
        assert station.written() == ([f"S {n}"] if n % 8 == 0 else [])
    station.run(10)
    assert station.written() == ["S 20"]


@BOTH_ROLES
def test_W02_countsFromTheLastAcknowledgement(role: Role) -> None:
    """An own I frame acknowledges too: the next S comes w frames after it."""
    station = Station.started(role)
    station.feedI(5)
    station.send(1)
    station.feedI(7, acknowledging=1)
    assert station.written() == ["I 0/5"]
    station.feedI(1, acknowledging=1)
    assert station.written() == ["S 13"]


@BOTH_ROLES
def test_W02_oneSForAChunk(role: Role) -> None:
    """More than w in one chunk are acknowledged together."""
    station = Station.started(role)
    station.feedI(20)
    assert station.written() == ["S 20"]


# -- acknowledgements that wait for the owner --------------------------------------------------


def holding(role: Role = Role.CONTROLLING, releaseDelay: float | None = 0.1) -> Station:
    """A started station that acknowledges only what is released."""
    station = Station.started(role, releaseDelay=releaseDelay)
    station.link.automatic = False
    return station


@BOTH_ROLES
def test_nothingIsAcknowledgedBeforeItIsReleased(role: Role) -> None:
    """Neither w nor t2 acknowledges by itself; I frames carry the released number only."""
    station = holding(role)
    station.feedI(11)
    station.run(19)
    assert station.written() == []
    station.send(1)
    assert station.written() == ["I 0/0"]
    station.feedS(1)
    station.link.release(4, station.now)
    station.send(1)
    assert station.written() == ["I 1/4"]
    station.run(5)
    assert station.written() == [], "the I frame carried it"


@BOTH_ROLES
def test_releaseOfWGivesAnSAtOnce(role: Role) -> None:
    """w released frames are acknowledged at once, counted from the last acknowledgement."""
    station = holding(role)
    station.feedI(20)
    station.link.release(7, 0)
    assert station.written() == []
    station.link.release(8, 0)
    assert station.written() == ["S 8"]
    station.link.release(15, 0)
    assert station.written() == []
    station.link.release(19, 0)
    assert station.written() == ["S 19"]


@BOTH_ROLES
def test_releaseDelayRunsFromTheFirstRelease(role: Role) -> None:
    """Fewer than w are acknowledged releaseDelay after the first of them was released."""
    station = holding(role)
    station.feedI(20)
    station.run(5)
    station.link.release(2, station.now)
    station.run(0.06)
    station.link.release(5, station.now)
    station.run(0.03)
    assert station.written() == []
    station.run(0.011)
    assert station.written() == ["S 5"]
    station.run(4)
    station.link.release(6, station.now)
    station.run(0.1)
    assert station.written() == ["S 6"]


def test_releaseDelayIsT2UnlessTold() -> None:
    """By default a released acknowledgement waits for t2 at most."""
    station = holding(releaseDelay=None)
    station.feedI(2)
    station.run(3)
    station.link.release(1, station.now)
    station.run(10 - MOMENT)
    assert station.written() == []
    station.run(MOMENT)
    assert station.written() == ["S 1"]


def test_releaseNeverGoesBack() -> None:
    """A smaller count than before changes nothing; more than was received is our own mistake."""
    station = holding()
    station.feedI(10)
    station.link.release(8, 0)
    station.link.release(3, 0)
    assert station.written() == ["S 8"]
    assert station.link.deadline == 20, "no delay is running"
    with pytest.raises(ValueError, match="released 11 of 10"):
        station.link.release(11, 0)
    station.send(1)
    assert station.written() == ["I 0/8"]


def test_automaticAgainAcknowledgesTheRest() -> None:
    """Back to automatic, what was held counts as received with the next frame."""
    station = holding(releaseDelay=None)
    station.feedI(5)
    station.link.automatic = True
    station.feedI(1)
    station.run(10)
    assert station.written() == ["S 6"]


# -- one S frame alone -------------------------------------------------------------------------


@example(0, 0, encodeS(5)[:5], False)
@given(
    st.integers(0, 14),
    st.integers(0, 14),
    st.one_of(
        st.integers(-2, 20).map(lambda count: encodeS(max(count, 0))),
        st.sampled_from([TESTFR_ACT, encodeI(0, 3, asdu(1))[:6], encodeS(5)[:5], b""]),
        st.binary(min_size=6, max_size=6),
    ),
    st.booleans(),
)
def test_anSFrameAloneIsWhatItIsAmongOthers(
    sent: int, confirmed: int, chunk: bytes, inside: bool
) -> None:
    """`receiveS` does what `receive` does, or leaves the chunk to it and changes nothing."""
    stations = [Station.started(Role.CONTROLLED, LinkParameters(k=14)) for _ in range(2)]
    for station in stations:
        station.send(sent)
        station.feedS(min(confirmed, sent))
        if inside:
            station.feed(encodeI(0, 0, asdu(1))[:4])
        station.forget()
        station.now += 1
    one, other = (station.link for station in stations)
    count = one.receiveS(chunk, 1.0)
    events = [Acknowledged(count)] if count >= 0 else one.receive(chunk, 1.0)
    assert events == other.receive(chunk, 1.0)
    for seen in (
        attrgetter("state", "window", "outstanding", "received", "deadline"),
        Link.takeOutput,
    ):
        assert seen(one) == seen(other)
    assert one.soonest == other.soonest
