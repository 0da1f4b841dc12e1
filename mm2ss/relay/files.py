"""One file transfer at a time: many RTUs have one file engine, which knows no clients."""

from __future__ import annotations

from typing import Generic, TypeVar

from mm2ss.iec104.asdu import Cause, TypeId

Owner = TypeVar("Owner")

#: Seconds without any file ASDU after which a transfer is given up.
FILE_TIME = 60.0
_FILE_TYPES = range(TypeId.F_FR_NA_1, TypeId.F_SG_NA_1 + 1)
#: SCQ of F_SC_NA_1 (low nibble), AFQ of F_AF_NA_1 (low nibble).
_DEACTIVATE_FILE = 3
_DELETE_FILE = 4
_FILE_ACKNOWLEDGED = (1, 2)
_NEGATIVE = 0x40
#: Offset of the qualifier: behind header, object address, and name of the file and of the section.
_QUALIFIER = 12


def isFile(asdu: bytes) -> bool:
    """Whether a request of a master belongs to a file transfer (not to a directory call)."""
    return asdu[0] in _FILE_TYPES and asdu[2] & 0x3F == Cause.FILE_TRANSFER


class FileSession(Generic[Owner]):
    """The file transfer of one RTU, and whose it is.

    It begins with a select or call (F_SC_NA_1) or an offer (F_FR_NA_1) of a master, and ends
    when the file is acknowledged or deactivated, with a refusal, or after `FILE_TIME`.
    """

    def __init__(self) -> None:
        self._owner: Owner | None = None
        self._originator = 0
        self._request = b""
        self._deadline = 0.0

    def claim(self, owner: Owner, asdu: bytes, now: float) -> bool:
        """Whether a master may send a file ASDU now; if so, the transfer is its own."""
        if self.busy(now) and self._owner is not owner:
            return False
        if asdu[0] in (TypeId.F_SC_NA_1, TypeId.F_FR_NA_1):
            self._owner = owner
            self._originator = asdu[3]
            self._request = asdu
        if self._owner is owner:
            self._deadline = 0.0 if _ends(asdu) else now + FILE_TIME
        return True

    def busy(self, now: float) -> bool:
        """Whether a transfer goes on."""
        return now < self._deadline

    def answered(self, asdu: bytes, now: float) -> tuple[Owner, int] | None:
        """Whom a file ASDU of the RTU is for, with the originator address he used.

        That is also the last owner, until another transfer begins.
        """
        if self._owner is None or not self._isOf(asdu):
            return None
        if self.busy(now):
            refused = asdu[2] & _NEGATIVE or asdu[2] & 0x3F != Cause.FILE_TRANSFER
            self._deadline = 0.0 if refused or _ends(asdu) else now + FILE_TIME
        return self._owner, self._originator

    def _isOf(self, asdu: bytes) -> bool:
        """Whether it is about the file that was asked for; name 0 stands for any."""
        asked, told = _name(self._request), _name(asdu)
        other = any(asked) and any(told) and asked != told
        return asdu[4:9] == self._request[4:9] and not other

    def abandon(self, owner: Owner, now: float) -> bytes | None:
        """A master is gone; returns the request that deactivates its transfer at the RTU."""
        if self._owner is not owner:
            return None
        busy = self.busy(now)
        self.clear()
        if not busy:
            return None
        head = bytes((TypeId.F_SC_NA_1, 1, Cause.FILE_TRANSFER, 0)) + self._request[4:9]
        return head + _name(self._request) + bytes((0, _DEACTIVATE_FILE))

    def clear(self) -> None:
        """Nothing is transferred any more."""
        self._owner = None
        self._deadline = 0.0


def _name(asdu: bytes) -> bytes:
    """The file's name (NOF)."""
    return asdu[9:11]


def _ends(asdu: bytes) -> bool:
    """Whether an ASDU ends the transfer: the file acknowledged, deactivated or deleted."""
    qualifier = asdu[_QUALIFIER] & 0x0F if len(asdu) > _QUALIFIER else 0
    if asdu[0] == TypeId.F_SC_NA_1:
        return qualifier in (_DEACTIVATE_FILE, _DELETE_FILE)
    return asdu[0] == TypeId.F_AF_NA_1 and qualifier in _FILE_ACKNOWLEDGED
