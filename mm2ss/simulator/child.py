"""The relay as a child process of the demo."""

from __future__ import annotations

import os
import re
import sys
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ProcessDone, ProcessExitedAlready
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import ProcessProtocol, connectionDone
from twisted.python.failure import Failure

import mm2ss
from mm2ss.simulator.builtin import DEMO_PORT

#: Seconds that the relay may take to end in order, before it is killed.
END_TIME: Final = 15.0
#: Lines of its log that are shown when it fails.
_TAIL: Final = 25
#: twistd as this Python has it, whatever is on the PATH.
_TWISTD: Final = "from twisted.scripts.twistd import run; run()"
_LINE: Final = re.compile(r"\S+ \[(?P<system>[^\]]*)\] (?P<text>.*)")

#: Takes who says it (as the log has it) and what.
Show = Callable[[str, str], None]


class RelayProcess(ProcessProtocol):
    """``twistd -n mm2ss --demo``, and what it logs.

    :param reactor: makes processes, and keeps monotonic time.
    :param show: given each line that the relay logs.
    :ivar tail: the last lines as they came.
    """

    def __init__(self, reactor: Any, show: Show) -> None:
        self._reactor = reactor
        self._show = show
        self._rest = b""
        self._killer: IDelayedCall | None = None
        self._running = False
        self._waiters: list[Deferred[str]] = []
        self._end = "not started"
        self.tail: deque[str] = deque(maxlen=_TAIL)

    def start(self, port: int) -> None:
        """Start it, for masters at this port."""
        root = str(Path(mm2ss.__file__).resolve().parent.parent)
        paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
        environment = dict(os.environ, PYTHONPATH=os.pathsep.join(paths), PYTHONUNBUFFERED="1")
        environment[DEMO_PORT] = str(port)
        arguments = [sys.executable, "-c", _TWISTD, "-n", "--pidfile=", "mm2ss", "--demo"]
        self._reactor.spawnProcess(self, sys.executable, arguments, environment)
        self._running = True

    def stop(self) -> Deferred[str]:
        """Ask it to end, kill it when it does not; fires when it is gone."""
        if self._running and self._killer is None:
            self._killer = self._reactor.callLater(END_TIME, self._signal, "KILL")
            self._signal("TERM")
        return self.whenEnded()

    def whenEnded(self) -> Deferred[str]:
        """Fires when it is gone, with how it ended, in words."""
        if not self._running:
            return succeed(self._end)
        waiter: Deferred[str] = Deferred()
        self._waiters.append(waiter)
        return waiter

    def outReceived(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._hear(line.decode(errors="replace").rstrip())

    errReceived = outReceived

    def processEnded(self, reason: Failure = connectionDone) -> None:
        self._running = False
        if self._killer is not None and self._killer.active():
            self._killer.cancel()
        done = isinstance(reason.value, ProcessDone)
        self._end = "ended" if done else str(reason.value)
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            waiter.callback(self._end)

    def _hear(self, line: str) -> None:
        self.tail.append(line)
        match = _LINE.match(line)
        if match is not None:
            self._show(match["system"], match["text"])

    def _signal(self, name: str) -> None:
        if self.transport is None:
            return
        try:
            self.transport.signalProcess(name)
        except ProcessExitedAlready:
            pass
