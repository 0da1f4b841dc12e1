"""The line editor that the other end of an SSH session talks to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.conch.insults.insults import ServerProtocol, modes
from twisted.conch.recvline import HistoricRecvLine
from twisted.internet.defer import Deferred

from mm2ss.services.completion import commonStart, completions
from mm2ss.services.interpreter import DONE, Interpreter
from mm2ss.services.script import MAX_SOURCE, MAX_WAITING, Channel, encoded, statusOf

CTRL_A, CTRL_C, CTRL_D, CTRL_E = b"\x01", b"\x03", b"\x04", b"\x05"
CTRL_H, CTRL_K, CTRL_L, CTRL_U = b"\x08", b"\x0b", b"\x0c", b"\x15"
CTRL_BACKSLASH = b"\x1c"

#: Keys that are kept while a statement runs: a pasted page or two.
MAX_AHEAD = 64 * 1024
#: Lines that the arrow keys bring back.
MAX_HISTORY = 500


class Terminal(HistoricRecvLine):
    """A line editor with history and completion, on a terminal of any size.

    :param namespace: the names that the statements find.
    :param heard: told each statement.
    :param width: columns of its window.
    :param greeting: the first lines.
    """

    def __init__(
        self,
        channel: Channel,
        namespace: dict[str, Any],
        heard: Callable[[str], None],
        width: int,
        greeting: str,
    ) -> None:
        HistoricRecvLine.__init__(self)
        self._channel = channel
        self._heard = heard
        self._greeting = greeting
        self._lines: list[str] = []
        self._ahead: list[tuple[bytes, Any]] = []
        self._running = False
        self._interpreter = Interpreter(namespace, self)
        self.width = width
        self.screen = _Screen(lambda: self)
        self.screen.makeConnection(_Wire(channel))

    def received(self, data: bytes) -> None:
        """Keys were pressed."""
        self.screen.dataReceived(data)

    def ended(self) -> None:
        """No more keys will be pressed."""
        self.keystrokeReceived(CTRL_D, None)

    def resized(self, width: int) -> None:
        """The window has another width now. What it shows is left to the terminal."""
        self.width = width

    def closed(self) -> None:
        """The session is over; what goes on is ended."""
        self._channel.lost()
        self._ahead.clear()
        self._interpreter.interrupt()

    # -- output -----------------------------------------------------------------------------

    @property
    def isFull(self) -> bool:
        """Whether the window takes too little."""
        return self._channel.waiting > MAX_WAITING

    def write(self, text: str) -> None:
        """Show text; while a line is being typed, above it."""
        if self._running:
            self.terminal.write(encoded(text))
            return
        self.terminal.write(b"\r")
        self.terminal.eraseLine()
        self.terminal.write(encoded(text))
        self._showLine()

    complain = write

    # -- keys -------------------------------------------------------------------------------

    def connectionMade(self) -> None:
        """The terminal is there."""
        HistoricRecvLine.connectionMade(self)
        self.keyHandlers |= {
            CTRL_A: self.handle_HOME,
            CTRL_C: self._interrupt,
            CTRL_D: self._end,
            CTRL_E: self.handle_END,
            CTRL_H: self.handle_BACKSPACE,
            CTRL_K: self._cutAfter,
            CTRL_L: self._clear,
            CTRL_U: self._cutBefore,
            CTRL_BACKSLASH: lambda: self._leave(DONE),
        }

    def initializeScreen(self) -> None:
        """Greet. What the window shows already is left there."""
        self.setInsertMode()
        self.terminal.write(encoded(self._greeting))
        self._showLine()

    def keystrokeReceived(self, keyID: bytes, modifier: Any) -> None:
        """A key was pressed; it waits while a statement runs."""
        if self._running and keyID != CTRL_C:
            if len(self._ahead) < MAX_AHEAD:
                self._ahead.append((keyID, modifier))
        elif keyID in self.keyHandlers:
            self.keyHandlers[keyID]()
        elif self._isPlain(keyID, modifier) and len(self.lineBuffer) < MAX_SOURCE:
            self.characterReceived(keyID, False)
        else:
            self.terminal.write(b"\a")

    def _isPlain(self, keyID: bytes, modifier: Any) -> bool:
        return modifier is None and keyID in self._printableChars

    def handle_RETURN(self) -> None:
        """The line is complete."""
        HistoricRecvLine.handle_RETURN(self)
        if len(self.historyLines) > MAX_HISTORY:
            del self.historyLines[0]
            self.historyPosition -= 1

    def lineReceived(self, line: bytes) -> None:
        """Run what was typed, once it is complete."""
        self._lines.append(line.decode("ascii"))
        source = "\n".join(self._lines)
        self.pn = 0 if self._interpreter.isComplete(source) else 1
        if self.pn:
            self._showLine()
            return
        self._lines = []
        if source.strip():
            self._heard(source)
        self._running = True
        running = Deferred.fromCoroutine(self._interpreter.run(source))
        running.addCallbacks(lambda _status: self._ready(), lambda why: self._leave(statusOf(why)))

    def handle_TAB(self) -> None:
        """Complete a name; indent where there is none."""
        before, _ = self.currentLineBuffer()
        line = before.decode("ascii")
        if not line.strip() or line.endswith(" "):
            self._type("    ")
            return
        start, found = completions(line, self._interpreter.namespace)
        common = commonStart(found)
        if len(common) > len(start):
            self._type(common[len(start) :])
        elif len(found) > 1:
            self.write("  ".join(found) + "\n")
        else:
            self.terminal.write(b"\a")

    def _type(self, text: str) -> None:
        for sign in text.encode("ascii"):
            self.characterReceived(bytes((sign,)), True)

    def _interrupt(self) -> None:
        """Ctrl-C: end what goes on, else begin a new line."""
        self._ahead.clear()
        if self._running:
            self.terminal.write(b"^C\n")
            self._interpreter.interrupt()
            return
        self._discard()
        self._lines = []
        self.pn = 0
        self.terminal.write(b"^C\n")
        self._showLine()

    def _end(self) -> None:
        """Ctrl-D: leave; within a line, delete."""
        if self.lineBuffer:
            self.handle_DELETE()
        else:
            self._leave(DONE)

    def _clear(self) -> None:
        self.terminal.eraseDisplay()
        self.terminal.cursorHome()
        self._showLine()

    def _cutAfter(self) -> None:
        del self.lineBuffer[self.lineBufferIndex :]
        self.terminal.eraseToLineEnd()

    def _cutBefore(self) -> None:
        _, after = self.currentLineBuffer()
        self.handle_HOME()
        self.lineBuffer = [bytes((sign,)) for sign in after]
        self.terminal.write(b"\r")
        self.terminal.eraseLine()
        self._showLine()

    def _discard(self) -> None:
        self.lineBuffer = []
        self.lineBufferIndex = 0

    def _ready(self) -> None:
        """A statement is done: the keys that were pressed meanwhile have their turn."""
        self._running = False
        if not self.terminal.lastWrite.endswith(b"\n"):
            self.terminal.nextLine()
        self._showLine()
        while self._ahead and not self._running:
            self.keystrokeReceived(*self._ahead.pop(0))

    def _showLine(self) -> None:
        """Show the prompt and what is typed of the line, with the cursor in its place."""
        self.drawInputLine()
        behind = len(self.lineBuffer) - self.lineBufferIndex
        if behind:
            self.terminal.cursorBackward(behind)

    def _leave(self, status: int) -> None:
        self._running = True  # no further key counts
        self.terminal.nextLine()
        self.terminal.resetModes([modes.IRM])
        self._channel.end(status)


class _Screen(ServerProtocol):
    """conch's end of the terminal, which turns octets into keys."""

    def unhandledControlSequence(self, buf: bytes) -> None:
        """A key that means nothing here."""


class _Wire:
    """The transport of a `_Screen`."""

    def __init__(self, channel: Channel) -> None:
        self.write = channel.write
