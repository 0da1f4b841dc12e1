"""Columns after the first 16: found by name, and never a restriction that is quietly not kept."""

from __future__ import annotations

import pytest

from mm2ss.config.groups_csv import GroupsFile, parseGroups
from mm2ss.config.problems import Severity

FIRST = "id,sys name,port no,rtu no,max conn,idletime,t1,t2,t3,w,k,bufsize,logevents,same ip,hosts"
GROUP = "111,A,2404,1,,,,,,,,,,,rtu:2404,"


def parse(names: str, cells: str, first: str = f"{FIRST},filter") -> GroupsFile:
    return parseGroups(f"{first},{names}\n{GROUP},{cells}\n".encode(), "g.csv")


@pytest.mark.parametrize("cells", ["", ",,,", " , , , "])
def test_emptyCells(cells: str) -> None:
    """Without a value a named column changes nothing."""
    file = parse("control,deny types,retain,keepers", cells)
    assert len(file.groups) == 1 and file.problems == ()


@pytest.mark.parametrize(
    ("name", "cell"),
    [
        ("control", "10.1.1.1"),
        ("control", "none"),
        ("Control", "10.1.1.0/24;fd00::/8"),
        ("deny types", "45;46"),
        ("deny types", ";"),
        ("deny_types", "45"),
        (" Deny  Types ", "45"),
        ("keepers", "10.1.1.1"),
    ],
)
def test_restrictionsRejectTheRow(name: str, cell: str) -> None:
    """A restriction that this version does not keep rejects the row."""
    file = parse(name, cell)
    (problem, nothing) = file.problems
    assert not file.groups and "no group" in nothing.reason
    assert (problem.severity, problem.line, problem.value) == (Severity.ERROR, 2, cell)
    assert "not in this version" in problem.reason


@pytest.mark.parametrize(
    ("name", "cell", "wrong"),
    [
        ("control", "10.1.1.1;10.1.1.7/24", "10.1.1.7/24"),
        ("keepers", "none", "none"),
        ("deny types", "45;C_SC_NA_1", "C_SC_NA_1"),
        ("deny types", "0", "0"),
        ("deny types", "256", "256"),
    ],
)
def test_wrongEntries(name: str, cell: str, wrong: str) -> None:
    """Their wrong entries are told, too."""
    problem = parse(name, cell).problems[0]
    assert (problem.severity, problem.column, problem.value) == (Severity.ERROR, name, wrong)


@pytest.mark.parametrize(("cell", "said"), [("60", 1), ("0", 0), ("long", 1), ("-1", 1)])
def test_retain(cell: str, said: int) -> None:
    """``retain`` gives nobody rights: a value is a warning, 0 is what holds anyway."""
    file = parse("retain", cell)
    assert len(file.groups) == 1
    assert [(each.severity, each.column, each.line) for each in file.problems] == [
        (Severity.WARNING, "retain", 2)
    ] * said


def test_unknownColumn() -> None:
    """An unknown column is warned of once, with the name that it resembles."""
    other = GROUP.replace("111", "222").replace("2404", "2405")
    data = f"{FIRST},filter,remark,contrl\n{GROUP},old,\n{other},new,\n"
    file = parseGroups(data.encode(), "g.csv")
    assert len(file.groups) == 2
    assert [(each.line, each.column) for each in file.problems] == [(1, "remark"), (1, "contrl")]
    assert "did you mean 'control'" in file.problems[1].reason


def test_cellWithoutName() -> None:
    """A cell beyond the header's names is ignored with a warning; so it is without a header."""
    for text in (f"{FIRST},filter\n{GROUP},x\n", f"{GROUP},x\n"):
        file = parseGroups(text.encode(), "g.csv")
        assert len(file.groups) == 1
        assert [(each.column, each.value) for each in file.problems] == [("column 17", "x")]


def test_headerAfterTheRow() -> None:
    """A header below the rows names their columns all the same; each further one from there on."""
    first = f"{FIRST},filter,control\n"
    second = f"{FIRST},filter,remark\n"
    groups = [f"{GROUP},x\n".replace("1", digit) for digit in "123"]
    file = parseGroups((groups[0] + first + groups[1] + second + groups[2]).encode(), "g.csv")
    assert [group.id for group in file.groups] == [333]


def test_nameAmongTheFirst() -> None:
    """The first 16 columns count by place: a restriction's name there is warned of."""
    file = parse("remark", "", first=f"{FIRST},control")
    assert (file.problems[0].line, file.problems[0].column) == (1, "control")
    assert "always read as 'filter'" in file.problems[0].reason


def test_oldHeadersDiffer() -> None:
    """Whatever an old header calls the first 16 columns, they are read by place."""
    file = parseGroups(f"ID,RTU,tcp,ca\n{GROUP}\n".encode(), "g.csv")
    assert len(file.groups) == 1 and file.problems == ()


def test_nameTwice() -> None:
    """A name that stands twice counts twice."""
    assert not parse("control,control", ",10.1.1.1").groups
