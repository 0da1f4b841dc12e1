"""Whatever the octets are: nothing is raised, and what loads is within its ranges."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from mm2ss.config.addresses import parseFilter
from mm2ss.config.check import exitStatus, report
from mm2ss.config.groups_csv import GroupsFile, parseGroups
from mm2ss.config.load import configure
from mm2ss.config.problems import Severity
from mm2ss.config.service_file import noServiceFile, parseServiceFile

CELLS = st.one_of(
    st.integers(-3, 70000).map(str),
    st.sampled_from(
        ["", "Y", "N", "all", "old", "new", "!", "id", "nogui", "t1", "k", "ntp_server", '"', "x"]
    ),
    st.sampled_from(
        ["rtu:2404", "10.0.0.1:2404;x", "[::1]:1", "10.1.1.0/24", "10.1.1.1;fd00::/8", "10.1.1.1/8"]
    ),
    st.text(max_size=8),
)
#: Rows that are often right, so that groups do load.
ROWS = st.one_of(
    st.lists(CELLS, max_size=20),
    st.tuples(
        st.integers(0, 9).map(str),
        st.text(min_size=1, max_size=20),
        st.integers(0, 9).map(str),
        st.integers(0, 9).map(str),
        *[st.integers(-1, 300).map(str) | st.just("")] * 8,
        st.sampled_from(["Y", "N", "", "?"]),
        st.sampled_from(["all", "old", "new", ""]),
        st.sampled_from(["rtu:1", "rtu:1;x", "[::1]:5", ""]),
        CELLS,
    ).map(list),
)


def asFile(rows: list[list[str]], delimiter: str, lineEnd: str, encoding: str) -> bytes:
    text = lineEnd.join(delimiter.join(row) for row in rows)
    return text.encode(encoding, errors="replace")


def checkGroups(file: GroupsFile) -> None:
    """Every group is in range, every id and port is used once, every line exists."""
    assert len({group.id for group in file.groups}) == len(file.groups) == len(file.lines)
    assert len({group.port for group in file.groups}) == len(file.groups)
    assert file.groups or any(each.severity is Severity.ERROR for each in file.problems)
    for group in file.groups:
        assert group.id >= 0 and 1 <= len(group.name) <= 16 and group.name.isprintable()
        assert 1 <= group.port <= 65535 and 1 <= group.commonAddress <= 65535
        assert 1 <= group.maxMasters <= 255
        assert group.idleTime == 0 or 5 <= group.idleTime <= 172800
        assert group.bufferSize >= group.masters.k == group.rtu.k
        assert group.hosts and all(1 <= host.port <= 65535 for host in group.hosts)
    for problem in file.problems:
        assert "\n" not in str(problem) and problem.reason


@given(st.binary(max_size=300))
@example(b'"')
@example(b"\x00")
@example(b"\xef\xbb\xbf")
def test_randomOctets(data: bytes) -> None:
    """Neither file's reader raises on anything."""
    file = parseGroups(data, "g.csv")
    checkGroups(file)
    configuration = configure(file, parseServiceFile(data, "s.yaml", "/base"))
    assert report(configuration).endswith("\n") and exitStatus(configuration) == 1


@given(
    st.lists(ROWS, max_size=8),
    st.sampled_from(",;\t"),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.sampled_from(["utf-8", "utf-8-sig", "cp1252"]),
)
def test_randomRows(rows: list[list[str]], delimiter: str, lineEnd: str, encoding: str) -> None:
    """Groups come out valid, however their rows are broken."""
    file = parseGroups(asFile(rows, delimiter, lineEnd, encoding), "g.csv")
    checkGroups(file)
    assert report(configure(file, noServiceFile("/base")))


@given(CELLS, st.sampled_from(",;\t"))
def test_filterIsKept(cell: str, delimiter: str) -> None:
    """A group that loads admits everyone only if its filter is blank, and else what is written."""
    quoted = '"' + cell.replace('"', '""') + '"'
    row = delimiter.join(["7", "A", "2404", "1", *[""] * 10, "rtu:1", quoted])
    for group in parseGroups(row.encode(errors="replace"), "g.csv").groups:
        networks, wrong = parseFilter(cell)
        assert group.filter == networks and not wrong
        assert bool(group.filter) == bool(cell.strip())


@given(
    CELLS | st.sampled_from(["none", "None ", "none;", ";", "10.1.1.1; ", "contrl"]),
    CELLS | st.sampled_from(["45;46", "256", ";", "45;", "none"]),
    CELLS | st.sampled_from(["none", ";", "10.1.1.1; "]),
    st.sampled_from(",;\t"),
)
def test_rightsAreKept(control: str, types: str, keepers: str, delimiter: str) -> None:
    """In a group that loads everyone may command, or settle, only if the cell is blank."""
    head = delimiter.join(["id", *["x"] * 15, "control", "deny types", "keepers", "retain"])
    cells = ['"' + cell.replace('"', '""') + '"' for cell in (control, types, keepers, types)]
    row = delimiter.join(["7", "A", "2404", "1", *[""] * 10, "rtu:1", "", *cells])
    for group in parseGroups(f"{head}\n{row}".encode(errors="replace"), "g.csv").groups:
        assert (group.control is None) == (not control.strip())
        assert bool(group.denyTypes) == bool(types.strip())
        assert bool(group.keepers) == bool(keepers.strip())
        assert 0 <= group.retain <= 604800


YAML = st.recursive(
    st.sampled_from(
        ["1", "0", "true", "no", "''", "~", "slot", "10.0.0.1", "-", "<<", "*a", "&a x"]
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda items: "[" + ", ".join(items) + "]"),
        st.dictionaries(
            st.sampled_from(
                [
                    "defaults",
                    "groups",
                    "hold_max",
                    "frames",
                    "log",
                    "rtu",
                    "k",
                    "w",
                    "t1",
                    "t2",
                    "1",
                    "x",
                    "keep",
                    "listen",
                ]
            ),
            inner,
            max_size=4,
        ).map(lambda items: "{" + ", ".join(f"{k}: {v}" for k, v in items.items()) + "}"),
    ),
    max_leaves=12,
)


@given(YAML | st.text(max_size=60))
def test_randomYaml(text: str) -> None:
    """Any YAML, and any text, is settings or problems."""
    rows = b"1,A,2404,1,,,,,,,,,,,rtu:1,\n2,B,2405,1,,,9,,,,,,,,rtu:1,\n"
    service = parseServiceFile(text.encode(errors="replace"), "s.yaml", "/base")
    configuration = configure(parseGroups(rows, "g.csv"), service)
    for problem in configuration.problems:
        assert "\n" not in str(problem) and problem.reason
    for group in configuration.groups:
        assert group.bufferSize >= group.masters.k
    assert report(configuration)
