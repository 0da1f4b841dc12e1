"""Several masters want the same thing of one RTU: each sees what it would see alone."""

from __future__ import annotations

from math import inf
from typing import Any, cast

import pytest

from mm2ss.config.model import ClockSync, CounterReset, InterrogatedData, ResetProcess
from mm2ss.config.parameters import LinkParameters
from mm2ss.iec104.apci import CloseCause
from mm2ss.iec104.asdu import BROADCAST, Cause, withOriginator
from mm2ss.relay.master import Outlet
from tests.around import Around
from tests.groups import RESPONDERS, World, answer, data, interrogation, read, request, shown

SELECT, EXECUTE = bytes((0x81,)), bytes((0x01,))
FILE = bytes((1, 0, 0))


def file(qualifier: int, typeId: int = 122) -> bytes:
    """Select, call or acknowledge a file."""
    return request(typeId, 1, FILE + bytes((qualifier,)), cause=Cause.FILE_TRANSFER)


def mirrors(asdus: list[bytes], typeId: int) -> list[tuple[int, bool]]:
    """Cause and P/N of each mirror of a type."""
    return [(a[2] & 0x3F, bool(a[2] & 0x40)) for a in asdus if a[0] == typeId]


CON, TERM, REFUSED = (7, False), (10, False), (7, True)
CANCELLED, NOT_CANCELLED = (9, False), (9, True)


def narrow(**options: Any) -> World:
    """One request at a time goes to the RTU, which acknowledges each at once (unless mute)."""
    return World(rtu=LinkParameters(k=1, w=1), rtuParameters=LinkParameters(w=1), **options)


def isIdle(world: World) -> bool:
    """Whether no request is open, waits or is remembered, and nothing is selected."""
    commands = world.group._exchange._commands
    kept = len(commands.requests) + len(commands._locks) + len(commands._lines)
    return kept + len(commands._queue.cleared) == 0 and commands.deadline == inf


def test_C01_fiveInterrogationsCostTwoRuns() -> None:
    """Five masters interrogate at once: at most two runs, five complete answers."""
    with World(interrogatedData=InterrogatedData.REQUESTER, maxMasters=5) as world:
        responder = world.respond()
        masters = [world.master() for _ in range(5)]
        for master in masters:
            master.send(interrogation())
        world.run()
        assert 1 <= len(responder.asked) <= 2
        for master in masters:
            assert mirrors(master.received, 100) == [CON, TERM]


def test_C02_aRunningInterrogationIsNotJoined() -> None:
    """An interrogation during a running one waits: joined, its data would be incomplete."""
    with World() as world:
        first, second = world.master(), world.master()
        first.send(interrogation())
        world.run()
        (asked,) = world.rtu.received
        world.rtu.send(answer(asked))
        world.run()
        second.send(interrogation())
        world.run()
        assert len(world.rtu.received) == 1
        world.rtu.send(answer(asked, Cause.ACTIVATION_TERM))
        world.run()
        assert len(world.rtu.received) == 2
        assert mirrors(second.received, 100) == []


def test_C02_whatWaitsTooLongIsRefused() -> None:
    """A waiting interrogation is refused after gi_wait without progress of the running one."""
    with World(giWait=5) as world:
        first, second = world.master(), world.master()
        first.send(interrogation())
        world.run()
        second.send(interrogation())
        world.run(4)
        world.rtu.send(answer(world.rtu.received[0]))
        world.run(4)
        assert mirrors(second.received, 100) == []
        world.run(2)
        assert mirrors(second.received, 100) == [REFUSED]


def test_C02_onePartyLeavesASharedInterrogation() -> None:
    """Deactivation by one of those who share a run is answered here; the run goes on."""
    with World() as world:
        first, second, third = world.master(), world.master(), world.master()
        for master in (first, second, third):
            master.send(interrogation())
        world.run()
        second.send(interrogation(cause=Cause.DEACTIVATION))
        world.run()
        assert mirrors(second.received, 100) == [(9, False)]
        (asked,) = world.rtu.received
        world.rtu.send(answer(asked), answer(asked, Cause.ACTIVATION_TERM))
        world.run()
        (_, asked) = world.rtu.received
        world.rtu.send(answer(asked), answer(asked, Cause.ACTIVATION_TERM))
        world.run()
        assert mirrors(third.received, 100) == [CON, TERM]
        assert mirrors(second.received, 100) == [(9, False)]


def test_C03_aSelectedPointIsRefusedToOthers() -> None:
    """A selects, B selects: B is refused, A goes on."""
    with World() as world:
        responder = world.respond()
        first, second = world.master(), world.master()
        first.send(request(content=SELECT))
        world.run()
        second.send(request(content=SELECT))
        world.run()
        first.send(request(content=EXECUTE))
        world.run()
        assert mirrors(second.received, 45) == [REFUSED]
        assert mirrors(first.received, 45) == [CON, CON, TERM]
        assert len(responder.asked) == 2
        second.send(request(content=SELECT))
        world.run()
        assert mirrors(second.received, 45) == [REFUSED, CON]


def test_C04_noExecuteOnAnothersSelect() -> None:
    """A selects, B executes: B is refused and the RTU sees nothing of it."""
    with World() as world:
        responder = world.respond()
        first, second = world.master(), world.master()
        first.send(request(content=SELECT))
        world.run()
        second.send(request(content=EXECUTE), request(58, content=bytes(8)))
        world.run()
        assert mirrors(second.received, 45) == [REFUSED]
        assert mirrors(second.received, 58) == [REFUSED]
        assert len(responder.asked) == 1


def test_C04_aSelectRunsOut() -> None:
    """A select that is never executed holds its point for select_timeout."""
    with World(selectTimeout=20) as world:
        world.respond()
        first, second = world.master(), world.master()
        first.send(request(content=SELECT))
        world.run(19)
        second.send(request(content=EXECUTE))
        world.run(1.5)
        second.send(request(content=EXECUTE))
        world.run()
        assert mirrors(second.received, 45) == [REFUSED, CON, TERM]


def test_C05_theSelectOfADeadMasterIsDeactivated() -> None:
    """A selects and dies: the RTU gets the deactivation; B may after its confirmation."""
    with World() as world:
        first, second = world.master(), world.master()
        first.send(request(content=SELECT))
        world.run()
        world.rtu.send(answer(world.rtu.received[0]))
        world.run()
        first.die()
        world.run()
        select, deactivation = world.rtu.received
        assert deactivation[2] == Cause.DEACTIVATION and deactivation[3:] == select[3:]
        second.send(request(content=EXECUTE))
        world.run()
        assert mirrors(second.received, 45) == [REFUSED]
        world.rtu.send(answer(deactivation, Cause.DEACTIVATION_CON))
        world.run()
        second.send(request(content=EXECUTE))
        world.run()
        assert len(world.rtu.received) == 3


@pytest.mark.parametrize("refused", [False, True])
def test_C05_theMasterDiesOfTheAnswer(refused: bool) -> None:
    """A connection fails in sending the answer to a select: that answer counts before the end, so
    a refused select is not deactivated, and a confirmed one is."""
    with World() as world:
        world.rtu.reply = lambda asked: [answer(asked, negative=refused)]
        master = world.master()
        (served,) = world.group._exchange._masters
        outlet = served.outlet

        def fail(asdus: Any, now: float) -> None:
            outlet.send(asdus, now)
            outlet.close(CloseCause.PEER_RESET)

        served.outlet = cast(Outlet, Around(outlet, send=fail))
        master.send(request(content=SELECT))
        world.run(0.1)
        assert not master.connected
        causes = [asked[2] for asked in world.rtu.received]
        assert causes == ([Cause.ACTIVATION] if refused else [Cause.ACTIVATION, Cause.DEACTIVATION])


def test_C06_onlyTheOwnerDeactivates() -> None:
    """Deactivation by another than the owner is refused; the owner's goes to the RTU."""
    with World() as world:
        world.respond()
        first, second = world.master(), world.master()
        first.send(request(content=SELECT))
        world.run()
        second.send(request(content=SELECT, cause=Cause.DEACTIVATION))
        first.send(request(content=SELECT, cause=Cause.DEACTIVATION))
        world.run()
        assert mirrors(second.received, 45) == [(9, True)]
        assert mirrors(first.received, 45) == [CON, (9, False)]


def test_C07_oneExecutionPerPoint() -> None:
    """Two executes on one point: the second is refused; on two points they run together."""
    with World() as world:
        first, second = world.master(), world.master()
        first.send(request(address=1))
        world.run()
        second.send(request(address=1), request(address=2))
        world.run()
        assert [a[6] for a in world.rtu.received] == [1, 2]
        assert mirrors(second.received, 45) == [REFUSED]


def test_C08_countersAreResetOneAfterTheOther() -> None:
    """Freeze and reset by two masters: serial, and both see all increments."""
    with World() as world:
        first, second = world.master(), world.master()
        both = request(101, 0, bytes((0x85,)))
        first.send(both)
        second.send(both)
        world.run()
        (asked,) = world.rtu.received
        counter = data(9, Cause.COUNTER_GENERAL, 15)
        world.rtu.send(answer(asked), counter, answer(asked, Cause.ACTIVATION_TERM))
        world.run()
        (_, asked) = world.rtu.received
        world.rtu.send(answer(asked), counter, answer(asked, Cause.ACTIVATION_TERM))
        world.run()
        for master in (first, second):
            assert mirrors(master.received, 101) == [CON, TERM]
            assert master.received.count(counter) == 2


def test_C08_thePolicyForCounters() -> None:
    """counter_reset: only the first master, or nobody, freezes; reading is always allowed."""
    for policy, expected in ((CounterReset.DENY, 0), (CounterReset.FIRST_MASTER, 1)):
        with World(counterReset=policy) as world:
            world.respond()
            masters = [world.master(), world.master()]
            for master in masters:
                master.send(request(101, 0, bytes((0x45,))))
                world.run()
            assert len(world.rtu.received) == expected
            masters[1].send(request(101, 0, bytes((0x05,))))
            world.run()
            assert len(world.rtu.received) == expected + 1


def test_C09_oneFileTransferAtATime() -> None:
    """A second file transfer is refused; the end of the first, or its owner's death, frees."""
    with World() as world:
        first, second = world.master(), world.master()
        first.send(file(1))
        world.run()
        second.send(file(1))
        world.run()
        assert mirrors(second.received, 122) == [(13, True)]
        ready = data(1, Cause.FILE_TRANSFER, 120)
        world.rtu.send(ready)
        world.run()
        assert ready in first.received and ready not in second.received
        first.die()
        world.run()
        assert world.rtu.received[-1][12] == 3, "the transfer is deactivated"
        second.send(file(1))
        world.run()
        assert world.rtu.received[-1][9:] == FILE + b"\x01"


def test_C10_aLateClockIsRefused() -> None:
    """A clock synchronisation that would wait more than 1 s is refused, not sent late."""
    with World() as world:
        first, second = world.master(), world.master()
        clock = request(103, 0, bytes((0, 0, 0, 10, 22, 11, 26)))
        first.send(clock)
        second.send(clock)
        world.run(2)
        assert len(world.rtu.received) == 1
        assert mirrors(second.received, 103) == [REFUSED]
        assert world.notes.about("clock synchronisation")


def test_C10_clocksThatDisagree() -> None:
    """Two masters whose times differ by more than 1 s are told in the event log."""
    with World() as world:
        world.respond()
        for seconds in (0, 5):
            master = world.master()
            milliseconds = (seconds * 1000).to_bytes(2, "little")
            master.send(request(103, 0, milliseconds + bytes((0, 10, 22, 11, 26))))
            world.run()
        assert world.notes.about("disagrees with 192.0.2.1 by +5.000 s")


def test_C10_whoMaySetTheClock() -> None:
    """clock_sync: only one address, or nobody."""
    from ipaddress import ip_address

    only = ClockSync("only", ip_address("192.0.2.2"))
    for policy, expected in ((only, 1), (ClockSync("deny"), 0)):
        with World(clockSync=policy) as world:
            world.respond()
            for _ in range(2):
                world.master().send(request(103, 0, bytes((0, 0, 0, 10, 22, 11, 26))))
            world.run()
            assert len(world.rtu.received) == expected


def test_C11_aFloodWaitsItsTurn() -> None:
    """One master floods commands: another's waits at most one round."""
    with World() as world:
        world.rtu.mute()
        first, second = world.master(), world.master()
        first.send(*(request(address=number) for number in range(1000)))
        world.run(0.1)
        second.send(request(address=5000))
        world.run(0.1)
        seen = len(world.rtu.received)
        world.rtu.mute(False)
        world.run(0.1)
        own = [a for a in world.rtu.received[seen:] if a[6:9] == (5000).to_bytes(3, "little")]
        assert own and world.rtu.received.index(own[0]) <= seen + 1


def test_R23_aMissingTerminationFreesThePoint() -> None:
    """A termination that never comes frees the point after 30 s; nothing is made up."""
    with World() as world:
        first, second = world.master(), world.master()
        first.send(request())
        world.run()
        world.rtu.send(answer(world.rtu.received[0]))
        world.run(29)
        second.send(request())
        world.run(2)
        second.send(request())
        world.run()
        assert mirrors(first.received, 45) == [CON]
        assert mirrors(second.received, 45) == [REFUSED]
        assert len(world.rtu.received) == 2


def test_R24_testCommandsTakeNoLock() -> None:
    """A command with the T bit locks nothing, and passes where another has selected."""
    with World() as world:
        world.respond()
        first, second = world.master(), world.master()
        first.send(request(content=SELECT))
        world.run()
        second.send(request(content=SELECT, test=True))
        world.run()
        first.send(request(content=EXECUTE))
        world.run()
        assert mirrors(second.received, 45) == [CON]
        assert mirrors(first.received, 45) == [CON, CON, TERM]


def test_resetProcessRunsAlone() -> None:
    """QRP 1 passes and holds everything else back; QRP 2 would take others' events away."""
    with World() as world:
        first, second = world.master(), world.master()
        first.send(request(105, 0, b"\x02"), request(105, 0, b"\x01"))
        world.run()
        second.send(request())
        world.run()
        assert [a[0] for a in world.rtu.received] == [105]
        assert mirrors(first.received, 105) == [REFUSED]
        world.rtu.send(answer(world.rtu.received[0]))
        world.run()
        assert [a[0] for a in world.rtu.received] == [105, 45]
    with World(resetProcess=ResetProcess.DENY) as world:
        master = world.master()
        master.send(request(105, 0, b"\x01"))
        world.run()
        assert world.rtu.received == []


def test_readsOfOnePointQueue() -> None:
    """Two reads of one point: the second goes when the first is answered."""
    with World() as world:
        first, second = world.master(), world.master()
        first.send(read(7))
        second.send(read(7), read(8))
        world.run()
        assert [a[6] for a in world.rtu.received] == [7, 8]
        answered = data(7, Cause.REQUEST, 11)
        world.rtu.send(answered)
        world.run()
        assert answered in first.received and answered not in second.received
        world.rtu.send(answered)
        world.run()
        assert answered in second.received


def test_aStaleMasterDoesNotExecute() -> None:
    """A master that has not taken data for longer than command_age_max may not execute."""
    with World(commandAgeMax=3) as world:
        world.respond()
        master, other = world.master(), world.master()
        master.mute()
        for number in range(40):
            world.rtu.send(data(number))
            world.run(0.2)
        master.send(request())
        world.run(0.1)
        assert world.rtu.received == []
        master.mute(False)
        world.run()
        assert REFUSED in mirrors(master.received, 45)
        assert shown(other.received)


# -- interrogations ---------------------------------------------------------------------------


def test_C01_eachPartyHasItsOwnOriginatorAddress() -> None:
    """Who shares a run gets it with the originator address it used itself."""
    with World(interrogatedData=InterrogatedData.REQUESTER, maxMasters=5) as world:
        world.respond()
        masters = [world.master() for _ in range(4)]
        for number, master in enumerate(masters):
            master.send(interrogation(originator=10 * number))
        world.run()
        assert len(world.rtu.received) == 2
        for number, master in enumerate(masters):
            seen = [asdu for asdu in master.received if asdu[0] != 70]
            assert len(seen) == 4 and {asdu[3] for asdu in seen} == {10 * number}


def test_C01_partiesThatLeaveAreLeftOut() -> None:
    """Of those who share what waits, some leave; it runs for the rest, or not at all."""
    with World(interrogatedData=InterrogatedData.REQUESTER) as world:
        first, second, third = world.master(), world.master(), world.master()
        for master in (first, second, third):
            master.send(interrogation())
        world.run()
        second.die()
        world.run()
        asked = world.rtu.received[0]
        world.rtu.send(answer(asked), answer(asked, Cause.ACTIVATION_TERM))
        world.run()
        assert len(world.rtu.received) == 2
        asked = world.rtu.received[1]
        fourth = world.master()
        fourth.send(interrogation(21))
        world.run()
        fourth.leave()
        world.run()
        world.rtu.send(answer(asked), data(1, 20), answer(asked, Cause.ACTIVATION_TERM))
        world.run()
        assert mirrors(third.received, 100) == [CON, TERM]
        assert len(world.rtu.received) == 2, "nobody wants the other one any more"
        world.run(100)
        assert isIdle(world)


def test_C01_askedTwiceByOneMaster() -> None:
    """A master that asks twice while it waits is answered twice, gets the data once, and its
    leaving is counted right."""
    with World(interrogatedData=InterrogatedData.REQUESTER) as world:
        first, second = world.master(), world.master()
        first.send(interrogation())
        second.send(interrogation(), interrogation())
        world.run()
        asked = world.rtu.received[0]
        world.rtu.send(answer(asked), answer(asked, Cause.ACTIVATION_TERM))
        world.run()
        world.rtu.send(answer(asked), data(1, 20), answer(asked, Cause.ACTIVATION_TERM))
        world.run()
        assert mirrors(second.received, 100) == [CON, CON, TERM, TERM]
        assert second.received.count(data(1, 20)) == 1
        first.send(interrogation())
        second.send(interrogation(), interrogation())
        world.run()
        second.stop()
        world.run()
        assert [master.inLine for master in world.group._exchange._masters] == [0, 0]


def test_C02_theLookAtWhatWaitsIsNotPutOff() -> None:
    """A busy master does not keep the relay from refusing what waits too long."""
    with World(giWait=5) as world:
        world.rtu.reply = lambda asked: [] if asked[0] == 100 else [answer(asked)]
        first, second, busy = world.master(), world.master(), world.master()
        first.send(interrogation())
        world.run(0.1)
        second.send(interrogation())
        for number in range(60):
            busy.send(request(104, number))
            world.run(0.1)
        assert mirrors(second.received, 100) == [REFUSED]


@pytest.mark.parametrize("typeId", [100, 101])
def test_C02_nobodyStopsAnothersInterrogation(typeId: int) -> None:
    """A deactivation is refused to who has no such interrogation, and the RTU does not see it."""
    with World() as world:
        first, second = world.master(), world.master()
        octet = b"\x14" if typeId == 100 else b"\x05"
        first.send(request(typeId, 0, octet))
        world.run()
        second.send(request(typeId, 0, octet, cause=Cause.DEACTIVATION))
        world.run()
        assert mirrors(second.received, typeId) == [NOT_CANCELLED]
        assert len(world.rtu.received) == 1
        first.send(request(typeId, 0, octet, cause=Cause.DEACTIVATION))
        world.run()
        assert len(world.rtu.received) == 2


def test_C02_theLastPartyStopsTheRun() -> None:
    """Who alone is left of a shared run may stop it; then the line is free at once."""
    with World() as world:
        first, second, third = world.master(), world.master(), world.master()
        for master in (first, second, third):
            master.send(interrogation())
        world.run()
        asked = world.rtu.received[0]
        world.rtu.send(answer(asked), answer(asked, Cause.ACTIVATION_TERM))
        world.run()
        for master in (second, third):
            master.send(interrogation(cause=Cause.DEACTIVATION))
            world.run()
        assert mirrors(second.received, 100) == [CANCELLED]
        assert mirrors(third.received, 100) == []
        stop = world.rtu.received[2]
        assert stop[2] == Cause.DEACTIVATION
        first.send(interrogation())
        world.run()
        assert len(world.rtu.received) == 3
        world.rtu.send(answer(stop, Cause.DEACTIVATION_CON))
        world.run()
        assert mirrors(third.received, 100) == [CANCELLED]
        assert len(world.rtu.received) == 4


def test_C02_whoWaitsBehindABroadcastThatGaveUp() -> None:
    """The broadcast's master leaves: who waited behind it goes on, though another still runs."""
    with World() as world:
        masters = [world.master() for _ in range(3)]
        for master, station in zip(masters, (1, BROADCAST, 2), strict=True):
            master.send(interrogation(station=station))
            world.run()
        assert len(world.rtu.received) == 1
        masters[1].die()
        world.run()
        assert [asdu[4] for asdu in world.rtu.received] == [1, 2]


@pytest.mark.parametrize("pattern", ["blocks", "confirmed first", "as one"])
@pytest.mark.parametrize("kind", RESPONDERS)
def test_R21_aBroadcastFreesItsLine(pattern: str, kind: str) -> None:
    """All of another master's interrogations wait for a broadcast, and run when it is done."""

    def of(asked: bytes, station: int, cause: int) -> bytes:
        return answer(asked[:4] + station.to_bytes(2, "little") + asked[6:], cause)

    with World() as world:
        stamp = RESPONDERS[kind]
        first, second = world.master(), world.master()
        first.send(interrogation(station=BROADCAST))
        world.run()
        second.send(interrogation(station=1), interrogation(station=9))
        world.run()
        (asked,) = world.rtu.received
        con, term = Cause.ACTIVATION_CON, Cause.ACTIVATION_TERM
        if pattern == "blocks":
            order = [(station, cause) for station in (1, 2, 3) for cause in (con, term)]
        elif pattern == "confirmed first":
            order = [(station, cause) for cause in (con, term) for station in (1, 2, 3)]
        else:
            order = [(BROADCAST, con), (BROADCAST, term)]
        for station, cause in order:
            responder = stamp()
            responder.asked.append(asked)
            reply = of(asked, station, cause)
            world.rtu.send(withOriginator(reply, responder.stamp(asked[3], True)))
            world.run(1)
        world.run(5)
        assert len(mirrors(first.received, 100)) == len(order)
        assert mirrors(second.received, 100) == []
        assert [asdu[4] for asdu in world.rtu.received[1:]] == [1, 9]


def test_R21_aBroadcastWithoutAnswerFreesItsLine() -> None:
    """Nobody answers a broadcast, or one station never ends: the line is free all the same."""
    for answered in (False, True):
        with World(giWait=600) as world:
            first, second = world.master(), world.master()
            first.send(interrogation(station=BROADCAST))
            world.run()
            second.send(interrogation(station=1))
            world.run()
            if answered:
                asked = world.rtu.received[0]
                world.rtu.send(answer(asked[:4] + b"\1\0" + asked[6:]))
            world.run(55 if answered else 8)
            assert len(world.rtu.received) == 1
            world.run(10)
            assert len(world.rtu.received) == 2


def test_R23_anInterrogationWithoutEnd() -> None:
    """An interrogation's termination never comes: after a minute without data others run."""
    with World(giWait=600) as world:
        first, second = world.master(), world.master()
        first.send(interrogation())
        second.send(interrogation())
        world.run()
        asked = world.rtu.received[0]
        world.rtu.send(answer(asked))
        for number in range(3):
            world.run(50)
            world.rtu.send(data(number, 20))
        world.run(59)
        assert len(world.rtu.received) == 1
        world.run(2)
        assert len(world.rtu.received) == 2
        assert mirrors(first.received, 100) == [CON]


# -- selects and executes ---------------------------------------------------------------------


def test_C03_selectWithATimeTagExecuteWithout() -> None:
    """A point is one point, whatever the type of its commands."""
    with World() as world:
        world.respond()
        first, second = world.master(), world.master()
        first.send(request(58, content=SELECT + bytes(7)))
        world.run()
        second.send(request(46))
        world.run()
        first.send(request(45, content=EXECUTE))
        world.run()
        second.send(request(46))
        world.run()
        assert mirrors(second.received, 46) == [REFUSED, CON, TERM]
        assert mirrors(first.received, 45) == [CON, TERM]


def test_C04_aSelectBehindACancelIsKept() -> None:
    """Select, cancel, select at once: nobody else executes on the second select."""
    with World() as world:
        first, second = world.master(), world.master()
        select = request(content=SELECT)
        first.send(select, request(content=SELECT, cause=Cause.DEACTIVATION), select)
        world.run()
        one, cancel, two = world.rtu.received
        for reply in (answer(one), answer(cancel, Cause.DEACTIVATION_CON), answer(two)):
            world.rtu.send(reply)
        world.run()
        assert mirrors(first.received, 45) == [CON, CANCELLED, CON]
        second.send(request(content=EXECUTE))
        world.run()
        assert mirrors(second.received, 45) == [REFUSED]
        assert len(world.rtu.received) == 3


def test_C04_anExecuteBehindACancelIsAnswered() -> None:
    """Select, cancel, execute at once: the cancel ends what came before it, not the execute."""
    with World() as world:
        world.respond()
        master, other = world.master(), world.master()
        cancel = request(content=SELECT, cause=Cause.DEACTIVATION)
        master.send(request(content=SELECT), cancel, request(content=EXECUTE))
        world.run()
        assert mirrors(master.received, 45) == [CON, CANCELLED, CON, TERM]
        other.send(request())
        world.run()
        assert mirrors(other.received, 45) == [CON, TERM]


@pytest.mark.parametrize("how", ["refused", "unanswered"])
def test_C05_theDeactivationFails(how: str) -> None:
    """An RTU that does not deactivate keeps its select: the point is locked until that runs out."""
    with World(selectTimeout=20) as world:
        first, second = world.master(), world.master()
        first.send(request(content=SELECT))
        world.run()
        world.rtu.send(answer(world.rtu.received[0]))
        world.run()
        first.die()
        world.run()
        if how == "refused":
            cancel = world.rtu.received[1]
            world.rtu.send(answer(cancel, Cause.DEACTIVATION_CON, negative=True))
        world.run(10)
        second.send(request(content=EXECUTE))
        world.run(8)
        second.send(request(content=EXECUTE))
        world.run()
        assert mirrors(second.received, 45) == [REFUSED]
        assert len(world.rtu.received) == 3


def test_C05_theDeactivationIsNobodysAnswer() -> None:
    """Stopped and started on one connection: the relay's own deactivation is not answered to it."""
    with World() as world:
        master, other = world.master(), world.master()
        master.send(request(content=SELECT))
        world.run()
        world.rtu.send(answer(world.rtu.received[0]))
        world.run()
        master.stop()
        world.run()
        master.start()
        world.run()
        select, cancel = world.rtu.received
        assert cancel[2] == Cause.DEACTIVATION and cancel[3:] == select[3:]
        world.rtu.send(answer(cancel, Cause.DEACTIVATION_CON))
        world.run()
        assert mirrors(master.received, 45) == [CON]
        other.send(request())
        world.run()
        assert len(world.rtu.received) == 3


def test_C05_theLastMasterGoes() -> None:
    """The last master's select is deactivated before the RTU is told to stop."""
    with World() as world:
        world.respond()
        master = world.master()
        master.send(request(content=SELECT))
        world.run()
        master.die()
        world.run()
        heard = world.rtu.heard
        assert [asdu[2] for asdu in world.rtu.received] == [6, 8]
        last = max(place for place, frame in enumerate(heard) if frame.startswith("I"))
        assert last < heard.index("STOPDT act")
        world.run(60)
        assert isIdle(world)


def test_C05_theDeactivationCannotBeSent() -> None:
    """The RTU's window is full: a deactivation that is too late is not sent, others wait on."""
    with narrow(commandAgeMax=4, selectTimeout=20) as world:
        first, second = world.master(), world.master()
        first.send(request(content=SELECT))
        world.run()
        world.rtu.send(answer(world.rtu.received[0]))
        world.rtu.mute()
        second.send(request(address=7))
        world.run()
        first.die()
        world.run(5)
        world.rtu.mute(False)
        world.run()
        assert [asdu[2] for asdu in world.rtu.received] == [6, 6]
        assert world.notes.about("not sent: it waited too long")
        second.send(request(content=EXECUTE))
        world.run()
        assert mirrors(second.received, 45) == [REFUSED]
        world.run(20)
        second.send(request(content=EXECUTE))
        world.run()
        assert len(world.rtu.received) == 3


def test_C06_cancellingIsNotStale() -> None:
    """A master that is behind with its data may not execute, but it may cancel."""
    with World(commandAgeMax=3) as world:
        world.respond()
        master = world.master()
        master.send(request(content=SELECT))
        world.run()
        master.mute()
        for number in range(40):
            world.rtu.send(data(number))
            world.run(0.2)
        master.send(request(content=EXECUTE, cause=Cause.DEACTIVATION))
        world.run(0.1)
        assert [asdu[2] for asdu in world.rtu.received] == [6, 8]


def test_C07_oneOwnersTwoExecutes() -> None:
    """A master that executes twice is in the RTU's hands; others wait until both are done."""
    with World() as world:
        first, second = world.master(), world.master()
        first.send(request(), request())
        world.run()
        one, two = world.rtu.received
        world.rtu.send(answer(one), answer(one, Cause.ACTIVATION_TERM))
        world.run()
        second.send(request())
        world.run()
        world.rtu.send(answer(two, negative=True))
        world.run()
        second.send(request())
        world.run()
        assert mirrors(first.received, 45) == [CON, TERM, REFUSED]
        assert mirrors(second.received, 45) == [REFUSED]
        assert len(world.rtu.received) == 3


@pytest.mark.parametrize("negative", [False, True])
def test_R09_aNegativeTerminationFreesToo(negative: bool) -> None:
    """However an execution is terminated, it is over."""
    with World() as world:
        first, second = world.master(), world.master()
        first.send(request())
        world.run()
        asked = world.rtu.received[0]
        world.rtu.send(answer(asked), answer(asked, Cause.ACTIVATION_TERM, negative))
        world.run()
        second.send(request())
        world.run()
        assert mirrors(first.received, 45) == [CON, (10, negative)]
        assert len(world.rtu.received) == 2


@pytest.mark.parametrize("kind", ["echo", "never", "constant", "mirrors only"])
def test_R22_lateAnswersBesideAnothersCommand(kind: str) -> None:
    """A's answer comes when its time is over and B commands the point: each has its own."""
    with World() as world:
        responder = RESPONDERS[kind]()
        first, second = world.master(), world.master()
        first.send(request(50, content=bytes((1, 0, 0, 0, 0))))
        world.run(11)
        second.send(request(50, content=bytes((2, 0, 0, 0, 0))))
        world.run()
        one, two = world.rtu.received
        term = Cause.ACTIVATION_TERM
        world.rtu.send(responder.mirror(two), responder.mirror(one))
        world.run()
        world.rtu.send(responder.mirror(one, term), responder.mirror(two, term))
        world.run()
        for master, value in ((first, 1), (second, 2)):
            assert mirrors(master.received, 50) == [CON, TERM]
            assert {asdu[9] for asdu in master.received if asdu[0] == 50} == {value}


def test_R22_forgottenRequestsFreeTheirPoints() -> None:
    """Of more requests than are remembered the oldest are given up, and hold nothing."""
    with World(bufferSize=5000, rtu=LinkParameters(k=5000, w=1)) as world:
        master, other = world.master(), world.master()
        for number in range(0, 1100, 50):
            master.send(*(request(address=number + each) for each in range(50)))
            world.run(0.1)
        commands = world.group._exchange._commands
        assert len(commands.requests) == len(commands._locks) == 1000
        other.send(request(address=5), request(address=500))
        world.run(0.1)
        assert [asdu[6] + 256 * asdu[7] for asdu in world.rtu.received[1100:]] == [5]
        assert mirrors(other.received, 45) == [REFUSED]
        world.run(100)
        assert isIdle(world)


def test_R24_aTestedCancelEndsNothing() -> None:
    """The confirmation of a deactivation with the T bit ends no real command."""
    with World() as world:
        master = world.master()
        master.send(request(), request(cause=Cause.DEACTIVATION, test=True))
        world.run()
        asked, cancel = world.rtu.received
        world.rtu.send(answer(cancel, Cause.DEACTIVATION_CON))
        world.rtu.send(answer(asked), answer(asked, Cause.ACTIVATION_TERM))
        world.run()
        assert mirrors(master.received, 45) == [CANCELLED, CON, TERM]


# -- clocks, files, parameters, the RTU's loss --------------------------------------------------


def test_C10_aClockIsNeverSentLate() -> None:
    """The window opens a moment after a clock's second is over: it is refused, not sent."""
    with narrow() as world:
        world.rtu.mute()
        master = world.master()
        master.send(request())
        world.run(0.1)
        master.send(request(103, 0, bytes((0, 0, 0, 10, 22, 11, 26))))
        world.run(1.05)
        world.rtu.mute(False)
        world.run()
        assert [asdu[0] for asdu in world.rtu.received] == [45]
        assert mirrors(master.received, 103) == [REFUSED]


def test_C10_aClockOvertakesWhatWaits() -> None:
    """A clock synchronisation goes before all other commands that wait."""
    with narrow() as world:
        world.rtu.mute()
        master, other = world.master(), world.master()
        for number in range(5):
            master.send(request(address=number))
            world.run(0.02)
        other.send(request(103, 0, bytes((0, 0, 0, 10, 22, 11, 26))))
        world.run(0.1)
        world.rtu.mute(False)
        world.run(0.2)
        assert world.rtu.received[1][0] == 103


def test_C09_theRtuEndsATransfer() -> None:
    """A file that the RTU has taken over (or refuses) is the end, and others may begin."""
    for last in (data(1, Cause.FILE_TRANSFER, 124)[:-1] + b"\x01", answer(file(1), 47, True)):
        with World() as world:
            first, second = world.master(), world.master()
            first.send(file(1))
            world.run()
            world.rtu.send(last)
            world.run()
            second.send(file(1))
            world.run()
            assert len(world.rtu.received) == 2


def test_C09_theNextFileOfOneTransfer() -> None:
    """The owner of a transfer goes on with another file: what comes of it is its own."""
    with World() as world:
        first, second = world.master(), world.master()
        first.send(file(1))
        world.run()
        other = request(122, 2, bytes((5, 0, 0, 1)), cause=Cause.FILE_TRANSFER, originator=3)
        first.send(other)
        world.run()
        ready = request(120, 2, bytes((5, 0, 0, 0, 0, 0)), cause=Cause.FILE_TRANSFER)
        offered = request(120, 2, bytes((6, 0, 0, 0, 0, 0)), cause=Cause.FILE_TRANSFER)
        world.rtu.send(ready, offered)
        world.run()
        assert first.received[1:] == [withOriginator(ready, 3), offered]
        assert second.received[1:] == [offered]


def test_parametersOfOnePointQueue() -> None:
    """Parameters are loaded one after the other, the later one last; deactivations likewise."""
    with World() as world:
        first, second = world.master(), world.master()
        first.send(request(113, 5, b"\x03"))
        second.send(request(113, 5, b"\x03", cause=Cause.DEACTIVATION))
        world.run()
        (asked,) = world.rtu.received
        world.rtu.send(answer(asked))
        world.run()
        (_, asked) = world.rtu.received
        world.rtu.send(answer(asked, Cause.DEACTIVATION_CON))
        world.run()
        assert mirrors(first.received, 113) == [CON]
        assert mirrors(second.received, 113) == [CANCELLED]


def test_R15_dataThatNobodyReadIsForAll() -> None:
    """Requested data that comes again, when its read is answered, is for all."""
    with World() as world:
        first, second = world.master(), world.master()
        first.send(read(7))
        world.run()
        world.rtu.send(data(7, Cause.REQUEST, 11), data(7, Cause.REQUEST, 11))
        world.run()
        assert [len(shown(each.received)) for each in (first, second)] == [3, 2]


def test_R13_everythingIsFreeWhenTheRtuIsBack() -> None:
    """The RTU is lost in the midst of everything: nothing waits, runs or is locked after it."""
    with World() as world:
        masters = [world.master() for _ in range(3)]
        for master in masters:
            master.send(
                request(content=SELECT), interrogation(), request(101, 0, b"\x85"), read(3),
                file(1), request(103, 0, bytes((0, 0, 0, 10, 22, 11, 26))), request(105, 0, b"\1"),
                request(address=9),
            )  # fmt: skip
        world.run()
        world.rtu.die()
        world.run(0.01)
        assert isIdle(world)
        world.run(5)
        world.respond()
        master = world.master("192.0.2.9")
        for asdu in (request(content=EXECUTE), interrogation(), file(1), request(105, 0, b"\1")):
            seen = len(world.rtu.received)
            master.send(asdu)
            world.run(0.1)
            assert len(world.rtu.received) == seen + 1


def test_C11_aWaitingMasterIsNotForgotten() -> None:
    """What waits for the window is refused in time also when nothing else happens."""
    with narrow(commandAgeMax=3) as world:
        world.rtu.mute()
        master = world.master()
        master.send(*(request(address=number) for number in range(4)))
        world.run(3.5)
        assert mirrors(master.received, 45) == [REFUSED] * 3
        assert len(world.rtu.received) == 1
