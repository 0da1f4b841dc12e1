"""The relay between c104 stations: an RTU and one, two or five masters.

A master's own opinion whether it was answered is not asked for: c104 may overlook an answer that
comes at once. What counts are the frames that it received.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from tests.interop.c104stations import STARTDT_ACT, STOPDT_CON, Master104, Rtu104
from tests.interop.harness import Relay, Scene, row
from tests.interop.points import COUNTERS, MONITORED, REPORTED
from tests.interop.rawstations import RawStation
from tests.interop.waiting import OTHER_RTU_IP, RTU_IP, listening, refused, waitFor

#: The time tag of the values: 2026-03-29 00:59:59.987 UTC, in milliseconds.
TAG = 1774745999987
VALUES: dict[int, object] = {
    100: True,
    101: True,
    102: 2,
    103: -17,
    104: 0xDEADBEEF,
    105: -0.5,
    106: -12345,
    107: 230.125,
}
CONFIRMATION, TERMINATION = 7, 10
INTERROGATION, COUNTER_INTERROGATION, CLOCK = 100, 101, 103
#: Types of requests and of their mirrors.
REQUESTS = frozenset((*range(45, 65), *range(100, 108)))


@dataclass
class Trio:
    """The relay, its RTU and its masters."""

    relay: Relay
    rtu: Rtu104
    masters: list[Master104]
    port: int


def begin(
    scene: Scene, count: int, service: str = "", masterT2: int = 10, **columns: object
) -> Trio:
    """Start an RTU, the relay and so many masters; data transfer is started on all connections."""
    port, rtuPort = scene.port(), scene.port()
    rtu = scene.rtu(rtuPort)
    relay = scene.relay(row(1, port, f"{RTU_IP}:{rtuPort}", **columns), service=service)
    relay.waitOpen(port)
    masters = scene.masters(count, port, t2=masterT2)
    rtu.waitStarted()
    return Trio(relay, rtu, masters, port)


def tagged(address: int) -> int | None:
    """The time tag of a point, if its type has one."""
    return TAG if "_NA_" not in MONITORED[address] and "_NC_" not in MONITORED[address] else None


def sendAll(rtu: Rtu104) -> None:
    """Let the RTU report one value of each type."""
    for address, value in VALUES.items():
        rtu.do("send", address=address, value=value, at=tagged(address))


def data(asdus: Sequence[bytes]) -> list[bytes]:
    """The process information among ASDUs."""
    return [asdu for asdu in asdus if asdu[0] < 45]


def requests(asdus: Sequence[bytes]) -> list[bytes]:
    """The requests, or their mirrors, among ASDUs."""
    return [asdu for asdu in asdus if asdu[0] in REQUESTS]


def withoutOriginator(asdus: Sequence[bytes]) -> list[bytes]:
    """ASDUs as they are but for the originator address."""
    return [asdu[:3] + b"\0" + asdu[4:] for asdu in asdus]


def causes(asdus: Sequence[bytes], kind: int) -> list[int]:
    """The causes of the ASDUs of one type."""
    return [asdu[2] for asdu in asdus if asdu[0] == kind]


@pytest.mark.parametrize(
    "count", [1, pytest.param(2, marks=pytest.mark.smoke), 5], ids=lambda count: f"{count}masters"
)
def test_spontaneousDataReachesAllMastersUnchanged(scene: Scene, count: int) -> None:
    """Each value and each time tag arrives at each master, octet for octet and in order."""
    trio = begin(scene, count)
    sendAll(trio.rtu)
    for number in range(50):
        trio.rtu.do("send", address=107, value=number / 8, at=TAG + number)
    trio.rtu.mark(trio.masters)

    sent = data(trio.rtu.asdus(sent=True))
    assert len(sent) == len(VALUES) + 51
    for master in trio.masters:
        received = master.asdus(sent=False)
        assert received[0].hex() == "4601040020000000" + "0000"
        assert received[1:] == sent
        for address, value in VALUES.items():
            first = next(event for event in master.events("value") if event["address"] == address)
            assert (first["value"], first["at"]) == (value, tagged(address))


@pytest.mark.parametrize("who", ["all", "requester"])
def test_interrogation(scene: Scene, who: str) -> None:
    """Confirmation and termination reach the asking master only, the data whom the option says."""
    trio = begin(scene, 3, service=f"defaults:\n  interrogated_data: {who}\n")
    for address, value in VALUES.items():
        trio.rtu.do("set", address=address, value=value, at=tagged(address))
    asking, *others = trio.masters
    asking.do("interrogate")
    trio.rtu.mark(trio.masters)

    answer = withoutOriginator(trio.rtu.asdus(sent=True))
    assert causes(answer, INTERROGATION) == [CONFIRMATION, TERMINATION]
    interrogated = [asdu for asdu in answer if asdu[0] < 45 and asdu[2] == 20]
    addresses = {int.from_bytes(asdu[6:9], "little") for asdu in interrogated}
    assert addresses >= REPORTED.keys()
    assert asking.asdus(sent=False)[1:] == answer
    for other in others:
        received = other.asdus(sent=False)[1:]
        assert received == (data(answer) if who == "all" else data(answer)[len(interrogated) :])


def test_manyInterrogationsAtOnce(scene: Scene) -> None:
    """Five masters interrogate at the same time: each gets a complete answer."""
    trio = begin(scene, 5)
    for answer in [master.begin("interrogate") for master in trio.masters]:
        answer()
    trio.rtu.mark(trio.masters)
    for master in trio.masters:
        mirrors = causes(master.asdus(sent=False), INTERROGATION)
        assert mirrors == [CONFIRMATION, TERMINATION]


DIRECT_VALUES = {200: True, 201: 2, 202: 2, 203: 12.625, 204: True}
SELECTED_VALUES = {210: True, 211: 1, 212: -1234}


@pytest.mark.parametrize(
    ("values", "select"),
    [
        pytest.param(DIRECT_VALUES, False, id="direct", marks=pytest.mark.smoke),
        pytest.param(SELECTED_VALUES, True, id="select-before-operate"),
    ],
)
def test_command(scene: Scene, values: dict[int, object], select: bool) -> None:
    """Each command is executed once, with its value, and confirmed to its sender only."""
    trio = begin(scene, 2)
    asking, other = trio.masters
    for address, value in values.items():
        done = asking.do("command", address=address, value=value, select=select)
        assert done or not select, address
    trio.rtu.mark(trio.masters)

    executed = [(event["address"], event["value"]) for event in trio.rtu.events("command")]
    assert executed == list(values.items())
    asked = requests(asking.asdus(sent=True))
    assert len(asked) == len(values) * (1 + select)
    assert withoutOriginator(requests(trio.rtu.asdus(sent=False))) == asked
    answers = withoutOriginator(requests(trio.rtu.asdus(sent=True)))
    assert requests(asking.asdus(sent=False)) == answers
    confirmed = [asdu[:2] + b"\6" + asdu[3:] for asdu in answers if asdu[2] == CONFIRMATION]
    assert confirmed == asked
    assert requests(other.asdus(sent=False)) == []


def test_commandsOfFiveMastersAtOnce(scene: Scene) -> None:
    """Commands of five masters, each on a point of its own: all are executed, each is confirmed
    to its sender."""
    trio = begin(scene, 5)
    answers = [
        master.begin("command", address=address, value=value)
        for master, (address, value) in zip(trio.masters, DIRECT_VALUES.items(), strict=True)
    ]
    for answer in answers:
        answer()
    trio.rtu.mark(trio.masters)
    executed = {event["address"]: event["value"] for event in trio.rtu.events("command")}
    assert (executed, len(trio.rtu.events("command"))) == (DIRECT_VALUES, 5)
    for master in trio.masters:
        (asked,) = requests(master.asdus(sent=True))
        mirrors = [asdu for asdu in requests(master.asdus(sent=False)) if asdu[2] == CONFIRMATION]
        assert mirrors == [asked[:2] + bytes([CONFIRMATION]) + asked[3:]]


def test_commandThatTheRtuRefuses(scene: Scene) -> None:
    """A negative confirmation reaches its sender only: execution without select."""
    trio = begin(scene, 2)
    asking, other = trio.masters
    asking.do("command", address=210, value=True, select=False)
    trio.rtu.mark(trio.masters)
    assert [asdu[2] for asdu in requests(asking.asdus(sent=False))] == [0x40 | CONFIRMATION]
    assert requests(other.asdus(sent=False)) == []
    assert trio.rtu.events("command") == []


def test_clockSynchronisation(scene: Scene) -> None:
    """A master sets the RTU's clock; its confirmation is its own."""
    trio = begin(scene, 2)
    asking, other = trio.masters
    asking.do("clock")
    trio.rtu.mark(trio.masters)
    assert len(trio.rtu.events("clock")) == 1
    assert causes(asking.asdus(sent=False), CLOCK) == [CONFIRMATION]
    assert requests(other.asdus(sent=False)) == []


def test_counterInterrogation(scene: Scene) -> None:
    """Counters reach all masters, for to read them may consume them; the mirrors only one."""
    trio = begin(scene, 2)
    for address in COUNTERS:
        trio.rtu.do("set", address=address, value=address * 1000, at=tagged(address))
    asking, other = trio.masters
    asking.do("counters")
    trio.rtu.mark(trio.masters)

    assert causes(asking.asdus(sent=False), COUNTER_INTERROGATION) == [CONFIRMATION, TERMINATION]
    assert requests(other.asdus(sent=False)) == []
    for master in trio.masters:
        for address in COUNTERS:
            master.waitValue(address, address * 1000)


def test_read(scene: Scene) -> None:
    """What a master reads reaches this master only."""
    trio = begin(scene, 2)
    trio.rtu.do("set", address=107, value=49.5, at=TAG)
    asking, other = trio.masters
    asking.do("read", address=107)
    trio.rtu.mark(trio.masters)

    answers = [asdu for asdu in asking.asdus(sent=False) if asdu[2] == 5]
    assert [int.from_bytes(asdu[6:9], "little") for asdu in answers] == [107]
    asking.waitValue(107, 49.5)
    assert [asdu for asdu in other.asdus(sent=False) if asdu[2] == 5] == []


def test_masterLeavesAndReturns(scene: Scene) -> None:
    """A master that comes back has data again; the other one noticed nothing."""
    trio = begin(scene, 2)
    leaving, staying = trio.masters
    trio.rtu.mark(trio.masters)
    leaving.kill()
    trio.relay.waitLogged("1 of 5 masters", times=2)
    trio.rtu.mark([staying])
    (returned,) = scene.masters(1, trio.port)
    trio.rtu.mark([staying, returned])

    received = returned.asdus(sent=False)
    sent = data(trio.rtu.asdus(sent=True))
    assert received[0][0] == 70
    assert received[-1] == sent[-1]
    assert staying.asdus(sent=False)[1:] == sent
    # The RTU was never stopped.
    starts = [frame.octets for frame in trio.rtu.frames(sent=False) if frame.octets[2] & 3 == 3]
    assert starts == [STARTDT_ACT]


def test_rtuIsStoppedWhileNobodyListens(scene: Scene) -> None:
    """The last master leaves: STOPDT to the RTU; the next one comes: STARTDT on the connection."""
    trio = begin(scene, 1)
    trio.rtu.mark(trio.masters)
    trio.masters[0].kill()
    trio.rtu.waitFrame(STOPDT_CON, sent=True)
    assert listening(trio.port)
    masters = scene.masters(1, trio.port)
    trio.rtu.waitStarted(times=2)
    trio.rtu.mark(masters)
    assert trio.relay.eventLog().count("RTU connected") == 1


@pytest.mark.smoke
def test_rtuDiesAndReturns(scene: Scene) -> None:
    """Masters are disconnected at once and refused until the RTU is back; then all is as before."""
    trio = begin(scene, 2)
    trio.rtu.mark(trio.masters)
    died = time.monotonic()
    trio.rtu.kill()
    for master in trio.masters:
        assert master.waitClosed() - died < 1
    waitFor(lambda: not listening(trio.port), "the port is closed")
    assert refused(trio.port)
    assert refused(trio.port, "::1")

    rtu = scene.rtu(trio.rtu.port)
    trio.relay.waitOpen(trio.port)
    masters = scene.masters(2, trio.port)
    rtu.waitStarted()
    rtu.mark(masters)
    masters[0].do("command", address=200, value=True)
    rtu.mark(masters)
    assert len(rtu.events("command")) == 1


def test_rtuThatHangsIsFoundOut(scene: Scene) -> None:
    """An RTU that does not answer is given up after t3 and t1, and its masters are disconnected."""
    trio = begin(scene, 1, t1=3, t2=1, t3=2, masterT2=1)
    (master,) = trio.masters
    trio.rtu.mark([master])
    hung = time.monotonic()
    trio.rtu.freeze()
    assert 2.5 < master.waitClosed() - hung < 7
    trio.relay.waitLogged("RTU disconnected: TESTFR not confirmed within t1")


def test_secondHostTakesOver(scene: Scene) -> None:
    """When the RTU's first address is gone the next one of the list is connected."""
    port, first, second = scene.port(), scene.port(), scene.port()
    rtu = scene.rtu(first)
    relay = scene.relay(row(1, port, f"{RTU_IP}:{first};{OTHER_RTU_IP}:{second}"))
    relay.waitOpen(port)
    masters = scene.masters(1, port)
    rtu.waitStarted()
    rtu.mark(masters)
    standby = scene.rtu(second, OTHER_RTU_IP)
    rtu.kill()
    masters[0].waitClosed()

    relay.waitLogged("RTU connected", times=2)
    relay.waitOpen(port)
    masters = scene.masters(2, port)
    standby.waitStarted()
    standby.mark(masters)
    assert f"{OTHER_RTU_IP}:{second} RTU connected" in relay.eventLog()


def test_groupsKnowNothingOfEachOther(scene: Scene) -> None:
    """Two groups in one process: each master sees its own RTU, and outlives the other's."""
    ports, rtuPorts = [scene.port(), scene.port()], [scene.port(), scene.port()]
    rtus = [scene.rtu(port) for port in rtuPorts]
    relay = scene.relay(
        *(row(n + 1, ports[n], f"{RTU_IP}:{rtuPorts[n]}", rtu_no=32) for n in range(2))
    )
    masters = []
    for port, rtu in zip(ports, rtus, strict=True):
        relay.waitOpen(port)
        masters += scene.masters(1, port)
        rtu.waitStarted()
    rtus[0].do("send", address=107, value=1.0, at=TAG)
    rtus[1].do("send", address=107, value=2.0, at=TAG)
    for rtu, master in zip(rtus, masters, strict=True):
        rtu.mark([master])
        assert master.asdus(sent=False)[1:] == data(rtu.asdus(sent=True))
    rtus[0].kill()
    masters[0].waitClosed()
    rtus[1].mark(masters[1:])
    assert not listening(ports[0]) and listening(ports[1])


def isRefused(port: int, source: str) -> bool:
    """Whether a connection from an address is closed at once."""
    with contextlib.closing(RawStation.connect(port, source)) as stranger:
        return stranger.ending() == "FIN"


def test_whoMayNotConnect(scene: Scene) -> None:
    """Refused are: the RTU's own address, who is not in the filter, and one master too many."""
    trio = begin(scene, 1, max_conn=2, filter="127.0.0.0/29")
    assert isRefused(trio.port, RTU_IP)
    trio.relay.waitLogged("refused: it is the address of the RTU")
    assert isRefused(trio.port, "127.0.0.8")
    trio.relay.waitLogged("refused: its address is not in the filter")
    second = scene.raw(RawStation.started(trio.port, "127.0.0.7"))
    assert isRefused(trio.port, "127.0.0.6")
    trio.relay.waitLogged("refused: 2 of 2 masters are connected already")
    second.expectNothing()
    trio.rtu.mark(trio.masters)


@pytest.mark.parametrize("policy", ["old", "new"])
def test_secondConnectionFromOneAddress(scene: Scene, policy: str) -> None:
    """`same ip`: the old connection stays, or the new one takes its place."""
    trio = begin(scene, 1, same_ip=policy)
    old = scene.raw(RawStation.started(trio.port, "127.0.0.7"))
    new = scene.raw(RawStation.connect(trio.port, "127.0.0.7"))
    stays, goes = (old, new) if policy == "old" else (new, old)
    assert goes.ending() == "FIN"
    stays.expectNothing()
    trio.rtu.mark(trio.masters)
