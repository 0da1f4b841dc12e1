"""The text in which Prometheus reads the groups' figures, made a few groups at a time.

With thousands of groups the page has hundreds of thousands of lines. `prometheus_client` takes
some 20 us for each, which is right for the few of the process and too much for these: here they are
made straight from the snapshots, a family of metrics for many groups in one go.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from mm2ss.relay.snapshot import GroupSnapshot, HistogramSnapshot, MasterSnapshot, PeerSnapshot


def escaped(text: str) -> str:
    """A text as it stands between the quotes of a label's value."""
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


@dataclass(frozen=True)
class Peer:
    """The masters at one address.

    :ivar labels: what stands between the braces, from the group's labels on.
    :ivar figures: what is counted for the address.
    :ivar masters: its connections that have started data transfer, now or before.
    """

    labels: str
    figures: PeerSnapshot
    masters: Sequence[MasterSnapshot]


class Item:
    """One group of a batch.

    :ivar labels: what stands between the braces.
    :ivar group: its figures.
    :ivar peers: its masters, by address.
    """

    __slots__ = ("group", "labels", "peers")

    def __init__(self, group: GroupSnapshot) -> None:
        self.group = group
        self.labels = f'group="{group.id}",name="{escaped(group.name)}"'
        masters: dict[str, list[MasterSnapshot]] = {}
        for master in group.masters:
            masters.setdefault(master.address, []).append(master)
        self.peers = [
            Peer(f'{self.labels},peer="{peer.address}"', peer, masters.get(peer.address, ()))
            for peer in group.links.peers
        ]


class Family(ABC):
    """One metric of all groups.

    :ivar name: with its unit, and ``_total`` if it is a counter.
    :ivar kind: ``gauge``, ``counter`` or ``histogram``.
    :ivar meaning: one line, with the unit.
    :ivar labels: beside ``group`` and ``name``.
    """

    def __init__(self, name: str, kind: str, meaning: str, labels: Sequence[str] = ()) -> None:
        self.name = name
        self.kind = kind
        self.meaning = meaning
        self.labels = tuple(labels)

    @property
    def head(self) -> str:
        """What stands above the lines."""
        return f"# HELP {self.name} {self.meaning}\n# TYPE {self.name} {self.kind}\n"

    @abstractmethod
    def lines(self, batch: Sequence[Item]) -> str:
        """The lines of some groups."""


class One(Family):
    """One number for each group; None = the group has no such figure."""

    def __init__(
        self, name: str, kind: str, meaning: str, read: Callable[[GroupSnapshot], float | None]
    ) -> None:
        super().__init__(name, kind, meaning)
        self._read = read

    def lines(self, batch: Sequence[Item]) -> str:
        name, read = self.name, self._read
        return "".join(
            [
                f"{name}{{{item.labels}}} {+value}\n"  # + makes 1 of True
                for item in batch
                if (value := read(item.group)) is not None
            ]
        )


class Many(Family):
    """Numbers with further labels; `read` gives what stands between the braces, and the number."""

    def __init__(
        self,
        name: str,
        kind: str,
        meaning: str,
        labels: Sequence[str],
        read: Callable[[Item], Iterable[tuple[str, float]]],
    ) -> None:
        super().__init__(name, kind, meaning, labels)
        self._read = read

    def lines(self, batch: Sequence[Item]) -> str:
        name, read = self.name, self._read
        return "".join(
            [f"{name}{{{labels}}} {+value}\n" for item in batch for labels, value in read(item)]
        )


class Distribution(Family):
    """A histogram for each group."""

    def __init__(
        self, name: str, meaning: str, read: Callable[[GroupSnapshot], HistogramSnapshot]
    ) -> None:
        super().__init__(name, "histogram", meaning)
        self._read = read

    def lines(self, batch: Sequence[Item]) -> str:
        name = self.name
        lines: list[str] = []
        for item in batch:
            figures = self._read(item.group)
            labels = item.labels
            for bound, count in cumulated(figures):
                lines.append(f'{name}_bucket{{{labels},le="{bound}"}} {count}\n')
            lines.append(f"{name}_sum{{{labels}}} {figures.total}\n")
            lines.append(f"{name}_count{{{labels}}} {sum(figures.counts)}\n")
        return "".join(lines)


def cumulated(figures: HistogramSnapshot) -> Iterator[tuple[str, int]]:
    """The bound of each class as a text, and how many values are not above it."""
    count = 0
    for bound, number in zip(figures.bounds, figures.counts, strict=False):
        count += number
        yield str(bound), count
    yield "+Inf", count + figures.counts[-1]


class Page:
    """The lines of all groups.

    :param families: the metrics that it shows.
    """

    def __init__(self, families: Sequence[Family]) -> None:
        self._parts = [(family, [family.head.encode()]) for family in families]

    def add(self, groups: Iterable[GroupSnapshot]) -> None:
        """Add some groups."""
        batch = [Item(group) for group in groups]
        for family, parts in self._parts:
            parts.append(family.lines(batch).encode())

    def render(self) -> bytes:
        """All that was added; the lines of one metric stand together, as the format wants it."""
        return b"".join(part for _, parts in self._parts for part in parts)
