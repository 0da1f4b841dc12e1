"""Help for the tests of what is written to disks: one that fills, what twistd's log says of it."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterator
from typing import BinaryIO, cast

import pytest
from twisted.logger import ILogObserver, LogEvent, LogLevel, globalLogPublisher
from zope.interface import implementer

from mm2ss.services.rotatingfile import openForAppending

#: 2026-07-01 10:20:30.123456 UTC.
NOON = 1782901230.123456


class FakeDisk:
    """Opens real files, of which at most so many octets can be written in all.

    :ivar space: octets that still fit; a write takes what fits, and the next one fails.
    :ivar most: the most files that were open at the same time.
    """

    def __init__(self) -> None:
        self.space: float = float("inf")
        self.open = 0
        self.most = 0
        self.opened: list[str] = []

    def __call__(self, path: str) -> BinaryIO:
        self.opened.append(path)
        return cast(BinaryIO, FakeFile(self, openForAppending(path)))


class FakeFile:
    """A file on a :class:`FakeDisk`; it has what the event log uses of a file."""

    def __init__(self, disk: FakeDisk, file: BinaryIO) -> None:
        self.disk = disk
        self.file = file
        self.tell = file.tell

    def write(self, data: bytes) -> int:
        fitting = int(min(len(data), self.disk.space))
        if data and not fitting:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.disk.space -= fitting
        return self.file.write(data[:fitting])

    def truncate(self, size: int) -> None:
        self.file.truncate(size)

    def __enter__(self) -> FakeFile:
        self.disk.open += 1
        self.disk.most = max(self.disk.most, self.disk.open)
        return self

    def __exit__(self, *_: object) -> None:
        self.disk.open -= 1
        self.file.close()


@implementer(ILogObserver)
class TwistdLog:
    """What of the event log service itself would stand in twistd's log."""

    def __init__(self) -> None:
        self.events: list[LogEvent] = []

    def __call__(self, event: LogEvent) -> None:
        if event.get("log_namespace", "").startswith("mm2ss.services."):
            self.events.append(event)

    def texts(self, level: LogLevel) -> list[str]:
        return [
            event["log_format"].format(**event)
            for event in self.events
            if event["log_level"] is level
        ]


def twoHoursEast(monkeypatch: pytest.MonkeyPatch) -> Iterator[TwistdLog]:
    """Collect what twistd's log would show; local time is two hours ahead of UTC."""
    if hasattr(time, "tzset"):
        monkeypatch.setenv("TZ", "XXX-2")
        time.tzset()
    collected = TwistdLog()
    globalLogPublisher.addObserver(collected)
    yield collected
    globalLogPublisher.removeObserver(collected)
    if hasattr(time, "tzset"):
        monkeypatch.undo()
        time.tzset()
