"""What the NTP client makes of an answer: a table of wrong ones, and packets of chance."""

from __future__ import annotations

import struct
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mm2ss.config.service_settings import NtpSettings
from mm2ss.services.ntpdecision import (
    MOST_GAP,
    Correction,
    Kiss,
    Question,
    Refused,
    Restraint,
    Sample,
    correction,
    judge,
    restraint,
)
from tests.ntpservers import NOW, answer, fixed, timestamp

SETTINGS = NtpSettings()
QUESTION = Question(b"\x01nonce\x00\xff", NOW)


def decide(data: bytes, elapsed: float = 0.02, settings: NtpSettings = SETTINGS) -> object:
    """What is made of a datagram that comes 20 ms after the question."""
    return judge(data, QUESTION, elapsed, settings)


def test_question() -> None:
    """We ask as a client of version 4, and tell nothing but chance."""
    octets = QUESTION.encode()
    assert octets == b"\x23" + bytes(39) + QUESTION.nonce


@pytest.mark.parametrize("offset", [0.0, 0.25, -0.25, 3600.0, -86000.0])
def test_offsetAndDelay(offset: float) -> None:
    """A good answer tells how far we are behind, and how long it was on its way."""
    result = decide(answer(QUESTION.encode(), NOW + 0.008 + offset, held=0.004))
    assert isinstance(result, Sample)
    assert result.offset == pytest.approx(offset, abs=2e-6)
    assert result.delay == pytest.approx(0.016, abs=2e-6) and result.stratum == 2


WRONG: list[tuple[dict[str, object], str]] = [
    ({"mode": 3}, "its mode is 3"),
    ({"mode": 5}, "its mode is 5"),
    ({"version": 0}, "version is 0"),
    ({"version": 7}, "version is 7"),
    ({"leap": 3}, "not synchronised"),
    ({"stratum": 16}, "stratum is 16"),
    ({"stratum": 255}, "stratum is 255"),
    ({"stratum": 0, "reference": b"INIT"}, "not synchronised (INIT)"),
    ({"stratum": 0, "leap": 3, "reference": bytes(4)}, "is not synchronised"),
    ({"stratum": 0, "reference": b"\0A\n\xff"}, "is not synchronised"),
    ({"received": bytes(8)}, "sends no time"),
    ({"sent": bytes(8)}, "sends no time"),
    ({"rootDelay": 16.0}, "too far"),
    ({"rootDispersion": 16.0}, "too far"),
    ({"held": -0.5}, "contradict"),
    ({"held": 0.5}, "contradict"),
    ({"received": timestamp(NOW), "sent": timestamp(NOW - 1)}, "contradict"),
    ({"time": NOW + 90000}, "+90000 s from us"),
    ({"time": NOW - 90000}, "-90000 s from us"),
    ({"time": 1577836800.0}, "not in 2025-2074"),
    ({"time": 3500000000.0}, "not in 2025-2074"),
]


@pytest.mark.parametrize(("changes", "reason"), WRONG, ids=[each[1] for each in WRONG])
def test_wrongAnswer(changes: dict[str, object], reason: str) -> None:
    """An answer that a careful client does not use is refused, with the reason."""
    options = {"time": NOW, **changes}
    result = decide(answer(QUESTION.encode(), **options))  # type: ignore[arg-type]  # of many types
    assert isinstance(result, Refused) and reason in result.reason and result.kiss is None


@pytest.mark.parametrize("kiss", Kiss)
def test_kissOfDeath(kiss: Kiss) -> None:
    """A server that wants to be left alone is understood, if the kiss answers our question."""
    packet = answer(QUESTION.encode(), NOW, stratum=0, leap=3, reference=kiss.value.encode())
    result = decide(packet)
    assert isinstance(result, Refused) and result.kiss is kiss
    assert decide(packet[:24] + bytes(8) + packet[32:]) is None


@pytest.mark.parametrize("length", [0, 1, 47])
def test_short(length: int) -> None:
    """What is too short for an answer is not taken for one."""
    assert decide(answer(QUESTION.encode(), NOW)[:length]) is None


def test_longer() -> None:
    """Extension fields and a MAC behind the header do no harm."""
    assert isinstance(decide(answer(QUESTION.encode(), NOW) + bytes(100)), Sample)


@pytest.mark.parametrize("octet", range(24, 32))
def test_notOurs(octet: int) -> None:
    """Who cannot say what we asked has not answered: the question stays open."""
    packet = bytearray(answer(QUESTION.encode(), NOW))
    packet[octet] ^= 1
    assert decide(bytes(packet)) is None


def test_ourOwnQuestion() -> None:
    """A question that comes back as it is answers nothing."""
    assert decide(QUESTION.encode()) is None


def test_roundTrip() -> None:
    """An answer that took too long is refused, however long the server says it had it."""
    packet = answer(QUESTION.encode(), NOW + 0.1, held=1.0)
    result = decide(packet, 1.2)
    assert result == Refused("its answer took more than 1 s")
    assert isinstance(decide(packet, 1.2, replace(SETTINGS, maxRoundTrip=1.5)), Sample)


def test_anyOffset() -> None:
    """``max_offset: 0`` believes every offset: a machine whose clock begins in 1970."""
    settings = replace(SETTINGS, maxOffset=0)
    question = replace(QUESTION, sentAt=12.0)
    result = judge(answer(question.encode(), NOW), question, 0.01, settings)
    assert isinstance(result, Sample) and result.offset == pytest.approx(NOW - 12, abs=0.1)


@pytest.mark.parametrize("now", [2085978495.9, 2085978496.1, 2208988800.0])
def test_nextEra(now: float) -> None:
    """In February 2036 the timestamps begin anew; the offset stays what it is."""
    question = replace(QUESTION, sentAt=now)
    result = judge(answer(question.encode(), now + 0.25), question, 0.0, SETTINGS)
    assert isinstance(result, Sample) and result.offset == pytest.approx(0.25, abs=1e-5)


def independentlyRight(data: bytes, nonce: bytes, elapsed: float) -> bool:
    """The checks that every believed answer must have passed, read from the octets."""
    first, stratum = data[0], data[1]
    received, sent = struct.unpack("!QQ", data[32:48])
    root = struct.unpack("!II", data[4:12])
    return (
        data[24:32] == nonce
        and first & 7 == 4
        and first >> 6 != 3
        and 1 <= stratum <= 15
        and min(received, sent) > 0
        and max(root) < 16 << 16
        and elapsed <= SETTINGS.maxRoundTrip
    )


@given(st.binary(max_size=200), st.floats(allow_nan=False), st.floats(0, 4e9))
def test_anyOctets(data: bytes, elapsed: float, sentAt: float) -> None:
    """Octets of chance never raise, and never give a time."""
    assert judge(data, Question(b"8 octets", sentAt), elapsed, SETTINGS) is None


@given(st.binary(min_size=48, max_size=80), st.floats(-1, 2), st.booleans())
def test_anyAnswer(data: bytes, elapsed: float, nearly: bool) -> None:
    """Even one who knows our question gets only a plausible time believed."""
    if nearly:
        data = answer(QUESTION.encode(), NOW)[:32] + data[32:]
    data = data[:24] + QUESTION.nonce + data[32:]
    result = decide(data, elapsed)
    assert result is not None
    if isinstance(result, Sample):
        assert independentlyRight(data, QUESTION.nonce, elapsed)
        assert abs(result.offset) <= SETTINGS.maxOffset and 0 <= result.delay <= elapsed + 0.01


@given(st.integers(0, 383), st.integers(1, 255))
def test_oneOctetWrong(bit: int, mask: int) -> None:
    """A good answer with any one octet changed is refused, or still passes every check."""
    data = bytearray(answer(QUESTION.encode(), NOW))
    data[bit // 8] ^= mask
    result = decide(bytes(data))
    if isinstance(result, Sample):
        assert independentlyRight(bytes(data), QUESTION.nonce, 0.02)
        assert abs(result.offset) <= SETTINGS.maxOffset


@given(st.floats(-80000, 80000), st.floats(0, 0.4), st.floats(0, 0.4), st.floats(0, 0.1))
def test_neverWorseThanHalfTheDelay(offset: float, there: float, back: float, held: float) -> None:
    """However uneven the way, the offset is right to half of the delay."""
    packet = answer(QUESTION.encode(), NOW + offset + there, held=held)
    result = decide(packet, there + held + back)
    assert isinstance(result, Sample)
    assert abs(result.offset - offset) <= result.delay / 2 + 1e-5


@pytest.mark.parametrize(
    ("offset", "canSlew", "expected"),
    [
        (0.0, True, Correction.SLEW),
        (-0.499, True, Correction.SLEW),
        (0.5, True, Correction.STEP),
        (-7200.0, True, Correction.STEP),
        (0.02, False, Correction.STEP),
        (-0.009, False, Correction.LEAVE),
        (-3.0, False, Correction.STEP),
    ],
)
def test_correction(offset: float, canSlew: bool, expected: Correction) -> None:
    """Small offsets are slewed and large ones stepped, either way."""
    assert correction(offset, SETTINGS, canSlew) is expected


def test_alwaysStep() -> None:
    """With a threshold of 0 everything is stepped."""
    assert correction(0.0, replace(SETTINGS, stepThreshold=0), True) is Correction.STEP


def test_restraintByRate() -> None:
    """Each RATE doubles the gap, up to a day and a half; a good answer keeps it."""
    first = restraint(Kiss.RATE, None, 900, 100)
    assert (first.gap, first.until) == (1800, 1900)
    second = restraint(Kiss.RATE, first, 900, 2000)
    assert (second.gap, second.until) == (3600, 5600)
    assert second.asked(7000) == Restraint(3600, 10600)
    assert restraint(Kiss.RATE, Restraint(MOST_GAP, 0), 900, 0).gap == MOST_GAP
    assert restraint(Kiss.RATE, None, 1, 0).gap == 64


@pytest.mark.parametrize("kiss", [Kiss.DENY, Kiss.RSTR])
def test_restraintForGood(kiss: Kiss) -> None:
    """DENY and RSTR: never again."""
    assert restraint(kiss, None, 900, 0).until == float("inf")


def test_fixed() -> None:
    """The tests' own encoding of root delay and dispersion is 16.16."""
    assert fixed(1.5) == 0x18000
