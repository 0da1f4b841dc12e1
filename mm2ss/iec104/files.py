"""File transfer elements, and octets that nothing is known of.

Field names are those of 60870-5-101 7.2.6, whose clause each class names.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from mm2ss.iec104.bitfields import Element, bits

MAX_SEGMENT: Final = 236
"""Octets of the longest segment: 249 less header, object address, NOF, NOS and LOS."""


@dataclass(frozen=True)
class NOF(Element):
    """Name of file (7.2.6.33)."""

    number: int = bits(16)

    def text(self) -> str:
        return f"file {self.number}"


@dataclass(frozen=True)
class NOS(Element):
    """Name of section (7.2.6.34)."""

    number: int = bits(8)

    def text(self) -> str:
        return f"section {self.number}"


@dataclass(frozen=True)
class LOF(Element):
    """Length of file or section (7.2.6.35)."""

    octets: int = bits(24)

    def text(self) -> str:
        return f"{self.octets} octets"


@dataclass(frozen=True)
class CHS(Element):
    """Checksum: the octets of a file or section added modulo 256 (7.2.6.37)."""

    checksum: int = bits(8)

    def text(self) -> str:
        return f"checksum 0x{self.checksum:02x}"


@dataclass(frozen=True)
class SOF(Element):
    """Status of file (7.2.6.38)."""

    status: int = bits(5)
    lfd: bool = bits(1)
    """Last file of the directory."""
    directory: bool = bits(1)
    """FOR: the name is that of a subdirectory, not of a file."""
    fa: bool = bits(1)
    """The file is being transferred, not waiting."""

    def text(self) -> str:
        words = [f"status {self.status}"]
        flags = ((self.lfd, "last"), (self.directory, "subdirectory"), (self.fa, "active"))
        return ", ".join(words + [word for flag, word in flags if flag])


@dataclass(frozen=True)
class Segment(Element):
    """A segment of a section, after the octet that tells its length (LOS, 7.2.6.36)."""

    data: bytes = b""

    @classmethod
    def length(cls) -> int | None:
        return None

    @classmethod
    def decode(cls, octets: bytes) -> Segment:
        if not octets or octets[0] != len(octets) - 1:
            said = octets[0] if octets else "none"
            raise ValueError(f"segment of {max(len(octets) - 1, 0)} octets, but LOS says {said}")
        return cls(octets[1:])

    def encode(self) -> bytes:
        if len(self.data) > MAX_SEGMENT:
            raise ValueError(f"segment of {len(self.data)} octets, longer than {MAX_SEGMENT}")
        return bytes((len(self.data),)) + self.data

    def text(self) -> str:
        return f"segment of {len(self.data)} octets"


@dataclass(frozen=True)
class Octets(Element):
    """All that follows the object address, of a type whose inside is not known here."""

    data: bytes = b""

    @classmethod
    def length(cls) -> int | None:
        return None

    @classmethod
    def decode(cls, octets: bytes) -> Octets:
        return cls(octets)

    def encode(self) -> bytes:
        return self.data

    def text(self) -> str:
        return f"[{self.data.hex(' ')}]"
