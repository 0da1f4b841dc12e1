"""The ASDU's header, its tables, and the admission of what masters send."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mm2ss.iec104.asdu import (
    ALLOWED_CAUSES,
    HEADER_LENGTH,
    MAX_ASDU,
    TYPES,
    Cause,
    Header,
    TypeId,
    Verdict,
    admitControl,
    buildAsdu,
    causeName,
    describe,
    endOfInitialization,
    header,
    isSelect,
    mirror,
    objectAddress,
    objectAddresses,
    typeName,
    withOriginator,
)

# Number, name and octets of one object without its address, as the standard lists them.
STANDARD = """
1 M_SP_NA_1 1 | 2 M_SP_TA_1 4 | 3 M_DP_NA_1 1 | 4 M_DP_TA_1 4 | 5 M_ST_NA_1 2 | 6 M_ST_TA_1 5
7 M_BO_NA_1 5 | 8 M_BO_TA_1 8 | 9 M_ME_NA_1 3 | 10 M_ME_TA_1 6 | 11 M_ME_NB_1 3 | 12 M_ME_TB_1 6
13 M_ME_NC_1 5 | 14 M_ME_TC_1 8 | 15 M_IT_NA_1 5 | 16 M_IT_TA_1 8 | 17 M_EP_TA_1 6
18 M_EP_TB_1 7 | 19 M_EP_TC_1 7 | 20 M_PS_NA_1 5 | 21 M_ME_ND_1 2 | 30 M_SP_TB_1 8
31 M_DP_TB_1 8 | 32 M_ST_TB_1 9 | 33 M_BO_TB_1 12 | 34 M_ME_TD_1 10 | 35 M_ME_TE_1 10
36 M_ME_TF_1 12 | 37 M_IT_TB_1 12 | 38 M_EP_TD_1 10 | 39 M_EP_TE_1 11 | 40 M_EP_TF_1 11
41 S_IT_TC_1 14 | 45 C_SC_NA_1 1 | 46 C_DC_NA_1 1 | 47 C_RC_NA_1 1 | 48 C_SE_NA_1 3
49 C_SE_NB_1 3 | 50 C_SE_NC_1 5 | 51 C_BO_NA_1 4 | 58 C_SC_TA_1 8 | 59 C_DC_TA_1 8
60 C_RC_TA_1 8 | 61 C_SE_TA_1 10 | 62 C_SE_TB_1 10 | 63 C_SE_TC_1 12 | 64 C_BO_TA_1 11
70 M_EI_NA_1 1 | 81 S_CH_NA_1 - | 82 S_RP_NA_1 - | 83 S_AR_NA_1 - | 84 S_KR_NA_1 -
85 S_KS_NA_1 - | 86 S_KC_NA_1 - | 87 S_ER_NA_1 - | 90 S_US_NA_1 - | 91 S_UQ_NA_1 -
92 S_UR_NA_1 - | 93 S_UK_NA_1 - | 94 S_UA_NA_1 - | 95 S_UC_NA_1 - | 100 C_IC_NA_1 1
101 C_CI_NA_1 1 | 102 C_RD_NA_1 0 | 103 C_CS_NA_1 7 | 104 C_TS_NA_1 2 | 105 C_RP_NA_1 1
106 C_CD_NA_1 2 | 107 C_TS_TA_1 9 | 110 P_ME_NA_1 3 | 111 P_ME_NB_1 3 | 112 P_ME_NC_1 5
113 P_AC_NA_1 1 | 120 F_FR_NA_1 6 | 121 F_SR_NA_1 7 | 122 F_SC_NA_1 4 | 123 F_LS_NA_1 5
124 F_AF_NA_1 4 | 125 F_SG_NA_1 - | 126 F_DR_TA_1 13 | 127 F_SC_NB_1 16
"""
ROWS = [tuple(cell.split()) for cell in STANDARD.replace("\n", "|").split("|") if cell.strip()]

SEQUENCES = {1, 3, 5, 7, 9, 11, 13, 15, 20, 21, 126}
SINGLES = {*range(45, 52), *range(58, 65), 70, *range(100, 108), *range(120, 126), 127}
SELECT_OFFSETS = {45: 0, 46: 0, 47: 0, 58: 0, 59: 0, 60: 0} | {
    48: 2,
    49: 2,
    61: 2,
    62: 2,
    50: 4,
    63: 4,
}
CONTROL = {*range(45, 52), *range(58, 65), *range(100, 108), *range(110, 114)} | {
    *range(120, 126),
    127,
}
SENDABLE = sorted(CONTROL)


def command(typeId: int, cause: int = 6, commonAddress: int = 32) -> bytes:
    """Build a well-formed control ASDU of any control type, all zero inside."""
    length = TYPES[typeId].objectLength
    objects = bytes((100, 0, 0)) + bytes(4 if length is None else length)
    return buildAsdu(typeId, cause, commonAddress, objects)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[1])
def test_everyTypeHasItsLength(row: tuple[str, str, str]) -> None:
    """Number, name and object length are those of the standard."""
    number, name, length = row
    info = TYPES[int(number)]
    assert TypeId[name] == int(number)
    assert info.name == name
    assert info.objectLength == (None if length == "-" else int(length))
    assert info.sequence == (int(number) in SEQUENCES)
    assert info.single == (int(number) in SINGLES)
    assert info.qualifierOffset == SELECT_OFFSETS.get(int(number))


def test_noFurtherTypesHaveNames() -> None:
    """Reserved and private types are not in the table."""
    assert set(TYPES) == {int(row[0]) for row in ROWS} == {int(typeId) for typeId in TypeId}


def test_theLongestObjectsFit() -> None:
    """Every fixed type leaves room for at least one object in an ASDU."""
    assert all(9 + (info.objectLength or 0) <= MAX_ASDU for info in TYPES.values())


# One line for each type or group of types: control | monitor.
CAUSES = {
    (1, 3, 5): "| 2 3 5 11 12 20-36",
    (2, 4, 6, 30, 31, 32): "| 3 5 11 12",
    (7, 20): "| 2 3 5 20-36",
    (9, 11, 13, 21): "| 1 2 3 5 20-36",
    (8, 10, 12, 14, 33, 34, 35, 36): "| 3 5",
    (15, 16, 37, 41): "| 3 37-41",
    (17, 18, 19, 38, 39, 40): "| 3",
    (*range(45, 52), *range(58, 65), 100, 101): "6 8 | 7 9 10 44-47",
    (70,): "| 4",
    (81, 82, 83): "14 | 14",
    (84, 85, 86): "15 | 15",
    (87,): "14-16 | 14-16",
    (90, 91, 92, 93, 94, 95): "16 | 16",
    (102,): "5 | 44-47",
    (103,): "6 | 3 7 44-47",
    (104, 105, 107): "6 | 7 44-47",
    (106,): "3 6 | 7 44-47",
    (110, 111, 112): "6 | 7 20-36 44-47",
    (113,): "6 8 | 7 9 44-47",
    (120, 121, 123, 124, 125): "13 | 13 44-47",
    (122,): "5 13 | 13 44-47",
    (126,): "| 3 5",
    (127,): "13 | 44-47",
}


def numbers(text: str) -> set[int]:
    """Read '3 5 20-36'."""
    found: set[int] = set()
    for word in text.split():
        first, _, last = word.partition("-")
        found |= set(range(int(first), int(last or first) + 1))
    return found


@pytest.mark.parametrize("types", CAUSES, ids=lambda types: typeName(types[0]))
def test_everyTypeHasItsCauses(types: tuple[int, ...]) -> None:
    """The causes of each type and direction are those of the standard."""
    control, _, monitor = CAUSES[types].partition("|")
    for typeId in types:
        assert ALLOWED_CAUSES[typeId].control == numbers(control)
        assert ALLOWED_CAUSES[typeId].monitor == numbers(monitor)


def test_everyNamedTypeHasCauses() -> None:
    """The table of causes covers the types that have names, and only those."""
    assert set(ALLOWED_CAUSES) == set(TYPES)


def test_headerTakesAllFieldsApart() -> None:
    """Type, SQ, number, T, P/N, cause, originator and common address each from their bits."""
    assert header(bytes.fromhex("0185c3073412")) == Header(
        typeId=1,
        sequence=True,
        count=5,
        cause=3,
        negative=True,
        test=True,
        originator=7,
        commonAddress=0x1234,
    )


@pytest.mark.parametrize("size", range(HEADER_LENGTH))
def test_headerNeedsSixOctets(size: int) -> None:
    """Less than a header is an error that says how much came."""
    with pytest.raises(ValueError, match=f"ASDU of {size} octets"):
        header(bytes(size))


@pytest.mark.parametrize("size", [0, 6, 8])
def test_objectAddressNeedsNineOctets(size: int) -> None:
    """Without an object address there is none to return."""
    with pytest.raises(ValueError, match=f"ASDU of {size} octets"):
        objectAddress(bytes(size))


def test_objectAddressIsLittleEndian() -> None:
    """The first object address is octets 6 to 8, lowest first."""
    assert objectAddress(bytes.fromhex("2d0106000100 563412 01")) == 0x123456


@given(
    typeId=st.integers(0, 255),
    cause=st.integers(0, 63),
    commonAddress=st.integers(0, 65535),
    objects=st.binary(max_size=MAX_ASDU - HEADER_LENGTH),
    count=st.integers(0, 127),
    sequence=st.booleans(),
    negative=st.booleans(),
    test=st.booleans(),
    originator=st.integers(0, 255),
)
def test_buildAndHeaderAreInverse(
    typeId: int,
    cause: int,
    commonAddress: int,
    objects: bytes,
    count: int,
    sequence: bool,
    negative: bool,
    test: bool,
    originator: int,
) -> None:
    """What the header is built of is what is read from it, and the objects follow unchanged."""
    asdu = buildAsdu(
        typeId, cause, commonAddress, objects, count, sequence, negative, test, originator
    )
    assert header(asdu) == (
        *(typeId, sequence, count, cause),
        *(negative, test, originator, commonAddress),
    )
    assert asdu[HEADER_LENGTH:] == objects


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"typeId": 256}, "type 256"),
        ({"cause": 64}, "cause 64"),
        ({"commonAddress": 65536}, "common address 65536"),
        ({"commonAddress": -1}, "common address -1"),
        ({"count": 128}, "number of objects 128"),
        ({"originator": 256}, "originator 256"),
        ({"objects": bytes(244)}, "ASDU of 250 octets"),
    ],
)
def test_buildRefusesWhatDoesNotFit(arguments: dict[str, object], text: str) -> None:
    """A number beyond its field is our own mistake, and named."""
    good: dict[str, object] = {"typeId": 45, "cause": 6, "commonAddress": 1, "objects": bytes(4)}
    with pytest.raises(ValueError, match=text):
        buildAsdu(**(good | arguments))  # type: ignore[arg-type]  # wrong on purpose


def test_S02_endOfInitialization() -> None:
    """M_EI_NA_1 has one object, cause 4, originator 0, address 0 and the COI that is asked for."""
    assert endOfInitialization(0x1234).hex() == "46010400341200000000"
    assert endOfInitialization(1, coi=0x82)[-1] == 0x82
    with pytest.raises(ValueError, match="256"):
        endOfInitialization(1, coi=256)


@given(asdu=st.binary(min_size=6, max_size=MAX_ASDU), originator=st.integers(0, 255))
def test_A12_originatorChangesNothingElse(asdu: bytes, originator: int) -> None:
    """Only octet 3 is rewritten; an ASDU that has it already is not copied."""
    rewritten = withOriginator(asdu, originator)
    assert rewritten == asdu[:3] + bytes((originator,)) + asdu[4:]
    assert (rewritten is asdu) == (asdu[3] == originator)


@given(
    asdu=st.binary(min_size=6, max_size=MAX_ASDU), cause=st.integers(0, 63), negative=st.booleans()
)
def test_R24_mirrorKeepsTestBitAndOriginator(asdu: bytes, cause: int, negative: bool) -> None:
    """A mirror differs from its request in cause and P/N only, whatever T and OA are."""
    answer = mirror(asdu, cause, negative)
    assert header(answer) == header(asdu)._replace(cause=cause, negative=negative)
    assert answer[:2] + answer[3:] == asdu[:2] + asdu[3:]


ADDRESSES = [
    ("single", "2d0106000100 640000 01", [100]),
    ("no object", "2d0106000100", []),
    ("three scattered", "010303000100 640000 01 030200 00 ffffff 01", [100, 515, 0xFFFFFF]),
    ("sequence of three", "018314000100 640000 01 00 01", [100, 101, 102]),
    ("sequence with time tags", "1e8203000100 640000" + "00" * 16, [100, 101]),
    ("read, no object octets", "660105000100 640000", [100]),
    ("number disagrees", "010303000100 640000 01 030200 00", [100]),
    ("sequence disagrees", "018314000100 640000 01 00", [100]),
    ("number 0", "010003000100 640000", [100]),
    ("sequence of 0", "018003000100 640000", [100]),
    ("variable type", "7d010d000100 640000 0100 02 00", [100]),
    ("private type", "c80303000100 640000 01 030200 00", [100]),
    ("reserved type", "160303000100 640000 01 030200 00", [100]),
]


@pytest.mark.parametrize(("asdu", "expected"), [row[1:] for row in ADDRESSES], ids=str)
def test_objectAddresses(asdu: str, expected: list[int]) -> None:
    """All addresses where they can be told, else the first, else none."""
    assert list(objectAddresses(bytes.fromhex(asdu))) == expected


@given(st.binary(max_size=MAX_ASDU))
def test_objectAddressesNeverRaise(asdu: bytes) -> None:
    """Whatever the octets, the first address is among them, or there is no room for one."""
    found = objectAddresses(asdu)
    assert list(found[:1]) == ([objectAddress(asdu)] if len(asdu) >= 9 else [])
    assert len(found) <= 127


@pytest.mark.parametrize("typeId", range(256))
def test_isSelect(typeId: int) -> None:
    """S/E is bit 7 of the qualifier's octet, in no other place and of no other type."""
    offset = SELECT_OFFSETS.get(typeId)
    length = TYPES[typeId].objectLength if typeId in TYPES else 8
    for at in range(length or 0):
        octets = bytearray(length or 0)
        octets[at] = 0x80
        assert isSelect(buildAsdu(typeId, 6, 1, bytes(3) + octets)) == (at == offset)
    assert not isSelect(buildAsdu(typeId, 6, 1, bytes(3)))
    assert not isSelect(bytes((typeId,)))
    assert not isSelect(b"")


@pytest.mark.parametrize("typeId", SENDABLE, ids=typeName)
def test_everyControlTypeIsForwarded(typeId: int) -> None:
    """A well-formed ASDU of a control type goes to the RTU with any cause of that direction."""
    for cause in (5, 6, 8, 13):
        assert admitControl(command(typeId, cause)).verdict is Verdict.FORWARD


@pytest.mark.parametrize("size", range(9))
def test_M01_shortAsduCloses(size: int) -> None:
    """Less than header and object address closes the master that sent it."""
    admission = admitControl(command(45)[:size])
    assert admission.verdict is Verdict.CLOSE
    assert f"ASDU of {size} octets" in admission.reason


@pytest.mark.parametrize("typeId", SENDABLE, ids=typeName)
@pytest.mark.parametrize("structure", [0x00, 0x02, 0x80, 0x81, 0xFF])
def test_M02_wrongStructureQualifierCloses(structure: int, typeId: int) -> None:
    """A control ASDU holds exactly one object."""
    asdu = command(typeId)
    admission = admitControl(asdu[:1] + bytes((structure,)) + asdu[2:])
    assert admission.verdict is Verdict.CLOSE
    assert f"structure qualifier 0x{structure:02x}" in admission.reason


@pytest.mark.parametrize("typeId", SENDABLE, ids=typeName)
def test_M02_wrongLengthCloses(typeId: int) -> None:
    """One octet more or less than the type has closes."""
    asdu = command(typeId)
    assert admitControl(asdu + b"\0").verdict is Verdict.CLOSE
    assert admitControl(asdu[:-1]).verdict is Verdict.CLOSE


def test_M02_truncatedTimeTaggedCommandCloses() -> None:
    """The reason names type, length and what it should be."""
    admission = admitControl(command(58)[:-3])
    assert admission == (Verdict.CLOSE, 0, "C_SC_TA_1 of 14 octets, not 17")


@pytest.mark.parametrize(
    ("objects", "verdict"),
    [
        ("640000 0100 02 03 aabbcc", Verdict.FORWARD),
        ("640000 0100 02 00", Verdict.FORWARD),
        ("640000 0100 02 03 aabb", Verdict.CLOSE),
        ("640000 0100 02 03 aabbccdd", Verdict.CLOSE),
        ("640000 0100 02", Verdict.CLOSE),
        ("640000", Verdict.CLOSE),
    ],
)
def test_M02_segmentMustBeAsLongAsItSays(objects: str, verdict: Verdict) -> None:
    """A file segment's length is the one octet before it."""
    assert admitControl(buildAsdu(125, 13, 1, bytes.fromhex(objects))).verdict is verdict


@pytest.mark.parametrize("typeId", sorted(set(range(128)) - CONTROL))
def test_M03_typesOfTheOtherDirectionAreUnknown(typeId: int) -> None:
    """Monitor, authentication and reserved types get 44, whatever else is wrong with them."""
    for commonAddress, structure in ((1, 1), (0, 0), (65535, 0x82)):
        asdu = buildAsdu(typeId, 3, commonAddress, bytes(20))
        admission = admitControl(asdu[:1] + bytes((structure,)) + asdu[2:])
        assert admission[:2] == (Verdict.REFUSE, Cause.UNKNOWN_TYPE)
        assert typeName(typeId) in admission.reason


@pytest.mark.parametrize("typeId", [*SENDABLE, 128, 255], ids=typeName)
def test_M04_commonAddressZeroIsUnknown(typeId: int) -> None:
    """Common address 0 gets 46, before the cause is looked at."""
    asdu = command(typeId, 63, 0) if typeId < 128 else buildAsdu(typeId, 63, 0, bytes(4))
    assert admitControl(asdu)[:2] == (Verdict.REFUSE, Cause.UNKNOWN_CA)


@pytest.mark.parametrize("typeId", [*SENDABLE, 128, 255], ids=typeName)
def test_M04_broadcastOnlyWhereDefined(typeId: int) -> None:
    """All stations can be interrogated, set to time and reset, nothing else."""
    asdu = command(typeId, 6, 65535) if typeId < 128 else buildAsdu(typeId, 6, 65535, bytes(4))
    expected = (
        (Verdict.FORWARD, 0)
        if typeId in (100, 101, 103, 105)
        else (Verdict.REFUSE, Cause.UNKNOWN_CA)
    )
    assert admitControl(asdu)[:2] == expected


@pytest.mark.parametrize("typeId", SENDABLE, ids=typeName)
def test_M05_causesOfTheOtherDirectionAreUnknown(typeId: int) -> None:
    """Any cause but 5, 6, 8 and 13 gets 45; 3 is allowed of the delay command only."""
    for cause in set(range(64)) - {5, 6, 8, 13}:
        admission = admitControl(command(typeId, cause))
        if (typeId, cause) == (106, 3):
            assert admission.verdict is Verdict.FORWARD
        else:
            assert admission[:2] == (Verdict.REFUSE, Cause.UNKNOWN_CAUSE)
            assert causeName(cause) in admission.reason


@given(typeId=st.integers(128, 255), cause=st.integers(0, 63), rest=st.binary(max_size=243))
def test_privateTypesHaveNoStructureToCheck(typeId: int, cause: int, rest: bytes) -> None:
    """Of types 128-255 nothing is known: nine octets and an address are enough."""
    asdu = buildAsdu(typeId, cause, 1, rest, count=0, sequence=True)
    expected = Verdict.FORWARD if len(rest) >= 3 else Verdict.CLOSE
    assert admitControl(asdu).verdict is expected


@pytest.mark.parametrize("flags", [0x80, 0x40, 0xC0])
def test_R24_flagsDoNotMatterForAdmission(flags: int) -> None:
    """T and P/N are the RTU's to judge."""
    asdu = command(45)
    flagged = asdu[:2] + bytes((asdu[2] | flags,)) + asdu[3:]
    assert admitControl(flagged).verdict is Verdict.FORWARD


@given(st.binary(max_size=MAX_ASDU))
def test_M08_admissionNeverRaises(asdu: bytes) -> None:
    """Any octets get a verdict, with a cause only and always if refused."""
    verdict, cause, reason = admitControl(asdu)
    assert (cause in (44, 45, 46)) == (verdict is Verdict.REFUSE)
    assert (reason == "") == (verdict is Verdict.FORWARD)


DESCRIPTIONS = [
    ("2d0106002000 640000 01", "C_SC_NA_1 activation CA 32 IOA 100"),
    ("2d0106032000 640000 81", "C_SC_NA_1 activation CA 32 IOA 100 select OA 3"),
    ("2d01c7002000 640000 01", "C_SC_NA_1 activation con CA 32 IOA 100 negative test"),
    ("3f0106002000 640000 00000000 80" + "00" * 7, "C_SE_TC_1 activation CA 32 IOA 100 select"),
    ("640106000100 000000 14", "C_IC_NA_1 activation CA 1 QOI 20"),
    ("650106000100 000000 45", "C_CI_NA_1 activation CA 1 RQT 5 FRZ 1"),
    ("690106000100 000000 01", "C_RP_NA_1 activation CA 1 QRP 1"),
    ("460104000100 000000 00", "M_EI_NA_1 initialized CA 1 COI 0"),
    ("018314000100 640000 010001", "M_SP_NA_1 interrogated station CA 1 IOA 100-102"),
    ("010203000100 640000 01 c80000 01", "M_SP_NA_1 spontaneous CA 1 IOA 100 and 1 more"),
    ("010103000100 000000 01", "M_SP_NA_1 spontaneous CA 1 IOA 0"),
    ("c8013200ffff 640000 01", "type 200 cause 50 CA 65535 IOA 100"),
    ("2d016e002000 640000 01", "C_SC_NA_1 unknown CA CA 32 IOA 100 negative"),
    ("2d0106002000", "C_SC_NA_1 activation CA 32 no IOA"),
    ("640106000100 000000", "C_IC_NA_1 activation CA 1"),
    ("2d0106", "malformed ASDU [2d 01 06]"),
    ("", "malformed ASDU []"),
]


@pytest.mark.parametrize(("asdu", "expected"), DESCRIPTIONS)
def test_describe(asdu: str, expected: str) -> None:
    """One short line with what an operator looks for, and nothing that is at its default."""
    assert describe(bytes.fromhex(asdu)) == expected


@given(st.binary(max_size=MAX_ASDU))
def test_M08_describeNeverRaises(asdu: bytes) -> None:
    """Any octets give one printable line."""
    assert describe(asdu).isprintable()


def test_causeNames() -> None:
    """Every named cause has words, every other its number."""
    assert causeName(Cause.UNKNOWN_IOA) == "unknown IOA"
    assert causeName(Cause.INTERROGATED_GROUP_16) == "interrogated group 16"
    assert int(Cause.INTERROGATED_GROUP_16) == 36
    assert int(Cause.COUNTER_GROUP_4) == 41
    assert {number for number in range(64) if causeName(number) == f"cause {number}"} == {
        *{0, 17, 18, 19, 42, 43},
        *range(48, 64),
    }
