"""Trace files: what a group's connections said last, for Wireshark, a few files for each group.

A file is written when a connection ends by a fault of the protocol, and when somebody asks for it.
A thread makes and writes them, one after the other; when many links fail at once, those that would
wait too long are not written.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable
from datetime import datetime

from twisted.application.service import Service
from twisted.internet.defer import Deferred, DeferredLock, fail
from twisted.logger import Logger
from twisted.python.failure import Failure

from mm2ss import __version__
from mm2ss.relay.snapshot import TraceSnapshot
from mm2ss.services.eventlog import fileName
from mm2ss.services.pcapng import pcapng

#: Runs something that may wait for a disk in a thread; fires when it is done.
InThread = Callable[[Callable[[], None]], Deferred[None]]

#: Files that wait to be written; each holds the chunks of one group, 10 kB as a rule and 500 kB at
#: most.
MAX_WAITING = 64
SUFFIX = ".pcapng"


class TooMany(Exception):
    """So many files wait to be written that this one is not."""


class TraceFiles(Service):
    """Writes the trace files; it is called with each `TraceSnapshot` that a fault has caused.

    :param directory: absolute path of the folder for the files; made at start (mode 0750).
    :param keep: files that are kept for each group, at least 1; the oldest are removed.
    :param faults: whether files are written without being asked for.
    :param wallClock: seconds since the epoch.
    :param inThread: where files are made and written.
    """

    _log = Logger()

    def __init__(
        self,
        directory: str,
        keep: int,
        faults: bool,
        wallClock: Callable[[], float],
        inThread: InThread,
    ) -> None:
        if not os.path.isabs(directory):
            raise ValueError(f"{directory!r} is not absolute: twistd changes its folder")
        if keep < 1:
            raise ValueError(f"{keep} files are kept: none would be left to look at")
        self._directory = directory
        self._keep = keep
        self._faults = faults
        self._wallClock = wallClock
        self._inThread = inThread
        self._writing = DeferredLock()
        self._troubled = False

    def startService(self) -> None:
        """Make the folder. One that cannot be made stops nothing, but is said now."""
        Service.startService(self)
        if not self._faults:
            return
        try:
            os.makedirs(self._directory, mode=0o750, exist_ok=True)
        except OSError as error:
            self._log.error(
                "Cannot make the folder {folder} for the trace files: {error}",
                folder=self._directory,
                error=error,
            )

    def stopService(self) -> Deferred[None]:
        """Fires when all that waits is written."""
        Service.stopService(self)
        return self._writing.run(lambda: None)

    def __call__(self, trace: TraceSnapshot) -> None:
        """Write a file after a fault, if that is wanted; what goes wrong is only logged."""
        if self._faults:
            self.save(trace).addErrback(self._failed, trace)

    def save(self, trace: TraceSnapshot) -> Deferred[str]:
        """Write a file.

        :return: fires with its absolute path; fails with `OSError` or `TooMany`.
        """
        if len(self._writing.waiting) >= MAX_WAITING:
            return fail(TooMany(f"{MAX_WAITING} trace files wait to be written already"))
        toWall = self._wallClock() - trace.time
        path = os.path.join(self._directory, nameOf(trace, self._wallClock()))

        def write() -> None:
            _write(path, pcapng(trace, toWall, f"mm2ss {__version__}"))
            _prune(path, trace.id, self._keep)

        def written(_: None) -> str:
            self._troubled = False
            self._log.info("trace written to {file}", file=path, group=trace.id, peer=trace.peer)
            return path

        return self._writing.run(self._inThread, write).addCallback(written)

    def _failed(self, failure: Failure, trace: TraceSnapshot) -> None:
        """Say what went wrong, once while the trouble lasts."""
        if not self._troubled:
            self._troubled = True
            self._log.error(
                "no trace could be written to {folder}: {error}; this is said once",
                folder=self._directory,
                error=failure.getErrorMessage(),
                group=trace.id,
                peer=trace.peer,
            )


def nameOf(trace: TraceSnapshot, wallTime: float) -> str:
    """``111-RTU-ABB-20261122-101503-123456-T1_I_FRAME.pcapng``, in local time."""
    moment = datetime.fromtimestamp(wallTime).strftime("%Y%m%d-%H%M%S-%f")
    cause = trace.cause.name if trace.cause else "asked"
    system = os.path.splitext(fileName(trace.id, trace.name))[0]
    return f"{system}-{moment}-{cause}{SUFFIX}"


def _write(path: str, octets: bytes) -> None:
    """Make the file, whole or not at all."""
    os.makedirs(os.path.dirname(path), mode=0o750, exist_ok=True)
    unfinished = f"{path}.tmp"
    try:
        with open(unfinished, "wb", opener=_ours) as file:
            file.write(octets)
        os.replace(unfinished, path)
    except OSError:
        with contextlib.suppress(OSError):
            os.remove(unfinished)
        raise


def _ours(path: str, flags: int) -> int:
    """Open a file for the service's user and group only."""
    return os.open(path, flags, 0o640)


def _prune(newest: str, group: int, keep: int) -> None:
    """Remove a group's oldest files, never the newest; the clock may have been set back."""
    folder, last = os.path.split(newest)
    mine = re.compile(rf"{group}-.*-(\d{{8}}-\d{{6}}-\d{{6}})-\w+{re.escape(SUFFIX)}")
    matches = [match for match in map(mine.fullmatch, os.listdir(folder)) if match]
    others = sorted((match[1], match[0]) for match in matches if match[0] != last)
    for _, name in others[: max(0, len(others) + 1 - keep)]:
        with contextlib.suppress(OSError):  # somebody reads it, or was faster
            os.remove(os.path.join(folder, name))
