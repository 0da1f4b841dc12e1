"""What a master may ask for: to command, or only to watch."""

from __future__ import annotations

from dataclasses import dataclass

from mm2ss.config.addresses import isWithin
from mm2ss.config.model import Address, GroupConfig
from mm2ss.iec104.asdu import typeName

#: What only looks: interrogation, read, the test commands, acknowledging a file's parts, the
#: query of a log. All else changes something at the RTU, or may, as all private types.
_LOOKS = frozenset((100, 102, 104, 107, 124, 127))
_COUNTERS = 101
_FREEZE = 0xC0
_CALL_FILE = 122
#: Directory; select, call and deactivate a file and a section. Neither deleting nor private use.
_FILE_LOOKS = frozenset((0, 1, 2, 3, 5, 6, 7))


@dataclass(frozen=True)
class Rights:
    """The rights of one master.

    :ivar control: it may command; else it is monitor-only, and may interrogate and read.
    :ivar deniedTypes: type ids that nobody may send to this RTU.
    """

    control: bool = True
    deniedTypes: frozenset[int] = frozenset()

    def refusal(self, asdu: bytes) -> str:
        """Why a well-formed request is not allowed; empty when it is."""
        if asdu[0] in self.deniedTypes:
            return f"{typeName(asdu[0])} is denied in this group"
        if not self.control and controls(asdu):
            return "this master may not control"
        return ""


def rightsOf(config: GroupConfig, address: Address) -> Rights:
    """The rights of a master at an address, by the columns ``control`` and ``deny types``."""
    control = config.control is None or isWithin(address, config.control)
    return Rights(control, config.denyTypes)


def controls(asdu: bytes) -> bool:
    """Whether a well-formed request does, or may do, more than look."""
    typeId = asdu[0]
    if typeId == _COUNTERS:
        return bool(asdu[9] & _FREEZE)
    if typeId == _CALL_FILE:
        return asdu[12] & 0x0F not in _FILE_LOOKS
    return typeId not in _LOOKS
