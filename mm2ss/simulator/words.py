"""What ASDUs say, in words for people: used by the demo's masters."""

from __future__ import annotations

from collections.abc import Callable

from mm2ss.iec104.asdu import Cause, TypeId, isSelect, typeName
from mm2ss.iec104.elements import QCC, QOI, CP56Time2a, InformationObject, decode
from mm2ss.iec104.words import pointWords

#: Gives the name of a point, or of the point that a control moves; "" for none.
Names = Callable[[int], str]

_CAUSE = 0x3F
_NEGATIVE = 0x40
_FIRST_CONTROL = 45

_MIRRORED: dict[int, str] = {
    Cause.ACTIVATION_CON: "confirmed",
    Cause.DEACTIVATION_CON: "confirmed",
    Cause.ACTIVATION_TERM: "finished",
    Cause.UNKNOWN_TYPE: "unknown type",
    Cause.UNKNOWN_CAUSE: "unknown cause",
    Cause.UNKNOWN_CA: "unknown station",
    Cause.UNKNOWN_IOA: "unknown point",
}
_DATA: dict[int, str] = {
    Cause.PERIODIC: "periodic",
    Cause.BACKGROUND: "background",
    Cause.SPONTANEOUS: "spontaneous",
    Cause.INITIALIZED: "initialized",
    Cause.REQUEST: "read",
    Cause.RETURN_REMOTE: "after command",
    Cause.RETURN_LOCAL: "after local cmd",
}
_REQUESTS: dict[int, str] = {
    TypeId.C_SC_NA_1: "single command",
    TypeId.C_DC_NA_1: "double command",
    TypeId.C_SE_NC_1: "set point",
    TypeId.C_IC_NA_1: "interrogation",
    TypeId.C_CI_NA_1: "counter interrogation",
    TypeId.C_RD_NA_1: "read",
    TypeId.C_CS_NA_1: "clock synchronization",
}


def isMirror(asdu: bytes) -> bool:
    """Whether it is a request that comes back: a confirmation, a refusal, a termination."""
    return asdu[2] & _CAUSE in _MIRRORED


def isNegative(asdu: bytes) -> bool:
    """Whether a mirror refuses."""
    return bool(asdu[2] & _NEGATIVE) or asdu[2] & _CAUSE >= Cause.UNKNOWN_TYPE


def causeWord(asdu: bytes) -> str:
    """Why the ASDU was sent, in a word or two."""
    cause = asdu[2] & _CAUSE
    if cause == Cause.ACTIVATION_CON and isNegative(asdu):
        return "refused"
    if cause in _MIRRORED:
        return _MIRRORED[cause]
    if Cause.INTERROGATED_STATION <= cause <= Cause.INTERROGATED_GROUP_16:
        return "interrogated"
    if Cause.COUNTER_GENERAL <= cause <= Cause.COUNTER_GROUP_4:
        return "counted"
    return _DATA.get(cause, f"cause {cause}")


def objectWords(asdu: bytes, names: Names) -> str:
    """What the ASDU is about; never raises."""
    try:
        objects = decode(asdu)
    except ValueError as problem:
        return str(problem)
    if asdu[0] >= _FIRST_CONTROL:
        return _requestWords(asdu, objects[0], names)
    return ", ".join(pointWords(item, names(item.address)) for item in objects)


def _requestWords(asdu: bytes, item: InformationObject, names: Names) -> str:
    """``double command IOA 1201: feeder 1 breaker off, select``."""
    what = _REQUESTS.get(asdu[0], typeName(asdu[0]))
    if asdu[0] == TypeId.M_EI_NA_1:
        return f"station {asdu[4] | asdu[5] << 8} is initialized"
    time = item.find(CP56Time2a)
    if time is not None and not item.address:
        return f"{what} to {time}"
    if not item.address:
        qualifier = item.find(QOI) or item.find(QCC)
        return f"{what} ({qualifier})" if qualifier is not None else what
    values = " ".join(
        filter(None, (e.PREFIX + e.text() for e in item.elements if e.value is not None))
    )
    values = values.replace(" select", "") + (", select" if isSelect(asdu) else "")
    return f"{what} IOA {item.address}: {names(item.address)} {values}"
