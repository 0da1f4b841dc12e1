"""What a careful SNTP client makes of a server's answer: decisions only, no clock and no socket.

The rules are those of RFC 4330 section 5 and RFC 5905 sections 7 and 8. The codec is ntplib's.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from ntplib import NTPException, NTPPacket, NTPStats, system_to_ntp_time

from mm2ss.config.service_settings import NtpSettings

#: Octets of an NTP header; extension fields and a MAC may follow in an answer, and are not read.
HEADER = 48
#: Where in the header the origin timestamp stands: the server's copy of our transmit timestamp.
_ORIGIN = slice(24, 32)
#: Octets of our transmit timestamp. It holds no time but chance: a forger cannot guess it, and
#: the server learns nothing of our clock.
NONCE = 8

#: Seconds of an NTP era: the timestamps' 32 bits begin anew in February 2036.
ERA = float(2**32)
#: The year 2025 as an NTP timestamp. No server can be before it, so what looks so is era 1.
EARLIEST = system_to_ntp_time(1735689600.0)
#: Fifty years later. A server beyond it has lost its calendar (as after a GPS week rollover).
LATEST = EARLIEST + 50 * 365.25 * 86400
#: Root delay and root dispersion that mean "infinitely far from any clock" (RFC 4330 section 5).
INFINITE = 16.0
#: Seconds by which server and we may disagree on how long something took, without either being
#: wrong: a clock that is slewed, and half a microsecond of rounding in the timestamps.
TOLERANCE = 0.001
#: Without slewing (Windows) a smaller offset, in seconds, is left: no step would make it better.
LEAST_STEP = 0.01

#: Seconds between two questions to a server that says RATE: first at least, and at most (2**17).
LEAST_GAP = 64.0
MOST_GAP = 131072.0


class Kiss(Enum):
    """What a server that wants no more of our questions says (RFC 5905 section 7.4)."""

    DENY = "DENY"
    RSTR = "RSTR"
    RATE = "RATE"


@dataclass(frozen=True)
class Question:
    """What we asked.

    :ivar nonce: the transmit timestamp that we sent.
    :ivar sentAt: the system clock when we sent it, in seconds since 1970.
    """

    nonce: bytes
    sentAt: float

    def encode(self) -> bytes:
        """The packet: version 4, mode 3 (client), all else zero but the transmit timestamp."""
        octets: bytes = NTPPacket(version=4, mode=3).to_data()
        return octets[: HEADER - NONCE] + self.nonce


@dataclass(frozen=True)
class Sample:
    """An answer to be believed.

    :ivar offset: seconds that the system clock is behind the server's.
    :ivar delay: seconds on the way, there and back; the offset is right to half of it.
    """

    offset: float
    delay: float
    stratum: int


@dataclass(frozen=True)
class Refused:
    """An answer that is not to be used, or that did not come.

    :ivar kiss: the server asked us to leave it alone.
    """

    reason: str
    kiss: Kiss | None = None


def judge(
    data: bytes, question: Question, elapsed: float, settings: NtpSettings
) -> Sample | Refused | None:
    """Look at a datagram; never raises.

    :param elapsed: seconds since the question, by a clock that nobody sets.
    :return: None for what does not answer this question: it is to be ignored, and the answer may
        still come. A forger who does not see our question gets no further than this.
    """
    if len(data) < HEADER or data[_ORIGIN] != question.nonce:
        return None
    answer = NTPStats()
    try:
        answer.from_data(data)
    except NTPException as error:  # cannot be: the length is right
        return Refused(str(error))
    complaint = _complaint(answer)
    if complaint is not None:
        return complaint
    answer.recv_timestamp = _unfolded(answer.recv_timestamp)
    answer.tx_timestamp = _unfolded(answer.tx_timestamp)
    answer.orig_timestamp = system_to_ntp_time(question.sentAt)
    answer.dest_timestamp = answer.orig_timestamp + elapsed
    reason = _whyNot(answer, elapsed, settings)
    if reason:
        return Refused(reason)
    return Sample(answer.offset, max(answer.delay, 0.0), answer.stratum)


def _complaint(answer: NTPStats) -> Refused | None:
    """What the server says of itself that makes its time useless."""
    if answer.mode != 4:
        return Refused(f"its mode is {answer.mode}, not 4 (server)")
    if not 1 <= answer.version <= 4:
        return Refused(f"its NTP version is {answer.version}")
    if answer.stratum == 0:
        return _kissOfDeath(answer.ref_id)
    if answer.leap == 3:
        return Refused("it is not synchronised")
    if answer.stratum > 15:
        return Refused(f"its stratum is {answer.stratum}, not 1-15")
    if not answer.tx_timestamp or not answer.recv_timestamp:
        return Refused("it sends no time")
    if max(answer.root_delay, answer.root_dispersion) >= INFINITE:
        return Refused("it is too far from its own source of time")
    return None


def _kissOfDeath(reference: int) -> Refused:
    """What stratum 0 means: leave me alone, or (INIT, STEP, nothing) that there is no time yet."""
    octets = reference.to_bytes(4, "big")
    code = octets.decode("ascii", "replace").rstrip("\0")
    if code in Kiss.__members__:
        return Refused(f"it asks to be left alone ({code})", Kiss[code])
    return Refused("it is not synchronised" + (f" ({code})" if code.isalnum() else ""))


def _unfolded(timestamp: float) -> float:
    """A timestamp with its era."""
    return timestamp + ERA if timestamp < EARLIEST else timestamp


def _whyNot(answer: NTPStats, elapsed: float, settings: NtpSettings) -> str:
    """What is wrong with the times, in words; empty when nothing is."""
    if max(answer.recv_timestamp, answer.tx_timestamp) > LATEST:
        return "its time is not in 2025-2074"
    if answer.tx_timestamp < answer.recv_timestamp or answer.delay < -TOLERANCE or elapsed < 0:
        return "its times contradict each other"
    if elapsed > settings.maxRoundTrip:
        return f"its answer took more than {settings.maxRoundTrip:g} s"
    if settings.maxOffset and abs(answer.offset) > settings.maxOffset:
        return f"it is {answer.offset:+.0f} s from us, more than {settings.maxOffset:g} s"
    return ""


class Correction(Enum):
    """How the clock is brought to the server's time."""

    SLEW = "slewed"
    STEP = "stepped"
    LEAVE = "left"


def correction(offset: float, settings: NtpSettings, canSlew: bool) -> Correction:
    """What to do about an offset in seconds."""
    if abs(offset) >= settings.stepThreshold:
        return Correction.STEP
    if canSlew:
        return Correction.SLEW
    return Correction.STEP if abs(offset) >= LEAST_STEP else Correction.LEAVE


@dataclass(frozen=True)
class Restraint:
    """How a server that sent a kiss of death is spared.

    :ivar gap: seconds between two questions; infinite when it is not asked any more.
    :ivar until: second of the monotonic clock before which it is not asked.
    """

    gap: float
    until: float

    def asked(self, now: float) -> Restraint:
        """It was asked, and answered as it should: the gap stays."""
        return Restraint(self.gap, now + self.gap)


def restraint(kiss: Kiss, before: Restraint | None, interval: float, now: float) -> Restraint:
    """What follows from a kiss of death; RATE doubles the gap, the others end the acquaintance."""
    if kiss is not Kiss.RATE:
        return Restraint(float("inf"), float("inf"))
    last = max(before.gap if before else 0.0, interval)
    gap = min(max(2 * last, LEAST_GAP), MOST_GAP)
    return Restraint(gap, now + gap)
