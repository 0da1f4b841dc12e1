"""Whatever a master or the RTU sends: no exception, and nothing of it reaches another master."""

from __future__ import annotations

from random import Random

import pytest

from mm2ss.iec104.apci import encodeI
from mm2ss.iec104.asdu import Cause
from tests.groups import GREETING, RESPONDERS, World, answer, data, event, isUp, request
from tests.peers import FakeMaster

TYPES = (*range(45, 65), *range(100, 114), *range(120, 128), 1, 30, 70, 83, 128, 200, 255)


def anyOctets(random: Random) -> bytes:
    """Octets that are often something like a frame."""
    octets = random.randbytes(random.randrange(1, 60))
    if random.random() < 0.7:
        octets = bytes((0x68, random.choice((4, 14, len(octets))))) + octets
    return octets


def anyAsdu(random: Random) -> bytes:
    """A well-formed header and a length that is often right, with anything in them."""
    typeId = random.choice(TYPES)
    head = bytes(
        (
            typeId,
            random.choice((1, 1, 1, 1, 0, 2, 0x81)),
            random.choice((6, 6, 6, 8, 5, 13, 3, 7, 20, 44, random.randrange(256))),
            random.randrange(256),
        )
    )
    station = random.choice((32, 32, 33, 0, 0xFFFF)).to_bytes(2, "little")
    body = request(typeId, random.randrange(4))[6:]
    body = body[:3] + random.randbytes(len(body) - 3)
    if random.random() < 0.1:
        body = body[: random.randrange(len(body))] + random.randbytes(random.randrange(3))
    return (head + station + body)[:249]


def join(world: World, master: FakeMaster) -> bool:
    """Connect a master again, if it is not; returns whether it is started."""
    if not master.connected:
        master.connect()
        world.run(0.05)
    if master.connected and not master.started and master.link.state.name == "STOPPED":
        master.start()
        world.run(0.05)
    return master.started


@pytest.mark.parametrize("seed", range(4))
def test_M08_randomOctetsFromAMaster(seed: int) -> None:
    """Random octets close the connection they come on, now or later; others notice nothing."""
    random = Random(seed)
    with World(idleTime=0) as world:
        responder = world.respond()
        culprit, other = world.master(), world.master()
        for number in range(250):
            if random.random() < 0.7:
                join(world, culprit)
            elif not culprit.connected:
                culprit.connect()
                world.run(0.05)
            if culprit.connected:
                culprit.raw(anyOctets(random))
            world.rtu.send(event(number))
            world.run(0.05)
        assert isUp(other) and isUp(world.rtu)
        mine = [asdu for asdu in other.received if asdu[0] == 1 and asdu[2] == 3]
        assert mine == [event(number) for number in range(250)]
        other.send(request(address=77))
        world.run()
        assert responder.asked[-1][6] == 77 and other.received[-1][2] == Cause.ACTIVATION_TERM


@pytest.mark.parametrize("kind", ["echo", "never"])
@pytest.mark.parametrize("seed", range(3))
def test_M08_randomRequestsFromAMaster(kind: str, seed: int) -> None:
    """Random requests are passed on, refused or closed for; their answers are nobody else's."""
    random = Random(seed)
    with World(idleTime=0) as world:
        make = RESPONDERS[kind]()
        world.rtu.reply = lambda asked: [
            make.mirror(asked, random.choice((7, 7, 9, 10, 47, 13)), random.random() < 0.3)
        ]
        culprit, other = world.master(), world.master()
        for _ in range(400):
            if join(world, culprit):
                culprit.send(anyAsdu(random))
            world.run(random.choice((0.01, 0.02, 0.5)))
        world.run(100)
        strange = [asdu for asdu in other.received if asdu != GREETING]
        # Answers of private types that answer nothing are for all, and so are file offers.
        assert all(asdu[0] == 120 or asdu[0] > 127 for asdu in strange)
        assert isUp(other) and isUp(world.rtu) and len(world.rtu.ups) == 1
        commands = world.group._exchange._commands
        world.run(100)
        assert len(commands.requests) == len(commands._locks) == len(commands._lines) == 0
        other.send(request(address=7777))
        world.run()
        assert world.rtu.received[-1][6:8] == (7777).to_bytes(2, "little")


@pytest.mark.parametrize("seed", range(3))
def test_M08_randomOctetsFromTheRtu(seed: int) -> None:
    """Random octets lose the RTU's connection at most; it is connected again, and goes on."""
    random = Random(seed)
    with World(idleTime=0) as world:
        for _ in range(40):
            master = world.master(f"192.0.2.{random.randrange(1, 200)}")
            for _ in range(random.randrange(4)):
                if master.started:
                    master.send(anyAsdu(random))
            if world.rtu.connected:
                world.rtu.raw(anyOctets(random))
            world.run(0.1)
            if isUp(world.rtu) and isUp(master):
                master.leave()
            elif not isUp(world.rtu):
                assert not isUp(master), "without the RTU there are no masters"
            world.run(60)
            assert isUp(world.rtu)
        world.respond()
        master = world.master("192.0.2.250")
        master.send(request())
        world.run()
        assert master.received[-1][2] == Cause.ACTIVATION_TERM


@pytest.mark.parametrize("seed", range(4))
def test_M06_M08_randomDataFromTheRtu(seed: int) -> None:
    """Random ASDUs of the RTU, while everything is asked of it: masters stay, mirrors stray not."""
    random = Random(seed)
    with World(idleTime=0) as world:
        first, second = world.master(), world.master()
        for _ in range(400):
            master = random.choice((first, second))
            if join(world, master) and random.random() < 0.3:
                master.send(anyAsdu(random))
            asdu = anyAsdu(random)
            known = world.rtu.received
            if known and random.random() < 0.5:
                asdu = answer(random.choice(known), random.choice((7, 9, 10, 47)))
            world.rtu.send(asdu if len(asdu) >= 6 else data(1))
            world.run(random.choice((0.01, 0.02, 0.3)))
        assert isUp(world.rtu) and len(world.rtu.ups) == 1
        world.run(200)
        commands = world.group._exchange._commands
        assert len(commands.requests) == len(commands._locks) == len(commands._lines) == 0


@pytest.mark.parametrize("size", range(6))
def test_M01_M07_halfAHeader(size: int) -> None:
    """Less than a header: from a master it closes that master, from the RTU the RTU's connection,
    and what was under way is no longer."""
    with World() as world:
        first, second = world.master(), world.master()
        first.send(request(content=b"\x81"))
        world.run()
        short = bytes((45, 1, 6, 0, 32, 0))[:size]
        # As it comes on a connection with one I frame in each direction so far.
        frame = encodeI(1, 0, short) if size else b"\x68\x04\x02\0\0\0"
        first.raw(frame)
        world.run()
        assert not isUp(first) and isUp(second) and isUp(world.rtu)
        assert [asdu[2] for asdu in world.rtu.received] == [6, 8], "its select is deactivated"
        world.rtu.raw(encodeI(0, 0, short) if size else b"\x68\x04\0\0\0\0")
        world.run(0.1)
        assert not isUp(second)
        world.run(5)
        assert isUp(world.rtu)
