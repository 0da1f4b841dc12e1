"""The guarantee as an invariant, whatever comes and goes, and when the relay is killed.

At every moment each event of the RTU is unacknowledged at the RTU, or acknowledged by a master,
or on disk.
"""

from __future__ import annotations

from collections.abc import Iterator

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from twisted.internet.error import ConnectionLost

from mm2ss.config.model import AckMode
from mm2ss.config.parameters import LinkParameters
from mm2ss.iec104.link import Link
from mm2ss.iec104.protocol import LinkProtocol
from tests.fakes import FakeReactor, FakeTransport
from tests.groups import GREETING, PORT, RELAY, World, event
from tests.memoryjournal import MemoryJournal
from tests.peers import FakeMaster, FakeRtu
from tests.stations import DEFAULTS

SLOW = LinkParameters(t1=40, t2=30)


class RetainingRtu:
    """An RTU whose acknowledged events are gone for good, and which sends the others again.

    :ivar log: all events that ever happened.
    """

    def __init__(self, rtu: FakeRtu) -> None:
        self.log: list[bytes] = []
        self._rtu = rtu
        self._before = 0  # events acknowledged on earlier connections
        rtu.onUp = self._up

    def happen(self, count: int) -> None:
        """Events happen, and are sent if somebody listens."""
        new = [event(number) for number in range(len(self.log), len(self.log) + count)]
        self.log += new
        if self._rtu.connected:
            self._rtu.send(*new)

    @property
    def acknowledged(self) -> int:
        """How many of them the relay has acknowledged."""
        if not self._rtu.ups:
            return self._before
        link = self._rtu.ups[-1].link
        return self._before + link.sent - link.outstanding

    def _up(self, connection: LinkProtocol) -> None:
        if len(self._rtu.ups) > 1:
            link = self._rtu.ups[-2].link
            self._before += link.sent - link.outstanding
        self._rtu._queue.extend(self.log[self._before :])


class NoLoss(RuleBasedStateMachine):
    """One group, its journal, and everything that happens to them."""

    def __init__(self) -> None:
        super().__init__()
        self.reactor = FakeReactor()
        self.journal = MemoryJournal(self.reactor)
        self.world = self._begin()
        self.rtu = RetainingRtu(self.world.rtu)
        self.world.rtu.listen()
        self.masters: list[FakeMaster] = []
        self.world.run(3)

    def _begin(self) -> World:
        world = World(
            self.reactor,
            up=False,
            safe=self.journal,
            ackMode=AckMode.THROUGH,
            maxMasters=20,
            retain=20,
        )
        world.group.startService()
        return world

    # -- what happens -----------------------------------------------------------------------

    @rule(count=st.integers(1, 30))
    def eventsHappen(self, count: int) -> None:
        self.rtu.happen(count)

    @rule(seconds=st.sampled_from([0.001, 0.01, 0.1, 1, 5, 12, 16]))
    def timePasses(self, seconds: float) -> None:
        self.world.run(seconds)

    @rule(slow=st.booleans())
    def aMasterComes(self, slow: bool) -> None:
        number = len(self.masters) % 5 + 1
        parameters = SLOW if slow else DEFAULTS
        master = FakeMaster(self.reactor, PORT, f"192.0.2.{number}", RELAY, parameters)
        self.masters.append(master)
        master.connect()
        self.world.run(0.01)
        if master.connected:
            master.start()

    @rule(index=st.integers(0), how=st.sampled_from(["die", "leave", "stop", "mute", "listen"]))
    @precondition(lambda self: any(self._connected()))
    def aMasterDoes(self, index: int, how: str) -> None:
        connected = list(self._connected())
        master = connected[index % len(connected)]
        if how == "mute":
            master.mute()
        elif how == "listen":
            master.mute(False)
        elif how == "stop":
            if master.started:
                master.stop()
        else:
            getattr(master, how)()

    @rule()
    @precondition(lambda self: self.world.rtu.connected)
    def theRtuIsLost(self) -> None:
        self.world.rtu.die()

    @rule(failing=st.booleans(), latency=st.sampled_from([0.001, 0.05, 0.5]))
    def theDiskIsFullOrNot(self, failing: bool, latency: float) -> None:
        self.journal.latency = latency
        was, self.journal.failing = self.journal.failing, failing
        if was and not failing:
            self.journal.onRoom()

    @rule()
    def theRelayIsKilled(self) -> None:
        """kill -9: connections break, what was being written is lost, then it starts again."""
        ends = [end for pair in self.reactor.connections for end in pair if end.connected]
        peers = [end for end in ends if isinstance(_owner(end), (FakeMaster, FakeRtu))]
        for end in ends:
            end.connected = end in peers  # the relay's own are not told: it is dead
        for end in peers:
            end.lose(ConnectionLost())
        self.reactor.connections.clear()
        self.reactor.calls.clear()
        for host, port in tuple(self.reactor.ports):
            if host == RELAY:
                del self.reactor.ports[host, port]
        held, breaks = self.journal.unsettled, self.journal.unsettledBreaks
        self.journal = MemoryJournal(self.reactor, held, breaks)
        listening = self.world.rtu
        self.world = self._begin()
        self.world.rtu = listening

    # -- what must hold ---------------------------------------------------------------------

    def _connected(self) -> Iterator[FakeMaster]:
        return (master for master in self.masters if master.connected)

    def _takenByMasters(self) -> set[bytes]:
        """What any master ever acknowledged."""
        taken: set[bytes] = set()
        for master in self.masters:
            done = 0
            for connection in master.ups:
                link: Link = connection.link
                taken.update(master.received[done : done + link._acknowledged])
                done += link.received
        return taken

    @invariant()
    def nothingIsLost(self) -> None:
        """The sentence of the guarantee."""
        known = self._takenByMasters() | set(self.journal.unsettled)
        lost = [asdu for asdu in self.rtu.log[: self.rtu.acknowledged] if asdu not in known]
        assert lost == []

    @invariant()
    def nothingIsReordered(self) -> None:
        """On each connection the first appearances rise."""
        for master in self.masters:
            done = 0
            for connection in master.ups:
                count = connection.link.received
                came = master.received[done : done + count]
                done += count
                numbers = [int.from_bytes(asdu[6:9], "little") for asdu in came if asdu != GREETING]
                first = list(dict.fromkeys(numbers))
                assert first == sorted(first)

    def teardown(self) -> None:
        """When all is well again, the next master gets everything that no master has taken."""
        if self.journal.failing:
            self.theDiskIsFullOrNot(False, 0.01)
        for master in self._connected():
            master.die()
        self.world.run(40)
        last = FakeMaster(self.reactor, PORT, "192.0.2.9", RELAY)
        self.masters.append(last)
        last.connect()
        self.world.run(0.1)
        assert last.connected
        last.start()
        self.world.run(60)
        known = self._takenByMasters() | set(last.received)
        assert [asdu for asdu in self.rtu.log if asdu not in known] == []


def _owner(end: FakeTransport) -> object:
    """Whose end of a connection it is."""
    protocol = getattr(end.protocol, "_wrappedProtocol", end.protocol)
    assert isinstance(protocol, LinkProtocol)
    return protocol._owner


TestNoLoss = NoLoss.TestCase
