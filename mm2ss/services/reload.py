"""Reading the configuration again while the service runs, when SIGHUP asks for it."""

from __future__ import annotations

import signal
from collections.abc import Callable
from itertools import islice
from types import FrameType
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger, LogLevel

from mm2ss.config.lasting import lastingChanges
from mm2ss.config.load import Configuration
from mm2ss.config.problems import Severity, hasErrors
from mm2ss.relay.snapshot import Changes

#: Problems that the log names at one reload; ``--check`` lists them all.
MAX_NAMED = 50
#: Keys that the log names at one reload, of those that take effect at the next start only.
MAX_KEYS = 20

#: Runs the reading of the files in a thread; fires with what it gives.
InThread = Callable[[Callable[[], Configuration]], Deferred[Configuration]]


class CannotApply(Exception):
    """The files are right but what they ask for cannot be done now; the text says why."""


def nobody() -> None:
    """The default of who wants to be told."""


class ReloadService(Service):
    """Reads the files again at SIGHUP and has the difference applied; all or nothing.

    One reload at a time: what asks for one meanwhile causes one more, after it.

    :param started: what the service was started with.
    :param load: reads the files; called in a thread.
    :param apply: makes the groups those of a configuration; may raise `CannotApply` before it
        has changed anything.
    :param reactor: (monotonic) time, calls from signal handlers, and the event of its shutdown.
    :param inThread: where the files are read.
    :ivar begun: called when a reload begins.
    :ivar ended: called when it has ended, well or not.
    """

    _log = Logger()

    def __init__(
        self,
        started: Configuration,
        load: Callable[[], Configuration],
        apply: Callable[[Configuration], Deferred[Changes]],
        reactor: Any,
        inThread: InThread,
    ) -> None:
        self._started = started
        self._load = load
        self._apply = apply
        self._reactor = reactor
        self._inThread = inThread
        self.begun: Callable[[], None] = nobody
        self.ended: Callable[[], None] = nobody
        self._again = False
        self._stopping = False
        self._current: Deferred[None] | None = None
        self._trigger: Any = None
        self._before: Any = None

    # -- service ----------------------------------------------------------------------------

    def startService(self) -> None:
        """Hear SIGHUP, where the system has it."""
        Service.startService(self)
        self._stopping = False
        self._trigger = self._reactor.addSystemEventTrigger("before", "shutdown", self._shutdown)
        if hasattr(signal, "SIGHUP"):
            self._before = signal.signal(signal.SIGHUP, self._heard)

    def stopService(self) -> Deferred[None]:
        """Hear it no more; fires when a reload that was under way has ended."""
        Service.stopService(self)
        if not self._stopping:
            self._reactor.removeSystemEventTrigger(self._trigger)
        self._stopping = True
        if hasattr(signal, "SIGHUP"):
            # None: who had it before was not a Python function, and cannot be given back.
            signal.signal(signal.SIGHUP, self._before or signal.SIG_DFL)
        if self._current is None:
            return succeed(None)
        waiting: Deferred[None] = Deferred()
        self._current.addBoth(lambda _: waiting.callback(None))
        return waiting

    def _shutdown(self) -> None:
        # From now on, and before the groups have stopped, there is nothing to reload. The signal
        # is still heard, lest it ends the process.
        self._stopping = True

    def _heard(self, _number: int, _frame: FrameType | None) -> None:
        # A signal may come at any point of the program, also within the log.
        self._reactor.callFromThread(self.reload)

    # -- reloading --------------------------------------------------------------------------

    def reload(self) -> None:
        """Read the files again, and apply what they say; the log tells how it went."""
        if self._stopping or not self.running:
            self._log.info("Not reloaded: the service stops")
        elif self._current is not None:
            self._again = True
            self._log.info("The files are read once more when this reload has ended")
        else:
            current = self._current = Deferred()
            self.begun()
            Deferred.fromCoroutine(self._reload()).addErrback(
                lambda why: self._log.failure("The reload has failed", why)
            ).addCallback(lambda _: self._ended(current))

    def _ended(self, current: Deferred[None]) -> None:
        self._current = None
        again, self._again = self._again, False
        if not self._stopping:
            self.ended()
            if again:
                self.reload()
        current.callback(None)

    async def _reload(self) -> None:
        begun = self._reactor.seconds()
        self._log.info("Reading the files again")
        wanted = await self._inThread(self._load)
        read = self._reactor.seconds()
        if self._stopping:
            return
        self._tellProblems(wanted)
        if hasErrors(wanted.problems) or not wanted.runnable:
            self._log.error("Not reloaded: the files have errors. Nothing was changed.")
            return
        try:
            changes = await self._apply(wanted)
        except CannotApply as error:
            self._log.error("Not reloaded: {error}. Nothing was changed.", error=error)
            return
        self._tellLasting(wanted)
        self._log.info(
            "Reloaded in {seconds:.3f} s ({reading:.3f} s to read the files): {changes}",
            seconds=self._reactor.seconds() - begun,
            reading=read - begun,
            changes=changes,
        )

    def _tellProblems(self, wanted: Configuration) -> None:
        """Name what is wrong in the files, errors first."""
        problems = sorted(wanted.problems, key=lambda each: each.severity is not Severity.ERROR)
        for problem in islice(problems, MAX_NAMED):
            level = LogLevel.error if problem.severity is Severity.ERROR else LogLevel.warn
            self._log.emit(level, "{problem}", problem=problem)
        if len(problems) > MAX_NAMED:
            more = len(problems) - MAX_NAMED
            self._log.warn("{more} more problems; --check lists them all", more=more)

    def _tellLasting(self, wanted: Configuration) -> None:
        """Name what differs and does not take effect."""
        keys = lastingChanges(self._started, wanted)
        if keys:
            named = ", ".join(keys[:MAX_KEYS]) + (", ..." if len(keys) > MAX_KEYS else "")
            self._log.warn("These take effect at the next start only: {keys}", keys=named)
