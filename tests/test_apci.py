"""Frames: what is valid, what is not, and that chunks of a stream make no difference."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mm2ss.iec104.apci import (
    MAX_ASDU,
    Apdu,
    CloseCause,
    FrameBuffer,
    ProtocolError,
    UFunction,
    decodeRun,
    encodeI,
    encodeRun,
    encodeS,
    encodeU,
    isI,
    isS,
    unwrap,
)
from tests.stations import asdu, cut, describe


def parse(*chunks: bytes) -> tuple[list[str], CloseCause | None]:
    """Feed chunks; return the frames in words and the fault, if any."""
    buffer = FrameBuffer()
    apdus = [apdu for chunk in chunks for apdu in buffer.feed(chunk)]
    return [describe(apdu) for apdu in apdus], buffer.fault.cause if buffer.fault else None


VALID = [
    encodeI(0, 0, asdu(7)),
    encodeI(32767, 32767, asdu(8)),
    encodeI(5, 1, bytes(MAX_ASDU)),
    encodeS(300),
    *map(encodeU, UFunction),
]


# -- encoding ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("octets", "expected"),
    [
        (encodeI(0, 0, b"\x2a"), "68 05 00 00 00 00 2a"),
        (encodeI(1, 2, b"\x2a"), "68 05 02 00 04 00 2a"),
        (encodeI(128, 129, b"\x2a"), "68 05 00 01 02 01 2a"),
        (encodeI(32767, 32767, b"\x2a"), "68 05 fe ff fe ff 2a"),
        (encodeI(32768, 32769, b"\x2a"), "68 05 00 00 02 00 2a"),
        (encodeS(0), "68 04 01 00 00 00"),
        (encodeS(32767), "68 04 01 00 fe ff"),
        (encodeS(32768 * 3 + 5), "68 04 01 00 0a 00"),
        (encodeU(UFunction.STARTDT_ACT), "68 04 07 00 00 00"),
        (encodeU(UFunction.STARTDT_CON), "68 04 0b 00 00 00"),
        (encodeU(UFunction.STOPDT_ACT), "68 04 13 00 00 00"),
        (encodeU(UFunction.STOPDT_CON), "68 04 23 00 00 00"),
        (encodeU(UFunction.TESTFR_ACT), "68 04 43 00 00 00"),
        (encodeU(UFunction.TESTFR_CON), "68 04 83 00 00 00"),
    ],
)
def test_encoding(octets: bytes, expected: str) -> None:
    """Control octets are those of the standard; counts are sent modulo 32768."""
    assert octets.hex(" ") == expected


@pytest.mark.parametrize("size", [0, 250, 1000])
def test_encodingRefusesAsdusThatDoNotFit(size: int) -> None:
    """An ASDU has 1-249 octets; anything else is our own mistake."""
    with pytest.raises(ValueError, match=f"{size} octets"):
        encodeI(0, 0, bytes(size))


@pytest.mark.parametrize("size", [1, 249])
def test_A12_asduIsCarriedBitExact(size: int) -> None:
    """An ASDU of any length up to 249 octets comes out as it went in."""
    content = bytes((i * 37 + 11) & 0xFF for i in range(size))
    buffer = FrameBuffer()
    assert buffer.feed(encodeI(3, 4, content)) == [(6, 8, content)]


@pytest.mark.parametrize(
    ("reference", "number", "count"),
    [
        (0, 0, 0),
        (0, 32767, 32767),
        (5, 4, 32772),
        (32767, 0, 32768),
        (32768, 0, 32768),
        (65530, 3, 65539),
    ],
)
def test_unwrap(reference: int, number: int, count: int) -> None:
    """A sequence number is the next count at or after the reference that ends in it."""
    assert unwrap(reference, number) == count


@given(st.integers(0, 10**9), st.integers(0, 32767))
def test_unwrapIsTheInverseOfTheModulus(reference: int, distance: int) -> None:
    """Any count at most 32767 ahead of the reference is found again from its last 15 bits."""
    assert unwrap(reference, (reference + distance) & 0x7FFF) == reference + distance


# -- chunks ------------------------------------------------------------------------------------


def test_A01_oneFrameSplitAtEveryBoundary() -> None:
    """A frame is found once, wherever TCP cuts it."""
    for frame in VALID:
        whole, _ = parse(frame)
        assert len(whole) == 1
        for place in range(len(frame) + 1):
            assert parse(frame[:place], frame[place:]) == (whole, None)
        assert parse(*(frame[i : i + 1] for i in range(len(frame)))) == (whole, None)


def test_A02_twentyFramesInOneSegment() -> None:
    """Many frames in one chunk come out all, in order."""
    stream = b"".join(encodeI(n, 0, asdu(n)) for n in range(20))
    assert parse(stream) == ([f"I {n}/0" for n in range(20)], None)


# -- invalid frames ----------------------------------------------------------------------------


@pytest.mark.parametrize("octets", [b"\x67", b"\x67\x04\x01\x00\x00\x00", b"\x00", b"GET / HTTP"])
def test_A03_wrongStartOctet(octets: bytes) -> None:
    """A start octet other than 0x68 ends the stream at once; there is no resynchronisation."""
    assert parse(octets) == ([], CloseCause.BAD_START)


@pytest.mark.parametrize("length", [0, 1, 2, 3])
def test_A04_lengthTooSmall(length: int) -> None:
    """A length below four ends the stream as soon as it is seen."""
    assert parse(bytes((0x68, length))) == ([], CloseCause.BAD_LENGTH)


@pytest.mark.parametrize("length", [254, 255])
def test_A05_lengthTooLarge(length: int) -> None:
    """A length above 253 ends the stream as soon as it is seen."""
    assert parse(bytes((0x68, length))) == ([], CloseCause.BAD_LENGTH)


@pytest.mark.parametrize("control", [0x01, 0x07, 0x43, 0x83])
def test_A06_sOrUFrameWithSomethingBehind(control: int) -> None:
    """S and U frames have exactly four octets after the length."""
    assert parse(bytes((0x68, 6, control, 0, 0, 0, 0, 0))) == ([], CloseCause.BAD_LENGTH)


def test_A07_iFrameWithoutAsdu() -> None:
    """An I frame without an ASDU is invalid."""
    assert parse(bytes((0x68, 4, 0, 0, 0, 0))) == ([], CloseCause.BAD_LENGTH)


def test_framesBeforeTheFaultAreReturnedAndNothingAfter() -> None:
    """What came before a bad frame counts; what comes after it is never looked at."""
    buffer = FrameBuffer()
    apdus = buffer.feed(encodeS(1) + encodeS(2) + b"\x68\x02" + encodeS(3))
    assert [describe(apdu) for apdu in apdus] == ["S 1", "S 2"]
    assert buffer.fault and buffer.fault.cause is CloseCause.BAD_LENGTH
    assert buffer.feed(encodeS(4)) == []
    assert buffer.fault.cause is CloseCause.BAD_LENGTH


def test_faultShowsTheOffendingOctets() -> None:
    """The error names its cause and shows at most 16 octets from the offending frame on."""
    buffer = FrameBuffer()
    buffer.feed(encodeS(1) + b"\x68\x04" + encodeI(9, 9, bytes(range(40))))
    assert buffer.fault is not None
    assert buffer.fault.octets == b"\x68\x04" + encodeI(9, 9, bytes(range(40)))[:14]
    assert "68 04 68 2c" in str(buffer.fault)
    assert str(ProtocolError(CloseCause.NS_MISMATCH, b"\x68\x04")) == "[68 04]"


@pytest.mark.parametrize(
    ("octets", "expected"),
    [
        (b"\x68\x04\x43\xff\xff\xff", UFunction.TESTFR_ACT),
        (b"\x68\x04\x07\x00\x01\x00", UFunction.STARTDT_ACT),
    ],
)
def test_reservedBitsOfUFramesAreTolerated(octets: bytes, expected: UFunction) -> None:
    """Only the first control octet of a U frame has a meaning."""
    (apdu,) = FrameBuffer().feed(octets)
    assert apdu[0] & 0xFF == expected
    assert not isI(apdu) and not isS(apdu)


@pytest.mark.parametrize("control", [b"\x01\xff", b"\xfd\x00", b"\x05\x01"])
def test_reservedBitsOfSFramesAreTolerated(control: bytes) -> None:
    """An S frame is known by the last two bits; its N(R) is in the second half only."""
    (apdu,) = FrameBuffer().feed(b"\x68\x04" + control + b"\x06\x00")
    assert isS(apdu) and apdu[1] >> 1 == 3


def test_reservedBitOfNrIsTolerated() -> None:
    """The lowest bit of the third control octet is no part of N(R)."""
    (apdu,) = FrameBuffer().feed(b"\x68\x04\x01\x00\x07\x00")
    assert describe(apdu) == "S 3"


# -- properties --------------------------------------------------------------------------------


someFrames = st.lists(
    st.one_of(
        st.builds(
            encodeI,
            st.integers(0, 40000),
            st.integers(0, 40000),
            st.binary(min_size=1, max_size=MAX_ASDU),
        ),
        st.builds(encodeS, st.integers(0, 40000)),
        st.sampled_from(UFunction).map(encodeU),
    ),
    max_size=12,
)
places = st.lists(st.integers(0, 10000), max_size=30)


@given(someFrames, places)
def test_chunksMakeNoDifference(frames: list[bytes], places: list[int]) -> None:
    """Any chunking of any valid stream gives the frames that were put in, each one once."""
    buffer = FrameBuffer()
    found: list[Apdu] = []
    for chunk in cut(b"".join(frames), places):
        found += buffer.feed(chunk)
        assert len(buffer.rest) < 255
    assert buffer.fault is None and buffer.rest == b""
    assert found == [apdu for frame in frames for apdu in FrameBuffer().feed(frame)]
    assert len(found) == len(frames)


@given(someFrames, st.binary(max_size=600), places)
@example([], b"\x68\xfd" + bytes(252), [])
def test_randomOctetsNeverRaise(frames: list[bytes], noise: bytes, places: list[int]) -> None:
    """Octets of any kind give frames or a fault, whatever the chunks, and are never hoarded."""
    stream = b"".join(frames) + noise
    whole = FrameBuffer()
    expected = whole.feed(stream)
    buffer = FrameBuffer()
    found: list[Apdu] = []
    for chunk in cut(stream, places):
        if buffer.fault:
            assert buffer.feed(chunk) == []
        found += buffer.feed(chunk)
        assert len(buffer.rest) < 255
    assert found == expected
    assert found[: len(frames)] == [a for frame in frames for a in FrameBuffer().feed(frame)]
    assert (buffer.fault and buffer.fault.cause) == (whole.fault and whole.fault.cause)


# -- runs: frames that are looked at all at once -------------------------------------------------

numbers = st.one_of(st.integers(0, 5), st.integers(32760, 32775), st.integers(0, 10**6))
runs = st.one_of(
    st.integers(1, MAX_ASDU).flatmap(
        lambda size: st.lists(st.binary(min_size=size, max_size=size), min_size=1, max_size=40)
    ),
    st.lists(st.binary(min_size=1, max_size=9), min_size=1, max_size=40),
)


def oneByOne(sendNumber: int, receiveNumber: int, asdus: Sequence[bytes]) -> bytes:
    """What a run must look like."""
    return b"".join(encodeI(sendNumber + at, receiveNumber, asdu) for at, asdu in enumerate(asdus))


@given(numbers, numbers, runs)
@example(32766, 5, [b"abc"] * 4)
def test_aRunIsWhatItsFramesAre(send: int, receive: int, asdus: list[bytes]) -> None:
    """All at once, one by one, and again for another connection: the same octets."""
    shared = tuple(asdus)
    assert encodeRun(send, receive, shared) == oneByOne(send, receive, asdus)
    assert encodeRun(send + 7, receive + 1, shared) == oneByOne(send + 7, receive + 1, asdus)
    assert encodeRun(send, receive, asdus) == oneByOne(send, receive, asdus)


@pytest.mark.parametrize("asdus", [[b""], [b"a", b""], [bytes(MAX_ASDU + 1)] * 2, [b""] * 3])
def test_aRunOfWrongLengths(asdus: list[bytes]) -> None:
    """As for one frame."""
    for given_ in (asdus, tuple(asdus)):
        with pytest.raises(ValueError, match="an ASDU of"):
            encodeRun(0, 0, given_)


@given(
    numbers, numbers, runs, st.binary(max_size=12), st.integers(0, 40 * 255), st.integers(0, 255)
)
def test_aRunIsReadAsItsFramesAre(
    send: int, receive: int, asdus: list[bytes], rest: bytes, at: int, octet: int
) -> None:
    """What is read at once is what is read frame by frame; what is not such a run is left alone."""
    octets = bytearray(oneByOne(send, receive, asdus) + rest)
    if at < len(octets):
        octets[at] = octet  # something may be wrong somewhere
    run = decodeRun(bytes(octets), send)
    if run is None:
        assert at < len(octets) or len(asdus) < 3 or len(set(map(len, asdus))) > 1 or rest
        return
    number, read, used = run
    buffer = FrameBuffer()
    apdus = buffer.feed(bytes(octets[:used]))
    assert buffer.fault is None and buffer.rest == b""
    assert tuple(asdu for _, _, asdu in apdus) == read
    assert {second >> 1 for _, second, _ in apdus} == {number}
    assert [first >> 1 for first, _, _ in apdus] == [send + at & 0x7FFF for at in range(len(apdus))]
    assert all(isI(apdu) for apdu in apdus)


def test_aRunIsFound() -> None:
    """Frames of one length are read at once, up to one that is not whole."""
    asdus = tuple(bytes((number,)) * 5 for number in range(9))
    octets = oneByOne(32763, 40000, asdus)
    assert decodeRun(octets + octets[:7], 32763 + 32768) == (40000 & 0x7FFF, asdus, len(octets))
    assert decodeRun(octets, 32762) is None
