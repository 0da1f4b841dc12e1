"""Recorded octets cut into APDUs: what is whole, what is not, and where the next one begins."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mm2ss.iec104.apci import Apdu, encodeI, encodeS
from mm2ss.iec104.stream import Cutter, framesOf
from mm2ss.iec104.tape import Chunk, Recording
from tests.stations import STARTDT_ACT, TESTFR_ACT, asdu

I_FRAME = encodeI(3, 1, asdu(1))
S_FRAME = encodeS(4)

frames = st.lists(
    st.sampled_from([I_FRAME, S_FRAME, TESTFR_ACT, encodeI(9, 9, b"\x68" * 200)]), max_size=8
)
splits = st.lists(st.integers(1, 300), max_size=20)


def split(data: bytes, sizes: list[int]) -> list[bytes]:
    """The octets in chunks of these sizes, and the rest."""
    chunks = []
    for size in sizes:
        chunks.append(data[:size])
        data = data[size:]
    return [chunk for chunk in (*chunks, data) if chunk]


def whole(pieces: list[tuple[Apdu | None, bytes]]) -> list[bytes]:
    """The octets of those that are APDUs."""
    return [octets for apdu, octets in pieces if apdu]


@given(st.lists(st.tuples(st.binary(max_size=600), st.integers(0, 3)), max_size=8), st.booleans())
def test_anything(chunks: list[tuple[bytes, int]], aligned: bool) -> None:
    """Whatever comes, nothing raises and no octet is lost, doubled or out of order."""
    cutter = Cutter(aligned)
    pieces = [piece for data, missing in chunks for piece in cutter.feed(data, missing)]
    pieces += cutter.end()
    assert b"".join(octets for _, octets in pieces) == b"".join(data for data, _ in chunks)


@given(frames, splits)
def test_properStream(sent: list[bytes], sizes: list[int]) -> None:
    """A stream known from its beginning gives its frames, wherever the chunks end."""
    cutter = Cutter(True)
    pieces = [piece for chunk in split(b"".join(sent), sizes) for piece in cutter.feed(chunk)]
    assert [octets for _, octets in pieces] == sent and not cutter.end()
    assert all(apdu for apdu, _ in pieces)


def test_beginningInTheMiddle() -> None:
    """Where a record begins within a frame, the rest of that one is told apart from the next."""
    cutter = Cutter(False)
    pieces = cutter.feed(I_FRAME[5:] + S_FRAME + I_FRAME)
    assert pieces[0] == (None, I_FRAME[5:])
    assert whole(pieces[1:]) == [S_FRAME, I_FRAME]
    assert whole(cutter.feed(S_FRAME)) == [S_FRAME]


def test_missingOctets() -> None:
    """After a gap, what was unfinished stays so, and the next frame is looked for."""
    cutter = Cutter(True)
    assert cutter.feed(I_FRAME[:7]) == []
    pieces = cutter.feed(I_FRAME[-3:] + S_FRAME, missing=900)
    assert pieces[:2] == [(None, I_FRAME[:7]), (None, I_FRAME[-3:])]
    assert whole(pieces) == [S_FRAME]


def test_fault() -> None:
    """Frames before a fault are frames; from there on the octets are shown as they are."""
    cutter = Cutter(True)
    pieces = cutter.feed(S_FRAME + b"GET / HTTP/1.1")
    assert whole(pieces) == [S_FRAME]
    assert pieces[1] == (None, b"GET / HTTP/1.1")
    assert whole(cutter.feed(TESTFR_ACT)) == [TESTFR_ACT]


def test_faultAfterTheMiddle() -> None:
    """Where a record begins within a frame and ends in a fault, the frames between are found."""
    pieces = Cutter(False).feed(I_FRAME[4:] + S_FRAME + I_FRAME + b"\x00\x01")
    assert whole(pieces) == [S_FRAME, I_FRAME]
    assert pieces[-1] == (None, b"\x00\x01")
    assert Cutter(False).feed(b"no frame") == [(None, b"no frame")]


def test_recording() -> None:
    """Both directions are cut apart, and each frame has the time of the chunk that completes it."""
    chunks: tuple[Chunk, ...] = (
        (1.0, 3, STARTDT_ACT[:3]),
        (2.0, -6, TESTFR_ACT),
        (3.0, 3, STARTDT_ACT[3:]),
        (4.0, 2, b"\x68\x04"),
    )
    record = Recording("master", "192.0.2.1:1", "192.0.2.2:2404", chunks, whole=True)
    taken = [(each.time, each.received, each.octets, bool(each.apdu)) for each in framesOf(record)]
    assert taken == [
        (2.0, False, TESTFR_ACT, True),
        (3.0, True, STARTDT_ACT, True),
        (4.0, True, b"\x68\x04", False),
    ]
