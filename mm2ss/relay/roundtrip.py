"""The longest round trip of the last hour: how long an acknowledgement may be under way."""

from __future__ import annotations

#: Seconds of one of the two halves of the hour that are remembered.
_HALF = 1800.0


class RoundTrips:
    """The longest of the round trips seen in the last 30 to 60 minutes, in seconds."""

    def __init__(self) -> None:
        self._since = 0.0
        self._now = 0.0
        self._before = 0.0

    def add(self, seconds: float, now: float) -> None:
        """A round trip took so long."""
        self._turn(now)
        self._now = max(self._now, seconds)

    def longest(self, now: float) -> float:
        """The longest one; 0 when none was seen."""
        self._turn(now)
        return max(self._now, self._before)

    def _turn(self, now: float) -> None:
        halves = (now - self._since) // _HALF
        if halves >= 1:
            self._before = self._now if halves < 2 else 0.0
            self._now = 0.0
            self._since = now
