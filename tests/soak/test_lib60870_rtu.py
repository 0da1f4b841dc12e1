"""An RTU made by others keeps what was not acknowledged: a dead relay loses none of it."""

from __future__ import annotations

import asyncio
import json
import sys
from functools import partial
from pathlib import Path

import pytest

from tests.interop.waiting import PATIENCE, ROOT, RTU_IP
from tests.soak.campaign import Campaign, Group, until
from tests.soak.settings import Settings

pytestmark = [pytest.mark.interop, pytest.mark.xdist_group("interop")]


class LibraryRtu:
    """lib60870's server in a process; its events are booked as sent when they are made."""

    def __init__(self, group: Group, process: asyncio.subprocess.Process) -> None:
        self._group = group
        self._process = process

    @classmethod
    async def start(cls, group: Group) -> LibraryRtu:
        """Start it at the place of the group's own RTU."""
        options = {"ip": RTU_IP, "port": group.rtuPort, "parameters": {"k": 12, "w": 8, "t1": 4}}
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.soak.lib60870rtu",
            json.dumps(options),
            cwd=ROOT,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        return cls(group, process)

    async def produce(self, count: int) -> int:
        """Make events; how many wait in its queue then."""
        book = self._group.book
        for _ in range(count):
            book.sent(book.produce())
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(f"{book.produced - count + 1} {book.produced}\n".encode())
        waiting = int(await asyncio.wait_for(self._process.stdout.readline(), PATIENCE))
        for number in range(book.freedCount + 1, book.produced - waiting + 1):
            book.freed(number)
        return waiting

    async def lost(self) -> None:
        """The relay has died: what waits in its queue it will send again."""
        book = self._group.book
        waiting = await self.produce(0)
        for number in range(book.produced - waiting + 1, book.produced + 1):
            book.sent(number)
        book.rtuEnded()

    async def close(self) -> None:
        """End it."""
        self._process.kill()
        await self._process.communicate()


async def keepsEvents(campaign: Campaign) -> None:
    """Events before, during and after the relay's death; each time some unacknowledged."""
    (group,) = campaign.groups
    book = group.book
    rtu = await LibraryRtu.start(group)
    try:
        for _ in range(3):
            campaign.relay.start()
            master = await group.join("m1")
            await rtu.produce(100)
            await until(lambda: not book.outstanding, "all is acknowledged")

            master.hold(True)
            delivered = book.delivered
            await rtu.produce(40)
            await until(partial(book.isBeyond, delivered), "more arrives")
            campaign.relay.kill()
            await rtu.lost()
            assert await rtu.produce(200) >= 200, "they wait at the RTU"
            assert book.outstanding == 240
            campaign.relay.start()
            await group.join("m2")
            await until(lambda: not book.outstanding, "what was held at the RTU has come")
            campaign.relay.kill()
            await rtu.lost()
    finally:
        await rtu.close()


@pytest.mark.parametrize("journal", [True, False], ids=["journal", "none"])
def test_eventsOfALibraryRtuArrive(tmp_path: Path, journal: bool) -> None:
    """What happens while the relay is dead, and what was unacknowledged when it died, arrives."""

    async def scenario() -> None:
        campaign = Campaign(Settings(seed=1, journal=journal), tmp_path / "relay")
        try:
            await keepsEvents(campaign)
        finally:
            campaign.close()
            print(campaign.relay.log)
        verdict = campaign.groups[0].book.verdict()
        assert not any(verdict.faults.values()), verdict
        assert verdict.produced == 3 * 340
        assert campaign.relay.complaints() == []

    asyncio.run(scenario())
