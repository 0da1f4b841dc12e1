"""From octets to rows: encodings, delimiters, quotes, and the line numbers that people see."""

from __future__ import annotations

import pytest

from mm2ss.config.rows import MAX_ROW_LINES, Row, readTable

HEADER = "id,sys name,port no,rtu no,max conn,idletime,t1,t2,t3,w,k,bufsize,logevents,same ip,hosts"
GROUP = '111,A,2404,1,,,,,,,,,,,"10.0.0.1:2404;10.0.0.2:2404","10.1.1.1;10.1.1.0/24"'
#: The same as hand-made files have it: lists of addresses without quotes.
BARE = "111,A,2404,1,,,,,,,,,,,10.0.0.1:2404;10.0.0.2:2404;10.0.0.3:2404,10.1.1.1;10.1.1.0/24"


def rowsOf(text: str) -> tuple[Row, ...]:
    return readTable(text.encode()).rows


@pytest.mark.parametrize("lineEnd", ["\n", "\r\n", "\r"])
def test_lineEnds(lineEnd: str) -> None:
    """LF, CRLF and a lone CR each end a line and count as one."""
    rows = rowsOf(lineEnd.join(["# a", "", "111,A", "222,B", ""]))
    assert [(row.line, row.cells) for row in rows] == [
        (1, ("# a",)),
        (3, ("111", "A")),
        (4, ("222", "B")),
    ]


@pytest.mark.parametrize("mark", ["\x0b", "\x0c", "\x1c", "\x85", "\u2028"])
def test_onlyLineEndsEndLines(mark: str) -> None:
    """What Python's splitlines takes for line ends does not move the line numbers."""
    rows = rowsOf(f"# a{mark}b\n111,A\n")
    assert rows[1].line == 2


@pytest.mark.parametrize(
    ("data", "encoding", "name"),
    [
        ("111,Zürich\n".encode(), "UTF-8", "Zürich"),
        ("\ufeff111,Zürich\n".encode(), "UTF-8", "Zürich"),
        ("111,Zürich €\n".encode("cp1252"), "Windows-1252", "Zürich €"),
        (b"\xef\xbb\xbf111,Z\xfcrich\n", "Windows-1252", "Zürich"),
        (b"111,\x81\x8d\x8f\x90\x9d\n", "Windows-1252", "\ufffd" * 5),
        (b"111,A\x00B\n", "UTF-8", "A\ufffdB"),
    ],
)
def test_encodings(data: bytes, encoding: str, name: str) -> None:
    """UTF-8 with or without BOM, else the Windows code page, in which no octet is fatal."""
    table = readTable(data)
    assert (table.encoding, table.rows[0].cells) == (encoding, ("111", name))
    assert table.strayLine == (1 if "\ufffd" in name else None)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ("111,A\n".encode("utf-16"), "UTF-16"),
        (b"PK\x03\x04 and so on", "spreadsheet"),
        (b"\xd0\xcf\x11\xe0 and so on", "spreadsheet"),
    ],
)
def test_otherKindsOfFiles(data: bytes, reason: str) -> None:
    """A file that is plainly something else is named as such."""
    with pytest.raises(ValueError, match=reason):
        readTable(data)


@pytest.mark.parametrize(
    ("text", "delimiter"),
    [
        (f"{HEADER}\n{GROUP}\n", ","),
        (f"{HEADER}\n{BARE}\n", ","),
        (f"{BARE}\n", ","),
        (f"{HEADER}\n{GROUP}\n".replace(",", ";").replace("1:2404;", "1:2404,"), ";"),
        (f"{GROUP}\n".replace(",", ";"), ";"),
        (f"{HEADER}\n{BARE}\n".replace(",", "\t"), "\t"),
        # Comments full of another mark weigh nothing.
        ("# a;b;c;d\n" * 50 + f"{BARE}\n", ","),
        ("# a,b,c,d\n" * 50 + f"{GROUP}\n".replace(",", ";"), ";"),
        # Commas inside quoted names, and a header in the other style.
        (f"{HEADER}\n" + '111;"A, B, C";2404;1\n222;"D, E";2405;2\n', ";"),
        ("id;what the columns mean;see;below\n" + f"{BARE}\n" * 2, ","),
        # Numbers with a decimal comma do not make a comma file.
        ("1;2,5;3,5;4,5\n111;A;2404;1\n", ";"),
        ("ntp_server;10.0.0.1\n", ";"),
        ("ntp_server,a.example;b.example\n", ","),
        ("t1\t15\n", "\t"),
        # Only what stands before the ! row decides, if there is anything.
        ("111;A;2404;1\n!\n" + "222,B,2405,2\n" * 9, ";"),
        ("!\n" + "222;B;2405;2\n" * 9, ";"),
        ("", ","),
        ("nothing\n", ","),
    ],
)
def test_delimiter(text: str, delimiter: str) -> None:
    """The delimiter is the one by which most rows look like what they should be."""
    assert readTable(text.encode()).delimiter == delimiter


def test_quotedCellsOverSeveralLines() -> None:
    """A row is named by the line on which it begins, and the lines inside its cells count."""
    rows = rowsOf('# "x\n111,"A\r\nB",2404\n222,C\n')
    assert [(row.line, row.lines, row.cells) for row in rows] == [
        (1, 1, ('# "x',)),
        (2, 2, ("111", "A\nB", "2404")),
        (4, 1, ("222", "C")),
    ]


@pytest.mark.parametrize(
    "line",
    ['111,"A,2404', '111,"A"B,2404', '111,"A,2404,"x', '"111,A,2404'],
)
def test_brokenQuotes(line: str) -> None:
    """A quotation mark that is not closed spoils its own line and no other one."""
    rows = rowsOf(f'{line}\n222,"C",2405\n333,D\n')
    assert rows[0].fault and rows[0].line == 1 and rows[0].first.strip('"').startswith("111")
    assert [(row.line, row.first, row.fault) for row in rows[1:]] == [
        (2, "222", ""),
        (3, "333", ""),
    ]


def test_quotesThatSwallowRows() -> None:
    """Two stray marks in two rows do not make one row of them."""
    rows = rowsOf('111,"A,2404\n222,"B,2405\n333,C,2406\n')
    assert [(row.line, row.first, bool(row.fault)) for row in rows] == [
        (1, "111", True),
        (2, "222", True),
        (3, "333", False),
    ]


def test_longQuotedCell() -> None:
    """A cell over very many lines is an unclosed quotation mark."""
    inside = "\n" * MAX_ROW_LINES
    rows = rowsOf(f'111,"A{inside}",2404\n222,B\n')
    assert rows[0].fault and rows[-1].first == "222"


def test_hugeCell() -> None:
    """A cell beyond the csv module's limit spoils its row only."""
    rows = rowsOf(f"111,{'A' * 200_000},2404\n222,B\n")
    assert "longer than" in rows[0].fault and (rows[1].line, rows[1].fault) == (2, "")
