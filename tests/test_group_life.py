"""The life of a group: the RTU first, data transfer only when somebody listens, losses, the end."""

from __future__ import annotations

import time
from ipaddress import ip_address
from itertools import pairwise

import pytest
from twisted.internet.error import CannotListenError, ConnectionRefusedError
from twisted.internet.protocol import Factory

from mm2ss.config.model import Host
from mm2ss.config.parameters import LinkParameters
from mm2ss.iec104.apci import CloseCause, encodeI, encodeS
from mm2ss.iec104.link import Ignored, Received, State, Stopped
from tests.fakes import FakeReactor
from tests.groups import (
    GREETING,
    PORT,
    RELAY,
    RTU,
    RTU_TOO,
    STATION,
    World,
    event,
    isUp,
    request,
)
from tests.peers import FakeMaster, FakeRtu
from tests.stations import STARTDT_ACT, STARTDT_CON, STOPDT_CON

# -- the RTU first --------------------------------------------------------------------------


def test_portOpensWithTheRtu() -> None:
    """While the RTU is not connected the port refuses; it is open as soon as the RTU is there."""
    with World(up=False) as world:
        world.group.startService()
        early = FakeMaster(world.reactor, PORT)
        early.connect()
        world.run(5)
        assert isinstance(early.failures[0], ConnectionRefusedError)
        world.rtu.listen()
        world.run(5)
        assert world.isOpen()
        assert world.master().received == [GREETING]


def test_S13_rtuLost() -> None:
    """With the RTU all masters go at once, new ones are refused until the RTU is back."""
    with World() as world:
        masters = [world.master(), world.master(start=False)]
        world.rtu.stopListening()
        world.rtu.die()
        world.run(0.01)
        assert not any(isUp(master) for master in masters)
        assert not world.isOpen()
        assert len(world.notes.about(CloseCause.RTU_LOST.value)) == 2
        world.run(3)
        assert not world.isOpen()
        world.rtu.listen()
        world.run(5)
        assert world.isOpen()
        again = world.master()
        world.rtu.send(event(1))
        world.run()
        assert again.received == [GREETING, event(1)]


def test_S13_rtuClosesInOrder() -> None:
    """An orderly close by the RTU has the same effect."""
    with World() as world:
        master = world.master()
        world.rtu.leave()
        world.run(0.01)
        assert not isUp(master) and not world.isOpen()


def test_T01_nextHost() -> None:
    """A silent host is given up after t0; the next one of the list takes over."""
    hosts = (Host(RTU, 2404), Host(RTU_TOO, 2404))
    with World(up=False, hosts=hosts, rtu=LinkParameters(t0=4)) as world:
        world.reactor.silent = {RTU}
        second = FakeRtu(world.reactor, RTU_TOO)
        second.listen()
        world.group.startService()
        world.run(3.9)
        assert not isUp(second)
        world.run(0.2)
        assert isUp(second) and world.isOpen()
        assert "t0" in world.notes.of(f"{RTU}:2404")[0]


def test_hostsInRotation() -> None:
    """When the connected host is lost, the next of the list is tried first."""
    hosts = (Host(RTU, 2404), Host(RTU_TOO, 2404))
    with World(hosts=hosts) as world:
        second = FakeRtu(world.reactor, RTU_TOO)
        second.listen()
        world.run(20)
        world.rtu.die()
        world.run(0.1)
        assert isUp(second) and not isUp(world.rtu)
        world.run(20)
        second.die()
        world.run(0.1)
        assert isUp(world.rtu)
        second.stopListening()


@pytest.mark.parametrize("longLived", [False, True])
def test_backOffAfterUnprovenConnections(longLived: bool) -> None:
    """An RTU that accepts and closes is tried more and more seldom, unless it stays for 10 s."""
    with World(up=False) as world:
        ups: list[float] = []

        def leaveSoon(_: object) -> None:
            ups.append(world.now)
            world.reactor.callLater(10.5 if longLived else 0.5, world.rtu.die)

        world.rtu.onUp = leaveSoon
        world.rtu.listen()
        world.group.startService()
        world.run(152)
        world.rtu.onUp = None
        if isUp(world.rtu):
            world.run(11)
        gaps = [b - a for a, b in pairwise(ups)]
        expected = [11.5] * 10 if longLived else [1.5, 2.5, 4.5, 8.5, 16.5, 30.5]
        for gap, seconds in zip(gaps, expected, strict=False):
            assert gap == pytest.approx(seconds, abs=0.1)
        world.run(1)


def test_backOffIsResetByDataTransfer() -> None:
    """An RTU that confirmed STARTDT has proven itself; the first retry comes after 1 s again."""
    with World() as world:
        ups = [world.now]
        world.rtu.onUp = lambda _: ups.append(world.now)
        for _ in range(6):
            world.master()
            world.rtu.die()
            world.run(1.5)
            assert world.isOpen()
        assert max(b - a for a, b in pairwise(ups)) < 3


# -- data transfer only when somebody listens -----------------------------------------------


def test_S01_startOnce() -> None:
    """STARTDT goes to the RTU when the first master starts, once, and not for standby masters."""
    with World() as world:
        world.master(start=False)
        world.run(5)
        assert world.rtu.heard == []
        world.master()
        world.master()
        world.run()
        assert world.rtu.heard == ["STARTDT act"]


@pytest.mark.parametrize("station", [1, STATION, 65535])
def test_S02_endOfInitialization(station: int) -> None:
    """STARTDT con, then M_EI with the group's common address, COI 0, OA 0, as first I frame."""
    with World(commonAddress=station) as world:
        master = world.master()
        assert master.heard == ["STARTDT con", "I 0/0"]
        low, high = station & 255, station >> 8
        assert master.received == [bytes((70, 1, 4, 0, low, high, 0, 0, 0, 0))]


def test_S03_secondStart() -> None:
    """STARTDT act while started is confirmed again, without another end of initialization."""
    with World() as world:
        master = world.master()
        master.raw(STARTDT_ACT)
        world.run()
        assert master.heard == ["STARTDT con", "I 0/0", "STARTDT con"]
        assert world.notes.about("confirmed again")


def test_S04_dataBeforeStart() -> None:
    """An I frame before STARTDT closes that master; the RTU sees nothing of it."""
    with World() as world:
        other = world.master()
        master = world.master(start=False)
        heard = list(world.rtu.heard)
        master.raw(encodeI(0, 0, request()))
        world.run()
        assert not isUp(master) and isUp(other)
        assert world.rtu.heard == heard
        assert world.notes.about(CloseCause.DATA_WHILE_STOPPED.value)


def test_S05_acknowledgementBeforeStart() -> None:
    """So does an S frame."""
    with World() as world:
        master = world.master(start=False)
        master.raw(encodeS(0))
        world.run()
        assert not isUp(master)


def test_S09_nothingAfterStop() -> None:
    """After STOPDT act of a master no I frame goes to it, though others get theirs."""
    with World() as world:
        master, other = world.master(), world.master()
        master.mute()
        world.rtu.send(event(1))
        world.run(0.1)
        master.stop()
        world.run(0.1)
        world.rtu.send(event(2))
        world.run(0.1)
        master.mute(False)
        world.run()
        world.rtu.send(event(3))
        world.run()
        assert master.received == [GREETING, event(1)]
        assert other.received == [GREETING, event(1), event(2), event(3)]
        assert master.link.state is State.STOPPED
        assert isUp(master)


@pytest.mark.parametrize("how", ["stop", "leave", "die"])
def test_S10_lastMasterGoes(how: str) -> None:
    """When the last started master stops or goes, STOPDT act goes to the RTU; not before."""
    with World() as world:
        masters = [world.master(), world.master()]
        world.master(start=False)
        for master in masters:
            assert "STOPDT act" not in world.rtu.heard
            getattr(master, how)()
            world.run()
        assert world.rtu.heard == ["STARTDT act", "STOPDT act"]
        assert world.rtu.link.state is State.STOPPED


def test_S11_dataAfterStop() -> None:
    """What the RTU still sends after STOPDT act is acknowledged and kept; the stop completes."""
    with World() as world:
        master = world.master()
        master.leave()
        world.run(0.0015)  # the relay knows, its STOPDT act is under way
        world.rtu.send(*(event(number) for number in range(12)))
        world.run(0.1)
        assert "STOPDT act" in world.rtu.heard
        assert world.rtu.link.outstanding == 0
        assert world.rtu.link.state is State.STOPPED
        assert world.group._exchange.unsettled == 12
        again = world.master()
        assert again.received == [GREETING, *(event(number) for number in range(12))]


def test_S12_masterReturnsWhileStopping() -> None:
    """A master that starts before STOPDT con: STARTDT act goes out only after the con."""
    with World() as world:
        master, other = world.master(), world.master(start=False)
        world.rtu.freeze()
        master.leave()
        world.run(0.1)
        other.start()
        world.run(1)
        assert other.started and other.received == [GREETING]
        assert world.rtu.heard == ["STARTDT act", "STOPDT act"]
        world.rtu.freeze(False)
        world.run()
        assert world.rtu.heard == ["STARTDT act", "STOPDT act", "STARTDT act"]
        world.rtu.send(event(1))
        world.run()
        assert other.received == [GREETING, event(1)]


def test_S12_masterLeavesWhileStarting() -> None:
    """A master that goes before STARTDT con: STOPDT act goes out only after the con."""
    with World() as world:
        world.rtu.freeze()
        master = world.master()
        master.leave()
        world.run(1)
        assert world.rtu.heard == ["STARTDT act"]
        world.rtu.freeze(False)
        world.run()
        assert world.rtu.heard == ["STARTDT act", "STOPDT act"]


def test_S14_numbersContinue() -> None:
    """STOPDT and STARTDT on one connection: sequence numbers go on, on both legs."""
    with World() as world:
        master = world.master()
        world.rtu.send(event(1))
        master.send(request())
        world.run(20)
        master.stop()
        world.run()
        master.start()
        world.run()
        world.rtu.send(event(2))
        master.send(request())
        world.run()
        assert master.received == [GREETING, event(1), GREETING, event(2)]
        assert [frame for frame in master.heard if frame.startswith("I")] == [
            "I 0/0",
            "I 1/0",
            "I 2/1",
            "I 3/1",
        ]
        assert [frame for frame in world.rtu.heard if frame.startswith("I")] == ["I 0/1", "I 1/2"]


def test_stopTakenBack() -> None:
    """STARTDT act while a stop is unconfirmed: the master leaves and joins on one connection."""
    with World() as world:
        master = world.master()
        master.mute()
        world.rtu.send(event(1))
        world.run(0.1)
        master.raw(b"\x68\x04\x13\x00\x00\x00")
        world.run(0.1)
        world.rtu.send(event(2))
        world.run(0.1)
        master.raw(STARTDT_ACT)
        world.run(0.1)
        master.mute(False)
        world.run(11)
        assert master.received == [GREETING, event(1), GREETING, event(1), event(2)]
        assert world.group._exchange.unsettled == 0


def test_S15_standby() -> None:
    """A master that never starts is tested, gets no data, and does not make the RTU send."""
    with World(idleTime=0) as world:
        master = world.master(start=False)
        world.run(100)
        assert isUp(master)
        assert set(master.heard) == {"TESTFR act", "TESTFR con"}
        assert "STARTDT act" not in world.rtu.heard


@pytest.mark.parametrize("back", [False, True])
def test_stopDelay(back: bool) -> None:
    """With stop_delay the RTU goes on for so long after the last master; one that comes in time
    makes it go on without a stop."""
    with World(stopDelay=5) as world:
        world.master().leave()
        world.run(4)
        assert world.rtu.heard == ["STARTDT act"]
        world.rtu.send(event(1))
        world.run(0.5)
        if back:
            assert world.master().received == [GREETING, event(1)]
            world.run(5)
        else:
            world.run(1)
        assert ("STOPDT act" in world.rtu.heard) != back


# -- a silent RTU ---------------------------------------------------------------------------


def lostRtu(world: World, master: FakeMaster, cause: CloseCause) -> None:
    """The RTU was given up for this cause, masters with it, and it is tried again."""
    assert not isUp(master)
    assert world.notes.about(f"RTU disconnected: {cause.value}")
    world.run(3)
    assert world.isOpen(), "connected again"


def test_T02_requestNotAcknowledged() -> None:
    """An RTU that does not acknowledge a request within t1 is given up."""
    with World() as world:
        master = world.master()
        world.rtu.mute()
        master.send(request())
        world.run(14.9)
        assert isUp(master)
        world.run(0.3)
        lostRtu(world, master, CloseCause.T1_I_FRAME)


def test_T02_masterThatDoesNotAcknowledge() -> None:
    """A master that does not acknowledge within t1 is closed, and it alone."""
    with World() as world:
        master, other = world.master(), world.master()
        world.run(11)
        master.mute()
        world.rtu.send(event(1))
        world.run(14.9)
        assert isUp(master)
        world.run(0.3)
        assert not isUp(master) and isUp(other)
        assert world.notes.about(CloseCause.T1_I_FRAME.value)


def test_T04_startNotConfirmed() -> None:
    """An RTU that does not confirm STARTDT within t1 is given up."""
    with World() as world:
        world.rtu.freeze()
        master = world.master()
        world.run(14.7)
        assert isUp(master)
        world.run(0.3)
        lostRtu(world, master, CloseCause.T1_STARTDT)


def test_T05_stopNotConfirmed() -> None:
    """An RTU that does not confirm STOPDT within t1 is given up."""
    with World() as world:
        standby = world.master(start=False)
        master = world.master()
        world.rtu.freeze()
        master.leave()
        world.run(14.9)
        assert isUp(standby)
        world.run(0.2)
        lostRtu(world, standby, CloseCause.T1_STOPDT)


def test_T06_testNotConfirmed() -> None:
    """An RTU that does not confirm TESTFR within t1 is given up; only one TESTFR act is sent."""
    with World(idleTime=0, rtuParameters=LinkParameters(t3=1000)) as world:
        master = world.master(parameters=LinkParameters(t3=5))
        world.rtu.freeze()
        world.run(34.7)
        assert isUp(master)
        assert world.rtu.heard == ["STARTDT act", "TESTFR act"]
        world.run(1)
        lostRtu(world, master, CloseCause.T1_TESTFR)


def test_idleTimeOfTheRtu() -> None:
    """An RTU from which nothing arrives for the idle time is closed, and opened again."""
    with World(idleTime=8) as world:
        master = world.master(parameters=LinkParameters(t3=5))
        world.run(7.8)
        assert isUp(master)
        world.run(0.3)
        lostRtu(world, master, CloseCause.IDLE)


def test_idleTimeOfAMaster() -> None:
    """A master from which nothing arrives for the idle time is closed; TESTFR is an arrival."""
    with World(idleTime=8, rtu=LinkParameters(t3=5)) as world:
        lively = world.master(parameters=LinkParameters(t3=7))
        quiet = world.master(parameters=LinkParameters(t2=14))
        world.run(7.8)
        assert isUp(quiet)
        world.run(0.3)
        assert not isUp(quiet)
        world.run(100)
        assert isUp(lively)


def test_A11_startFromTheRtu() -> None:
    """STARTDT act from the RTU is not answered, only noted; so are confirmations unasked for."""
    with World() as world:
        master = world.master()
        world.rtu.raw(STARTDT_ACT + STARTDT_CON + STOPDT_CON)
        world.run()
        assert world.rtu.heard == ["STARTDT act"]
        assert isUp(master)
        assert len(world.notes.about("ignored: ")) == 3


def test_ignoredFramesDoNotFillTheLog() -> None:
    """Frames without meaning are noted ten times per connection."""
    with World() as world:
        master = world.master()
        world.rtu.raw(STARTDT_ACT * 100)
        master.raw(STARTDT_ACT * 100)
        world.run()
        assert len(world.notes.about("ignored: ")) == 20


def test_T10_wallClockIsNotRead(monkeypatch: pytest.MonkeyPatch) -> None:
    """A step of the wall clock fires and delays nothing: nobody reads it."""
    with World() as world:
        master = world.master()
        world.run(5)

        def forbidden(*_: object) -> float:
            raise AssertionError("the wall clock was read")

        with monkeypatch.context() as patch:
            for name in ("time", "time_ns", "localtime", "gmtime"):
                patch.setattr(time, name, forbidden)
            # A log event is stamped with the wall clock by the logger, and nothing else is.
            patch.setattr("twisted.logger._logger.time", lambda: -3600.0)
            world.rtu.send(event(1))
            master.send(request())
            world.run(100)
            assert isUp(master) and master.received == [GREETING, event(1)]
            assert len(world.rtu.received) == 1


# -- errors that come with something else ---------------------------------------------------


@pytest.mark.parametrize("con", [STARTDT_CON, STOPDT_CON])
def test_rtuConfirmsAndBreaksTheProtocol(con: bytes) -> None:
    """A confirmation and garbage in one chunk, while the masters want the opposite by now."""
    with World() as world:
        if con == STOPDT_CON:
            first = world.master()
            world.rtu.freeze()
            first.leave()
            world.run(0.1)
            world.master()
        else:
            world.rtu.freeze()
            world.master().leave()
            world.run(0.1)
        world.rtu.connection.link.shut()  # type: ignore[union-attr]  # it will not answer itself
        world.rtu.raw(con + b"\x00\x00")
        world.run(0.1)
        assert world.notes.about(CloseCause.BAD_START.value)
        world.run(5)
        assert world.isOpen()


# -- the port -------------------------------------------------------------------------------


def test_portTakenAtStart() -> None:
    """A port that cannot be used is told at once and once; the RTU is left alone meanwhile."""
    with World(up=False) as world:
        world.problem = "port 2404 cannot be used"
        world.rtu.listen()
        world.group.startService()
        assert len(world.notes.about("port 2404 cannot be used")) == 1
        world.run(60)
        assert not isUp(world.rtu)
        assert len(world.notes.about("port 2404 cannot be used")) == 1
        world.problem = ""
        world.run(5.1)
        assert isUp(world.rtu) and world.isOpen()


def test_portTakenWhenTheRtuComesUp() -> None:
    """A port that is taken when the RTU comes up is told and tried again every 5 s."""
    with World(up=False) as world:
        other = world.reactor.listenTCP(PORT, Factory(), interface=RELAY)
        world.rtu.listen()
        world.group.startService()
        world.run(1)
        assert isUp(world.rtu)
        assert world.notes.about("port 2404 cannot be used")
        other.stopListening()
        world.run(5)
        assert world.master().started


def test_portTakenAndRtuLost() -> None:
    """When the RTU is lost while the port is taken, the port is not tried before it is back."""
    with World(up=False) as world:
        other = world.reactor.listenTCP(PORT, Factory(), interface=RELAY)
        world.rtu.listen()
        world.group.startService()
        world.run(1)
        world.rtu.stopListening()
        world.rtu.die()
        world.run(1)
        other.stopListening()
        world.run(20)
        assert not world.isOpen()


def test_someAddressesTaken() -> None:
    """When one of several addresses cannot be listened on, none is: masters see one state."""
    both = (ip_address(RELAY), ip_address("192.0.2.253"))
    with World(up=False, listen=both) as world:
        other = world.reactor.listenTCP(PORT, Factory(), interface="192.0.2.253")
        world.rtu.listen()
        world.group.startService()
        world.run(1)
        assert not world.isOpen()
        other.stopListening()
        world.run(5)
        assert world.isOpen() and world.reactor.listening(PORT, "192.0.2.253")


# -- taking it down -------------------------------------------------------------------------


def test_stopIsOrderly() -> None:
    """STOPDT to the RTU first, then the masters are closed, then it is done; all at once."""
    with World() as world:
        masters = [world.master(), world.master(start=False)]
        stopping = world.stop()
        world.run(0.0005)
        assert all(isUp(master) for master in masters)
        world.run(0.5)
        assert stopping.called
        assert world.rtu.heard == ["STARTDT act", "STOPDT act"]
        assert world.rtu.count(Stopped) == 1
        assert world.rtu.causes == [CloseCause.PEER_CLOSED]
        assert [master.causes for master in masters] == [[CloseCause.PEER_CLOSED]] * 2
        texts = [text for _, _, text in world.notes.lines]
        order = ["STOPDT sent", "RTU confirmed STOPDT", CloseCause.SHUTDOWN.value]
        places = [next(i for i, text in enumerate(texts) if words in text) for words in order]
        assert places == sorted(places)
        assert texts[-1] == "stopped"


def test_stopIsBounded() -> None:
    """An RTU that never confirms STOPDT delays the end by min(t1, 10 s) at most."""
    for t1, seconds in ((15, 10), (4, 4)):
        with World(rtu=LinkParameters(t1=t1, t2=2), idleTime=0) as world:
            master = world.master()
            world.rtu.freeze()
            stopping = world.stop()
            world.run(seconds - 0.1)
            assert not stopping.called and isUp(master)
            world.run(2.2)
            assert stopping.called


def test_stopAcknowledgesWhatArrived() -> None:
    """What the RTU had sent is acknowledged before the stop, and what is unsettled is told."""
    with World() as world:
        world.master().mute()
        world.rtu.send(*(event(number) for number in range(5)))
        world.run(0.1)
        world.stop()
        world.run(0.1)
        assert "S 5" in world.rtu.heard
        assert world.notes.about("5 events were not acknowledged")


@pytest.mark.parametrize("stopDelay", [0, 30])
@pytest.mark.parametrize(
    "state",
    [
        "connecting",
        "silent host",
        "pause",
        "port taken",
        "port taken late",
        "idle",
        "standby",
        "starting",
        "transferring",
        "waiting to stop",
        "stopping",
        "rtu lost",
    ],
)
def test_stopInEveryState(state: str, stopDelay: float) -> None:
    """Whenever the group is taken down, it ends in time and leaves nothing pending."""
    with World(up=False, stopDelay=stopDelay, idleTime=0) as world:
        if state == "silent host":
            world.reactor.silent = {RTU}
        if state == "port taken":
            world.problem = "taken"
        if state == "port taken late":
            other = world.reactor.listenTCP(PORT, Factory(), interface=RELAY)
            world.reactor.callLater(2, other.stopListening)
        if state not in ("connecting", "pause"):
            world.rtu.listen()
        world.group.startService()
        if state == "connecting":
            return
        world.run(0.5)
        if state in ("standby", "transferring", "waiting to stop", "stopping", "rtu lost"):
            master = world.master(start=state != "standby")
            if state in ("waiting to stop", "stopping"):
                world.rtu.freeze()
                master.leave()
                world.run(0.1 if state == "waiting to stop" else stopDelay + 0.1)
            if state == "rtu lost":
                world.rtu.die()
                world.run(0.1)
        if state == "starting":
            world.rtu.freeze()
            world.master()


def test_stopTwiceIsHarmlessToTheRtu() -> None:
    """A master that comes while the group is taken down does not start the RTU again."""
    with World() as world:
        world.master()
        standby = world.master(start=False)
        world.rtu.freeze()
        world.stop()
        world.run(1)
        standby.start()
        world.run(1)
        world.rtu.freeze(False)
        world.run(1)
        assert world.rtu.heard == ["STARTDT act", "STOPDT act"]
        assert not isUp(standby)


def test_rtuLostWhileTakenDown() -> None:
    """An RTU that is lost instead of confirming ends the wait at once."""
    with World() as world:
        world.master()
        world.rtu.freeze()
        stopping = world.stop()
        world.run(1)
        world.rtu.die()
        world.run(0.1)
        assert stopping.called


# -- isolation ------------------------------------------------------------------------------


def test_twoGroupsKnowNothingOfEachOther() -> None:
    """Two groups in one reactor: the trouble of one does not touch the other."""
    reactor = FakeReactor()
    one = World(reactor)
    two = World(reactor, id=2, port=2405, hosts=(Host(RTU_TOO, 2404),))
    first, second = one.master(), two.master()
    one.rtu.send(event(1))
    two.rtu.send(event(2))
    first.send(request(address=1))
    second.send(request(address=2))
    one.run()
    assert first.received == [GREETING, event(1)]
    assert second.received == [GREETING, event(2)]
    assert [asdu[6] for asdu in one.rtu.received] == [1]
    assert [asdu[6] for asdu in two.rtu.received] == [2]
    one.rtu.stopListening()
    one.rtu.raw(b"rubbish")
    first.freeze()
    one.run()
    assert not isUp(one.rtu) and isUp(two.rtu)
    assert isUp(second)
    second.send(request(address=3))
    two.rtu.send(event(3))
    two.run()
    assert second.received[-1] == event(3)
    assert two.rtu.received[-1][6] == 3
    assert not two.notes.warnings
    stops = [one.stop(), two.stop()]
    reactor.run(15)
    assert all(stop.called for stop in stops)
    reactor.run(1)
    assert reactor.getDelayedCalls() == []


def test_noPortErrorEscapes() -> None:
    """The fake port behaves as Twisted's: a second listener on an address is refused."""
    reactor = FakeReactor()
    reactor.listenTCP(1, Factory(), interface=RELAY)
    with pytest.raises(CannotListenError):
        reactor.listenTCP(1, Factory(), interface=RELAY)


def test_masterLeg() -> None:
    """Every connection, start, stop and end of a master is one line that names it."""
    with World() as world:
        master = world.master()
        peer = f"{master.address}:{master.transport.getHost().port}"
        master.stop()
        world.run()
        master.leave()
        world.run()
        assert world.notes.of(peer) == [
            "connected, 1 of 5 masters",
            "STARTDT: data transfer started, end of initialization sent",
            "STOPDT: data transfer is to stop",
            "data transfer stopped",
            "disconnected: closed by the peer, 0 of 5 masters cause=PEER_CLOSED",
        ]
        assert not [each for each in master.events if isinstance(each, Ignored)]
        assert [each for each in master.events if isinstance(each, Received)]
