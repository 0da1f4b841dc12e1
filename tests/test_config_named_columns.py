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
    ("name", "cell", "networks"),
    [
        ("control", "10.1.1.1", ["10.1.1.1/32"]),
        ("Control", "10.1.1.0/24; fd00::/8;", ["10.1.1.0/24", "fd00::/8"]),
        ("CONTROL", "::ffff:10.1.1.1", ["10.1.1.1/32"]),
        ("control", "none", []),
        ("control", " NONE ", []),
    ],
)
def test_control(name: str, cell: str, networks: list[str]) -> None:
    """``control`` names those who may command; ``none`` is nobody, which is not everyone."""
    file = parse(name, cell)
    (group,) = file.groups
    assert file.problems == () and group.control is not None
    assert [str(network) for network in group.control] == networks


@pytest.mark.parametrize(
    ("name", "cell", "types"),
    [
        ("deny types", "45;46", {45, 46}),
        ("deny_types", " 105 ", {105}),
        (" Deny  Types ", "1;255;1;", {1, 255}),
    ],
)
def test_denyTypes(name: str, cell: str, types: set[int]) -> None:
    """``deny types`` lists the types that nobody may send."""
    file = parse(name, cell)
    assert file.problems == () and file.groups[0].denyTypes == types


@pytest.mark.parametrize(
    ("name", "cell", "wrong"),
    [
        ("control", "10.1.1.1;10.1.1.7/24", "10.1.1.7/24"),
        ("control", "none;10.1.1.1", "none"),
        ("control", "all", "all"),
        ("control", "everyone", "everyone"),
        ("control", ";", ";"),
        ("control", "master.example", "master.example"),
        ("deny types", "45;C_SC_NA_1", "C_SC_NA_1"),
        ("deny types", "45;0", "0"),
        ("deny types", "256", "256"),
        ("deny types", "45-47", "45-47"),
        ("deny types", "45 46", "45 46"),
        ("deny types", "none", "none"),
        ("deny types", " ; ", ";"),
        ("keepers", "10.1.1.7/24", "10.1.1.7/24"),
        ("keepers", "10.1.1.1;none", "none"),
        ("keepers", "all", "all"),
        ("keepers", ";", ";"),
    ],
)
def test_wrongEntryRejectsTheRow(name: str, cell: str, wrong: str) -> None:
    """One wrong entry rejects the row: without it somebody could do more than was meant."""
    file = parse(name, cell)
    problem = file.problems[0]
    assert not file.groups
    assert (problem.severity, problem.line, problem.column) == (Severity.ERROR, 2, name)
    assert problem.value == wrong


@pytest.mark.parametrize(
    ("cell", "networks"),
    [
        ("10.1.1.1", ["10.1.1.1/32"]),
        (" 10.1.1.0/24; ::ffff:10.2.2.2 ;", ["10.1.1.0/24", "10.2.2.2/32"]),
        ("", []),
    ],
)
def test_keepers(cell: str, networks: list[str]) -> None:
    """``keepers`` names those whose acknowledgement counts; without any it is everybody's."""
    file = parse("keepers", cell)
    assert file.problems == ()
    assert [str(network) for network in file.groups[0].keepers] == networks


@pytest.mark.parametrize(
    ("keepers", "admitted", "said"),
    [
        ("10.1.1.7", "", 0),
        ("10.1.1.7", "10.2.0.0/16;10.1.1.0/24", 0),
        ("10.1.0.0/16", "10.1.1.7", 0),
        ("10.9.9.9;10.1.1.7", "10.1.1.7", 0),
        ("10.9.9.9", "10.1.1.0/24;fd00::/8", 1),
        ("::/0", "0.0.0.0/0", 1),
        ("fd00::7", "fd00::/8", 0),
        ("", "10.1.1.7", 0),
    ],
)
def test_keepersThatMayNotConnect(keepers: str, admitted: str, said: int) -> None:
    """Keepers of whom the filter admits none are a warning: nobody could acknowledge."""
    row = f"{GROUP}{admitted},{keepers}"
    file = parseGroups(f"{FIRST},filter,keepers\n{row}\n".encode(), "g.csv")
    assert len(file.groups) == 1
    assert [(each.severity, each.line, each.column) for each in file.problems] == [
        (Severity.WARNING, 2, "keepers")
    ] * said


@pytest.mark.parametrize("name", ["contrl", "controls", "deny type", "denytypes", "keeper"])
def test_misspeltRestriction(name: str) -> None:
    """A cell under a misspelt restriction rejects its row; without a cell it is a warning only."""
    assert not parse(name, "10.1.1.1").groups
    file = parse(name, "")
    assert len(file.groups) == 1
    assert [each.severity for each in file.problems] == [Severity.WARNING]


@pytest.mark.parametrize("name", ["contact", "comment", "contract", "types", "remark", "country"])
def test_otherNames(name: str) -> None:
    """A name that only resembles a restriction somewhat is somebody's remark."""
    file = parse(name, "x")
    assert len(file.groups) == 1
    assert [each.severity for each in file.problems] == [Severity.WARNING]


def test_faultyHeader() -> None:
    """Behind a header that cannot be read, a row with named cells does not load; others do."""
    other = GROUP.replace("111", "222").replace("2404", "2405")
    data = f'"{FIRST},filter,control\n{GROUP},10.1.1.1\n{other},\n'
    data = data.replace('"id', "id").replace(",hosts", ',"hosts')
    file = parseGroups(data.encode(), "g.csv")
    assert [group.id for group in file.groups] == [222]
    assert [each.line for each in file.problems if each.severity is Severity.ERROR] == [1, 2]


@pytest.mark.parametrize(
    ("cell", "seconds", "said"),
    [
        ("60", 60, 0),
        ("0", 0, 0),
        ("", 0, 0),
        ("604800", 604800, 0),
        ("604801", 0, 1),
        ("long", 0, 1),
        ("-1", 0, 1),
        ("1.5", 0, 1),
    ],
)
def test_retain(cell: str, seconds: int, said: int) -> None:
    """``retain`` is seconds, 0 is off; what is wrong is a warning and 0: nobody gets rights."""
    file = parse("retain", cell)
    assert [group.retain for group in file.groups] == [seconds]
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
    groups = [f"{digit * 3},A,240{digit},1{GROUP[12:]},none\n" for digit in "123"]
    file = parseGroups((groups[0] + first + groups[1] + second + groups[2]).encode(), "g.csv")
    assert [(group.id, group.control) for group in file.groups] == [
        (111, ()),
        (222, ()),
        (333, None),
    ]


def test_nameAmongTheFirst() -> None:
    """The first 16 columns count by place: a restriction's name there is warned of."""
    file = parse("remark", "", first=f"{FIRST},control")
    assert (file.problems[0].line, file.problems[0].column) == (1, "control")
    assert "always read as 'filter'" in file.problems[0].reason


def test_oldHeadersDiffer() -> None:
    """Whatever an old header calls the first 16 columns, they are read by place."""
    file = parseGroups(f"ID,RTU,tcp,ca\n{GROUP}\n".encode(), "g.csv")
    assert len(file.groups) == 1 and file.problems == ()


@pytest.mark.parametrize(("cells", "loads"), [(",none", 1), ("none,", 1), ("none,none", 0)])
def test_nameTwice(cells: str, loads: int) -> None:
    """Of two columns with one name, a row may use one."""
    groups = parse("control,control", cells).groups
    assert [group.control for group in groups] == [()] * loads
