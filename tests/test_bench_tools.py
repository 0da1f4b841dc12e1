"""The load tools notice every wrong frame and keep to their windows; nothing is typed by hand."""

from __future__ import annotations

import itertools
import json
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mm2ss.iec104.apci import FrameBuffer, encodeI, encodeS
from tests.bench.cycle import Bench, steps
from tests.bench.fastmaster import Masters
from tests.bench.fastrtu import Line as RtuLine
from tests.bench.fastrtu import Rtus
from tests.bench.loop import Loop
from tests.bench.masterline import Line as MasterLine
from tests.bench.processes import awake
from tests.bench.stream import (
    CHUNK,
    GREETING,
    MODULO,
    PERIOD,
    STARTDT_ACT,
    STARTDT_CON,
    TESTFR_ACT,
    TESTFR_CON,
    Stream,
    acknowledge,
    acknowledged,
    cut,
)

ALIKE, MIXED = Stream(1), Stream(1, mixed=True)
STREAMS = {False: ALIKE, True: MIXED}
K, W = 12, 8


def frames(stream: Stream, first: int, count: int) -> list[bytes]:
    """Frames of a stream."""
    return [
        stream.octets[stream.offset(n) : stream.offset(n + 1)] for n in range(first, first + count)
    ]


# -- the stream -----------------------------------------------------------------------------


@pytest.mark.parametrize("mixed", STREAMS)
@pytest.mark.parametrize("first", [0, MODULO - 5, PERIOD - 5])
def test_stream(mixed: bool, first: int) -> None:
    """Behind a greeting N(S) counts from 1, the number inside counts on, also where both wrap."""
    stream = STREAMS[mixed]
    apdus = FrameBuffer().feed(b"".join(frames(stream, first, 10)))
    assert [apdu[0] >> 1 for apdu in apdus] == [(first + 1 + n) % MODULO for n in range(10)]
    inside = [int.from_bytes(apdu[2][6:9], "little") for apdu in apdus]
    assert inside == [(first + n) % PERIOD + 1 for n in range(10)]
    assert all(apdu[1] == 0 for apdu in apdus)


@pytest.mark.parametrize("mixed", STREAMS)
@given(octets=st.integers(0, 10**9))
def test_streamCounts(mixed: bool, octets: int) -> None:
    """Octets are counted as the frames that are whole in them."""
    stream = STREAMS[mixed]
    count = stream.frames(octets)
    assert stream.offset(count) <= octets < stream.offset(count + 1)


def test_streamRepeats() -> None:
    """One period is whole frames, and so much of the next one follows as is read at once."""
    for stream in STREAMS.values():
        assert stream.span == stream.offset(PERIOD)
        assert stream.octets[stream.span :] == stream.octets[:CHUNK]


@pytest.mark.parametrize("count", [0, 1, MODULO - 1, MODULO, 5 * MODULO + 7])
def test_acknowledgement(count: int) -> None:
    """An S frame says a count by its last 15 bits, and is read as the next such count."""
    assert acknowledge(count) == encodeS(count)
    assert acknowledged(encodeS(3) + encodeS(count), max(0, count - 9)) == count
    assert acknowledged(encodeS(count) + TESTFR_ACT, 0) is None


# -- a master -------------------------------------------------------------------------------


class Seat:
    """A fast master with the far end of its connection at hand."""

    def __init__(self, mixed: bool = False) -> None:
        self.masters = Masters([("127.0.0.1", 1)], each=1, k=K, w=W, mixed=mixed)
        self.line = MasterLine(("127.0.0.1", 1), self.masters)
        near, self.far = socket.socketpair()
        near.setblocking(False)
        self.far.setblocking(False)
        self.line.begun(near)

    def give(self, data: bytes) -> None:
        """It receives that."""
        self.far.send(data)
        self.line.ready(0)

    def said(self) -> list[bytes]:
        """The frames that it sent."""
        try:
            return cut(self.far.recv(CHUNK))[0]
        except BlockingIOError:
            return []

    def close(self) -> None:
        """End both ends."""
        self.far.close()
        if self.line.socket is not None:
            self.line.socket.close()
        self.masters.loop.close()


@pytest.fixture(params=[False, True], ids=["alike", "mixed"])
def seat(request: pytest.FixtureRequest) -> Iterator[Seat]:
    """A master that has been greeted."""
    seat = Seat(request.param)
    seat.give(STARTDT_CON)
    seat.give(GREETING)
    assert seat.said() == [STARTDT_ACT]
    yield seat
    seat.close()


@pytest.mark.parametrize("size", [1, 7, 23, 24, 100])
def test_masterTakesTheStream(seat: Seat, size: int) -> None:
    """However the stream is cut, a master counts its frames and acknowledges each w of them."""
    stream = seat.masters.stream
    data = stream.octets[: stream.offset(50)]
    said = []
    for at in range(0, len(data), size):
        seat.give(data[at : at + size])
        said += seat.said()
    assert stream.frames(seat.line.octets) == 50
    assert seat.masters.errors == []
    counts = [acknowledged(frame, 0) for frame in said]
    steps = [second - first for first, second in itertools.pairwise([1, *filter(None, counts)])]
    assert len(counts) == len(steps) and min(steps) >= W


def test_masterAnswersTests(seat: Seat) -> None:
    """A test between events, however it is cut, is answered and disturbs nothing."""
    first, second, third = frames(seat.masters.stream, 0, 3)
    seat.give(first + TESTFR_ACT + second[:9])
    seat.give(second[9:] + TESTFR_ACT[:2])
    seat.give(TESTFR_ACT[2:] + third)
    assert seat.said() == [TESTFR_CON, TESTFR_CON]
    assert seat.masters.stream.frames(seat.line.octets) == 3
    assert seat.masters.errors == []


def altered(frame: bytes) -> bytes:
    """A frame with one bit turned in its last octet."""
    return frame[:-1] + bytes((frame[-1] ^ 1,))


@pytest.mark.parametrize(
    "order",
    [(0, 1, 3), (0, 1, 1), (0, 2, 1), (1,)],
    ids=["lost", "doubled", "reordered", "first is lost"],
)
def test_masterNotices(seat: Seat, order: tuple[int, ...]) -> None:
    """A frame that is lost, doubled or out of order is an error."""
    sent = frames(seat.masters.stream, 0, 4)
    seat.give(b"".join(sent[number] for number in order))
    assert seat.masters.errors


def test_masterNoticesRenumbered(seat: Seat) -> None:
    """A lost frame is an error also where the next ones have its number, as behind a relay."""
    _, second, *_ = frames(seat.masters.stream, 0, 2)
    seat.give(encodeI(1, 0, second[6:]))
    assert seat.masters.errors


def test_masterNoticesAltered(seat: Seat) -> None:
    """One bit that is wrong is an error."""
    first, second = frames(seat.masters.stream, 0, 2)
    seat.give(first + altered(second))
    assert seat.masters.errors


def test_masterAcknowledgesGreeting(seat: Seat) -> None:
    """A master at rest acknowledges the greeting, or the relay would close it after t1."""
    seat.line.acknowledgeAll()
    assert seat.said() == [acknowledge(1)]


def test_masterNoticesClose(seat: Seat) -> None:
    """A connection that is lost is an error, unless that is expected."""
    assert seat.line.socket is not None
    seat.masters.loop.add(seat.line.socket.fileno(), seat.line.ready)
    seat.far.close()
    seat.line.ready(0)
    assert seat.masters.errors


def test_masterNoticesTooMany(seat: Seat) -> None:
    """More than k unacknowledged frames are an error."""
    seat.give(b"".join(frames(seat.masters.stream, 0, K + 1)))
    assert seat.masters.errors


# -- an RTU ---------------------------------------------------------------------------------


@pytest.fixture
def station() -> Iterator[tuple[Rtus, RtuLine, socket.socket]]:
    """A line of an RTU, and its far end."""
    rtus = Rtus(count=0, port=0, k=K)
    near, far = socket.socketpair()
    near.setblocking(False)
    far.setblocking(False)
    yield rtus, rtus.join(near), far
    near.close()
    far.close()
    rtus.loop.close()


def test_rtuKeepsItsWindow(station: tuple[Rtus, RtuLine, socket.socket]) -> None:
    """An RTU sends nothing before STARTDT, then k frames, and more as they are acknowledged."""
    rtus, line, far = station
    rtus.doFlow(on=True)
    far.send(STARTDT_ACT)
    line.ready(0)
    came = cut(far.recv(CHUNK))[0]
    assert came == [STARTDT_CON, *frames(rtus.stream, 0, K)]
    far.send(acknowledge(5))
    line.ready(0)
    assert cut(far.recv(CHUNK))[0] == frames(rtus.stream, K, 5)
    assert rtus.errors == []


def test_rtuNoticesEarlyAcknowledgement(station: tuple[Rtus, RtuLine, socket.socket]) -> None:
    """An acknowledgement of what was not sent is an error."""
    rtus, line, far = station
    far.send(acknowledge(1))
    line.ready(0)
    assert rtus.errors


def test_rtuAnswersCommands(station: tuple[Rtus, RtuLine, socket.socket]) -> None:
    """A command is confirmed and terminated, with numbers of both directions."""
    rtus, line, far = station
    asked = bytes((45, 1, 6, 3, 32, 0, 9, 0, 0, 1))
    far.send(STARTDT_ACT + encodeI(0, 0, asked))
    line.ready(0)
    expected = [
        encodeI(n, 1, asked[:2] + bytes((cause,)) + asked[3:]) for n, cause in ((0, 7), (1, 10))
    ]
    assert cut(far.recv(CHUNK))[0] == [STARTDT_CON, *expected]
    assert json.dumps(rtus.doStatus())


# -- the loop -------------------------------------------------------------------------------


def test_loopTicks() -> None:
    """A tick may end itself and begin another while it is called."""
    loop = Loop()
    calls = []

    def first() -> None:
        calls.append("first")
        loop.every(0, first)
        loop.every(0.001, second)

    def second() -> None:
        calls.append("second")
        loop.running = len(calls) < 4

    loop.every(0.001, first)
    loop.run()
    loop.close()
    assert calls == ["first", "second", "second", "second"]


def test_processorsAreKeptAwake(tmp_path: Path) -> None:
    """The system is told that no wake-up may take any time; where that may not be, it is said."""
    device = tmp_path / "cpu_dma_latency"
    with awake(str(device)) as kept:
        assert not kept
    device.write_bytes(b"")
    with awake(str(device)) as kept:
        assert kept and device.read_bytes() == bytes(4)


def test_aTurnOfABusyGroup() -> None:
    """In each turn all events go to all masters, and are settled; the steps are always the same."""
    with closing(Bench(masters=2, frames=12)) as bench:
        bench.run(bench.chunks(50))
        snapshot = bench.group.snapshot()
        assert (snapshot.received, snapshot.settled, snapshot.unsettled) == (600, 600, 0)
        assert [master.sent for master in snapshot.masters] == [601, 601]
        first, second = (sum(steps(bench, 100).values()) for _ in range(2))
        assert abs(first - second) < 0.01 * first
