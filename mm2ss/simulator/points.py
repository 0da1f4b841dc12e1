"""What a simulated station has: its points, and the controls that act on them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import groupby
from typing import NamedTuple

from mm2ss.iec104.bitfields import Element
from mm2ss.iec104.elements import InformationObject
from mm2ss.iec104.times import CP56Time2a
from mm2ss.iec104.typeids import TYPES, TypeId
from mm2ss.iec104.values import BCR, BSI, DIQ, NVA, QDS, R32, SIQ, SVA, VTI

#: Octets left for objects when an ASDU's header is taken away (249 - 6).
_ROOM = 243


class Kind(Enum):
    """What a point is, or what a control commands."""

    SINGLE = "single point"
    DOUBLE = "double point"
    STEP = "step position"
    BITSTRING = "bitstring"
    NORMALIZED = "normalized value"
    SCALED = "scaled value"
    FLOAT = "floating point value"
    COUNTER = "counter"


class _Shape(NamedTuple):
    """How the points of a kind travel."""

    plain: TypeId
    """Without a time tag: interrogated, requested, cyclic."""
    tagged: TypeId
    """With CP56Time2a: spontaneous and return information."""
    elements: Callable[[float, bool], tuple[Element, ...]]
    """Value and IV to the information elements."""


_SHAPES: dict[Kind, _Shape] = {
    Kind.SINGLE: _Shape(
        TypeId.M_SP_NA_1, TypeId.M_SP_TB_1, lambda value, iv: (SIQ(spi=bool(value), iv=iv),)
    ),
    Kind.DOUBLE: _Shape(
        TypeId.M_DP_NA_1, TypeId.M_DP_TB_1, lambda value, iv: (DIQ(dpi=int(value), iv=iv),)
    ),
    Kind.STEP: _Shape(
        TypeId.M_ST_NA_1,
        TypeId.M_ST_TB_1,
        lambda value, iv: (VTI(position=int(value)), QDS(iv=iv)),
    ),
    Kind.BITSTRING: _Shape(
        TypeId.M_BO_NA_1,
        TypeId.M_BO_TB_1,
        lambda value, iv: (BSI(pattern=int(value)), QDS(iv=iv)),
    ),
    Kind.NORMALIZED: _Shape(
        TypeId.M_ME_NA_1, TypeId.M_ME_TD_1, lambda value, iv: (NVA.of(value), QDS(iv=iv))
    ),
    Kind.SCALED: _Shape(
        TypeId.M_ME_NB_1, TypeId.M_ME_TE_1, lambda value, iv: (SVA(round(value)), QDS(iv=iv))
    ),
    Kind.FLOAT: _Shape(
        TypeId.M_ME_NC_1, TypeId.M_ME_TF_1, lambda value, iv: (R32.of(value), QDS(iv=iv))
    ),
    Kind.COUNTER: _Shape(
        TypeId.M_IT_NA_1, TypeId.M_IT_TB_1, lambda value, iv: (BCR(counter=int(value), iv=iv),)
    ),
}


@dataclass
class Point:
    """Something a station knows, and how it behaves.

    :ivar address: information object address, 1-16777215.
    :ivar value: 0 or 1 of a single point, 0-3 of a double point, else a number.
    :ivar group: interrogation group 1-16 (counters: 1-4); 0 = none, found by a general one only.
    :ivar low: the smallest value that the process or a command gives.
    :ivar high: the largest value.
    :ivar activity: mean seconds between two changes that happen by themselves; 0 = none happen.
        Of a cyclic point, the seconds between two transmissions.
    :ivar cyclic: sent all the time with cause periodic, not when it changes.
    :ivar invalid: the IV bit of its quality.
    """

    address: int
    kind: Kind
    name: str
    value: float = 0
    group: int = 0
    low: float = 0
    high: float = 1
    activity: float = 0
    cyclic: bool = False
    invalid: bool = False


@dataclass(frozen=True)
class Control:
    """An address that takes commands.

    :ivar address: information object address of the command, 1-16777215.
    :ivar kind: which command: `Kind.SINGLE` takes single commands, and so on.
    :ivar target: address of the point that the command moves; of the same kind.
    :ivar mustSelect: whether an execute needs a select before it.
    :ivar runTime: seconds from the confirmation until the point has moved, 0 = at once.
    """

    address: int
    kind: Kind
    target: int
    mustSelect: bool = False
    runTime: float = 0


class Points:
    """The points of one station, in the order of their addresses, and its controls.

    :raises ValueError: when an address is used twice or impossible, or a control does not fit
        the point it moves.
    """

    def __init__(self, points: Iterable[Point], controls: Iterable[Control] = ()) -> None:
        self._points: dict[int, Point] = {}
        self._controls: dict[int, Control] = {}
        for point in sorted(points, key=lambda point: point.address):
            self._check(point.address)
            self._points[point.address] = point
        for control in controls:
            self._check(control.address)
            target = self._points.get(control.target)
            if target is None or target.kind is not control.kind:
                raise ValueError(f"control {control.address} moves no {control.kind.value}")
            self._controls[control.address] = control

    def __iter__(self) -> Iterator[Point]:
        return iter(self._points.values())

    def get(self, address: int) -> Point | None:
        """The point with this address."""
        return self._points.get(address)

    def control(self, address: int) -> Control | None:
        """The control with this address."""
        return self._controls.get(address)

    def name(self, address: int) -> str:
        """What the point, or the point that the control moves, is called; "" if unknown."""
        control = self._controls.get(address)
        point = self._points.get(control.target if control else address)
        return point.name if point else ""

    def interrogated(self, group: int) -> list[Point]:
        """The points (counters are none) of an interrogation group 1-16, all of them with 0."""
        return [
            point
            for point in self._points.values()
            if point.kind is not Kind.COUNTER and group in (0, point.group)
        ]

    def counters(self, group: int) -> list[Point]:
        """The counters of a counter group 1-4, all of them with 0."""
        return [
            point
            for point in self._points.values()
            if point.kind is Kind.COUNTER and group in (0, point.group)
        ]

    def _check(self, address: int) -> None:
        if not 1 <= address <= 0xFFFFFF:
            raise ValueError(f"IOA {address} is not 1-16777215")
        if address in self._points or address in self._controls:
            raise ValueError(f"IOA {address} is used twice")


def plainObject(point: Point) -> InformationObject:
    """The point as it is, without a time."""
    return InformationObject(
        point.address, _SHAPES[point.kind].elements(point.value, point.invalid)
    )


def taggedObject(point: Point, time: CP56Time2a) -> InformationObject:
    """The point as it is, with a time."""
    elements = _SHAPES[point.kind].elements(point.value, point.invalid)
    return InformationObject(point.address, (*elements, time))


def plainType(kind: Kind) -> TypeId:
    """The type without a time."""
    return _SHAPES[kind].plain


def taggedType(kind: Kind) -> TypeId:
    """The type with CP56Time2a."""
    return _SHAPES[kind].tagged


#: One ASDU's worth of objects: type, objects, SQ.
Pack = tuple[TypeId, Sequence[InformationObject], bool]


def packed(kind: Kind, objects: Sequence[InformationObject]) -> list[Pack]:
    """Untagged objects of one kind as few ASDUs, as an RTU sends them when interrogated.

    Addresses that follow each other become a sequence (SQ 1), all others share what is left.
    """
    typeId = _SHAPES[kind].plain
    length = TYPES[typeId].objectLength or 0
    packs: list[Pack] = []
    alone: list[InformationObject] = []
    for _, numbered in groupby(enumerate(objects), lambda item: item[1].address - item[0]):
        run = [item for _, item in numbered]
        if len(run) == 1:
            alone += run
        else:
            packs += _pieces(typeId, run, (_ROOM - 3) // length, True)
    return packs + _pieces(typeId, alone, _ROOM // (3 + length), False)


def _pieces(
    typeId: TypeId, objects: Sequence[InformationObject], room: int, sequence: bool
) -> list[Pack]:
    room = min(room, 127)
    return [(typeId, objects[at : at + room], sequence) for at in range(0, len(objects), room)]
