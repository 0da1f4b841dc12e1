"""What the outside may see of a group: frozen figures of one moment."""

from __future__ import annotations

from dataclasses import dataclass

from mm2ss.relay.journalapi import GroupFigures


@dataclass(frozen=True)
class MasterSnapshot:
    """One master that has started data transfer on its connection.

    :ivar peer: its address and port.
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
    started: bool
    keeps: bool
    sent: int
    delivered: int
    waiting: int
    silence: float
    requests: int
    heldBack: int


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
    """One group. Counts are since the process started.

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
    :ivar refused: connections that were refused, by reason.
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
