"""Information objects: what is in an ASDU, decoded and encoded; for logs, console, simulator.

An object is an address and its information elements, in the standard's order. Decoding keeps
every bit, reserved ones too, so `encode` of what `decode` gave is the same ASDU again. The
relay itself passes octets on and never comes here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from mm2ss.iec104.asdu import TYPES, Header, buildAsdu, describe, header, objectAddress, typeName
from mm2ss.iec104.bitfields import E, Element
from mm2ss.iec104.files import CHS, LOF, NOF, NOS, SOF, Octets, Segment
from mm2ss.iec104.layouts import ELEMENTS, UNKNOWN, elementsOf, lengthOf
from mm2ss.iec104.qualifiers import (
    AFQ,
    COI,
    DCO,
    FBP,
    FRQ,
    LSQ,
    QCC,
    QOI,
    QOS,
    QPA,
    QPM,
    QRP,
    RCO,
    SCO,
    SCQ,
    SRQ,
    TSC,
)
from mm2ss.iec104.times import CP16Time2a, CP24Time2a, CP56Time2a
from mm2ss.iec104.values import (
    AID,
    BCR,
    BSI,
    DIQ,
    NVA,
    OCI,
    QDP,
    QDS,
    R32,
    SCD,
    SEP,
    SIQ,
    SPE,
    SVA,
    VTI,
)

__all__ = [
    "AFQ",
    "AID",
    "BCR",
    "BSI",
    "CHS",
    "COI",
    "DCO",
    "DIQ",
    "ELEMENTS",
    "FBP",
    "FRQ",
    "LOF",
    "LSQ",
    "NOF",
    "NOS",
    "NVA",
    "OCI",
    "QCC",
    "QDP",
    "QDS",
    "QOI",
    "QOS",
    "QPA",
    "QPM",
    "QRP",
    "R32",
    "RCO",
    "SCD",
    "SCO",
    "SCQ",
    "SEP",
    "SIQ",
    "SOF",
    "SPE",
    "SRQ",
    "SVA",
    "TSC",
    "VTI",
    "CP16Time2a",
    "CP24Time2a",
    "CP56Time2a",
    "Element",
    "InformationObject",
    "Octets",
    "Segment",
    "decode",
    "describeObjects",
    "elementsOf",
    "encode",
]

_HIGHEST_ADDRESS: Final = 0xFFFFFF


@dataclass(frozen=True)
class InformationObject:
    """An information object: its address, 0-16777215, 0 where it has none, and its elements."""

    address: int
    elements: tuple[Element, ...] = ()

    @classmethod
    def of(cls, address: int, *elements: Element) -> InformationObject:
        """Make an object without the parentheses."""
        return cls(address, elements)

    def find(self, kind: type[E]) -> E | None:
        """Return the first element of this class, None if there is none."""
        for element in self.elements:
            if isinstance(element, kind):
                return element
        return None

    @property
    def value(self) -> float | int | bool | None:
        """The process value or command state, None if the type has none."""
        for element in self.elements:
            if element.value is not None:
                return element.value
        return None

    @property
    def time(self) -> CP56Time2a | CP24Time2a | None:
        """The (first) time tag, None if there is none."""
        return self.find(CP56Time2a) or self.find(CP24Time2a)

    def __str__(self) -> str:
        """Return 'IOA 300 = 12.5 invalid @2026-11-22 10:15:03.120'; no IOA if it is 0."""
        texts = [element.PREFIX + str(element) for element in self.elements]
        address = [f"IOA {self.address}"] if self.address else []
        return " ".join(address + [text for text in texts if text])


def decode(asdu: bytes) -> list[InformationObject]:
    """Return the objects of an ASDU, in order; ValueError saying what is wrong with it.

    Of types that vary in length, whatever number the header says: one object.
    """
    head = header(asdu)
    kinds = elementsOf(head.typeId)
    address = objectAddress(asdu)
    length = lengthOf(kinds)
    if length is None:
        if head.typeId in ELEMENTS and asdu[1] != 1:
            raise ValueError(f"{typeName(head.typeId)} with structure qualifier 0x{asdu[1]:02x}")
        return [InformationObject(address, _decodeElements(kinds, asdu[9:]))]
    _checkStructure(head, len(asdu), length)
    if not head.sequence:
        stride = 3 + length
        return [
            InformationObject(
                int.from_bytes(asdu[at : at + 3], "little"),
                _decodeElements(kinds, asdu[at + 3 : at + stride]),
            )
            for at in range(6, len(asdu), stride)
        ]
    if address + head.count - 1 > _HIGHEST_ADDRESS:
        raise ValueError(f"sequence of {head.count} from IOA {address} ends beyond the highest")
    return [
        InformationObject(
            address + index, _decodeElements(kinds, asdu[9 + index * length :][:length])
        )
        for index in range(head.count)
    ]


def _checkStructure(head: Header, size: int, length: int) -> None:
    """Raise ValueError unless number of objects and length fit the type and each other.

    SQ 1 is not held against types that must not have it: c104 answers an interrogation with
    time-tagged types in that form, and what is meant is plain.
    """
    name = typeName(head.typeId)
    info = TYPES[head.typeId]
    if head.count == 0:
        raise ValueError(f"{name} with 0 objects")
    if info.single and head.count != 1:
        raise ValueError(f"{name} with {head.count} objects, not 1")
    expected = 9 + head.count * length if head.sequence else 6 + head.count * (3 + length)
    if size != expected:
        raise ValueError(f"{name} with {head.count} objects of {size} octets, not {expected}")


def _decodeElements(kinds: tuple[type[Element], ...], octets: bytes) -> tuple[Element, ...]:
    elements: list[Element] = []
    at = 0
    for kind in kinds:
        length = kind.length()
        end = len(octets) if length is None else at + length
        if end > len(octets):
            raise ValueError(f"{kind.__name__} is cut off")
        elements.append(kind.decode(octets[at:end]))
        at = end
    return tuple(elements)


def encode(
    typeId: int,
    cause: int,
    commonAddress: int,
    objects: Sequence[InformationObject],
    sequence: bool = False,
    negative: bool = False,
    test: bool = False,
    originator: int = 0,
    count: int | None = None,
) -> bytes:
    """Build an ASDU; ValueError if objects do not fit the type, the sequence or the length.

    `count` is for types of unknown inside only: what the header is to say of their `Octets`.
    """
    kinds = elementsOf(typeId)
    _checkObjects(typeId, objects, sequence, count)
    octets = b""
    for index, item in enumerate(objects):
        if sequence and item.address != objects[0].address + index:
            raise ValueError(f"IOA {item.address} does not follow in the sequence")
        if index == 0 or not sequence:
            octets += _encodeAddress(item.address)
        octets += _encodeElements(kinds, item.elements)
    number = len(objects) if count is None else count
    return buildAsdu(
        typeId, cause, commonAddress, octets, number, sequence, negative, test, originator
    )


def _checkObjects(
    typeId: int, objects: Sequence[InformationObject], sequence: bool, count: int | None
) -> None:
    """Raise ValueError unless number of objects and SQ fit the type."""
    name = typeName(typeId)
    info = TYPES.get(typeId)
    if not objects:
        raise ValueError(f"{name} without objects")
    if elementsOf(typeId) is UNKNOWN:
        if len(objects) != 1:
            raise ValueError(f"{name} with {len(objects)} objects, but its octets are one")
        return
    if info is not None and info.single and len(objects) != 1:
        raise ValueError(f"{name} with {len(objects)} objects, not 1")
    if info is not None and sequence and not info.sequence:
        raise ValueError(f"{name} cannot be a sequence (SQ 1)")
    if count is not None and count != len(objects):
        raise ValueError(f"{name} with count {count} of {len(objects)} objects")


def _encodeAddress(address: int) -> bytes:
    if not 0 <= address <= _HIGHEST_ADDRESS:
        raise ValueError(f"IOA {address} is not 0-{_HIGHEST_ADDRESS}")
    return address.to_bytes(3, "little")


def _encodeElements(kinds: tuple[type[Element], ...], elements: tuple[Element, ...]) -> bytes:
    if tuple(type(element) for element in elements) != kinds:
        wanted = " ".join(kind.__name__ for kind in kinds) or "nothing"
        given = " ".join(type(element).__name__ for element in elements) or "nothing"
        raise ValueError(f"elements {given}, not {wanted}")
    return b"".join(element.encode() for element in elements)


def describeObjects(asdu: bytes, most: int = 127) -> str:
    """Return the objects' text, 'IOA 100 on, IOA 101 off', at most so many; never raises.

    An ASDU that cannot be decoded gives what `describe` makes of it, and why.
    """
    try:
        objects = decode(asdu)
    except ValueError as problem:
        return f"{describe(asdu)} ({problem})"
    texts = [str(item) for item in objects[:most]]
    if len(objects) > most:
        texts.append(f"and {len(objects) - most} more")
    return ", ".join(texts)
