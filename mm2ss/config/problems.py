"""What is wrong with a configuration file, as values: where, which value, and why."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

#: Longest part of a value that a message repeats; a whole pasted file would bury the reason.
SHOWN = 60


class Severity(Enum):
    """How much a problem costs.

    ERROR: something that was asked for does not run (a row, or the whole file).
    WARNING: it runs, but not as written, or probably not as meant.
    """

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong in a file.

    :ivar file: the file as it was named by the user.
    :ivar line: physical line, counted from 1; None when it concerns the file as a whole.
    :ivar column: column name (CSV) or dotted key (service file); empty for a row or a file.
    :ivar value: what stands there; None when there is nothing to show.
    :ivar reason: why it is wrong, and where that helps what to write instead.
    """

    severity: Severity
    file: str
    line: int | None
    column: str
    value: str | None
    reason: str

    def __str__(self) -> str:
        """One line: file and line, severity, column and value, reason."""
        where = self.file if self.line is None else f"{self.file}:{self.line}"
        what = " ".join(
            part
            for part in (self.column, None if self.value is None else quoted(self.value))
            if part
        )
        text = f"{where}: {self.severity.value}: {what}{': ' if what else ''}{self.reason}"
        return printable(text)


def printable(text: str) -> str:
    """``text`` on one line: what cannot be printed becomes ``?``."""
    return "".join(character if character.isprintable() else "?" for character in text)


def quoted(value: str) -> str:
    """``value`` in quotes for a message, shortened when it is long."""
    shown = value if len(value) <= SHOWN else value[: SHOWN - 3] + "..."
    return f"'{printable(shown)}'"


def counted(number: int, singular: str, plural: str | None = None) -> str:
    """``1 row``, ``2 rows``; with ``plural`` where an s does not make one."""
    return f"{number} {singular if number == 1 else plural or singular + 's'}"


def hasErrors(problems: Iterable[Problem]) -> bool:
    """Whether one of ``problems`` is an error."""
    return any(problem.severity is Severity.ERROR for problem in problems)
