"""The journal's disk is full: nothing is dropped, the RTU keeps its events until there is room."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from mm2ss.config.parameters import LinkParameters
from tests.soak.campaign import Campaign, Group, until
from tests.soak.settings import Settings
from tests.soak.smalldisk import CannotMount, SmallDisk

#: MiB: more than the journal leaves free for others.
SIZE = 64
#: A large window: much must be written at once.
PARAMETERS = LinkParameters(k=200, w=8, t1=4, t2=1, t3=3)
#: Stalled masters, one after the other, in whose time the journal must take what waits.
ROUNDS = 12

pytestmark = [
    pytest.mark.interop,
    pytest.mark.xdist_group("interop"),
]


async def flows(group: Group) -> None:
    """A master that behaves gets everything."""
    master = await group.join("good")
    await until(lambda: not group.book.outstanding, "everything is delivered")
    await until(lambda: not group.rtu.backlog, "the RTU is acknowledged")
    master.die()


async def stalls(group: Group, produced: int) -> None:
    """A master that acknowledges nothing is there when events happen."""
    master = await group.join("stalled")
    master.hold(True)
    group.rtu.produce(produced)


def held(group: Group) -> int:
    """Events that the RTU has forgotten and no master has acknowledged: the journal has them."""
    return group.book.outstanding - group.rtu.backlog


async def journalled(group: Group, count: int) -> None:
    """Masters that acknowledge nothing are there until the journal has so many events."""
    for _ in range(ROUNDS):
        master = await group.join("stalled")
        master.hold(True)
        while not master.closed:
            if held(group) >= count:
                return
            await asyncio.sleep(0.02)
    raise AssertionError(f"the journal has {held(group)} events only")


async def fillAndEmpty(campaign: Campaign, disk: SmallDisk) -> None:
    """Full while masters stall, while one behaves, while the relay dies; then there is room."""
    (group,) = campaign.groups
    relay = campaign.relay
    await group.rtu.listen()
    relay.start()
    group.rtu.produce(300)
    await flows(group)

    # No master takes events, the disk does not either: they stay where they are.
    disk.fill()
    await stalls(group, 500)
    await asyncio.sleep(PARAMETERS.t1 + 3)
    assert held(group) == 0, "acknowledged to the RTU, and safe nowhere"
    assert group.rtu.backlog >= 500
    assert "Cannot write the journal" in relay.log
    assert "free" in relay.log

    # A master that acknowledges needs no disk.
    await flows(group)

    # The relay dies and starts while the disk is full.
    await stalls(group, 500)
    await asyncio.sleep(PARAMETERS.t1 / 2)
    assert relay.kill()
    assert held(group) == 0
    relay.start()
    await stalls(group, 100)
    await asyncio.sleep(PARAMETERS.t1)
    assert held(group) == 0
    assert group.rtu.backlog >= 600

    # There is room: the journal takes them, nobody has to do anything.
    disk.clear()
    group.rtu.produce(10)
    await journalled(group, 600)
    assert relay.kill()
    relay.start()
    group.rtu.produce(100)
    await flows(group)


def test_fullDiskLosesNothing(tmp_path: Path) -> None:
    """Zero lost, the log says why nothing moves, and it moves again when there is room."""

    async def scenario() -> None:
        settings = Settings(seed=1, rtu=PARAMETERS, master=PARAMETERS)
        campaign = Campaign(settings, tmp_path / "relay")
        try:
            with SmallDisk(tmp_path / "relay" / "state", SIZE) as disk:
                try:
                    await fillAndEmpty(campaign, disk)
                finally:
                    campaign.close()
                    print(campaign.relay.log)
        except CannotMount as error:
            pytest.skip(str(error))
        verdict = campaign.groups[0].book.verdict()
        assert not any(verdict.faults.values()), verdict
        assert campaign.relay.problems == []
        assert campaign.relay.complaints() == []

    asyncio.run(scenario())
