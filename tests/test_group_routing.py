"""Who gets what through a whole group, with RTUs as they really are about originator addresses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Any

import pytest

from mm2ss.config.model import EndOfInitialization, InterrogatedData, OriginatorMode
from mm2ss.iec104.asdu import BROADCAST, Cause, buildAsdu, withOriginator
from tests.groups import (
    GREETING,
    RESPONDERS,
    STATION,
    World,
    answer,
    data,
    event,
    interrogation,
    lastCommander,
    read,
    request,
)
from tests.peers import FakeMaster

CON, TERM, DECON = Cause.ACTIVATION_CON, Cause.ACTIVATION_TERM, Cause.DEACTIVATION_CON

everyRtu = pytest.mark.parametrize("kind", RESPONDERS)


def got(*masters: FakeMaster) -> list[list[bytes]]:
    """What each master received, but for its end of initialization."""
    return [[asdu for asdu in master.received if asdu != GREETING] for master in masters]


def trio(world: World) -> list[FakeMaster]:
    """Three masters; two have asked for something already, so that slots differ."""
    masters = [world.master() for _ in range(3)]
    for place in (1, 2):
        masters[place].send(request(51, 900 + place))
    world.run(0.1)
    for peer in (*masters, world.rtu):
        peer.events.clear()
    return masters


# -- for all --------------------------------------------------------------------------------


@pytest.mark.parametrize("cause", [1, 2, 3, 11, 12])
@pytest.mark.parametrize("originator", [0, 1, 2, 77])
def test_R01_R02_R03_processData(cause: int, originator: int) -> None:
    """Process data goes to all started masters with originator address 0 and otherwise bit-exact,
    whosever originator address the RTU stamps on it."""
    with World() as world:
        masters = trio(world)
        standby = world.master(start=False)
        frames = [data(5, cause, typeId, originator=originator) for typeId in (1, 13, 30, 36, 40)]
        world.rtu.send(*frames)
        world.run()
        assert got(*masters) == [[withOriginator(frame, 0) for frame in frames]] * 3
        assert standby.received == []


@everyRtu
def test_R01_spontaneousDataAmongCommands(kind: str) -> None:
    """Data that comes while commands run is for all, from whatever kind of RTU."""
    with World() as world:
        responder = world.respond(RESPONDERS[kind]())
        masters = trio(world)
        for number, master in enumerate(masters):
            master.send(request(address=number))
            world.run(0.05)
            world.rtu.send(withOriginator(event(number), responder.stamp(0, False)))
            world.run(0.05)
        for master in masters:
            assert [asdu for asdu in master.received if asdu[0] == 1] == [
                event(number) for number in range(3)
            ]


@pytest.mark.parametrize("mode", EndOfInitialization)
def test_R04_endOfInitializationAtTheStart(mode: EndOfInitialization) -> None:
    """M_EI of the RTU right after STARTDT con goes to nobody; it is in the log."""
    with World(endOfInitialization=mode) as world:
        master = world.master()
        for _ in range(2):
            world.rtu.send(data(0, 4, 70))
            world.run()
        assert master.received == [GREETING]
        assert len(world.notes.about("M_EI_NA_1")) == 2


@pytest.mark.parametrize("mode", EndOfInitialization)
def test_R05_endOfInitializationInMidSession(mode: EndOfInitialization) -> None:
    """M_EI in mid-session goes to nobody, or the relay announces one with its CA and COI to all."""
    with World(endOfInitialization=mode) as world:
        masters = [world.master(), world.master()]
        standby = world.master(start=False)
        restarted = buildAsdu(70, 4, 33, bytes((0, 0, 0, 0x82)), originator=5)
        world.rtu.send(event(1), restarted, event(2))
        world.run()
        announced = [withOriginator(restarted, 0)] if mode is EndOfInitialization.ANNOUNCE else []
        assert got(*masters) == [[event(1), *announced, event(2)]] * 2
        assert standby.received == []
        assert world.notes.about("M_EI_NA_1")


def test_R14_counters() -> None:
    """Counter data is for all, whoever asked; the mirrors are the requester's."""
    with World() as world:
        world.respond()
        one, two = world.master(), world.master()
        asked = request(101, 0, bytes((5,)))
        one.send(asked)
        world.run()
        counted = data(7, 37, 15)
        assert got(one, two) == [
            [answer(asked), counted, answer(asked, TERM)],
            [counted],
        ]


def test_R16_timeMessage() -> None:
    """A clock's confirmation, whatever its time, is the requester's; a time message is all's."""
    with World() as world:
        one, two = world.master(), world.master()
        asked = request(103, 0, bytes(range(7)))
        one.send(asked)
        world.run()
        confirmed = answer(request(103, 0, bytes(range(1, 8))))
        announced = request(103, 0, bytes(range(7)), cause=3)
        world.rtu.send(announced, confirmed)
        world.run()
        assert got(one, two) == [[announced, confirmed], [announced]]


def test_R19_directoryNotice() -> None:
    """A new file is announced to all; a directory goes to who called it, else to nobody."""
    directory = data(0, 5, 126)
    notice = data(0, 3, 126)
    with World() as world:
        one, two = world.master(), world.master()
        world.rtu.send(directory, notice)
        world.run(0.1)
        two.send(request(122, 0, bytes(4), cause=Cause.REQUEST))
        world.run(0.1)
        world.rtu.send(directory)
        world.run(0.1)
        assert got(one, two) == [[notice], [notice, directory]]
        assert world.notes.about("is for no master")


def test_R20_privateTypes() -> None:
    """Private types: general causes to all; mirrors to the requester, unmatched ones to all."""
    with World() as world:
        one, two = world.master(), world.master()
        asked = request(200, 5, b"abc", originator=9)
        one.send(asked)
        world.run(0.1)
        mine, stray = answer(withOriginator(asked, 0)), data(6, 7, 200)
        world.rtu.send(mine, data(5, 3, 200, originator=3), stray)
        world.run(0.1)
        shared = [data(5, 3, 200), stray]
        assert got(one, two) == [[withOriginator(mine, 9), *shared], shared]


def test_R12_unsolicitedInterrogationData() -> None:
    """Data with cause 20 that nobody asked for goes to all, in both modes."""
    for mode in InterrogatedData:
        with World(interrogatedData=mode) as world:
            masters = trio(world)
            world.rtu.send(data(5, 20, originator=2), data(6, 36))
            world.run()
            assert got(*masters) == [[data(5, 20), data(6, 36)]] * 3


# -- for who asked --------------------------------------------------------------------------


@everyRtu
@pytest.mark.parametrize("originator", [0, 1, 2, 200])
def test_R06_R07_R08_answersGoToWhoAsked(kind: str, originator: int) -> None:
    """Whatever the RTU does with the originator address: confirmation and termination go to who
    asked, with the originator address that this master used, and to nobody else."""
    with World() as world:
        responder = world.respond(RESPONDERS[kind]())
        masters = trio(world)
        for turn in range(4):
            expected = []
            for place, master in enumerate(masters):
                own = originator if place == 1 else 0
                asked = request(45 + place, 10 * turn + place, originator=own)
                expected.append([answer(asked), answer(asked, TERM)])
                master.send(asked)
            world.run(0.1)
            assert got(*masters) == expected
            for master in masters:
                master.events.clear()
        slots = {asdu[0]: asdu[3] for asdu in responder.asked[-3:]}
        assert sorted(slots.values()) == [1, 2, 3]


def test_R06_slotTowardsTheRtu() -> None:
    """Each master has its slot towards the RTU, the same for select and execute."""
    with World() as world:
        responder = world.respond()
        for master in (world.master(), world.master()):
            master.send(request(content=b"\x81", originator=50))
            world.run(0.1)
            master.send(request(content=b"\x01", originator=50))
            world.run(0.1)
        assert [asdu[3] for asdu in responder.asked] == [1, 1, 2, 2]


@pytest.mark.parametrize(
    ("mode", "seen"),
    [
        (OriginatorMode(), 1),
        (OriginatorMode("fixed", 0), 0),
        (OriginatorMode("fixed", 99), 99),
        (OriginatorMode("keep"), 7),
    ],
)
@everyRtu
def test_originatorModes(kind: str, mode: OriginatorMode, seen: int) -> None:
    """oa_mode: the RTU sees a slot, a fixed number, or what the master wrote; answers reach who
    asked in any case."""
    with World(originatorMode=mode) as world:
        responder = world.respond(RESPONDERS[kind]())
        one, two = world.master(), world.master()
        asked = request(originator=7)
        one.send(asked)
        world.run(0.1)
        assert [asdu[3] for asdu in responder.asked] == [seen]
        assert got(one, two) == [[answer(asked), answer(asked, TERM)], []]


@everyRtu
def test_R09_negativeConfirmation(kind: str) -> None:
    """A negative confirmation goes to who asked, and the point is free again."""
    with World() as world:
        make = RESPONDERS[kind]()
        world.rtu.reply = lambda asked: [*make(asked)[:0], make.mirror(asked, negative=True)]
        one, two, _ = trio(world)
        for master in (one, two):
            master.send(request())
            world.run(0.1)
        refused = answer(request(), CON, negative=True)
        assert got(one, two) == [[refused], [refused]]


@everyRtu
@pytest.mark.parametrize("cause", [44, 45, 46, 47])
def test_R10_refusals(kind: str, cause: int) -> None:
    """Causes 44-47 go to who asked."""
    with World() as world:
        make = RESPONDERS[kind]()
        world.rtu.reply = lambda asked: [*make(asked)[:0], make.mirror(asked, cause, True)]
        masters = trio(world)
        masters[1].send(request(), read(9), interrogation(), request(104, 0))
        world.run()
        assert got(*masters)[0] == got(*masters)[2] == []
        assert sorted(asdu[0] for asdu in masters[1].received) == [45, 100, 102, 104]


@everyRtu
@pytest.mark.parametrize("mode", InterrogatedData)
def test_R11_interrogation(kind: str, mode: InterrogatedData) -> None:
    """Confirmation and termination to who asked; data to all, or to who asked."""
    with World(interrogatedData=mode) as world:
        world.respond(RESPONDERS[kind]())
        masters = trio(world)
        asked = interrogation(originator=3)
        masters[1].send(asked)
        world.run()
        shown = [data(number, 20) for number in (1, 2)]
        own = [withOriginator(asdu, 3) for asdu in shown]
        private = mode is InterrogatedData.REQUESTER
        others = [] if private else shown
        assert got(*masters) == [
            others,
            [answer(asked), *(own if private else shown), answer(asked, TERM)],
            others,
        ]


def test_R11_severalRuns() -> None:
    """Interrogations of different groups of one station: each gets its data and its termination."""
    with World(interrogatedData=InterrogatedData.REQUESTER) as world:
        one, two = world.master(), world.master()
        world.respond()
        one.send(interrogation(21))
        two.send(interrogation(22))
        world.run(0.1)
        assert got(one, two) == [
            [answer(asked), data(1, asked[9]), data(2, asked[9]), answer(asked, TERM)]
            for asked in (interrogation(21), interrogation(22))
        ]


def test_R11_requesterGone() -> None:
    """When who interrogates is gone, his data is swallowed until the termination; then what comes
    is for all again."""
    with World(interrogatedData=InterrogatedData.REQUESTER) as world:
        one, two = world.master(), world.master()
        one.send(interrogation())
        world.run(0.1)
        (asked,) = world.rtu.received
        world.rtu.send(answer(asked), data(1, 20))
        world.run(0.1)
        one.die()
        world.run(0.1)
        world.rtu.send(data(2, 20), answer(asked, TERM), data(3, 20))
        world.run(0.1)
        assert got(one, two) == [[answer(interrogation()), data(1, 20)], [data(3, 20)]]


def test_R13_groupInterrogation() -> None:
    """QOI 25: data with cause 25 to who asked; a termination with another QOI still finds him."""
    with World(interrogatedData=InterrogatedData.REQUESTER) as world:
        one, two = world.master(), world.master()
        one.send(interrogation(25))
        world.run(0.1)
        odd = answer(interrogation(20), TERM)
        world.rtu.send(answer(interrogation(25)), data(5, 25), odd)
        world.run(0.1)
        assert got(one, two) == [[answer(interrogation(25)), data(5, 25), odd], []]


@everyRtu
def test_R15_read(kind: str) -> None:
    """Read data goes to who reads; without a reader it goes to all."""
    with World() as world:
        world.respond(RESPONDERS[kind]())
        masters = trio(world)
        masters[2].send(read(1005, originator=8))
        world.run(0.1)
        world.rtu.send(data(4, 5))
        world.run(0.1)
        stray = data(4, 5)
        mine = data(1005, 5, 11, originator=8)
        assert got(*masters) == [[stray], [stray], [mine, stray]]


def test_R15_readInsideABlock() -> None:
    """A point that is answered inside a block of consecutive addresses is found."""
    block = buildAsdu(
        1, 5, STATION, (1000).to_bytes(3, "little") + bytes(20), count=20, sequence=True
    )
    with World() as world:
        one, two = world.master(), world.master()
        one.send(read(1019))
        world.run(0.1)
        world.rtu.send(block)
        world.run(0.1)
        assert got(one, two) == [[block], []]


@pytest.mark.parametrize("negative", [False, True])
def test_R15_extraConfirmation(negative: bool) -> None:
    """Confirmations that some stacks send before and after read data go to who reads."""
    with World() as world:
        one, two = world.master(), world.master()
        one.send(read(5))
        world.run(0.1)
        (asked,) = world.rtu.received
        reply = [answer(asked, CON, negative)]
        if not negative:
            reply += [data(5, 5, originator=1), answer(asked, CON)]
        world.rtu.send(*reply)
        world.run(0.1)
        assert got(one, two) == [[withOriginator(asdu, 0) for asdu in reply], []]


@everyRtu
def test_R17_tests(kind: str) -> None:
    """Test commands of two masters: each gets its own counter back."""
    with World() as world:
        world.respond(RESPONDERS[kind]())
        one, two, _ = trio(world)
        asked = [request(107, 0, bytes((number, 0, *bytes(7)))) for number in (1, 2)]
        one.send(asked[0])
        two.send(asked[1])
        world.run()
        assert got(one, two) == [[answer(asked[0])], [answer(asked[1])]]


@pytest.mark.parametrize("typeId", [110, 111, 112, 113])
def test_R18_parameters(typeId: int) -> None:
    """Parameter commands are confirmed to who sent them; parameters with cause 20 belong to the
    interrogation."""
    with World(interrogatedData=InterrogatedData.REQUESTER) as world:
        one, two = world.master(), world.master()
        asked = request(typeId, 7)
        one.send(asked)
        two.send(interrogation())
        world.run(0.1)
        world.rtu.send(answer(asked))
        if typeId != 113:
            world.rtu.send(data(7, 20, typeId))
        world.run(0.1)
        assert got(one, two) == [[answer(asked)], [data(7, 20, typeId)] if typeId != 113 else []]


def test_R18_deactivation() -> None:
    """A deactivation's confirmation goes to who asked."""
    with World() as world:
        world.respond()
        one, two = world.master(), world.master()
        asked = request(content=b"\x81")
        stop = request(content=b"\x81", cause=Cause.DEACTIVATION)
        one.send(asked)
        world.run(0.1)
        one.send(stop)
        world.run(0.1)
        assert got(one, two) == [[answer(asked), answer(stop, DECON)], []]


@pytest.mark.parametrize("kind", ["echo", "never", "constant"])
def test_R21_broadcast(kind: str) -> None:
    """An interrogation of all stations, answered by three: everything to who asked, in order."""
    patterns: dict[str, Callable[[bytes], Sequence[bytes]]] = {
        "blocks": lambda a: [
            reply
            for station in (1, 2, 3)
            for reply in (of(a, station), data(5, 20, station=station), of(a, station, TERM))
        ],
        "confirmed first": lambda a: [
            *(of(a, station) for station in (1, 2, 3)),
            *(data(5, 20, station=station) for station in (1, 2, 3)),
            *(of(a, station, TERM) for station in (1, 2, 3)),
        ],
        "as one": lambda a: [
            answer(a),
            *(data(5, 20, station=station) for station in (1, 2, 3)),
            answer(a, TERM),
        ],
    }

    def of(asked: bytes, station: int, cause: int = CON) -> bytes:
        return answer(asked[:4] + station.to_bytes(2, "little") + asked[6:], cause)

    stamp = RESPONDERS[kind]().stamp
    for pattern in patterns.values():
        with World(interrogatedData=InterrogatedData.REQUESTER) as world:
            one, two = world.master(), world.master()
            asked = interrogation(station=BROADCAST)
            two.send(asked)
            world.run(0.1)
            replies = pattern(asked)
            world.rtu.send(*(withOriginator(reply, stamp(1, True)) for reply in replies))
            world.run(6)
            assert got(one, two) == [[], list(replies)]
            assert len(world.group._exchange._commands.requests) == 0


def test_R22_lateAnswer() -> None:
    """An answer after its deadline still goes to who asked."""
    with World() as world:
        one, two = world.master(), world.master()
        one.send(request())
        world.run(60)
        (asked,) = world.rtu.received
        world.rtu.send(withOriginator(answer(asked), 0))
        world.run()
        assert got(one, two) == [[answer(request())], []]


@pytest.mark.parametrize("originator", [0, 1, 77])
def test_R22_ownerGone(originator: int) -> None:
    """An answer for a master that is gone goes to nobody, also not to who came in its place."""
    with World() as world:
        one, two = world.master(), world.master()
        one.send(request())
        world.run(0.1)
        one.die()
        world.run(0.1)
        three = world.master(one.address)
        world.rtu.send(withOriginator(answer(request()), originator))
        world.run()
        assert got(two, three) == [[], []]


def test_R22_slotsRest() -> None:
    """The originator address of a master that left is not another's for a minute."""
    with World(idleTime=0) as world:
        responder = world.respond()
        world.master()
        for pause in (0.0, 30.0, 31.0):
            world.run(pause)
            master = world.master()
            master.send(request())
            world.run(0.1)
            master.leave()
            world.run(0.1)
        assert [asdu[3] for asdu in responder.asked] == [1, 2, 1]


def test_R22_slotOfAnOpenRequestRestsLonger() -> None:
    """As long as the RTU may still answer under an originator address it is nobody else's."""
    with World(idleTime=0) as world:
        keeper = world.master()
        master = world.master()
        master.send(interrogation())
        world.run(0.1)
        master.leave()
        world.rtu.send(answer(interrogation()))
        world.run(61)
        keeper.send(request())
        world.run(0.1)
        assert [asdu[3] for asdu in world.rtu.received] == [1, 2]


def test_R23_noTermination() -> None:
    """A termination that never comes is not made up, and the point can be commanded again."""
    with World() as world:
        world.rtu.reply = lambda asked: [answer(asked)]
        one, two = world.master(), world.master()
        one.send(request())
        world.run(31)
        two.send(request())
        world.run(1)
        assert got(one, two) == [[answer(request())], [answer(request())]]


def test_R24_testBit() -> None:
    """The T bit survives both ways."""
    with World() as world:
        responder = world.respond()
        master = world.master()
        asked = request(test=True)
        master.send(asked)
        world.run()
        assert responder.asked == [withOriginator(asked, 1)]
        assert got(master) == [[answer(asked), answer(asked, TERM)]]
        spontaneous = event(1)[:2] + b"\x83" + event(1)[3:]
        world.rtu.send(spontaneous)
        world.run()
        assert master.received[-1] == spontaneous


def test_mirrorForNobody() -> None:
    """A confirmation that nobody asked for goes to nobody; it is noted, but not each one."""
    with World() as world:
        masters = [world.master(), world.master()]
        for _ in range(100):
            world.rtu.send(answer(request()))
        world.rtu.send(request(), data(1, 6), data(1, 3, 83))
        world.run()
        assert got(*masters) == [[], []]
        assert world.group._exchange.unmatched == 103
        assert 1 <= len(world.notes.about("is for no master")) <= 10


def test_fileTransfer() -> None:
    """File frames go to who transfers the file; a file offered without a session goes to all."""
    offered = data(9, 13, 120)
    with World() as world:
        one, two = world.master(), world.master()
        world.rtu.send(offered, data(9, 13, 125))
        world.run(0.1)
        selected = request(122, 9, bytes((1, 0, 0, 1)), cause=Cause.FILE_TRANSFER, originator=4)
        two.send(selected)
        world.run(0.1)
        world.rtu.send(offered, data(9, 13, 125))
        world.run(0.1)
        own = [withOriginator(asdu, 4) for asdu in (offered, data(9, 13, 125))]
        assert got(one, two) == [[offered], [offered, *own]]


def test_orderIsTheRtus() -> None:
    """A master sees its own answers and everybody's data in the order of the RTU."""
    with World(interrogatedData=InterrogatedData.REQUESTER) as world:
        one, two = world.master(), world.master(latency=0.03)
        first, second = request(46, 1), request(47, 2)
        one.send(first)
        two.send(second)
        world.run(0.2)
        script = [
            event(1), answer(first), event(2), answer(second), data(5, 11), answer(second, TERM),
            event(3), answer(first, TERM), event(4),
        ]  # fmt: skip
        world.rtu.send(*script)
        world.run()
        assert got(one) == [[asdu for asdu in script if asdu[0] != 47]]
        assert got(two) == [[asdu for asdu in script if asdu[0] != 46]]


@pytest.mark.parametrize("seed", range(5))
@everyRtu
def test_G5_mirrorsReachTheirMasterOrNobody(kind: str, seed: int) -> None:
    """Many masters, many commands, delayed answers: no mirror ever reaches a stranger."""
    random = Random(seed)
    with World(maxMasters=9) as world:
        make = RESPONDERS[kind]()
        waiting: list[bytes] = []

        def reply(asked: bytes) -> list[bytes]:
            waiting.extend(make(asked))
            return []

        world.rtu.reply = reply
        masters = [world.master() for _ in range(5)]
        for step in range(200):
            place = random.randrange(5)
            address = 1000 * place + step
            kindOf: dict[int, Any] = {
                0: lambda a=address: request(45, a),
                1: lambda a=address: request(58, a),
                2: lambda a=address: request(110, a),
            }
            masters[place].send(kindOf[random.randrange(3)]())
            world.run(0.01)
            for _ in range(min(len(waiting), random.randrange(5))):
                world.rtu.send(waiting.pop(0))
            world.run(0.01)
        world.rtu.send(*waiting)
        world.run(1)
        total = 0
        for place, master in enumerate(masters):
            mirrors = master.received[1:]
            total += len(mirrors)
            assert all(int.from_bytes(asdu[6:9], "little") // 1000 == place for asdu in mirrors)
            assert all(asdu[3] == 0 for asdu in mirrors)
        if kind != "last commander":
            assert total == len(make.asked) + sum(asdu[0] < 100 for asdu in make.asked)


def test_lastCommandersStamp() -> None:
    """At an RTU that stamps the last commander's address on everything, a late termination under
    another's address goes to who asked or to nobody, not to the other."""
    with World() as world:
        make = lastCommander()
        held: list[bytes] = []

        def reply(asked: bytes) -> list[bytes]:
            confirmed, terminated = make(asked)
            if asked[6] == 200:
                held.append(terminated)
                return [confirmed]
            return [confirmed, terminated]

        world.rtu.reply = reply
        one, two = world.master(), world.master()
        for number in range(5):
            one.send(request(address=number))
            two.send(request(address=10 + number))
            world.run(0.1)
        one.send(request(address=200))
        world.run(0.1)
        two.send(request(address=20))
        world.run(0.1)
        world.rtu.send(withOriginator(held[0], make.asked[-1][3]))
        world.run(0.1)
        assert not [asdu for asdu in two.received if asdu[6] == 200]
