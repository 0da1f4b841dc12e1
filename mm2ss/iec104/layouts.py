"""Which information elements the objects of each type are made of."""

from __future__ import annotations

from typing import Final

from mm2ss.iec104.bitfields import Element
from mm2ss.iec104.files import CHS, LOF, NOF, NOS, SOF, Octets, Segment
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
from mm2ss.iec104.typeids import TYPES
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

_CP16 = CP16Time2a
_CP24 = CP24Time2a
_CP56 = CP56Time2a

ELEMENTS: Final[dict[int, tuple[type[Element], ...]]] = {
    1: (SIQ,),
    2: (SIQ, _CP24),
    3: (DIQ,),
    4: (DIQ, _CP24),
    5: (VTI, QDS),
    6: (VTI, QDS, _CP24),
    7: (BSI, QDS),
    8: (BSI, QDS, _CP24),
    9: (NVA, QDS),
    10: (NVA, QDS, _CP24),
    11: (SVA, QDS),
    12: (SVA, QDS, _CP24),
    13: (R32, QDS),
    14: (R32, QDS, _CP24),
    15: (BCR,),
    16: (BCR, _CP24),
    17: (SEP, _CP16, _CP24),
    18: (SPE, QDP, _CP16, _CP24),
    19: (OCI, QDP, _CP16, _CP24),
    20: (SCD, QDS),
    21: (NVA,),
    30: (SIQ, _CP56),
    31: (DIQ, _CP56),
    32: (VTI, QDS, _CP56),
    33: (BSI, QDS, _CP56),
    34: (NVA, QDS, _CP56),
    35: (SVA, QDS, _CP56),
    36: (R32, QDS, _CP56),
    37: (BCR, _CP56),
    38: (SEP, _CP16, _CP56),
    39: (SPE, QDP, _CP16, _CP56),
    40: (OCI, QDP, _CP16, _CP56),
    41: (AID, BCR, _CP56),
    45: (SCO,),
    46: (DCO,),
    47: (RCO,),
    48: (NVA, QOS),
    49: (SVA, QOS),
    50: (R32, QOS),
    51: (BSI,),
    58: (SCO, _CP56),
    59: (DCO, _CP56),
    60: (RCO, _CP56),
    61: (NVA, QOS, _CP56),
    62: (SVA, QOS, _CP56),
    63: (R32, QOS, _CP56),
    64: (BSI, _CP56),
    70: (COI,),
    100: (QOI,),
    101: (QCC,),
    102: (),
    103: (_CP56,),
    104: (FBP,),
    105: (QRP,),
    106: (_CP16,),
    107: (TSC, _CP56),
    110: (NVA, QPM),
    111: (SVA, QPM),
    112: (R32, QPM),
    113: (QPA,),
    120: (NOF, LOF, FRQ),
    121: (NOF, NOS, LOF, SRQ),
    122: (NOF, NOS, SCQ),
    123: (NOF, NOS, LSQ, CHS),
    124: (NOF, NOS, AFQ),
    125: (NOF, NOS, Segment),
    126: (NOF, LOF, SOF, _CP56),
    127: (NOF, _CP56, _CP56),
}
"""The elements of one object of each type (60870-5-101 7.3, 60870-5-104 8)."""

UNKNOWN: Final[tuple[type[Element], ...]] = (Octets,)
_FIRST_PRIVATE: Final = 128


def elementsOf(typeId: int) -> tuple[type[Element], ...]:
    """Return the elements of a type's objects; ValueError if the standard reserves the type.

    Private types (128-255) and those of secure authentication (81-95) are one `Octets`.
    """
    known = ELEMENTS.get(typeId)
    if known is not None:
        return known
    if typeId >= _FIRST_PRIVATE or typeId in TYPES:
        return UNKNOWN
    raise ValueError(f"type {typeId} is reserved")


def lengthOf(kinds: tuple[type[Element], ...]) -> int | None:
    """Return the octets of an object without its address, None where they vary."""
    total = 0
    for kind in kinds:
        length = kind.length()
        if length is None:
            return None
        total += length
    return total
