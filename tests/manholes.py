"""What the tests of the Manhole share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from twisted.logger import ILogObserver, LogEvent, formatEvent, globalLogPublisher
from zope.interface import implementer


@implementer(ILogObserver)
class Log:
    """What is logged."""

    def __init__(self) -> None:
        self.events: list[LogEvent] = []

    def __call__(self, event: LogEvent) -> None:
        self.events.append(event)

    @property
    def lines(self) -> list[str]:
        """The texts."""
        return [formatEvent(event) for event in self.events]

    @property
    def text(self) -> str:
        """All texts."""
        return "\n".join(self.lines)


@contextmanager
def logged() -> Iterator[Log]:
    """Collects what is logged within it."""
    log = Log()
    globalLogPublisher.addObserver(log)
    try:
        yield log
    finally:
        globalLogPublisher.removeObserver(log)
