"""The columns after the first 16, which the header row names.

They belong to features of later versions. A restriction that is written but not kept would give
more rights than the writer meant, so a row that uses one of the restricting columns is rejected.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from difflib import get_close_matches

from mm2ss.config.addresses import parseFilter
from mm2ss.config.cells import COLUMNS, Cells, Span
from mm2ss.config.problems import Problem, Severity
from mm2ss.config.rows import Row

TYPE_ID = Span(1, 255)
RETAIN = Span(0, 604800)

_LATER = "is not in this version; empty the cell to load the group without it"


def _wrongAddresses(text: str) -> tuple[tuple[str, str], ...]:
    return () if text.lower() == "none" else parseFilter(text)[1]


def _wrongTypes(text: str) -> tuple[tuple[str, str], ...]:
    wrong = []
    for entry in filter(None, map(str.strip, text.split(";"))):
        try:
            TYPE_ID.parse(entry)
        except ValueError as error:
            wrong.append((entry, f"{error}; type ids are needed here"))
    return tuple(wrong)


#: Columns that restrict: what finds the wrong entries of a cell.
RESTRICTIONS: dict[str, Callable[[str], tuple[tuple[str, str], ...]]] = {
    "control": _wrongAddresses,
    "deny types": _wrongTypes,
    "keepers": lambda text: parseFilter(text)[1],
}
KNOWN = (*RESTRICTIONS, "retain")


class NamedColumns:
    """Where the named columns stand.

    The first header row counts for the rows before it too; each further one from there on.
    """

    def __init__(self, source: str, rows: Sequence[Row]) -> None:
        self.problems: list[Problem] = []
        self._source = source
        self._headers = [(row.line, self._namesOf(row)) for row in rows if row.isHeader]
        self._seen: set[str] = set()
        for row in rows:
            if row.isHeader:
                self._checkHeader(row)

    @staticmethod
    def _namesOf(row: Row) -> dict[int, str]:
        first = len(COLUMNS)
        return {
            index: re.sub(r"[\s_-]+", " ", cell).lower()
            for index, cell in enumerate(row.cells)
            if index >= first and cell
        }

    def _checkHeader(self, row: Row) -> None:
        for index, cell in enumerate(row.cells[: len(COLUMNS)]):
            if cell.lower() in KNOWN:
                self._warn(
                    row.line,
                    cell,
                    f"stands in place {index + 1}, which is always read as '{COLUMNS[index]}'",
                )
        for name in self._namesOf(row).values():
            if name not in KNOWN and name not in self._seen:
                self._seen.add(name)
                near = get_close_matches(name, KNOWN, n=1)
                hint = f"; did you mean '{near[0]}'?" if near else ""
                self._warn(row.line, name, f"this column is not known and is ignored{hint}")

    def _warn(self, line: int, column: str, reason: str) -> None:
        self.problems.append(Problem(Severity.WARNING, self._source, line, column, None, reason))

    def check(self, cells: Cells) -> None:
        """Look at the cells of a group row after the first 16."""
        if cells.row.fault:
            return
        names = self._namesAt(cells.row.line)
        for index, text in enumerate(cells.row.cells[len(COLUMNS) :], len(COLUMNS)):
            if not text:
                continue
            if index not in names:
                reason = "the header row has no name for this column; the cell is ignored"
                cells.warn(f"column {index + 1}", text, reason)
            else:
                self._checkCell(cells, names[index], text)

    def _namesAt(self, line: int) -> dict[int, str]:
        before = [names for at, names in self._headers if at < line]
        if before:
            return before[-1]
        return self._headers[0][1] if self._headers else {}

    @staticmethod
    def _checkCell(cells: Cells, name: str, text: str) -> None:
        if name in RESTRICTIONS:
            for entry, reason in RESTRICTIONS[name](text):
                cells.error(name, entry, reason)
            cells.error(name, text, _LATER)
        elif name == "retain":
            try:
                if RETAIN.parse(text):
                    cells.warn(name, text, "is not in this version; ignored")
            except ValueError as error:
                cells.warn(name, text, f"{error}; ignored")
