"""What the shell prints: tables and lists of facts that fit the reader's window."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, fields, is_dataclass
from re import sub
from typing import Any

#: Columns of a window whose size nobody told.
USUAL_WIDTH = 80
#: Stands for "as wide as it likes": output that goes to a program, not to a window.
UNBOUNDED = 1_000_000
#: What stands between two columns.
GAP = "  "

_width: ContextVar[int] = ContextVar("width", default=USUAL_WIDTH)


@contextmanager
def window(width: int) -> Iterator[None]:
    """What is printed within this context fits into so many columns, as far as it can."""
    token = _width.set(width)
    try:
        yield
    finally:
        _width.reset(token)


class Said(str):
    """A text that prints itself without quotes."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


@dataclass(frozen=True)
class Column:
    """One column of a table.

    :ivar title: its heading.
    :ivar least: it may be cut down to this many characters; 0 = it is never cut.
    """

    title: str
    least: int = 0


class Table:
    """Rows under headings. Too wide for the window, it cuts texts, then leaves out columns.

    :param columns: from the most important to the first that may be left out.
    :param rows: values for all of them; numbers stand to the right.
    :param empty: what is printed when there is no row.
    """

    def __init__(
        self, columns: Sequence[Column], rows: Iterable[Sequence[object]], empty: str = "(none)"
    ) -> None:
        self.columns = tuple(columns)
        self.rows = [tuple(row) for row in rows]
        self._empty = empty

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[tuple[object, ...]]:
        return iter(self.rows)

    def __repr__(self) -> str:
        return self.render(_width.get())

    def render(self, width: int) -> str:
        """The table as lines of at most ``width`` characters, if that can be."""
        if not self.rows:
            return self._empty
        cells = [[shown(value) for value in row] for row in self.rows]
        widths, left = self._widths(cells, width)
        titles = [column.title for column in self.columns]
        rights = [
            isinstance(value, (int, float)) and not isinstance(value, bool)
            for value in self.rows[0]
        ]
        lines = [_line(row, widths, rights) for row in (titles, ["-" * each for each in widths])]
        lines += [_line(row, widths, rights) for row in cells]
        if left:
            lines.append(f"(no room for: {', '.join(left)})")
        return "\n".join(lines)

    def _widths(self, cells: list[list[str]], width: int) -> tuple[list[int], list[str]]:
        """How wide each column is that has room, and the titles of those that have none."""
        titles = [column.title for column in self.columns]
        widths = [max(map(len, each)) for each in zip(titles, *cells, strict=True)]
        for place, column in enumerate(self.columns):
            excess = _total(widths) - width
            if excess > 0 and column.least:
                least = max(column.least, len(column.title))
                widths[place] = max(min(widths[place], least), widths[place] - excess)
        while len(widths) > 1 and _total(widths) > width:
            widths.pop()
        return widths, titles[len(widths) :]


class Facts:
    """Names with their values, one a line, longer ones folded.

    :param facts: in the order in which they are printed.
    """

    def __init__(self, facts: Mapping[str, object]) -> None:
        self.facts = dict(facts)

    def __getitem__(self, name: str) -> object:
        return self.facts[name]

    def __repr__(self) -> str:
        return self.render(_width.get())

    def render(self, width: int) -> str:
        """One line for each fact, further ones for what is longer than the window."""
        if not self.facts:
            return "(nothing)"
        margin = max(map(len, self.facts)) + len(GAP)
        room = max(width - margin, 20)
        lines = []
        for name, value in self.facts.items():
            first, *more = textwrap.wrap(shown(value), room) or ["-"]
            lines.append(name.ljust(margin) + first)
            lines += [" " * margin + line for line in more]
        return "\n".join(lines)


def factsOf(figures: Any) -> dict[str, object]:
    """The fields of a frozen snapshot, by their names in words."""
    return {words(each.name): getattr(figures, each.name) for each in fields(figures)}


def words(name: str) -> str:
    """``heldBack`` -> ``held back``, ``rtuCloses`` -> ``RTU closes``."""
    text = sub("[A-Z]", lambda match: f" {match[0].lower()}", name)
    return sub(r"\brtu\b", "RTU", text)


def shown(value: object) -> str:
    """A value in one line, harmless for a terminal."""
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.3f}".rstrip("0").rstrip(".")
    if isinstance(value, Mapping):
        return "; ".join(f"{key}: {shown(each)}" for key, each in value.items()) or "-"
    if isinstance(value, (tuple, list, set, frozenset)):
        return ", ".join(map(shown, value)) or "-"
    if is_dataclass(value) and type(value).__str__ is object.__str__:
        return ", ".join(f"{name} {shown(each)}" for name, each in factsOf(value).items())
    return "".join(sign if sign.isprintable() else "?" for sign in str(value))


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + len(GAP) * (len(widths) - 1)


def _line(cells: Sequence[str], widths: Sequence[int], rights: Sequence[bool]) -> str:
    """Cells under each other, those cut that are too long; the others have no room."""
    placed = []
    for cell, width, right in zip(cells, widths, rights, strict=False):
        text = cell if len(cell) <= width else cell[: max(width - 1, 0)] + "…"
        placed.append(text.rjust(width) if right else text.ljust(width))
    return GAP.join(placed).rstrip()
