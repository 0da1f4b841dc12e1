"""Who may connect to a group, as masters see it."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from mm2ss.config.model import SameAddress
from mm2ss.iec104.apci import CloseCause
from tests.groups import GREETING, PORT, RELAY, RTU, World, event, isUp
from tests.peers import FakeMaster


def comes(world: World, address: str) -> FakeMaster:
    """A master that tries to connect from this address."""
    master = FakeMaster(world.reactor, PORT, address, RELAY)
    world.masters.append(master)
    master.connect()
    world.run(0.1)
    return master


@pytest.mark.parametrize(
    ("policy", "states", "notes"),
    [
        (SameAddress.ALL, [True, True, True], []),
        (SameAddress.OLD, [True, False, True], ["the old connection is kept"]),
        (SameAddress.NEW, [False, True, True], [CloseCause.REPLACED.value]),
    ],
)
def test_sameAddress(policy: SameAddress, states: list[bool], notes: list[str]) -> None:
    """A second connection from one address: accepted, refused, or in place of the first."""
    with World(sameAddress=policy) as world:
        masters = [comes(world, address) for address in ("192.0.2.1", "192.0.2.1", "192.0.2.2")]
        assert [isUp(master) for master in masters] == states
        for words in notes:
            assert len(world.notes.about(words)) == 1


def test_replacementTakesOver() -> None:
    """A replacement takes the old one's place in a full group, and its unsettled data."""
    with World(sameAddress=SameAddress.NEW, maxMasters=1) as world:
        old = comes(world, "192.0.2.1")
        old.start()
        world.run(0.1)
        old.mute()
        world.rtu.send(event(1))
        world.run(0.1)
        new = comes(world, "192.0.2.1")
        new.start()
        world.run(0.1)
        assert not isUp(old)
        assert new.received == [GREETING, event(1)]
        world.rtu.send(event(2))
        world.run(0.1)
        assert new.received[-1] == event(2)
        assert world.notes.about("1 of 1 masters")


def test_mostMasters() -> None:
    """Never more masters than configured, standby ones counted; who leaves makes room."""
    with World(maxMasters=2) as world:
        masters = [comes(world, f"192.0.2.{number}") for number in (1, 2, 3)]
        assert [isUp(master) for master in masters] == [True, True, False]
        assert world.notes.about("2 of 2 masters are connected already")
        masters[0].leave()
        world.run(0.1)
        assert isUp(comes(world, "192.0.2.4"))


def test_filter() -> None:
    """Only addresses of the filter may connect; a refusal names the address and is counted."""
    with World(filter=(ip_network("192.0.2.0/25"),)) as world:
        stranger = comes(world, "203.0.113.5")
        assert not isUp(stranger)
        assert isUp(comes(world, "192.0.2.1"))
        (line,) = world.notes.warnings
        assert "not in the filter" in line
        assert any(peer.startswith("203.0.113.5:") for _, peer, _ in world.notes.lines)
        assert world.group.snapshot().refused == {"FILTER": 1}


def test_rtuIsNoMaster() -> None:
    """The address that the RTU is connected at is refused as a master."""
    with World() as world:
        assert not isUp(comes(world, RTU))
        assert world.notes.about("it is the address of the RTU")


@pytest.mark.parametrize("address", ["::ffff:192.0.2.1", "::ffff:c000:201"])
def test_mappedAddress(address: str) -> None:
    """An IPv4-mapped IPv6 address is treated as its IPv4 address: filter, same ip, RTU, log."""
    networks = (ip_network("192.0.2.0/25"), ip_network("198.51.100.0/24"))
    with World(filter=networks, sameAddress=SameAddress.OLD) as world:
        first = comes(world, address)
        assert isUp(first)
        assert not isUp(comes(world, "192.0.2.1"))
        assert not isUp(comes(world, f"::ffff:{RTU}"))
        assert world.notes.about("it is the address of the RTU")


def test_refusedConnectionsDoNotTouchTheOthers() -> None:
    """However many are refused, those that are connected notice nothing."""
    with World(maxMasters=1) as world:
        master = world.master()
        for number in range(50):
            comes(world, f"192.0.2.{number + 10}")
        world.rtu.send(event(1))
        world.run()
        assert master.received == [GREETING, event(1)]
        assert world.rtu.heard == ["STARTDT act"]
