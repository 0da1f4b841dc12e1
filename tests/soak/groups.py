"""``python -m tests.soak.groups``: many groups whose only master vanishes in the same second.

No RTU may lose its connection over it, and no event may be lost; figures are printed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from mm2ss.config.parameters import LinkParameters
from mm2ss.iec104.link import State
from tests.soak.campaign import Campaign, Group, until
from tests.soak.masters import MasterConnection
from tests.soak.relay import endInOrder
from tests.soak.settings import Settings

#: Descriptors for each group in this process (listening port, RTU, master, two kept ports), and
#: for everything else.
_DESCRIPTORS, _OTHERS = 5, 300
#: Things that are done at once at most.
_AT_ONCE = 50
#: Seconds that any step may take.
_PATIENCE = 180.0
#: Events of each RTU: at first, unacknowledged when the masters vanish, and afterwards.
_BEFORE, _OPEN, _AFTER = 12, 6, 20


class Crowd:
    """The groups, and what is measured.

    :param how: the masters vanish by ``rst``, ``fin``, or in ``silence``.
    :ivar figures: what is measured, by name.
    """

    def __init__(self, campaign: Campaign, how: str) -> None:
        self.figures: dict[str, Any] = {"groups": len(campaign.groups), "how": how}
        self._campaign = campaign
        self._groups = campaign.groups
        self._how = how
        self._masters: dict[str, MasterConnection] = {}

    async def run(self) -> bool:
        """All of it; whether nothing was lost."""
        relay = self._campaign.relay
        await _all(self._groups, lambda group: group.rtu.listen())
        begun = time.monotonic()
        relay.start()
        await until(lambda: all(group.rtu.connection for group in self._groups), "RTUs", _PATIENCE)
        self.figures["seconds until all RTUs are connected"] = _since(begun)
        begun = time.monotonic()
        for group in self._groups:
            group.rtu.produce(_BEFORE)
        await self._serve("m1")
        self.figures["seconds until all masters have all"] = _since(begun)
        self.figures["MiB before"] = round(relay.residentMiB(), 1)

        cpu = relay.cpuSeconds()
        await self._vanish()
        self.figures["CPU seconds of the relay for it"] = round(relay.cpuSeconds() - cpu, 2)
        self.figures["MiB after"] = round(relay.residentMiB(), 1)
        self.figures["KiB of state"] = relay.stateBytes() // 1024

        begun = time.monotonic()
        self._masters.clear()
        await self._serve("m2")
        self.figures["seconds until new masters have all"] = _since(begun)
        return self._judge()

    async def _serve(self, name: str) -> None:
        """A master for each group, until each has everything; one that is disconnected returns."""
        deadline = time.monotonic() + _PATIENCE
        masters = self._masters
        while groups := [g for g in self._groups if g.book.outstanding or g.rtu.backlog]:
            if time.monotonic() > deadline:
                for line in groups[0].trace.lines(groups[0].name)[-20:]:
                    print(line)
                raise AssertionError(f"{len(groups)} groups do not get everything, as this one")
            absent = [g for g in groups if g.name not in masters or masters[g.name].closed]
            joined = await _all(absent, lambda group: group.join(name, _PATIENCE))
            masters |= {g.name: master for g, master in zip(absent, joined, strict=True)}
            await asyncio.sleep(0.1)

    async def _vanish(self) -> None:
        """All masters at once, while each RTU has unacknowledged events and makes new ones."""
        for master in self._masters.values():
            master.hold(True)
        for group in self._groups:
            group.rtu.produce(_OPEN)
        await asyncio.sleep(1)
        begun = time.monotonic()
        for master in self._masters.values():
            if self._how == "silence":
                master.freeze()
            elif self._how == "rst":
                master.die()
            else:
                master.leave()
        self.figures["seconds to vanish"] = _since(begun)
        for group in self._groups:
            group.rtu.produce(_AFTER)
        quiet: dict[str, float] = {}

        def allQuiet() -> bool:
            for group in self._groups:
                connection = group.rtu.connection
                if group.name not in quiet and connection and connection.isIn(State.STOPPED):
                    quiet[group.name] = time.monotonic() - begun
            return len(quiet) == len(self._groups)

        await until(allQuiet, "every RTU is stopped, and acknowledged what it sent", _PATIENCE)
        times = sorted(quiet.values())
        self.figures["seconds until an RTU is stopped (median)"] = round(
            statistics.median(times), 2
        )
        self.figures["seconds until an RTU is stopped (longest)"] = round(times[-1], 2)
        held = [group.book.outstanding - group.rtu.backlog for group in self._groups]
        self.figures["events held by the relay"] = sum(held)
        self.figures["events kept by the RTUs"] = sum(g.rtu.backlog for g in self._groups)
        for master in self._masters.values():
            master.die()

    def _judge(self) -> bool:
        faults = dict.fromkeys(("lost", "far", "reordered", "holes", "altered"), 0)
        for group in self._groups:
            for name, count in group.book.verdict().faults.items():
                faults[name] += count
        faults["RTU links lost"] = sum(g.rtu.figures["connections"] - 1 for g in self._groups)
        faults["relay"] = len(self._campaign.relay.problems)
        faults["relay log"] = len(self._campaign.relay.complaints())
        self.figures["events"] = sum(group.book.produced for group in self._groups)
        self.figures["repeated"] = sum(group.book.verdict().near for group in self._groups)
        self.figures.update(faults)
        return not any(faults.values())


async def _all(groups: Sequence[Group], work: Callable[[Group], Awaitable[Any]]) -> list[Any]:
    """Do something for all groups, not too many at once."""
    limit = asyncio.Semaphore(_AT_ONCE)

    async def one(group: Group) -> Any:
        async with limit:
            return await work(group)

    return await asyncio.gather(*(one(group) for group in groups))


def _since(begun: float) -> float:
    return round(time.monotonic() - begun, 2)


def possible(groups: int) -> int:
    """How many groups the limit of descriptors lets this process have; raises it if it can."""
    if sys.platform != "win32":
        import resource  # there is none on Windows

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            soft = hard
        except (OSError, ValueError):
            pass
        most = (soft - _OTHERS) // _DESCRIPTORS
        if most < groups:
            print(f"{soft} file descriptors are enough for {most} groups only (ulimit -n)")
            return most
    return groups


def measure(groups: int, how: str, ackMode: str, folder: Path) -> tuple[bool, dict[str, Any]]:
    """One run: whether nothing was lost, and the figures."""
    times = LinkParameters()
    settings = Settings(seed=1, groups=groups, masters=0, ackMode=ackMode, rtu=times, master=times)
    campaign = Campaign(settings, folder / "relay")
    crowd = Crowd(campaign, how)

    async def run() -> bool:
        try:
            return await crowd.run()
        finally:
            campaign.close()

    return asyncio.run(run()), crowd.figures


def main() -> int:
    """Measure each way to vanish, print the figures, tell the result by the exit status."""
    endInOrder()
    parser = argparse.ArgumentParser(prog="python -m tests.soak.groups", description=__doc__)
    add = parser.add_argument
    add("--groups", type=int, default=2000, help="%(default)s")
    add("--how", choices=("rst", "fin", "silence"), nargs="*", default=["rst", "silence"])
    modes = ("through", "immediate")
    add("--ack-mode", choices=modes, default=modes[0], help="%(default)s")
    add("--json", help="write the figures into this file, too")
    arguments = parser.parse_args()
    groups = possible(arguments.groups)
    results = []
    good = True
    for how in arguments.how:
        with tempfile.TemporaryDirectory(prefix="mm2ss-groups-") as folder:
            fine, figures = measure(groups, how, arguments.ack_mode, Path(folder))
        good = good and fine
        results.append(figures)
        print("\n".join(f"  {name:<50}{value!s:>12}" for name, value in figures.items()))
        print("GOOD" if fine else "BAD", flush=True)
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(results, indent=1) + "\n", "utf-8")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
