"""Statements in the shell: what they show, what is waited for, how they end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from mm2ss.services.interpreter import (
    DONE,
    FAILED,
    INTERRUPTED,
    NOT_UNDERSTOOD,
    Interpreter,
    Leave,
    Live,
    Mistake,
)
from mm2ss.services.tables import Column, Said, Table


class Reader:
    """Takes what statements show."""

    def __init__(self, width: int = 80) -> None:
        self.width = width
        self.isFull = False
        self.shown = ""
        self.complaints = ""

    def write(self, text: str) -> None:
        self.shown += text

    def complain(self, text: str) -> None:
        self.complaints += text


class Ticker(Live):
    """Goes on until it is stopped."""

    def __init__(self) -> None:
        self.shows: list[Callable[[str], None]] = []

    def follow(self, show: Callable[[str], None]) -> Callable[[], None]:
        self.shows.append(show)
        return self.shows.clear


class Shell:
    """An interpreter and its reader."""

    def __init__(self, width: int = 80, **names: Any) -> None:
        self.reader = Reader(width)
        self.interpreter = Interpreter(dict(names), self.reader)

    def run(self, source: str) -> list[Any]:
        """Run; the list has the status, or the failure, once it has ended."""
        ended: list[Any] = []
        Deferred.fromCoroutine(self.interpreter.run(source)).addBoth(ended.append)
        return ended


def test_values() -> None:
    """Each expression's value is shown, as at Python's prompt; None is not."""
    shell = Shell()
    assert shell.run("1\nNone\n'a'; _ + 'b'\nprint('c', end='')\nfor i in 7, 8:\n    i\n") == [DONE]
    assert shell.reader.shown == "1\n'a'\n'ab'\nc7\n8\n"
    assert shell.reader.complaints == ""


def test_tablesKnowTheWindow() -> None:
    """What is printed, in whichever way, fits into this session's window."""
    table = Table((Column("name", 4), Column("more")), [("x" * 30, "y")])
    shell = Shell(20, table=table)
    shell.run("table\nprint(table)")
    assert max(map(len, shell.reader.shown.splitlines())) == 20
    assert len(repr(table).splitlines()[0]) > 20


@pytest.mark.parametrize(
    ("source", "status", "complaint"),
    [
        ("1 +", NOT_UNDERSTOOD, "SyntaxError: invalid syntax\n"),
        ("'\0'", NOT_UNDERSTOOD, "SyntaxError: source code string cannot contain null bytes\n"),
        ("[][1]", FAILED, "IndexError: list index out of range\n"),
        ("fail()", FAILED, "there is no such group\n"),
        ("nothing", FAILED, "NameError: name 'nothing' is not defined\nhelp() lists the names"),
        ("raise KeyboardInterrupt", FAILED, "KeyboardInterrupt\n"),
    ],
)
def test_whatGoesWrong(source: str, status: int, complaint: str) -> None:
    """It is said, with a traceback of the statement's own frames where that helps; the rest of
    the script is left."""

    def fail() -> None:
        raise Mistake("there is no such group")

    shell = Shell(fail=fail)
    assert shell.run(f"{source}\nprint('on')") == [status]
    said = shell.reader.complaints
    assert complaint.replace("SyntaxError: source", "source") in said.replace(
        "ValueError: ", "SyntaxError: "
    ).replace("SyntaxError: source", "source")
    assert shell.reader.shown == "" and "interpreter.py" not in said


def test_leaving() -> None:
    """exit() and SystemExit end the session, with their status."""

    def leave(status: int) -> None:
        raise Leave(status)

    for source, status in (
        ("leave(3)", 3),
        ("raise SystemExit", 0),
        ("raise SystemExit(4)", 4),
        ("raise SystemExit('text')", 1),
    ):
        (failure,) = Shell(leave=leave).run(source)
        assert failure.check(Leave) and failure.value.status == status


def test_aDeferredIsWaitedFor() -> None:
    """The statements behind it run when it has fired; its result is shown."""
    deferred: Deferred[Said] = Deferred()
    shell = Shell(deferred=deferred)
    ended = shell.run("deferred\nprint('then')")
    assert ended == [] and shell.reader.shown == ""
    deferred.callback(Said("it is done"))
    assert ended == [DONE] and shell.reader.shown == "it is done\nthen\n"


def test_aDeferredThatFails() -> None:
    """Its error is shown, and it is nobody's unhandled error."""
    deferred: Deferred[None] = Deferred()
    shell = Shell(deferred=deferred)
    ended = shell.run("deferred\nprint('then')")
    deferred.errback(Mistake("it cannot be"))
    assert ended == [FAILED]
    assert (shell.reader.shown, shell.reader.complaints) == ("", "it cannot be\n")


def test_interruptedWaiting() -> None:
    """Ctrl-C ends the waiting and not what is waited for: its result is shown when it comes."""
    deferred: Deferred[int] = Deferred()
    shell = Shell(deferred=deferred)
    ended = shell.run("deferred\nprint('then')")
    shell.interpreter.interrupt()
    assert ended == [INTERRUPTED]
    deferred.callback(5)
    assert shell.reader.shown == "5\n"
    shell.interpreter.interrupt()  # nothing is waited for


def test_live() -> None:
    """What goes on does so until Ctrl-C; then the next statement runs."""
    ticker = Ticker()
    shell = Shell(ticker=ticker)
    ended = shell.run("ticker\nprint('then')")
    (show,) = ticker.shows
    show("one")
    shell.reader.isFull = True
    show("two")
    show("three")
    shell.reader.isFull = False
    show("four")
    assert ended == []
    shell.interpreter.interrupt()
    assert ended == [DONE] and ticker.shows == []
    left = "(2 lines left out: the window takes too few)\n"
    assert shell.reader.shown == f"one\n{left}four\nthen\n"


def test_tooMuchAtOnce() -> None:
    """A statement that prints more than the reader takes is ended."""
    shell = Shell()
    shell.reader.isFull = True
    assert shell.run("while True: print('x' * 100)") == [FAILED]
    assert shell.reader.complaints.startswith("(ended here")
    assert 10_000 < len(shell.reader.shown) < 20_000


def test_completeness() -> None:
    """A block wants more lines until an empty one; nonsense is complete at once."""
    complete = Shell().interpreter.isComplete
    assert not complete("for i in range(3):") and not complete("for i in range(3):\n    i")
    assert complete("for i in range(3):\n    i\n")
    assert not complete("f(1,") and complete("1 1") and complete("")
