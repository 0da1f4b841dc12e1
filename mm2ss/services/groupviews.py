"""The groups as the shell shows them, seen through frozen snapshots and changed by few commands."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from mm2ss.config.model import GroupConfig
from mm2ss.relay.snapshot import GroupSnapshot, HistogramSnapshot
from mm2ss.services.interpreter import Live, Mistake
from mm2ss.services.tables import Column, Facts, Said, Table, factsOf

#: Groups that a list of numbers names before it says how many more there are.
MAX_NAMED = 20


class Trace(Protocol):
    """What passes on a group's connections."""

    def follow(self, follower: Callable[[str], object]) -> Callable[[], None]:
        """Tell each frame in words from now on; returns what ends it."""
        ...

    def save(self) -> Deferred[str]:
        """Write the last frames to a file; fires with its path.

        :raises RuntimeError: there is no folder for it.
        """
        ...


class Fleet(Protocol):
    """All groups, as `mm2ss.relay.fleet.Fleet` shows them."""

    @property
    def numbers(self) -> list[int]:
        """Their numbers."""
        ...

    def config(self, number: int) -> GroupConfig:
        """What a group runs with."""
        ...

    def snapshot(self, number: int) -> GroupSnapshot:
        """A group's figures."""
        ...

    def snapshots(self) -> list[GroupSnapshot]:
        """The figures of all groups."""
        ...

    def restart(self, number: int) -> Deferred[None]:
        """Stop a group in order and start it anew."""
        ...

    def disconnect(self, number: int, peer: str) -> int:
        """Close some masters; returns how many."""
        ...

    def trace(self, number: int) -> Trace:
        """A group's trace."""
        ...


class UnknownName(Mistake, AttributeError):
    """A group has no such figure."""


class Groups:
    """All groups of the process."""

    def __init__(self, fleet: Fleet, operator: str) -> None:
        self._fleet = fleet
        self._operator = operator

    def __len__(self) -> int:
        return len(self._fleet.numbers)

    def __iter__(self) -> Iterator[Group]:
        return (Group(self._fleet, number, self._operator) for number in self._fleet.numbers)

    def __getitem__(self, which: int | str) -> Group:
        fleet = self._fleet
        numbers = [
            number for number in fleet.numbers if which in (number, fleet.config(number).name)
        ]
        if not numbers:
            raise Mistake(f"There is no group {which!r}; there are: {named(fleet.numbers)}")
        if len(numbers) > 1:
            raise Mistake(f"There is more than one group {which!r}: {named(numbers)}")
        return Group(fleet, numbers[0], self._operator)

    @property
    def down(self) -> Table:
        """The groups whose RTU is not connected."""
        return self._table([each for each in self._fleet.snapshots() if not each.rtu])

    def __repr__(self) -> str:
        return repr(self._table(self._fleet.snapshots()))

    def _table(self, snapshots: list[GroupSnapshot]) -> Table:
        columns = (
            Column("id"),
            Column("name", 8),
            Column("RTU", 10),
            Column("transfer"),
            Column("masters"),
            Column("port"),
            Column("unsettled"),
            Column("received"),
            Column("keeping", 12),
        )
        rows = (
            (
                each.id,
                each.name,
                each.rtu,
                each.transfer,
                each.links.connected,
                self._fleet.config(each.id).port,
                each.unsettled,
                each.received,
                each.keeping,
            )
            for each in snapshots
        )
        return Table(columns, rows)


class Group:
    """One group. Its figures are attributes, each of the moment when it is asked for."""

    _log = Logger()

    def __init__(self, fleet: Fleet, number: int, operator: str) -> None:
        self._fleet = fleet
        self._number = number
        self._operator = operator

    @property
    def snapshot(self) -> GroupSnapshot:
        """All figures of this moment."""
        snapshot: GroupSnapshot = self._known(self._fleet.snapshot)
        return snapshot

    @property
    def config(self) -> Facts:
        """What the group runs with."""
        return Facts(factsOf(self._known(self._fleet.config)))

    @property
    def masters(self) -> Table:
        """The masters that have started data transfer."""
        columns = (
            Column("peer"),
            Column("started"),
            Column("sent"),
            Column("delivered"),
            Column("waiting"),
            Column("silence"),
            Column("requests"),
            Column("keeps"),
            Column("held back"),
        )
        rows = (
            (
                each.peer,
                each.started,
                each.sent,
                each.delivered,
                each.waiting,
                each.silence,
                each.requests,
                each.keeps,
                each.heldBack,
            )
            for each in self.snapshot.masters
        )
        return Table(columns, rows, "(no master has started data transfer)")

    def restart(self) -> Deferred[Said]:
        """Stop the group in order and start it anew; prints when it has begun to connect."""
        number = self._number
        self._known(self._fleet.config)
        self._note("restarted")
        restarting = self._fleet.restart(number)
        return restarting.addCallback(lambda _: Said(f"group {number} is restarted"))

    def disconnect(self, peer: str) -> Said:
        """Close the masters at an address (``10.1.1.7``), or one (``10.1.1.7:40001``)."""
        count = self._known(lambda number: self._fleet.disconnect(number, str(peer)))
        if not count:
            there = ", ".join(each.peer for each in self.snapshot.masters) or "none"
            raise Mistake(f"No master {peer} is connected; there are: {there}")
        text = f"{count} {'master' if count == 1 else 'masters'} disconnected"
        self._note(f"{text} ({peer})")
        return Said(text)

    def trace(self) -> Tracing:
        """What passes on the group's connections, in words, until Ctrl-C."""
        return Tracing(self._known(self._fleet.trace))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        snapshot = self.snapshot
        if not hasattr(snapshot, name):
            raise UnknownName(f"A group has no {name}; there are: {', '.join(dir(self))}")
        return getattr(snapshot, name)

    def __dir__(self) -> list[str]:
        own = ["config", "disconnect", "masters", "restart", "snapshot", "trace"]
        return sorted({*own, *factsOfNames(GroupSnapshot)})

    def __repr__(self) -> str:
        snapshot = self.snapshot
        config = self._fleet.config(self._number)
        facts = {
            "group": f"{snapshot.id} {snapshot.name}",
            "hosts": config.hosts,
            "port": f"{config.port}, {'open' if snapshot.links.listening else 'closed'}",
            "connected masters": snapshot.links.connected,
            "common address": config.commonAddress,
        }
        return f"{Facts(facts | figuresOf(snapshot))!r}\n\n{self.masters!r}"

    def _known(self, ask: Callable[[int], Any]) -> Any:
        """Ask about the group, which a reload may have removed."""
        try:
            return ask(self._number)
        except KeyError:
            raise Mistake(f"There is no group {self._number} any more") from None

    def _note(self, what: str) -> None:
        """One line for the group's event log: who did what."""
        self._log.info(
            "{what} by {operator}", what=what, operator=self._operator, group=self._number, peer="-"
        )


class Tracing(Live):
    """A group's trace: printed, it goes on until Ctrl-C."""

    def __init__(self, trace: Trace) -> None:
        self._trace = trace

    def follow(self, show: Callable[[str], None]) -> Callable[[], None]:
        """Show each frame in words from now on; returns what ends it."""
        return self._trace.follow(show)

    def save(self) -> Deferred[Said]:
        """Write the last frames to a file for Wireshark; prints its path."""
        try:
            saving = self._trace.save()
        except RuntimeError as error:
            raise Mistake(str(error)) from None
        return saving.addCallbacks(Said, _notSaved)


def _notSaved(failure: Failure) -> Said:
    raise Mistake(f"It could not be written: {failure.getErrorMessage()}")


def figuresOf(snapshot: GroupSnapshot) -> dict[str, object]:
    """A group's figures for people: counts that are zero and fine classes left out."""
    figures = factsOf(snapshot)
    for name in ("id", "name", "masters", "links"):
        del figures[name]
    for name, value in figures.items():
        if isinstance(value, HistogramSnapshot):
            count = sum(value.counts)
            figures[name] = f"{count}, mean {value.total / count:.3f} s" if count else "none"
        elif isinstance(value, dict):
            figures[name] = {key: each for key, each in value.items() if each}
    return figures | {
        "line to the RTU": snapshot.links.rtu,
        "masters' lines": snapshot.links.masters,
    }


def factsOfNames(figures: type[Any]) -> list[str]:
    """The names of a snapshot's fields."""
    return list(figures.__dataclass_fields__)


def named(numbers: list[int]) -> str:
    """Some numbers, the first of them if they are many."""
    if not numbers:
        return "none"
    more = len(numbers) - MAX_NAMED
    return ", ".join(map(str, numbers[:MAX_NAMED])) + (f" and {more} more" if more > 0 else "")
