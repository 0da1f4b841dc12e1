"""Frames in words."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mm2ss.iec104.apci import FrameBuffer, UFunction, encodeI, encodeS, encodeU
from mm2ss.iec104.asdu import TYPES, Cause, TypeId
from mm2ss.iec104.elements import (
    QDS,
    QOI,
    R32,
    SCO,
    SIQ,
    CP56Time2a,
    Element,
    InformationObject,
    encode,
)
from mm2ss.iec104.words import MOST_OBJECTS, asduWords, frameWords

TIME = CP56Time2a.fromDatetime(datetime(2026, 11, 22, 12, 0, 0, 123000))


def words(frame: bytes) -> str:
    """One frame in words."""
    (apdu,) = FrameBuffer().feed(frame)
    return frameWords(apdu)


def point(typeId: int, cause: int, address: int, *elements: Element, **others: Any) -> bytes:
    """An ASDU with one object."""
    return encode(typeId, cause, 32, [InformationObject(address, elements)], **others)


@pytest.mark.parametrize(
    ("asdu", "expected"),
    [
        (
            point(TypeId.M_SP_TB_1, Cause.SPONTANEOUS, 100, SIQ(spi=True), TIME),
            "M_SP_TB_1 spontaneous CA 32 IOA 100 on (12:00:00.123)",
        ),
        (
            point(TypeId.M_ME_NC_1, Cause.PERIODIC, 300, R32.of(12.5), QDS(iv=True)),
            "M_ME_NC_1 periodic CA 32 IOA 300 = 12.5 invalid",
        ),
        (
            point(
                TypeId.C_SC_NA_1,
                Cause.ACTIVATION_CON,
                7,
                SCO(scs=True),
                originator=3,
                negative=True,
            ),
            "C_SC_NA_1 activation con negative OA 3 CA 32 IOA 7 on",
        ),
        (point(TypeId.C_IC_NA_1, 6, 0, QOI(20)), "C_IC_NA_1 activation CA 32 station"),
        (
            point(TypeId.C_CS_NA_1, 6, 0, TIME),
            "C_CS_NA_1 activation CA 32 @2026-11-22 12:00:00.123",
        ),
    ],
)
def test_asdu(asdu: bytes, expected: str) -> None:
    """Type, cause, flags, addresses, value, quality and time."""
    assert asduWords(asdu) == expected


def test_manyObjects() -> None:
    """Of many objects the first are told, and how many more there are."""
    objects = [InformationObject.of(number, SIQ()) for number in range(1, 31)]
    said = asduWords(encode(TypeId.M_SP_NA_1, Cause.SPONTANEOUS, 32, objects))
    assert said.count("IOA") == MOST_OBJECTS
    assert said.endswith(f"and {30 - MOST_OBJECTS} more")


def test_frames() -> None:
    """I frames with N(S) and N(R), S frames with N(R), U frames by their names."""
    asdu = point(TypeId.M_SP_NA_1, Cause.SPONTANEOUS, 100, SIQ())
    assert words(encodeI(32780, 3, asdu)) == "I(12,3) M_SP_NA_1 spontaneous CA 32 IOA 100 off"
    assert words(encodeS(13)) == "S(13)"
    assert [words(encodeU(function)) for function in UFunction] == [
        "STARTDT act",
        "STARTDT con",
        "STOPDT act",
        "STOPDT con",
        "TESTFR act",
        "TESTFR con",
    ]
    assert words(bytes.fromhex("6804ff000000")) == "unknown U frame 0x00ff"


def test_malformed() -> None:
    """An ASDU that cannot be decoded gives its header and the reason."""
    asdu = point(TypeId.M_SP_NA_1, Cause.SPONTANEOUS, 100, SIQ())
    assert asduWords(asdu + b"\0") == (
        "M_SP_NA_1 spontaneous CA 32 IOA 100 (M_SP_NA_1 with 1 objects of 11 octets, not 10)"
    )
    assert "shorter than its header" in asduWords(b"\x01")


@given(st.binary(min_size=1, max_size=249))
def test_anyAsdu(asdu: bytes) -> None:
    """Whatever a peer sends gives one printable line."""
    assert asduWords(asdu).isprintable()


@given(st.sampled_from(sorted(TYPES)), st.integers(0, 255), st.binary(min_size=4, max_size=200))
def test_anyObjects(typeId: int, structure: int, rest: bytes) -> None:
    """Known types with any content, too."""
    assert asduWords(bytes((typeId, structure)) + rest).isprintable()
