"""What goes wrong on purpose: the relay is killed, lines are cut, masters stay away."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from random import Random
from typing import Protocol

from tests.soak.checker import Book
from tests.soak.relay import RelayProcess
from tests.soak.rtu import Rtu
from tests.soak.trace import Trace

#: Seconds to wait for a moment to kill at before it is done anyway.
_PATIENCE = 4.0


class Victims(Protocol):
    """A group, as far as things are done to it."""

    rtu: Rtu
    book: Book
    absentUntil: float
    crowd: int

    @property
    def mastersAtMost(self) -> int:
        """How many masters there can be."""

    def stall(self, seconds: float) -> None:
        """No master acknowledges anything for so long."""

    def desert(self) -> None:
        """All its masters drop their connections."""


class Chaos:
    """Kills and cuts.

    :param pace: what pauses are multiplied with.
    :ivar figures: what was done, by name.
    """

    def __init__(
        self,
        relay: RelayProcess,
        groups: Sequence[Victims],
        random: Random,
        trace: Trace,
        pace: float,
    ) -> None:
        self.figures: Counter[str] = Counter()
        self._relay = relay
        self._groups = groups
        self._random = random
        self._trace = trace
        self._pace = pace
        self._moment = ""
        self._reached = asyncio.Event()
        self._act: Callable[[], object] | None = None

    @property
    def kills(self) -> int:
        """How often the relay was killed."""
        return self.figures["kills"]

    def hook(self, moment: str) -> None:
        """Something happened at which the relay might be killed; perhaps this is when it is."""
        if moment == self._moment:
            self._moment = ""
            act, self._act = self._act, None
            if act is not None:
                act()
            self._reached.set()

    async def killing(self, count: int, stop: asyncio.Event) -> None:
        """Kill the relay so often, each time in another way, and start it again."""
        ways = {
            self._anyTime: 12,
            self._afterFreeing: 14,
            self._afterFreeingEarly: 20,
            self._afterAcknowledging: 16,
            self._afterSending: 6,
            self._whileStarting: 16,
            self._whenRtuIsUp: 6,
            self._afterDeparture: 14,
        }
        while self.kills < count and not stop.is_set():
            (way,) = self._random.choices(list(ways), list(ways.values()))
            await way()
            await asyncio.sleep(self._random.choice((0.0, 0.0, 0.1, 1.0)) * self._pace)
            self._start()
            if self._random.random() < 0.1:
                await self._otherwise()
        stop.set()

    async def cutting(self, group: Victims, stop: asyncio.Event) -> None:
        """Cut the RTU's line now and then; let all masters stay away now and then."""
        random = self._random
        while not stop.is_set():
            await asyncio.sleep(random.uniform(1, 6) * self._pace)
            while group.rtu.connection is None and not stop.is_set():
                await asyncio.sleep(0.02)
            await asyncio.sleep(random.choice((0.0, 0.1, 0.5)))
            group.crowd = random.choice((1, 1, 2, group.mastersAtMost))
            what = random.random()
            if what < 0.2:
                self.figures["stalled"] += 1
                group.stall(random.uniform(1, 6))
                continue
            if what < 0.4:
                self.figures["deserted"] += 1
                self._trace.add("relay: all masters stay away")
                group.absentUntil = time.monotonic() + random.uniform(1, 5)
                group.desert()
                continue
            group.rtu.cut(random.choice(("fin", "rst", "rst", "silent")))
            if what > 0.85:
                group.rtu.refuse()
                await asyncio.sleep(random.uniform(0.2, 2))
                await group.rtu.listen()

    # -- ways to kill -----------------------------------------------------------------------

    async def _anyTime(self) -> None:
        await self._serving()
        self._kill("any time")

    async def _afterFreeing(self) -> None:
        await self._serving()
        await self._at("freed", "after the RTU was acknowledged", self._instant())

    async def _afterFreeingEarly(self) -> None:
        """What no master has acknowledged is given to the relay; soon it must be on its disk."""
        await self._serving()
        for group in self._groups:
            group.stall(self._random.uniform(2, 6))
        await self._at("freed early", "after the RTU was acknowledged early", self._instant())

    async def _afterAcknowledging(self) -> None:
        await self._serving()
        await self._at("acknowledging", "after a master acknowledged", self._instant())

    async def _afterSending(self) -> None:
        await self._serving()
        await self._at("sent", "after the RTU sent", self._instant())

    async def _whenRtuIsUp(self) -> None:
        await self._at("rtu up", "when the RTU was connected", self._random.uniform(0, 0.1))

    async def _whileStarting(self) -> None:
        await asyncio.sleep(self._random.uniform(0.05, 1.5))
        self._kill("while starting")

    async def _afterDeparture(self) -> None:
        await self._serving()
        for group in self._groups:
            group.absentUntil = time.monotonic() + self._random.uniform(0.1, 2)
            group.desert()
        await asyncio.sleep(self._random.choice((0.0, 0.005, 0.05, 0.3)))
        self._kill("after the masters left")

    async def _otherwise(self) -> None:
        """Not a kill: an orderly restart, or a pause of the whole process."""
        await self._serving()
        if self._random.random() < 0.5:
            self.figures["restarts"] += 1
            self._trace.add("relay terminate")
            await asyncio.get_running_loop().run_in_executor(None, self._relay.terminate)
            self._start()
        else:
            self.figures["pauses"] += 1
            self._trace.add("relay paused")
            self._relay.pause(True)
            await asyncio.sleep(self._random.uniform(0.1, 5))
            self._relay.pause(False)

    # -- helpers ----------------------------------------------------------------------------

    def _start(self) -> None:
        if not self._relay.running:
            self._relay.start()
            self._trace.add("relay start")

    def _kill(self, how: str) -> None:
        if self._relay.kill():
            self._trace.add(f"relay killed {how}")
            self.figures["kills"] += 1
            self.figures[f"kill {how}"] += 1

    def _instant(self) -> float:
        """Seconds between a moment and the kill: none at all, a few microseconds, longer."""
        return self._random.choice((-1.0, 0.0, self._random.uniform(0, 0.005), 0.05, 0.15))

    async def _serving(self) -> None:
        """Wait until the relay has a connection to an RTU, then for a while."""
        deadline = time.monotonic() + 2 * _PATIENCE
        while time.monotonic() < deadline and all(g.rtu.connection is None for g in self._groups):
            await asyncio.sleep(0.02)
            self._start()
        await asyncio.sleep(self._random.uniform(0.1, 3) * self._pace)

    async def _at(self, moment: str, how: str, delay: float) -> None:
        """Kill so long after the next such moment; below 0 from within it."""
        self._reached.clear()
        self._moment = moment
        self._act = (lambda: self._kill(how)) if delay < 0 else None
        try:
            await asyncio.wait_for(self._reached.wait(), _PATIENCE)
        except (TimeoutError, asyncio.TimeoutError):  # two classes before Python 3.11
            self._moment = ""
            self._act = None
            self._kill("any time")
            return
        if delay >= 0:
            await asyncio.sleep(delay)
            self._kill(how)
