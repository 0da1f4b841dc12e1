"""Where RTUs cannot wait for masters: who is warned, of what, and in which file's line."""

from __future__ import annotations

import pytest

from mm2ss.config import early_ack
from mm2ss.config.early_ack import atRisk, patienceOf, remarks, whyTooShort
from mm2ss.config.groups_csv import parseGroups
from mm2ss.config.load import Configuration, configure
from mm2ss.config.model import AckMode, GroupConfig, GroupOptions, Host
from mm2ss.config.parameters import LinkParameters
from mm2ss.config.problems import Problem, Severity
from mm2ss.config.service_file import parseServiceFile
from mm2ss.relay import custody

HEAD = "id,sys name,port no,rtu no,max conn,idletime,t1,t2,t3,w,k,bufsize,logevents,same ip,hosts,f"
ROWS = """\
111,A,2404,1,,,15,10,20,8,12,1000,,,rtu:1,
222,B,2405,1,,,10,9,20,8,12,1000,,,rtu:1,
"""


def group(
    rtu: LinkParameters | None = None,
    masters: LinkParameters | None = None,
    options: GroupOptions | None = None,
) -> GroupConfig:
    return GroupConfig(
        111,
        "A",
        2404,
        1,
        (Host("rtu", 1),),
        rtu=rtu or LinkParameters(),
        masters=masters or LinkParameters(),
        options=options or GroupOptions(),
    )


def configured(service: str, rows: str = ROWS) -> Configuration:
    return configure(
        parseGroups(rows.encode(), "g.csv"), parseServiceFile(service.encode(), "s.yaml", "/base")
    )


def places(problems: tuple[Problem, ...]) -> list[tuple[str, int | None, str]]:
    assert all(each.severity is Severity.WARNING for each in problems)
    return [(each.file, each.line, each.column) for each in problems]


def test_asTheRelayDoes() -> None:
    """The times are those by which the relay works."""
    assert (early_ack.MARGIN, early_ack.WRITE_TIME) == (custody.MARGIN, custody.WRITE_TIME)


@pytest.mark.parametrize(("t1", "patience"), [(15, 13), (2.5, 1), (2, 1), (255, 253)])
def test_patience(t1: float, patience: float) -> None:
    """The RTU is acknowledged 2 s before its t1 is over, but not before an event is 1 s old."""
    assert patienceOf(LinkParameters(t1=t1, t2=1)) == patience


@pytest.mark.parametrize(
    ("t1", "t2", "short"),
    [
        (15, 10, False),
        (14, 10, False),
        (13, 10, True),
        (10, 9, True),
        (10, 10, True),
        (4.5, 1, False),
        (4, 1, True),
        (2, 1, True),
    ],
)
def test_tooShort(t1: float, t2: float, short: bool) -> None:
    """It is too short where what is left of the RTU's t1 is not longer than t2 and 1 s."""
    rtu, masters = LinkParameters(t1=t1, t2=1), LinkParameters(t1=60, t2=t2)
    assert bool(whyTooShort(group(rtu, masters))) is short
    immediate = GroupOptions(ackMode=AckMode.IMMEDIATE)
    assert whyTooShort(group(rtu, masters, immediate)) == ""


def test_whatToDo() -> None:
    """Both values are named, and what would be right for each of them where there is such."""
    masters = LinkParameters(t2=9)
    assert whyTooShort(group(LinkParameters(t1=10, t2=9), masters)) == (
        "the RTU's t1 (10 s) is too short for the masters' t2 (9 s): each event that comes alone"
        " is acknowledged early, through the journal. Set t1 in the RTU to more than 12 s,"
        " or t2 in the masters to less than 7 s, and the same here"
    )
    rtu = LinkParameters(t1=4, t2=3)
    assert whyTooShort(group(rtu, masters, GroupOptions(journal=False))) == (
        "the RTU's t1 (4 s) is too short for the masters' t2 (9 s): each event that comes alone"
        " is acknowledged early, and lost by a crash until a master has it."
        " Set t1 in the RTU to more than 12 s, and the same here"
    )


@pytest.mark.parametrize(
    ("service", "expected"),
    [
        ("", [("g.csv", 2, "t1")]),
        ("defaults: {stop_delay: 1}", [("g.csv", 2, "t1")]),
        ("defaults: {ack_mode: immediate}", []),
        ("groups: {222: {rtu: {t1: 15}}}", []),
        ("groups: {222: {masters: {t2: 5}}}", []),
        (
            "groups:\n 222: {rtu: {t1: 11}}\n 111: {masters: {t2: 14}}\n",
            [("s.yaml", 3, "groups.111.masters.t2"), ("s.yaml", 2, "groups.222.rtu.t1")],
        ),
    ],
)
def test_whereItIsSaid(service: str, expected: list[tuple[str, int, str]]) -> None:
    """The warning stands at the option that sets t1 or t2, else at the row; it stops nothing."""
    configuration = configured(service)
    assert places(configuration.problems) == expected
    assert configuration.runnable and len(configuration.groups) == 2


@pytest.mark.parametrize(
    ("rtu", "masters", "figures"),
    [(12, 8, (12, 24)), (8, 8, (8, 16)), (7, 8, (15, 14)), (4, 8, (12, 8)), (40, 8, (40, 80))],
)
def test_atRisk(rtu: int, masters: int, figures: tuple[int, int]) -> None:
    """Without the journal one window is at risk, with a small one the masters' w too."""
    legs = LinkParameters(k=rtu, w=1), LinkParameters(k=2 * masters, w=masters)
    assert atRisk(group(*legs)) == figures


def test_withoutJournal() -> None:
    """``journal: false`` is warned of once, where it stands, with the largest figures."""
    rows = ROWS.replace("10,9,", "15,10,")
    configuration = configured("defaults: {journal: false}\ngroups: {222: {rtu: {k: 7}}}", rows)
    assert places(configuration.problems) == [("s.yaml", 1, "defaults.journal")]
    assert str(configuration.problems[0]) == (
        "s.yaml:1: warning: defaults.journal 'false': what is acknowledged to an RTU before a"
        " master has acknowledged it is lost by a crash: up to 15 frames of a group as a rule,"
        " and 24 more while its last master leaves"
    )
    each = configured("defaults: {journal: false}\ngroups:\n 222: {journal: false}\n", rows)
    assert places(each.problems) == [
        ("s.yaml", 1, "defaults.journal"),
        ("s.yaml", 3, "groups.222.journal"),
    ]
    assert [group.options.journalled for group in each.groups] == [False, False]


@pytest.mark.parametrize(
    "service",
    [
        "defaults: {journal: false, ack_mode: immediate}",
        "defaults: {journal: false}\ngroups: {111: {journal: true}, 222: {ack_mode: immediate}}",
        "defaults: {journal: true}",
    ],
)
def test_journalNotMissed(service: str) -> None:
    """No warning where the journal is on, or acknowledging is immediate and uses none."""
    assert configured(service, ROWS.replace("10,9,", "15,10,")).problems == ()


@pytest.mark.parametrize(
    ("service", "named", "expected"),
    [
        ("", "", []),
        (
            "rtu: {k: 4}",
            "",
            [
                "the RTU's k (4) is smaller than the masters' w (8): what fills 2/3 of k for 2 s"
                " is acknowledged early, through the journal"
            ],
        ),
        (
            "rtu: {k: 4}, journal: false",
            "",
            [
                "the RTU's k (4) is smaller than the masters' w (8): what fills 2/3 of k for 2 s"
                " is acknowledged early, and lost by a crash until a master has it"
            ],
        ),
        ("rtu: {k: 4}, ack_mode: immediate, hold_age: 60", "", []),
        (
            "hold_age: 86400",
            "10.1.1.1",
            [
                "keepers: while none of them is connected, events go to the journal, up to"
                " hold_max",
                "hold_age: events that nobody took for 86400 s are given up",
            ],
        ),
        (
            "journal: false, hold_age: 60",
            "10.1.1.1",
            ["keepers: while none of them is connected, events are lost by a crash"],
        ),
        (
            "ack_mode: immediate",
            "10.1.1.1",
            ["keepers: no effect, since ack_mode is immediate"],
        ),
    ],
)
def test_remarks(service: str, named: str, expected: list[str]) -> None:
    """What is no mistake, and yet should be known."""
    rows = f"{HEAD},keepers\n{ROWS.splitlines()[0]},{named}\n"
    (only,) = configured(f"defaults: {{{service}}}", rows).groups
    assert list(remarks(only)) == expected
