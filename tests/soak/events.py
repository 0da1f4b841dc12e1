"""What the campaign's RTU sends: numbered events, and frames without a number in between.

The number of an event is the address of its object, and its value where the type has room for
one, so an event that was altered on its way is found out. Everything follows from the number.
"""

from __future__ import annotations

import struct

#: The RTU's common address.
STATION = 32
#: Numbers begin at 1 and end before the object address does.
LAST_NUMBER = 0xFFFFFF

ACTIVATION, CONFIRMATION, TERMINATION = 6, 7, 10
SINGLE_COMMAND, SETPOINT, INTERROGATION = 45, 51, 100
_CYCLIC, _INTERROGATED = 1, 20
#: Type and cause of the event with number n, at n % 5: all of these must survive everything.
_KINDS = ((30, 3), (33, 3), (36, 3), (37, 37), (30, 11))
_EVENT_TYPES = frozenset(kind for kind, _ in _KINDS)
_OBJECT = struct.Struct("<BBBBHHB")


def event(number: int) -> bytes:
    """The ASDU of an event."""
    kind, cause = _KINDS[number % 5]
    if kind == 30:  # M_SP_TB_1
        value = bytes((number & 1,))
    elif kind == 33:  # M_BO_TB_1
        value = struct.pack("<IB", number, 0)
    elif kind == 36:  # M_ME_TF_1
        value = struct.pack("<fB", number, 0)
    else:  # M_IT_TB_1
        value = struct.pack("<IB", number, 7)
    moment = number * 7
    tag = struct.pack("<HBBBBB", moment % 60000, moment // 60000 % 60, 12, 1, 1, 26)
    return _asdu(kind, cause, number, value + tag)


def numberOf(asdu: bytes) -> int:
    """The number of an event, 0 for any other ASDU.

    :raises ValueError: when it is an event, but not as it was sent.
    """
    if asdu[0] not in _EVENT_TYPES:
        return 0
    number = asdu[6] | asdu[7] << 8 | asdu[8] << 16
    if asdu != event(number):
        raise ValueError(f"event {number} was altered: {asdu.hex(' ')}")
    return number


def cyclic(value: int) -> bytes:
    """A measurand that is sent again and again (M_ME_NB_1): nobody minds if one is lost."""
    return _asdu(11, _CYCLIC, 1, struct.pack("<HB", value & 0x7FFF, 0))


def interrogated(address: int) -> bytes:
    """A point in answer to an interrogation (M_SP_NA_1)."""
    return _asdu(1, _INTERROGATED, address, b"\0")


def interrogation() -> bytes:
    """A master's general interrogation."""
    return _asdu(INTERROGATION, ACTIVATION, 0, b"\x14")


def command(number: int) -> bytes:
    """A master's numbered command (C_BO_NA_1): the RTU counts how often it gets each."""
    return _asdu(SETPOINT, ACTIVATION, number, struct.pack("<I", number))


def _asdu(kind: int, cause: int, address: int, rest: bytes) -> bytes:
    return _OBJECT.pack(kind, 1, cause, 0, STATION, address & 0xFFFF, address >> 16 & 0xFF) + rest
