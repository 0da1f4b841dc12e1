"""How the commands of a group ended, and how long its RTU took to confirm them."""

from __future__ import annotations

from collections.abc import Callable

from mm2ss.relay.audit import Audit, AuditEntry, Outcome
from mm2ss.relay.histogram import Histogram

#: Seconds that end the classes of round trips: from an RTU in the same room to one behind a slow
#: line that is asked by everybody.
ROUND_TRIPS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class CommandFigures:
    """Counts what it passes on.

    :param audit: told how each command ended.
    :param told: told how many seconds the RTU took to confirm a command, and the time.
    :ivar results: commands by how they ended; the keys are the values of `Outcome`.
    :ivar roundTrips: seconds from a command's going to the RTU to its confirmation.
    """

    def __init__(self, audit: Audit, told: Callable[[float, float], None]) -> None:
        self._audit = audit
        self._told = told
        self.results = {outcome.value: 0 for outcome in Outcome}
        self.roundTrips = Histogram(ROUND_TRIPS)

    def ended(self, entry: AuditEntry) -> None:
        """A command has ended."""
        self.results[entry.result.value] += 1
        self._audit(entry)

    def confirmed(self, seconds: float, now: float) -> None:
        """The RTU took so long to confirm a command."""
        self.roundTrips.add(seconds)
        self._told(seconds, now)
