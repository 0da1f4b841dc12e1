"""The kill campaign: chaos for a while, then a good master drains all, then the books are read."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random

from tests.interop.waiting import RTU_IP, Ports
from tests.soak.chaos import Chaos
from tests.soak.checker import Book
from tests.soak.masters import Master, MasterConnection
from tests.soak.relay import RelayProcess
from tests.soak.report import GroupResult, Report
from tests.soak.rtu import Rtu
from tests.soak.settings import Settings, groupRow, serviceFile
from tests.soak.shards import Shards
from tests.soak.trace import Trace

#: Seconds that the good master has at the end; without anything new for so long it gives up.
DRAIN_TIME = 90.0
QUIET_TIME = 12.0
#: Seconds that the relay may take to open a group's port.
JOIN_TIME = 40.0
#: Seconds in which the campaign looks whether a master that comes after all is given nothing.
AFTERWARDS = 2.0


async def until(condition: Callable[[], bool], what: str, seconds: float = JOIN_TIME) -> None:
    """Wait for something.

    :raises AssertionError: when it does not happen in time.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        await asyncio.sleep(0.02)


class Group:
    """An RTU and its masters.

    :ivar absentUntil: monotonic second until which the masters stay away.
    :ivar stalledUntil: monotonic second until which no master acknowledges anything.
    :ivar crowd: how many masters at most make new connections.
    """

    def __init__(self, number: int, ports: Ports, campaign: Campaign) -> None:
        settings = campaign.settings
        self.name = f"g{number} "
        self.port = ports.take()
        self.rtuPort = ports.take()
        self.trace = campaign.trace
        self.parameters = settings.master
        self.book = Book(max(settings.rtu.k, settings.master.k))
        self._campaign = campaign
        self.absentUntil = self.stalledUntil = 0.0
        self.mastersAtMost = self.crowd = settings.masters
        self.row = groupRow(number, self.port, self.rtuPort, settings)
        self.rtu = Rtu(
            self.name, (RTU_IP, self.rtuPort), self.book, settings.rtu, self.trace, campaign.hook
        )
        self.masters = [
            Master(
                self,
                f"m{index}",
                Random(f"{settings.seed}/{number}/{index}"),
                settings.pace,
                index,
            )
            for index in range(1, settings.masters + 1)
        ]
        self._commands = 0

    def nextCommand(self) -> int:
        """A number that no command had before."""
        self._commands += 1
        return self._commands

    def hook(self, moment: str) -> None:
        """Something happened at which the relay might be killed."""
        self._campaign.hook(moment)

    def desert(self) -> None:
        """All masters drop their connections."""
        for master in self.masters:
            master.leaveNow()

    def stall(self, seconds: float) -> None:
        """No master acknowledges anything for so long."""
        self.stalledUntil = time.monotonic() + seconds
        for master in self.masters:
            master.stallNow(seconds)

    async def join(self, name: str, seconds: float = JOIN_TIME) -> MasterConnection:
        """A master that behaves connects and starts, as soon as the port is open.

        :raises AssertionError: when it is not open in time.
        """
        master = Master(self, name, Random(0))
        self.masters.append(master)
        deadline = time.monotonic() + seconds
        while (connection := await master.connect()) is None:
            assert time.monotonic() < deadline, f"port {self.port} is not open"
            await asyncio.sleep(0.05)
        connection.start()
        return connection

    async def drain(self, name: str, seconds: float, quiet: float) -> bool:
        """A good master takes all there is; whether that was everything.

        :param seconds: after which it stops at the latest.
        :param quiet: seconds without any progress after which it stops as well.
        """
        deadline = time.monotonic() + seconds
        connection: MasterConnection | None = None
        before: tuple[int, ...] = ()
        changed = time.monotonic()
        while (now := time.monotonic()) < deadline and now - changed < quiet:
            if not self.book.outstanding and not self.rtu.backlog:
                break
            if connection is None or connection.closed:
                try:
                    connection = await self.join(name)
                except AssertionError:
                    break
            state = (self.book.outstanding, self.rtu.backlog, self.book.delivered)
            if state != before or self.rtu.connection is None:
                before, changed = state, now
            await asyncio.sleep(0.05)
        await asyncio.sleep(1.0)
        if connection is not None:
            connection.leave()
        return not self.book.outstanding and not self.rtu.backlog

    def result(self, drained: bool) -> GroupResult:
        """What the books say."""
        figures: Counter[str] = Counter()
        problems = list(self.rtu.problems)
        for master in self.masters:
            figures += master.figures
            problems += master.problems
        twice = sum(count > 1 for count in self.rtu.executed.values())
        verdict = self.book.verdict()
        traces = {
            number: self.trace.about(self.name, number)
            for number in [*verdict.lost[:3], *verdict.suspects[:3]]
        }
        return GroupResult(
            self.name.strip(), verdict, drained, twice, self.rtu.figures, figures, problems, traces
        )


class Campaign:
    """One run.

    :param settings: what it is to be.
    :param folder: for the relay's files.
    """

    def __init__(self, settings: Settings, folder: Path) -> None:
        self.settings = settings
        self.trace = Trace()
        self._ports = Ports()
        self._chaos: Chaos | None = None
        self.groups = [Group(number, self._ports, self) for number in range(1, settings.groups + 1)]
        files = (
            [group.row for group in self.groups],
            serviceFile(settings.ackMode, settings.journal, settings.options),
        )
        self.relay = RelayProcess(folder, *files)
        if settings.shards > 1:
            numbers = range(1, settings.groups + 1)
            chances = Random(f"{settings.seed}/shards")
            self.relay = Shards(folder, *files, numbers, settings.shards, chances)

    def hook(self, moment: str) -> None:
        """Something happened at which the relay might be killed."""
        if self._chaos is not None:
            self._chaos.hook(moment)

    async def run(self) -> Report:
        """All of it; ends whatever it started."""
        begun = time.monotonic()
        settings = self.settings
        random = Random(settings.seed)
        chaos = self._chaos = Chaos(self.relay, self.groups, random, self.trace, settings.pace)
        try:
            for group in self.groups:
                await group.rtu.listen()
            self.relay.start()
            await self._storm(chaos, random)
            drained, seconds = await self._drain()
            await self._afterwards()
        finally:
            self.close()
        return Report(
            settings,
            time.monotonic() - begun,
            seconds,
            chaos.figures + self.relay.figures,
            [group.result(ok) for group, ok in zip(self.groups, drained, strict=True)],
            self.relay.problems,
            self.relay.complaints(),
            self.relay.starts,
        )

    def close(self) -> None:
        """End whatever still runs."""
        self.relay.close()
        for group in self.groups:
            group.rtu.close()
            for master in group.masters:
                master.close()
        self._ports.close()

    async def _storm(self, chaos: Chaos, random: Random) -> None:
        """Chaos, until the kills or the seconds are used up."""
        settings = self.settings
        stop = asyncio.Event()
        tasks = [asyncio.ensure_future(chaos.killing(settings.kills, stop))]
        for group in self.groups:
            own = Random(random.random())
            tasks.append(asyncio.ensure_future(group.rtu.live(own, stop, settings.rate)))
            tasks.append(asyncio.ensure_future(chaos.cutting(group, stop)))
            tasks += [asyncio.ensure_future(master.live(stop)) for master in group.masters]
        if settings.seconds:
            asyncio.get_running_loop().call_later(settings.seconds, stop.set)
        try:
            await stop.wait()
            # Everybody looks at it between two things that he does; nobody is waited for long.
            await asyncio.wait(tasks, timeout=3)
        finally:
            for task in tasks:
                task.cancel()
            for task in tasks:
                with contextlib.suppress(asyncio.CancelledError):
                    await task

    async def _drain(self) -> tuple[list[bool], float]:
        """No more chaos: everything that is still held anywhere must come."""
        begun = time.monotonic()
        self._chaos = None
        self.trace.add("relay: the drain begins")
        self.relay.pause(False)
        self.relay.start()
        for group in self.groups:
            await group.rtu.listen()
            group.stalledUntil = 0
            for master in group.masters:
                master.close()
        drained = await asyncio.gather(
            *(group.drain("drain", DRAIN_TIME, QUIET_TIME) for group in self.groups)
        )
        return drained, time.monotonic() - begun

    async def _afterwards(self) -> None:
        """The relay is restarted in order: a master that comes now must be given nothing."""
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, self.relay.terminate)
        self.trace.add("relay: restarted after the drain")
        self.relay.start()
        for group in self.groups:
            try:
                await group.join("late")
            except AssertionError as error:
                self.relay.problems.append(f"after an orderly restart: {error}")
        await asyncio.sleep(AFTERWARDS)
        await loop.run_in_executor(None, self.relay.terminate)
