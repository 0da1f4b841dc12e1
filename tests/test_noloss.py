"""No event is lost: at every moment it is unacknowledged at the RTU, acknowledged by a master,
or on disk."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

import pytest

from mm2ss.config.model import AckMode, InterrogatedData
from mm2ss.config.parameters import LinkParameters
from mm2ss.iec104.apci import CloseCause
from mm2ss.iec104.loop import Loop
from mm2ss.iec104.wire import Wires
from tests.fakes import FakeReactor
from tests.groups import GREETING, WIDE, World, answer, data, event, isUp, request
from tests.memoryjournal import MemoryJournal
from tests.peers import FakeMaster
from tests.stations import asdus


class Through(World):
    """A group with `ack_mode: through`, the default of the product."""

    def __init__(self, *arguments: Any, **changes: Any) -> None:
        changes.setdefault("ackMode", AckMode.THROUGH)
        super().__init__(*arguments, **changes)


def events(master: FakeMaster) -> list[bytes]:
    """What a master received but its greetings."""
    return [asdu for asdu in master.received if asdu != GREETING]


def journalled(reactor: FakeReactor | None = None, **changes: Any) -> tuple[Through, MemoryJournal]:
    """A group with a journal."""
    reactor = reactor or FakeReactor()
    journal = MemoryJournal(reactor)
    return Through(reactor, safe=journal, **changes), journal


def test_W03_acknowledgedOnlyAfterAMaster() -> None:
    """The RTU is acknowledged when a master has acknowledged, and not before."""
    with Through() as world:
        master = world.master()
        world.rtu.send(*asdus(12))
        master.mute()
        world.run(5)
        assert world.rtu.link.outstanding == 12
        master.mute(False)
        world.run(10.5)
        assert world.rtu.link.outstanding == 0


def test_W04_aMuteMasterCostsNothing() -> None:
    """Two masters, one mute: the other's acknowledgement frees the RTU; none is early."""
    with Through() as world:
        mute, quick = world.master(), world.master()
        mute.mute()
        world.run(0.1)
        world.rtu.send(*asdus(8))
        world.run(0.5)
        assert world.rtu.link.outstanding == 0
        assert events(quick) == asdus(8)
        assert world.group.snapshot().early == 0


def test_W05_anIsolatedEvent() -> None:
    """An isolated event is acknowledged when the master does so at its t2; the link stays."""
    world, journal = journalled()
    with world:
        world.master()
        world.rtu.send(event(1))
        world.run(9.9)
        assert world.rtu.link.outstanding == 1
        world.run(0.5)
        assert world.rtu.link.outstanding == 0
        assert journal.disk == {}
        world.run(60)
        assert world.rtu.connected


def test_W06_beforeTheRtusT1() -> None:
    """A master whose t2 is longer than the RTU's t1: early acknowledgement at 13 s, from disk."""
    slow = LinkParameters(t1=40, t2=30)
    world, journal = journalled(masters=slow)
    with world:
        master = world.master(parameters=slow)
        world.rtu.send(event(1))
        world.run(11.5)
        assert journal.disk == {}
        world.run(1)
        assert list(journal.disk.values()) == [event(1)]
        world.run(0.5)
        assert world.rtu.link.outstanding == 0
        world.run(10)
        assert world.rtu.connected and isUp(master)
        assert world.group.snapshot().early == 1


def test_W06_slowLinesAreAcknowledgedSooner() -> None:
    """The time for early acknowledgement counts the longest round trip of the RTU's line twice."""
    slow = LinkParameters(t1=40, t2=30)
    world, journal = journalled(masters=slow)
    with world:
        master = world.master(parameters=slow)
        master.send(request())
        world.run(4)
        world.rtu.send(*(bytes(a[:2]) + b"\x07" + a[3:] for a in world.rtu.received))
        world.run(0.1)
        world.rtu.send(event(1))
        world.run(5.8)  # t1 - 2 x 4 s - 1 s
        assert journal.disk == {}
        world.run(0.4)
        assert len(journal.disk) == 1


def test_aSlowConfirmationHurriesWhatWaits() -> None:
    """A command that took long shortens the time of the events that have come, too, though it is
    counted only when all that was written is sent."""
    reactor = FakeReactor()
    loop = Loop(reactor, Wires())
    world, journal = journalled(reactor, loop=loop)
    asked: list[bytes] = []

    def keep(request: bytes) -> list[bytes]:
        asked.append(request)
        return []

    with world:
        master = world.master()
        master.mute()
        world.rtu.reply = keep
        master.send(request(45, 100, b"\x81"))  # a select: no termination follows
        world.run(0.2)
        world.rtu.send(event(1))
        world.run(6)
        world.rtu.send(answer(asked[0]))
        world.run(0.1)
        assert journal.disk == {}
        loop.settle()
        world.run(0.1)
        assert list(journal.disk.values()) == [event(1)]
        master.mute(False)
        world.run(1)


def test_W07_smallWindowOfTheRtu() -> None:
    """An RTU whose k is smaller than the masters' w does not stall until their t2."""
    small = LinkParameters(k=4, w=3)
    world, _ = journalled(rtu=small, rtuParameters=small)
    with world:
        master = world.master()
        world.rtu.send(*asdus(60))
        world.run(60)
        assert len(events(master)) >= 60


def test_W08_aSoleMuteMaster() -> None:
    """A sole mute master: at most k are acknowledged early, it is closed, then STOPDT; all that
    it did not acknowledge is on disk."""
    world, journal = journalled()
    with world:
        master = world.master()
        world.run(0.1)
        master.mute()
        world.rtu.send(*asdus(40))
        world.run(30)
        assert not isUp(master)
        assert "STOPDT act" in world.rtu.heard
        sent = world.rtu.link.sent
        assert world.rtu.link.outstanding == 0
        assert journal.unsettled == asdus(sent)
        assert sent <= 3 * 12


def test_W09_theNextMasterGetsWhatIsHeld() -> None:
    """The next master gets end of initialization, what is unsettled in order, then live data."""
    world, _ = journalled()
    with world:
        first = world.master()
        first.mute()
        world.rtu.send(*asdus(20))
        world.run(0.5)
        first.die()
        world.run(3)
        assert world.rtu.link.outstanding == 0
        second = world.master()
        world.run(1)
        world.rtu.send(*asdus(5, 100))
        world.run(1)
        sent = [asdu for asdu in asdus(20) if asdu in second.received]
        assert second.received[0] == GREETING
        assert second.received[1:] == [*sent, *asdus(20)[len(sent) :], *asdus(5, 100)]


def test_W11_aSlowInterrogatorDelaysNoAcknowledgement() -> None:
    """A slow requester of an interrogation: what others took is acknowledged all the same."""
    with Through(interrogatedData=InterrogatedData.REQUESTER) as world:
        slow, quick = world.master(), world.master(parameters=WIDE)
        slow.send(request(100, 0, b"\x14"))
        world.run(0.1)
        slow.mute()
        (asked,) = world.rtu.received
        world.rtu.send(bytes(asked[:2]) + b"\x07" + asked[3:])
        world.rtu.send(*(data(number, 20) for number in range(30)), *asdus(12))
        world.run(1)
        assert events(quick) == asdus(12)
        assert world.rtu.link.outstanding == 0


def test_W13_resentEventsAreDelivered() -> None:
    """What the RTU sends again after a reconnect is delivered again: duplicates, never losses."""
    world, _ = journalled()
    with world:
        first = world.master()
        first.mute()
        world.rtu.send(*asdus(5))
        world.run(1)
        world.rtu.die()
        world.run(5)
        second = world.master()
        world.rtu.send(*asdus(5))
        world.run(1)
        assert events(second) == [*asdus(5), *asdus(5)]


@pytest.mark.parametrize("count", [100_000])
def test_W17_aLongJournalIsReplayed(count: int) -> None:
    """All that the journal holds goes to the next master; it is not cut for it."""
    reactor = FakeReactor()
    held = asdus(count)
    wide = LinkParameters(k=1000, w=600)
    with Through(reactor, safe=MemoryJournal(reactor, held), masters=wide) as world:
        master = world.master(parameters=wide)
        world.run(120)
        world.rtu.send(event(9))
        world.run(2)
        assert events(master) == [*held, event(9)]
        assert not world.notes.about("too slow")


def test_theJournalLetsGoOfWhatIsSettled() -> None:
    """As soon as a master has acknowledged events of an earlier process, though the RTU is not owed
    any acknowledgement for it; those before a break that is not passed stay, at most k."""
    reactor = FakeReactor()
    journal = MemoryJournal(reactor, asdus(40), [20])
    with Through(reactor, safe=journal) as world:
        master = world.master()
        world.run(0.01)
        assert (len(events(master)), journal.settled) == (40, 28), "8 acknowledged at a time"
        world.run(11)
        assert journal.unsettled == []


def test_W13_resentEventsComeInOrder() -> None:
    """The RTU's line is lost with the acknowledgement of settled events, while newer ones are still
    open: the next master gets them all in order, whatever the RTU sends again."""
    with Through() as world:
        first = world.master()
        world.rtu.send(*asdus(7))  # with the greeting 8: the master acknowledges
        world.run(0.04)
        world.rtu.send(*asdus(5, 7))
        world.run(0.04)
        assert world.group._exchange._ledger.settled == 7 and world.rtu.link.outstanding == 12
        world.rtu.die()
        world.run(5)
        assert not isUp(first)
        back = world.master()
        world.run(1)
        assert events(back) == asdus(12)
        world.rtu.send(*asdus(12), *asdus(1, 12))
        world.run(1)
        assert events(back) == asdus(12) + asdus(13)
        assert events(world.master()) == asdus(2, 11), "a later one gets nothing that is settled"


def test_W19_onlyKeepersSettle() -> None:
    """Another's acknowledgement does not settle: the RTU waits, then the journal keeps it for
    the keeper."""
    world, journal = journalled(keepers=(ip_network("192.0.2.2/32"),))
    with world:
        test = world.master("192.0.2.1")
        world.rtu.send(*asdus(8))
        world.run(5)
        assert events(test) == asdus(8)
        assert world.rtu.link.outstanding == 8
        world.run(9)
        assert world.rtu.link.outstanding == 0
        assert journal.unsettled == asdus(8)
        keeper = world.master("192.0.2.2")
        world.run(11)
        assert events(keeper) == asdus(8)
        assert journal.unsettled == []


def test_N06_commandsCarryTheAckPoint() -> None:
    """Commands to the RTU acknowledge what is settled, not what was received."""
    with Through() as world:
        master = world.master()
        world.run(0.1)
        master.mute()
        world.rtu.send(*asdus(5))
        world.run(0.1)
        master.send(request())
        world.run(0.1)
        assert world.rtu.heard[-1] == "I 0/0"
        assert world.rtu.link.outstanding == 5


def test_directedFramesHoldNothingBack() -> None:
    """What never entered the ledger does not delay the acknowledgement of what is settled."""
    with Through() as world:
        world.respond()
        master = world.master()
        for number in range(30):
            master.send(request(address=number))
        world.run(1)
        assert world.rtu.link.outstanding == 0


def test_repeatableDataNeedsNoJournal() -> None:
    """Cyclic, background and interrogated data is acknowledged in time without a copy on disk."""
    world, journal = journalled()
    with world:
        master = world.master()
        master.mute()
        world.rtu.send(data(1, 1), data(2, 2), data(3, 20))
        world.run(13.5)
        assert world.rtu.link.outstanding == 0
        assert journal.disk == {}


def test_W08_aFullDiskKeepsEventsAtTheRtu() -> None:
    """While the journal cannot be written nothing unsettled is acknowledged; then it goes on."""
    world, journal = journalled()
    with world:
        first = world.master()
        journal.failing = True
        first.mute()
        world.rtu.send(*asdus(12))
        world.run(1)
        first.die()
        world.run(1)
        assert world.rtu.link.outstanding == 12
        assert world.notes.about("the disk is full")
        journal.failing = False
        journal.onRoom()
        world.run(1)
        assert world.rtu.link.outstanding == 0
        assert journal.unsettled == asdus(12)


def test_aLostRtuIsJournalled() -> None:
    """What is unsettled when the RTU's link breaks goes to disk: an RTU may forget it."""
    world, journal = journalled()
    with world:
        world.master().mute()
        world.rtu.send(*asdus(3))
        world.run(0.5)
        world.rtu.die()
        world.run(0.5)
        assert journal.unsettled == asdus(3)


def test_immediateAcknowledgesByItself() -> None:
    """`ack_mode: immediate` acknowledges by w and t2 and writes nothing."""
    world, journal = journalled(ackMode=AckMode.IMMEDIATE)
    with world:
        world.master().mute()
        world.rtu.send(*asdus(8))
        world.run(0.5)
        assert world.rtu.link.outstanding == 0
        assert journal.disk == {}


def test_aPauseIsNobodysSilence() -> None:
    """A slow master that takes its data is not cut off when the process was suspended: what the
    RTU has sent meanwhile is read before the master's acknowledgements."""
    world, _ = journalled(rtu=WIDE, rtuParameters=WIDE, bufferSize=100)
    with world:
        quick = world.master(parameters=WIDE)
        slow = world.master(latency=0.2)
        for number in range(0, 600, 10):
            world.rtu.send(*asdus(10, number))
            world.run(0.05)
        while world.group.snapshot().masters[1].silence < 0.3:  # its acknowledgement is under way
            world.run(0.01)
        assert world.group.snapshot().masters[1].waiting > 100
        world.rtu.send(*asdus(10, 600))
        world.reactor.advance(3)
        world.run(1)
        assert isUp(slow) and world.group.snapshot().cutOff == 0
        assert events(quick) == asdus(610)


def test_retain_aLostMasterMissesNothing() -> None:
    """A master that comes back in time goes on where it was, its unacknowledged frames again."""
    with Through(retain=60) as world:
        first, other = world.master(), world.master()
        world.rtu.send(*asdus(8))
        world.run(0.5)
        first.mute()
        world.rtu.send(*asdus(4, 8))
        world.run(0.2)
        first.die()
        world.run(0.2)
        world.rtu.send(*asdus(12, 12))
        world.run(1)
        assert events(other) == asdus(24)
        back = world.master("192.0.2.1")
        world.run(1)
        assert events(back) == asdus(16, 8)


def test_retain_theLossOfTheRtuIsSurvived() -> None:
    """The place belongs to the group: it survives the loss of the RTU's line."""
    with Through(retain=60) as world:
        first, other = world.master(), world.master()
        world.rtu.send(*asdus(8))
        world.run(0.5)
        first.mute()
        world.rtu.send(*asdus(8, 8))
        world.run(0.2)
        world.rtu.die()
        world.run(5)
        back, again = world.master("192.0.2.1"), world.master("192.0.2.2")
        world.run(1)
        assert events(back) == asdus(8, 8)
        assert events(again) == []
        assert other.connection is None


def test_retain_pastTheBoundItIsGivenUpWhole() -> None:
    """Past bufsize the place is given up: the master returns as a new one, and the log tells."""
    with Through(retain=60, bufferSize=20) as world:
        first, other = world.master(), world.master()
        world.run(0.2)
        first.die()
        for number in range(0, 48, 8):
            world.rtu.send(*asdus(8, number))
            world.run(0.5)
        back = world.master("192.0.2.1")
        world.run(1)
        assert events(back) == []
        assert world.notes.about("it has missed 48 frames")
        assert events(other) == asdus(48)


def test_retain_aBusyRtuIsNotHeldBack() -> None:
    """Past bufsize the place is given up while the RTU sends, long before it fills the memory."""
    with Through(retain=60, ledgerMax=65536, bufferSize=200, rtu=WIDE, rtuParameters=WIDE) as world:
        first, other = world.master(parameters=WIDE), world.master(parameters=WIDE)
        world.run(0.2)
        first.die()
        world.run(0.2)
        for number in range(0, 4000, 100):
            world.rtu.send(*asdus(100, number))
            world.run(0.05)
            assert world.group.snapshot().octets < 65536 / 2
        assert world.group.snapshot().heldBack == 0
        assert events(other) == asdus(4000)


def test_retain_timeRunsOut() -> None:
    """After the time the place is forgotten."""
    with Through(retain=10) as world:
        first, _ = world.master(), world.master()
        world.run(0.2)
        first.die()
        world.run(0.2)
        world.rtu.send(*asdus(8))
        world.run(11)
        back = world.master("192.0.2.1")
        world.run(1)
        assert events(back) == []


def test_closesNameTheirCause() -> None:
    """A sole mute master is closed at t1, with that cause."""
    with Through() as world:
        master = world.master()
        world.run(0.1)
        master.mute()
        world.rtu.send(event(1))
        world.run(16)
        assert world.notes.about(CloseCause.T1_I_FRAME.value)


def test_W19_cyclicDataDoesNotPileUp() -> None:
    """While no keeper is there its events are kept, and what can be had again is not."""
    world, journal = journalled(keepers=(ip_network("192.0.2.2/32"),), masters=WIDE)
    with world:
        world.master("192.0.2.1", parameters=WIDE)
        kept = []
        for number in range(200):
            kept.append(event(number))
            world.rtu.send(kept[-1], *(data(point, 1, 13) for point in range(11)))
            world.run(14)
        ledger = world.group._exchange._ledger
        assert ledger.octets < 60_000
        assert journal.unsettled == kept
        keeper = world.master("192.0.2.2")
        world.run(20)
        assert [asdu for asdu in events(keeper) if asdu[2] == 3] == kept
        assert len(events(keeper)) < 2 * len(kept)
        world.run(15)
        assert journal.unsettled == []
        assert ledger.octets < 10_000


def test_memoryIsBoundedWithoutAJournal() -> None:
    """Without a journal, what is acknowledged early still counts against ledger_max."""
    with Through(ledgerMax=65536, keepers=(ip_network("192.0.2.2/32"),)) as world:
        world.master("192.0.2.1")
        for number in range(0, 3000, 12):
            if world.rtu.started:
                world.rtu.send(*asdus(12, number))
            world.run(14)
        assert world.group._exchange._ledger.octets < 65536 * 1.5


def test_theSnapshotTells() -> None:
    """The figures of a group and its masters."""
    world, _ = journalled(bufferSize=20, retain=60)
    with world:
        slow, quick = world.master(), world.master()
        world.rtu.send(*asdus(8))
        world.run(0.5)
        slow.mute()
        for number in range(8, 88, 8):
            world.rtu.send(*asdus(8, number))
            world.run(0.5)
        figures = world.group.snapshot()
        assert (figures.received, figures.settled, figures.unsettled) == (88, 88, 0)
        assert figures.cutOff == 1 and not isUp(slow)
        (left,) = figures.masters
        assert (left.started, left.sent, left.waiting) == (True, 89, 0)
        assert figures.transfer == "started" and figures.rtu.startswith("198.51.100.1")
        assert events(quick) == asdus(88)
        world.master("192.0.2.1")
        assert world.group.snapshot().resent == 0, "its place was given up"


def test_stoppingTheRelayKeepsWhatIsUnsettled() -> None:
    """When the relay stops, what is unsettled goes to disk and is acknowledged, then the RTU
    confirms STOPDT at once."""
    world, journal = journalled()
    with world:
        world.master().mute()
        world.rtu.send(*asdus(5))
        world.run(0.5)
        world.stop()
        world.run(0.5)
        assert journal.unsettled == asdus(5)
        assert not world.rtu.connected and world.rtu.heard[-2:] == ["STOPDT act", "S 5"]


def test_whatIsTooOldIsGivenUpWithoutAnRtu() -> None:
    """With `hold_age` no master gets what is older, also when the RTU was away all the time."""
    reactor = FakeReactor()
    journal = MemoryJournal(reactor, asdus(3))
    vars(journal)["expire"] = lambda: 3 if reactor.seconds() > 600 else 0
    with Through(reactor, up=False, safe=journal, holdAge=600) as world:
        world.group.startService()
        world.run(3600)
        world.rtu.listen()
        while not world.rtu.connected:
            world.run(0.1)
        assert events(world.master()) == []
