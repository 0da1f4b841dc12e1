"""Whole sessions octet by octet: plain sockets on both sides, nothing of the product's codec."""

from __future__ import annotations

import random
from dataclasses import dataclass

import pytest

from tests.interop.harness import IMMEDIATE, Relay, Scene, row
from tests.interop.rawstations import RawStation
from tests.interop.waiting import RTU_IP

pytestmark = pytest.mark.smoke

STARTDT_ACT, STARTDT_CON = "68 04 07 00 00 00", "68 04 0b 00 00 00"
STOPDT_ACT, STOPDT_CON = "68 04 13 00 00 00", "68 04 23 00 00 00"
TESTFR_ACT, TESTFR_CON = "68 04 43 00 00 00", "68 04 83 00 00 00"


@dataclass
class Line:
    """The relay with a plain socket as its RTU."""

    relay: Relay
    rtu: RawStation
    port: int


@pytest.fixture
def line(scene: Scene) -> Line:
    """The relay is connected to its RTU; there is no master yet."""
    port, rtuPort = scene.port(), scene.port()
    listener = scene.rawRtu(rtuPort)
    # So acknowledgements come only where a test provokes them.
    relay = scene.relay(row(1, port, f"{RTU_IP}:{rtuPort}", k=200, w=100), service=IMMEDIATE)
    rtu = scene.raw(listener.accept())
    relay.waitOpen(port)
    return Line(relay, rtu, port)


def test_session(scene: Scene, line: Line) -> None:
    """From STARTDT to STOPDT and again STARTDT, with every octet on both connections."""
    rtu = line.rtu
    rtu.expectNothing()  # STARTDT only when somebody listens
    master = scene.raw(RawStation.connect(line.port))
    master.send(TESTFR_ACT)
    master.expect(TESTFR_CON)
    rtu.expectNothing()  # who only tests the connection does not listen
    master.send(STARTDT_ACT)
    # End of initialization: type 70, one object, cause 4, originator 0, station 32, COI 0.
    master.expect(STARTDT_CON, "68 0e 00 00 00 00 46 01 04 00 20 00 00 00 00 00")
    rtu.expect(STARTDT_ACT)

    # The RTU's own end of initialization is swallowed; its data has a left-over originator.
    rtu.send(STARTDT_CON, "68 0e 00 00 00 00 46 01 04 00 20 00 00 00 00 02")
    rtu.send("68 0e 02 00 00 00 01 01 03 05 20 00 64 00 00 01")
    master.expect("68 0e 02 00 00 00 01 01 03 00 20 00 64 00 00 01")

    # A single command, originator 7: the RTU sees the master's slot, the master its own number.
    master.send("68 0e 00 00 04 00 2d 01 06 07 20 00 c8 00 00 01")
    rtu.expect("68 0e 00 00 04 00 2d 01 06 01 20 00 c8 00 00 01")
    rtu.send("68 0e 04 00 02 00 2d 01 07 01 20 00 c8 00 00 01")
    master.expect("68 0e 04 00 02 00 2d 01 07 07 20 00 c8 00 00 01")
    rtu.send("68 0e 06 00 02 00 2d 01 0a 01 20 00 c8 00 00 01")
    master.expect("68 0e 06 00 02 00 2d 01 0a 07 20 00 c8 00 00 01")

    for station in (master, rtu):
        station.send(TESTFR_ACT)
        station.expect(TESTFR_CON)

    # STOPDT while the master's second request is not acknowledged yet: first S, then the
    # confirmation. The RTU has not acknowledged that request either.
    master.send("68 0e 02 00 08 00 64 01 06 00 20 00 00 00 00 14")
    rtu.expect("68 0e 02 00 08 00 64 01 06 01 20 00 00 00 00 14")
    master.send("68 04 01 00 08 00", STOPDT_ACT)
    master.expect("68 04 01 00 04 00", STOPDT_CON)
    rtu.expect(STOPDT_ACT)
    # The RTU still sends what it has: it is acknowledged, for a stop is not confirmed before.
    rtu.send("68 0e 08 00 04 00 01 01 03 00 20 00 64 00 00 00")
    rtu.expect("68 04 01 00 0a 00")
    rtu.send(STOPDT_CON)
    rtu.expectNothing()
    master.expectNothing()

    # Started again on the same connections: numbers go on; what nobody had is still there.
    master.send(STARTDT_ACT)
    master.expect(
        STARTDT_CON,
        "68 0e 08 00 04 00 46 01 04 00 20 00 00 00 00 00",
        "68 0e 0a 00 04 00 01 01 03 00 20 00 64 00 00 00",
    )
    rtu.expect(STARTDT_ACT)
    rtu.send(STARTDT_CON, "68 0e 0a 00 04 00 01 01 03 00 20 00 65 00 00 01")
    master.expect("68 0e 0c 00 04 00 01 01 03 00 20 00 65 00 00 01")


def test_framesInPieces(scene: Scene, line: Line) -> None:
    """A frame may come in any pieces, and many frames in one."""
    rtu, port = line.rtu, line.port
    master = scene.raw(RawStation.started(port))
    rtu.expect(STARTDT_ACT)
    rtu.send(STARTDT_CON)
    value = "68 0e {:02x} 00 00 00 01 01 03 00 20 00 64 00 00 01"
    for number in range(15):
        # The test frame's confirmation shows that the relay has the piece before the rest comes.
        octets = value.format(2 * number).split()
        rtu.send(TESTFR_ACT, *octets[: number + 1])
        rtu.expect(TESTFR_CON)
        rtu.send(*octets[number + 1 :])
        master.expect(value.format(2 * number + 2))
    rtu.send(*(value.format(2 * number) for number in range(15, 40)))
    master.expect(*(value.format(2 * number + 2) for number in range(15, 40)))


GARBAGE = {
    "start octet": "67 04 07 00 00 00",
    "too short": "68 03 07 00 00",
    "too long": "68 fe" + " 00" * 254,
    "unknown U": "68 04 c3 00 00 00",
    "U with data": "68 06 43 00 00 00 00 00",
    "data while stopped": "68 0e 00 00 00 00 2d 01 06 00 20 00 c8 00 00 01",
    "S while stopped": "68 04 01 00 00 00",
    "wrong N(S)": STARTDT_ACT + "68 0e 02 00 00 00 2d 01 06 00 20 00 c8 00 00 01",
    "wrong N(R)": STARTDT_ACT + "68 0e 00 00 08 00 2d 01 06 00 20 00 c8 00 00 01",
    "no ASDU": STARTDT_ACT + "68 04 00 00 00 00",
    "ASDU without object": STARTDT_ACT + "68 0a 00 00 00 00 2d 01 06 00 20 00",
    "two commands in one": STARTDT_ACT
    + "68 12 00 00 00 00 2d 02 06 00 20 00 c8 00 00 01 c9 00 00 01",
    "a browser": b"GET / HTTP/1.1\r\nHost: relay\r\n\r\n".hex(),
}


def test_garbageClosesItsSenderOnly(scene: Scene, line: Line) -> None:
    """Who sends garbage is disconnected; the RTU sees none of it, the other master its data."""
    rtu, port = line.rtu, line.port
    master = scene.raw(RawStation.started(port))
    rtu.expect(STARTDT_ACT)
    rtu.send(STARTDT_CON)
    noise = random.Random(104)
    garbage = [*GARBAGE.values(), *(noise.randbytes(300).hex() for _ in range(10))]
    for octets in garbage:
        stranger = scene.raw(RawStation.connect(port))
        stranger.send(octets)
        stranger.ending()
        rtu.expectNothing()
        master.expectNothing()
        stranger.close()
    line.relay.waitLogged(" disconnected: ", times=len(garbage))
    rtu.send("68 0e 00 00 00 00 01 01 03 00 20 00 64 00 00 01")
    master.expect("68 0e 02 00 00 00 01 01 03 00 20 00 64 00 00 01")


def test_rtuThatSendsGarbage(scene: Scene, line: Line) -> None:
    """An RTU that sends garbage is disconnected, and all its masters with it."""
    masters = [scene.raw(RawStation.started(line.port)) for _ in range(2)]
    line.rtu.expect(STARTDT_ACT)
    line.rtu.send(STARTDT_CON, "68 00")
    line.rtu.ending()
    for master in masters:
        assert master.ending() == "FIN"
    line.relay.waitLogged("RTU disconnected:")


def test_answersOfAnRtuThatDoesNotEcho(scene: Scene, line: Line) -> None:
    """An RTU with originator 0 in all answers: each still reaches the one who asked."""
    rtu, port = line.rtu, line.port
    one, two = (scene.raw(RawStation.started(port)) for _ in range(2))
    rtu.expect(STARTDT_ACT)
    rtu.send(STARTDT_CON)
    one.send("68 0e 00 00 02 00 2d 01 06 00 20 00 c8 00 00 01")
    rtu.expect("68 0e 00 00 00 00 2d 01 06 01 20 00 c8 00 00 01")
    two.send("68 0e 00 00 02 00 2e 01 06 09 20 00 c9 00 00 02")
    rtu.expect("68 0e 02 00 00 00 2e 01 06 02 20 00 c9 00 00 02")
    rtu.send("68 0e 00 00 04 00 2e 01 47 00 20 00 c9 00 00 02")
    rtu.send("68 0e 02 00 04 00 2d 01 07 00 20 00 c8 00 00 01")
    two.expect("68 0e 02 00 02 00 2e 01 47 09 20 00 c9 00 00 02")
    one.expect("68 0e 02 00 02 00 2d 01 07 00 20 00 c8 00 00 01")
    one.expectNothing()
    two.expectNothing()
