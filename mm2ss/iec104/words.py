"""What frames and ASDUs say, in words for people: the trace and the simulator speak them."""

from __future__ import annotations

from mm2ss.iec104.apci import Apdu, UFunction, isI, isS
from mm2ss.iec104.asdu import causeName, describe, header, typeName
from mm2ss.iec104.elements import CP56Time2a, InformationObject, decode

#: Objects of one ASDU that are told; a line is to stay readable.
MOST_OBJECTS = 8

_U_WORDS = {int(function): function.name.replace("_", " ") for function in UFunction}


def uWords(control: int) -> str:
    """``STARTDT act``, or what an unknown U frame has in its control octets."""
    name = _U_WORDS.get(control)
    if name is None:
        return f"unknown U frame 0x{control:04x}"
    return name[:-3] + name[-3:].lower()


def frameWords(apdu: Apdu) -> str:
    """An APDU: ``I(12,3) M_SP_TB_1 spontaneous CA 32 IOA 100 on (12:00:00.123)``; never raises."""
    first, second, asdu = apdu
    if isI(apdu):
        return f"I({first >> 1},{second >> 1}) {asduWords(asdu)}"
    return f"S({second >> 1})" if isS(apdu) else uWords(first)


def asduWords(asdu: bytes, most: int = MOST_OBJECTS) -> str:
    """An ASDU with the values of its first objects; never raises.

    One that cannot be decoded gives what can be said of its header, and why.
    """
    try:
        objects = decode(asdu)
    except ValueError as problem:
        return f"{describe(asdu)} ({problem})"
    head = header(asdu)
    words = [typeName(head.typeId), causeName(head.cause)]
    words += ["negative"] if head.negative else []
    words += ["test"] if head.test else []
    words += [f"OA {head.originator}"] if head.originator else []
    words.append(f"CA {head.commonAddress}")
    told = [pointWords(item) for item in objects[:most]]
    if len(objects) > most:
        told.append(f"and {len(objects) - most} more")
    return " ".join([*words, ", ".join(filter(None, told))]).rstrip()


def pointWords(item: InformationObject, name: str = "") -> str:
    """An object with its value and the time of day: ``IOA 300 = 12.5 (10:45:08.117)``.

    :param name: stands in the place of its address.
    """
    words = [name or (f"IOA {item.address}" if item.address else "")]
    for element in item.elements:
        if isinstance(element, CP56Time2a) and item.address:
            words.append(f"({str(element).partition(' ')[2]})")
        else:
            words.append(element.PREFIX + str(element))
    return " ".join(filter(None, words))
