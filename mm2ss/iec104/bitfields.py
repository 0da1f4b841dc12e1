"""How an information element is declared: its fields from bit 0 upwards, then nothing else.

Every element of 60870-5-101 7.2.6 is a little-endian number cut into fields, so one declaration
gives decoding, encoding and range checks. Reserved bits are fields like others: they are kept
as they came, so decoding and encoding again gives the same octets for every pattern.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import field, fields
from typing import Any, ClassVar, NamedTuple, TypeVar

E = TypeVar("E", bound="Element")


class Layout(NamedTuple):
    """How the fields of an element lie in its octets."""

    length: int
    """Octets."""
    names: tuple[str, ...]
    widths: tuple[int, ...]
    """Bits of each field, lowest first."""
    signed: tuple[bool, ...]
    """Which fields are in two's complement."""


def bits(width: int, signed: bool = False) -> Any:
    """Declare a field of so many bits, 0 or False unless said otherwise."""
    return field(default=False if width == 1 else 0, metadata={"width": width, "signed": signed})


_LAYOUTS: dict[type[Element], Layout] = {}


def layoutOf(kind: type[Element]) -> Layout:
    """Return the layout of an element class, reading its declaration once."""
    known = _LAYOUTS.get(kind)
    if known is not None:
        return known
    declared = fields(kind)  # type: ignore[arg-type]  # every subclass is a dataclass
    widths = tuple(int(item.metadata["width"]) for item in declared)
    signed = tuple(bool(item.metadata["signed"]) for item in declared)
    names = tuple(item.name for item in declared)
    layout = _LAYOUTS[kind] = Layout(sum(widths) // 8, names, widths, signed)
    return layout


# What quality and similar flags are called in text, in this order.
_MARKS: tuple[tuple[str, str], ...] = (
    ("iv", "invalid"),
    ("nt", "not topical"),
    ("sb", "substituted"),
    ("bl", "blocked"),
    ("ov", "overflow"),
    ("ei", "elapsed time invalid"),
    ("t", "transient"),
    ("cy", "carry"),
    ("ca", "adjusted"),
)


class Element:
    """One information element; subclasses are frozen dataclasses made of `bits` fields."""

    PREFIX: ClassVar[str] = ""
    """What stands before the element in the text of an object: '= ' of a number, '@' of a time."""

    @classmethod
    def length(cls) -> int | None:
        """Return the octets of this element, None if it takes all that is left."""
        return layoutOf(cls).length

    @classmethod
    def decode(cls: type[E], octets: bytes) -> E:
        """Read the element from exactly its octets."""
        number = int.from_bytes(octets, "little")
        values: list[int] = []
        layout = layoutOf(cls)
        for width, signed in zip(layout.widths, layout.signed, strict=True):
            value = number & (1 << width) - 1
            number >>= width
            if signed and value >> width - 1:
                value -= 1 << width
            values.append(bool(value) if width == 1 else value)
        make: Callable[..., E] = cls
        return make(*values)

    def encode(self) -> bytes:
        """Return the octets; ValueError naming the field whose value does not fit."""
        layout = layoutOf(type(self))
        number = 0
        shift = 0
        for name, width, signed in zip(layout.names, layout.widths, layout.signed, strict=True):
            value = int(getattr(self, name))
            lowest = -(1 << width - 1) if signed else 0
            if not lowest <= value < lowest + (1 << width):
                raise ValueError(
                    f"{type(self).__name__}.{name} {value} is not "
                    f"{lowest} to {lowest + (1 << width) - 1}"
                )
            number |= (value & (1 << width) - 1) << shift
            shift += width
        return number.to_bytes(layout.length, "little")

    @property
    def value(self) -> float | int | bool | None:
        """The process value the element carries, None if it carries none."""
        return None

    def text(self) -> str:
        """Return what the element says, without its flags; '' if there is nothing to say."""
        return ""

    def __str__(self) -> str:
        marks = [text for name, text in _MARKS if getattr(self, name, False)]
        return " ".join([*filter(None, [self.text()]), *marks])


def named(names: dict[int, str], number: int, otherwise: str) -> str:
    """Return the name of a code; 'QOI 5' for one without, if `otherwise` is 'QOI'."""
    return names.get(number, f"{otherwise} {number}")
