"""Information objects of every type: octets to elements and back, and as text."""

from __future__ import annotations

import math
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mm2ss.iec104.asdu import MAX_ASDU, TYPES, buildAsdu, header, typeName
from mm2ss.iec104.elements import (
    BCR,
    CHS,
    COI,
    DCO,
    DIQ,
    ELEMENTS,
    NOF,
    NOS,
    NVA,
    QCC,
    QDS,
    QOI,
    QOS,
    R32,
    SCO,
    SIQ,
    SVA,
    VTI,
    CP24Time2a,
    CP56Time2a,
    Element,
    InformationObject,
    Octets,
    Segment,
    decode,
    describeObjects,
    elementsOf,
    encode,
)

# 2026-11-22 10:15:03.120, a Sunday.
TIME = "300c0f0af60b1a"
WHEN = CP56Time2a(3120, 15, hour=10, dayOfMonth=22, dayOfWeek=7, month=11, year=26)
TAG = "@2026-11-22 10:15:03.120"
SHORT = "@15:03.120"

FIXED = sorted(typeId for typeId in ELEMENTS if TYPES[typeId].objectLength is not None)
SEQUENCES = sorted(typeId for typeId in FIXED if TYPES[typeId].sequence)

# Type, octets of one object at address 100 (64 00 00), its text without the address.
TEXTS = [
    (1, "00", "off"),
    (1, "01", "on"),
    (1, "f1", "on invalid not topical substituted blocked"),
    (2, "01 300c 0f", "on @15:03.120"),
    (2, "01 300c 8f", "on @15:03.120 time invalid"),
    (3, "00", "intermediate"),
    (3, "01", "off"),
    (3, "02", "on"),
    (3, "83", "indeterminate invalid"),
    (4, "02 300c 0f", "on @15:03.120"),
    (5, "05 00", "= 5"),
    (5, "40 00", "= -64"),
    (5, "ff 01", "= -1 transient overflow"),
    (6, "05 00 300c 0f", "= 5 @15:03.120"),
    (7, "efbeadde 00", "= 0xdeadbeef"),
    (8, "01000000 00 300c 0f", "= 0x00000001 @15:03.120"),
    (9, "0040 00", "= 0.5"),
    (9, "0080 00", "= -1"),
    (9, "ff7f 40", "= 0.99997 not topical"),
    (10, "0040 00 300c 0f", "= 0.5 @15:03.120"),
    (11, "2efb 01", "= -1234 overflow"),
    (12, "0a00 00 300c 0f", "= 10 @15:03.120"),
    (13, "00004841 00", "= 12.5"),
    (13, "cdcc4441 10", "= 12.3 blocked"),
    (13, "0000807f 00", "= inf"),
    (13, "0000c07f 80", "= nan invalid"),
    (14, "00004841 00 300c 0f", "= 12.5 @15:03.120"),
    (15, "d2040000 03", "= 1234 (reading 3)"),
    (15, "ffffffff e3", "= -1 (reading 3) invalid carry adjusted"),
    (16, "d2040000 03 300c 0f", "= 1234 (reading 3) @15:03.120"),
    (17, "02 7800 300c 0f", "on 120 ms @15:03.120"),
    (17, "89 7800 300c 0f", "off invalid elapsed time invalid 120 ms @15:03.120"),
    (18, "0b 00 7800 300c 0f", "start general L1 L3 120 ms @15:03.120"),
    (18, "34 08 7800 300c 0f", "start L2 earth reverse elapsed time invalid 120 ms " + SHORT),
    (19, "05 00 7800 300c 0f", "trip general L2 120 ms @15:03.120"),
    (19, "00 00 7800 300c 0f", "no trip 120 ms @15:03.120"),
    (20, "0180 0200 00", "= 0x8001 changed 0x0002"),
    (21, "00c0", "= -0.5"),
    (30, "01" + TIME, f"on {TAG}"),
    (31, "02" + TIME, f"on {TAG}"),
    (32, "05 00" + TIME, f"= 5 {TAG}"),
    (33, "01000000 00" + TIME, f"= 0x00000001 {TAG}"),
    (34, "0040 00" + TIME, f"= 0.5 {TAG}"),
    (35, "0a00 00" + TIME, f"= 10 {TAG}"),
    (36, "00004841 80" + TIME, f"= 12.5 invalid {TAG}"),
    (37, "d2040000 03" + TIME, f"= 1234 (reading 3) {TAG}"),
    (38, "02 7800" + TIME, f"on 120 ms {TAG}"),
    (39, "0b 00 7800" + TIME, f"start general L1 L3 120 ms {TAG}"),
    (40, "05 00 7800" + TIME, f"trip general L2 120 ms {TAG}"),
    (41, "0700 d2040000 03" + TIME, f"association 7 = 1234 (reading 3) {TAG}"),
    (45, "01", "on"),
    (45, "80", "off select"),
    (45, "0d", "on QU 3"),
    (46, "01", "off"),
    (46, "8a", "on QU 2 select"),
    (46, "03", "DCS 3"),
    (47, "01", "lower"),
    (47, "82", "higher select"),
    (47, "00", "RCS 0"),
    (48, "0040 00", "= 0.5"),
    (48, "0040 85", "= 0.5 QL 5 select"),
    (49, "0a00 80", "= 10 select"),
    (50, "00004841 05", "= 12.5 QL 5"),
    (51, "efbeadde", "= 0xdeadbeef"),
    (58, "81" + TIME, f"on select {TAG}"),
    (59, "02" + TIME, f"on {TAG}"),
    (60, "02" + TIME, f"higher {TAG}"),
    (61, "0040 00" + TIME, f"= 0.5 {TAG}"),
    (62, "0a00 80" + TIME, f"= 10 select {TAG}"),
    (63, "00004841 00" + TIME, f"= 12.5 {TAG}"),
    (64, "efbeadde" + TIME, f"= 0xdeadbeef {TAG}"),
    (70, "00", "local power on"),
    (70, "82", "remote reset with changed parameters"),
    (70, "7f", "COI 127"),
    (81, "0102", "[01 02]"),
    (100, "14", "station"),
    (100, "19", "group 5"),
    (100, "05", "QOI 5"),
    (101, "05", "general read"),
    (101, "45", "general freeze"),
    (101, "81", "group 1 freeze with reset"),
    (101, "c6", "RQT 6 reset"),
    (102, "", ""),
    (103, TIME, TAG),
    (104, "aa55", "pattern 0x55aa"),
    (105, "01", "general reset"),
    (105, "02", "reset of buffered events"),
    (106, "7800", "120 ms"),
    (107, "0700" + TIME, f"counter 7 {TAG}"),
    (110, "0040 01", "= 0.5 threshold"),
    (111, "0a00 43", "= 10 low limit changed locally"),
    (112, "00004841 82", "= 12.5 smoothing not in operation"),
    (112, "00004841 05", "= 12.5 KPA 5"),
    (113, "03", "transmission"),
    (113, "04", "QPA 4"),
    (120, "0100 000100 00", "file 1 256 octets file ready"),
    (120, "0100 000100 80", "file 1 256 octets file not ready"),
    (121, "0100 02 000100 00", "file 1 section 2 256 octets section ready"),
    (121, "0100 02 000100 80", "file 1 section 2 256 octets section not ready"),
    (122, "0100 02 06", "file 1 section 2 call section"),
    (122, "0100 02 38", "file 1 section 2 SCQ 8 error 3"),
    (123, "0100 02 03 ff", "file 1 section 2 section complete checksum 0xff"),
    (124, "0100 02 01", "file 1 section 2 file accepted"),
    (124, "0100 02 24", "file 1 section 2 section rejected error 2"),
    (125, "0100 02 03 aabbcc", "file 1 section 2 segment of 3 octets"),
    (126, "0100 000100 00" + TIME, f"file 1 256 octets status 0 {TAG}"),
    (126, "0100 000100 e1" + TIME, f"file 1 256 octets status 1, last, subdirectory, active {TAG}"),
    (127, "0100" + TIME + TIME, f"file 1 {TAG} {TAG}"),
    (200, "0102", "[01 02]"),
]  # fmt: skip


@pytest.mark.parametrize("typeId", FIXED, ids=typeName)
def test_elementsAddUpToTheLength(typeId: int) -> None:
    """The elements of a type are as long as its object is."""
    assert sum(kind.length() or 0 for kind in ELEMENTS[typeId]) == TYPES[typeId].objectLength


def test_everyTypeHasElements() -> None:
    """All named types but those of authentication have elements that are known."""
    assert set(TYPES) - set(ELEMENTS) == {*range(81, 88), *range(90, 96)}
    assert {row[0] for row in TEXTS} >= set(ELEMENTS)


@pytest.mark.parametrize(("typeId", "octets", "text"), TEXTS)
def test_textOfEveryType(typeId: int, octets: str, text: str) -> None:
    """Objects read as an operator would say it, and are encoded as they came."""
    asdu = buildAsdu(typeId, 3, 1, bytes.fromhex("640000" + octets))
    assert describeObjects(asdu) == f"IOA 100 {text}".rstrip()
    assert encode(typeId, 3, 1, decode(asdu)) == asdu


@given(data=st.data(), typeId=st.sampled_from(FIXED), count=st.integers(1, 5))
def test_everyPatternSurvives(data: st.DataObject, typeId: int, count: int) -> None:
    """Any octets of the right length, reserved bits too, are encoded as they were decoded."""
    number = 1 if TYPES[typeId].single else count
    length = number * (3 + (TYPES[typeId].objectLength or 0))
    objects = data.draw(st.binary(min_size=length, max_size=length))
    asdu = buildAsdu(typeId, 3, 1, objects, number)
    decoded = decode(asdu)
    assert len(decoded) == number
    assert encode(typeId, 3, 1, decoded) == asdu
    assert all(str(item).isprintable() for item in decoded)
    assert decode(encode(typeId, 3, 1, decoded)) == decoded


@given(data=st.data(), typeId=st.sampled_from(SEQUENCES), count=st.integers(1, 10))
def test_everySequenceSurvives(data: st.DataObject, typeId: int, count: int) -> None:
    """SQ 1 gives consecutive addresses, and the same octets again."""
    length = count * (TYPES[typeId].objectLength or 0)
    elements = data.draw(st.binary(min_size=length, max_size=length))
    asdu = buildAsdu(typeId, 20, 1, b"\x64\0\0" + elements, count, sequence=True)
    decoded = decode(asdu)
    assert [item.address for item in decoded] == list(range(100, 100 + count))
    assert encode(typeId, 20, 1, decoded, sequence=True) == asdu


@given(segment=st.binary(max_size=236))
def test_everySegmentSurvives(segment: bytes) -> None:
    """A file segment of any length, up to the longest that fits."""
    item = InformationObject.of(5, NOF(1), NOS(2), Segment(segment))
    asdu = encode(125, 13, 1, [item])
    assert len(asdu) == 13 + len(segment) <= MAX_ASDU
    assert decode(asdu) == [item]


@given(
    typeId=st.sampled_from([81, 95, 128, 255]),
    count=st.integers(0, 127),
    sequence=st.booleans(),
    octets=st.binary(max_size=MAX_ASDU - 9),
)
def test_unknownInsidesSurvive(typeId: int, count: int, sequence: bool, octets: bytes) -> None:
    """Of private types all after the first address is one run of octets."""
    asdu = buildAsdu(typeId, 3, 1, b"\x64\0\0" + octets, count, sequence)
    assert decode(asdu) == [InformationObject.of(100, Octets(octets))]
    assert encode(typeId, 3, 1, decode(asdu), sequence, count=count) == asdu


@given(
    negative=st.booleans(),
    test=st.booleans(),
    originator=st.integers(0, 255),
    commonAddress=st.integers(0, 65535),
)
def test_encodeFillsTheHeader(
    negative: bool, test: bool, originator: int, commonAddress: int
) -> None:
    """All that is told of the header is in it."""
    objects = [InformationObject.of(100, SCO(True))]
    asdu = encode(45, 7, commonAddress, objects, False, negative, test, originator)
    assert header(asdu) == (45, False, 1, 7, negative, test, originator, commonAddress)


@given(st.binary(max_size=MAX_ASDU))
def test_M08_describeObjectsNeverRaises(asdu: bytes) -> None:
    """Any octets give one printable line; decoding raises nothing but ValueError."""
    assert describeObjects(asdu).isprintable()


@given(data=st.data(), typeId=st.integers(0, 255))
def test_M08_decodeRaisesOnlyValueError(data: st.DataObject, typeId: int) -> None:
    """What looks like a type but is not gives an error, or the same octets again."""
    asdu = bytes((typeId,)) + data.draw(st.binary(max_size=40))
    try:
        objects = decode(asdu)
    except ValueError:
        return
    head = header(asdu)
    if head.sequence and typeId in ELEMENTS and not TYPES[typeId].sequence:
        return  # read, but never made by us
    count = None if typeId in ELEMENTS else head.count
    again = encode(
        *(typeId, head.cause, head.commonAddress, objects, head.sequence),
        *(head.negative, head.test, head.originator, count),
    )
    assert again == asdu


MALFORMED = [
    ("0101", "ASDU of 2 octets, shorter than its header"),
    ("010103000100 6400", "ASDU of 8 octets has no object address"),
    ("010003000100 640000", "M_SP_NA_1 with 0 objects"),
    ("018003000100 640000", "M_SP_NA_1 with 0 objects"),
    ("010203000100 640000 01", "M_SP_NA_1 with 2 objects of 10 octets, not 14"),
    ("018203000100 640000 01", "M_SP_NA_1 with 2 objects of 10 octets, not 11"),
    ("010103000100 640000 01 01", "M_SP_NA_1 with 1 objects of 11 octets, not 10"),
    ("2d0206000100 640000 01 650000 01", "C_SC_NA_1 with 2 objects, not 1"),
    ("018203000100 ffffff 01 01", "sequence of 2 from IOA 16777215 ends beyond the highest"),
    ("7d010d000100 640000 0100 02 04 aabbcc", "segment of 3 octets, but LOS says 4"),
    ("7d010d000100 640000 0100 02", "segment of 0 octets, but LOS says none"),
    ("7d010d000100 640000 01", "NOF is cut off"),
    ("7d020d000100 640000 0100 02 00", "F_SG_NA_1 with structure qualifier 0x02"),
    ("160103000100 640000 01", "type 22 is reserved"),
    ("000103000100 640000 01", "type 0 is reserved"),
]


@pytest.mark.parametrize(("asdu", "text"), MALFORMED)
def test_malformedIsNamed(asdu: str, text: str) -> None:
    """Decoding says which type, what it has and what it should have."""
    with pytest.raises(ValueError, match=text):
        decode(bytes.fromhex(asdu))


def test_sequenceOfTimeTagsIsRead() -> None:
    """SQ 1 is read of any type, as some RTUs send it, though made only where allowed."""
    asdu = bytes.fromhex("1e8214000100 640000 01" + TIME + "00" + TIME)
    assert describeObjects(asdu) == f"IOA 100 on {TAG}, IOA 101 off {TAG}"


def test_describeObjectsSaysWhy() -> None:
    """What cannot be decoded is described by its header, with the reason."""
    assert describeObjects(bytes.fromhex("010203000100 640000 01")) == (
        "M_SP_NA_1 spontaneous CA 1 IOA 100 and 1 more "
        "(M_SP_NA_1 with 2 objects of 10 octets, not 14)"
    )


def test_describeObjectsOfMany() -> None:
    """Objects are separated by commas, and cut where asked; address 0 is not said."""
    objects = [InformationObject.of(100 + index, SIQ(bool(index % 2))) for index in range(4)]
    asdu = encode(1, 20, 1, objects, sequence=True)
    assert describeObjects(asdu) == "IOA 100 off, IOA 101 on, IOA 102 off, IOA 103 on"
    assert describeObjects(asdu, most=2) == "IOA 100 off, IOA 101 on, and 2 more"
    assert describeObjects(encode(100, 6, 1, [InformationObject.of(0, QOI(20))])) == "station"


REFUSED: list[tuple[int, list[InformationObject], bool, str]] = [
    (1, [], False, "M_SP_NA_1 without objects"),
    (1, [InformationObject.of(1, DIQ(1))], False, "elements DIQ, not SIQ"),
    (1, [InformationObject.of(1)], False, "elements nothing, not SIQ"),
    (102, [InformationObject.of(1, SIQ())], False, "elements SIQ, not nothing"),
    (36, [InformationObject.of(1, R32(), QDS())], False, "R32 QDS, not R32 QDS CP56Time2a"),
    (1, [InformationObject.of(1 << 24, SIQ())], False, "IOA 16777216"),
    (1, [InformationObject.of(-1, SIQ())], False, "IOA -1"),
    (1, [InformationObject.of(1, SIQ()), InformationObject.of(3, SIQ())], True, "IOA 3"),
    (30, [InformationObject.of(1, SIQ(), WHEN)], True, "M_SP_TB_1 cannot be a sequence"),
    (45, [InformationObject.of(1, SCO())] * 2, False, "C_SC_NA_1 with 2 objects, not 1"),
    (36, [InformationObject.of(1, R32(), QDS(), WHEN)] * 17, False, "ASDU of 261 octets"),
    (200, [InformationObject.of(1, Octets())] * 2, False, "type 200 with 2 objects"),
    (22, [InformationObject.of(1, Octets())], False, "type 22 is reserved"),
]


@pytest.mark.parametrize(("typeId", "objects", "sequence", "text"), REFUSED)
def test_encodeRefusesWhatDoesNotFit(
    typeId: int, objects: list[InformationObject], sequence: bool, text: str
) -> None:
    """Our own mistakes are named, not sent."""
    with pytest.raises(ValueError, match=text):
        encode(typeId, 3, 1, objects, sequence)


def test_countIsForUnknownInsidesOnly() -> None:
    """Of known types the number of objects is what is given."""
    with pytest.raises(ValueError, match="M_SP_NA_1 with count 2 of 1 objects"):
        encode(1, 3, 1, [InformationObject.of(1, SIQ())], count=2)


@pytest.mark.parametrize(
    ("element", "text"),
    [
        (SIQ(reserved=8), "SIQ.reserved 8 is not 0 to 7"),
        (DIQ(4), "DIQ.dpi 4 is not 0 to 3"),
        (VTI(64), "VTI.position 64 is not -64 to 63"),
        (SVA(-32769), "SVA.number -32769 is not -32768 to 32767"),
        (BCR(1 << 31), "BCR.counter 2147483648 is not -2147483648 to 2147483647"),
        (QOI(-1), "QOI.qoi -1 is not 0 to 255"),
        (SCO(qu=32), "SCO.qu 32 is not 0 to 31"),
        (CP56Time2a(minute=64), "CP56Time2a.minute 64 is not 0 to 63"),
        (Segment(bytes(237)), "segment of 237 octets, longer than 236"),
    ],
)
def test_fieldsAreRangeChecked(element: Element, text: str) -> None:
    """A value beyond its field is named with the range that it has."""
    with pytest.raises(ValueError, match=text):
        element.encode()


@pytest.mark.parametrize(
    ("element", "octets"),
    [
        (SIQ(spi=True, nt=True), "41"),
        (SIQ(reserved=7), "0e"),
        (QDS(ov=True, iv=True), "81"),
        (VTI(-64, t=True), "c0"),
        (NVA(-32768), "0080"),
        (R32.of(12.5), "00004841"),
        (BCR(-2, sq=1, cy=True), "feffffff21"),
        (SCO(True, qu=3, se=True), "8d"),
        (DCO(2, qu=1), "06"),
        (QOS(5, se=True), "85"),
        (QCC(rqt=5, frz=1), "45"),
        (COI(2, afterChange=True), "82"),
        (CHS(255), "ff"),
        (CP24Time2a(59999, 59, gen=True, iv=True), "5feafb"),
        (WHEN, TIME),
        (CP56Time2a(gen=True, iv=True, su=True, dayOfWeek=1), "0000c080200000"),
    ],
    ids=repr,
)
def test_bitsOfElements(element: Element, octets: str) -> None:
    """Each field has the bits that the standard gives it."""
    assert element.encode().hex() == octets
    assert type(element).decode(bytes.fromhex(octets)) == element


VALUES: list[tuple[tuple[Element, ...], object]] = [
    ((SIQ(True), WHEN), True),
    ((DIQ(2),), 2),
    ((VTI(-5), QDS()), -5),
    ((NVA(16384), QDS()), 0.5),
    ((SVA(-7), QOS()), -7),
    ((R32.of(12.5), QDS(iv=True)), 12.5),
    ((BCR(1234, sq=3),), 1234),
    ((SCO(False, se=True),), False),
    ((DCO(1),), 1),
    ((QOI(20),), None),
    ((), None),
]


@pytest.mark.parametrize(("elements", "value"), VALUES, ids=repr)
def test_valueOfObjects(elements: tuple[Element, ...], value: object) -> None:
    """The value is that of the element that carries one."""
    found = InformationObject(1, elements).value
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize("typeId", [20, 38, 41, 47, 51], ids=typeName)
def test_everyProcessObjectHasAValue(typeId: int) -> None:
    """Also rare types have a value, 0 of zero octets."""
    elements = tuple(kind.decode(bytes(kind.length() or 0)) for kind in elementsOf(typeId))
    assert InformationObject(1, elements).value == 0


def test_findAndTime() -> None:
    """Elements are found by class, time tags of either kind too."""
    short = CP24Time2a(3120, 15)
    item = InformationObject.of(1, SIQ(True), WHEN)
    assert item.find(SIQ) == SIQ(True)
    assert item.find(QDS) is None
    assert item.time is item.find(CP56Time2a)
    assert InformationObject.of(1, SIQ(), short).time == short
    assert InformationObject.of(1, SIQ()).time is None


def test_floatsKeepTheirBits() -> None:
    """Every NaN is kept, and equal to itself; what is too large is refused."""
    signalling = R32.decode(bytes.fromhex("0100a07f"))
    assert math.isnan(signalling.value)
    assert signalling.encode().hex() == "0100a07f"
    assert signalling == R32.decode(bytes.fromhex("0100a07f"))
    assert R32.of(0.1).value == pytest.approx(0.1)
    with pytest.raises(ValueError, match="1e\\+39"):
        R32.of(1e39)


@pytest.mark.parametrize(
    ("fraction", "number"), [(0.5, 16384), (-1.0, -32768), (1.0, 32767), (0.25 / 32768, 0)]
)
def test_normalizedValues(fraction: float, number: int) -> None:
    """The nearest there is; 1 is not there and becomes the highest."""
    assert NVA.of(fraction) == NVA(number)


@pytest.mark.parametrize("fraction", [1.0001, -1.0001, math.nan])
def test_normalizedValuesOutside(fraction: float) -> None:
    """What is not -1 to 1 is refused."""
    with pytest.raises(ValueError, match="normalized value"):
        NVA.of(fraction)


@given(st.datetimes(datetime(1970, 1, 1), datetime(2069, 12, 31, 23, 59, 59, 999999)))
def test_timesSurvive(when: datetime) -> None:
    """A naive datetime comes back, cut to the millisecond."""
    tag = CP56Time2a.decode(CP56Time2a.fromDatetime(when).encode())
    assert tag.toDatetime() == when.replace(microsecond=when.microsecond // 1000 * 1000)
    assert tag.dayOfWeek == when.isoweekday()


def test_timesOfUtc() -> None:
    """An aware datetime is taken in UTC only; its reading comes back naive."""
    when = datetime(2026, 11, 22, 10, 15, 3, 120999)
    utc = when.replace(tzinfo=timezone.utc)
    assert CP56Time2a.fromDatetime(utc) == CP56Time2a.fromDatetime(when) == WHEN
    with pytest.raises(ValueError, match="neither naive nor UTC"):
        CP56Time2a.fromDatetime(when.replace(tzinfo=timezone(timedelta(hours=1))))


def test_timesWithFlags() -> None:
    """Flags are set as told, and said after the time."""
    when = datetime(2026, 7, 1, 0, 0)
    tag = CP56Time2a.fromDatetime(when, su=True, iv=True, gen=True, withDayOfWeek=False)
    assert (tag.su, tag.iv, tag.gen, tag.dayOfWeek) == (True, True, True, 0)
    assert str(tag) == "2026-07-01 00:00:00.000 summer time time substituted time invalid"
    assert tag.toDatetime() == when


@pytest.mark.parametrize("year", [1969, 2070])
def test_timesBeyondTheCentury(year: int) -> None:
    """Two digits name the years 1970 to 2069."""
    with pytest.raises(ValueError, match=str(year)):
        CP56Time2a.fromDatetime(datetime(year, 1, 1))


@pytest.mark.parametrize(
    "tag",
    [
        CP56Time2a(),
        CP56Time2a(60000, dayOfMonth=1, month=1),
        CP56Time2a(minute=60, dayOfMonth=1, month=1),
        CP56Time2a(hour=24, dayOfMonth=1, month=1),
        CP56Time2a(dayOfMonth=30, month=2),
        CP56Time2a(dayOfMonth=1, month=13),
        CP56Time2a(dayOfMonth=1, month=1, year=100),
    ],
    ids=str,
)
def test_timesThatAreNone(tag: CP56Time2a) -> None:
    """Fields that name no date and time are kept and shown, but are no datetime."""
    assert CP56Time2a.decode(tag.encode()) == tag
    with pytest.raises(ValueError, match="is no date and time"):
        tag.toDatetime()
