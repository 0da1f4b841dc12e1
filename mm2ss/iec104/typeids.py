"""The names and tables of the ASDU: type identifications, causes, and which go together."""

from __future__ import annotations

from enum import IntEnum
from typing import Final, NamedTuple


class TypeId(IntEnum):
    """Type identification, the first octet of an ASDU (60870-5-101 7.2.1, 60870-5-7 for 41, 81-95).

    The types with a three-octet time tag, 104 and 106 are not of the 104 profile, but seen.
    """

    M_SP_NA_1 = 1
    M_SP_TA_1 = 2
    M_DP_NA_1 = 3
    M_DP_TA_1 = 4
    M_ST_NA_1 = 5
    M_ST_TA_1 = 6
    M_BO_NA_1 = 7
    M_BO_TA_1 = 8
    M_ME_NA_1 = 9
    M_ME_TA_1 = 10
    M_ME_NB_1 = 11
    M_ME_TB_1 = 12
    M_ME_NC_1 = 13
    M_ME_TC_1 = 14
    M_IT_NA_1 = 15
    M_IT_TA_1 = 16
    M_EP_TA_1 = 17
    M_EP_TB_1 = 18
    M_EP_TC_1 = 19
    M_PS_NA_1 = 20
    M_ME_ND_1 = 21
    M_SP_TB_1 = 30
    M_DP_TB_1 = 31
    M_ST_TB_1 = 32
    M_BO_TB_1 = 33
    M_ME_TD_1 = 34
    M_ME_TE_1 = 35
    M_ME_TF_1 = 36
    M_IT_TB_1 = 37
    M_EP_TD_1 = 38
    M_EP_TE_1 = 39
    M_EP_TF_1 = 40
    S_IT_TC_1 = 41
    C_SC_NA_1 = 45
    C_DC_NA_1 = 46
    C_RC_NA_1 = 47
    C_SE_NA_1 = 48
    C_SE_NB_1 = 49
    C_SE_NC_1 = 50
    C_BO_NA_1 = 51
    C_SC_TA_1 = 58
    C_DC_TA_1 = 59
    C_RC_TA_1 = 60
    C_SE_TA_1 = 61
    C_SE_TB_1 = 62
    C_SE_TC_1 = 63
    C_BO_TA_1 = 64
    M_EI_NA_1 = 70
    S_CH_NA_1 = 81
    S_RP_NA_1 = 82
    S_AR_NA_1 = 83
    S_KR_NA_1 = 84
    S_KS_NA_1 = 85
    S_KC_NA_1 = 86
    S_ER_NA_1 = 87
    S_US_NA_1 = 90
    S_UQ_NA_1 = 91
    S_UR_NA_1 = 92
    S_UK_NA_1 = 93
    S_UA_NA_1 = 94
    S_UC_NA_1 = 95
    C_IC_NA_1 = 100
    C_CI_NA_1 = 101
    C_RD_NA_1 = 102
    C_CS_NA_1 = 103
    C_TS_NA_1 = 104
    C_RP_NA_1 = 105
    C_CD_NA_1 = 106
    C_TS_TA_1 = 107
    P_ME_NA_1 = 110
    P_ME_NB_1 = 111
    P_ME_NC_1 = 112
    P_AC_NA_1 = 113
    F_FR_NA_1 = 120
    F_SR_NA_1 = 121
    F_SC_NA_1 = 122
    F_LS_NA_1 = 123
    F_AF_NA_1 = 124
    F_SG_NA_1 = 125
    F_DR_TA_1 = 126
    F_SC_NB_1 = 127


class Cause(IntEnum):
    """Cause of transmission, bits 5-0 of the third octet (60870-5-101 7.2.3)."""

    PERIODIC = 1
    BACKGROUND = 2
    SPONTANEOUS = 3
    INITIALIZED = 4
    REQUEST = 5
    ACTIVATION = 6
    ACTIVATION_CON = 7
    DEACTIVATION = 8
    DEACTIVATION_CON = 9
    ACTIVATION_TERM = 10
    RETURN_REMOTE = 11
    RETURN_LOCAL = 12
    FILE_TRANSFER = 13
    AUTHENTICATION = 14
    SESSION_KEY = 15
    USER_KEY = 16
    INTERROGATED_STATION = 20
    INTERROGATED_GROUP_1 = 21
    INTERROGATED_GROUP_2 = 22
    INTERROGATED_GROUP_3 = 23
    INTERROGATED_GROUP_4 = 24
    INTERROGATED_GROUP_5 = 25
    INTERROGATED_GROUP_6 = 26
    INTERROGATED_GROUP_7 = 27
    INTERROGATED_GROUP_8 = 28
    INTERROGATED_GROUP_9 = 29
    INTERROGATED_GROUP_10 = 30
    INTERROGATED_GROUP_11 = 31
    INTERROGATED_GROUP_12 = 32
    INTERROGATED_GROUP_13 = 33
    INTERROGATED_GROUP_14 = 34
    INTERROGATED_GROUP_15 = 35
    INTERROGATED_GROUP_16 = 36
    COUNTER_GENERAL = 37
    COUNTER_GROUP_1 = 38
    COUNTER_GROUP_2 = 39
    COUNTER_GROUP_3 = 40
    COUNTER_GROUP_4 = 41
    UNKNOWN_TYPE = 44
    UNKNOWN_CAUSE = 45
    UNKNOWN_CA = 46
    UNKNOWN_IOA = 47


class TypeInfo(NamedTuple):
    """What is known of a type without decoding its objects."""

    name: str
    """The standard's short name, as C_SC_NA_1."""
    objectLength: int | None
    """Octets of one object without its address, None where it varies."""
    sequence: bool
    """Whether SQ = 1 is allowed: one address, then elements at consecutive addresses."""
    single: bool
    """Whether an ASDU holds exactly one object (variable structure qualifier 0x01)."""
    qualifierOffset: int | None
    """Offset in the object of the octet whose bit 7 is S/E, None where there is no select."""


class AllowedCauses(NamedTuple):
    """The causes the standard lets a type have, in each direction."""

    control: frozenset[int]
    monitor: frozenset[int]


# The objects of each type, 60870-5-101 7.3 and 60870-5-104 8.
_FIXED_LENGTHS: Final[dict[int, int]] = {
    1: 1, 2: 4, 3: 1, 4: 4, 5: 2, 6: 5, 7: 5, 8: 8, 9: 3, 10: 6, 11: 3, 12: 6, 13: 5, 14: 8,
    15: 5, 16: 8, 17: 6, 18: 7, 19: 7, 20: 5, 21: 2,
    30: 8, 31: 8, 32: 9, 33: 12, 34: 10, 35: 10, 36: 12, 37: 12, 38: 10, 39: 11, 40: 11, 41: 14,
    45: 1, 46: 1, 47: 1, 48: 3, 49: 3, 50: 5, 51: 4,
    58: 8, 59: 8, 60: 8, 61: 10, 62: 10, 63: 12, 64: 11,
    70: 1,
    100: 1, 101: 1, 102: 0, 103: 7, 104: 2, 105: 1, 106: 2, 107: 9,
    110: 3, 111: 3, 112: 5, 113: 1,
    120: 6, 121: 7, 122: 4, 123: 5, 124: 4, 126: 13, 127: 16,
}  # fmt: skip

# A directory (126) is a list of files at consecutive addresses, hence SQ = 1 (101 7.3.6.7).
_SEQUENCES: Final = frozenset({1, 3, 5, 7, 9, 11, 13, 15, 20, 21, 126})

_SINGLES: Final = frozenset(
    {*range(45, 52), *range(58, 65), 70, *range(100, 108), *range(120, 126), 127}
)

_QUALIFIER_OFFSETS: Final[dict[int, int]] = {
    45: 0, 46: 0, 47: 0, 58: 0, 59: 0, 60: 0,
    48: 2, 49: 2, 61: 2, 62: 2,
    50: 4, 63: 4,
}  # fmt: skip

TYPES: Final[dict[int, TypeInfo]] = {
    int(typeId): TypeInfo(
        typeId.name,
        _FIXED_LENGTHS.get(typeId),
        typeId in _SEQUENCES,
        typeId in _SINGLES,
        _QUALIFIER_OFFSETS.get(typeId),
    )
    for typeId in TypeId
}
"""Every type that has a name, by its number; what is missing is reserved or private."""

_NONE: Final[frozenset[int]] = frozenset()
_INTERROGATED: Final = frozenset(range(20, 37))
_COUNTERS: Final = frozenset(range(37, 42))
_UNKNOWN: Final = frozenset(range(44, 48))
_RETURN: Final = frozenset({11, 12})


def _allowedCauses() -> dict[int, AllowedCauses]:
    """Build the table of 60870-5-101 7.2.3 (5-104 8 for the types with CP56Time2a)."""
    table: dict[int, AllowedCauses] = {}

    def allow(types: tuple[int, ...], control: frozenset[int], monitor: frozenset[int]) -> None:
        for typeId in types:
            table[typeId] = AllowedCauses(control, monitor)

    event = frozenset({3, 5})
    act = frozenset({6})
    actDeact = frozenset({6, 8})
    file = frozenset({13})
    allow((1, 3, 5), _NONE, event | {2} | _RETURN | _INTERROGATED)
    allow((7, 20), _NONE, event | {2} | _INTERROGATED)
    allow((9, 11, 13, 21), _NONE, event | {1, 2} | _INTERROGATED)
    allow((2, 4, 6, 30, 31, 32), _NONE, event | _RETURN)
    allow((8, 10, 12, 14, 33, 34, 35, 36), _NONE, event)
    allow((15, 16, 37, 41), _NONE, frozenset({3}) | _COUNTERS)
    allow((17, 18, 19, 38, 39, 40), _NONE, frozenset({3}))
    allow((*range(45, 52), *range(58, 65), 100, 101), actDeact, frozenset({7, 9, 10}) | _UNKNOWN)
    allow((70,), _NONE, frozenset({4}))
    allow((81, 82, 83), frozenset({14}), frozenset({14}))
    allow((84, 85, 86), frozenset({15}), frozenset({15}))
    allow((87,), frozenset({14, 15, 16}), frozenset({14, 15, 16}))
    allow((90, 91, 92, 93, 94, 95), frozenset({16}), frozenset({16}))
    allow((102,), frozenset({5}), _UNKNOWN)
    allow((103,), act, frozenset({3, 7}) | _UNKNOWN)
    allow((104, 105, 107), act, frozenset({7}) | _UNKNOWN)
    allow((106,), frozenset({3, 6}), frozenset({7}) | _UNKNOWN)
    allow((110, 111, 112), act, frozenset({7}) | _INTERROGATED | _UNKNOWN)
    allow((113,), actDeact, frozenset({7, 9}) | _UNKNOWN)
    allow((120, 121, 123, 124, 125), file, file | _UNKNOWN)
    allow((122,), file | {5}, file | _UNKNOWN)
    allow((126,), _NONE, event)
    allow((127,), file, _UNKNOWN)
    return table


ALLOWED_CAUSES: Final[dict[int, AllowedCauses]] = _allowedCauses()
"""For descriptions, the simulator and tests. Field devices deviate: never police by it."""
