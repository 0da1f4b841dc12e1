"""t1, t2, t3 and the idle time of one link; each deadline exactly, one moment before, and late."""

from __future__ import annotations

import inspect
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mm2ss.config.parameters import LinkParameters
from mm2ss.iec104 import apci, link
from mm2ss.iec104.apci import CloseCause, encodeI
from mm2ss.iec104.link import Role, RoundTrip
from tests.stations import (
    MOMENT,
    STOPDT_ACT,
    STOPDT_CON,
    TESTFR_ACT,
    TESTFR_CON,
    Pair,
    Station,
    asdu,
)

BOTH_ROLES = pytest.mark.parametrize("role", Role)
#: Longer than any other timer, so that t3 stays out of the way.
LONG_T3 = LinkParameters(t3=10000)


# -- t1 ----------------------------------------------------------------------------------------


@BOTH_ROLES
def test_T02_ownIFrameNeverAcknowledged(role: Role) -> None:
    """An own I frame that is not acknowledged closes the link at t1, whatever else arrives."""
    station = Station.started(role)
    station.run(3)
    station.send(1)
    for _ in range(14):
        station.run(1)
        station.feedI(1)
        station.feed(TESTFR_ACT)
    assert station.run(1 - MOMENT) == []
    station.run(MOMENT)
    assert station.closed is CloseCause.T1_I_FRAME
    assert station.now == 18


@BOTH_ROLES
def test_T03_t1RunsFromTheOldestFrame(role: Role) -> None:
    """Under traffic with partial acknowledgements t1 is that of the oldest unacknowledged I."""
    station = Station.started(role, LONG_T3)
    for _ in range(5):
        station.send(1)
        station.run(2)
    station.feedS(3)  # the one sent at 6 s is the oldest now
    assert station.link.deadline == 6 + 15
    station.send(1)
    station.feedS(4)
    assert station.link.deadline == 8 + 15
    station.feedS(4)
    assert station.link.deadline == 8 + 15, "a repeated N(R) restarts nothing"
    station.run(13)
    assert station.closed is CloseCause.T1_I_FRAME


@BOTH_ROLES
def test_T03_partOfABatch(role: Role) -> None:
    """Of frames sent together, t1 goes on until the last of them is acknowledged."""
    station = Station.started(role, LONG_T3)
    station.send(4)
    station.run(1)
    station.send(4)
    station.feedS(3)
    assert station.link.deadline == 15
    station.feedS(4)
    assert station.link.deadline == 16
    station.feedS(8)
    assert station.link.deadline == 10000 + 1, "only t3 is left"


@BOTH_ROLES
def test_T03_steadyTrafficLivesForEver(role: Role) -> None:
    """A peer that acknowledges each frame in time is never closed, though some are always open."""
    station = Station.started(role, LONG_T3)
    for second in range(200):
        station.send(1)
        station.feedS(max(0, second - 9))
        station.run(1)
    assert station.closed is None


# -- t1 of TESTFR, t3 --------------------------------------------------------------------------


@BOTH_ROLES
@pytest.mark.parametrize("started", [False, True])
@pytest.mark.parametrize("frame", [TESTFR_ACT, TESTFR_CON])
@pytest.mark.parametrize("asked", [False, True])
def test_aTestAloneIsWhatItIsInPieces(role: Role, started: bool, frame: bytes, asked: bool) -> None:
    """TESTFR that comes as one chunk does what it does when it comes in two."""
    stations = [Station.started(role) if started else Station(role) for _ in range(2)]
    whole, pieces = stations
    for station in stations:
        station.run(20 if asked else 7)
        station.now += 2
    pieces.feed(frame[:4])
    assert whole.feed(frame) == pieces.feed(frame[4:])
    assert whole.written() == pieces.written()
    assert whole.link.soonest == pieces.link.soonest
    assert whole.link.deadline == pieces.link.deadline
    # What is left of an APDU is not passed over.
    whole.feed(frame[:4])
    whole.feed(frame)
    assert whole.closed is not None


@BOTH_ROLES
def test_T06_testfrConMissing(role: Role) -> None:
    """TESTFR con does not come: closed at t1; one TESTFR act was sent, whatever else arrived."""
    station = Station.started(role, LinkParameters(t1=15, t3=5))
    station.run(5)
    assert station.written() == ["TESTFR act"]
    station.run(7)
    station.feed(TESTFR_ACT)
    station.run(7)
    assert station.written() == ["TESTFR con"]
    assert station.run(1 - MOMENT) == []
    station.run(MOMENT)
    assert station.closed is CloseCause.T1_TESTFR
    assert station.written() == []


@BOTH_ROLES
@pytest.mark.parametrize("started", [False, True])
def test_T07_idleLinkIsTested(role: Role, started: bool) -> None:
    """After t3 without a frame comes TESTFR act, started or not; the con starts t3 anew."""
    station = Station.started(role) if started else Station(role)
    station.run(20 - MOMENT)
    assert station.written() == []
    station.run(MOMENT)
    assert station.written() == ["TESTFR act"]
    station.run(5)
    assert station.feed(TESTFR_CON) == [RoundTrip(5)]
    station.run(20 - MOMENT)
    assert station.written() == []
    station.run(MOMENT)
    assert station.written() == ["TESTFR act"]


@BOTH_ROLES
@pytest.mark.parametrize("kind", ["I", "S", "U"])
def test_T07_anyReceivedFrameRestartsT3(role: Role, kind: str) -> None:
    """I, S and U frames restart t3; what is sent, and half a frame, do not."""
    station = Station.started(role)
    station.run(15)
    if kind == "I":
        station.feedI(1)
    elif kind == "S":
        station.feedS(0)
    else:
        station.feed(TESTFR_ACT)
    station.run(10)
    station.send(1)
    station.feedS(1)  # at 25: restarts
    station.run(14)
    station.feed(TESTFR_ACT[:3])  # at 39: does not
    station.link.takeOutput()
    station.run(6 - MOMENT)
    assert station.written() == []
    station.run(MOMENT)
    assert station.written() == ["TESTFR act"]


@BOTH_ROLES
def test_T07_sendingDoesNotRestartT3(role: Role) -> None:
    """t3 runs from the last arrival: a peer that is only talked to is tested."""
    station = Station.started(role, LinkParameters(t1=15, t3=10))
    station.run(9)
    station.send(1)
    station.run(1)
    assert station.written() == ["I 0/0", "TESTFR act"]


def test_T07_twoStationsTestEachOther() -> None:
    """Two idle stations with different t3 stay connected for days."""
    pair = Pair(LinkParameters(t3=20), LinkParameters(t3=7))
    pair.start()
    pair.run(2 * 86400)
    assert all(station.closed is None for station in pair.stations)


def test_anAnswerProvesTheAcknowledgementsBefore() -> None:
    """TESTFR con shows that the peer has what was acknowledged before TESTFR act, and nothing that
    was behind it; STOPDT con that it has everything."""
    station = Station.started(Role.CONTROLLING)
    station.feedI(8)
    assert station.link.proven == 0
    station.run(20)
    station.feedI(8)
    assert station.written() == ["S 8", "TESTFR act", "S 16"]
    station.feed(TESTFR_CON)
    assert station.link.proven == 8
    station.link.stop(station.now)
    station.feedI(3)
    station.feed(STOPDT_CON)
    assert station.link.proven == 19


# -- t2 ----------------------------------------------------------------------------------------


@BOTH_ROLES
def test_T08_acknowledgedWithinT2(role: Role) -> None:
    """One I, then silence: an S at t2; a second I does not restart t2."""
    station = Station.started(role)
    station.run(1)
    station.feedI(1)
    station.run(6)
    station.feedI(1)
    station.run(4 - MOMENT)
    assert station.written() == []
    station.run(MOMENT)
    assert station.written() == ["S 2"]
    station.run(8)
    assert station.written() == [], "nothing is owed any more"


@BOTH_ROLES
def test_T09_ownIFrameCarriesTheAcknowledgement(role: Role) -> None:
    """An own I before t2 acknowledges: no S, and t2 starts anew with the next received I."""
    station = Station.started(role)
    station.feedI(3)
    station.run(9)
    station.send(1)
    assert station.written() == ["I 0/3"]
    station.run(0.5)
    station.feedI(1)
    station.feedS(1)
    station.run(10 - MOMENT)
    assert station.written() == []
    station.run(MOMENT)
    assert station.written() == ["S 4"]


def test_T09_replyToABatchCarriesTheAcknowledgement() -> None:
    """A reply sent straight after receive() carries the number of what was just received."""
    station = Station.started(Role.CONTROLLED)
    station.feedI(2)
    station.send(2)
    assert station.written() == ["I 0/2", "I 1/2"]


# -- the idle time -----------------------------------------------------------------------------


@BOTH_ROLES
@pytest.mark.parametrize("frame", ["I", "S", "TESTFR act", "TESTFR con"])
def test_idleTimeCountsAnyApdu(role: Role, frame: str) -> None:
    """Any APDU is an arrival; without one for the idle time the link is closed."""
    station = Station.started(role, LONG_T3, idleTime=60)
    for _ in range(3):
        station.run(59)
        if frame == "I":
            station.feedI(1)
        elif frame == "S":
            station.feedS(0)
        else:
            station.feed(TESTFR_ACT if frame == "TESTFR act" else TESTFR_CON)
        assert station.closed is None
    station.feed(TESTFR_ACT[:5])  # not an APDU yet
    station.run(60 - MOMENT)
    assert station.closed is None
    station.run(MOMENT)
    assert station.closed is CloseCause.IDLE


@BOTH_ROLES
def test_idleTimeShorterThanT3(role: Role) -> None:
    """The idle time counts on its own: no TESTFR act need have been sent."""
    station = Station(role, idleTime=5)
    station.run(5)
    assert station.closed is CloseCause.IDLE
    assert station.written() == []


@BOTH_ROLES
def test_noIdleTime(role: Role) -> None:
    """Without an idle time only TESTFR decides."""
    station = Station(role)
    for _ in range(100):
        station.run(20)
        assert station.written() == ["TESTFR act"]
        station.feed(TESTFR_CON)
    assert station.closed is None


# -- wake-ups ----------------------------------------------------------------------------------


@BOTH_ROLES
def test_anEarlyWakeUpDoesNothing(role: Role) -> None:
    """wake() before the deadline has no effect, however often."""
    station = Station.started(role)
    station.feedI(1)
    station.send(1)
    station.link.takeOutput()
    before = station.link.deadline
    for _ in range(10):
        station.now += 0.5
        assert station.wake() == []
        assert station.written() == []
        assert station.link.deadline == before


def test_oneLateWakeUpServesSeveralTimers() -> None:
    """A wake-up that comes after t2 and t3 gives both the S and the TESTFR act, once."""
    station = Station.started(Role.CONTROLLED)
    station.feedI(1)
    station.now = 33.0
    station.wake()
    assert station.written() == ["S 1", "TESTFR act"]
    assert station.link.deadline == 33 + 15


@BOTH_ROLES
def test_theFirstOfSeveralExpiredTimersNamesTheCause(role: Role) -> None:
    """With all expired at once, one Closed is told, and nothing is written."""
    station = Station.started(role, idleTime=30)
    station.send(1)
    station.link.takeOutput()
    station.now = 1000.0
    station.wake()
    assert station.closed is CloseCause.T1_I_FRAME
    assert station.written() == []


# -- time itself -------------------------------------------------------------------------------


def scenario(start: float) -> list[tuple[float, str]]:
    """What a link writes in an eventful life that begins at the given second."""
    station = Station.controlled(now=start, idleTime=100)
    log: list[tuple[float, str]] = []

    def note() -> None:
        log.extend((station.now - start, frame) for frame in station.written())

    station.feedI(1)
    while station.link.deadline <= start + 44:
        station.now = station.link.deadline
        station.wake()
        note()
        if station.now == start + 20:
            station.feed(TESTFR_CON)
            station.send(2)
            station.feed(encodeI(1, 2, asdu(1)), STOPDT_ACT)
            note()
    return log


@pytest.mark.parametrize("start", [0, 2.0**20, -3600.0, 2.0**31])
def test_T10_onlyTheGivenTimeCounts(start: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """The wall clock is never read: all a link does depends on the seconds it is given."""
    expected = scenario(0.0)
    assert [frame for _, frame in expected] == [
        *("S 1", "TESTFR act", "I 0/1", "I 1/1", "S 2", "STOPDT con", "TESTFR act")
    ]

    def noClock() -> float:
        raise AssertionError("a clock was read")

    for name in ("time", "monotonic", "perf_counter"):
        monkeypatch.setattr(time, name, noClock)
    result = scenario(start)
    monkeypatch.undo()
    assert result == expected
    for module in (apci, link):
        assert not any(inspect.ismodule(value) for value in vars(module).values())


@given(
    st.floats(0, 1e6, allow_nan=False),
    st.sampled_from(Role),
    st.tuples(st.integers(1, 50), st.integers(1, 200), st.integers(0, 300)),
)
def test_wakingAtTheDeadlineMakesProgress(
    start: float, role: Role, timers: tuple[int, int, int]
) -> None:
    """Whatever the floats, waking exactly at the deadline moves it or closes the link."""
    t2, t3, idle = timers
    station = Station.started(
        role, LinkParameters(t1=t2 + 0.1, t2=t2, t3=t3), now=start, idleTime=idle
    )
    station.feedI(1)
    station.send(1)
    station.feedI(1, acknowledging=1)
    for _ in range(10):
        if station.closed:
            return
        station.now = station.link.deadline
        station.wake()  # asserts that the deadline moves
    raise AssertionError("neither tested nor closed")


# -- parameters --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [
        {"t1": 10, "t2": 10},
        {"t1": 5, "t2": 10},
        {"k": 8, "w": 9},
        {"k": 0, "w": 0},
        {"k": 32768},
        {"w": 0},
        {"t0": 0},
        {"t1": 256},
        {"t2": 0},
        {"t3": 0},
        {"t3": 172801},
        {"t1": float("nan")},
    ],
)
def test_T11_impossibleParameters(wrong: dict[str, float]) -> None:
    """No link without t2 < t1 and w <= k, and everything in its range."""
    with pytest.raises(ValueError, match=r"must|not in"):
        LinkParameters(**wrong)  # type: ignore[arg-type]  # wrong on purpose
