"""Process values and their quality: the information elements of the monitor direction.

Field names are those of 60870-5-101 7.2.6, whose clause each class names.
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import pack, unpack
from typing import ClassVar, Final

from mm2ss.iec104.bitfields import Element, bits

_DOUBLE: Final = ("intermediate", "off", "on", "indeterminate")
_EVENT: Final = ("indeterminate", "off", "on", "indeterminate")


@dataclass(frozen=True)
class SIQ(Element):
    """Single-point information with quality descriptor (7.2.6.1)."""

    spi: bool = bits(1)
    reserved: int = bits(3)
    bl: bool = bits(1)
    sb: bool = bits(1)
    nt: bool = bits(1)
    iv: bool = bits(1)

    @property
    def value(self) -> bool:
        return self.spi

    def text(self) -> str:
        return "on" if self.spi else "off"


@dataclass(frozen=True)
class DIQ(Element):
    """Double-point information with quality descriptor; `dpi` 1 off, 2 on (7.2.6.2)."""

    dpi: int = bits(2)
    reserved: int = bits(2)
    bl: bool = bits(1)
    sb: bool = bits(1)
    nt: bool = bits(1)
    iv: bool = bits(1)

    @property
    def value(self) -> int:
        return self.dpi

    def text(self) -> str:
        return _DOUBLE[self.dpi & 3]


@dataclass(frozen=True)
class QDS(Element):
    """Quality descriptor of a value (7.2.6.3)."""

    ov: bool = bits(1)
    reserved: int = bits(3)
    bl: bool = bits(1)
    sb: bool = bits(1)
    nt: bool = bits(1)
    iv: bool = bits(1)


@dataclass(frozen=True)
class QDP(Element):
    """Quality descriptor of an event of protection equipment (7.2.6.4)."""

    reserved: int = bits(3)
    ei: bool = bits(1)
    bl: bool = bits(1)
    sb: bool = bits(1)
    nt: bool = bits(1)
    iv: bool = bits(1)


@dataclass(frozen=True)
class VTI(Element):
    """Step position -64 to 63, `t` while the equipment is in transient state (7.2.6.5)."""

    PREFIX: ClassVar[str] = "= "

    position: int = bits(7, signed=True)
    t: bool = bits(1)

    @property
    def value(self) -> int:
        return self.position

    def text(self) -> str:
        return str(self.position)


@dataclass(frozen=True)
class NVA(Element):
    """Normalized value -1 to 1 - 2**-15, kept as a number of 32768ths (7.2.6.6)."""

    PREFIX: ClassVar[str] = "= "

    number: int = bits(16, signed=True)

    @classmethod
    def of(cls, fraction: float) -> NVA:
        """Round to the nearest value there is; 1.0 gives the highest. ValueError outside."""
        if not -1.0 <= fraction <= 1.0:
            raise ValueError(f"normalized value {fraction} is not -1 to 1")
        return cls(min(round(fraction * 32768), 32767))

    @property
    def value(self) -> float:
        return self.number / 32768

    def text(self) -> str:
        return f"{self.value:.5g}"


@dataclass(frozen=True)
class SVA(Element):
    """Scaled value -32768 to 32767; where the decimal point stands is agreed (7.2.6.7)."""

    PREFIX: ClassVar[str] = "= "

    number: int = bits(16, signed=True)

    @property
    def value(self) -> int:
        return self.number

    def text(self) -> str:
        return str(self.number)


@dataclass(frozen=True)
class R32(Element):
    """Short floating point number, kept as its 32 bits so that every NaN survives (7.2.6.8)."""

    PREFIX: ClassVar[str] = "= "

    pattern: int = bits(32)

    @classmethod
    def of(cls, number: float) -> R32:
        """Round to the nearest short float; ValueError if there is none that large."""
        try:
            return cls(int.from_bytes(pack("<f", number), "little"))
        except OverflowError:
            raise ValueError(f"{number} is too large for a short float") from None

    @property
    def value(self) -> float:
        (number,) = unpack("<f", self.pattern.to_bytes(4, "little"))
        return float(number)

    def text(self) -> str:
        return f"{self.value:.7g}"


@dataclass(frozen=True)
class BCR(Element):
    """Binary counter reading: count, sequence number, carry, adjusted, invalid (7.2.6.9)."""

    PREFIX: ClassVar[str] = "= "

    counter: int = bits(32, signed=True)
    sq: int = bits(5)
    cy: bool = bits(1)
    ca: bool = bits(1)
    iv: bool = bits(1)

    @property
    def value(self) -> int:
        return self.counter

    def text(self) -> str:
        return f"{self.counter} (reading {self.sq})"


@dataclass(frozen=True)
class SEP(Element):
    """Single event of protection equipment; `es` 1 off, 2 on (7.2.6.10)."""

    es: int = bits(2)
    reserved: bool = bits(1)
    ei: bool = bits(1)
    bl: bool = bits(1)
    sb: bool = bits(1)
    nt: bool = bits(1)
    iv: bool = bits(1)

    @property
    def value(self) -> int:
        return self.es

    def text(self) -> str:
        return _EVENT[self.es & 3]


@dataclass(frozen=True)
class SPE(Element):
    """Start events of protection: general, phases, earth current, reverse (7.2.6.11)."""

    gs: bool = bits(1)
    sl1: bool = bits(1)
    sl2: bool = bits(1)
    sl3: bool = bits(1)
    sie: bool = bits(1)
    srd: bool = bits(1)
    reserved: int = bits(2)

    def text(self) -> str:
        flags = (self.gs, self.sl1, self.sl2, self.sl3, self.sie, self.srd)
        return _list("start", flags, ("general", "L1", "L2", "L3", "earth", "reverse"))


@dataclass(frozen=True)
class OCI(Element):
    """Output circuit information of protection: general trip and phases (7.2.6.12)."""

    gc: bool = bits(1)
    cl1: bool = bits(1)
    cl2: bool = bits(1)
    cl3: bool = bits(1)
    reserved: int = bits(4)

    def text(self) -> str:
        flags = (self.gc, self.cl1, self.cl2, self.cl3)
        return _list("trip", flags, ("general", "L1", "L2", "L3"))


@dataclass(frozen=True)
class BSI(Element):
    """Binary state information, 32 bits, bit 1 of the standard lowest (7.2.6.13)."""

    PREFIX: ClassVar[str] = "= "

    pattern: int = bits(32)

    @property
    def value(self) -> int:
        return self.pattern

    def text(self) -> str:
        return f"0x{self.pattern:08x}"


@dataclass(frozen=True)
class SCD(Element):
    """Status and status change detection of 16 single points (7.2.6.40)."""

    PREFIX: ClassVar[str] = "= "

    st: int = bits(16)
    cd: int = bits(16)

    @property
    def value(self) -> int:
        return self.st

    def text(self) -> str:
        return f"0x{self.st:04x} changed 0x{self.cd:04x}"


@dataclass(frozen=True)
class AID(Element):
    """Association of a security statistic with a pair of users (60870-5-7)."""

    number: int = bits(16)

    def text(self) -> str:
        return f"association {self.number}"


def _list(word: str, flags: tuple[bool, ...], names: tuple[str, ...]) -> str:
    """Return 'start L1 L3', or 'no start' when no flag is set."""
    said = [name for flag, name in zip(flags, names, strict=True) if flag]
    return " ".join([word, *said]) if said else f"no {word}"
