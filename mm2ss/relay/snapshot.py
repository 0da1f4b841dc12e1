"""What the outside may see of the groups: frozen figures of one moment, and what a reload did."""

from __future__ import annotations

from dataclasses import dataclass, field

from mm2ss.iec104.apci import CloseCause
from mm2ss.iec104.core import CORE
from mm2ss.iec104.tape import Recording
from mm2ss.relay.journalapi import LATENCY_CLASSES, GroupFigures, JournalFigures

# What is said of the journal is seen from outside as well.
__all__ = [
    "LATENCY_CLASSES",
    "Changes",
    "EchoSnapshot",
    "GroupFigures",
    "GroupSnapshot",
    "HistogramSnapshot",
    "JournalFigures",
    "LinksSnapshot",
    "MasterSnapshot",
    "PeerSnapshot",
    "TrafficSnapshot",
]


@dataclass(frozen=True)
class HistogramSnapshot:
    """How many values fell into each of some classes.

    :ivar bounds: the largest value of each class, rising.
    :ivar counts: values in each class, and in the open one behind the last bound.
    :ivar total: the sum of all values.
    """

    bounds: tuple[float, ...]
    counts: tuple[int, ...]
    total: float


@dataclass(frozen=True)
class TrafficSnapshot:
    """What went over connections of one kind since the group started, ended ones included.

    :ivar connections: that were made.
    :ivar framesIn: I frames received.
    :ivar framesOut: I frames sent.
    :ivar octetsIn: received, of all frames.
    :ivar octetsOut: sent, of all frames.
    """

    connections: int
    framesIn: int
    framesOut: int
    octetsIn: int
    octetsOut: int


@dataclass(frozen=True)
class PeerSnapshot:
    """The masters at one address, connected now or remembered.

    :ivar connected: connections from there now.
    """

    address: str
    connected: int
    traffic: TrafficSnapshot


@dataclass(frozen=True)
class LinksSnapshot:
    """The connections of a group.

    :ivar listening: whether the masters' port is open.
    :ivar connected: masters that are connected, started or not.
    :ivar rtu: what went over the RTU's connections.
    :ivar masters: what went over all connections of masters.
    :ivar peers: the same by address, for those who started data transfer or are connected.
    """

    listening: bool
    connected: int
    rtu: TrafficSnapshot
    masters: TrafficSnapshot
    peers: tuple[PeerSnapshot, ...]


@dataclass(frozen=True)
class MasterSnapshot:
    """One master that has started data transfer on its connection.

    :ivar peer: its address and port.
    :ivar address: its address.
    :ivar started: whether data transfer is started now.
    :ivar keeps: whether its acknowledgement settles events.
    :ivar sent: frames sent to it on this connection.
    :ivar delivered: frames of these that it has acknowledged.
    :ivar waiting: frames that wait for it; what waited before it started does not count.
    :ivar silence: seconds since it last acknowledged, while something is unacknowledged; else 0.
    :ivar requests: its requests that wait.
    :ivar heldBack: how often the RTU was held back for its sake.
    """

    peer: str
    address: str
    started: bool
    keeps: bool
    sent: int
    delivered: int
    waiting: int
    silence: float
    requests: int
    heldBack: int


@dataclass(frozen=True)
class Standing:
    """A group in two figures, for those who look often.

    :ivar connected: whether its RTU is connected.
    :ivar masters: masters that are connected, started or not.
    """

    connected: bool
    masters: int


@dataclass(frozen=True)
class EchoSnapshot:
    """Whether the RTU returns the originator address of requests, as far as it was seen.

    :ivar known: it is relied on.
    :ivar hits: answers that carried it.
    :ivar misses: answers that did not.
    """

    known: bool
    hits: int
    misses: int


@dataclass(frozen=True)
class GroupSnapshot:
    """One group. Counts are since the group started.

    :ivar rtu: the RTU's address and port; empty while it is not connected.
    :ivar transfer: the state of data transfer with the RTU, in words.
    :ivar received: frames received from the RTU that are for all masters.
    :ivar settled: of these, acknowledged by a (keeping) master.
    :ivar unsettled: of these, not yet.
    :ivar early: acknowledged to the RTU before any master had acknowledged them.
    :ivar resent: sent again, or late, to masters that came back to their places.
    :ivar cutOff: masters that were disconnected because they were too slow.
    :ivar heldBack: how often the RTU's acknowledgement was withheld for a slow master.
    :ivar keeping: why the RTU keeps its events; empty when it need not.
    :ivar unmatched: answers of the RTU that nobody had asked for.
    :ivar ambiguous: answers that more than one request could have claimed.
    :ivar octets: memory of all waiting frames.
    :ivar journal: the group's part of the journal; None without one.
    :ivar refused: connections that were refused, by the name of the reason (`FILTER`).
    :ivar links: the connections, and what went over them.
    :ivar commands: commands by how they ended, as the audit trail says it.
    :ivar roundTrips: seconds that the RTU took to confirm a command.
    :ivar waits: seconds that the oldest entry of each write to a master had waited since it came
        from the RTU; what came before the master started does not count.
    :ivar rtuCloses: connections to the RTU that ended, by the name of the cause (`T1_I_FRAME`).
    :ivar masterCloses: the same of masters.
    :ivar rtuFailures: attempts that did not reach the RTU, by the name of the cause (`REFUSED`).
    :ivar core: whether the relaying runs as ``python`` or ``compiled``.
    """

    id: int
    name: str
    rtu: str
    transfer: str
    masters: tuple[MasterSnapshot, ...]
    received: int
    settled: int
    unsettled: int
    early: int
    resent: int
    cutOff: int
    heldBack: int
    keeping: str
    unmatched: int
    ambiguous: int
    octets: int
    mirrorEcho: EchoSnapshot
    dataEcho: EchoSnapshot
    journal: GroupFigures | None
    refused: dict[str, int]
    links: LinksSnapshot
    commands: dict[str, int]
    roundTrips: HistogramSnapshot
    waits: HistogramSnapshot
    rtuCloses: dict[str, int] = field(default_factory=dict)
    masterCloses: dict[str, int] = field(default_factory=dict)
    rtuFailures: dict[str, int] = field(default_factory=dict)
    core: str = CORE


@dataclass(frozen=True)
class TraceSnapshot:
    """What the connections of a group said last.

    :ivar id: the group's number.
    :ivar why: why it was made, in words.
    :ivar cause: why the connection ended that it was made for; None = somebody asked for it.
    :ivar peer: the other end of that connection; ``-`` without one.
    :ivar time: monotonic seconds of the moment it was made.
    :ivar recordings: the connections: those that ended, then those that are there.
    """

    id: int
    name: str
    why: str
    cause: CloseCause | None
    peer: str
    time: float
    recordings: tuple[Recording, ...]


@dataclass(frozen=True)
class Changes:
    """What a reload did to the groups, by their numbers in the order of the groups file.

    :ivar unchanged: not touched.
    :ivar changed: stopped, and started with their new configuration.
    :ivar added: started.
    :ivar removed: stopped.
    """

    unchanged: tuple[int, ...]
    changed: tuple[int, ...]
    added: tuple[int, ...]
    removed: tuple[int, ...]

    def __str__(self) -> str:
        """``495 unchanged, 3 changed, 1 added, 1 removed``."""
        return ", ".join(
            f"{len(getattr(self, what))} {what}"
            for what in ("unchanged", "changed", "added", "removed")
        )
