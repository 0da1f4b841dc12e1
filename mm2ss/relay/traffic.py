"""How much went over a group's connections: figures that go on when a peer connects anew."""

from __future__ import annotations

from typing import Protocol

from mm2ss.config.model import Address
from mm2ss.iec104.link import Link
from mm2ss.relay.snapshot import PeerSnapshot, TrafficSnapshot

#: Addresses of masters that are not connected whose figures are kept, for each group.
ABSENT_MAX = 32


class Connection(Protocol):
    """What is counted of a connection; see `mm2ss.iec104.conduit.Conduit`."""

    link: Link
    octetsIn: int
    octetsOut: int


class Traffic:
    """The connections of one kind, all together: the ended ones are counted, the others looked at.

    :ivar live: those that there are now.
    :ivar started: data transfer was started on one of them.
    """

    __slots__ = (
        "_connections",
        "_framesIn",
        "_framesOut",
        "_octetsIn",
        "_octetsOut",
        "live",
        "started",
    )

    def __init__(self) -> None:
        self._connections = 0
        self._framesIn = self._framesOut = self._octetsIn = self._octetsOut = 0
        self.live: list[Connection] = []
        self.started = False

    def began(self, connection: Connection) -> None:
        """A connection was made."""
        self._connections += 1
        self.live.append(connection)

    def ended(self, connection: Connection) -> None:
        """A connection is gone; it will not move its figures any more."""
        self.live.remove(connection)
        self._framesIn += connection.link.received
        self._framesOut += connection.link.sent
        self._octetsIn += connection.octetsIn
        self._octetsOut += connection.octetsOut

    def snapshot(self) -> TrafficSnapshot:
        """The figures of this moment."""
        live = self.live
        return TrafficSnapshot(
            self._connections,
            self._framesIn + sum(each.link.received for each in live),
            self._framesOut + sum(each.link.sent for each in live),
            self._octetsIn + sum(each.octetsIn for each in live),
            self._octetsOut + sum(each.octetsOut for each in live),
        )


class MasterTraffic:
    """The masters' connections: all together, and those from each address.

    An address that has left is remembered if it ever started data transfer (a port scan is not),
    and until `ABSENT_MAX` others have left after it.
    """

    def __init__(self) -> None:
        self._all = Traffic()
        self._peers: dict[Address, Traffic] = {}

    def began(self, address: Address, connection: Connection) -> None:
        """A master is connected."""
        self._all.began(connection)
        self._peers.setdefault(address, Traffic()).began(connection)

    def started(self, address: Address) -> None:
        """A master has started data transfer."""
        self._peers[address].started = True

    def ended(self, address: Address, connection: Connection) -> None:
        """A master is gone."""
        self._all.ended(connection)
        peer = self._peers[address]
        peer.ended(connection)
        if peer.live:
            return
        del self._peers[address]
        if peer.started:
            self._peers[address] = peer  # behind those that left before
            absent = [each for each, traffic in self._peers.items() if not traffic.live]
            for oldest in absent[:-ABSENT_MAX]:
                del self._peers[oldest]

    def snapshot(self) -> TrafficSnapshot:
        """All of them together."""
        return self._all.snapshot()

    def peers(self) -> tuple[PeerSnapshot, ...]:
        """Those from each address."""
        return tuple(
            PeerSnapshot(str(address), len(traffic.live), traffic.snapshot())
            for address, traffic in self._peers.items()
        )
