"""Start and stop of data transfer, both roles, one link each (the group has tests of its own)."""

from __future__ import annotations

import pytest

from mm2ss.config.parameters import LinkParameters
from mm2ss.iec104.apci import CloseCause, encodeI, encodeS
from mm2ss.iec104.link import (
    Acknowledged,
    Closed,
    Ignored,
    Received,
    Role,
    RoundTrip,
    Started,
    State,
    Stopped,
    StopRequested,
)
from tests.stations import (
    MOMENT,
    STARTDT_ACT,
    STARTDT_CON,
    STOPDT_ACT,
    STOPDT_CON,
    TESTFR_ACT,
    TESTFR_CON,
    Pair,
    Station,
    asdu,
    asdus,
)

BOTH_ROLES = pytest.mark.parametrize("role", Role)


def inState(role: Role, state: State) -> Station:
    """A station of a role brought into a state; 2 own frames are out where this is needed."""
    station = Station(role)
    if state is State.STOPPED:
        return station
    if state is State.PENDING_STARTED:
        station.link.start(0)
    else:
        station = Station.started(role)
        if state is State.UNCONFIRMED_STOPPED:
            station.send(2)
        if state in (State.UNCONFIRMED_STOPPED, State.PENDING_STOPPED):
            if role is Role.CONTROLLED:
                station.feed(STOPDT_ACT)
            else:
                station.link.stop(0)
    assert station.state() is state
    station.forget()
    return station


CONTROLLED_STATES = [State.STOPPED, State.STARTED, State.UNCONFIRMED_STOPPED]
CONTROLLING_STATES = [
    State.STOPPED,
    State.PENDING_STARTED,
    State.STARTED,
    State.UNCONFIRMED_STOPPED,
    State.PENDING_STOPPED,
]
ALL_STATES = pytest.mark.parametrize(
    ("role", "state"),
    [(Role.CONTROLLED, state) for state in CONTROLLED_STATES]
    + [(Role.CONTROLLING, state) for state in CONTROLLING_STATES],
)


# -- U frames in every state -------------------------------------------------------------------


@ALL_STATES
def test_A09_testfrIsConfirmedInEveryState(role: Role, state: State) -> None:
    """TESTFR act is confirmed in every state, once each, and changes nothing."""
    station = inState(role, state)
    assert station.feed(TESTFR_ACT, TESTFR_ACT) == []
    assert station.written() == ["TESTFR con", "TESTFR con"]
    assert station.state() is state


@ALL_STATES
@pytest.mark.parametrize("code", [0xC3, 0x47, 0x0F, 0x03, 0xFF])
def test_A08_unknownUFunctionCloses(role: Role, state: State, code: int) -> None:
    """A U frame with no function, two, or an unknown one closes the link and is not confirmed."""
    station = inState(role, state)
    station.feed(bytes((0x68, 4, code, 0, 0, 0)), TESTFR_ACT)
    assert station.closed is CloseCause.UNKNOWN_U
    assert station.written() == []


@ALL_STATES
@pytest.mark.parametrize("frame", [STARTDT_CON, STOPDT_CON, TESTFR_CON])
def test_A10_unsolicitedConfirmationsAreIgnored(role: Role, state: State, frame: bytes) -> None:
    """A confirmation nobody asked for is told, and changes neither state nor timers but t3."""
    controlling = role is Role.CONTROLLING
    if controlling and frame == STARTDT_CON and state is State.PENDING_STARTED:
        return  # asked for
    stopping = state in (State.UNCONFIRMED_STOPPED, State.PENDING_STOPPED)
    if controlling and frame == STOPDT_CON and stopping:
        return  # asked for
    station = inState(role, state)
    station.now = 1.0
    before = station.link.deadline
    (event,) = station.feed(frame)
    assert isinstance(event, Ignored)
    assert station.written() == []
    assert station.state() is state
    # Without another timer the deadline is that of t3, which every frame starts anew.
    t3 = station.link.parameters.t3
    assert station.link.deadline == (before if before < t3 else 1.0 + t3)


@pytest.mark.parametrize("frame", [STARTDT_ACT, STOPDT_ACT])
@pytest.mark.parametrize("state", CONTROLLING_STATES)
def test_A11_controllingStationNeverAnswersStartOrStop(state: State, frame: bytes) -> None:
    """STARTDT or STOPDT act from a controlled station is passed over and told for the log."""
    station = inState(Role.CONTROLLING, state)
    (event,) = station.feed(frame)
    assert isinstance(event, Ignored) and "act while" in event.what
    assert station.written() == []
    assert station.state() is state


# -- controlled station ------------------------------------------------------------------------


def test_S02_startdtConPrecedesTheFirstIFrame() -> None:
    """STARTDT act is confirmed, then the window is open; a new connection counts from 0."""
    station = Station(Role.CONTROLLED)
    assert station.link.window == 0
    assert station.feed(STARTDT_ACT) == [Started()]
    station.send(1)
    assert station.written() == ["STARTDT con", "I 0/0"]


def test_S03_secondStartdtActIsConfirmedAgain() -> None:
    """STARTDT act while started: con again, but it is no second start."""
    station = inState(Role.CONTROLLED, State.STARTED)
    (event,) = station.feed(STARTDT_ACT)
    assert isinstance(event, Ignored)
    assert station.written() == ["STARTDT con"]
    assert station.state() is State.STARTED


def test_S04_iFrameBeforeStartdtCloses() -> None:
    """A controlled station that is stopped takes no I frame, and does not deliver it."""
    station = Station(Role.CONTROLLED)
    station.feedI(1)
    assert station.closed is CloseCause.DATA_WHILE_STOPPED
    assert station.received == []
    assert station.written() == []


@pytest.mark.parametrize("stopFirst", [False, True])
def test_S05_sFrameInStoppedCloses(stopFirst: bool) -> None:
    """A controlled station that is stopped takes no S frame, before a start and after a stop."""
    station = Station(Role.CONTROLLED)
    if stopFirst:
        station.feed(STARTDT_ACT, STOPDT_ACT)
    station.feedS(0)
    assert station.closed is CloseCause.DATA_WHILE_STOPPED


def test_S06_stopWithNothingOutstanding() -> None:
    """STOPDT act, nothing outstanding: the S that is owed, then con."""
    station = inState(Role.CONTROLLED, State.STARTED)
    station.feedI(3)
    assert station.feed(STOPDT_ACT) == [StopRequested(), Stopped()]
    assert station.written() == ["S 3", "STOPDT con"]
    assert station.state() is State.STOPPED
    assert station.link.deadline == station.link.parameters.t3  # no t2 is left


def test_S06_stopWithNothingOwed() -> None:
    """STOPDT act when all is acknowledged already: con only."""
    station = inState(Role.CONTROLLED, State.STARTED)
    station.feedI(3)
    station.send(1)
    station.feedS(1)
    station.feed(STOPDT_ACT)
    assert station.written() == ["I 0/3", "STOPDT con"]


def test_S07_stopdtWaitsForAcks() -> None:
    """STOPDT act with 5 unacknowledged: con only after an S that covers all 5."""
    station = inState(Role.CONTROLLED, State.STARTED)
    station.send(5)
    station.feedI(2)
    station.link.takeOutput()
    assert station.feed(STOPDT_ACT) == [StopRequested()]
    assert station.written() == ["S 2"]
    assert station.feedS(4) == [Acknowledged(4)]
    assert station.written() == []
    assert station.feedS(4) == []
    assert station.state() is State.UNCONFIRMED_STOPPED
    assert station.feedS(5) == [Acknowledged(5), Stopped()]
    assert station.written() == ["STOPDT con"]
    assert station.state() is State.STOPPED


def test_S07_allInOneChunk() -> None:
    """Commands, STOPDT act, the acknowledgement and a new start in one chunk, told in order."""
    station = inState(Role.CONTROLLED, State.STARTED)
    station.send(5)
    station.link.takeOutput()
    frame = encodeI(0, 2, asdu(0))
    events = station.feed(frame, STOPDT_ACT, encodeS(5), STARTDT_ACT)
    assert events == [Acknowledged(5), Received([asdu(0)]), StopRequested(), Stopped(), Started()]
    assert station.written() == ["S 1", "STOPDT con", "STARTDT con"]


def test_S08_stopdtWithoutAcksClosesAtT1() -> None:
    """As S07 but acknowledgements never come: closed at t1 of the oldest, no con."""
    station = inState(Role.CONTROLLED, State.STARTED)
    station.send(5)
    station.run(4)
    station.feed(STOPDT_ACT)
    station.feedS(4)
    station.link.takeOutput()
    assert station.run(11 - MOMENT) == []
    station.run(MOMENT)
    assert station.closed is CloseCause.T1_I_FRAME
    assert station.written() == []


@pytest.mark.parametrize("outstanding", [0, 2])
def test_S09_nothingIsSentAfterStopdtAct(outstanding: int) -> None:
    """From STOPDT act on the window is shut, whether the stop is complete or not."""
    station = inState(Role.CONTROLLED, State.STARTED)
    station.send(outstanding)
    station.feed(STOPDT_ACT)
    assert station.link.window == 0
    with pytest.raises(ValueError, match="window of 0"):
        station.link.send([asdu(0)], station.now)
    assert not any(frame.startswith(f"I {outstanding}") for frame in station.written())


def test_S14_sequenceNumbersContinue() -> None:
    """STOPDT and STARTDT on one connection do not reset the numbers, in either direction."""
    pair = Pair()
    pair.start()
    for _ in range(2):
        pair.controlled.send(3)
        pair.controlling.send(2)
        pair.settle()
        pair.controlling.link.stop(0)
        pair.settle()
        assert pair.controlled.link.state is pair.controlling.link.state is State.STOPPED
        pair.start()
    pair.controlled.send(1)
    assert pair.controlled.written() == ["I 6/4"]
    pair.controlling.send(1)
    assert pair.controlling.written() == ["I 4/6"]


def test_S15_standbyMasterIsOnlyTested() -> None:
    """A connection that is never started lives on TESTFR alone, and no window opens."""
    pair = Pair()
    pair.run(3600)
    for station in pair.stations:
        assert all(event == RoundTrip(0) for event in station.events)
        assert station.state() is State.STOPPED
        assert station.link.window == station.link.sent == station.link.received == 0


def test_stoppedStationConfirmsStopdtAgain() -> None:
    """STOPDT act while stopped: con, and nothing else happens."""
    station = Station(Role.CONTROLLED)
    assert station.feed(STOPDT_ACT) == []
    assert station.written() == ["STOPDT con"]
    assert station.state() is State.STOPPED


def test_secondStopdtActWhileOneIsPending() -> None:
    """STOPDT act in UNCONFIRMED_STOPPED is passed over; there will be one con."""
    station = inState(Role.CONTROLLED, State.UNCONFIRMED_STOPPED)
    (event,) = station.feed(STOPDT_ACT)
    assert isinstance(event, Ignored)
    assert station.written() == []
    station.feedS(2)
    assert station.written() == ["STOPDT con"]


def test_startdtActTakesBackAPendingStop() -> None:
    """STARTDT act in UNCONFIRMED_STOPPED: con, started again, the stop is forgotten."""
    station = inState(Role.CONTROLLED, State.UNCONFIRMED_STOPPED)
    assert station.feed(STARTDT_ACT) == [Started()]
    assert station.link.window == station.link.parameters.k - 2
    station.feedS(2)
    assert station.written() == ["STARTDT con"]
    assert station.state() is State.STARTED


def test_iFrameAfterStopdtActCloses() -> None:
    """I in UNCONFIRMED_STOPPED was sent after STOPDT act: closed, not delivered, no ack taken."""
    station = inState(Role.CONTROLLED, State.UNCONFIRMED_STOPPED)
    station.feed(encodeI(0, 2, asdu(0)))
    assert station.closed is CloseCause.DATA_WHILE_STOPPED
    assert station.received == []
    assert not any(isinstance(event, (Acknowledged, Stopped)) for event in station.events)


# -- controlling station -----------------------------------------------------------------------


def test_startIsConfirmed() -> None:
    """STARTDT act, one; the window opens with the con and not before."""
    station = Station(Role.CONTROLLING)
    station.link.start(0)
    assert station.written() == ["STARTDT act"]
    assert station.link.window == 0
    assert station.feed(STARTDT_CON) == [Started()]
    assert station.link.window == station.link.parameters.k
    assert station.link.deadline == station.link.parameters.t3  # t1 has ended


@pytest.mark.parametrize("state", [State.STOPPED, State.PENDING_STARTED])
def test_iFrameBeforeStartdtConCloses(state: State) -> None:
    """A controlling station takes no I frame before data transfer is started."""
    station = inState(Role.CONTROLLING, state)
    station.feedI(1)
    assert station.closed is CloseCause.DATA_WHILE_STOPPED
    assert station.received == []


def test_iFrameAfterStopdtConCloses() -> None:
    """A controlled station that has confirmed the stop must not send."""
    station = inState(Role.CONTROLLING, State.PENDING_STOPPED)
    station.feed(STOPDT_CON)
    station.feedI(1)
    assert station.closed is CloseCause.DATA_WHILE_STOPPED


@pytest.mark.parametrize("state", CONTROLLING_STATES)
def test_controllingStationTakesSFramesInEveryState(state: State) -> None:
    """Only the controlled station minds an S frame while stopped."""
    station = inState(Role.CONTROLLING, state)
    assert station.feedS(0) == []
    assert station.state() is state


def test_S10_stopAcknowledgesFirst() -> None:
    """Stop: an S for all that may be acknowledged, then STOPDT act; nothing more is sent."""
    station = inState(Role.CONTROLLING, State.STARTED)
    station.feedI(3)
    station.link.stop(0)
    assert station.written() == ["S 3", "STOPDT act"]
    assert station.state() is State.PENDING_STOPPED
    assert station.link.window == 0
    assert station.feed(STOPDT_CON) == [Stopped()]
    assert station.state() is State.STOPPED
    assert station.link.deadline == station.link.parameters.t3


def test_S11_framesAfterStopdtAct() -> None:
    """12 more I after STOPDT act are taken and acknowledged at once, then con is accepted."""
    station = inState(Role.CONTROLLING, State.PENDING_STOPPED)
    for n in range(12):
        station.feedI(1)
        assert station.written() == [f"S {n + 1}"]
    assert station.received == asdus(12)
    assert station.feed(STOPDT_CON)[-1:] == [Stopped()]
    assert station.state() is State.STOPPED


def test_S11_heldFramesAfterStopdtAct() -> None:
    """What arrives after STOPDT act is acknowledged when it is released, and then at once."""
    station = inState(Role.CONTROLLING, State.STARTED)
    station.link.automatic = False
    station.feedI(2)
    station.link.release(1, 0)
    station.link.stop(0)
    assert station.written() == ["S 1", "STOPDT act"]
    station.feedI(3)
    assert station.written() == []
    station.link.release(4, 0)
    assert station.written() == ["S 4"]
    station.link.release(5, 0)
    assert station.written() == ["S 5"]


def test_stopWithOwnFramesOutstanding() -> None:
    """UNCONFIRMED_STOPPED until own frames are acknowledged, then PENDING_STOPPED, then con."""
    station = inState(Role.CONTROLLING, State.UNCONFIRMED_STOPPED)
    assert station.feedS(1) == [Acknowledged(1)]
    assert station.state() is State.UNCONFIRMED_STOPPED
    station.feedI(1, acknowledging=2)
    assert station.events[-2:] == [Acknowledged(2), Received([asdu(0)])]
    assert station.state() is State.PENDING_STOPPED
    assert station.feed(STOPDT_CON) == [Stopped()]


def test_stopConfirmedBeforeOwnFramesAreAcknowledged() -> None:
    """STOPDT con is accepted though own frames are open; their t1 goes on."""
    station = inState(Role.CONTROLLING, State.UNCONFIRMED_STOPPED)
    assert station.feed(STOPDT_CON) == [Stopped()]
    assert station.state() is State.STOPPED
    assert station.link.outstanding == 2
    station.run(15)
    assert station.closed is CloseCause.T1_I_FRAME


def test_outstandingFramesCountAfterANewStart() -> None:
    """Own frames left open by a stop take room in the window of the next start."""
    station = inState(Role.CONTROLLING, State.UNCONFIRMED_STOPPED)
    station.feed(STOPDT_CON)
    station.link.start(0)
    station.feed(STARTDT_CON)
    assert station.link.window == station.link.parameters.k - 2


@pytest.mark.parametrize("state", CONTROLLING_STATES)
def test_S12_neverTwoActsOutstanding(state: State) -> None:
    """start() is for a stopped station, stop() for a started one; all else is our own mistake."""
    station = inState(Role.CONTROLLING, state)
    if state is not State.STOPPED:
        with pytest.raises(ValueError, match="not for a controlling station"):
            station.link.start(0)
    if state is not State.STARTED:
        with pytest.raises(ValueError, match="not for a controlling station"):
            station.link.stop(0)
    assert station.written() == []
    assert station.state() is state


def test_S12_startAfterStopdtCon() -> None:
    """A new start is possible as soon as the stop is confirmed."""
    station = inState(Role.CONTROLLING, State.PENDING_STOPPED)
    station.feed(STOPDT_CON)
    station.link.start(0)
    assert station.written() == ["STARTDT act"]


@pytest.mark.parametrize("state", CONTROLLED_STATES)
def test_controlledStationDoesNotStartOrStop(state: State) -> None:
    """Only the controlling station starts and stops."""
    station = inState(Role.CONTROLLED, state)
    for act in (station.link.start, station.link.stop):
        with pytest.raises(ValueError, match="not for a controlled station"):
            act(0)


# -- T04, T05: confirmations that do not come --------------------------------------------------


def test_T04_startdtConMissing() -> None:
    """STARTDT con does not come: closed at t1."""
    station = Station(Role.CONTROLLING, LinkParameters(t1=15, t3=20))
    station.link.start(0)
    assert station.run(15 - MOMENT) == []
    station.run(MOMENT)
    assert station.closed is CloseCause.T1_STARTDT


@pytest.mark.parametrize("state", [State.PENDING_STOPPED, State.UNCONFIRMED_STOPPED])
def test_T05_stopdtConMissing(state: State) -> None:
    """STOPDT con does not come: closed at t1 of STOPDT act, whatever else arrives."""
    station = inState(Role.CONTROLLING, state)
    station.run(10)
    station.feedS(station.link.sent)
    station.feed(TESTFR_ACT)
    assert station.run(5 - MOMENT) == []
    station.run(MOMENT)
    assert station.closed is CloseCause.T1_STOPDT


# -- closing -----------------------------------------------------------------------------------


@BOTH_ROLES
def test_nothingHappensAfterClosed(role: Role) -> None:
    """A closed link returns no events, has no deadline, no window, and is not released."""
    station = Station.started(role)
    station.link.automatic = False
    station.feedI(10)
    station.send(1)
    station.feed(b"\x00")
    assert station.closed is CloseCause.BAD_START
    station.link.takeOutput()
    link = station.link
    assert link.state is State.CLOSED
    assert link.window == 0
    assert link.deadline == float("inf")
    assert link.receive(encodeI(10, 1, asdu(3)) + STARTDT_ACT, 1.0) == []
    assert link.wake(1000.0) == []
    link.release(10, 1000.0)
    assert link.takeOutput() == b""
    with pytest.raises(ValueError, match="window of 0"):
        link.send([asdu(0)], 1000.0)


@BOTH_ROLES
def test_shutForgetsWhatIsNotWritten(role: Role) -> None:
    """A link that is shut from outside says and expects nothing any more."""
    station = Station.started(role)
    station.send(2)
    station.link.shut()
    link = station.link
    assert (link.takeOutput(), link.deadline, link.wake(99)) == (b"", float("inf"), [])
    assert station.link.receive(TESTFR_ACT, 99) == []


@BOTH_ROLES
@pytest.mark.parametrize(
    ("bad", "cause"),
    [
        (b"\x67", CloseCause.BAD_START),
        (b"\x68\x03", CloseCause.BAD_LENGTH),
        (b"\x68\x04\xc3\x00\x00\x00", CloseCause.UNKNOWN_U),
        (encodeI(9, 0, asdu(9)), CloseCause.NS_MISMATCH),
        (encodeS(9), CloseCause.NR_OUT_OF_WINDOW),
    ],
)
def test_framesBeforeABadOneAreDelivered(role: Role, bad: bytes, cause: CloseCause) -> None:
    """What is valid in a chunk is delivered, then Closed with the cause; the rest is ignored."""
    station = Station.started(role)
    station.send(2)
    station.link.takeOutput()
    events = station.feed(
        encodeI(0, 1, asdu(0)), TESTFR_ACT, encodeI(1, 2, asdu(1)), bad, encodeI(2, 2, asdu(2))
    )
    assert events[0] == Acknowledged(2)
    assert station.received == asdus(2)
    last = events[-1]
    assert isinstance(last, Closed) and last.cause is cause
    assert bad[:2].hex(" ") in last.detail
    assert station.written() == ["TESTFR con"]
