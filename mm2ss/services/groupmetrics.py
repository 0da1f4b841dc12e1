"""What Prometheus is told of each group, one line a metric; docs/metrics.md has the same table."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from mm2ss.relay.snapshot import GroupFigures, GroupSnapshot, TrafficSnapshot
from mm2ss.services.exposition import Distribution, Family, Item, Many, One, Peer, escaped

Samples = Iterator[tuple[str, float]]

_LEGS = ("leg",)
_LEGS_BOTH_WAYS = ("leg", "direction")
_PEER = ("peer",)
_PEER_BOTH_WAYS = ("peer", "direction")


def _legs(read: Callable[[TrafficSnapshot], float]) -> Callable[[Item], Samples]:
    """One number of the RTU's connections, and one of the masters'."""

    def samples(item: Item) -> Samples:
        links = item.group.links
        yield f'{item.labels},leg="rtu"', read(links.rtu)
        yield f'{item.labels},leg="masters"', read(links.masters)

    return samples


def _frames(labels: str, traffic: TrafficSnapshot) -> Samples:
    yield f'{labels},direction="received"', traffic.framesIn
    yield f'{labels},direction="sent"', traffic.framesOut


def _octets(labels: str, traffic: TrafficSnapshot) -> Samples:
    yield f'{labels},direction="received"', traffic.octetsIn
    yield f'{labels},direction="sent"', traffic.octetsOut


BothWays = Callable[[str, TrafficSnapshot], Samples]


def _legsBothWays(read: BothWays) -> Callable[[Item], Samples]:
    """Numbers received and sent on each leg."""

    def samples(item: Item) -> Samples:
        links = item.group.links
        yield from read(f'{item.labels},leg="rtu"', links.rtu)
        yield from read(f'{item.labels},leg="masters"', links.masters)

    return samples


def _peers(read: Callable[[Peer], float]) -> Callable[[Item], Samples]:
    """One number for each master's address."""

    def samples(item: Item) -> Samples:
        return ((peer.labels, read(peer)) for peer in item.peers)

    return samples


def _peersBothWays(read: BothWays) -> Callable[[Item], Samples]:
    """Numbers received from each master's address, and sent to it."""

    def samples(item: Item) -> Samples:
        for peer in item.peers:
            yield from read(peer.labels, peer.figures.traffic)

    return samples


def _by(
    label: str, read: Callable[[GroupSnapshot], Mapping[str, int]]
) -> Callable[[Item], Iterable[tuple[str, float]]]:
    """A number for each word that there is."""

    def samples(item: Item) -> Samples:
        for word, count in read(item.group).items():
            yield f'{item.labels},{label}="{escaped(word)}"', count

    return samples


def _journal(read: Callable[[GroupFigures], float]) -> Callable[[GroupSnapshot], float | None]:
    """A figure of the group's part of the journal, if it has one."""
    return lambda group: None if group.journal is None else read(group.journal)


def _closes(item: Item) -> Samples:
    for leg, closes in (("rtu", item.group.rtuCloses), ("masters", item.group.masterCloses)):
        for cause, count in closes.items():
            yield f'{item.labels},leg="{leg}",cause="{cause}"', count


#: In the order of the page and of the table in docs/metrics.md.
FAMILIES: tuple[Family, ...] = (
    # the RTU
    One("mm2ss_rtu_up", "gauge", "1 while the RTU is connected.", lambda g: bool(g.rtu)),
    One(
        "mm2ss_rtu_started",
        "gauge",
        "1 while data transfer with the RTU is started.",
        lambda g: g.transfer == "started",
    ),
    Many(
        "mm2ss_rtu_connect_failures_total",
        "counter",
        "Attempts that did not reach the RTU, by cause.",
        ("cause",),
        _by("cause", lambda g: g.rtuFailures),
    ),
    One(
        "mm2ss_rtu_held_back_total",
        "counter",
        "Times that the RTU was held back for a slow master.",
        lambda g: g.heldBack,
    ),
    # the connections
    One(
        "mm2ss_port_open",
        "gauge",
        "1 while the group's port is open for masters.",
        lambda g: g.links.listening,
    ),
    One(
        "mm2ss_masters_connected",
        "gauge",
        "Masters that are connected, started or not.",
        lambda g: g.links.connected,
    ),
    One(
        "mm2ss_masters_started",
        "gauge",
        "Masters that have data transfer started.",
        lambda g: sum(master.started for master in g.masters),
    ),
    Many(
        "mm2ss_link_connections_total",
        "counter",
        "Connections that were made.",
        _LEGS,
        _legs(lambda traffic: traffic.connections),
    ),
    Many(
        "mm2ss_link_frames_total",
        "counter",
        "I frames received and sent.",
        _LEGS_BOTH_WAYS,
        _legsBothWays(_frames),
    ),
    Many(
        "mm2ss_link_bytes_total",
        "counter",
        "Bytes received and sent, of all frames.",
        _LEGS_BOTH_WAYS,
        _legsBothWays(_octets),
    ),
    Many(
        "mm2ss_link_closes_total",
        "counter",
        "Connections that ended, by cause.",
        ("leg", "cause"),
        _closes,
    ),
    Many(
        "mm2ss_masters_refused_total",
        "counter",
        "Connections of masters that were refused, by reason.",
        ("reason",),
        _by("reason", lambda g: g.refused),
    ),
    One(
        "mm2ss_masters_cut_off_total",
        "counter",
        "Masters that were disconnected because they were too slow.",
        lambda g: g.cutOff,
    ),
    # the events
    One(
        "mm2ss_events_received_total",
        "counter",
        "Frames received from the RTU that are for all masters.",
        lambda g: g.received,
    ),
    One(
        "mm2ss_events_settled_total",
        "counter",
        "Frames that a (keeping) master has acknowledged, those from the journal included.",
        lambda g: g.settled,
    ),
    One(
        "mm2ss_events_unsettled",
        "gauge",
        "Frames that no (keeping) master has acknowledged yet.",
        lambda g: g.unsettled,
    ),
    One(
        "mm2ss_events_early_total",
        "counter",
        "Frames acknowledged to the RTU before any master had acknowledged them.",
        lambda g: g.early,
    ),
    One(
        "mm2ss_events_resent_total",
        "counter",
        "Frames sent again, or late, to masters that came back to their places.",
        lambda g: g.resent,
    ),
    Distribution(
        "mm2ss_delivery_delay_seconds",
        "Seconds from the arrival of a frame from the RTU to its being written to a master; of"
        " each write its oldest frame.",
        lambda g: g.waits,
    ),
    One(
        "mm2ss_memory_bytes",
        "gauge",
        "Memory of all frames that wait in the group, in bytes.",
        lambda g: g.octets,
    ),
    # the commands
    Many(
        "mm2ss_commands_total",
        "counter",
        "Commands that have ended, by how they ended (as in the audit trail).",
        ("result",),
        _by("result", lambda g: g.commands),
    ),
    Distribution(
        "mm2ss_command_round_trip_seconds",
        "Seconds from a command's going to the RTU to its confirmation.",
        lambda g: g.roundTrips,
    ),
    One(
        "mm2ss_answers_unmatched_total",
        "counter",
        "Answers of the RTU that nobody had asked for.",
        lambda g: g.unmatched,
    ),
    One(
        "mm2ss_answers_ambiguous_total",
        "counter",
        "Answers of the RTU that more than one request could have claimed.",
        lambda g: g.ambiguous,
    ),
    # the journal
    One(
        "mm2ss_journal_failing",
        "gauge",
        "1 while the RTU keeps its events because the journal takes nothing.",
        lambda g: None if g.journal is None else bool(g.keeping),
    ),
    One(
        "mm2ss_journal_held_frames",
        "gauge",
        "Frames that the journal holds.",
        _journal(lambda journal: journal.frames),
    ),
    One(
        "mm2ss_journal_held_bytes",
        "gauge",
        "Bytes of the frames that the journal holds.",
        _journal(lambda journal: journal.octets),
    ),
    One(
        "mm2ss_journal_written_frames_total",
        "counter",
        "Frames put on disk.",
        _journal(lambda journal: journal.written),
    ),
    One(
        "mm2ss_journal_refused_writes_total",
        "counter",
        "Writes that the journal refused: no room, or a failing disk.",
        _journal(lambda journal: journal.refused),
    ),
    One(
        "mm2ss_journal_expired_frames_total",
        "counter",
        "Frames that were given up, and lost, for their age.",
        _journal(lambda journal: journal.expired),
    ),
    # each master, by its address
    Many(
        "mm2ss_master_connections",
        "gauge",
        "Connections from a master's address; 0 = it has left.",
        _PEER,
        _peers(lambda peer: peer.figures.connected),
    ),
    Many(
        "mm2ss_master_started",
        "gauge",
        "Connections from a master's address that have data transfer started.",
        _PEER,
        _peers(lambda peer: sum(master.started for master in peer.masters)),
    ),
    Many(
        "mm2ss_master_connections_total",
        "counter",
        "Connections that were made from a master's address.",
        _PEER,
        _peers(lambda peer: peer.figures.traffic.connections),
    ),
    Many(
        "mm2ss_master_frames_total",
        "counter",
        "I frames received from a master's address, and sent to it.",
        _PEER_BOTH_WAYS,
        _peersBothWays(_frames),
    ),
    Many(
        "mm2ss_master_bytes_total",
        "counter",
        "Bytes received from a master's address, and sent to it.",
        _PEER_BOTH_WAYS,
        _peersBothWays(_octets),
    ),
    Many(
        "mm2ss_master_waiting_frames",
        "gauge",
        "Frames that wait for a master; what waited before it started does not count.",
        _PEER,
        _peers(lambda peer: sum(master.waiting for master in peer.masters)),
    ),
    Many(
        "mm2ss_master_silence_seconds",
        "gauge",
        "Seconds since a master last acknowledged, while something is unacknowledged; else 0.",
        _PEER,
        _peers(lambda peer: max((master.silence for master in peer.masters), default=0)),
    ),
    Many(
        "mm2ss_master_waiting_requests",
        "gauge",
        "Requests of a master that wait.",
        _PEER,
        _peers(lambda peer: sum(master.requests for master in peer.masters)),
    ),
)
