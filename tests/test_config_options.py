"""The service file's options on top of the rows: order, agreement, groups that are missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from mm2ss.config.groups_csv import parseGroups
from mm2ss.config.load import Configuration, configure, loadConfiguration
from mm2ss.config.model import GroupOptions, HoldMax, InterrogatedData
from mm2ss.config.options import applyOptions
from mm2ss.config.parameters import LinkParameters
from mm2ss.config.problems import Severity
from mm2ss.config.service_file import noServiceFile, parseServiceFile

ROWS = """\
111,A,2404,1,,60,15,10,20,8,12,1000,,,rtu:2404,
222,B,2405,1,,60,20,10,25,6,9,20,,,rtu:2404,
333,,2406,1,,,,,,,,,,,rtu:2404,
!
444,D,2407,1,,,,,,,,,,,rtu:2404,
"""


def configured(service: str, rows: str = ROWS) -> Configuration:
    return configure(
        parseGroups(rows.encode(), "g.csv"), parseServiceFile(service.encode(), "s.yaml", "/base")
    )


def test_withoutServiceFile() -> None:
    """The rows alone are enough: t0 is 10 s, both legs have the row's parameters."""
    file = parseGroups(ROWS.encode(), "g.csv")
    groups, problems = applyOptions(file, noServiceFile("/base"))
    assert groups == file.groups and problems == ()
    assert groups[1].rtu == groups[1].masters == LinkParameters(k=9, w=6, t0=10, t1=20, t3=25)
    assert groups[0].options == GroupOptions()


def test_order() -> None:
    """A group's own option comes before defaults, and that before the row."""
    groups = configured(
        "defaults:\n  stop_delay: 5\n  interrogated_data: requester\n"
        "  rtu: {k: 20, t0: 4}\n  masters: {t3: 30}\n"
        "groups:\n  222:\n    stop_delay: 0\n    rtu: {k: 30, t3: 7}\n"
    ).groups
    assert groups[0].options == GroupOptions(
        stopDelay=5, interrogatedData=InterrogatedData.REQUESTER
    )
    assert groups[1].options == GroupOptions(interrogatedData=InterrogatedData.REQUESTER)
    assert groups[0].rtu == LinkParameters(k=20, w=8, t0=4)
    assert groups[0].masters == LinkParameters(t3=30)
    assert groups[1].rtu == LinkParameters(k=30, w=6, t0=4, t1=20, t3=7)
    assert groups[1].masters == LinkParameters(k=9, w=6, t1=20, t3=30)


def test_holdMax() -> None:
    """Each of the two bounds comes from the nearest place that sets it."""
    groups = configured(
        "defaults: {hold_max: {frames: 500, octets: 70000}}\n"
        "groups: {222: {hold_max: {frames: 600}}}\n"
    ).groups
    assert [group.options.holdMax for group in groups] == [
        HoldMax(500, 70000),
        HoldMax(600, 70000),
    ]


@pytest.mark.parametrize(
    ("service", "retained", "keys"),
    [
        ("defaults: {stop_delay: 1}", [60, 600], []),
        ("defaults: {retain_max: 0}", [60, 600], []),
        ("defaults: {retain_max: 600}", [60, 600], []),
        ("defaults: {retain_max: 300}", [60, 300], ["defaults.retain_max"]),
        (
            "defaults: {retain_max: 30}\ngroups: {111: {retain_max: 0}, 222: {retain_max: 1.5}}",
            [60, 1.5],
            ["groups.222.retain_max"],
        ),
    ],
)
def test_retainMax(service: str, retained: list[float], keys: list[str]) -> None:
    """What the row retains is cut down to retain_max, with a warning; 0 is no bound."""
    head = ",".join(["id", *"x" * 15, "retain"])
    first, second = ROWS.splitlines()[:2]
    configuration = configured(service, f"{head}\n{first},60\n{second},600\n")
    assert [group.retain for group in configuration.groups] == retained
    warnings = [each for each in configuration.problems if each.file == "s.yaml"]
    assert [(each.severity, each.column) for each in warnings] == [
        (Severity.WARNING, key) for key in keys
    ]
    assert all("group 222: retain (600)" in each.reason for each in warnings)


def test_null() -> None:
    """null for one group takes it back to its row."""
    groups = configured("defaults: {rtu: {k: 20}}\ngroups: {111: {rtu: {k: ~}}}\n").groups
    assert [group.rtu.k for group in groups] == [12, 20]


@pytest.mark.parametrize(
    ("service", "line", "key", "reason"),
    [
        ("groups:\n 111:\n  rtu:\n   t2: 15\n", 4, "groups.111.rtu.t2", "t2 (15) is not shorter"),
        ("groups:\n 111:\n  rtu:\n   t1: 10\n", 4, "groups.111.rtu.t1", "t2 (10) is not shorter"),
        ("groups:\n 111:\n  masters:\n   w: 13\n", 4, "groups.111.masters.w", "w (13) is larger"),
        ("groups:\n 111: {masters: {k: 4}}\n", 2, "groups.111.masters.k", "w (8) is larger"),
        ("groups:\n 111: {rtu: {k: 4, w: 5}}\n", 2, "groups.111.rtu.w", "w (5) is larger"),
        ("groups:\n 111: {rtu: {w: 13}}\n", 2, "groups.111.rtu.w", "w (13) is larger than k (12)"),
        (
            "defaults: {rtu: {w: 5}}\ngroups: {111: {rtu: {k: 4}}}\n",
            1,
            "defaults.rtu.w",
            "group 111: w (5) is larger than k (4)",
        ),
        ("defaults: {masters: {k: 30}}\n", 1, "defaults.masters.k", "bufsize (20)"),
        (
            "defaults: {rtu: {t1: 9}}\ngroups: {222: {rtu: {t2: 5}}}\n",
            1,
            "defaults.rtu.t1",
            "group 111",
        ),
    ],
)
def test_T11_optionsAreRefused(service: str, line: int, key: str, reason: str) -> None:
    """t2 >= t1 or w > k in the service file is an error, also against the row's other value."""
    configuration = configured(service)
    errors = [each for each in configuration.problems if each.severity is Severity.ERROR]
    (problem,) = [each for each in errors if each.file == "s.yaml"]
    assert (problem.line, problem.column) == (line, key)
    assert reason in problem.reason
    assert len(configuration.groups) == 1 and not configuration.runnable


@pytest.mark.parametrize(("k", "w"), [(1, 1), (4, 4), (7, 7), (8, 8), (9, 8), (200, 8)])
def test_smallWindowOfTheRtu(k: int, w: int) -> None:
    """A k for the RTU's connection alone takes w down to it, without a complaint."""
    for service in (f"k: {k}", f"k: {k}, w: ~"):
        configuration = configured(f"groups: {{111: {{rtu: {{{service}}}}}}}")
        assert [each for each in configuration.problems if each.file == "s.yaml"] == []
        assert configuration.groups[0].rtu == LinkParameters(k=k, w=w)
        assert configuration.groups[0].masters == LinkParameters()


@pytest.mark.parametrize(
    ("service", "reason"),
    [
        ("groups: {111: {rtu: {w: 9}}}", "2/3"),
        ("groups: {111: {masters: {t3: 45}}}", "idletime"),
        ("groups: {111: {masters: {t1: 40}}}", "idletime"),
    ],
)
def test_warnings(service: str, reason: str) -> None:
    """What a row would be warned of, an option is warned of."""
    configuration = configured(service)
    (problem,) = [each for each in configuration.problems if each.file == "s.yaml"]
    assert problem.severity is Severity.WARNING and reason in problem.reason
    assert configuration.runnable


def test_rowsOwnWarningIsNotRepeated() -> None:
    """What the row alone says was warned of there; an option beside it is not blamed."""
    rows = "111,A,2404,1,,60,15,10,20,9,12,20,,,rtu:2404,\n"
    problems = configured("groups: {111: {masters: {t3: 25}, rtu: {t0: 5}}}", rows).problems
    assert [(each.file, each.column) for each in problems] == [("g.csv", "w")]


@pytest.mark.parametrize(
    ("number", "reason"),
    [(999, "no group with this id"), (333, "is rejected"), (444, "after the ! row")],
)
def test_strangers(number: int, reason: str) -> None:
    """Options for a group that does not load are a warning that says why."""
    configuration = configured(f"groups:\n  {number}: {{stop_delay: 1}}\n")
    (problem,) = [each for each in configuration.problems if each.file == "s.yaml"]
    assert (problem.severity, problem.line) == (Severity.WARNING, 2)
    assert problem.column == f"groups.{number}" and reason in problem.reason


def test_runnable() -> None:
    """A rejected row does not stop the others; a wrong service file stops all, as does no group."""
    assert configured("").runnable
    assert not configured("x: 1").runnable
    assert not configured("", "# nothing").runnable


def test_loadConfiguration(tmp_path: Path) -> None:
    """Both files, or the first alone, from a directory that need not be the current one."""
    (tmp_path / "g.csv").write_text(ROWS, "utf-8")
    (tmp_path / "s.yaml").write_text("defaults: {stop_delay: 7}\n", "utf-8")
    for service, delay in ((None, 0), ("s.yaml", 7)):
        configuration = loadConfiguration("g.csv", service, tmp_path)
        assert [group.options.stopDelay for group in configuration.groups] == [delay, delay]
    missing = loadConfiguration("x.csv", "x.yaml", tmp_path)
    assert [each.file for each in missing.problems] == ["x.csv", "x.yaml"]
    assert not missing.runnable
