"""The counters behind a group's snapshot: right after every reconnect, and cheap in between."""

from __future__ import annotations

from bisect import bisect_right

from hypothesis import example, given
from hypothesis import strategies as st

from mm2ss.config.parameters import LinkParameters
from mm2ss.relay.arrivals import MARKS_MAX, WAITS, Arrivals
from mm2ss.relay.audit import Outcome
from mm2ss.relay.histogram import Histogram
from mm2ss.relay.snapshot import GroupSnapshot, PeerSnapshot, TrafficSnapshot
from mm2ss.relay.traffic import ABSENT_MAX
from tests.groups import World, event, request

#: A window of one frame: what comes next waits.
NARROW = LinkParameters(k=1, w=1)


# -- histograms ----------------------------------------------------------------------------


@given(st.lists(st.floats(0, 100)), st.integers(0, 5))
def test_histogramCountsEachValueOnce(values: list[float], zeros: int) -> None:
    """A value belongs to the first class whose bound is not below it."""
    bounds = (0.5, 1.0, 10.0)
    histogram = Histogram(bounds)
    for value in values:
        histogram.add(value)
    figures = histogram.snapshot(zeros)
    assert sum(figures.counts) == len(values) + zeros
    for index, bound in enumerate(bounds):
        below = sum(value <= bound for value in values) + zeros
        assert sum(figures.counts[: index + 1]) == below
    assert abs(figures.total - sum(values)) < 1e-6


# -- how long frames waited -----------------------------------------------------------------


def test_whatIsSentAtOnceHasNotWaited() -> None:
    """A write in the moment of the arrival counts as 0."""
    arrivals = Arrivals()
    arrivals.came(0, 5.0)
    arrivals.sent(0, 5.0)
    assert arrivals.waits().counts == (1,) + (0,) * len(WAITS)
    assert arrivals.waits().total == 0


def test_waitIsThatOfTheOldestFrame() -> None:
    """A write behind the arrival counts with the age of the chunk that its first frame is of."""
    arrivals = Arrivals()
    for position, second in ((0, 1.0), (3, 2.0), (5, 4.0)):
        arrivals.came(position, second)
    arrivals.sent(4, 4.5)  # of the chunk that came at 2
    assert arrivals.waits().total == 2.5
    arrivals.sent(5, 4.5)
    assert arrivals.waits().total == 3.0


def test_whatWasThereBeforeHasNoAge() -> None:
    """When the entries of the journal came is not known, and not counted."""
    arrivals = Arrivals()
    arrivals.came(10, 1.0)
    arrivals.sent(3, 2.0)
    assert sum(arrivals.waits().counts) == 0


@example([(0.0625, 0), (0.0625, 0), (0.0625, 3), (0.0625, 3), (1.0, 1)], 1)
@example([(1.0, 1), (1.0, 3), (1.0, 1)], 1)
@given(
    st.lists(st.tuples(st.floats(0, 2), st.integers(0, 3)), max_size=3000).map(
        lambda steps: [*steps, (1.0, 1)] * 1
    ),
    st.integers(0, 3),
)
def test_agesAreRightWhoeverIsBehind(steps: list[tuple[float, int]], speed: int) -> None:
    """However far somebody is behind: never too young, too old by 1/128 of the backlog at most."""
    arrivals = Arrivals()
    position = reader = 0
    now = 10.0
    came: list[tuple[int, float]] = []
    for pause, count in steps * (1 + 4 * MARKS_MAX // len(steps)):
        now += pause
        arrivals.came(position, now)
        if count:
            came.append((position, now))
        position += count
        if reader < position:
            before = arrivals.waits().total
            arrivals.sent(reader, now)
            wait = arrivals.waits().total - before
            true = now - came[bisect_right([place for place, _ in came], reader) - 1][1]
            oldest = now - came[0][1]
            assert true - 1e-6 <= wait <= true + oldest / 128 + 1e-6
            reader = min(position, reader + speed)
        while len(came) > 1 and came[1][0] <= reader:
            del came[0]
        arrivals.forget(reader)
    assert len(arrivals._moments) <= MARKS_MAX


def test_horizon() -> None:
    """Before the horizon everything came at that moment or earlier, and something did."""
    arrivals = Arrivals()
    assert arrivals.before(100.0) == 0
    for position in range(10):
        arrivals.came(position, float(position))
    assert arrivals.before(-1.0) == 0
    assert arrivals.before(4.0) == arrivals.before(4.5) == 4
    assert arrivals.before(100.0) == 9


# -- a group's figures ----------------------------------------------------------------------


def peerOf(snapshot: GroupSnapshot, address: str) -> PeerSnapshot:
    """What is counted for an address."""
    return next(peer for peer in snapshot.links.peers if peer.address == address)


def test_trafficIsThatOfThePeers() -> None:
    """Frames and octets of each leg are those that the peers saw."""
    with World() as world:
        masters = [world.master(), world.master()]
        world.rtu.send(event(1), event(2))
        world.run()
        links = world.group.snapshot().links
        rtu = world.rtu.transport
        assert (links.rtu.connections, links.rtu.framesIn, links.rtu.framesOut) == (1, 2, 0)
        assert links.rtu.octetsOut == len(world.reactor.connections[0][0].value())
        assert links.rtu.octetsIn == len(rtu.value())
        assert (links.masters.connections, links.masters.framesOut) == (2, 6)  # with M_EI
        accepting = [master.transport.remote for master in masters]
        assert links.masters.octetsOut == sum(len(each.value()) for each in accepting if each)
        assert links.masters.octetsIn == sum(len(each.transport.value()) for each in masters)
        assert [peer.connected for peer in links.peers] == [1, 1]
        assert links.connected == 2 and links.listening


def grew(before: TrafficSnapshot, after: TrafficSnapshot) -> bool:
    """Whether no figure is less than before."""
    return all(
        getattr(before, name) <= getattr(after, name)
        for name in ("connections", "framesIn", "framesOut", "octetsIn", "octetsOut")
    )


def test_figuresGoOnOverReconnects() -> None:
    """No figure of a leg or a master's address ever falls when connections end and come back."""
    with World() as world:
        seen = world.group.snapshot().links
        for turn in range(1, 4):
            master = world.master("192.0.2.7")
            world.rtu.send(event(turn))
            world.run()
            live = world.group.snapshot()
            master.die() if turn == 2 else master.leave()
            world.run()
            gone = world.group.snapshot()
            for earlier, later in ((seen, live.links), (live.links, gone.links)):
                assert grew(earlier.masters, later.masters) and grew(earlier.rtu, later.rtu)
            peer = peerOf(gone, "192.0.2.7")
            assert peer.traffic == gone.links.masters
            assert (peer.connected, peer.traffic.connections) == (0, turn)
            assert peerOf(live, "192.0.2.7").connected == 1
            assert gone.links.masters.framesOut >= 2 * turn
            seen = gone.links
        world.rtu.die()
        world.run(30)
        assert world.rtu.connected
        lost = world.group.snapshot().links
        assert grew(seen.rtu, lost.rtu) and lost.rtu.connections > seen.rtu.connections


def test_twoConnectionsFromOneAddressAreOnePeer() -> None:
    """A master's figures are those of all connections from its address."""
    with World() as world:
        world.master("192.0.2.7")
        world.master("192.0.2.7", start=False)
        snapshot = world.group.snapshot()
        peer = peerOf(snapshot, "192.0.2.7")
        assert (peer.connected, peer.traffic.connections) == (2, 2)
        assert [master.address for master in snapshot.masters] == ["192.0.2.7"]


def test_scanLeavesNoTrace() -> None:
    """Who never started data transfer is not remembered, but counts for all."""
    with World() as world:
        scanner = world.master("192.0.2.66", start=False)
        assert peerOf(world.group.snapshot(), "192.0.2.66").connected == 1
        scanner.leave()
        world.run()
        links = world.group.snapshot().links
        assert links.peers == () and links.masters.connections == 1


def test_absentMastersAreBounded() -> None:
    """So many that have left are remembered; the first to leave is forgotten first."""
    with World() as world:
        staying = world.master("192.0.2.1")
        for number in range(ABSENT_MAX + 3):
            world.master(f"192.0.2.{number + 2}").leave()
            world.run(0.1)
        peers = [peer.address for peer in world.group.snapshot().links.peers]
        assert peers[0] == "192.0.2.1" and len(peers) == ABSENT_MAX + 1
        assert "192.0.2.4" not in peers and "192.0.2.5" in peers
        assert staying.connected


def test_waitsOfAMasterThatKeepsUp() -> None:
    """Each write to a master that keeps up is in the first class, and none is missing."""
    with World() as world:
        world.master()
        world.master()
        for number in range(10):
            world.rtu.send(event(number))
            world.run(1)
        waits = world.group.snapshot().waits
        assert waits.counts[0] == 20 and sum(waits.counts) == 20 and waits.total == 0


def test_waitsOfASlowMaster() -> None:
    """What waits for a master's acknowledgement counts with the time that it waited."""
    with World(masters=NARROW) as world:
        slow = world.master(parameters=NARROW, latency=0.2)  # a round trip takes 0.4 s
        world.run(1)
        world.rtu.send(*(event(number) for number in range(4)))
        world.run(5)
        assert len(slow.received) == 5
        waits = world.group.snapshot().waits
        assert sum(waits.counts) == 4
        assert abs(waits.total - (0 + 0.4 + 0.8 + 1.2)) < 0.05


def test_outageIsNoDeliveryDelay() -> None:
    """What came before a master started does not count as late, however long ago that was."""
    with World(stopDelay=60) as world:
        world.master().leave()
        world.run(1)
        world.rtu.send(*(event(number) for number in range(4)))
        world.run(50)
        late = world.master()
        assert len(late.received) == 5
        assert sum(world.group.snapshot().waits.counts) == 0


def test_commandsByResult() -> None:
    """Each command counts once, by how it ended; the RTU's confirmation by the time it took."""
    with World() as world:
        world.respond()
        master = world.master()
        master.send(request(45, 100), request(103, 0, bytes(7)))
        world.run()
        world.rtu.reply = lambda asked: []
        master.send(request(45, 101))
        world.run(11)
        snapshot = world.group.snapshot()
        ended = {result: count for result, count in snapshot.commands.items() if count}
        assert ended.pop(Outcome.TERMINATED.value) == 1
        assert ended.pop(Outcome.TIMED_OUT.value) == 1
        assert set(snapshot.commands) == {outcome.value for outcome in Outcome}
        assert sum(snapshot.roundTrips.counts) == 1
        assert 0 < snapshot.roundTrips.total < 0.1
