"""The columns after the first 16, which the header row names.

Most of them restrict what masters may do, or whose acknowledgement counts. A restriction that is
written but not kept would give more rights than the writer meant, so whatever is doubtful in one
of those rejects the row.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from mm2ss.config.addresses import parseFilter
from mm2ss.config.cells import COLUMNS, Cells, Span
from mm2ss.config.model import Network
from mm2ss.config.problems import Problem, Severity
from mm2ss.config.rows import Row

TYPE_ID = Span(1, 255)
RETAIN = Span(0, 604800)

#: The word in ``control`` for nobody.
NOBODY = "none"

#: Columns that restrict.
RESTRICTING = ("control", "deny types", "keepers")
KNOWN = (*RESTRICTING, "retain")

#: How much an unknown name must resemble a restriction to be taken for its misspelling.
_MISSPELT = 0.8


@dataclass(frozen=True)
class NamedValues:
    """What the named columns of one row say; the fields are those of `GroupConfig`."""

    control: tuple[Network, ...] | None = None
    denyTypes: frozenset[int] = frozenset()
    keepers: tuple[Network, ...] = ()
    retain: int = 0


def parseControl(text: str) -> tuple[tuple[Network, ...] | None, tuple[tuple[str, str], ...]]:
    """The networks whose masters may command, and the wrong entries with their reasons.

    An empty ``text`` gives None, everyone; ``none`` gives no network, nobody.
    """
    if not text.strip():
        return None, ()
    return ((), ()) if text.strip().lower() == NOBODY else parseFilter(text)


#: One for all: an empty set takes 216 octets, and most groups have one.
_NO_TYPES: frozenset[int] = frozenset()


def parseTypes(text: str) -> tuple[frozenset[int], tuple[tuple[str, str], ...]]:
    """The type ids of a ``;``-separated list, and its wrong entries with their reasons."""
    types: set[int] = set()
    wrong: list[tuple[str, str]] = []
    for entry in filter(None, map(str.strip, text.split(";"))):
        try:
            types.add(TYPE_ID.parse(entry))
        except ValueError as error:
            wrong.append((entry, f"{error}; the numbers of types are needed here, such as 105"))
    if text.strip() and not types and not wrong:
        wrong.append((text.strip(), "holds no type id; only an empty cell denies nothing"))
    return frozenset(types) if types else _NO_TYPES, tuple(wrong)


class NamedColumns:
    """Where the named columns stand.

    The first header row counts for the rows before it too; each further one from there on.
    """

    def __init__(self, source: str, rows: Sequence[Row]) -> None:
        self.problems: list[Problem] = []
        self._source = source
        self._headers = [row for row in rows if row.isHeader]
        self._seen: set[str] = set()
        for row in self._headers:
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

    def read(self, cells: Cells) -> NamedValues:
        """What a group row says after its first 16 cells; whatever is wrong there is noted."""
        found: dict[str, str] = {}
        if cells.row.fault:
            return NamedValues()
        header = self._headerOf(cells.row)
        names = {} if header is None else self._namesOf(header)
        for index, text in enumerate(cells.row.cells[len(COLUMNS) :], len(COLUMNS)):
            name = names.get(index)
            if not text:
                continue
            if header is not None and header.fault:
                reason = f"the header row on line {header.line} cannot be read: no name is sure"
                cells.error(f"column {index + 1}", text, reason)
            elif name is None:
                reason = "the header row has no name for this column; the cell is ignored"
                cells.warn(f"column {index + 1}", text, reason)
            elif name in found:
                cells.error(name, text, "two columns have this name, and the row uses both")
            else:
                found[name] = text
                _checkName(cells, name, text)
        return _values(cells, found)

    def _headerOf(self, row: Row) -> Row | None:
        before = [header for header in self._headers if header.line < row.line]
        return before[-1] if before else next(iter(self._headers), None)


def _checkName(cells: Cells, name: str, text: str) -> None:
    """Complain about a cell whose column seems to be a misspelt restriction."""
    if name not in KNOWN:
        near = get_close_matches(name, RESTRICTING, n=1, cutoff=_MISSPELT)
        if near:
            cells.error(name, text, f"this column is not known; is '{near[0]}' meant?")


def _values(cells: Cells, found: dict[str, str]) -> NamedValues:
    """What the named cells of a row say; each wrong entry of a restriction rejects the row."""
    control, wrongControl = parseControl(found.get("control", ""))
    types, wrongTypes = parseTypes(found.get("deny types", ""))
    keepers, wrongKeepers = parseFilter(found.get("keepers", ""))
    wrong = {"control": wrongControl, "deny types": wrongTypes, "keepers": wrongKeepers}
    for name, entries in wrong.items():
        for entry, reason in entries:
            cells.error(name, entry, reason)
    return NamedValues(control, types, keepers, _retain(cells, found.get("retain", "")))


def _retain(cells: Cells, text: str) -> int:
    """Seconds for which a lost master's place is kept; a wrong cell gives nobody rights."""
    try:
        return RETAIN.parse(text) if text else 0
    except ValueError as error:
        cells.warn("retain", text, f"{error}; 0 is used: no place is kept")
        return 0
