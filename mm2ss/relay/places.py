"""The places of masters that lost their connection, kept for their return."""

from __future__ import annotations

from dataclasses import dataclass

from mm2ss.config.model import Address
from mm2ss.relay.ledger import Ledger


@dataclass(eq=False)
class _Place:
    """Where a master was: it holds the ledger's entries until it is given up.

    :ivar position: of the first entry that the master had not acknowledged.
    :ivar until: when it is forgotten, monotonic seconds.
    :ivar held: whether the entries are still kept.
    """

    position: int
    until: float
    held: bool = True


class Places:
    """The kept places of one group.

    A place is bounded; past its bound it is given up whole, so that a master that returns misses
    either nothing or everything up to its return, never a part in the middle.

    :param ledger: whose entries are kept.
    :param seconds: how long a place is kept; 0 = none is.
    :param frames: how many entries at most are kept for one.
    """

    def __init__(self, ledger: Ledger, seconds: float, frames: int) -> None:
        self._ledger = ledger
        self._seconds = seconds
        self._frames = frames
        self._places: dict[Address, list[_Place]] = {}

    def keep(self, address: Address, position: int, now: float) -> None:
        """A master's connection was lost."""
        if self._seconds:
            self.expire(now)
            place = _Place(position, now + self._seconds)
            self._places.setdefault(address, []).append(place)
            self._ledger.hold(place)

    def take(self, address: Address, now: float) -> tuple[int | None, int]:
        """A master starts: the furthest-behind place of its address is its own.

        :returns: where it goes on, or None for where new ones begin; and how many frames it has
            missed, because its place was given up.
        """
        self.expire(now)
        places = self._places.get(address)
        if not places:
            return None, 0
        place = min(places, key=lambda place: place.position)
        places.remove(place)
        if not places:
            del self._places[address]
        if place.held:
            self._ledger.letGo(place)
            return place.position, 0
        return None, max(0, self._ledger.settled - place.position)

    def expire(self, now: float) -> None:
        """Forget what is over, and give up what has too many entries."""
        for address, places in tuple(self._places.items()):
            for place in tuple(places):
                if place.until <= now:
                    self._ledger.letGo(place)
                    places.remove(place)
                elif self._ledger.end - place.position > self._frames:
                    self._giveUp(place)
            if not places:
                del self._places[address]

    def giveUpFurthest(self, before: int) -> bool:
        """Give up the place furthest behind, if it is before a position; whether there was one."""
        held = [place for places in self._places.values() for place in places if place.held]
        place = min(held, key=lambda place: place.position, default=None)
        if place is None or place.position >= before:
            return False
        self._giveUp(place)
        return True

    def _giveUp(self, place: _Place) -> None:
        place.held = False
        self._ledger.letGo(place)
