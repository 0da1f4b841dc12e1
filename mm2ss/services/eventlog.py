"""The event log of each group: one file a group, one line an event, rotated by size.

A group's code logs with :class:`twisted.logger.Logger` events that carry ``group`` (its number)
and ``peer`` (the station concerned, as text). The service here observes the publisher and writes
those of level info and above (or a higher one); debug events are for twistd's own log only.

Lines wait in memory for at most ``FLUSH_DELAY`` and are then appended with one open, write and
close a file. So thousands of groups hold no file open, a burst of events costs one write, a file
is always closed when it is renamed (Windows insists), and one that an operator moves away is
simply made anew. A killed process loses the lines of the last ``FLUSH_DELAY`` at most.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from functools import partial
from itertools import islice

from twisted.application.service import Service
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import (
    ILogObserver,
    LogEvent,
    Logger,
    LogLevel,
    LogPublisher,
    formatEvent,
    globalLogPublisher,
)
from zope.interface import implementer

from mm2ss.config.service_settings import LogLevel as LowestLevel
from mm2ss.services.backlog import Backlog
from mm2ss.services.rotatingfile import Opener, RotatingFile, openForAppending

#: Seconds that a line waits for others before its file is written.
FLUSH_DELAY = 0.25
#: Files written in one turn of the reactor: some milliseconds, then the connections have their
#: turn (when a network goes down, thousands of groups have something to say at once).
FILES_PER_TURN = 100
#: Seconds between two tries to write files that could not be written.
RETRY_DELAY = 10.0
#: Octets of lines that wait for a file that cannot be written: about 500 lines of one group.
MAX_WAITING_GROUP = 64 * 1024
#: The same for all groups together: what a full disk may cost in memory.
MAX_WAITING = 8 * 1024 * 1024
#: Characters of a line's text; the longest that we write ourselves quote one frame in hex.
MAX_TEXT = 4096
#: Files that are named in twistd's log while the trouble lasts: a full disk concerns them all.
MAX_NAMED = 10

#: Levels that can be written, and what stands before the text.
_PREFIXES = {
    LogLevel.info: "",
    LogLevel.warn: "warn: ",
    LogLevel.error: "error: ",
    LogLevel.critical: "critical: ",
}


def fileName(group: int, name: str) -> str:
    """The name of a group's log file; what may be special to a file system becomes ``_``."""
    return f"{group}-{re.sub(r'[^A-Za-z0-9._-]', '_', name)}.log"


def oneLine(text: str) -> str:
    """The text without line ends and control characters: those become ``\\n``, ``\\x1b``, ..."""
    if not text.isprintable():
        text = "".join(
            sign if sign.isprintable() else sign.encode("unicode_escape").decode("ascii")
            for sign in text
        )
    return text if len(text) <= MAX_TEXT else text[:MAX_TEXT] + " [cut]"


@implementer(ILogObserver)
class EventLogService(Service):
    """Writes the event logs from its start to its stop.

    It belongs to the reactor's thread, as the groups do.

    :param groups: number and name of each group that has an event log.
    :param directory: absolute path of the folder for the files; made at start (mode 0750).
    :param rotateAt: octets after which a file is renamed to ``.1``; 0 = never.
    :param keep: renamed files that are kept.
    :param clock: where the writing is scheduled; may be monotonic.
    :param wallClock: seconds since the epoch, for the lines' time.
    :param level: the least important events that are written.
    :ivar everLost: lines that were lost, whether their files tell of them by now or not.
    """

    _log = Logger()

    def __init__(
        self,
        groups: Mapping[int, str],
        directory: str,
        rotateAt: int,
        keep: int,
        clock: IReactorTime,
        wallClock: Callable[[], float],
        publisher: LogPublisher = globalLogPublisher,
        opener: Opener = openForAppending,
        level: LowestLevel = LowestLevel.INFO,
    ) -> None:
        if not os.path.isabs(directory):
            raise ValueError(f"{directory!r} is not absolute: twistd changes its folder")
        self._newFile = partial(RotatingFile, rotateAt=rotateAt, keep=keep, opener=opener)
        lowest = LogLevel.lookupByName(level.value)
        self._prefixes = {each: text for each, text in _PREFIXES.items() if each >= lowest}
        self._directory = directory
        self._clock = clock
        self._wallClock = wallClock
        self._publisher = publisher
        # Insertion-ordered sets of logs: to be written soon, and to be tried again later.
        self._due: dict[Backlog, None] = {}
        self._troubled: dict[Backlog, None] = {}
        self._octets = 0
        self.everLost = 0
        self._flushing: IDelayedCall | None = None
        self._retrying: IDelayedCall | None = None
        self._logs: dict[int, Backlog] = {}
        for group, name in groups.items():
            self.open(group, name)

    def open(self, group: int, name: str) -> None:
        """Log a group from now on, if it is not logged yet."""
        if group not in self._logs:
            path = os.path.join(self._directory, fileName(group, name))
            self._logs[group] = Backlog(self._newFile(path), self._gap)

    def close(self, group: int) -> None:
        """Log a group no longer; what waits is written now, if that can be."""
        log = self._logs.pop(group, None)
        if log is None:
            return
        if log in self._due or log in self._troubled:
            self._write(log)
        if log.troubled:
            del self._troubled[log]
            self._octets -= log.octets
            self._sayUnwritten(log.forget())

    def pathOf(self, group: int) -> str | None:
        """The absolute path of a group's log file; None if the group has none."""
        log = self._logs.get(group)
        return log.file.path if log else None

    @property
    def troubled(self) -> int:
        """Files that cannot be written now."""
        return len(self._troubled)

    def startService(self) -> None:
        """Make the folder and begin to observe. A folder that cannot be made stops nothing."""
        Service.startService(self)
        try:
            os.makedirs(self._directory, mode=0o750, exist_ok=True)
        except OSError as error:
            self._log.error(
                "Cannot make the folder {folder} for the event logs: {error}",
                folder=self._directory,
                error=error,
            )
        self._publisher.addObserver(self)

    def stopService(self) -> None:
        """Stop to observe and write all that waits, now."""
        Service.stopService(self)
        self._publisher.removeObserver(self)
        for log in [*self._due, *self._troubled]:
            self._write(log)
        if self._flushing is not None:
            self._flushing.cancel()
        if self._retrying is not None:
            self._retrying.cancel()
        self._flushing = self._retrying = None
        self._forgetUnwritten()

    def __call__(self, event: LogEvent) -> None:
        """Take an event of the publisher, whatever it is; never raises."""
        group = event.get("group")
        log = self._logs.get(group) if isinstance(group, int) else None
        prefix = self._prefixes.get(event.get("log_level", LogLevel.info))
        if log is None or prefix is None:
            return
        try:
            text = formatEvent(event)
            if event.get("log_failure") is not None:
                text += f" {event['log_failure'].getErrorMessage()}"
            peer = str(event.get("peer") or "")
        except Exception as error:
            text, peer = f"(an event that has no text: {type(error).__name__})", ""
        self._add(log, self._line(peer, prefix + text))

    def _line(self, peer: str, text: str) -> bytes:
        """One line: local time with its distance from UTC, the peer without blanks, the text."""
        now = datetime.fromtimestamp(self._wallClock(), timezone.utc).astimezone()
        stamp = now.isoformat(" ", "microseconds")
        peer = oneLine(peer).replace(" ", "_") or "-"
        return f"{stamp} {peer} {oneLine(text)}\n".encode()

    def _gap(self, count: int) -> bytes:
        return self._line("", f"warn: {count} lines were lost here")

    def _add(self, log: Backlog, line: bytes) -> None:
        """Let a line wait for its file to be written soon; write at once what is too much."""
        isFull = (
            log.octets + len(line) > MAX_WAITING_GROUP or self._octets + len(line) > MAX_WAITING
        )
        if not log.add(line, isFull):
            self.everLost += 1
            return
        self._octets += len(line)
        if log.troubled:
            return
        self._due[log] = None
        if isFull:
            self._write(log)
        elif self._flushing is None:
            self._flushing = self._clock.callLater(FLUSH_DELAY, self._flush)

    def _flush(self) -> None:
        """Write the files that are due, so many in this turn, the others in the next ones."""
        self._flushing = None
        for log in list(islice(self._due, FILES_PER_TURN)):
            self._write(log)
        if self._due:
            self._flushing = self._clock.callLater(0, self._flush)

    def _retry(self) -> None:
        """Try again to write the files that could not be written."""
        self._retrying = None
        self._due.update(self._troubled)
        if self._flushing is None:
            self._flush()

    def _write(self, log: Backlog) -> None:
        """Append to a file all that waits for it; what cannot be written goes on waiting."""
        self._due.pop(log, None)
        octets = log.octets
        try:
            if log.troubled:
                os.makedirs(self._directory, mode=0o750, exist_ok=True)
            log.write()
        except OSError as error:
            self._fail(log, error)
        else:
            self._succeed(log)
        self._octets += log.octets - octets

    def _fail(self, log: Backlog, error: OSError) -> None:
        """Remember that a file cannot be written, and say so once."""
        if not log.troubled:
            log.troubled = True
            self._troubled[log] = None
            named = len(self._troubled)
            if named <= MAX_NAMED:
                self._log.error(
                    "Cannot write the event log {file}: {error}. Its lines wait in memory, up to"
                    " {octets} octets; next try in {seconds} s.{others}",
                    file=log.file.path,
                    error=error,
                    octets=MAX_WAITING_GROUP,
                    seconds=RETRY_DELAY,
                    others=" Further files are not named." if named == MAX_NAMED else "",
                )
        if self._retrying is None:
            self._retrying = self._clock.callLater(RETRY_DELAY, self._retry)

    def _succeed(self, log: Backlog) -> None:
        """Note that a file was written; say so when it was the last one in trouble."""
        if log.troubled:
            log.troubled = False
            del self._troubled[log]
            if not self._troubled:
                self._log.info("All event logs can be written again.")

    def _forgetUnwritten(self) -> None:
        """At stop: say how many lines never reached their files, and begin anew at a start."""
        unwritten = sum(log.forget() for log in self._troubled)
        self._troubled.clear()
        self._octets = 0
        self._sayUnwritten(unwritten)

    def _sayUnwritten(self, unwritten: int) -> None:
        if unwritten:
            self._log.error(
                "{count} lines of event logs in {folder} could not be written and are lost.",
                count=unwritten,
                folder=self._directory,
            )
