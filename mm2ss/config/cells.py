"""One group row's cells -> values, with a problem for each cell that is not as it must be."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import TypeVar

from mm2ss.config.problems import Problem, Severity, hasErrors
from mm2ss.config.rows import Row

#: The first 16 columns; their place counts, whatever the header row says.
COLUMNS = (
    "id",
    "sys name",
    "port no",
    "rtu no",
    "max conn",
    "idletime",
    "t1",
    "t2",
    "t3",
    "w",
    "k",
    "bufsize",
    "logevents",
    "same ip",
    "hosts",
    "filter",
)

_INDEX = {name: index for index, name in enumerate(COLUMNS)}
_NUMBER = re.compile(r"[0-9]{1,10}")

E = TypeVar("E", bound=Enum)


@dataclass(frozen=True)
class Span:
    """The whole numbers from ``low`` to ``high``, and ``zero`` if it means something."""

    low: int
    high: int
    zero: bool = False

    def parse(self, text: str) -> int:
        """The number that ``text`` is.

        :raises ValueError: with the reason, when it is none or not in this span.
        """
        if not _NUMBER.fullmatch(text):
            raise ValueError("is not a whole number")
        number = int(text)
        if not self.low <= number <= self.high and not (self.zero and number == 0):
            raise ValueError(f"is not in {self}")
        return number

    def __str__(self) -> str:
        return f"{self.low}-{self.high}" + (" (0 = off)" if self.zero else "")


#: Ranges of the numbers, in seconds for times.
SPANS: Mapping[str, Span] = {
    "id": Span(0, 2147483647),
    "port no": Span(1, 65535),
    "rtu no": Span(1, 65535),
    "max conn": Span(1, 255),
    "idletime": Span(5, 172800, zero=True),
    "t1": Span(1, 255),
    "t2": Span(1, 255),
    "t3": Span(1, 172800),
    "w": Span(1, 32767),
    "k": Span(1, 32767),
    "bufsize": Span(1, 2147483647),
}


class Cells:
    """The cells of one row by column name; collects what is wrong with them."""

    def __init__(self, source: str, row: Row) -> None:
        self.row = row
        self.problems: list[Problem] = []
        self._source = source

    @property
    def rejected(self) -> bool:
        """Whether the row must not be loaded."""
        return hasErrors(self.problems)

    def text(self, column: str) -> str:
        """The cell of ``column``; a missing one is empty."""
        return self.row.cell(_INDEX[column])

    def error(self, column: str, value: str | None, reason: str) -> None:
        """Reject the row."""
        self._note(Severity.ERROR, column, value, reason)

    def warn(self, column: str, value: str | None, reason: str) -> None:
        """Say what the row will not do as it is written."""
        self._note(Severity.WARNING, column, value, reason)

    def _note(self, severity: Severity, column: str, value: str | None, reason: str) -> None:
        self.problems.append(Problem(severity, self._source, self.row.line, column, value, reason))

    def required(self, column: str) -> int:
        """A number without which the row is rejected (0 is returned then)."""
        text = self.text(column)
        try:
            if not text:
                raise ValueError("is empty; a number is needed here")
            return SPANS[column].parse(text)
        except ValueError as error:
            self.error(column, text, str(error))
            return 0

    def optional(self, column: str, default: int) -> int:
        """A number with a default: for an empty cell, and with a warning for a wrong one."""
        text = self.text(column)
        if not text:
            return default
        try:
            return SPANS[column].parse(text)
        except ValueError as error:
            self.warn(column, text, f"{error}; {default} is used")
            return default

    def choice(self, column: str, values: Mapping[str, E], default: E) -> E:
        """One of some words, in capitals or not; with a default like a number's."""
        text = self.text(column)
        if not text:
            return default
        if text.lower() in values:
            return values[text.lower()]
        words = ", ".join(values)
        self.warn(column, text, f"is not one of {words}; {default.value} is used")
        return default
