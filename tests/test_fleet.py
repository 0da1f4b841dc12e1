"""All groups of the process: what a reload does to them, restart, disconnect."""

from __future__ import annotations

import pytest
from twisted.logger import LogEvent

from mm2ss.config.model import AckMode
from mm2ss.config.parameters import LinkParameters
from mm2ss.iec104.apci import CloseCause
from mm2ss.relay.group import FINISH_TIME
from mm2ss.relay.snapshot import Changes
from tests.fakes import FakeReactor
from tests.fleets import FleetWorld, config, events
from tests.groups import World, event
from tests.memoryjournal import MemoryJournal


def test_onlyWhatDiffersIsTouched() -> None:
    """Unchanged groups keep their connections and sequence numbers; the others follow the file."""
    world = FleetWorld(config(1), config(2), config(3))
    masters = {number: world.master(number) for number in (1, 2, 3)}
    for number in (1, 2, 3):
        world.rtus[number].send(event(1))
    world.run()
    (changes,) = world.apply(config(4), config(2, bufferSize=7), config(1))
    assert changes == Changes(unchanged=(1,), changed=(2,), added=(4,), removed=(3,))
    assert str(changes) == "1 unchanged, 1 changed, 1 added, 1 removed"
    assert world.fleet.numbers == [4, 2, 1]
    assert world.fleet.config(2).bufferSize == 7
    assert [len(world.rtus[number].ups) for number in (1, 2, 3, 4)] == [1, 2, 1, 1]
    assert [masters[number].connected for number in (1, 2, 3)] == [True, False, False]
    assert [world.isOpen(2400 + number) for number in (1, 2, 3, 4)] == [True, True, False, True]
    world.rtus[1].send(event(2))
    world.run()
    assert events(masters[1]) == [event(1), event(2)]
    assert world.rtus[1].link.sent == 2
    world.finish()


def test_whatStopsDoesSoInOrder() -> None:
    """The RTU is sent STOPDT, acknowledged, and closed when it has confirmed."""
    world = FleetWorld(config(1))
    world.master(1)
    rtu = world.rtus[1]
    rtu.send(event(1))
    world.run(0.1)
    assert world.apply() == [Changes((), (), (), (1,))]
    assert rtu.heard[-2:] == ["STOPDT act", "S 1"]
    assert rtu.ups[0].link.outstanding == 0
    assert rtu.causes == [CloseCause.PEER_CLOSED]
    assert world.fleet.numbers == []
    world.finish()


def test_portsMayBeSwapped() -> None:
    """All that leave have left before any starts, so a port may go from one to another."""
    world = FleetWorld(config(1), config(2), config(3))
    (changes,) = world.apply(config(1, port=2402), config(2, port=2403), config(4, port=2401))
    assert changes == Changes((), (1, 2), (4,), (3,))
    first, second, fourth = (world.master(number) for number in (1, 2, 4))
    for number in (1, 2, 4):
        world.rtus[number].send(event(number))
    world.run()
    assert [events(each) for each in (first, second, fourth)] == [
        [event(1)],
        [event(2)],
        [event(4)],
    ]
    world.finish()


def test_theSameFilesTouchNothing() -> None:
    """No group is made anew, none is stopped."""
    world = FleetWorld(config(1), config(2))
    assert world.apply(config(1), config(2)) == [Changes((1, 2), (), (), ())]
    assert len(world.made) == 2
    world.finish()


def test_W15_aRestartLosesNoEvent() -> None:
    """What no master has acknowledged is in the journal before the RTU is acknowledged, and goes
    to the next master."""
    world = FleetWorld(config(1))
    master = world.master(1, mute=True)
    rtu = world.rtus[1]
    rtu.send(*(event(number) for number in range(5)))
    world.run(0.5)
    assert rtu.link.outstanding == 5
    outstanding = []
    rtu.connection.whenLost().addCallback(  # type: ignore[union-attr]  # it is connected
        lambda _: outstanding.append(rtu.ups[0].link.outstanding)
    )
    assert len(world.apply(config(1, bufferSize=7))) == 1
    assert outstanding == [0]
    assert not master.connected
    assert world.fleet.snapshot(1).unsettled == 5
    again = world.master(1)
    world.run()
    assert events(again) == [event(number) for number in range(5)]
    rtu.send(event(5))
    world.run(20)
    assert events(again)[5:] == [event(5)]
    assert world.fleet.snapshot(1).unsettled == 0
    assert world.ended(world.fleet.restart(1)) == [None]
    assert world.fleet.snapshot(1).unsettled == 0
    world.finish()


def test_W15_aRestartOnAFullDiskLosesNoEvent() -> None:
    """What the journal does not take is not acknowledged: the RTU keeps it."""
    world = FleetWorld(config(1))
    world.disk.capacity = 0
    world.master(1, mute=True)
    rtu = world.rtus[1]
    rtu.send(event(1), event(2))
    world.run(0.5)
    first = rtu.link
    assert len(world.apply(config(1, bufferSize=7), seconds=13)) == 1
    assert first.outstanding == 2
    assert len(rtu.ups) == 2
    assert world.fleet.snapshot(1).unsettled == 0
    world.disk.capacity = None
    world.finish()


def test_theJournalsLastWord() -> None:
    """A refusal that comes when the group is being taken down leaves nothing pending."""
    reactor = FakeReactor()
    journal = MemoryJournal(reactor)
    with World(reactor, safe=journal, ackMode=AckMode.THROUGH) as world:
        world.master().mute()
        world.rtu.send(event(1))
        world.run(0.5)
        journal.failing, journal.latency = True, FINISH_TIME + 0.0005
        world.rtu.freeze()
        world.stop()
        world.run(1)
        journal.latency = 0.01


@pytest.mark.parametrize("change", ["name", "commonAddress", "journal", "ackMode"])
def test_anotherKeyGetsNothing(change: str) -> None:
    """What is held for another plant is set aside, as at a start."""
    world = FleetWorld(config(1))
    world.master(1, mute=True)
    world.rtus[1].send(event(1))
    world.run(0.5)
    value = {"name": "other", "commonAddress": 33, "journal": False, "ackMode": AckMode.IMMEDIATE}
    assert len(world.apply(config(1, **{change: value[change]}))) == 1
    assert world.fleet.snapshot(1).unsettled == 0
    (aside,) = [name for name in world.disk.names() if name.startswith("events-1-")]
    assert event(1).hex() in world.disk.read(aside).decode()
    assert len(world.apply(config(1))) == 1
    assert world.fleet.snapshot(1).unsettled == 0
    world.finish()


def test_theFirstJournalledGroup() -> None:
    """The journal begins with the first group that uses it; what it finds is its group's."""
    world = FleetWorld(config(1))
    world.master(1, mute=True)
    world.rtus[1].send(event(1))
    world.run(0.5)
    world.finish()

    later = FleetWorld(config(1, journal=False))
    later.disk = world.disk
    later.disk.cutPower()
    assert not later.copies.needed
    later.copies.prepare([config(1), config(2)])
    assert len(later.apply(config(1), config(2))) == 1
    assert events(later.master(1)) == [event(1)]
    later.finish()


def test_restart() -> None:
    """A new object, the same configuration or the one that is given."""
    world = FleetWorld(config(1), config(2))
    assert world.ended(world.fleet.restart(1)) == [None]
    assert world.ended(world.fleet.restart(2, config(2, maxMasters=1))) == [None]
    assert [group.config.id for group in world.made] == [1, 2, 1, 2]
    assert world.fleet.config(2).maxMasters == 1
    assert [world.rtus[number].connected for number in (1, 2)] == [True, True]
    assert [group.running for group in world.made] == [False, False, True, True]
    world.finish()


def test_whatCannotBeAsked() -> None:
    """Numbers that there are not, and another group's configuration."""
    world = FleetWorld(config(1))
    for ask in (world.fleet.config, world.fleet.snapshot, world.fleet.restart):
        with pytest.raises(KeyError):
            ask(9)
    with pytest.raises(KeyError):
        world.fleet.disconnect(9, "192.0.2.1")
    with pytest.raises(ValueError, match="group 2 for group 1"):
        world.fleet.restart(1, config(2))
    world.finish()


def test_oneAfterTheOther() -> None:
    """What is asked for meanwhile waits, and finds what the one before has left."""
    slow = LinkParameters(t1=5, t2=1)
    world = FleetWorld(config(1, rtu=slow), config(2))
    world.master(1)
    world.rtus[1].freeze()  # STOPDT is not confirmed: the stop takes t1
    first = world.fleet.apply([config(2), config(1)])
    restart = world.fleet.restart(1)
    second = world.fleet.apply([config(2)])
    done: list[object] = []
    for each in (first, restart, second):
        each.addCallback(done.append)
    world.run(1)
    assert done == [] and world.fleet.numbers == [1, 2]
    assert world.fleet.snapshot(1).id == 1
    world.run(20)
    assert done == [Changes((2,), (1,), (), ()), None, Changes((2,), (), (), (1,))]
    assert world.fleet.numbers == [2]
    world.finish()


def test_aRestartOfAGroupThatHasGone() -> None:
    """When its turn comes there is nothing to restart."""
    world = FleetWorld(config(1), config(2))
    gone = world.fleet.apply([config(2)])
    restart = world.fleet.restart(1)
    assert (len(world.ended(gone)), world.ended(restart)) == (1, [None])
    assert world.fleet.numbers == [2]
    world.finish()


def test_aStopDuringAReload() -> None:
    """It waits for those that are on their way out; nothing new starts."""
    slow = LinkParameters(t1=5, t2=1)
    world = FleetWorld(config(1, rtu=slow), config(2))
    world.master(1)
    world.rtus[1].freeze()
    world.apply(config(1), config(2), config(3), seconds=0.5)
    stopping = world.ended(world.fleet.stopService(), 1)
    assert stopping == []
    world.run(10)
    assert [group.running for group in world.made] == [False] * len(world.made)
    assert not world.rtus[3].connected
    world.finish()


def test_aGroupThatCannotBeMade(loggedFailures: list[LogEvent]) -> None:
    """It is missing, and the others run."""
    world = FleetWorld(config(1), config(2))
    world.broken = {1}
    changed = config(1, maxMasters=1), config(2, maxMasters=1)
    assert world.apply(*changed) == [Changes((), (1, 2), (), ())]
    assert world.fleet.numbers == [2]
    assert [each["group"] for each in loggedFailures] == [1]
    loggedFailures.clear()
    world.broken = set()
    assert world.apply(*changed) == [Changes((2,), (), (1,), ())]
    assert world.rtus[1].connected
    world.finish()


def test_disconnect() -> None:
    """One master by address and port, or all of an address; of this group only."""
    world = FleetWorld(config(1), config(2))
    one, two = world.master(1, "192.0.2.1"), world.master(1, "192.0.2.1")
    three, other = world.master(1, "192.0.2.3"), world.master(2, "192.0.2.1")
    peers = [master.peer for master in world.fleet.snapshot(1).masters]
    assert world.fleet.disconnect(1, peers[1]) == 1
    world.run(0.1)
    assert [each.connected for each in (one, two, three, other)] == [True, False, True, True]
    assert world.fleet.disconnect(1, "192.0.2.1") == 1
    assert world.fleet.disconnect(1, "192.0.2.9") == 0
    world.run(0.1)
    assert [each.connected for each in (one, two, three, other)] == [False, False, True, True]
    world.finish()


def test_snapshots() -> None:
    """Of all groups, in the order of their numbers in the file."""
    world = FleetWorld(config(3), config(1))
    assert [snapshot.id for snapshot in world.fleet.snapshots()] == [3, 1]
    assert world.fleet.snapshots()[1].rtu == "198.51.100.1:2404"
    world.finish()


def test_portProblem() -> None:
    """There is one when no group can use its port."""
    world = FleetWorld(config(1), config(2))
    assert world.fleet.portProblem() == ""
    world.made[0]._portProblem = lambda _, port: f"port {port} is taken"
    assert world.fleet.portProblem() == ""
    world.made[1]._portProblem = lambda _, port: f"port {port} is taken"
    assert world.fleet.portProblem() == "port 2401 is taken; port 2402 is taken"
    world.finish()
