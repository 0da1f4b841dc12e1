"""``--check``: the report shows what would run, what differs, what it needs, and every problem."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest

from mm2ss.config.check import exitStatus, report, written
from mm2ss.config.groups_csv import parseGroups
from mm2ss.config.load import Configuration, configure
from mm2ss.config.model import ClockSync, OriginatorMode, SameAddress
from mm2ss.config.service_file import noServiceFile, parseServiceFile

ROWS = """\
ntp_server,pool.example
nogui
111,RTU-A,2404,32,2,60,15,10,20,8,12,1000,Y,all,10.0.0.1:2404;[fd00::1]:2404,10.1.1.7;10.1.1.0/24
222,RTU-B,2405,101,3,0,15,10,20,8,12,1000,N,new,rtu-b:2404,
"""
OPTIONS = """\
defaults: {stop_delay: 5, listen: [127.0.0.1]}
groups:
  222: {ack_mode: immediate, oa_mode: fixed:3, ledger_max: 1048576, rtu: {t0: 5, t1: 30}}
  111: {hold_max: {frames: 5000}, rtu: {k: 4}}
"""


def configured(rows: str, service: str | None = None) -> Configuration:
    file = (
        noServiceFile("/base")
        if service is None
        else parseServiceFile(service.encode(), "s.yaml", "/base")
    )
    return configure(parseGroups(rows.encode(), "g.csv"), file)


def test_wholeReport() -> None:
    """The report of a service without problems, as people read it."""
    assert report(configured(ROWS, OPTIONS)).splitlines() == [
        "Groups file:  g.csv (UTF-8, cells separated by a comma)",
        "Service file: s.yaml",
        "Event logs:   /base/log",
        "Journal:      /base/state/journal",
        "",
        "2 groups would run:",
        "  group  system  port  RTU no  max conn  idle s  RTU t0/t1/t2/t3 k/w"
        "  masters t1/t2/t3 k/w  bufsize  log  same ip  hosts                         filter",
        "  111    RTU-A   2404  32      2         60      10/15/10/20 4/4    "
        "  15/10/20 12/8         1000     yes  all      10.0.0.1:2404;[fd00::1]:2404  "
        "10.1.1.7;10.1.1.0/24",
        "  222    RTU-B   2405  101     3         off     5/30/10/20 12/8    "
        "  15/10/20 12/8         1000     no   new      rtu-b:2404                    everyone",
        "",
        "Options other than the defaults:",
        "  111: hold_max.frames 5000, stop_delay 5, listen [127.0.0.1]",
        "  222: ack_mode immediate, oa_mode fixed:3, ledger_max 1048576, stop_delay 5, "
        "listen [127.0.0.1]",
        "",
        "Note: ack_mode is immediate. RTUs are acknowledged before a master has acknowledged: "
        "what waits",
        "in the relay is lost when the relay stops.",
        "",
        "To be known:",
        "  111: the RTU's k (4) is smaller than the masters' w (8): what fills 2/3 of k for 2 s "
        "is acknowledged early, through the journal",
        "",
        "Time updates: pool.example, every 900 s",
        "",
        "Read and checked, but not yet built:",
        "  nogui: there is no console to switch off",
        "",
        "At worst the groups need:",
        "  file descriptors: 35 (2 ports, 2 RTUs, 5 masters, 6 for journal, audit trail and "
        "event logs, 20 for the process)",
        "  memory: 7.3 MiB (5.0 MiB ledger_max, 2.3 MiB events in the journal, 0.0 MiB on the "
        "way to masters)",
        "  disk: 34.7 MiB for the journal in /base/state/journal (hold_max of each group)",
        "",
        "No problems.",
        "",
        "Result: the service would run.",
    ]


def test_everyProblemIsShown() -> None:
    """Problems of both files and of the two together are listed, with how many there are."""
    configuration = configured(
        ROWS + "333,C,2406,1,,,,,,,,,,,nothing,\n444,D,2407,1,,,x,,,,,,,,rtu:1,\n",
        "defaults: {oops: 1}\ngroups: {9: {}, 111: {masters: {k: 3}}}\n",
    )
    text = report(configuration)
    assert "3 errors, 3 warnings:" in text
    for problem in configuration.problems:
        assert f"\n  {problem}\n" in text
    assert len(configuration.problems) == 6
    assert text.endswith("Result: the service would not start.\n")
    assert exitStatus(configuration) == 1


def test_rights() -> None:
    """Who may command, and what nobody may send, is shown as soon as one group restricts it."""
    assert "control" not in report(configured(ROWS))
    head = ",".join(["id", *"x" * 15, "control", "deny types"])
    more = "333,C,2406,1,1,,,,,,,,,,rtu:1,,,105;45"
    first, second = ROWS.splitlines()[2:]
    lines = report(configured(f"{head}\n{first},10.1.1.7;10.1.1.8\n{second},none\n{more}\n"))
    table = lines.split("groups would run:\n")[1].split("\n\n")[0].splitlines()
    assert [line.split()[-4:] for line in table] == [
        ["filter", "control", "deny", "types"],
        ["10.0.0.1:2404;[fd00::1]:2404", "10.1.1.7;10.1.1.0/24", "10.1.1.7;10.1.1.8", "-"],
        ["rtu-b:2404", "everyone", "nobody", "-"],
        ["rtu:1", "everyone", "everyone", "45;105"],
    ]


@pytest.mark.parametrize(
    ("name", "cell", "title", "shown"),
    [
        ("control", "none", ["filter", "control"], ["everyone", "nobody"]),
        ("deny types", "105;45", ["deny", "types"], ["-", "45;105"]),
        (
            "keepers",
            "10.1.1.7;10.1.1.0/24",
            ["filter", "keepers"],
            ["everyone", "10.1.1.7;10.1.1.0/24"],
        ),
        ("retain", "600", ["retain", "s"], ["off", "600"]),
        ("retain", "0", ["hosts", "filter"], []),
    ],
)
def test_namedColumns(name: str, cell: str, title: list[str], shown: list[str]) -> None:
    """A column after the 16th is shown when a row uses it, with what its other cells mean."""
    head = ",".join(["id", *"x" * 15, name])
    other, row = ROWS.splitlines()[2:]
    text = report(configured(f"{head}\n{other}\n{row},{cell}\n"))
    table = [line.split() for line in text.split("groups would run:\n")[1].splitlines()[:3]]
    assert table[0][-2:] == title
    assert not shown or [line[-1] for line in table[1:]] == shown


def test_journalWhereItIsUsed() -> None:
    """The journal's place and size are shown as soon as one group uses it."""
    off = "groups: {111: {journal: false}, 222: {ack_mode: immediate}}"
    assert "/state/journal" not in report(configured(ROWS, off))
    on = "state_directory: /var/lib/mm2ss\ngroups: {111: {journal: false}}"
    text = report(configured(ROWS, on))
    assert "\nJournal:      /var/lib/mm2ss/journal\n" in text
    assert "MiB for the journal in /var/lib/mm2ss/journal (" in text


def test_acknowledgementsThatComeTooLate() -> None:
    """An RTU that cannot wait for the masters is warned of, and the exit status stays 0."""
    configuration = configured(ROWS.replace("15,10,20", "12,10,20", 1))
    text = report(configuration)
    assert "  g.csv:3: warning: t1: the RTU's t1 (12 s) is too short for the masters' t2" in text
    assert exitStatus(configuration) == 0


def test_rowsAfterTheEnd() -> None:
    """Rows after the ! row are listed under that name, with the line of the ! row."""
    text = report(configured(ROWS + "! end\n555,E,2408,1\nx,y\n"))
    assert "Not loaded, after the ! row (line 5):\n  line 6: group 555 'E'\n\n" in text


def test_servicesThatAreNotBuilt() -> None:
    """What is configured for a service that does not exist is listed, and nothing pretends."""
    text = report(configured(ROWS, "console: {port: 9999}\nmetrics: {enabled: true}\n"))
    assert "not yet built:\n  console (service file)\n" in text and "metrics (" not in text


@pytest.mark.parametrize(
    ("rows", "service", "status", "result"),
    [
        (ROWS, None, 0, "would run."),
        (ROWS.replace("1000,N", "1,N"), None, 0, "would run."),
        (ROWS + "x\n333,C,0\n", None, 1, "would run without 1 of its groups."),
        (ROWS, "x: 1", 1, "would not start."),
        ("# nothing\n", None, 1, "would not start."),
    ],
)
def test_exitStatus(rows: str, service: str | None, status: int, result: str) -> None:
    """Warnings leave the exit status at 0; a rejected row or any other error makes it 1."""
    configuration = configured(rows, service)
    assert exitStatus(configuration) == status
    assert report(configuration).endswith(f"{result}\n")


def test_noGroup() -> None:
    """A file that cannot be read still gives a report."""
    text = report(configured("\0"))
    assert "No group would run." in text and "no group can be loaded" in text


def test_semicolonsAndTabs() -> None:
    """How the file was read is said."""
    for mark, name in ((";", "a semicolon"), ("\t", "a tab")):
        rows = "111,A,2404,1,,,,,,,,,,,rtu:1,\n".replace(",", mark)
        assert f"cells separated by {name}" in report(configured(rows))
    ansi = configure(parseGroups(b"1,Z\xfcrich,2,3,,,,,,,,,,,rtu:1", "g.csv"), noServiceFile("/"))
    assert "Windows-1252" in report(ansi)


def test_defaultPorts() -> None:
    """Without listen, a group's port may need a socket for IPv4 and one for IPv6."""
    text = report(configured("111,A,2404,1,,,,,,,,,,,rtu:1,\n"))
    assert "file descriptors: 34 (2 ports, 1 RTU, 5 masters, 6 for journal," in text


def test_written() -> None:
    """Values are shown as the service file writes them."""
    assert [
        written(value) for value in (SameAddress.OLD, OriginatorMode("keep"), True, (), None, 2.5)
    ] == ["old", "keep", "true", "[]", "null", "2.5"]
    assert written(ClockSync("deny")) == "deny"
    assert written(ClockSync("only", IPv4Address("10.1.1.7"))) == "only:10.1.1.7"


def collisions(rows: str, service: str) -> list[str]:
    """The problems that --check shows."""
    return list(map(str, configured(rows, service).problems))


ONE = "111,RTU-A,2404,32,2,60,15,10,20,8,12,1000,Y,all,10.0.0.1:2404,\n"


def test_portOfAGroup() -> None:
    """A service on the port of a group is an error that names key, line and group."""
    service = "metrics:\n  enabled: true\n  port: 2404\n"
    assert collisions(ONE, service) == [
        "s.yaml:3: error: metrics.port '2404': is the port of group 111, too; each needs one of its"
        " own"
    ]
    assert not configured(ONE, service).runnable
    assert collisions(ONE, service.replace("true", "false")) == []
    assert collisions(ONE, service + "defaults: {listen: [10.0.0.7]}\n") == []
    assert len(collisions(ONE, service + "defaults: {listen: [127.0.0.1]}\n")) == 1
    elsewhere = service + "  listen: '::1'\n"
    assert collisions(ONE, elsewhere + "defaults: {listen: [0.0.0.0]}\n") == []
    assert len(collisions(ONE, elsewhere)) == 1


def test_portOfAnotherService() -> None:
    """Two services on one port; where only a default meets it, the line is that of ``enabled``."""
    service = "manhole: {port: 9104, enabled: true}\nmetrics:\n  enabled: true\n"
    (found,) = collisions(ONE, service)
    assert found.startswith("s.yaml:3: error: metrics.port '9104': is the port of manhole, too")
    assert collisions(ONE, service.replace("{port", "{listen: 127.0.0.2, port")) == []


def test_listeners() -> None:
    """What would listen beside the groups is shown, and where."""
    service = "manhole: {enabled: true, listen: '::1'}\nmetrics: {enabled: true, port: 9199}\n"
    text = report(configured(ONE, service))
    assert (
        "Services that would listen:\n  manhole at [::1]:8222\n  metrics at 127.0.0.1:9199" in text
    )
    assert "would listen" not in report(configured(ONE, service.replace("true", "false")))
