"""Calls that a group has for later, one per name."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from twisted.internet.interfaces import IDelayedCall, IReactorTime


class Timers:
    """Calls that come later, once, unless they are cancelled.

    :param clock: makes them.
    """

    __slots__ = ("_calls", "_clock")

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._calls: dict[str, IDelayedCall] = {}

    def __contains__(self, name: str) -> bool:
        """Whether a call of this name is to come."""
        return name in self._calls

    def set(self, name: str, delay: float, call: Callable[[], object]) -> None:
        """Call after so many seconds; not any more what had this name before."""
        self.cancel(name)
        self._calls[name] = self._clock.callLater(delay, partial(self._due, name, call))

    def cancel(self, name: str) -> None:
        """Do not call any more, if that was to come."""
        call = self._calls.pop(name, None)
        if call is not None:
            call.cancel()

    def cancelAll(self) -> None:
        """Leave nothing pending."""
        for name in tuple(self._calls):
            self.cancel(name)

    def _due(self, name: str, call: Callable[[], object]) -> None:
        del self._calls[name]
        call()
