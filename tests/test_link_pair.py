"""Two links back to back in all the ways chance can think of: nothing lost, nothing early."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from mm2ss.config.parameters import LinkParameters
from mm2ss.iec104.apci import Apdu, CloseCause, FrameBuffer, encodeI, encodeS, isI, isS
from mm2ss.iec104.link import Acknowledged, Link, LinkEvent, Role, State
from tests.stations import (
    STARTDT_ACT,
    STARTDT_CON,
    STOPDT_ACT,
    STOPDT_CON,
    TESTFR_ACT,
    TESTFR_CON,
    Pair,
    Station,
    asdus,
    cut,
    describe,
)

#: Waits are multiples of a sixteenth, so that sums of floats are exact.
seconds = st.integers(0, 5 * 16).map(lambda sixteenths: sixteenths / 16)


@st.composite
def parameterSets(draw: st.DrawFn) -> LinkParameters:
    """Small windows, and timers that expire within a few steps or hardly ever."""
    k = draw(st.integers(1, 6))
    t1 = draw(st.sampled_from([200, 15, 6]))
    return LinkParameters(
        k=k,
        w=draw(st.integers(1, k)),
        t1=t1,
        t2=draw(st.integers(1, t1 - 1)),
        t3=draw(st.sampled_from([4, 20, 500])),
    )


parameterPairs = st.tuples(parameterSets(), parameterSets())
releaseDelays = st.one_of(st.none(), st.sampled_from([0, 0.125, 3]))


@dataclass
class Model:
    """What an observer of one station knows, from the octets alone."""

    sent: list[float] = field(default_factory=list)  # when each own I frame was written
    acknowledged: int = 0  # own I frames covered by an N(R) that has arrived
    released: int = 0  # received I frames that may be acknowledged
    told: int = 0  # the last N(R) written
    owedSince: float = inf  # when the first releasable frame that is not acknowledged arrived
    lastArrival: float = 0.0
    actAt: float = inf  # STARTDT or STOPDT act waits for its con
    testAt: float = inf  # TESTFR act waits for its con
    arriving: FrameBuffer = field(default_factory=FrameBuffer)

    def due(self, parameters: LinkParameters, releaseDelay: float) -> float:
        """The latest moment at which the link must wake."""
        open_ = self.sent[self.acknowledged] if self.acknowledged < len(self.sent) else inf
        quiet = self.lastArrival + parameters.t3 if self.testAt == inf else inf
        t1 = min(open_, self.actAt, self.testAt) + parameters.t1
        return min(t1, quiet, self.owedSince + releaseDelay)


class TwoLinks(RuleBasedStateMachine):
    """Sends, chunks, delays, stops, withheld acknowledgements and wake-ups that come late."""

    over = True

    @initialize(parameters=parameterPairs, releaseDelay=releaseDelays)
    def connect(
        self,
        parameters: tuple[LinkParameters, LinkParameters],
        releaseDelay: float | None,
    ) -> None:
        self.pair = Pair(*parameters, releaseDelay=releaseDelay)
        self.now = 0.0
        self.models = {station: Model() for station in self.pair.stations}
        self.delays = {
            station: station.link.parameters.t2 if releaseDelay is None else releaseDelay
            for station in self.pair.stations
        }
        self.over = False

    @precondition(lambda self: self.over)
    @rule(parameters=parameterPairs, releaseDelay=releaseDelays)
    def connectAgain(
        self,
        parameters: tuple[LinkParameters, LinkParameters],
        releaseDelay: float | None,
    ) -> None:
        """After a close comes a new connection, on which everything counts from 0."""
        self.connect(parameters, releaseDelay)

    # what happens

    open_ = precondition(lambda self: not self.over)

    @open_
    @rule(first=st.booleans(), count=st.integers(1, 9))
    def send(self, first: bool, count: int) -> None:
        """Send what the window allows; one more than that is refused without a trace."""
        station = self.pair.stations[first]
        link = station.link
        room = link.window
        assert 0 <= room <= link.parameters.k
        if count > room:
            try:
                station.send(room + 1)
            except ValueError:
                assert link.window == room
            else:
                raise AssertionError("more than the window was sent")
        station.send(min(count, room))
        self.collect()

    @open_
    @rule(first=st.booleans(), octets=st.one_of(st.none(), st.integers(1, 60)))
    def deliver(self, first: bool, octets: int | None) -> None:
        """Some of the octets on a wire arrive in one chunk, ends of frames or not."""
        sender = self.pair.stations[first]
        receiver = self.pair.other(sender)
        model = self.models[receiver]
        chunk = bytes(self.pair.wires[sender][:octets])
        events = self.pair.deliver(sender, octets)
        self.observeArrivals(receiver, model, model.arriving.feed(chunk))
        acknowledged = [event.count for event in events if isinstance(event, Acknowledged)]
        assert acknowledged in ([], [model.acknowledged])
        self.judge(receiver, events)
        self.collect()

    @open_
    @rule()
    def startOrStop(self) -> None:
        """The controlling station starts if it is stopped, and stops if it is started."""
        station = self.pair.controlling
        if station.link.state is State.STOPPED:
            station.link.start(self.now)
        elif station.link.state is State.STARTED:
            station.link.stop(self.now)
        self.collect()

    @open_
    @rule(first=st.booleans(), automatic=st.booleans())
    def hold(self, first: bool, automatic: bool) -> None:
        """Acknowledgements are withheld from now on, or given by themselves again."""
        station = self.pair.stations[first]
        station.link.automatic = automatic
        if automatic:
            self.release(first, station.link.received)

    @open_
    @rule(first=st.booleans(), count=st.integers(0, 6))
    def releaseSome(self, first: bool, count: int) -> None:
        """Some of the frames received so far may be acknowledged."""
        self.release(first, count)

    @open_
    @rule(wait=seconds)
    def sleep(self, wait: float) -> None:
        """Time passes and nobody is woken: what was due is late then."""
        self.now += wait
        for station in self.pair.stations:
            station.now = self.now

    @open_
    @rule(first=st.booleans())
    def wake(self, first: bool) -> None:
        """A station is woken, late, at the right moment or without need."""
        station = self.pair.stations[first]
        early = self.now < station.link.deadline
        events = station.wake()
        if early:
            assert events == [] and station.link.takeOutput() == b""
        self.judge(station, events)
        self.collect()

    @open_
    @rule()
    def sleepUntilTheNextDeadline(self) -> None:
        """The next timer expires and is served exactly then."""
        self.sleep(max(0, min(s.link.deadline for s in self.pair.stations) - self.now))
        for first in (False, True):
            if not self.over and self.pair.stations[first].link.deadline <= self.now:
                self.wake(first)

    # what must hold

    @invariant()
    def nothingIsForgotten(self) -> None:
        """Windows are kept, data is a prefix of what was sent, no timer is missing."""
        if self.over:
            return
        for station in self.pair.stations:
            link, model = station.link, self.models[station]
            assert link.sent == len(model.sent)
            assert link.outstanding == link.sent - model.acknowledged <= link.parameters.k
            assert station.received == asdus(link.received)
            assert link.received <= self.pair.other(station).link.sent
            assert model.told <= model.released <= link.received
            assert link.received - model.told < link.parameters.w or not link.automatic
            assert link.deadline <= model.due(link.parameters, self.delays[station])

    def teardown(self) -> None:
        """In the end, with nothing withheld, all that was sent has arrived and is acknowledged."""
        for first in (False, True):
            if not self.over:
                self.hold(first, True)
        for _ in range(300):
            for first in (False, True):
                if not self.over:
                    self.deliver(first, None)
            if self.settled():
                break
            if not any(self.pair.wires.values()):
                self.sleepUntilTheNextDeadline()
        else:
            raise AssertionError("no end of it")
        self.nothingIsForgotten()
        for station in self.pair.stations:
            if not self.over:
                assert station.link.received == self.pair.other(station).link.sent

    # the observer

    def settled(self) -> bool:
        """Whether nothing is on its way or unacknowledged, or the connection is closed."""
        return self.over or not (
            any(self.pair.wires.values())
            or any(station.link.outstanding for station in self.pair.stations)
        )

    def release(self, first: bool, count: int) -> None:
        station = self.pair.stations[first]
        model = self.models[station]
        count = min(count, station.link.received)
        station.link.release(count, self.now)
        if count > model.released:
            model.released = count
            model.owedSince = min(model.owedSince, self.now)
        self.collect()

    def collect(self) -> None:
        """Put octets on the wires, and note what they say."""
        for station in self.pair.stations:
            octets = station.link.takeOutput()
            self.pair.wires[station] += octets
            model = self.models[station]
            for apdu in FrameBuffer().feed(octets):
                what = describe(apdu)
                if isI(apdu):
                    assert apdu[0] >> 1 == len(model.sent), "own numbers are in order"
                    model.sent.append(self.now)
                if isI(apdu) or isS(apdu):
                    assert model.told <= apdu[1] >> 1 <= model.released
                    assert isI(apdu) or apdu[1] >> 1 > model.told, "an S for nothing"
                    model.told = apdu[1] >> 1
                    if model.told == model.released:
                        model.owedSince = inf
                elif what in ("STARTDT act", "STOPDT act"):
                    assert model.actAt == inf, "one start or stop at a time"
                    model.actAt = self.now
                elif what == "TESTFR act":
                    assert model.testAt == inf, "one test at a time"
                    model.testAt = self.now

    def observeArrivals(self, station: Station, model: Model, apdus: list[Apdu]) -> None:
        """Note what the frames of a chunk mean for the station that got them."""
        before = model.released
        if apdus:
            model.lastArrival = self.now
        received = 0
        for apdu in apdus:
            what = describe(apdu)
            if isI(apdu) or isS(apdu):
                model.acknowledged = max(model.acknowledged, apdu[1] >> 1)
                received += isI(apdu)
            elif what in ("STARTDT con", "STOPDT con"):
                model.actAt = inf
            elif what == "TESTFR con":
                model.testAt = inf
            elif what == "STOPDT act":
                model.released = station.link.received  # no I follows a STOPDT act
        if station.link.automatic:
            model.released = station.link.received
        if model.released > before:
            model.owedSince = min(model.owedSince, self.now)

    def judge(self, station: Station, events: list[LinkEvent]) -> None:
        """A link may close only where a timer really has expired."""
        cause = station.closed
        if cause is None:
            return
        self.over = True
        model = self.models[station]
        since = {
            CloseCause.T1_I_FRAME: model.sent[model.acknowledged]
            if model.acknowledged < len(model.sent)
            else inf,
            CloseCause.T1_STARTDT: model.actAt,
            CloseCause.T1_STOPDT: model.actAt,
            CloseCause.T1_TESTFR: model.testAt,
        }
        assert cause in since, f"{cause} between two proper stations"
        assert since[cause] + station.link.parameters.t1 <= self.now, f"{cause} too early"


def test_twoLinksBackToBack() -> None:
    """No loss, no reordering, windows, withheld acknowledgements and deadlines hold always."""
    run_state_machine_as_test(TwoLinks, settings=settings(stateful_step_count=60))


# -- streams that no station would send --------------------------------------------------------

FRAME = st.one_of(
    st.sampled_from(
        [STARTDT_ACT, STARTDT_CON, STOPDT_ACT, STOPDT_CON, TESTFR_ACT, TESTFR_CON],
    ),
    st.builds(encodeI, st.integers(0, 4), st.integers(0, 4), st.binary(min_size=1, max_size=20)),
    st.builds(encodeS, st.integers(0, 5)),
)
#: Frames mostly, noise sometimes.
STREAM = st.lists(st.one_of(FRAME, FRAME, FRAME, st.binary(max_size=8)), max_size=25).map(b"".join)
#: Places at which an octet of a stream is replaced.
MUTATIONS = st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), max_size=3)

#: Causes that octets and time can lead to.
POSSIBLE = {
    CloseCause.T1_I_FRAME,
    CloseCause.T1_STARTDT,
    CloseCause.T1_STOPDT,
    CloseCause.T1_TESTFR,
    CloseCause.IDLE,
    CloseCause.BAD_START,
    CloseCause.BAD_LENGTH,
    CloseCause.UNKNOWN_U,
    CloseCause.NS_MISMATCH,
    CloseCause.NR_OUT_OF_WINDOW,
    CloseCause.DATA_WHILE_STOPPED,
}


@given(
    st.sampled_from(Role),
    st.one_of(STREAM, st.binary(max_size=400)),
    MUTATIONS,
    st.lists(st.integers(0, 2000), max_size=8),
    st.lists(st.integers(0, 15), min_size=1, max_size=6),
    st.booleans(),
)
@settings(max_examples=300)
def test_M08_noStreamRaises(
    role: Role,
    stream: bytes,
    mutations: list[tuple[int, int]],
    places: list[int],
    waits: list[int],
    automatic: bool,
) -> None:
    """Whatever arrives, in whatever chunks: the link goes on or closes with a cause, once."""
    octets = bytearray(stream)
    for place, value in mutations:
        if octets:
            octets[place % len(octets)] = value
    station = Station(role, idleTime=50)
    station.link.automatic = automatic
    if role is Role.CONTROLLING:
        station.link.start(0)
    for index, chunk in enumerate(cut(bytes(octets), places)):
        station.feed(chunk)
        station.send(min(2, station.link.window))
        if index == 3 and role is Role.CONTROLLING and station.link.state is State.STARTED:
            station.link.stop(station.now)
        station.run(waits[index % len(waits)])
        # Each received I frame and each U act has at most one answer.
        assert len(station.link.takeOutput()) <= 6 * (len(octets) // 6 + 10) + 2 * 16
        assert station.link.outstanding <= station.link.parameters.k
    station.run(1000)
    assert station.closed in POSSIBLE, "a silent peer is closed in the end"
    assert len(station.received) == station.link.received


def test_everyCauseOfALinkIsReached() -> None:
    """The causes above are all that a link can give; the others are for its owners."""
    owners = {
        *(CloseCause.T0, CloseCause.BAD_ASDU, CloseCause.PEER_CLOSED, CloseCause.PEER_RESET),
        *(CloseCause.POLICY, CloseCause.TOO_SLOW, CloseCause.REPLACED, CloseCause.RTU_LOST),
        *(CloseCause.RESTART, CloseCause.SHUTDOWN, CloseCause.OPERATOR, CloseCause.FAULT),
    }
    assert {*POSSIBLE} | owners == {*CloseCause}
    assert not POSSIBLE & owners
    assert Link(Role.CONTROLLED, LinkParameters(), 0.0).state is State.STOPPED
