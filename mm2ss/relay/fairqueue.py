"""Requests that wait for the RTU's window, in a fair order."""

from __future__ import annotations

from collections.abc import Iterable

from mm2ss.relay.lines import Turn
from mm2ss.relay.master import Master


class FairQueue:
    """What is to go to the RTU: first what has waited in line already, then one request of each
    master in turn.

    What has waited is `cleared`: it has its point, line or moment, and goes out unexamined.
    """

    def __init__(self) -> None:
        self.cleared: list[Turn[Master]] = []
        self._masters: list[Master] = []

    def __bool__(self) -> bool:
        return bool(self.cleared or self._masters)

    def put(self, turn: Turn[Master]) -> None:
        """A master's request stands behind its others."""
        master = turn.owner
        if not master.queue:
            self._masters.append(master)
        master.queue.append(turn)

    def take(self) -> Turn[Master] | None:
        """The next request of a master; None when none waits."""
        if not self._masters:
            return None
        master = self._masters.pop(0)
        turn = master.queue.pop(0)
        if master.queue:
            self._masters.append(master)
        return turn

    def drop(self, master: Master) -> list[Turn[Master]]:
        """A master is gone; returns what it had in its queue."""
        dropped, master.queue = master.queue, []
        if dropped:
            self._masters.remove(master)
        return dropped

    def clear(self, now: float) -> list[Turn[Master]]:
        """Nothing is to be sent any more; returns all that waited."""
        waited = [*self.cleared]
        self.cleared.clear()
        for master in tuple(self._masters):
            waited += self.drop(master)
            master.throttle(now)
        return waited

    def takeOlder(self, than: float, now: float) -> Iterable[Turn[Master]]:
        """Take what came before a moment, without the cleared."""
        for master in tuple(self._masters):
            while master.queue and master.queue[0].since < than:
                yield master.queue.pop(0)
            if not master.queue:
                self._masters.remove(master)
            master.throttle(now)
