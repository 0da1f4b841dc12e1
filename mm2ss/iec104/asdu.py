"""The ASDU as the relay sees it: its header, its first address, and what may be sent to an RTU.

All functions take the octets of one ASDU (60870-5-104 8: cause 2 octets, common address 2,
object address 3, little endian) and build no objects, unless asked for a `Header`.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from struct import Struct
from typing import Final, NamedTuple

from mm2ss.iec104.typeids import ALLOWED_CAUSES, TYPES, AllowedCauses, Cause, TypeId, TypeInfo

__all__ = [
    "ALLOWED_CAUSES",
    "BROADCAST",
    "HEADER_LENGTH",
    "MAX_ASDU",
    "TYPES",
    "Admission",
    "AllowedCauses",
    "Cause",
    "Header",
    "TypeId",
    "TypeInfo",
    "Verdict",
    "admitControl",
    "buildAsdu",
    "causeName",
    "describe",
    "endOfInitialization",
    "header",
    "isSelect",
    "mirror",
    "objectAddress",
    "objectAddresses",
    "typeName",
    "withOriginator",
]

HEADER_LENGTH: Final = 6
"""Octets before the first object address."""

MAX_ASDU: Final = 249
"""Octets of the longest ASDU: 253 of an APDU less the control field (60870-5-104 5)."""

BROADCAST: Final = 65535
"""The common address of all stations; control direction only (60870-5-101 7.2.4)."""

_FIRST_OBJECT: Final = 9
"""Offset of the first object: the header and one object address."""

_TEST: Final = 0x80
_NEGATIVE: Final = 0x40
_CAUSE: Final = 0x3F
_SEQUENCE: Final = 0x80
_COUNT: Final = 0x7F

_SELECT_AT: Final = bytes(
    _FIRST_OBJECT + info.qualifierOffset if info and info.qualifierOffset is not None else 0
    for info in map(TYPES.get, range(256))
)
"""Where S/E stands in an ASDU of each type; 0 = there is none."""

_HEADER: Final = Struct("<BBBBH")
_OCTETS: Final = tuple(bytes((number,)) for number in range(256))


class Header(NamedTuple):
    """The six octets every ASDU begins with (60870-5-101 7.1)."""

    typeId: int
    sequence: bool
    count: int  # type: ignore[assignment]  # hides tuple.count, which nobody asks a header
    cause: int
    negative: bool
    test: bool
    originator: int
    commonAddress: int


def header(asdu: bytes) -> Header:
    """Take the header apart; ValueError if it is not all there."""
    if len(asdu) < HEADER_LENGTH:
        raise ValueError(f"ASDU of {len(asdu)} octets, shorter than its header")
    typeId, structure, cause, originator, commonAddress = _HEADER.unpack_from(asdu)
    return Header(
        typeId,
        structure >= _SEQUENCE,
        structure & _COUNT,
        cause & _CAUSE,
        bool(cause & _NEGATIVE),
        cause >= _TEST,
        originator,
        commonAddress,
    )


def objectAddress(asdu: bytes) -> int:
    """Return the first information object address; ValueError if there is none."""
    if len(asdu) < _FIRST_OBJECT:
        raise ValueError(f"ASDU of {len(asdu)} octets has no object address")
    return asdu[6] | asdu[7] << 8 | asdu[8] << 16


def objectAddresses(asdu: bytes) -> Sequence[int]:
    """Return all object addresses, in order, whether SQ is 0 or 1.

    Where the length of the objects is unknown, or disagrees with their number, only the first
    one is sure and returned alone; of an ASDU too short for one, none.
    """
    if len(asdu) < _FIRST_OBJECT:
        return range(0)
    first = objectAddress(asdu)
    info = TYPES.get(asdu[0])
    if info is None or info.objectLength is None:
        return range(first, first + 1)
    count = asdu[1] & _COUNT
    if asdu[1] & _SEQUENCE:
        fits = len(asdu) == _FIRST_OBJECT + count * info.objectLength
        return range(first, first + (count if fits and count else 1))
    stride = 3 + info.objectLength
    if count < 2 or len(asdu) != HEADER_LENGTH + count * stride:
        return range(first, first + 1)
    return [
        asdu[at] | asdu[at + 1] << 8 | asdu[at + 2] << 16
        for at in range(HEADER_LENGTH, len(asdu), stride)
    ]


def isSelect(asdu: bytes) -> bool:
    """Tell whether S/E of a command says select; False for all that has no S/E."""
    at = _SELECT_AT[asdu[0]] if asdu else 0
    return 0 < at < len(asdu) and asdu[at] >= 0x80


def withOriginator(asdu: bytes, originator: int) -> bytes:
    """Return the ASDU with this originator address (0-255), the same object if it has it."""
    if asdu[3] == originator:
        return asdu
    return asdu[:3] + _OCTETS[originator] + asdu[4:]


def mirror(asdu: bytes, cause: int, negative: bool = False) -> bytes:
    """Return the answer to a request: cause and P/N set, T, originator and the rest unchanged."""
    octet = asdu[2] & _TEST | cause & _CAUSE | (_NEGATIVE if negative else 0)
    return asdu[:2] + _OCTETS[octet] + asdu[3:]


def buildAsdu(
    typeId: int,
    cause: int,
    commonAddress: int,
    objects: bytes,
    count: int = 1,
    sequence: bool = False,
    negative: bool = False,
    test: bool = False,
    originator: int = 0,
) -> bytes:
    """Put a header before objects that are encoded already, addresses included.

    ValueError if a number does not fit its field, or the whole an APDU.
    """
    if not 0 <= cause <= _CAUSE:
        raise ValueError(f"cause {cause} is not 0-63")
    if not 0 <= count <= _COUNT:
        raise ValueError(f"number of objects {count} is not 0-127")
    if not 0 <= typeId <= 255 or not 0 <= originator <= 255:
        raise ValueError(f"type {typeId} or originator {originator} is not 0-255")
    if not 0 <= commonAddress <= 65535:
        raise ValueError(f"common address {commonAddress} is not 0-65535")
    if HEADER_LENGTH + len(objects) > MAX_ASDU:
        raise ValueError(f"ASDU of {HEADER_LENGTH + len(objects)} octets, longer than {MAX_ASDU}")
    structure = count | (_SEQUENCE if sequence else 0)
    octet = cause | (_NEGATIVE if negative else 0) | (_TEST if test else 0)
    return _HEADER.pack(typeId, structure, octet, originator, commonAddress) + objects


def endOfInitialization(commonAddress: int, coi: int = 0) -> bytes:
    """Build an M_EI_NA_1; `coi` is 0 local power on, 1 local reset, 2 remote reset (+128)."""
    return buildAsdu(TypeId.M_EI_NA_1, Cause.INITIALIZED, commonAddress, bytes((0, 0, 0, coi)))


class Verdict(Enum):
    """What becomes of an ASDU that a master sends."""

    FORWARD = "forward"
    CLOSE = "close"
    REFUSE = "refuse"


class Admission(NamedTuple):
    """The verdict on an ASDU of a master, and why."""

    verdict: Verdict
    cause: int = 0
    """With REFUSE, the cause (44-46) of the negative mirror; else 0."""
    reason: str = ""
    """For the log; empty with FORWARD."""


_FORWARD: Final = Admission(Verdict.FORWARD)

# What a master may send; 81-95 are authentication, which is end to end and cannot be shared.
_CONTROL: Final = frozenset(
    {
        *range(45, 52),
        *range(58, 65),
        *range(100, 108),
        *range(110, 114),
        *range(120, 126),
        *range(127, 256),
    }
)
_FIRST_PRIVATE: Final = 128
_BROADCASTABLE: Final = frozenset({100, 101, 103, 105})
_CONTROL_CAUSES: Final = frozenset({5, 6, 8, 13})


def admitControl(asdu: bytes) -> Admission:
    """Judge an ASDU from a master before anything else looks at it.

    One malformed ASDU must not make the RTU drop the link that all share: wrong lengths close
    that master, what no RTU could accept is refused here, everything else is the RTU's to judge.
    """
    problem = _structureProblem(asdu)
    if problem:
        return Admission(Verdict.CLOSE, 0, problem)
    typeId = asdu[0]
    if typeId not in _CONTROL:
        return _refuse(Cause.UNKNOWN_TYPE, f"{typeName(typeId)} in control direction")
    commonAddress = asdu[4] | asdu[5] << 8
    if commonAddress == 0:
        return _refuse(Cause.UNKNOWN_CA, "common address 0")
    if commonAddress == BROADCAST and typeId not in _BROADCASTABLE:
        return _refuse(Cause.UNKNOWN_CA, f"{typeName(typeId)} to all stations")
    cause = asdu[2] & _CAUSE
    if typeId >= _FIRST_PRIVATE or cause in _CONTROL_CAUSES:
        return _FORWARD
    if typeId == TypeId.C_CD_NA_1 and cause == Cause.SPONTANEOUS:
        return _FORWARD
    return _refuse(Cause.UNKNOWN_CAUSE, f"{typeName(typeId)} with {causeName(cause)}")


def _refuse(cause: Cause, reason: str) -> Admission:
    return Admission(Verdict.REFUSE, int(cause), reason)


def _structureProblem(asdu: bytes) -> str:
    """Say what is wrong with length or structure qualifier of a control ASDU; '' if nothing.

    Types that are refused anyway and private types (128-255) have no length to compare with.
    """
    size = len(asdu)
    if size < _FIRST_OBJECT:
        return f"ASDU of {size} octets, shorter than {_FIRST_OBJECT}"
    typeId = asdu[0]
    if typeId not in _CONTROL or typeId >= _FIRST_PRIVATE:
        return ""
    if asdu[1] != 1:
        return f"{typeName(typeId)} with structure qualifier 0x{asdu[1]:02x}, not 0x01"
    length = TYPES[typeId].objectLength
    if length is None:  # F_SG_NA_1: file, section, its own length, then the segment
        length = 4 + (asdu[12] if size > 12 else 0)
    if size != _FIRST_OBJECT + length:
        return f"{typeName(typeId)} of {size} octets, not {_FIRST_OBJECT + length}"
    return ""


def typeName(typeId: int) -> str:
    """Return the standard's name of a type, 'type 200' where there is none."""
    info = TYPES.get(typeId)
    return info.name if info is not None else f"type {typeId}"


_CAUSE_NAMES: Final[dict[int, str]] = {
    int(cause): cause.name.lower().replace("_", " ") for cause in Cause
} | {46: "unknown CA", 47: "unknown IOA"}


def causeName(cause: int) -> str:
    """Return the name of a cause, as 'activation con', or 'cause 50' where there is none."""
    return _CAUSE_NAMES.get(cause, f"cause {cause}")


_UNADDRESSED: Final = frozenset({70, 100, 101, 103, 104, 105, 106, 107})
_QUALIFIER_NAMES: Final[dict[int, str]] = {70: "COI", 100: "QOI", 105: "QRP", 113: "QPA"}


def describe(asdu: bytes) -> str:
    """Return one short line for logs, 'C_SC_NA_1 activation CA 32 IOA 100'; never raises."""
    if len(asdu) < HEADER_LENGTH:
        return f"malformed ASDU [{asdu.hex(' ')}]"
    head = header(asdu)
    words = [typeName(head.typeId), causeName(head.cause), f"CA {head.commonAddress}"]
    words += _describeAddresses(asdu, head)
    words += _describeQualifier(asdu)
    if head.negative:
        words.append("negative")
    if head.test:
        words.append("test")
    if head.originator:
        words.append(f"OA {head.originator}")
    return " ".join(words)


def _describeAddresses(asdu: bytes, head: Header) -> list[str]:
    if len(asdu) < _FIRST_OBJECT:
        return ["no IOA"]
    first = objectAddress(asdu)
    if first == 0 and head.typeId in _UNADDRESSED:
        return []
    if head.count < 2:
        return [f"IOA {first}"]
    if head.sequence:
        return [f"IOA {first}-{first + head.count - 1}"]
    return [f"IOA {first} and {head.count - 1} more"]


def _describeQualifier(asdu: bytes) -> list[str]:
    if isSelect(asdu):
        return ["select"]
    if len(asdu) <= _FIRST_OBJECT:
        return []
    octet = asdu[_FIRST_OBJECT]
    if asdu[0] == TypeId.C_CI_NA_1:
        return [f"RQT {octet & 0x3F} FRZ {octet >> 6}"]
    name = _QUALIFIER_NAMES.get(asdu[0])
    return [f"{name} {octet}"] if name is not None else []
