"""Who has selected or executes which point: no command ever profits from another's select.

The RTU sees one connection and takes the execute of one master on the select of another. So a
point (common address and object address) belongs to the master whose select or execute went to
the RTU, until it is done; what others want of it meanwhile is refused, as by a busy RTU.
"""

from __future__ import annotations

from math import inf
from typing import Generic, TypeVar

from mm2ss.iec104.asdu import Cause, isSelect, mirror

Owner = TypeVar("Owner")

#: Single, double, step and set-point commands and bitstrings, with and without a time tag.
COMMANDS = frozenset((*range(45, 52), *range(58, 65)))
_TEST = 0x80
_DEACTIVATION = Cause.DEACTIVATION.value  # found at once; see `requests`


class _Lock(Generic[Owner]):
    """One point that is in use. What went to the RTU is known by its ASDU, the very object.

    :ivar selects: selects since the last execute that the RTU has not answered, oldest first.
    :ivar armed: the newest of them that it has confirmed, or that it may have heard; or nothing.
    :ivar used: the select before the last execute, which is armed still if that was not heard.
    :ivar executing: how many executes have gone to the RTU and are not done.
    :ivar until: when the last select runs out.
    :ivar ending: the deactivation that has gone to the RTU after everything else; or nothing.
    """

    __slots__ = ("armed", "ending", "executing", "owner", "selects", "until", "used")

    def __init__(self, owner: Owner) -> None:
        self.owner = owner
        self.selects: list[bytes] = []
        self.armed = b""
        self.used = b""
        self.executing = 0
        self.until = inf
        self.ending = b""

    @property
    def select(self) -> bytes:
        """The select on which an execute would run, as far as can be known here; or nothing."""
        return self.selects[-1] if self.selects else self.armed

    @property
    def deadline(self) -> float:
        """When it ends by itself; inf while something executes, which has its own time-out."""
        return inf if self.executing else self.until


class Locks(Generic[Owner]):
    """The points of one RTU that are in use.

    :param selectTimeout: seconds that a select holds, from its going to the RTU and again from
        its confirmation; not shorter than the RTU's.
    :ivar deadline: when `purge` is to be called at the latest; inf = never.
    """

    def __init__(self, selectTimeout: float) -> None:
        self._selectTimeout = selectTimeout
        self._locks: dict[int, _Lock[Owner]] = {}
        self.deadline = inf

    def __len__(self) -> int:
        return len(self._locks)

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
        if asdu[2] & 0x3F == _DEACTIVATION:
            if lock is not None:
                lock.ending = asdu
            return lock is not None
        if lock is None:
            lock = self._locks[point] = _Lock(owner)
        lock.ending = b""
        if isSelect(asdu):
            lock.selects.append(asdu)
            self._hold(lock, now)
        else:
            lock.used = lock.select or lock.used
            lock.selects.clear()
            lock.armed = b""
            lock.executing += 1
        return True

    def ended(self, owner: Owner, asdu: bytes, positive: bool, answered: bool, now: float) -> None:
        """A command that went to the RTU is done, or has been given up.

        :param asdu: the command as it was claimed, the same object.
        :param positive: the RTU did as it was asked.
        :param answered: the RTU answered at all, be it to the command's deactivation.
        """
        point = _point(asdu)
        lock = self._locks.get(point)
        if lock is None or lock.owner is not owner or asdu[2] & _TEST:
            return
        if asdu[2] & 0x3F == _DEACTIVATION:
            self._deactivated(lock, asdu, positive)
        elif isSelect(asdu):
            self._selected(lock, asdu, positive, answered, now)
        else:
            lock.executing -= 1
            if answered:
                lock.used = b""
            elif not lock.executing and not lock.select:
                lock.armed = lock.used
        if lock.executing or lock.select:
            self.deadline = min(self.deadline, lock.deadline)
        else:
            del self._locks[point]

    def _deactivated(self, lock: _Lock[Owner], asdu: bytes, positive: bool) -> None:
        """Nothing is selected any more, unless the RTU refused that or was sent more since."""
        if lock.ending is asdu:
            lock.ending = b""
            if positive:
                lock.selects.clear()
                lock.armed = lock.used = b""

    def _selected(
        self, lock: _Lock[Owner], asdu: bytes, positive: bool, answered: bool, now: float
    ) -> None:
        """A select that no execute has followed yet stands, unless it was refused."""
        before = len(lock.selects)
        lock.selects = [each for each in lock.selects if each is not asdu]
        if len(lock.selects) < before and (positive or not answered):
            lock.armed = asdu
            if positive:
                self._hold(lock, now)

    def _hold(self, lock: _Lock[Owner], now: float) -> None:
        """A select holds from now on."""
        lock.until = now + self._selectTimeout
        self.deadline = min(self.deadline, lock.deadline)

    def abandon(self, owner: Owner) -> list[bytes]:
        """The owner is gone; what he has selected is to be deactivated with these ASDUs.

        The points stay locked until the RTU has confirmed that, or the select has run out.
        """
        endings: list[bytes] = []
        for lock in self._locks.values():
            if lock.owner is owner and lock.select and not lock.ending:
                lock.ending = mirror(lock.select, Cause.DEACTIVATION)
                endings.append(lock.ending)
        return endings

    def purge(self, now: float) -> None:
        """Forget selects that have run out."""
        if now < self.deadline:
            return
        over = [point for point, lock in self._locks.items() if lock.deadline <= now]
        for point in over:
            del self._locks[point]
        self.deadline = min((lock.deadline for lock in self._locks.values()), default=inf)

    def clear(self) -> None:
        """The RTU's connection is gone, and its selects with it."""
        self._locks.clear()
        self.deadline = inf

    def _live(self, point: int, now: float) -> _Lock[Owner] | None:
        lock = self._locks.get(point)
        if lock is not None and lock.deadline <= now:
            del self._locks[point]
            return None
        return lock


def _point(asdu: bytes) -> int:
    """Common address and object address as one key."""
    return int.from_bytes(asdu[4:9], "little")
