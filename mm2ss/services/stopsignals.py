"""A service that is told to stop while it stops goes on stopping, and says so."""

from __future__ import annotations

import signal
from types import FrameType
from typing import Any

from twisted.application.service import Service
from twisted.logger import Logger

#: What tells a program to stop; the last one is Windows' (Ctrl-Break).
_NAMES = ("SIGINT", "SIGTERM", "SIGBREAK")


class StopSignals(Service):
    """Takes the reactor's place as the one who hears the signals, once it has begun to stop.

    To the reactor, a second request to stop would be an error with a traceback. Signals that
    somebody else hears are left alone.

    :param reactor: whose shutdown it is.
    """

    _log = Logger()

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._trigger: Any = None
        self._stopping = False

    def startService(self) -> None:
        """Wait for the shutdown."""
        Service.startService(self)
        self._stopping = False
        self._trigger = self._reactor.addSystemEventTrigger("before", "shutdown", self._listen)

    def stopService(self) -> None:
        """Wait no more."""
        Service.stopService(self)
        if not self._stopping:
            self._reactor.removeSystemEventTrigger(self._trigger)

    def _listen(self) -> None:
        self._stopping = True
        for name in _NAMES:
            number = getattr(signal, name, None)
            handler = None if number is None else signal.getsignal(number)
            if number is not None and getattr(handler, "__self__", None) is self._reactor:
                signal.signal(number, self._heard)

    def _heard(self, number: int, _frame: FrameType | None) -> None:
        # A signal may come at any point of the program, also within the log.
        self._reactor.callFromThread(self._say, signal.Signals(number).name)

    def _say(self, name: str) -> None:
        self._log.info("Received {name} again: already stopping.", name=name)
