"""Statements that come over SSH without a line editor, and the channel that they answer on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from mm2ss.services.interpreter import FAILED, INTERRUPTED, Interpreter, Leave
from mm2ss.services.tables import UNBOUNDED

CTRL_C = b"\x03"

#: Octets that may wait for a window to take them; what would come on top is not printed.
MAX_WAITING = 1024 * 1024
#: Octets of one line, and of a script that comes over the standard input.
MAX_SOURCE = 1024 * 1024


class Channel:
    """The way to the other end of a session: octets out, and its end.

    :param process: conch's end of the SSH channel.
    :param touch: called when something is sent.
    """

    def __init__(self, process: Any, touch: Callable[[], None]) -> None:
        self._process = process
        self._touch = touch
        self._open = True

    @property
    def waiting(self) -> int:
        """Octets that the other end has no room for."""
        return len(self._process.session.buf or b"")

    def write(self, data: bytes) -> None:
        """Send octets, unless the session has ended."""
        if self._open:
            self._touch()
            self._process.outReceived(data)

    def writeError(self, data: bytes) -> None:
        """Send octets that the other end shows as errors."""
        if self._open:
            self._touch()
            self._process.errReceived(data)

    def end(self, status: int) -> None:
        """Tell the exit status and close."""
        if self._open:
            self._open = False
            self._process.processEnded(Failure(_Ended(status)))

    def lost(self) -> None:
        """It was closed."""
        self._open = False


class _Ended(Exception):
    """How a session ended, in the words of `twisted.internet.error.ProcessTerminated`."""

    signal = None

    def __init__(self, status: int) -> None:
        Exception.__init__(self, status)
        self.exitCode = status


class Script:
    """Statements without a line editor: a command, or what comes over the standard input.

    :param namespace: the names that the statements find.
    :param heard: told each statement.
    :param width: columns of the window; None without one: lines are as long as they are.
    """

    def __init__(
        self,
        channel: Channel,
        namespace: dict[str, Any],
        heard: Callable[[str], None],
        width: int | None,
    ) -> None:
        self._channel = channel
        self._heard = heard
        self._inWindow = width is not None  # which wants CR LF, and sends Ctrl-C
        self.width = UNBOUNDED if width is None else width
        self._source: list[bytes] | None = None
        self._length = 0
        self._interpreter = Interpreter(namespace, self)

    def run(self, source: bytes) -> None:
        """Run the statements, then end the session with their status."""
        try:
            text = source.decode("utf-8")
        except UnicodeDecodeError:
            self.complain("this is not UTF-8 text\n")
            self._channel.end(FAILED)
            return
        self._heard(text)
        running = Deferred.fromCoroutine(self._interpreter.run(text))
        running.addErrback(statusOf).addCallback(self._channel.end)

    def collect(self) -> None:
        """Take statements from the other end's standard input, and run them at its end."""
        self._source = []

    def received(self, data: bytes) -> None:
        """The other end sent something."""
        if self._source is not None:
            self._length += len(data)
            if self._length <= MAX_SOURCE:
                self._source.append(data)
            else:
                self.complain(f"more than {MAX_SOURCE} octets\n")
                self._channel.end(FAILED)
        elif self._inWindow and CTRL_C in data:
            self._channel.end(INTERRUPTED)

    def ended(self) -> None:
        """The other end will send no more."""
        if self._source is not None:
            source, self._source = b"".join(self._source), None
            self.run(source)

    def resized(self, width: int) -> None:
        """The window has another width now."""
        self.width = width

    def closed(self) -> None:
        """The session is over; what goes on is ended."""
        self._channel.lost()
        self._interpreter.interrupt()

    # -- output -----------------------------------------------------------------------------

    @property
    def isFull(self) -> bool:
        """Whether the other end takes too little."""
        return self._channel.waiting > MAX_WAITING

    def write(self, text: str) -> None:
        """Show text."""
        self._channel.write(self._encoded(text))

    def complain(self, text: str) -> None:
        """Show what went wrong, on the standard error output."""
        self._channel.writeError(self._encoded(text))

    def _encoded(self, text: str) -> bytes:
        return encoded(text.replace("\n", "\r\n") if self._inWindow else text)


def statusOf(why: Failure) -> int:
    """The exit status of a session that was ended by a statement."""
    why.trap(Leave)
    assert isinstance(why.value, Leave)
    return why.value.status


def encoded(text: str) -> bytes:
    """A text for a terminal, whatever is in it."""
    return text.encode("utf-8", "replace")
