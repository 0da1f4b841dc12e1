"""The CSV file of groups -> frozen groups, general settings, and every problem with its place.

Group rows and general rows are taken in file order; a general row sets the default for the group
rows after it. Wrong rows are left out and reported, the others load.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from mm2ss.config.addresses import parseHost
from mm2ss.config.cells import COLUMNS, SPANS, Cells, Span
from mm2ss.config.group_row import DEFAULTS, readGroup
from mm2ss.config.model import GroupConfig, Network
from mm2ss.config.named_columns import NamedColumns
from mm2ss.config.problems import Problem, Severity, counted, quoted
from mm2ss.config.rows import DELIMITERS, Row, Table, readTable

#: Largest file, in octets: some 20 000 groups with long host lists. A larger one is a mistake.
MAX_FILE = 8 * 1024 * 1024

#: Seconds between two time updates; the file may say so even though one second is unwise.
NTP_INTERVAL = Span(1, 604800)

#: First cells of the general rows.
GENERAL = (*DEFAULTS, "nogui", "ntp_server", "ntp_update_every_sec")


@dataclass(frozen=True)
class SkippedRow:
    """A group row after the ``!`` row, which is not loaded."""

    line: int
    id: str
    name: str

    def __str__(self) -> str:
        return f"line {self.line}: group {quoted(self.id)[1:-1]} {quoted(self.name)}"


@dataclass(frozen=True)
class GroupsFile:
    """What a CSV file says.

    :ivar source: the file as the user named it.
    :ivar groups: the groups that load, in file order, with the options of the model's defaults.
    :ivar lines: for each of ``groups`` the line of its row.
    :ivar rejected: ids of the group rows that do not load, as they are written.
    :ivar nogui: whether the file asks for no console.
    :ivar ntpServers: time servers in the order in which they are tried.
    :ivar ntpInterval: seconds between two time updates; None when the file does not say.
    :ivar problems: everything that is wrong, in file order.
    :ivar endLine: line of the ``!`` row, or None.
    :ivar afterEnd: the group rows that stand after the ``!`` row.
    :ivar encoding: ``UTF-8``, ``Windows-1252``, or empty when the file could not be read.
    :ivar delimiter: the character between the cells.
    """

    source: str
    groups: tuple[GroupConfig, ...] = ()
    lines: tuple[int, ...] = ()
    rejected: tuple[str, ...] = ()
    nogui: bool = False
    ntpServers: tuple[str, ...] = ()
    ntpInterval: int | None = None
    problems: tuple[Problem, ...] = ()
    endLine: int | None = None
    afterEnd: tuple[SkippedRow, ...] = ()
    encoding: str = ""
    delimiter: str = ","


def readGroups(path: str | os.PathLike[str], base: str | os.PathLike[str] = "") -> GroupsFile:
    """Read the CSV file at ``path``; one that cannot be read is a problem, never an exception.

    :param base: directory from which a relative ``path`` counts, when not the current one.
    """
    source = os.fspath(path)
    try:
        with open(os.path.join(base, path), "rb") as file:
            data = file.read(MAX_FILE + 1)
    except (OSError, ValueError) as error:
        return _unreadable(source, f"cannot be read: {getattr(error, 'strerror', None) or error}")
    return parseGroups(data, source)


def parseGroups(data: bytes, source: str) -> GroupsFile:
    """Read the octets of a CSV file that the problems call ``source``; raises nothing."""
    if len(data) > MAX_FILE:
        return _unreadable(source, f"is larger than {MAX_FILE} octets")
    try:
        table = readTable(data)
    except ValueError as error:
        return _unreadable(source, str(error))
    return _Loader(source, table).load()


def _unreadable(source: str, reason: str) -> GroupsFile:
    return GroupsFile(source, problems=(Problem(Severity.ERROR, source, None, "", None, reason),))


@dataclass
class _Loader:
    """The state of one reading: what the rows so far have set, taken and complained about."""

    source: str
    table: Table
    defaults: dict[str, int] = field(default_factory=lambda: dict(DEFAULTS))
    groups: list[GroupConfig] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    rejected: list[str] = field(default_factory=list)
    ids: dict[int, int] = field(default_factory=dict)
    ports: dict[int, tuple[int, int]] = field(default_factory=dict)
    nogui: bool = False
    ntpServers: list[str] = field(default_factory=list)
    ntpInterval: int | None = None
    problems: list[Problem] = field(default_factory=list)
    columns: NamedColumns = field(init=False)

    def load(self) -> GroupsFile:
        """Go through the rows once."""
        rows = self.table.rows
        end = next((n for n, row in enumerate(rows) if row.isEnd), len(rows))
        if self.table.strayLine is not None:
            reason = f"holds characters that are no {self.table.encoding} text"
            self._warn(self.table.strayLine, "", None, reason)
        self.columns = NamedColumns(self.source, rows[:end])
        self.problems.extend(self.columns.problems)
        for row in rows[:end]:
            self._row(row)
        after = tuple(
            SkippedRow(row.line, row.first, row.cell(1)) for row in rows[end:] if row.isGroup
        )
        if not self.groups:
            self._error(None, "", None, self._whyNone(len(after)))
        return GroupsFile(
            self.source,
            tuple(self.groups),
            tuple(self.lines),
            tuple(self.rejected),
            self.nogui,
            tuple(self.ntpServers),
            self.ntpInterval,
            tuple(self.problems),
            rows[end].line if end < len(rows) else None,
            after,
            self.table.encoding,
            self.table.delimiter,
        )

    def _whyNone(self, after: int) -> str:
        wrong = len(self.rejected)
        reasons = [
            counted(wrong, "group row is wrong", "group rows are wrong") if wrong else "",
            counted(after, "group row stands", "group rows stand") + " after the ! row"
            if after
            else "",
        ]
        reason = " and ".join(filter(None, reasons))
        return f"no group can be loaded: {reason or 'the file holds no group row'}"

    def _warn(self, line: int | None, column: str, value: str | None, reason: str) -> None:
        self.problems.append(Problem(Severity.WARNING, self.source, line, column, value, reason))

    def _error(self, line: int | None, column: str, value: str | None, reason: str) -> None:
        self.problems.append(Problem(Severity.ERROR, self.source, line, column, value, reason))

    def _row(self, row: Row) -> None:
        """A group row, a general row, the header row or a comment."""
        key = row.first.lower()
        if row.isGroup:
            self._group(row)
        elif row.fault and (key in GENERAL or row.isHeader):
            self._error(row.line, row.first, None, row.fault)
        elif key in self.defaults:
            self._default(row, key)
        elif key == "nogui":
            self.nogui = True
        elif key == "ntp_server":
            self._ntpServer(row)
        elif key == "ntp_update_every_sec":
            self._ntpInterval(row)
        else:
            self._comment(row)

    def _group(self, row: Row) -> None:
        cells = Cells(self.source, row)
        group = readGroup(cells, self.defaults)
        named = self.columns.read(cells)
        _checkKeepers(cells, group, named.keepers)
        self._checkUnique(cells, group)
        self.problems.extend(cells.problems)
        if group is None or cells.rejected:
            self.rejected.append(row.first)
            return
        self.ports[group.port] = (group.id, row.line)
        self.groups.append(replace(group, **vars(named)))
        self.lines.append(row.line)

    def _checkUnique(self, cells: Cells, group: GroupConfig | None) -> None:
        """Ids count as used in rejected rows too: which of two rows is meant cannot be known."""
        row = cells.row
        number = int(row.first) if len(row.first) <= 10 else None
        if number in self.ids:
            cells.error("id", row.first, f"is used twice, first on line {self.ids[number]}")
        elif number is not None:
            self.ids[number] = row.line
        if group is not None and group.port in self.ports:
            other, line = self.ports[group.port]
            reason = f"is taken by group {other} on line {line}"
            cells.error("port no", cells.text("port no"), reason)

    def _default(self, row: Row, key: str) -> None:
        text = row.cell(1)
        try:
            self.defaults[key] = SPANS[key].parse(text)
        except ValueError as error:
            self._warn(row.line, key, text, f"{error}; {self.defaults[key]} stays the default")

    def _ntpServer(self, row: Row) -> None:
        server = row.cell(1)
        if server in self.ntpServers:
            return
        try:
            # The port only makes it a host; time servers are asked on their own port.
            parseHost(f"[{server}]:123" if ":" in server else f"{server}:123")
        except ValueError as error:
            self._warn(row.line, "ntp_server", server, f"{error}; not used")
        else:
            self.ntpServers.append(server)

    def _ntpInterval(self, row: Row) -> None:
        text = row.cell(1)
        try:
            self.ntpInterval = NTP_INTERVAL.parse(text)
        except ValueError as error:
            self._warn(row.line, "ntp_update_every_sec", text, f"{error}; not used")

    def _comment(self, row: Row) -> None:
        """Say so where a comment was probably meant to be read."""
        if row.isHeader:
            return
        for line, text in enumerate(_linesOf(row), row.line):
            if _looksLikeGroup(text, row):
                reason = "begins with a number, but is taken as a comment: " + (
                    "it stands inside a quoted cell"
                    if line > row.line
                    else f"the first cell is no whole number (cells are separated by "
                    f"{_named(self.table.delimiter)} in this file)"
                )
                self._warn(line, COLUMNS[0], text, reason)


def _checkKeepers(cells: Cells, group: GroupConfig | None, keepers: Sequence[Network]) -> None:
    """Say so where nobody can be a keeper."""
    if group is None or not (keepers and group.filter):
        return
    if not any(_overlap(keeper, admitted) for keeper in keepers for admitted in group.filter):
        reason = "the filter admits none of them, so no master's acknowledgement will count"
        cells.warn("keepers", ";".join(map(str, keepers)), reason)


def _overlap(one: Network, other: Network) -> bool:
    return one.version == other.version and one.overlaps(other)


def _linesOf(row: Row) -> Iterator[str]:
    """The first cell, and the beginnings of the lines that it and others hold."""
    yield row.first
    if row.lines > 1:
        for cell in row.cells:
            yield from cell.split("\n")[1:]


def _looksLikeGroup(text: str, row: Row) -> bool:
    digits = text.lstrip("+-")
    if not digits[:1].isdigit():
        return False
    return any(mark in text for mark in DELIMITERS) or sum(map(bool, row.cells)) >= 4


def _named(delimiter: str) -> str:
    return "a tab" if delimiter == "\t" else f"'{delimiter}'"
