"""Who has selected or executes which point: no command ever profits from another's select.

The RTU sees one connection and takes the execute of one master on the select of another. So a
point (common address and object address) belongs to the master whose select or execute went to
the RTU, until it is done; what others want of it meanwhile is refused, as by a busy RTU.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Generic, TypeVar

from mm2ss.iec104.asdu import Cause, isSelect, mirror

Owner = TypeVar("Owner")

#: Single, double, step and set-point commands and bitstrings, with and without a time tag.
COMMANDS = frozenset((*range(45, 52), *range(58, 65)))
_TEST = 0x80


@dataclass
class _Lock(Generic[Owner]):
    """One point that is in use.

    :ivar select: the select that went to the RTU, while nothing was executed on it.
    :ivar executing: how many executes of the owner have gone to the RTU and are not done.
    :ivar deadline: when the select runs out; inf while something executes.
    """

    owner: Owner
    select: bytes
    executing: int
    deadline: float


class Locks(Generic[Owner]):
    """The points of one RTU that are in use.

    :param selectTimeout: seconds that a select holds; not shorter than the RTU's.
    """

    def __init__(self, selectTimeout: float) -> None:
        self._selectTimeout = selectTimeout
        self._locks: dict[int, _Lock[Owner]] = {}

    def __len__(self) -> int:
        return len(self._locks)

    @property
    def deadline(self) -> float:
        """When the next select runs out; inf = none will."""
        return min((lock.deadline for lock in self._locks.values()), default=inf)

    def claim(self, owner: Owner, asdu: bytes, now: float) -> bool:
        """Whether a command may go to the RTU now; if so, its point is the owner's.

        A test command (T bit) acts on nothing and takes no lock. Who has the point already may
        send what he likes: that is between him and the RTU.
        """
        if asdu[2] & _TEST:
            return True
        point = _point(asdu)
        lock = self._live(point, now)
        if lock is not None and lock.owner is not owner:
            return False
        if asdu[2] & 0x3F == Cause.DEACTIVATION:
            return lock is not None
        if lock is None:
            lock = self._locks[point] = _Lock(owner, b"", 0, inf)
        if isSelect(asdu):
            if not lock.executing:
                lock.select = asdu
                lock.deadline = now + self._selectTimeout
        else:
            lock.select = b""
            lock.executing += 1
            lock.deadline = inf
        return True

    def ended(self, owner: Owner, asdu: bytes, positive: bool, answered: bool) -> None:
        """A command that went to the RTU is done, or has been given up.

        :param asdu: the command as it was claimed.
        :param positive: the RTU did as it was asked.
        :param answered: the RTU answered at all.
        """
        point = _point(asdu)
        lock = self._locks.get(point)
        if lock is None or lock.owner is not owner or asdu[2] & _TEST:
            return
        if asdu[2] & 0x3F == Cause.DEACTIVATION:
            done = answered and (positive or not lock.executing)
        elif isSelect(asdu):
            done = answered and not positive and not lock.executing
        else:
            lock.executing -= 1
            done = not lock.executing
        if done:
            del self._locks[point]

    def abandon(self, owner: Owner) -> list[bytes]:
        """The owner is gone; what he has selected is to be deactivated with these ASDUs.

        The points stay locked until the RTU has confirmed that, or the select has run out.
        """
        return [
            mirror(lock.select, Cause.DEACTIVATION)
            for lock in self._locks.values()
            if lock.owner is owner and lock.select
        ]

    def purge(self, now: float) -> None:
        """Forget selects that have run out."""
        over = [point for point, lock in self._locks.items() if lock.deadline <= now]
        for point in over:
            del self._locks[point]

    def clear(self) -> None:
        """The RTU's connection is gone, and its selects with it."""
        self._locks.clear()

    def _live(self, point: int, now: float) -> _Lock[Owner] | None:
        lock = self._locks.get(point)
        if lock is not None and lock.deadline <= now:
            del self._locks[point]
            return None
        return lock


def _point(asdu: bytes) -> int:
    """Common address and object address as one key."""
    return int.from_bytes(asdu[4:9], "little")
