"""The octets of a CSV file -> rows of cells with their physical line numbers.

The delimiter is found from the file as a whole, because hosts and filters hold ``;`` themselves.
A cell whose quotation marks are wrong never swallows the rows after it: the line it begins on is
marked as faulty, and reading goes on with the next line.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

DELIMITERS = (",", ";", "\t")

#: Most physical lines of one row. Cells are short; a quotation mark that is still open after so
#: many lines was never meant to be one.
MAX_ROW_LINES = 50

#: General rows whose second cell is a number.
NUMBERED = ("w", "k", "t1", "t2", "t3", "idletime", "bufsize", "ntp_update_every_sec")

_WHOLE = re.compile(r"[0-9]+")


@dataclass(frozen=True, slots=True)
class Row:
    """One row.

    :ivar line: the physical line on which it begins, counted from 1.
    :ivar cells: its cells without surrounding blanks.
    :ivar lines: how many physical lines it takes.
    :ivar fault: why its cells cannot be trusted; empty when they can.
    """

    line: int
    cells: tuple[str, ...]
    lines: int = 1
    fault: str = ""

    @property
    def first(self) -> str:
        """The first cell, which says what kind of row it is."""
        return self.cells[0] if self.cells else ""

    @property
    def isGroup(self) -> bool:
        """Whether the first cell is a whole number."""
        return _WHOLE.fullmatch(self.first) is not None

    @property
    def isEnd(self) -> bool:
        """Whether this row ends the file."""
        return self.first.startswith("!")

    @property
    def isHeader(self) -> bool:
        """Whether this row names the columns."""
        return self.first.lower() == "id"

    def cell(self, index: int) -> str:
        """The cell at ``index``; a missing one is empty."""
        return self.cells[index] if index < len(self.cells) else ""


@dataclass(frozen=True)
class Table:
    """All rows of a file.

    :ivar encoding: ``UTF-8`` or ``Windows-1252``.
    :ivar delimiter: ``,``, ``;`` or a tab.
    :ivar strayLine: first line with octets that are no text in ``encoding``, or with NUL; or None.
    """

    rows: tuple[Row, ...]
    encoding: str
    delimiter: str
    strayLine: int | None


def readTable(data: bytes) -> Table:
    """Read the octets of a CSV file.

    :raises ValueError: with the reason, when they are a known kind of file that is no CSV.
    """
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise ValueError("the file is UTF-16 text; save it as CSV in UTF-8")
    if data.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):
        raise ValueError("the file is a spreadsheet or an archive; save the sheet as CSV")
    text, encoding = decode(data)
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    stray = next((n for n, line in enumerate(lines, 1) if "\ufffd" in line), None)
    tables = {delimiter: tuple(splitRows(lines, delimiter)) for delimiter in DELIMITERS}
    best = max(DELIMITERS, key=lambda delimiter: _likelihood(tables[delimiter]))
    return Table(tables[best], encoding, best, stray)


def decode(data: bytes) -> tuple[str, str]:
    """The text of ``data`` and the name of its encoding: UTF-8, else the Windows code page.

    What is no text (octets that code page 1252 leaves undefined, NUL) becomes U+FFFD.
    """
    data = data.removeprefix(b"\xef\xbb\xbf")
    try:
        text, encoding = data.decode("utf-8"), "UTF-8"
    except UnicodeDecodeError:
        text, encoding = data.decode("cp1252", errors="replace"), "Windows-1252"
    return text.replace("\0", "\ufffd"), encoding


def splitRows(lines: Sequence[str], delimiter: str) -> Iterator[Row]:
    """The rows of ``lines`` (without line ends); blank lines give none."""
    at = 0
    while at < len(lines):
        if not lines[at]:
            at += 1
            continue
        row = _splitRow(lines, at, delimiter)
        if any(row.cells):
            yield row
        at += row.lines


def _splitRow(lines: Sequence[str], at: int, delimiter: str) -> Row:
    """The row that begins at ``lines[at]``."""
    span = MAX_ROW_LINES if '"' in lines[at] else 1
    source = [f"{line}\n" for line in lines[at : at + span]]
    reader = csv.reader(source, delimiter=delimiter, strict=True)
    try:
        cells = next(reader)
    except csv.Error as error:
        # This line only, cut without regard to quotes: enough to tell what kind of row it is.
        rough = tuple(part.strip(' \t"') for part in lines[at][:1000].split(delimiter))
        return Row(at + 1, rough, fault=_faultOf(error))
    return Row(at + 1, tuple(map(str.strip, cells)), lines=reader.line_num)


def _faultOf(error: csv.Error) -> str:
    if "limit" in str(error):
        return f"a cell is longer than {csv.field_size_limit()} characters"
    return 'a quotation mark (") is opened and not properly closed'


def _likelihood(rows: Sequence[Row]) -> tuple[int, int]:
    """How much ``rows`` look like such a file: before the ``!`` row, and after it."""
    before = after = 0
    ended = False
    for row in rows:
        ended = ended or row.isEnd
        if ended:
            after += _weight(row)
        else:
            before += _weight(row)
    return before, after


def _weight(row: Row) -> int:
    """How sure this row makes us of the delimiter that it was split by."""
    if row.isGroup and len(row.cells) >= 4:
        return 3 if _WHOLE.fullmatch(row.cell(2)) and _WHOLE.fullmatch(row.cell(3)) else 1
    if row.isHeader and len(row.cells) >= 4:
        return 2
    if row.first.lower() in NUMBERED:
        return 1 if _WHOLE.fullmatch(row.cell(1)) else 0
    return 1 if row.first.lower() == "ntp_server" and row.cell(1) else 0
