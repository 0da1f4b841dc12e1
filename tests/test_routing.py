"""The routing table, row by row: who gets an ASDU of which type with which cause."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mm2ss.relay.routing import AUDIENCES, Audience, areForAll, classify

PROCESS = range(1, 42)
SWITCHING = (*range(45, 52), *range(58, 65))
REFUSALS = (44, 45, 46, 47)
INTERROGATED = range(20, 37)
COUNTED = range(37, 42)
FUTURE = (
    *range(52, 58),
    *range(65, 70),
    *range(71, 81),
    *range(96, 100),
    108,
    109,
    *range(114, 120),
)
UNNAMED = (0, *range(14, 20), 42, 43, *range(48, 64))

#: (what, types, causes, who gets it), in the order of the table.
ROWS: list[tuple[str, Iterable[int], Iterable[int], Audience]] = [
    ("1 process data", PROCESS, (1, 2, 3), Audience.ALL),
    ("2 return information", range(1, 41), (11, 12), Audience.ALL),
    (
        "3 interrogated data",
        (*range(1, 15), 20, 21, *range(30, 37), 110, 111, 112),
        INTERROGATED,
        Audience.INTERROGATOR,
    ),
    ("3 interrogated, of other types", (15, 16, 37, 38, 39, 40, 41), INTERROGATED, Audience.ALL),
    ("4 counters", (15, 16, 37), COUNTED, Audience.ALL),
    ("5 read data", PROCESS, (5,), Audience.READER),
    ("6 end of initialization", (70,), (4,), Audience.INITIALIZED),
    ("6 end of initialization, else", (70,), (3, 5, 6, 7, 10, 44, 50), Audience.NOBODY),
    ("7-9 commands", SWITCHING, (7, 9, 10), Audience.REQUESTER),
    ("10 interrogation", (100,), (7, 9, 10), Audience.REQUESTER),
    ("11 counter interrogation", (101,), (7, 9, 10), Audience.REQUESTER),
    ("12 read, refused or confirmed", (102,), (7, *REFUSALS), Audience.REQUESTER),
    ("13 clock", (103,), (7,), Audience.REQUESTER),
    ("14 time message", (103,), (3,), Audience.ALL),
    ("15 test", (104, 107), (7,), Audience.REQUESTER),
    ("16 reset", (105,), (7,), Audience.REQUESTER),
    ("17 delay", (106,), (7,), Audience.REQUESTER),
    ("18 parameters", (110, 111, 112, 113), (7, 9), Audience.REQUESTER),
    (
        "19 refusals",
        (*SWITCHING, *range(100, 108), *range(110, 114), 126, 127),
        REFUSALS,
        Audience.REQUESTER,
    ),
    ("20 file", range(121, 126), (13, *REFUSALS), Audience.FILE),
    ("20 file ready", (120,), (13,), Audience.FILE_OFFER),
    ("20 file ready, refused", (120,), REFUSALS, Audience.FILE),
    ("21 directory", (126,), (5,), Audience.DIRECTORY),
    ("22 new file", (126,), (3,), Audience.ALL),
    ("23 query log", (127,), (7, 13, *REFUSALS), Audience.REQUESTER),
    ("24 authentication", range(81, 96), range(64), Audience.NOBODY),
    ("25 future types", FUTURE, (1, 2, 3, 11, 12, *range(20, 42)), Audience.ALL),
    ("25 future mirrors", FUTURE, (5, 7, 9, 10, *REFUSALS), Audience.REQUESTER),
    ("25 future process types", (*range(22, 30),), (1, 2, 3, 11, 12, *range(20, 42)), Audience.ALL),
    ("26 private", range(128, 256), (1, 2, 3, 4, 11, 12), Audience.ALL),
    (
        "26 private mirrors",
        range(128, 256),
        (5, 6, 7, 8, 9, 10, 13, *REFUSALS),
        Audience.REQUESTER_OR_ALL,
    ),
    ("27 unnamed causes of process data", PROCESS, UNNAMED, Audience.ALL),
    ("27 unnamed causes of private types", range(128, 256), UNNAMED, Audience.REQUESTER_OR_ALL),
    (
        "27 unnamed causes of control types",
        (*SWITCHING, *range(100, 108), *range(110, 114)),
        UNNAMED,
        Audience.REQUESTER,
    ),
    (
        "28 commands from the RTU",
        (*PROCESS, *SWITCHING, *range(100, 108), *range(110, 114), *range(120, 128)),
        (6, 8),
        Audience.NOBODY,
    ),
]


@pytest.mark.parametrize(("types", "causes", "audience"), [row[1:] for row in ROWS],
                         ids=[row[0] for row in ROWS])  # fmt: skip
def test_row(types: Iterable[int], causes: Iterable[int], audience: Audience) -> None:
    """Each row of the routing table holds for every type and cause it names."""
    causes = tuple(causes)
    for typeId in types:
        for cause in causes:
            assert AUDIENCES[typeId << 6 | cause] is audience, (typeId, cause)


def test_tableIsComplete() -> None:
    """Every type and every cause has an audience, the one that `classify` gives."""
    assert len(AUDIENCES) == 256 * 64
    assert all(
        AUDIENCES[typeId << 6 | cause] is classify(typeId, cause)
        for typeId in range(256)
        for cause in range(64)
    )


def test_processDataIsNeverDropped() -> None:
    """State is for all or for who asked, and then for all if nobody did: never for nobody."""
    lost = {Audience.NOBODY, Audience.REQUESTER, Audience.FILE, Audience.DIRECTORY}
    for typeId in PROCESS:
        for cause in set(range(64)) - {6, 8}:
            assert AUDIENCES[typeId << 6 | cause] not in lost, (typeId, cause)


def test_mirrorsAreNeverForAll() -> None:
    """A confirmation of a standard command never goes to a master that did not ask."""
    for typeId in (*SWITCHING, *range(100, 108), *range(110, 114)):
        for cause in (5, 7, 9, 10, *REFUSALS):
            assert AUDIENCES[typeId << 6 | cause] is Audience.REQUESTER, (typeId, cause)


@given(
    st.lists(
        st.binary(min_size=7, max_size=7)
        | st.sampled_from([bytes((30, 1, 3, 0, 1, 0, 9)), bytes((30, 1, 20, 0, 1, 0, 9))])
        | st.binary(min_size=1, max_size=9),
        min_size=1,
        max_size=6,
    )
)
def test_aRunIsJudgedAsItsAsdusAre(asdus: list[bytes]) -> None:
    """What is said of a whole run at once is what is said of each of its ASDUs."""
    each = all(areForAll([asdu]) for asdu in asdus)
    assert areForAll(tuple(asdus)) == areForAll(asdus) == each
