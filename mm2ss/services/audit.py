"""The audit trail: one JSON line for every command of every group, in the order of their ends.

Each line is handed to the operating system before the call returns, so that nothing is missing
when the process is killed, and forced onto the disk within ``SYNC_DELAY`` by a thread. While the
file cannot be written, lines wait in memory and twistd's log has a critical line; what does not
fit there is counted, and the file says so when it can be written again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, DeferredLock
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from mm2ss.relay.audit import AuditEntry
from mm2ss.services.backlog import Backlog
from mm2ss.services.rotatingfile import Opener, RotatingFile, forceToDisk, openForAppending

FILE_NAME = "audit.jsonl"

#: Seconds after which what is written is forced onto the disk: what a power cut may cost.
SYNC_DELAY = 1.0
#: Seconds between two tries to write a file that could not be written.
RETRY_DELAY = 5.0
#: Octets of lines that wait for a file that cannot be written: more than 10 000 commands.
MAX_WAITING = 4 * 1024 * 1024

#: Runs something that may wait for a disk in a thread; fires when it is done.
InThread = Callable[[Callable[[], None]], Deferred[None]]


class AuditService(Service):
    """Writes the audit trail; it is called with each `AuditEntry`, in the reactor's thread.

    :param directory: absolute path of the folder for the file; made at start (mode 0750).
    :param rotateAt: octets after which the file is renamed to ``.1``; 0 = never.
    :param keep: renamed files that are kept, at least 1.
    :param clock: where the tries and the forcing are scheduled; may be monotonic.
    :param wallClock: seconds since the epoch, for the lines' time.
    :param inThread: where the disk is waited for.
    :param name: of the file.
    :ivar everLost: records that were lost, whether the file tells of them by now or not.
    """

    _log = Logger()

    def __init__(
        self,
        directory: str,
        rotateAt: int,
        keep: int,
        clock: IReactorTime,
        wallClock: Callable[[], float],
        inThread: InThread,
        opener: Opener = openForAppending,
        name: str = FILE_NAME,
    ) -> None:
        if not os.path.isabs(directory):
            raise ValueError(f"{directory!r} is not absolute: twistd changes its folder")
        if keep < 1:
            raise ValueError(f"{keep} files are kept: at each rotation all records would be lost")
        path = os.path.join(directory, name)
        self._file = RotatingFile(path, rotateAt, keep, opener, tellsDrops=True)
        self._backlog = Backlog(self._file, self._gap)
        self._directory = directory
        self._clock = clock
        self._wallClock = wallClock
        self._inThread = inThread
        self._lostSince = ""
        self.everLost = 0
        self._retrying: IDelayedCall | None = None
        self._syncDue: IDelayedCall | None = None
        self._syncing = DeferredLock()
        self._syncFailed = False

    @property
    def path(self) -> str:
        """The absolute path of the file that is written."""
        return self._file.path

    @property
    def troubled(self) -> bool:
        """Whether the trail cannot be written, or not be kept by the disk: an alarm."""
        return self._backlog.troubled or self._syncFailed

    @property
    def waiting(self) -> int:
        """Records that wait in memory for the file to be writable again."""
        return self._backlog.waiting

    @property
    def lost(self) -> int:
        """Records that are lost, and of which the file does not tell yet."""
        return self._backlog.lost

    def startService(self) -> None:
        """Make the folder and the file. What hinders that is an alarm now, not at a command."""
        Service.startService(self)
        self._write()

    def stopService(self) -> Deferred[None]:
        """Write what waits, now; fires when all is on the disk, or lost and said to be so."""
        Service.stopService(self)
        for call in (self._retrying, self._syncDue):
            if call is not None:
                call.cancel()
        self._retrying = self._syncDue = None
        if self._backlog.troubled:
            self._write()
        unwritten = self._backlog.forget()
        if unwritten:
            self._log.critical(
                "{count} records of the audit trail {file} could not be written and are lost.",
                count=unwritten,
                file=self.path,
            )
        return self._sync()

    def __call__(self, entry: AuditEntry) -> None:
        """Write one record; what is wrong with the file or the disk never raises."""
        line = jsonLine({"time": self._now(), **_fields(entry)})
        if not self._backlog.add(line, self._backlog.octets + len(line) > MAX_WAITING):
            self.everLost += 1
            if self._backlog.lost == 1:
                self._lostSince = self._now()
                self._log.critical(
                    "{octets} octets of the audit trail {file} wait in memory, where no more are"
                    " kept: records are being lost. The file will say how many.",
                    octets=self._backlog.octets,
                    file=self.path,
                )
        elif not self._backlog.troubled:
            self._write()

    def _now(self) -> str:
        """Local time with microseconds and its distance from UTC."""
        now = datetime.fromtimestamp(self._wallClock(), timezone.utc).astimezone()
        return now.isoformat(timespec="microseconds")

    def _gap(self, count: int) -> bytes:
        """The record in the place of those that were lost."""
        return jsonLine({"time": self._now(), "lost": count, "since": self._lostSince})

    # -- writing ----------------------------------------------------------------------------

    def _write(self) -> None:
        """Append all that waits; try again later when that does not work."""
        try:
            if self._backlog.troubled or not self._backlog.waiting:
                os.makedirs(self._directory, mode=0o750, exist_ok=True)
                self._file.touch()
            self._backlog.write()
        except OSError as error:
            self._fail(error)
        else:
            if self._backlog.troubled:
                self._backlog.troubled = False
                self._log.info("The audit trail {file} can be written again.", file=self.path)
        self._syncLater()

    def _fail(self, error: OSError) -> None:
        """Raise the alarm, once for each trouble."""
        if not self._backlog.troubled:
            self._backlog.troubled = True
            self._log.critical(
                "Cannot write the audit trail {file}: {error}. Its records wait in memory, up to"
                " {octets} octets; next try in {seconds} s.",
                file=self.path,
                error=error,
                octets=MAX_WAITING,
                seconds=RETRY_DELAY,
            )
        if self.running and self._retrying is None:
            self._retrying = self._clock.callLater(RETRY_DELAY, self._retry)

    def _retry(self) -> None:
        self._retrying = None
        self._write()

    # -- forcing onto the disk --------------------------------------------------------------

    def _syncLater(self) -> None:
        """Force onto the disk in a while what is written, if there is anything."""
        if self.running and self._syncDue is None and self._file.isFresh:
            self._syncDue = self._clock.callLater(SYNC_DELAY, self._syncNow)

    def _syncNow(self) -> None:
        self._syncDue = None
        if self._syncing.locked:
            self._syncLater()  # the disk is slow; it is asked again when it has done the last
        else:
            self._sync()

    def _sync(self) -> Deferred[None]:
        """Fires when the disk has all that is written by now; never fails."""
        return self._syncing.run(lambda: Deferred.fromCoroutine(self._force()))

    async def _force(self) -> None:
        paths = self._file.written()
        if not paths:
            return
        try:
            await self._inThread(lambda: forceToDisk(paths))
        except Exception:
            self._tellSyncFailed(Failure())
        else:
            self._syncFailed = False

    def _tellSyncFailed(self, failure: Failure) -> None:
        if not self._syncFailed:
            self._syncFailed = True
            self._log.critical(
                "The disk could not keep the audit trail {file}: {error}. Its last records are"
                " lost if the power fails.",
                file=self.path,
                error=failure.getErrorMessage(),
            )


def _fields(entry: AuditEntry) -> dict[str, Any]:
    """An entry under the names that docs/audit.md gives, in a reader's order."""
    return {
        "group": entry.group,
        "system": entry.system,
        "master": entry.master,
        "type": entry.typeName,
        "type_id": entry.typeId,
        "ca": entry.commonAddress,
        "ioa": entry.objectAddress,
        "action": entry.action,
        "value": entry.value,
        "originator": entry.originator,
        "test": entry.test,
        "result": entry.result.value,
        "reason": entry.reason,
        "seconds": round(entry.duration, 6),
    }


def jsonLine(fields: dict[str, Any]) -> bytes:
    """One line of JSON in UTF-8; what cannot be printed is escaped, whatever a peer sent."""
    text = json.dumps(fields, ensure_ascii=False)
    if not text.isprintable():
        text = "".join(sign if sign.isprintable() else json.dumps(sign)[1:-1] for sign in text)
    return f"{text}\n".encode()
