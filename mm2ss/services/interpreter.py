"""Runs the statements that are typed into the shell, and shows what they give.

One statement after the other: a Deferred that a statement gives is waited for, and what goes on by
itself (`Live`) goes on, until it is done or interrupted.
"""

from __future__ import annotations

import ast
import codeop
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from io import TextIOBase
from traceback import format_exception, format_exception_only
from types import CodeType
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from mm2ss.services.tables import window

#: Exit statuses of a script, as of a shell.
DONE, FAILED, NOT_UNDERSTOOD, INTERRUPTED = 0, 1, 2, 130

FILE = "<manhole>"
#: Characters of printed text that are sent together.
ENOUGH = 16 * 1024


class Mistake(Exception):
    """What was asked for cannot be; the text says why. It is shown without a traceback."""


class Live(ABC):
    """A value that, as the result of a statement, goes on showing something until interrupted."""

    @abstractmethod
    def follow(self, show: Callable[[str], None]) -> Callable[[], None]:
        """Begin to show lines (without line ends); returns what ends it."""


class Leave(Exception):
    """Ends the session, with an exit status."""

    def __init__(self, status: int = DONE) -> None:
        Exception.__init__(self, status)
        self.status = status


class Output(Protocol):
    """Where a session's statements show what they give."""

    @property
    def width(self) -> int:
        """Columns of the reader's window."""
        ...

    @property
    def isFull(self) -> bool:
        """Whether the reader has so much to take already that no more should come."""
        ...

    def write(self, text: str) -> None:
        """Show a text, which brings its line ends."""
        ...

    def complain(self, text: str) -> None:
        """Show what went wrong."""
        ...


class Interpreter:
    """One session's statements.

    :param namespace: the names that they find, and where they put theirs.
    """

    def __init__(self, namespace: dict[str, Any], output: Output) -> None:
        self.namespace = namespace
        self._output = output
        self._waiting: Deferred[int] | None = None
        self._compiler = codeop.CommandCompiler()

    def isComplete(self, source: str) -> bool:
        """Whether what was typed so far can run (or is wrong); else more lines belong to it."""
        try:
            return self._compiler(source, FILE) is not None
        except (SyntaxError, ValueError, OverflowError):
            return True

    async def run(self, source: str) -> int:
        """Run some statements, until one fails.

        :return: an exit status.
        :raises Leave: the session is to end.
        """
        try:
            codes = [
                compile(ast.Interactive([statement]), FILE, "single")
                for statement in ast.parse(source, FILE).body
            ]
        except (SyntaxError, ValueError, OverflowError) as error:
            self._output.complain("".join(format_exception_only(error)))
            return NOT_UNDERSTOOD
        for code in codes:
            status = await self._runOne(code)
            if status != DONE:
                return status
        return DONE

    def interrupt(self) -> None:
        """Wait no longer; what was begun is not undone."""
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.callback(INTERRUPTED)

    async def _runOne(self, code: CodeType) -> int:
        later: list[Any] = []
        try:
            with self._capturing(later):
                exec(code, self.namespace)
        except Leave:
            raise
        except SystemExit as error:
            raise Leave(_statusOf(error.code)) from None
        except BaseException as error:  # whatever it is, it is the operator's and not the relay's
            self._output.complain(self._explain(error))
            return FAILED
        for value in later:
            status = await (self._follow if isinstance(value, Live) else self._wait)(value)
            if status != DONE:
                return status
        return DONE

    @contextmanager
    def _capturing(self, later: list[Any]) -> Iterator[None]:
        """What is printed goes to the session; what takes time is collected."""

        printed = _Printed(self._output)

        def display(value: Any) -> None:
            if value is None:
                return
            self.namespace["_"] = value
            if isinstance(value, (Deferred, Live)):
                later.append(value)
            else:
                printed.write(f"{value!r}\n")

        before, sys.displayhook = sys.displayhook, display
        try:
            with redirect_stdout(printed), window(self._output.width):
                yield
        finally:
            sys.displayhook = before
            printed.send()

    async def _wait(self, value: Deferred[Any]) -> int:
        """Show what a Deferred gives, now or, when it is not waited for any more, later."""
        over = self._waiting = Deferred()

        def show(result: Any) -> Any:
            failed = isinstance(result, Failure)
            if failed:
                self._output.complain(self._explain(result.value))
            elif result is not None:
                with window(self._output.width):
                    self._output.write(f"{result!r}\n")
            if self._waiting is over:
                self._waiting = None
                over.callback(FAILED if failed else DONE)
            return None if failed else result  # it has been shown: nobody else needs to know

        value.addBoth(show)
        return await over

    async def _follow(self, value: Live) -> int:
        """Show what comes, until interrupted."""
        over = self._waiting = Deferred()
        missed = 0

        def show(line: str) -> None:
            nonlocal missed
            if self._output.isFull:
                missed += 1
                return
            if missed:
                self._output.write(f"({missed} lines left out: the window takes too few)\n")
                missed = 0
            self._output.write(f"{line}\n")

        stop = value.follow(show)
        try:
            await over
        finally:
            stop()
        return DONE

    def _explain(self, error: BaseException) -> str:
        if isinstance(error, Mistake):
            return f"{error}\n"
        if isinstance(error, NameError):
            return "".join(format_exception_only(error)) + "help() lists the names there are.\n"
        # The topmost frame is ours.
        trace = error.__traceback__
        return "".join(format_exception(type(error), error, trace.tb_next if trace else None))


def _statusOf(code: object) -> int:
    """The exit status that an argument of exit() means."""
    if code is None:
        return DONE
    return code & 0xFF if isinstance(code, int) else FAILED


class _Printed(TextIOBase):
    """Stands for the standard output while a statement runs. (A packet for each word would cost
    the relay seconds.)"""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._pieces: list[str] = []
        self._length = 0

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        """Keep a text until there is enough.

        :raises Mistake: the window does not take so much; this ends the statement.
        """
        self._pieces.append(text)
        self._length += len(text)
        if self._length >= ENOUGH:
            self.send()
            if self._output.isFull:
                raise Mistake("(ended here: the window cannot take so much at once)")
        return len(text)

    def send(self) -> None:
        """Show what was kept."""
        if self._pieces:
            self._output.write("".join(self._pieces))
        self._pieces = []
        self._length = 0
