"""Frames of IEC 60870-5-104: octets to APDUs and back (clause 5 of the standard).

An APDU is the start octet 0x68, a length octet (4-253, the octets that follow), four control
octets and, in I format only, an ASDU. TCP gives no framing: one chunk may hold many APDUs, one
APDU may come in many chunks.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum, IntEnum
from functools import lru_cache
from struct import Struct

START = 0x68
#: Control octets only (S and U format).
MIN_LENGTH = 4
#: Control octets and the longest ASDU (249 octets).
MAX_LENGTH = 253
MAX_ASDU = MAX_LENGTH - MIN_LENGTH
#: Sequence numbers have 15 bits.
MODULO = 32768

#: One received APDU: its two control words (little endian) and its ASDU (empty for S and U).
#: I format: N(S) = first >> 1, N(R) = second >> 1. S format: N(R) = second >> 1.
Apdu = tuple[int, int, bytes]

_HEAD = Struct("<BBHH")
_CONTROL = Struct("<HH")
#: Octets before the ASDU; all of an S or U frame.
HEAD_LENGTH = 6
#: Frames up to which it is quicker to look at each than at all at once.
_FEW = 3
#: Frames up to which a run is cut at once.
_SHORT_RUN = 32
#: What an S frame begins with; two octets with N(R) follow.
S_HEAD = bytes((START, MIN_LENGTH, 1, 0))
#: The two octets of N(S) for each number, twice over, so that a run of numbers is a slice.
_LOW = bytes(range(0, 256, 2)) * 512
_HIGH = b"".join(bytes((octet,)) * 128 for octet in range(256)) * 2


class UFunction(IntEnum):
    """The functions of a U frame; exactly one per frame."""

    STARTDT_ACT = 0x07
    STARTDT_CON = 0x0B
    STOPDT_ACT = 0x13
    STOPDT_CON = 0x23
    TESTFR_ACT = 0x43
    TESTFR_CON = 0x83


class CloseCause(Enum):
    """Why a connection ended; the value is what logs and figures show."""

    T0 = "no connection within t0"
    T1_I_FRAME = "I frame not acknowledged within t1"
    T1_STARTDT = "STARTDT not confirmed within t1"
    T1_STOPDT = "STOPDT not confirmed within t1"
    T1_TESTFR = "TESTFR not confirmed within t1"
    IDLE = "nothing received within the idle time"
    BAD_START = "start octet is not 0x68"
    BAD_LENGTH = "impossible length of an APDU"
    UNKNOWN_U = "unknown U frame"
    NS_MISMATCH = "send sequence number out of order"
    NR_OUT_OF_WINDOW = "receive sequence number acknowledges what was not sent"
    DATA_WHILE_STOPPED = "I or S frame while data transfer is stopped"
    BAD_ASDU = "malformed ASDU"
    PEER_CLOSED = "closed by the peer"
    PEER_RESET = "connection reset or broken"
    FAULT = "the relay has failed in it, see its log"
    POLICY = "against the rules of the group"
    TOO_SLOW = "too slow to take its data"
    REPLACED = "replaced by a newer connection from its address"
    RTU_LOST = "the RTU's connection was lost"
    RESTART = "the group restarts"
    OPERATOR = "disconnected by the operator"
    SHUTDOWN = "the relay stops"


def closeText(cause: CloseCause, detail: str) -> str:
    """A cause with its detail, for logs."""
    return f"{cause.value}: {detail}" if detail else cause.value


class ProtocolError(Exception):
    """The peer broke the protocol; its connection, and only this one, is to be closed.

    :ivar cause: which rule it broke.
    :ivar octets: what it sent, from the offending APDU on (at most 16 octets).
    """

    def __init__(self, cause: CloseCause, octets: bytes) -> None:
        super().__init__(f"[{octets[:16].hex(' ')}]")
        self.cause = cause
        self.octets = octets[:16]


def unwrap(reference: int, number: int) -> int:
    """Turn a 15-bit sequence number into a running count.

    The one place of sequence arithmetic: everything else counts frames from 0 without wrapping.

    :param reference: a running count known to be at most 32767 behind the result.
    :returns: the first count >= `reference` whose last 15 bits are `number`.
    """
    return reference + ((number - reference) & 0x7FFF)


def encodeI(sendNumber: int, receiveNumber: int, asdu: bytes) -> bytes:
    """An I frame; the numbers are running counts of which the last 15 bits are sent.

    :raises ValueError: when the ASDU is empty or longer than 249 octets.
    """
    size = len(asdu)
    if not 0 < size <= MAX_ASDU:
        raise ValueError(f"an ASDU of {size} octets does not fit an APDU")
    return (
        _HEAD.pack(START, size + 4, (sendNumber & 0x7FFF) << 1, (receiveNumber & 0x7FFF) << 1)
        + asdu
    )


def encodeRun(sendNumber: int, receiveNumber: int, asdus: Sequence[bytes]) -> bytes:
    """I frames with consecutive numbers, at most 32767: as `encodeI` gives each, joined.

    Frames of one length, which is what a busy RTU sends, are joined without their numbers first,
    and the numbers of all are put in at once: a few steps for any number of frames.

    :param sendNumber: the running count of the first.
    :param asdus: a tuple that is sent on several connections in turn is joined only once.
    :raises ValueError: as `encodeI`.
    """
    count = len(asdus)
    if count == 1:  # on most lines the most usual chunk
        return encodeI(sendNumber, receiveNumber, asdus[0])
    frames, step = joinRun(asdus) if isinstance(asdus, tuple) and asdus else (b"", 0)
    if not step:
        return b"".join(
            [encodeI(sendNumber + at, receiveNumber, asdu) for at, asdu in enumerate(asdus)]
        )
    run = bytearray(frames)
    first = sendNumber & 0x7FFF
    run[2::step] = _LOW[first : first + count]
    run[3::step] = _HIGH[first : first + count]
    number = receiveNumber & 0x7FFF
    if number:
        run[4::step] = _LOW[number : number + 1] * count
        run[5::step] = _HIGH[number : number + 1] * count
    return bytes(run)


#: The run that was joined last, and what came of it.
_joined: tuple[tuple[bytes, ...], bytes, int] = ((), b"", 0)


def joinRun(asdus: tuple[bytes, ...]) -> tuple[bytes, int]:
    """The frames of a run without their numbers, and the length of each; 0 if lengths differ.

    The run that is asked for again and again, by each connection on which it is sent, is
    remembered.
    """
    global _joined
    last, frames, step = _joined
    if last is not asdus:
        size = len(asdus[0])
        frames, step = b"", 0
        if 0 < size <= MAX_ASDU and len(set(map(len, asdus))) == 1:
            frames, step = _framed(asdus, size), size + HEAD_LENGTH
        _joined = asdus, frames, step
    return frames, step


def _framed(asdus: tuple[bytes, ...], size: int) -> bytes:
    head = bytes((START, size + 4, 0, 0, 0, 0))
    return head + head.join(asdus)


def decodeRun(data: bytes, sendNumber: int) -> tuple[int, tuple[bytes, ...], int] | None:
    """The inverse of `encodeRun` for frames of one length; more than a few are looked at together.

    :param data: octets from the start of a frame on; an unfinished frame may be at the end.
    :param sendNumber: the running count that is expected of the first.
    :returns: N(R), the same in all, the ASDUs, and how many octets they took. None when the octets
        are anything else, valid or not: `FrameBuffer` then tells.
    """
    global _joined
    size = len(data)
    step = data[1] + 2 if size > HEAD_LENGTH else 0
    if not HEAD_LENGTH < step <= MAX_LENGTH + 2:
        return None
    number = (data[4] | data[5] << 8) >> 1
    count = size // step
    if count <= _FEW:  # on most lines the most usual chunks
        asdus: tuple[bytes, ...] = ()
        for at in range(0, count * step, step):
            head = _HEAD.unpack_from(data, at)
            if head != (START, step - 2, (sendNumber & 0x7FFF) << 1, number << 1):
                return None
            asdus += (data[at + HEAD_LENGTH : at + step],)
            sendNumber += 1
        return (number, asdus, count * step) if asdus else None
    last = (count - 1) * step
    if data[last] != START or data[last + 1] != data[1]:
        return None
    used = last + step
    run = data if used == size else data[:used]
    asdus = _cut(run, step, count)
    _joined = asdus, _framed(asdus, step - HEAD_LENGTH), step
    # What the inverse makes of them is the same if, and only if, every head was as it must be.
    return (number, asdus, used) if encodeRun(sendNumber, number, asdus) == run else None


def _cut(run: bytes, step: int, count: int) -> tuple[bytes, ...]:
    """The ASDUs of frames of one length."""
    if count <= _SHORT_RUN:
        return _cutter(step, count).unpack(run)
    return tuple([run[at + HEAD_LENGTH : at + step] for at in range(0, len(run), step)])


@lru_cache(maxsize=64)
def _cutter(step: int, count: int) -> Struct:
    """Cuts so many frames at once: five times as fast as one by one, but costly to make."""
    return Struct(f"{HEAD_LENGTH}x{step - HEAD_LENGTH}s" * count)


def encodeS(receiveNumber: int) -> bytes:
    """An S frame: acknowledges every I frame below `receiveNumber` (a running count)."""
    return _HEAD.pack(START, MIN_LENGTH, 1, (receiveNumber & 0x7FFF) << 1)


def encodeU(function: UFunction) -> bytes:
    """A U frame."""
    return _HEAD.pack(START, MIN_LENGTH, function, 0)


def isI(apdu: Apdu) -> bool:
    """Whether a received APDU is of I format."""
    return not apdu[0] & 1


def isS(apdu: Apdu) -> bool:
    """Whether a received APDU is of S format (reserved bits set are tolerated)."""
    return apdu[0] & 3 == 1


class FrameBuffer:
    """Cuts a stream of octets into APDUs; holds at most one unfinished APDU (255 octets).

    :ivar rest: octets of an APDU that is not whole yet.
    :ivar fault: the error that ended the stream, or None. Frames that came before it are still
        returned; nothing after it is looked at, for there is no way to find the next frame.
    """

    def __init__(self) -> None:
        self.fault: ProtocolError | None = None
        self.rest = b""

    def join(self, data: bytes) -> bytes:
        """A chunk behind the unfinished APDU that came before it, which is given back thereby."""
        if self.rest:
            data, self.rest = self.rest + data, b""
        return data

    def feed(self, data: bytes) -> list[Apdu]:
        """Take a chunk; return the APDUs that it completes, in order."""
        if self.fault:
            return []
        data = self.join(data)
        apdus: list[Apdu] = []
        unpack = _CONTROL.unpack_from
        size = len(data)
        at = 0
        while size - at >= 2:
            length = data[at + 1]
            if data[at] != START or not MIN_LENGTH <= length <= MAX_LENGTH:
                break
            end = at + 2 + length
            if end > size:
                break
            first, second = unpack(data, at + 2)
            if (length == MIN_LENGTH) != (first & 1):
                break  # an I frame without an ASDU, or an S or U frame with something behind
            apdus.append((first, second, data[at + 6 : end]))
            at = end
        self.rest = data[at:]
        if self.rest:
            self._checkRest()
        return apdus

    def _checkRest(self) -> None:
        """Tell an unfinished APDU from one that is wrong already."""
        rest = self.rest
        cause: CloseCause | None = None
        if rest[0] != START:
            cause = CloseCause.BAD_START
        elif len(rest) > 1:
            length = rest[1]
            whole = len(rest) >= 2 + length
            if not MIN_LENGTH <= length <= MAX_LENGTH or whole:
                cause = CloseCause.BAD_LENGTH
        if cause:
            self.fault = ProtocolError(cause, rest)
            self.rest = b""
