"""The points of the RTU in the tests with c104, the same for both ends: object address -> type."""

from __future__ import annotations

#: The RTU's common address.
STATION = 32

#: What the RTU reports: one of each kind of value, most with a time tag.
REPORTED = {
    100: "M_SP_NA_1",
    101: "M_SP_TB_1",
    102: "M_DP_TB_1",
    103: "M_ST_TB_1",
    104: "M_BO_TB_1",
    105: "M_ME_TD_1",
    106: "M_ME_TE_1",
    107: "M_ME_TF_1",
}
#: What the RTU reports only when its counters are interrogated.
COUNTERS = {110: "M_IT_NA_1", 111: "M_IT_TB_1"}
#: Its value says that everything which was sent before has arrived.
MARKER = 120

#: Commands that are executed at once.
DIRECT = {200: "C_SC_NA_1", 201: "C_DC_NA_1", 202: "C_RC_NA_1", 203: "C_SE_NC_1", 204: "C_SC_TA_1"}
#: Commands that must be selected before they are executed.
SELECTED = {210: "C_SC_NA_1", 211: "C_DC_NA_1", 212: "C_SE_NB_1"}

MONITORED = {**REPORTED, **COUNTERS, MARKER: "M_ME_NC_1"}
