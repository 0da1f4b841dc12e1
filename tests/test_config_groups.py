"""The CSV of groups: which rows load, with which values, and what is said of the others."""

from __future__ import annotations

import time
from ipaddress import ip_network
from pathlib import Path

import pytest

from mm2ss.config.groups_csv import MAX_FILE, GroupsFile, parseGroups, readGroups
from mm2ss.config.model import Host, SameAddress
from mm2ss.config.parameters import LinkParameters
from mm2ss.config.problems import Problem, Severity

#: The file that the users of the predecessor have.
SAMPLE = """\
iec104MM2SS-1port-v1.0 ini file,,,,,,,,,,,,,
# comment,,,,,,,,,,,,,
#nogui,,,,,,,,,,,,,
ntp_update_every_sec is in seconds.,,,,,,,,,,,,,
ntp_server,10.1.1.15,,,,,,,,,,,,,
ntp_server,pool.ntp.org,,,,,,,,,,,,,
ntp_update_every_sec,900,,,,,,,,,,,,,
id,sys name,port no,rtu no,max conn,idletime,t1,t2,t3,w,k,bufsize,logevents,same ip,hosts,filter
111,RTU-ABB,2404,32,2,60,15,10,20,8,12,1000,Y,all,\
192.168.1.1:2413;192.168.1.1:2414;127.0.0.1:2410,192.168.1.16;127.0.0.0/24;10.1.1.0/24
222,Dreez-SCS,2405,101,2,60,15,10,20,8,12,1000,Y,new,\
192.168.1.1:2413;127.0.0.1:2411,192.168.1.16;127.0.0.0/24
#333,Liwa-SCS,2406,95,3,60,15,10,20,8,12,1000,Y,all,127.0.0.1:2413;192.168.1.1:2405,10.1.1.0/24
!,Dreez,,101,3,60,15,10,20,8,12,1000,Y,new,127.0.0.1:2405;192.168.1.1:2405,
444,ABB-2,2408,32,3,60,15,10,20,8,12,1000,Y,old,192.168.1.16;127.0.0.0/24;10.1.1.0/24,
555,OSI-2,2409,105,3,60,15,10,20,8,12,1000,Y,old,192.168.1.16;127.0.0.0/24;10.1.1.0/24,
"""

HEADER = (
    "id,sys name,port no,rtu no,max conn,idletime,t1,t2,t3,w,k,bufsize,logevents,same ip,"
    "hosts,filter\n"
)


def parse(text: str) -> GroupsFile:
    return parseGroups(text.encode(), "g.csv")


def row(**cells: str) -> str:
    """A group row with these cells, named by the first word of their columns, or its defaults."""
    values = {
        "id": "111",
        "name": "RTU",
        "port": "2404",
        "rtu": "1",
        **dict.fromkeys(("max", "idle", "t1", "t2", "t3", "w", "k", "buf", "log", "same"), ""),
        "hosts": "10.0.0.1:2404",
        "filter": "",
        **cells,
    }
    return ",".join(values.values()) + "\n"


def said(file: GroupsFile, severity: Severity | None = None) -> list[tuple[str, str | None]]:
    """Columns and values of the problems."""
    return [
        (problem.column, problem.value)
        for problem in file.problems
        if severity in (None, problem.severity)
    ]


def test_sample() -> None:
    """The sample loads as groups 111 and 222; 444 and 555 are listed as after the ! row."""
    file = parse(SAMPLE)
    assert [group.id for group in file.groups] == [111, 222]
    assert file.problems == ()
    assert file.endLine == 12
    assert [(each.line, each.id, each.name) for each in file.afterEnd] == [
        (13, "444", "ABB-2"),
        (14, "555", "OSI-2"),
    ]
    assert (file.nogui, file.ntpServers, file.ntpInterval) == (
        False,
        ("10.1.1.15", "pool.ntp.org"),
        900,
    )


def test_sampleValues() -> None:
    """Every cell of a row of the sample arrives in its field."""
    group = parse(SAMPLE).groups[0]
    assert (group.name, group.port, group.commonAddress) == ("RTU-ABB", 2404, 32)
    assert (group.maxMasters, group.idleTime, group.bufferSize) == (2, 60, 1000)
    assert group.hosts == (
        Host("192.168.1.1", 2413),
        Host("192.168.1.1", 2414),
        Host("127.0.0.1", 2410),
    )
    assert group.filter == tuple(
        map(ip_network, ("192.168.1.16/32", "127.0.0.0/24", "10.1.1.0/24"))
    )
    assert group.rtu == group.masters == LinkParameters(k=12, w=8, t1=15, t2=10, t3=20)
    assert group.logEvents and group.sameAddress is SameAddress.ALL
    assert parse(SAMPLE).groups[1].sameAddress is SameAddress.NEW


def test_sampleWithoutEnd() -> None:
    """Without the ! row, 444 and 555 are rejected because no host of theirs has a port."""
    lines = [line for line in SAMPLE.splitlines() if not line.startswith("!")]
    file = parse("\n".join(lines))
    assert [group.id for group in file.groups] == [111, 222]
    assert (file.rejected, file.afterEnd, file.endLine) == (("444", "555"), (), None)
    errors = [each for each in file.problems if each.severity is Severity.ERROR]
    assert [(each.line, each.column) for each in errors] == [(12, "hosts"), (13, "hosts")]
    assert all("no host with a port" in each.reason for each in errors)
    assert "g.csv:12: error: hosts '192.168.1.16;127.0.0.0/24;10.1.1.0/24': no host" in str(
        errors[0]
    )


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252"])
@pytest.mark.parametrize("lineEnd", ["\n", "\r\n", "\r"])
def test_sampleAsOthersWriteIt(delimiter: str, encoding: str, lineEnd: str) -> None:
    """Spreadsheet programs of any locale may have saved the file."""
    lines = [
        delimiter.join(f'"{cell}"' if ";" in cell else cell for cell in line.split(","))
        for line in SAMPLE.replace("RTU-ABB", "Zürich").splitlines()
    ]
    file = parseGroups((lineEnd.join(lines) + lineEnd).encode(encoding), "g.csv")
    assert [group.name for group in file.groups] == ["Zürich", "Dreez-SCS"]
    assert (file.delimiter, file.problems, len(file.afterEnd)) == (delimiter, (), 2)
    assert [str(network) for network in file.groups[0].filter][1:] == [
        "127.0.0.0/24",
        "10.1.1.0/24",
    ]


def test_shortRow() -> None:
    """Columns 5-14 and 16 have defaults; everyone may connect without a filter."""
    file = parse("7,A,1,65535,,,,,,,,,,,rtu:2404\n")
    (group,) = file.groups
    assert file.problems == ()
    assert (group.maxMasters, group.idleTime, group.bufferSize) == (5, 60, 1000)
    assert (group.logEvents, group.sameAddress, group.filter) == (True, SameAddress.ALL, ())
    assert group.rtu == group.masters == LinkParameters()


def test_blanksAndCapitals() -> None:
    """Blanks around cells and the case of words mean nothing."""
    (group,) = parse(" 7 , A , 2404 , 1 ,,,,,,,,, n , OLD , rtu:1 ; rtu:2 , 10.0.0.1 ; \n").groups
    assert (group.id, group.name, group.logEvents) == (7, "A", False)
    assert (group.sameAddress, len(group.hosts), len(group.filter)) == (SameAddress.OLD, 2, 1)


@pytest.mark.parametrize(
    ("cells", "column", "reason"),
    [
        ({"id": "4294967296"}, "id", "not in 0-2147483647"),
        ({"id": "9" * 5000}, "id", "whole number"),
        ({"name": ""}, "sys name", "empty"),
        ({"name": "  "}, "sys name", "empty"),
        ({"port": ""}, "port no", "empty"),
        ({"port": "0"}, "port no", "not in 1-65535"),
        ({"port": "65536"}, "port no", "not in 1-65535"),
        ({"port": "24o4"}, "port no", "whole number"),
        ({"port": "2404.0"}, "port no", "whole number"),
        ({"port": "２４０４"}, "port no", "whole number"),
        ({"rtu": ""}, "rtu no", "empty"),
        ({"rtu": "0"}, "rtu no", "not in 1-65535"),
        ({"rtu": "65536"}, "rtu no", "not in 1-65535"),
        ({"rtu": "-1"}, "rtu no", "whole number"),
        ({"hosts": ""}, "hosts", "no host with a port"),
        ({"hosts": "10.0.0.1"}, "hosts", "no host with a port"),
        ({"filter": "10.1.1.7/24"}, "filter", "behind the prefix"),
        ({"filter": "10.1.1.1;oops"}, "filter", "no IPv4 or IPv6"),
        ({"filter": ";"}, "filter", "no address"),
    ],
)
def test_rejectedRows(cells: dict[str, str], column: str, reason: str) -> None:
    """A wrong cell in columns 1-4 and 15, or a wrong filter, rejects the row; others load."""
    file = parse("# comment\n" + row(**cells) + row(id="222", port="2405"))
    assert [group.id for group in file.groups] == [222]
    errors = [each for each in file.problems if each.severity is Severity.ERROR]
    assert [(each.line, each.column) for each in errors] == [(2, column)]
    assert reason in errors[0].reason and errors[0].value is not None


def test_everyReasonOfARow() -> None:
    """A row with several wrong cells is told all of them."""
    file = parse(row(name="", port="x", rtu="0", hosts="", filter="x", t1="y"))
    assert said(file)[:-1] == [
        ("sys name", ""),
        ("port no", "x"),
        ("rtu no", "0"),
        ("t1", "y"),
        ("filter", "x"),
        ("hosts", ""),
    ]


@pytest.mark.parametrize(
    ("cells", "field", "value"),
    [
        ({"max": "0"}, "maxMasters", 5),
        ({"max": "256"}, "maxMasters", 5),
        ({"max": "many"}, "maxMasters", 5),
        ({"idle": "4"}, "idleTime", 60),
        ({"idle": "172801"}, "idleTime", 60),
        ({"idle": "-5"}, "idleTime", 60),
        ({"buf": "0"}, "bufferSize", 1000),
        ({"buf": "1e3"}, "bufferSize", 1000),
        ({"log": "maybe"}, "logEvents", True),
        ({"same": "both"}, "sameAddress", SameAddress.ALL),
        ({"t1": "0"}, "rtu", LinkParameters()),
        ({"t1": "256"}, "rtu", LinkParameters()),
        ({"t2": "9.5"}, "rtu", LinkParameters()),
        ({"t3": "172801"}, "rtu", LinkParameters()),
        ({"w": "0"}, "rtu", LinkParameters()),
        ({"k": "32768"}, "rtu", LinkParameters()),
    ],
)
def test_defaultsForWrongCells(cells: dict[str, str], field: str, value: object) -> None:
    """A wrong cell in columns 5-14 is a warning that names the default in its place."""
    file = parse(row(**cells))
    assert getattr(file.groups[0], field) == value
    (problem,) = file.problems
    assert problem.severity is Severity.WARNING and problem.line == 1
    assert problem.value == next(iter(cells.values())) and "is used" in problem.reason


@pytest.mark.parametrize(
    ("cells", "link", "column", "used"),
    [
        ({"t2": "15"}, LinkParameters(t2=14), "t2", "14 is used"),
        ({"t1": "10"}, LinkParameters(t1=10, t2=9), "t2", "9 is used"),
        ({"t1": "2"}, LinkParameters(t1=2, t2=1), "t2", "1 is used"),
        ({"t1": "1"}, LinkParameters(t1=2, t2=1), "t1", "t1 2 and t2 1 are used"),
        ({"w": "13"}, LinkParameters(w=8), "w", "8 is used"),
        ({"k": "7"}, LinkParameters(k=7, w=4), "w", "4 is used"),
        ({"k": "1"}, LinkParameters(k=1, w=1), "w", "1 is used"),
        ({"w": "9"}, LinkParameters(w=9), "w", "2/3 of k"),
        ({"w": "12"}, LinkParameters(w=12), "w", "2/3 of k"),
    ],
)
def test_T11_rowsAreCorrected(
    cells: dict[str, str], link: LinkParameters, column: str, used: str
) -> None:
    """t2 >= t1 becomes t1 - 1 and w > k becomes 2/3 k; the warning names the value used."""
    file = parse(row(**cells))
    assert file.groups[0].rtu == file.groups[0].masters == link
    (problem,) = file.problems
    assert (problem.severity, problem.column) == (Severity.WARNING, column)
    assert used in problem.reason


@pytest.mark.parametrize(
    ("cells", "size", "warned"),
    [
        ({"buf": "12"}, 12, False),
        ({"buf": "11"}, 1000, True),
        ({"k": "2000", "w": "1000"}, 2000, True),
        ({"k": "2000", "w": "1000", "buf": "5"}, 2000, True),
        ({"k": "2000", "w": "1000", "buf": "2000"}, 2000, False),
    ],
)
def test_bufferHoldsAWindow(cells: dict[str, str], size: int, warned: bool) -> None:
    """bufsize is at least k."""
    file = parse(row(**cells))
    assert file.groups[0].bufferSize == size
    assert [column for column, _ in said(file)] == ["bufsize"] * warned


@pytest.mark.parametrize(
    ("idle", "warned"), [("0", False), ("5", True), ("35", True), ("36", False)]
)
def test_idleTimeAndTestFrames(idle: str, warned: bool) -> None:
    """An idle time that does not exceed t3 + t1 is used, and warned of; 0 is off."""
    file = parse(row(idle=idle))
    assert file.groups[0].idleTime == int(idle)
    assert said(file) == [("idletime", idle)] * warned


@pytest.mark.parametrize(
    ("name", "used"),
    [
        ("A" * 16, "A" * 16),
        ("A" * 17, "A" * 16),
        ("Station seven (north)", "Station seven (n"),
        ("123456789012345 7", "123456789012345"),
        ('"A\nB"', "A B"),
        ("A\x07B", "A_B"),
        ("A\u202eB", "A_B"),
        ('"A ""B"" C"', 'A "B" C'),
    ],
)
def test_names(name: str, used: str) -> None:
    """16 printable characters of the name count; a changed name is a warning."""
    file = parse(row(name=name))
    assert file.groups[0].name == used
    assert bool(file.problems) == (name.strip('"').replace('""', '"') != used)


def test_hostsThatAreSkipped() -> None:
    """A wrong host is a warning as long as one is left."""
    file = parse(row(hosts="10.0.0.1;rtu:2404", filter="10.1.1.1"))
    assert file.groups[0].hosts == (Host("rtu", 2404),)
    assert said(file, Severity.WARNING) == [("hosts", "10.0.0.1")]


def test_filterInTheWrongCell() -> None:
    """Networks among the hosts of a row without a filter raise the question."""
    file = parse(row(hosts="rtu:2404;10.1.1.0/24"))
    assert said(file) == [("hosts", "10.1.1.0/24"), ("filter", None)]
    assert "everyone may connect" in file.problems[1].reason


def test_idUsedTwice() -> None:
    """The first row with an id counts, even one that does not load."""
    file = parse(row() + row(port="2405") + row(id="0111", port="2406"))
    assert [group.port for group in file.groups] == [2404]
    assert [(each.line, each.column) for each in file.problems] == [(2, "id"), (3, "id")]
    assert "first on line 1" in file.problems[0].reason
    assert parse(row(filter="x") + row()).groups == ()


def test_portTaken() -> None:
    """A port belongs to the first group that loads with it."""
    file = parse(row() + row(id="222") + row(id="333", port="2405", rtu="1"))
    assert [group.id for group in file.groups] == [111, 333]
    assert str(file.problems[0]) == (
        "g.csv:2: error: port no '2404': is taken by group 111 on line 1"
    )
    assert [group.id for group in parse(row(name="") + row(id="222")).groups] == [222]


def test_generalRows() -> None:
    """A general row counts for the group rows after it; a cell of the row comes first."""
    file = parse(
        row()
        + "K,24\nw,16\nt1,30\nt2,20\nt3,40\nidletime,0\nbufsize,50\nnogui\n"
        + row(id="222", port="2405")
        + row(id="333", port="2406", k="9", w="3")
        + "t1,15\nt2,10,,,\n"
        + row(id="444", port="2407")
    )
    assert file.problems == () and file.nogui
    assert [group.rtu for group in file.groups] == [
        LinkParameters(),
        LinkParameters(k=24, w=16, t1=30, t2=20, t3=40),
        LinkParameters(k=9, w=3, t1=30, t2=20, t3=40),
        LinkParameters(k=24, w=16, t1=15, t2=10, t3=40),
    ]
    assert [(group.idleTime, group.bufferSize) for group in file.groups[1:]] == [(0, 50)] * 3


def test_generalRowsInContradiction() -> None:
    """Defaults that contradict each other are put right row by row."""
    file = parse("t1,5\nbufsize,3\n" + row())
    assert (file.groups[0].rtu.t2, file.groups[0].bufferSize) == (4, 12)
    assert [problem.line for problem in file.problems] == [3, 3]


@pytest.mark.parametrize(
    ("line", "column", "value"),
    [
        ("t1,x", "t1", "x"),
        ("t1", "t1", ""),
        ("k,0", "k", "0"),
        ("idletime,3", "idletime", "3"),
        ("ntp_update_every_sec,0", "ntp_update_every_sec", "0"),
        ("ntp_update_every_sec,soon", "ntp_update_every_sec", "soon"),
        ("ntp_server", "ntp_server", ""),
        ("ntp_server,a b", "ntp_server", "a b"),
        ("ntp_server,10.0.0.256", "ntp_server", "10.0.0.256"),
    ],
)
def test_wrongGeneralRows(line: str, column: str, value: str) -> None:
    """A wrong general row is a warning, and changes nothing."""
    file = parse(f"# c\n{line}\n{row()}")
    (problem,) = file.problems
    assert problem == Problem(Severity.WARNING, "g.csv", 2, column, value, problem.reason)
    assert (file.groups[0].rtu, file.ntpServers, file.ntpInterval) == (LinkParameters(), (), None)


def test_timeServers() -> None:
    """Names and addresses of both kinds, in order, each once."""
    file = parse("ntp_server,b\nntp_server,fd00::1\nNTP_SERVER,10.0.0.1\nntp_server,b\n" + row())
    assert (file.ntpServers, file.problems) == (("b", "fd00::1", "10.0.0.1"), ())


def test_quotesInAGeneralRow() -> None:
    """A general row with broken quotation marks is not guessed at."""
    file = parse('ntp_server,"pool\n' + row())
    assert (file.ntpServers, said(file)) == ((), [("ntp_server", None)])


def test_brokenQuotesNeverWiden() -> None:
    """A quotation mark that swallows the filter rejects the row."""
    text = '111,A,2404,1,,,,,,,,,,,"rtu:2404;,"10.1.1.0/24\n' + row(id="222", port="2405")
    file = parse(text)
    assert [group.id for group in file.groups] == [222]
    assert "quotation mark" in file.problems[0].reason and file.problems[0].line == 1


def test_linesAfterQuotedCells() -> None:
    """A problem names the physical line of its row, however the rows before it are broken."""
    file = parse('"# two\nlines"\n' + row(name='"A\nB"') + row(id="222", port="x"))
    assert [(each.line, each.column) for each in file.problems] == [(3, "sys name"), (5, "port no")]


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ("-111,A,2404,1,,,,,,,,,,,rtu:1", "no whole number"),
        ("111.5,A,2404,1,,,,,,,,,,,rtu:1", "no whole number"),
        ("333;A;2404;1;;;;;;;;;;;rtu:1", "separated by ','"),
        ('"333,A,2404,1,,,,,,,,,,,rtu:1"', "no whole number"),
        ('"x\n333,A,2404,1\n"', "inside a quoted cell"),
    ],
)
def test_commentsThatLookLikeGroups(line: str, hint: str) -> None:
    """A row that was probably meant as a group is a comment, but not a silent one."""
    file = parse(f"{line}\n{row(id='5', port='5')}{row(id='6', port='6')}")
    assert [group.id for group in file.groups] == [5, 6]
    (problem,) = file.problems
    assert problem.severity is Severity.WARNING and hint in problem.reason


@pytest.mark.parametrize("line", ["2 groups follow", "# 111,A,2404,1", "x", ",,,,", "1st row"])
def test_comments(line: str) -> None:
    """Any other row is a comment, and nothing is said of it."""
    assert parse(f"{line}\n{row()}").problems == ()


@pytest.mark.parametrize("mark", ["!", "!,x", "! the end", '"!"', "!111,A", " !"])
def test_endOfFile(mark: str) -> None:
    """Nothing after a row that begins with ! counts, general rows and headers included."""
    file = parse(f"{row()}{mark}\nnogui\nntp_server,a\nid,{',' * 15}nonsense\n{row(id='x')}222,B\n")
    assert [group.id for group in file.groups] == [111]
    assert (file.nogui, file.ntpServers, file.problems) == (False, (), ())
    assert [str(each) for each in file.afterEnd] == ["line 7: group 222 'B'"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "the file holds no group row"),
        ("# nothing\n", "the file holds no group row"),
        (row(name=""), "1 group row is wrong"),
        (row(name="") * 2 + "!\n" + row(), "2 group rows are wrong and 1 group row stands after"),
    ],
)
def test_noGroup(text: str, reason: str) -> None:
    """A file without a loadable group is an error, said in one line."""
    problem = parse(text).problems[-1]
    assert (problem.severity, problem.line) == (Severity.ERROR, None)
    assert "no group can be loaded" in str(problem) and reason in str(problem)


def test_missingFile(tmp_path: Path) -> None:
    """A file that is not there, or is a directory, is one clear line."""
    for path in (tmp_path / "none.csv", tmp_path):
        (problem,) = readGroups(path).problems
        assert str(problem).startswith(f"{path}: error: cannot be read: ")
    assert "cannot be read" in str(readGroups("a\0b").problems[0])


def test_readGroups(tmp_path: Path) -> None:
    """A relative path counts from ``base``, and is reported as it was given."""
    (tmp_path / "g.csv").write_text(row(name="") + row(id="222"), "utf-8")
    file = readGroups("g.csv", tmp_path)
    assert [group.id for group in file.groups] == [222]
    assert str(file.problems[0]).startswith("g.csv:1: error: sys name '': ")


def test_tooLargeFile() -> None:
    """The file's size is bounded."""
    assert "larger than" in str(parseGroups(b" " * (MAX_FILE + 1), "g.csv").problems[0])


def test_otherFiles() -> None:
    """A spreadsheet or UTF-16 file is named as such, in one line."""
    (problem,) = parseGroups(b"PK\x03\x04", "g.csv").problems
    assert str(problem) == (
        "g.csv: error: the file is a spreadsheet or an archive; save the sheet as CSV"
    )


def test_strayOctets() -> None:
    """Octets that are no text are told once, with the first line that has them."""
    file = parseGroups(b"# a\n# \x81\n# \x81\n" + row(name="A\x00B").encode(), "g.csv")
    assert [(each.line, each.column) for each in file.problems] == [(2, "")]
    assert file.groups[0].name == "A\ufffdB"


def test_thousandsOfRows() -> None:
    """Five thousand rows load in seconds, right and wrong ones, in order."""
    rows = (
        row(id=str(n), port=str(n + 1), filter="oops" if n % 10 == 0 else '"10.1.1.0/24;fd00::/8"')
        for n in range(5000)
    )
    data = (HEADER + "".join(rows)).encode()
    started = time.perf_counter()
    file = parseGroups(data, "g.csv")
    assert time.perf_counter() - started < 10
    assert len(file.groups) == 4500 and len(file.problems) == len(file.rejected) == 500
    assert file.lines[:2] == (3, 4)


def test_unclosedQuotesAreCheap() -> None:
    """Reading time does not explode when every line opens a quotation mark."""
    started = time.perf_counter()
    file = parseGroups(b'111,"A""\n' * 20_000, "g.csv")
    assert time.perf_counter() - started < 20
    assert not file.groups


def test_messagesAreOneShortLine() -> None:
    """A value with line ends or of any length leaves a message one readable line."""
    text = str(Problem(Severity.ERROR, "g.csv", 3, "t1", "a\nb" + "c" * 1000, "is wrong"))
    assert text == "g.csv:3: error: t1 'a?b" + "c" * 54 + "...': is wrong"
    assert str(Problem(Severity.WARNING, "g.csv", None, "", None, "x")) == "g.csv: warning: x"
