"""A group under random events: nothing is lost, repeated out of order, or left behind."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from mm2ss.iec104.link import LinkEvent, Received, Stopped
from mm2ss.iec104.protocol import LinkProtocol
from mm2ss.relay.exchange import Exchange
from mm2ss.relay.master import QUEUE_MAX, Outlet
from tests.around import Around
from tests.groups import GREETING, PORT, RELAY, World, event, isUp, request
from tests.peers import FakeMaster

LEDGER_MAX = 65536
MASTERS = 3


class Watcher(FakeMaster):
    """A master that keeps what it received since each of its starts."""

    def __init__(self, world: World, place: int) -> None:
        super().__init__(world.reactor, PORT, f"192.0.2.{place + 1}", RELAY)
        self.place = place
        self.streams: list[list[bytes]] = []
        self.mirrors: list[bytes] = []

    def linkEvents(self, connection: LinkProtocol, events: list[LinkEvent]) -> None:
        for each in events:
            if isinstance(each, Received):
                for asdu in each.asdus:
                    if asdu == GREETING:
                        self.streams.append([])
                    elif asdu[0] == 1:
                        self.streams[-1].append(asdu)
                    else:
                        self.mirrors.append(asdu)
        super().linkEvents(connection, events)


class GroupMachine(RuleBasedStateMachine):
    """Masters come, start, stop, stall, die and command; the RTU sends, dies and returns."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World(ledgerMax=LEDGER_MAX, bufferSize=40, idleTime=0)
        self.log: list[bytes] = []  # what entered the ledger
        self.sent: list[bytes] = []  # events that the RTU sent on its connection
        self.confirmed: set[bytes] = set()  # events whose acknowledgement the RTU has seen
        self.serial = 0
        self.masters = [Watcher(self.world, place) for place in range(MASTERS)]
        self.world.masters += self.masters
        self.spyOnLedger()
        rtu = self.world.rtu
        rtu.onUp = self.spyOnRtu
        assert rtu.connection is not None
        self.spyOnRtu(rtu.connection)
        rtu.reply = self.reply

    def spyOnLedger(self) -> None:
        """Keep what enters the ledger, all of which comes from the RTU."""
        exchange = self.world.group._exchange
        ledger = exchange._ledger

        def keep(outlet: Outlet, asdus: Sequence[bytes], now: float) -> bool:
            end = ledger.end
            isPlain = exchange.rtuReceived(outlet, asdus, now)
            self.log += ledger.slice(end, ledger.end - end)
            return isPlain

        self.world.group._exchange = cast(Exchange, Around(exchange, rtuReceived=keep))

    def spyOnRtu(self, connection: LinkProtocol) -> None:
        """Keep what the RTU sends on a new connection."""
        self.sent = []
        send = connection.send

        def keep(asdus: Sequence[bytes]) -> None:
            self.sent += asdus
            send(asdus)

        connection.send = keep  # type: ignore[method-assign]  # it also notes what is sent

    def reply(self, asked: bytes) -> list[bytes]:
        return [asked[:2] + bytes((cause,)) + asked[3:] for cause in (7, 10)]

    def settle(self, seconds: float = 0.05) -> None:
        self.world.run(seconds)

    @initialize()
    def firstMaster(self) -> None:
        self.masters[0].connect()
        self.settle()
        self.masters[0].start()
        self.settle()

    # -- masters

    @rule(place=st.integers(0, MASTERS - 1))
    def connect(self, place: int) -> None:
        master = self.masters[place]
        if not master.connected:
            wasOpen = self.world.isOpen()
            master.connect()
            self.settle()
            assert isUp(master) == (wasOpen and self.world.isOpen())

    @rule(place=st.integers(0, MASTERS - 1))
    def startOrStop(self, place: int) -> None:
        master = self.masters[place]
        if master.connected:
            state = master.link.state.name
            if state == "STOPPED":
                master.start()
            elif state == "STARTED":
                master.stop()
            self.settle()

    @rule(place=st.integers(0, MASTERS - 1), how=st.sampled_from(["leave", "die"]))
    def disconnect(self, place: int, how: str) -> None:
        master = self.masters[place]
        if master.connected:
            getattr(master, how)()
            self.settle()

    @rule(place=st.integers(0, MASTERS - 1), muted=st.booleans())
    def mute(self, place: int, muted: bool) -> None:
        master = self.masters[place]
        if master.connected:
            master.mute(muted)

    @rule(place=st.integers(0, MASTERS - 1), count=st.sampled_from([1, 3, 30]))
    def command(self, place: int, count: int) -> None:
        master = self.masters[place]
        if master.started:
            for _ in range(count):
                self.serial += 1
                master.send(request(address=self.serial << 4 | place))
            self.settle(0.01)

    # -- the RTU

    @rule(count=st.sampled_from([1, 5, 12, 60, 1500]))
    def events(self, count: int) -> None:
        if self.world.rtu.started:
            numbers = range(self.serial, self.serial + count)
            self.serial += count
            self.world.rtu.send(*(event(number) for number in numbers))
            self.settle(0.01)

    @precondition(lambda self: isUp(self.world.rtu))
    @rule(how=st.sampled_from(["leave", "die", "refuse"]))
    def loseRtu(self, how: str) -> None:
        rtu = self.world.rtu
        if how == "refuse":
            rtu.stopListening()
            how = "die"
        getattr(rtu, how)()
        self.settle()

    @rule()
    def returnRtu(self) -> None:
        rtu = self.world.rtu
        if rtu._listener is None:
            rtu.listen()
        self.settle(2)

    @rule(seconds=st.sampled_from([0.003, 0.1, 1.0, 2.5, 16.0, 40.0]))
    def wait(self, seconds: float) -> None:
        self.settle(seconds)

    # -- what always holds

    @invariant()
    def portIsOpenWithTheRtu(self) -> None:
        assert self.world.isOpen() == (self.world.group._rtu is not None)

    @invariant()
    def streamsHaveNoGap(self) -> None:
        """G1: what a master got since a start is a piece of the log, in its order."""
        places = {asdu: place for place, asdu in enumerate(self.log)}
        assert len(places) == len(self.log), "an event twice"
        for master in self.masters:
            for stream in master.streams:
                if stream:
                    first = places[stream[0]]
                    assert stream == self.log[first : first + len(stream)]

    @invariant()
    def nothingIsLost(self) -> None:
        """G2: what the RTU may forget is with a master, or still in the ledger."""
        ledger = self.world.group._exchange._ledger
        assert ledger.end == len(self.log)
        assert ledger.slice(ledger.settled, ledger.end) == self.log[ledger.settled :]
        had = {asdu for master in self.masters for stream in master.streams for asdu in stream}
        assert had >= set(self.log[: ledger.settled])
        rtu = self.world.rtu
        if rtu.connection is not None:
            acknowledged = self.sent[: rtu.link.sent - rtu.link.outstanding]
            self.confirmed.update(asdu for asdu in acknowledged if asdu[0] == 1)
        assert self.confirmed <= set(self.log)

    @invariant()
    def mirrorsAreTheirOwners(self) -> None:
        """G5: a mirror reaches who asked, or nobody."""
        for master in self.masters:
            assert all(asdu[6] & 15 == master.place for asdu in master.mirrors)

    @invariant()
    def memoryIsBounded(self) -> None:
        exchange = self.world.group._exchange
        frame = len(event(0)) + 48
        assert exchange._ledger.octets <= 1.25 * LEDGER_MAX + 100 * frame
        k = self.world.config.masters.k
        for master in exchange._masters:
            assert len(master.queue) <= QUEUE_MAX + 2 * k
            assert len(master.reader.flight) <= k

    def teardown(self) -> None:
        """In the end: everything that no master has had reaches the next, and nothing is left."""
        world = self.world
        self.returnRtu()
        self.settle(40)
        for master in self.masters:
            if isUp(master):
                master.leave()
        self.settle(5)
        last = Watcher(world, MASTERS)
        world.masters.append(last)
        last.connect()
        self.settle(0.1)
        last.start()
        self.settle(30)
        (stream,) = last.streams
        had = {asdu for master in self.masters for kept in master.streams for asdu in kept}
        assert had | set(stream) >= set(self.log)
        assert world.group._exchange._ledger.settled == len(self.log)
        assert last.count(Stopped) == 0
        world.finish()


TestGroupMachine: Any = GroupMachine.TestCase
TestGroupMachine.settings = settings(stateful_step_count=30)
