"""Which of a group's masters an ASDU from the RTU is for, by its type and cause.

The originator address takes no part in the choice: RTUs echo it, leave it 0, write a constant of
their own, or stamp the last commander's on spontaneous data. Process information is for all; an
answer is for the master that asked, which `requests` finds.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

from mm2ss.iec104.apci import HEAD_LENGTH, joinRun
from mm2ss.iec104.asdu import HEADER_LENGTH, Cause, TypeId


class Audience(Enum):
    """Who gets an ASDU."""

    ALL = "every started master"
    NOBODY = "nobody"
    REQUESTER = "the master whose request it answers, else nobody"
    REQUESTER_OR_ALL = "the master whose request it answers, else every started master"
    READER = "the master that reads this point, else every started master"
    INTERROGATOR = "as the group's option interrogated_data says"
    INITIALIZED = "nobody, or announced; as the group's option end_of_initialization says"
    FILE = "the owner of the file session, else nobody"
    FILE_OFFER = "the owner of the file session, else every started master"
    DIRECTORY = "the master that asked for the directory, else nobody"


#: Spontaneous, cyclic, background, return information, and everything interrogated.
_GENERAL = frozenset((1, 2, 3, 11, 12, *range(20, 42)))
_MIRRORS = frozenset((7, 9, 10, 44, 45, 46, 47))
#: The causes of commands: an RTU that sends them is not one that this relay serves.
_REVERSED = frozenset((6, 8))
_INTERROGATED = frozenset(range(Cause.INTERROGATED_STATION, Cause.INTERROGATED_GROUP_16 + 1))
_AUTHENTICATION = range(81, 96)
_FILE_TYPES = range(120, 126)
_FIRST_PRIVATE = 128
_INTERROGATABLE = frozenset((*range(1, 15), 20, 21, *range(30, 37), 110, 111, 112))


def classify(typeId: int, cause: int) -> Audience:
    """The audience of a type (0-255) with a cause (0-63).

    Types without a definition go by their cause. What is unknown and may be process information
    goes to all rather than to nobody: dropping state is worse than repeating it.
    """
    process = 1 <= typeId <= 41
    private = typeId >= _FIRST_PRIVATE
    if typeId in _AUTHENTICATION:
        return Audience.NOBODY
    if typeId == TypeId.M_EI_NA_1:
        return Audience.INITIALIZED if cause == Cause.INITIALIZED else Audience.NOBODY
    if cause in _REVERSED and not private:
        return Audience.NOBODY
    if cause in _INTERROGATED and typeId in _INTERROGATABLE:
        return Audience.INTERROGATOR
    if process:
        return Audience.READER if cause == Cause.REQUEST else Audience.ALL
    if typeId in _FILE_TYPES and (cause == Cause.FILE_TRANSFER or cause in _MIRRORS):
        offer = typeId == TypeId.F_FR_NA_1 and cause == Cause.FILE_TRANSFER
        return Audience.FILE_OFFER if offer else Audience.FILE
    if typeId == TypeId.F_DR_TA_1 and cause == Cause.REQUEST:
        return Audience.DIRECTORY
    if cause in _GENERAL:
        return Audience.ALL
    if private:
        return Audience.ALL if cause == Cause.INITIALIZED else Audience.REQUESTER_OR_ALL
    return Audience.REQUESTER


_EVERY = Audience.ALL  # found at once, which a member of an enumeration is not


def areForAll(asdus: Sequence[bytes]) -> bool:
    """Whether all of these go to all masters as they are (originator address 0)."""
    every = _EVERY
    first = asdus[0]
    if len(first) < HEADER_LENGTH or first[3]:
        return False
    if isinstance(asdus, tuple) and len(asdus) > 1:
        # A run: most have one type and one cause, which are looked at all at once.
        frames, step = joinRun(asdus)
        count = len(asdus)
        if (
            step
            and frames[HEAD_LENGTH + 3 :: step].count(0) == count
            and frames[HEAD_LENGTH + 2 :: step].count(first[2]) == count
            and frames[HEAD_LENGTH::step].count(first[0]) == count
        ):
            return AUDIENCES[first[0] << 6 | first[2] & 0x3F] is every
    for asdu in asdus:
        if len(asdu) < HEADER_LENGTH or asdu[3]:
            return False
        if AUDIENCES[asdu[0] << 6 | asdu[2] & 0x3F] is not every:
            return False
    return True


#: `classify` for every type and cause: look up ``AUDIENCES[typeId << 6 | cause]``.
AUDIENCES: tuple[Audience, ...] = tuple(
    classify(typeId, cause) for typeId in range(256) for cause in range(64)
)
