"""Spreads attempts to connect over time, for all groups of the process together.

When the relay starts, or a line comes back that a thousand RTUs are behind, all groups want to
connect in the same instant. What follows from each connection - a port that opens, its masters that
come, their greetings - would then be one long turn of the reactor in which nobody is served.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall, IReactorTime

#: Attempts that may begin in one beat, and seconds from one beat to the next: at most 1 000 a
#: second, and a site with twenty groups never waits. The next beat is counted from the end of the
#: last one's work, and between two beats the reactor turns once at least: a process that is busy
#: with those that came up calls fewer.
ATTEMPTS = 25
BEAT = 0.025


class Pacer:
    """Says when an attempt may begin: the first ones at once, the others in their order.

    Who waits is one call of each group, so that no bound of its own is needed.

    :param clock: monotonic time and timers.
    :param attempts: that may begin in one beat.
    :param beat: seconds.
    """

    def __init__(self, clock: IReactorTime, attempts: int = ATTEMPTS, beat: float = BEAT) -> None:
        self._clock = clock
        self._attempts = attempts
        self._beat = beat
        self._waiting: OrderedDict[Callable[[], None], None] = OrderedDict()
        self._room = attempts
        self._renewed = clock.seconds()
        self._call: IDelayedCall | None = None

    @property
    def waiting(self) -> int:
        """Attempts that wait for their turn."""
        return len(self._waiting)

    def ask(self, begin: Callable[[], None]) -> None:
        """Have an attempt begun: now, if nobody waits and there is room, or in its turn.

        :param begin: begins it. The same one waits once, however often it is asked for.
        """
        now = self._clock.seconds()
        if not self._waiting and now >= self._renewed + self._beat:
            self._room = self._attempts
            self._renewed = now
        if self._room and not self._waiting:
            self._room -= 1
            begin()
            return
        self._waiting[begin] = None
        if self._call is None:
            self._call = self._clock.callLater(self._renewed + self._beat - now, self._turn)

    def withdraw(self, begin: Callable[[], None]) -> None:
        """Have an attempt not begun after all; does nothing if it does not wait."""
        self._waiting.pop(begin, None)
        if not self._waiting and self._call is not None:
            self._call.cancel()
            self._call = None

    def _turn(self) -> None:
        self._call = None
        self._room = self._attempts
        try:
            while self._waiting and self._room:
                self._room -= 1
                begin, _ = self._waiting.popitem(last=False)
                begin()
        finally:  # one that fails must not keep the others waiting for ever
            self._renewed = self._clock.seconds()
            if self._waiting:
                self._call = self._clock.callLater(self._beat, self._turn)
