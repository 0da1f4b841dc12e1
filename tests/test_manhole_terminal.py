"""The shell's line editor and scripts, at the other end of an SSH channel in memory."""

from __future__ import annotations

import re
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from mm2ss.services import script as scripts
from mm2ss.services import terminal as terminals
from mm2ss.services.script import Channel, Script
from mm2ss.services.tables import Said
from mm2ss.services.terminal import Terminal

UP, LEFT, HOME = "\x1b[A", "\x1b[D", "\x1b[H"


class Session:
    """conch's channel: ``buf`` is what the other end has no room for."""

    buf: bytes | None = None


class Process:
    """conch's end of a session: keeps what is sent, and how it ended."""

    def __init__(self) -> None:
        self.session = Session()
        self.output = b""
        self.errors = b""
        self.statuses: list[int] = []

    def outReceived(self, data: bytes) -> None:
        self.output += data

    def errReceived(self, data: bytes) -> None:
        self.errors += data

    def processEnded(self, reason: Failure) -> None:
        self.statuses.append(reason.value.exitCode)  # type: ignore[union-attr]  # a process's end


class Window:
    """A terminal, and one who types."""

    def __init__(self, width: int = 80, **names: Any) -> None:
        self.process = Process()
        self.touched = 0
        self.heard: list[str] = []
        self.terminal = Terminal(
            Channel(self.process, self._touch), dict(names), self.heard.append, width, "hello\n"
        )
        self._read = 0

    def _touch(self) -> None:
        self.touched += 1

    def type(self, keys: str) -> str:
        """Press keys; what the terminal is sent then, without what moves the cursor."""
        self.terminal.received(keys.encode())
        return self.news()

    def news(self) -> str:
        """What the terminal was sent since, without what moves the cursor."""
        data = self.process.output[self._read :].decode()
        self._read = len(self.process.output)
        return re.sub(r"\x1b\[[0-9;]*[A-Za-z]|\x1bE", "", data).replace("\r\n", "\n")

    @property
    def line(self) -> str:
        """What is typed of the line."""
        return b"".join(self.terminal.lineBuffer).decode()


def test_greeting() -> None:
    """The greeting and a prompt come first; what the window shows already is not wiped away."""
    window = Window()
    assert window.news() == "hello\n>>> "
    assert b"\x1b[2J" not in window.process.output and b"\x1bc" not in window.process.output


def test_statements() -> None:
    """A line runs when it is complete; each statement is told."""
    window = Window(x=7)
    window.news()
    assert window.type("x\r").splitlines()[-2:] == ["7", ">>> "]
    assert window.type("if x:\r").endswith("... ")
    assert window.type("  x + 1\r\r").splitlines()[-2:] == ["8", ">>> "]
    assert window.type("print(1, end='')\r").endswith("1\n>>> ")
    assert window.heard == ["x", "if x:\n  x + 1\n", "print(1, end='')"]


def test_editing() -> None:
    """The usual keys do the usual things."""
    window = Window()
    window.type(f"acd{LEFT}{LEFT}b")
    assert window.line == "abcd"
    window.type("\x0b")  # Ctrl-K
    assert window.line == "ab"
    window.type("\x01\x04")  # to the beginning, delete
    assert window.line == "b"
    window.type("\x05\x08")  # to the end, backspace
    assert window.line == ""
    window.type(f"1234{LEFT}\x15")  # Ctrl-U
    assert window.line == "4" and window.terminal.lineBufferIndex == 0
    assert window.type("\x0c").endswith(">>> 4")  # Ctrl-L
    window.type("\r")
    window.type(f"{UP}")
    assert window.line == "4"
    assert window.type("\x03").endswith("^C\n>>> ")
    assert window.line == ""
    for key in ("\xe4", "\x07", "\x1b[99z", "\x1bx", "\x1bOz"):
        window.type(key)
    assert window.line == ""


def test_history(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only so many lines are remembered."""
    monkeypatch.setattr(terminals, "MAX_HISTORY", 3)
    window = Window()
    for number in range(5):
        window.type(f"{number}\r")
    window.type(UP * 3)
    assert window.line == "2"
    window.type(UP)
    assert window.line == "2"


def test_tab() -> None:
    """Tab completes as far as is certain, then shows what there is; at the beginning it indents."""
    window = Window(group=1, groups=2, status=3)
    window.type("st\t")
    assert window.line == "status"
    window.type("\x15gr\t")
    assert window.line == "group"
    assert "group  groups\n>>> group" in window.type("\t")
    window.type("\x15\t")
    assert window.line == "    "
    assert window.type("\x15nothing\t").endswith("\a")


def test_typedAhead(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is typed while a statement is waited for has its turn afterwards."""
    deferred: Deferred[Said] = Deferred()
    window = Window(deferred=deferred)
    window.type("deferred\r")
    assert window.type("40 + 2\r") == ""
    deferred.callback(Said("done"))
    shown = window.news()
    assert shown.index("done") < shown.index("40 + 2") < shown.index("\n42\n")
    monkeypatch.setattr(terminals, "MAX_AHEAD", 2)
    again: Deferred[None] = Deferred()
    window.terminal._interpreter.namespace["again"] = again
    window.type("again\r12345")
    again.callback(None)
    assert window.line == "12"


def test_interrupted() -> None:
    """Ctrl-C gives the prompt back, and what is typed by then is dropped; a late result is shown
    above the line that is being typed."""
    deferred: Deferred[Said] = Deferred()
    window = Window(deferred=deferred)
    window.type("deferred\rlost\r")
    assert window.type("\x03").endswith("^C\n>>> ")
    window.type(f"12{LEFT}")
    deferred.callback(Said("late"))
    assert window.news().endswith("late\n>>> 12")
    window.type("3")
    assert window.line == "132"


@pytest.mark.parametrize("key", ["\x04", "\x1c"])
def test_leaving(key: str) -> None:
    """Ctrl-D on an empty line, and Ctrl-Backslash, end the session; then nothing counts."""
    window = Window()
    window.type(key)
    assert window.process.statuses == [0]
    window.type("1\r")
    window.terminal.closed()
    assert window.heard == []


def test_exitStatus() -> None:
    """The status of a SystemExit is the session's."""
    window = Window()
    window.type("raise SystemExit(5)\r")
    assert window.process.statuses == [5]


def test_endOfInput() -> None:
    """When no more keys come the session ends, after what was typed."""
    deferred: Deferred[None] = Deferred()
    window = Window(deferred=deferred)
    window.type("deferred\r7\r")
    window.terminal.ended()
    assert window.process.statuses == []
    deferred.callback(None)
    assert window.process.statuses == [0] and "7\n" in window.news()


def test_closed() -> None:
    """A session that is closed while it waits is left alone; nothing is sent any more."""
    deferred: Deferred[int] = Deferred()
    window = Window(deferred=deferred)
    window.type("deferred\rmore\r")
    window.terminal.closed()
    window.news()
    deferred.callback(1)
    assert window.news() == "" and window.heard == ["deferred"]


def test_resized() -> None:
    """A new width counts from the next statement on."""
    window = Window(40)
    window.terminal.resized(30)
    assert window.terminal.width == 30


def test_whatIsSentCounts() -> None:
    """Output keeps a session from being idle; a window that takes nothing is full."""
    window = Window()
    before = window.touched
    window.type("1\r")
    assert window.touched > before
    assert not window.terminal.isFull
    window.process.session.buf = bytes(scripts.MAX_WAITING + 1)
    assert window.terminal.isFull


def script(width: int | None = None, **names: Any) -> tuple[Script, Process, list[str]]:
    """A script, its process, and what was heard of it."""
    process, heard = Process(), list[str]()
    return Script(Channel(process, lambda: None), dict(names), heard.append, width), process, heard


def test_aCommand() -> None:
    """Its output and its errors go apart; the status ends it."""
    command, process, heard = script(x=1)
    command.run(b"x\nundefined")
    assert (process.output, process.statuses, heard) == (b"1\n", [1], ["x\nundefined"])
    assert process.errors.startswith(b"NameError")
    command.closed()


def test_aCommandOnATerminal() -> None:
    """Lines end with CR LF, Ctrl-C ends it, the window's width counts."""
    deferred: Deferred[None] = Deferred()
    command, process, _ = script(40, deferred=deferred)
    assert command.width == 40
    command.resized(50)
    assert command.width == 50
    command.run(b"print('a\\nb')\ndeferred")
    assert process.output == b"a\r\nb\r\n"
    command.received(b"x")
    assert process.statuses == []
    command.received(b"\x03")
    assert process.statuses == [130]


def test_aScript(monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes over the standard input runs when that has ended, unless it is too much."""
    command, process, _ = script()
    command.collect()
    command.received(b"for i in (1, 2):\n")
    command.received(b"    print(i)\n")
    assert process.output == b""
    command.ended()
    command.ended()
    assert (process.output, process.statuses) == (b"1\n2\n", [0])
    monkeypatch.setattr(scripts, "MAX_SOURCE", 10)
    command, process, _ = script()
    command.collect()
    command.received(b"print(12345)")
    assert (process.errors, process.statuses) == (b"more than 10 octets\n", [1])


def test_notText() -> None:
    """A command that is not UTF-8 is refused; output that cannot be encoded is replaced."""
    command, process, _ = script()
    command.run(b"\xff")
    assert (process.errors, process.statuses) == (b"this is not UTF-8 text\n", [1])
    command, process, _ = script()
    command.run(b"print('\\ud800')")
    assert process.output == b"?\n"
    process.session.buf = bytes(scripts.MAX_WAITING + 1)
    assert command.isFull


def test_closedCommand() -> None:
    """A command whose other end leaves sends no status to nobody."""
    deferred: Deferred[None] = Deferred()
    command, process, _ = script(deferred=deferred)
    command.run(b"deferred")
    command.closed()
    deferred.callback(None)
    assert process.statuses == []
