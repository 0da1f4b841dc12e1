"""The short ways of a connection against its general one."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from mm2ss.config.parameters import LinkParameters
from mm2ss.iec104.alarm import Alarm, Wheel
from mm2ss.iec104.apci import CloseCause, UFunction, encodeI, encodeS, encodeU
from mm2ss.iec104.conduit import Conduit
from mm2ss.iec104.link import Acknowledged, Link, LinkEvent, Received, Role
from tests.fakes import VirtualClock
from tests.stations import STARTDT_ACT, asdu

PARAMETERS = LinkParameters(k=12, w=8)


class Station:
    """A conduit with its carrier, which keeps what is told and written."""

    def __init__(self, short: bool, automatic: bool) -> None:
        self.clock = VirtualClock()
        link = Link(Role.CONTROLLED, PARAMETERS, self.clock.seconds())
        link.automatic = automatic
        self.told: list[object] = []
        self.written: list[bytes] = []
        self.paused: list[bool] = []
        alarm = Alarm(Wheel(self.clock), self.wake)
        self.conduit = Conduit(link, self, self.written.append, alarm, "peer", "local")
        if short:
            self.conduit.user = self

    def wake(self) -> None:
        self.conduit.wake(self.clock.seconds())

    def received(self, asdus: tuple[bytes, ...], now: float) -> None:
        assert now == self.clock.seconds()
        self.told += asdus

    def acknowledged(self, count: int, now: float) -> None:
        assert now == self.clock.seconds()
        self.told.append(count)

    def deliver(self, events: list[LinkEvent]) -> None:
        for event in events:
            if isinstance(event, Received):
                self.told += event.asdus
            elif isinstance(event, Acknowledged):
                self.told.append(event.count)
            else:
                self.told.append(event)

    def close(self, cause: CloseCause, detail: str = "") -> None:
        self.told.append((cause, detail))
        self.conduit.shut()

    def fail(self) -> None:
        raise AssertionError("nothing fails here")

    def pause(self, paused: bool) -> None:
        self.paused.append(paused)

    def take(self, chunk: bytes) -> None:
        self.conduit.received(chunk, self.clock.seconds())

    @property
    def state(self) -> tuple[object, ...]:
        """All that may be seen of it."""
        conduit, link = self.conduit, self.conduit.link
        figures = link.state, link.window, link.sent, link.received, link.released, link.deadline
        return (*figures, self.told, self.written, conduit.octetsIn, conduit.octetsOut)


frames = st.one_of(
    st.tuples(st.just("I"), st.integers(1, 12), st.sampled_from([4, 4, 9]), st.integers(-1, 1)),
    st.tuples(st.just("S"), st.just(1), st.just(0), st.integers(-1, 12)),
    st.tuples(st.just("U"), st.just(1), st.just(0), st.just(0)),
)


@given(
    st.booleans(),
    st.lists(st.tuples(st.lists(frames, min_size=1, max_size=3), st.integers(0, 80)), max_size=12),
)
@example(True, [([("I", 3, 4, 0)], 0), ([("I", 1, 4, 0)], 0), ([("S", 1, 0, 2)], 0)])
@example(False, [([("I", 12, 4, 1)], 0), ([("I", 12, 9, 1)], 5)])
def test_theShortWaysLeadToTheSame(
    automatic: bool, chunks: list[tuple[list[tuple[str, int, int, int]], int]]
) -> None:
    """With and without its short ways a connection tells, writes and becomes the same."""
    stations = Station(True, automatic), Station(False, automatic)
    number = confirmed = 0
    for station in stations:
        station.take(STARTDT_ACT)
    late = b""
    for turn, (contents, cut) in enumerate(chunks):
        chunk = late
        for kind, count, size, acknowledged in contents:
            confirmed += acknowledged
            if kind == "I":
                bodies = [bytes((number + at & 255,)) * size for at in range(count)]
                chunk += b"".join(
                    encodeI(number + at, max(confirmed, 0), body) for at, body in enumerate(bodies)
                )
                number += count
            elif kind == "S":
                chunk += encodeS(max(confirmed, 0))
            else:
                chunk += encodeU(UFunction.TESTFR_ACT)
        chunk, late = (chunk[:cut], chunk[cut:]) if cut else (chunk, b"")
        for station in stations:
            station.take(chunk)
            window = station.conduit.window
            if window and not turn % 3:
                station.conduit.send([asdu(1)] * window, station.clock.seconds())
            if not automatic:
                count = station.conduit.link.received
                station.conduit.release(count // 2, station.clock.seconds())
            station.clock.advance(1)
        assert stations[0].state == stations[1].state
        chunksOf = [station.conduit.tape.chunks() for station in stations]
        assert chunksOf[0] == chunksOf[1]


def test_afterItIsShut() -> None:
    """A connection that is shut takes nothing, tells nothing, writes nothing and holds nobody."""
    station = Station(short=True, automatic=True)
    station.take(STARTDT_ACT)
    station.conduit.shut()
    before = list(station.written)
    station.take(encodeI(0, 0, asdu(1)))
    station.conduit.release(0, 0.0)
    station.conduit.pause(True)
    station.conduit.setCongested(False, 0.0)
    assert station.conduit.flush(0.0) == 0
    assert station.written == before
    assert station.told[1:] == []
    assert station.paused == []
    assert station.conduit.window == 0
    assert station.conduit.user is None
