"""What a connection keeps of its last octets: what, how much, and what it costs."""

from __future__ import annotations

import tracemalloc

import pytest

from mm2ss.iec104.apci import CloseCause, encodeI
from mm2ss.iec104.link import Role
from mm2ss.iec104.tape import CHUNKS, IDLE, KEPT, TESTS, Chunk, Tape
from tests.stations import STARTDT_ACT, STARTDT_CON, TESTFR_ACT, asdu
from tests.test_protocol import Bench

TESTFR_CON = bytes.fromhex("680483000000")


def test_bothDirectionsInOrder() -> None:
    """Each chunk is kept with its time, its length (negative = sent) and its octets."""
    bench = Bench()
    bench.connect()
    began = bench.clock.seconds()
    bench.connection.dataReceived(STARTDT_ACT + TESTFR_ACT[:2])
    bench.clock.advance(2)
    bench.connection.dataReceived(TESTFR_ACT[2:])
    assert list(bench.conduit.tape.chunks()) == [
        (began, 8, STARTDT_ACT + TESTFR_ACT[:2]),
        (began, -6, STARTDT_CON),
        (began + 2, 4, TESTFR_ACT[2:]),
        (began + 2, -6, TESTFR_CON),
    ]


def test_timeOfWhatIsSentByItself() -> None:
    """What a timer or the owner sends has the time at which it was sent, not of the last chunk."""
    bench = Bench(Role.CONTROLLING)
    bench.connect()
    began = bench.clock.seconds()
    bench.connection.start()
    bench.connection.dataReceived(STARTDT_CON)
    bench.clock.advance(21)  # t3
    bench.clock.advance(1)
    bench.connection.dataReceived(TESTFR_CON)
    bench.clock.advance(3)
    bench.connection.stop()
    times = [(time - began, size) for time, size, _ in bench.conduit.tape.chunks()]
    assert [size for _, size in times] == [-6, 6, -6, 6, -6]
    assert times[0][0] == times[1][0] == 0
    assert 20 <= times[2][0] <= 21
    assert [time for time, _ in times[3:]] == [22, 25]


def test_longChunk() -> None:
    """Of a long chunk its end is kept, and its whole length; a short one is not copied."""
    bench = Bench()
    bench.connect()
    data = STARTDT_ACT + TESTFR_ACT * 200
    bench.connection.dataReceived(data)
    assert bench.conduit.tape.chunks()[0][1:] == (len(data), data[-KEPT:])


def test_keepsNothingOfTheTransport() -> None:
    """What was received is copied, that the transport's block goes; what was sent need not be."""
    bench = Bench()
    bench.connect()
    bench.connection.dataReceived(STARTDT_ACT)
    _, _, kept = bench.conduit.tape.chunks()[0]
    assert kept == STARTDT_ACT
    assert kept is not STARTDT_ACT
    short = bytes(KEPT)
    tape = Tape()
    tape.add(1.0, -KEPT, short)
    assert tape.chunks()[0][2] is short


def test_bounded() -> None:
    """There are never more than so many; when the oldest go, half of them stay."""
    bench = Bench()
    bench.connect()
    lengths = set()
    for _ in range(2 * CHUNKS):
        bench.connection.dataReceived(TESTFR_ACT)
        lengths.add(len(bench.conduit.tape.chunks()))
    assert max(lengths) <= CHUNKS
    assert len(bench.conduit.tape.chunks()) > CHUNKS // 2
    assert {size for _, size, _ in bench.conduit.tape.chunks()} == {6, -6}


def test_idle() -> None:
    """An idle connection keeps what it said, and of TESTFR the last, in little memory."""
    bench = Bench(idleTime=3600)
    bench.connect()
    said = STARTDT_ACT + encodeI(0, 0, asdu(1))
    bench.connection.dataReceived(said)
    for _ in range(50):
        bench.clock.advance(7)
        bench.connection.dataReceived(TESTFR_ACT)
    chunks = bench.conduit.tape.chunks()
    assert len(bench.conduit.tape._recent) < 8
    assert chunks[0][1:] == (len(said), said)
    assert TESTS < len(chunks) < 16
    assert [size for _, size, _ in chunks[-2:]] == [6, -6]
    assert sorted(chunks, key=lambda chunk: chunk[0]) == list(chunks)


@pytest.mark.parametrize("others", range(7))
def test_ofTestsTheLastAreKept(others: int) -> None:
    """However tests and other chunks alternate: of all tests the last ones, each other chunk."""
    tape = Tape()
    said: list[Chunk] = []
    for number in range(40):
        now = 100.0 * number
        fresh = [(now, -6, TESTFR_ACT), (now + 1, 6, TESTFR_CON)]
        if others and number % 7 < 2 and number < 7 * others:
            fresh.insert(number % 3, (now + 0.5, 9, b"something"))
        for chunk in fresh:
            tape.add(*chunk)
        said += fresh
        tape.rest(now + 50)
        tests = [chunk for chunk in said if chunk[1] != 9][-TESTS:]
        kept = [chunk for chunk in said if chunk[1] == 9 or chunk in tests]
        assert tape.chunks() == tuple(kept[-CHUNKS // 2 :])


def test_packing() -> None:
    """What is packed comes back the same, long chunks and late times included."""
    tape = Tape()
    chunks = [(1e6 + number / 3, -1000 * number - 1, bytes(KEPT)) for number in range(10)]
    for chunk in chunks:
        tape.add(*chunk)
    tape.rest(1e6 + 1)
    assert len(tape._recent) == 10
    tape.rest(1e6 + IDLE)
    assert len(tape._recent) == 0 and tape.chunks() == tuple(chunks)
    tape.add(2e6, 1, b"x")
    assert tape.chunks() == (*chunks, (2e6, 1, b"x"))
    tape.rest(2e6 + IDLE)
    assert tape.chunks()[0] == chunks[0]
    for number in range(20):
        tape.add(3e6 + number, 1, b"x")
    tape.rest(3e6 + 60)
    assert len(tape.chunks()) == CHUNKS // 2


def test_afterTheEnd() -> None:
    """What comes while the connection closes is not looked at, so it is not kept."""
    bench = Bench()
    bench.connect()
    bench.connection.close(CloseCause.REPLACED)
    before = list(bench.conduit.tape.chunks())
    bench.connection.dataReceived(TESTFR_ACT)
    assert list(bench.conduit.tape.chunks()) == before


def memoryOf(chunk: bytes, seconds: float) -> float:
    """Octets of memory that a tape takes when chunks like this one came at this interval."""
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        tapes = [Tape() for _ in range(100)]
        for tape in tapes:
            for number in range(3 * CHUNKS):
                data = bytes(bytearray(chunk))  # as the transport makes a new one each time
                tape.add(1000.0 + number * seconds, -len(data), data)
                if seconds:
                    tape.rest(1000.0 + number * seconds)
        return (tracemalloc.get_traced_memory()[0] - before) / len(tapes)
    finally:
        tracemalloc.stop()


def test_memory() -> None:
    """A connection's tape takes below 1 kB when only TESTFR passes, below 25 kB at the busiest."""
    assert memoryOf(TESTFR_ACT, seconds=10) < 1_000
    assert memoryOf(bytes(65536), seconds=0) < 25_000
