"""What a master may ask for: to command, or only to watch."""

from __future__ import annotations

from dataclasses import dataclass

from mm2ss.config.model import Address, GroupConfig
from mm2ss.iec104.asdu import typeName
from mm2ss.relay.locks import COMMANDS

#: Beside commands, what changes something at the RTU: clock synchronisation, reset, delay,
#: parameters, and everything whose meaning is private.
_CONTROL = frozenset((*COMMANDS, 103, 105, 106, *range(110, 114), *range(128, 256)))
_COUNTERS = 101
_FREEZE = 0xC0
_SELECT_FILE = 122
_DELETE = 4
#: Parts of a file that is written to the RTU; acknowledgements (124) belong to reading, too.
_FILE_WRITES = frozenset((120, 121, 123, 125))


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
        if not self.control and _controls(asdu):
            return "this master may not control"
        return ""


def rightsOf(config: GroupConfig, address: Address) -> Rights:
    """The rights of a master at an address, by the columns ``control`` and ``deny types``."""
    control = config.control is None or any(address in network for network in config.control)
    return Rights(control, config.denyTypes)


def _controls(asdu: bytes) -> bool:
    """Whether a request does more than look."""
    typeId = asdu[0]
    if typeId == _COUNTERS:
        return bool(asdu[9] & _FREEZE)
    if typeId == _SELECT_FILE:
        return asdu[12] & 0x0F == _DELETE
    return typeId in _CONTROL or typeId in _FILE_WRITES
