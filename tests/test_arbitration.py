"""Several masters want the same thing of one RTU: each sees what it would see alone."""

from __future__ import annotations

from mm2ss.config.model import ClockSync, CounterReset, InterrogatedData, ResetProcess
from mm2ss.iec104.asdu import Cause
from tests.groups import World, answer, data, interrogation, read, request, shown

SELECT, EXECUTE = bytes((0x81,)), bytes((0x01,))
FILE = bytes((1, 0, 0))


def file(qualifier: int, typeId: int = 122) -> bytes:
    """Select, call or acknowledge a file."""
    return request(typeId, 1, FILE + bytes((qualifier,)), cause=Cause.FILE_TRANSFER)


def mirrors(asdus: list[bytes], typeId: int) -> list[tuple[int, bool]]:
    """Cause and P/N of each mirror of a type."""
    return [(a[2] & 0x3F, bool(a[2] & 0x40)) for a in asdus if a[0] == typeId]


CON, TERM, REFUSED = (7, False), (10, False), (7, True)


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
        world.run()
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
