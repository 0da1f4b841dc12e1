"""Slow masters, full ledgers, queues of requests, and ASDUs that must not be passed on."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest

from mm2ss.config.model import InterrogatedData
from mm2ss.config.parameters import LinkParameters
from mm2ss.iec104.apci import CloseCause
from mm2ss.iec104.asdu import Cause, withOriginator
from mm2ss.iec104.link import LinkEvent, Received
from mm2ss.iec104.protocol import LinkProtocol
from tests.groups import (
    GREETING,
    WIDE,
    Responder,
    World,
    answer,
    data,
    event,
    interrogation,
    isUp,
    read,
    request,
    shown,
)
from tests.peers import FakeMaster
from tests.stations import asdus

COMMAND = request()


def longInterrogation(count: int) -> Callable[[bytes], list[bytes]]:
    """An RTU's answer to an interrogation: so many ASDUs with cause 20."""

    def reply(asked: bytes) -> list[bytes]:
        frames = [data(number, 20) for number in range(count)]
        return [answer(asked), *frames, answer(asked, Cause.ACTIVATION_TERM)]

    return reply


def arrivals(world: World, master: FakeMaster) -> list[tuple[float, bytes]]:
    """A list that will hold when each ASDU arrived."""
    times: list[tuple[float, bytes]] = []

    def keep(_: LinkProtocol, events: list[LinkEvent]) -> None:
        for each in events:
            if isinstance(each, Received):
                times.extend((world.now, asdu) for asdu in each.asdus)

    master.onEvents = keep
    return times


# -- who is slow ----------------------------------------------------------------------------


def test_W02_acknowledgedByW() -> None:
    """ack_mode immediate: an S frame to the RTU after w frames, the rest within t2."""
    with World() as world:
        world.master()
        world.rtu.send(*asdus(9))
        world.run(0.1)
        assert world.rtu.heard[-1] in ("S 8", "S 9")
        world.run(10)
        assert world.rtu.heard[-1] == "S 9"


def test_W10_slowMasterIsCut() -> None:
    """More than bufsize frames wait and nothing was acknowledged for 2 s: that master is cut."""
    with World(bufferSize=50) as world:
        slow, fast = world.master(), world.master()
        slow.mute()
        world.run(20)
        world.rtu.send(*asdus(200))
        world.run(1.8)
        assert isUp(slow)
        world.run(0.5)
        assert not isUp(slow) and isUp(fast)
        assert fast.received == [GREETING, *asdus(200)]
        assert slow.received == [GREETING, *asdus(12)]
        (line,) = world.notes.about(CloseCause.TOO_SLOW.value)
        assert "frames wait" in line


def test_W10_stalledSocket() -> None:
    """A master that does not even read from its socket is cut like one that only is mute."""
    with World(bufferSize=50) as world:
        slow, fast = world.master(), world.master()
        slow.freeze()
        world.rtu.send(*asdus(200))
        world.run(2.5)
        assert world.notes.about(CloseCause.TOO_SLOW.value)
        assert fast.received == [GREETING, *asdus(200)]


def test_slowButSteadyIsNotCut() -> None:
    """A master that keeps acknowledging is never cut for its line, however much waits for it."""
    with World(bufferSize=20) as world:
        slow = world.master(latency=0.4)
        fast = world.master()
        world.rtu.send(*asdus(1000))
        world.run(1)
        assert fast.received == [GREETING, *asdus(1000)]
        world.run(120)
        assert slow.received == [GREETING, *asdus(1000)]


def test_muteMasterWithLittleWaitingIsNotCut() -> None:
    """A master may take its t2 to acknowledge as long as no more than bufsize frames wait."""
    with World(bufferSize=50) as world:
        slow = world.master()
        slow.mute()
        world.rtu.send(*asdus(50))
        world.run(9)
        slow.mute(False)
        world.run(1)
        assert slow.received == [GREETING, *asdus(50)]


def test_W14_longInterrogationForAll() -> None:
    """5000 frames of interrogation, masters at 1 ms and 100 ms: both complete, nobody is cut."""
    with World() as world:
        fast, slow = world.master(), world.master(latency=0.05)
        world.rtu.reply = longInterrogation(5000)
        fast.send(interrogation())
        world.run(5)
        assert len(fast.received) == 5003
        world.run(90)
        assert [asdu for asdu in slow.received if asdu[0] == 1] == [
            data(number, 20) for number in range(5000)
        ]
        assert world.group._exchange._ledger.octets < 1000 * 60


def test_W15_longInterrogationForOne() -> None:
    """The same for a slow requester only: complete, and others' events wait at most 2 s."""
    with World(interrogatedData=InterrogatedData.REQUESTER, bufferSize=200) as world:
        slow, fast = world.master(latency=0.05), world.master()
        times = arrivals(world, fast)
        world.rtu.reply = longInterrogation(5000)
        slow.send(interrogation())
        sent = {}
        for number in range(80):
            world.run(1)
            sent[event(number)] = world.now
            world.rtu._queue.appendleft(event(number))
            world.rtu._pump()
        world.run(5)
        assert len(times) == 80
        assert max(at - sent[asdu] for at, asdu in times) <= 2
        assert [asdu for asdu in slow.received if asdu[2] == 20] == [
            data(number, 20) for number in range(5000)
        ]
        assert len(fast.received) == 81


def test_W15_verySlowRequester() -> None:
    """A requester that takes one frame in two seconds, and not more, holds nobody up for longer
    than 2 s at a time either, and the RTU does not give up."""
    masters = LinkParameters(k=1, w=1)
    with World(
        interrogatedData=InterrogatedData.REQUESTER, bufferSize=10, masters=masters, idleTime=0
    ) as world:
        slow, fast = world.master(parameters=WIDE, latency=0.95), world.master(parameters=WIDE)
        times = arrivals(world, fast)
        world.rtu.reply = longInterrogation(100)
        slow.send(interrogation())
        sent = {}
        for number in range(60):
            world.run(1)
            sent[event(number)] = world.now
            world.rtu._queue.appendleft(event(number))
            world.rtu._pump()
        world.run(5)
        assert isUp(slow) and isUp(fast)
        assert len(times) == 60
        assert max(at - sent[asdu] for at, asdu in times) <= 2.5


@pytest.mark.parametrize("mode", InterrogatedData)
def test_W16_smallestBuffer(mode: InterrogatedData) -> None:
    """bufsize = k under full load: nobody is cut."""
    with World(bufferSize=12, interrogatedData=mode) as world:
        masters = [world.master(), world.master(), world.master(latency=0.05)]
        world.rtu.reply = longInterrogation(500)
        world.rtu.send(*asdus(500))
        masters[0].send(interrogation())
        masters[2].send(interrogation())
        world.run(60)
        for master in masters:
            assert [asdu for asdu in master.received if asdu[2] == 3] == asdus(500)
        for master in (masters[0], masters[2]):
            assert len([asdu for asdu in master.received if asdu[2] == 20]) >= 500
        assert not world.notes.warnings


def test_W18_unsettledGoesToTheNext() -> None:
    """Mute master A, then B starts, then A dies: B has had everything, in order."""
    with World() as world:
        first = world.master()
        world.run(11)
        first.mute()
        world.rtu.send(*asdus(5))
        world.run(0.5)
        second = world.master()
        world.rtu.send(*asdus(5, 5))
        world.run(0.5)
        first.die()
        world.rtu.send(*asdus(5, 10))
        world.run(0.5)
        assert second.received == [GREETING, *asdus(15)]


def test_settledIsNotRepeated() -> None:
    """A master that starts later gets what is not settled, and nothing else."""
    with World() as world:
        first = world.master()
        for number in range(20):
            world.rtu.send(event(number))
            world.run(0.01)
        settled = world.group._exchange._ledger.settled
        assert 8 <= settled < 20
        second = world.master()
        assert second.received == [GREETING, *asdus(20 - settled, settled)]
        world.run(11)
        assert world.master().received == [GREETING]
        assert first.received == [GREETING, *asdus(20)]


def test_stalledLaneHoldsTheRtuForTwoSeconds() -> None:
    """A requester that stalls loses the right to hold up the RTU after 2 s."""
    with World(interrogatedData=InterrogatedData.REQUESTER, bufferSize=100) as world:
        slow, fast = world.master(), world.master()
        times = arrivals(world, fast)
        world.rtu.reply = longInterrogation(90)
        world.run(11)
        slow.send(interrogation())
        slow.mute()
        world.run(0.5)
        begun = world.now
        world.rtu._queue.appendleft(event(1))
        world.run(3)
        ((at, asdu),) = times
        assert asdu == event(1)
        assert at - begun <= 2
        assert isUp(slow)
        slow.mute(False)
        world.run(20)
        assert len(slow.received) == 94


# -- a full ledger --------------------------------------------------------------------------

SMALL = 65536
#: Frames of events that fill it.
MANY = SMALL // 58 + 1


def test_fullLedgerCutsWhoIsFurthestBehind() -> None:
    """At ledger_max the RTU waits for at most 2 s, then who is furthest behind is cut; all the
    others miss nothing."""
    with World(ledgerMax=SMALL, bufferSize=10**6) as world:
        slow, slower, fast = world.master(latency=0.05), world.master(latency=0.2), world.master()
        times = arrivals(world, fast)
        world.rtu.send(*asdus(MANY + 100))
        world.run(60)
        assert isUp(slow) and not isUp(slower)
        assert len(world.notes.about(CloseCause.TOO_SLOW.value)) == 1
        for master in (slow, fast):
            assert master.received == [GREETING, *asdus(MANY + 100)]
        assert 1.9 <= max(b[0] - a[0] for a, b in pairwise(times)) <= 2.5
        assert world.group._exchange._ledger.octets <= SMALL * 1.05


def test_fullLedgerThatEmptiesInTimeCutsNobody() -> None:
    """When the one behind catches up within the 2 s it stays."""
    with World(ledgerMax=SMALL, bufferSize=10**6) as world:
        slow, fast = world.master(), world.master()
        slow.mute()
        world.rtu.send(*asdus(MANY + 500))
        world.run(1.5)
        assert len(fast.received) < MANY + 50
        slow.mute(False)
        world.run(2)
        for master in (slow, fast):
            assert master.received == [GREETING, *asdus(MANY + 500)]


def test_fullLedgerWithNobodyToCut() -> None:
    """With no master left the RTU's link is closed; the next master gets everything kept, and is
    not cut for what waited before it came."""
    with World(ledgerMax=SMALL, stopDelay=60) as world:
        world.master().leave()
        world.run(0.5)
        world.rtu.send(*asdus(MANY + 100))
        world.run(1.9)
        assert isUp(world.rtu)
        world.run(0.75)
        assert world.notes.about(f"RTU disconnected: {CloseCause.POLICY.value}")
        kept = world.group._exchange.unsettled
        assert MANY <= kept <= MANY + 24
        world.run(5)
        master = world.master(latency=0.1)
        world.rtu.send(*asdus(100, 20000))
        world.run(60)
        assert isUp(master)
        assert master.received == [GREETING, *asdus(kept), *asdus(100, 20000)]


def test_rtuThatIgnoresItsWindow() -> None:
    """An RTU that sends on although nothing is acknowledged cannot fill the memory."""
    with World(ledgerMax=SMALL, bufferSize=10**6, rtuParameters=WIDE) as world:
        slow, fast = world.master(), world.master(parameters=WIDE)
        slow.mute()
        most = 0
        for number in range(300):
            world.rtu.send(*asdus(100, 100 * number))
            world.run(0.01)
            most = max(most, world.group._exchange._ledger.octets)
        world.run(10)
        assert not isUp(slow)
        assert fast.received == [GREETING, *asdus(30000)]
        assert most <= 2 * SMALL


def test_stopWhileTheRtuIsNotRead() -> None:
    """When the last master goes while nothing is read from the RTU, the stop still completes."""
    with World(ledgerMax=SMALL, bufferSize=10**6, rtuParameters=WIDE) as world:
        master = world.master()
        master.mute()
        world.rtu.send(*asdus(2 * MANY))
        world.run(0.5)
        assert world.group._exchange._pressure._paused
        world.rtu.send(*asdus(10, 50000))
        master.die()
        world.run(0.5)
        assert world.rtu.heard[-2:].count("STOPDT act") == 1
        assert world.rtu.link.state.name == "STOPPED"


# -- requests that wait ---------------------------------------------------------------------


def test_requestsWaitForTheStart() -> None:
    """Requests that come before the RTU is started go to it when it is, in their order."""
    with World() as world:
        world.rtu.freeze()
        master = world.master()
        master.send(*(request(address=number) for number in range(3)))
        world.run(5)
        assert world.rtu.received == []
        world.rtu.freeze(False)
        world.run()
        assert [asdu[6] for asdu in world.rtu.received] == [0, 1, 2]


def test_requestsThatWaitTooLongAreRefused() -> None:
    """After command_age_max a request is refused, as by a busy RTU, and never sent late."""
    with World(commandAgeMax=5) as world:
        world.rtu.freeze()
        master = world.master()
        asked = [
            request(originator=7, test=True),
            read(5),
            request(cause=Cause.DEACTIVATION),
            request(122, 0, bytes(4), cause=Cause.FILE_TRANSFER),
        ]
        master.send(*asked)
        world.run(4.5)
        assert master.received == [GREETING]
        world.run(1)
        assert master.received[1:] == [
            answer(asked[0], Cause.ACTIVATION_CON, negative=True),
            answer(asked[1], Cause.ACTIVATION_CON, negative=True),
            answer(asked[2], Cause.DEACTIVATION_CON, negative=True),
            answer(asked[3], Cause.FILE_TRANSFER, negative=True),
        ]
        world.rtu.freeze(False)
        world.run()
        assert world.rtu.received == []
        assert len(world.notes.about("waited too long")) == 4


def test_requestsWaitForTheWindow() -> None:
    """With the window to the RTU full, requests wait; those that wait too long are refused."""
    with World() as world:
        master = world.master()
        world.rtu.mute()
        master.send(*(request(address=number) for number in range(20)))
        world.run(9)
        assert len(world.rtu.received) == 12
        world.rtu.mute(False)
        world.run(1)
        assert len(world.rtu.received) == 20
        assert master.received == [GREETING]


def test_mastersTakeTurns() -> None:
    """One master's many requests do not delay another's single one."""
    with World() as world:
        one, two = world.master(), world.master()
        world.rtu.mute()
        one.send(*(request(address=number) for number in range(60)))
        world.run(1)
        two.send(request(46))
        world.run(1)
        world.rtu.mute(False)
        world.run(1)
        types = [asdu[0] for asdu in world.rtu.received]
        assert len(types) == 61
        assert types.index(46) <= 14


def test_requestsOfAGoneMasterAreNotSent() -> None:
    """What waits of a master that stops or goes is given up."""
    for how in ("stop", "die"):
        with World() as world:
            world.rtu.freeze()
            master, _ = world.master(), world.master()
            master.send(COMMAND)
            world.run(0.1)
            getattr(master, how)()
            world.run(0.1)
            world.rtu.freeze(False)
            world.run()
            assert world.rtu.received == []
            assert world.notes.about("1 waiting requests not sent")


def test_requestsAreVoidWhenTheRtuIsLost() -> None:
    """What waited for one connection of the RTU is not sent on the next."""
    with World() as world:
        world.rtu.freeze()
        world.master().send(COMMAND)
        world.run(0.1)
        world.rtu.die()
        world.run(3)
        world.master()
        world.run()
        assert isUp(world.rtu) and world.rtu.received == []


def test_floodingMasterIsStopped() -> None:
    """A master that sends without waiting gets no acknowledgement until its requests are
    gone; with its window full it waits, and all are served in the end."""
    with World() as world:
        master = world.master()
        world.rtu.mute()
        master.send(*(request(address=number) for number in range(300)))
        world.run(2)
        assert master.link.window == 0
        exchange = world.group._exchange
        assert len(exchange._masters[0].queue) <= 64 + 2 * 12
        world.rtu.mute(False)
        world.run(2)
        assert [asdu[6] | asdu[7] << 8 for asdu in world.rtu.received] == list(range(300))
        assert isUp(master)


def test_masterThatIgnoresItsWindowIsClosed() -> None:
    """One that sends on although nothing is acknowledged is closed, and it alone."""
    with World() as world:
        master, other = world.master(parameters=WIDE), world.master()
        world.rtu.mute()
        master.send(*(request(address=number) for number in range(300)))
        world.run(1)
        assert not isUp(master) and isUp(other)
        assert world.notes.about(CloseCause.POLICY.value)
        world.rtu.mute(False)
        other.send(request(46))
        world.run()
        assert [asdu[0] for asdu in world.rtu.received].count(46) == 1


def test_floodOfRefusedRequestsIsBounded() -> None:
    """Refusals that the master does not take count as its requests."""
    bad = data(1)
    with World() as world:
        polite, rude = world.master(), world.master(parameters=WIDE)
        world.run(11)
        polite.mute()
        polite.send(*[bad] * 300)
        rude.mute()
        rude.send(*[bad] * 300)
        world.run(1)
        assert isUp(polite) and polite.link.window == 0
        assert not isUp(rude)
        polite.mute(False)
        world.run(2)
        assert len(polite.received) == 301


def test_refusalsThatWereTakenCountNoMore() -> None:
    """A master that takes its refusals is not closed for their number while other data waits."""
    with World(interrogatedData=InterrogatedData.REQUESTER, bufferSize=10000) as world:
        master = world.master(latency=0.05)
        world.rtu.reply = longInterrogation(3000)
        master.send(interrogation())
        world.run(2)
        for _ in range(10):
            master.send(*[data(1)] * 12)
            world.run(3)
        world.run(30)
        assert isUp(master)
        refused = [asdu for asdu in master.received if asdu[2] & 0x3F == Cause.UNKNOWN_TYPE]
        assert len(refused) == 120


# -- what must not be passed on -------------------------------------------------------------


def test_A12_longestAsdu() -> None:
    """An ASDU of 249 octets is relayed bit-exact, but for the originator address, both ways."""
    longest = bytes((200, 0x7F, 3, 5, 32, 0, 1, 0, 0)) + bytes(range(240))
    with World() as world:
        masters = [world.master(), world.master()]
        world.rtu.send(longest)
        world.run()
        for master in masters:
            assert master.received == [GREETING, withOriginator(longest, 0)]
        masters[1].send(longest)
        world.run()
        assert world.rtu.received == [withOriginator(longest, 1)]


@pytest.mark.parametrize(
    "bad",
    [
        COMMAND[:5],
        COMMAND[:8],
        COMMAND[:9],
        COMMAND + b"\0",
        request(58)[:-1],
        *(bytes((45, structure)) + COMMAND[2:] for structure in (0, 2, 0x81)),
    ],
    ids=["5 octets", "8", "no object", "1 too many", "58 cut", "VSQ 0", "VSQ 2", "VSQ 0x81"],
)
def test_M01_M02_malformed(bad: bytes) -> None:
    """A malformed ASDU closes the master that sent it; the RTU and the others notice nothing."""
    with World() as world:
        culprit, other = world.master(), world.master()
        culprit.send(bad)
        world.run()
        assert not isUp(culprit) and isUp(other) and isUp(world.rtu)
        assert world.rtu.received == []
        assert world.notes.about(CloseCause.BAD_ASDU.value)
        other.send(COMMAND)
        world.rtu.send(event(1))
        world.run()
        assert len(world.rtu.received) == 1
        assert other.received == [GREETING, event(1)]


def test_M01_amongOthers() -> None:
    """Malformed in the middle of a chunk: what comes behind it never reaches the RTU."""
    with World() as world:
        culprit, other = world.master(), world.master()
        culprit.send(request(address=1), COMMAND[:5], request(address=2))
        world.run()
        assert not isUp(culprit) and isUp(other)
        assert [asdu[6] for asdu in world.rtu.received] in ([], [1])


@pytest.mark.parametrize(
    ("bad", "cause"),
    [(data(1, typeId=typeId, cause=Cause.ACTIVATION), 44) for typeId in (1, 30, 70, 126)]
    + [(request(83, content=bytes(9)), 44), (request(109, content=b"\0"), 44)]
    + [(request(station=0), 46), (request(station=65535), 46), (read(5, station=65535), 46)]
    + [(request(cause=cause), 45) for cause in (3, 20, 7, 0)],
)
def test_M03_M04_M05_refused(bad: bytes, cause: int) -> None:
    """What no RTU could accept is answered negatively with its own originator address and T bit,
    and is not passed on."""
    bad = withOriginator(bad, 9)
    bad = bad[:2] + bytes((bad[2] | 0x80,)) + bad[3:]
    with World() as world:
        master, other = world.master(), world.master()
        master.send(bad, COMMAND)
        world.run()
        assert master.received == [GREETING, answer(bad, cause, negative=True)]
        assert other.received == [GREETING]
        assert len(world.rtu.received) == 1


def test_M06_oddDataIsPassedOn() -> None:
    """Data whose length disagrees with its structure qualifier is passed on as it is."""
    odd = [bytes((1, 5, 3, 0, 32, 0, 1, 0, 0, 1)), bytes((30, 1, 3, 0, 32, 0)), bytes(6)]
    with World() as world:
        master = world.master()
        world.rtu.send(*odd)
        world.run()
        assert master.received[1:3] == odd[:2]
        assert isUp(world.rtu)


@pytest.mark.parametrize("size", range(1, 6))
def test_M07_rtuSendsHalfAHeader(size: int) -> None:
    """An ASDU of less than 6 octets closes the RTU's link; what came before it is passed on."""
    with World() as world:
        masters = [world.master(), world.master()]
        world.rtu.send(event(1), bytes(size), event(2))
        world.run(0.1)
        assert not isUp(world.rtu)
        assert world.notes.about(CloseCause.BAD_ASDU.value)
        for master in masters:
            assert not isUp(master)
        world.run(3)
        assert world.master().received in (
            [GREETING, event(1)],
            [GREETING],
        )


def test_badFrameAfterGoodOnes() -> None:
    """Data that comes in one chunk with a protocol error of the RTU is still passed on."""
    with World() as world:
        master = world.master()
        world.run(11)
        connection = world.rtu.connection
        assert connection is not None
        connection.link.send([event(1)], world.now)
        world.rtu.raw(connection.link.takeOutput() + b"\x67\x04")
        world.run(0.1)
        assert master.received == [GREETING, event(1)]
        assert not isUp(master)


def test_commandsAndEventsAtOnce() -> None:
    """Under traffic both ways each master gets its own answers among everybody's events."""
    with World() as world:
        world.respond(Responder())
        masters = [world.master(), world.master()]
        for number in range(20):
            world.rtu.send(event(number))
            for place, master in enumerate(masters):
                master.send(request(address=1000 * place + number))
            world.run(0.05)
        world.run(1)
        for place, master in enumerate(masters):
            got = shown(master.received)
            assert [address for kind, _, _, address in got if kind == 1] == list(range(20))
            for cause in (Cause.ACTIVATION_CON, Cause.ACTIVATION_TERM):
                mirrors = [address for kind, seen, _, address in got if (kind, seen) == (45, cause)]
                assert mirrors == [1000 * place + number for number in range(20)]
            assert {originator for _, _, originator, _ in got} == {0}
