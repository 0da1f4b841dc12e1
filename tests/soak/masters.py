"""Masters that come and go, stall, stop and vanish; and one that behaves."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from random import Random
from typing import Protocol

from mm2ss.config.parameters import LinkParameters
from mm2ss.iec104.link import LinkEvent, Received, Role, Started, State, Stopped
from tests.soak import events
from tests.soak.checker import Book, Connection
from tests.soak.station import TIMEOUTS, StationConnection
from tests.soak.trace import Trace

#: Seconds that a master which vanished in silence leaves its socket.
_GRAVE_TIME = 20.0
#: Seconds to wait for a confirmation of start and stop.
_PATIENCE = 6.0


class Scene(Protocol):
    """What the masters of a group have in common."""

    name: str
    port: int
    book: Book
    trace: Trace
    parameters: LinkParameters
    absentUntil: float
    stalledUntil: float
    crowd: int

    def hook(self, moment: str) -> None:
        """Something happened at which the relay might be killed."""

    def nextCommand(self) -> int:
        """A number that no command had before."""


class MasterConnection(StationConnection):
    """One connection of a master to the relay."""

    role = Role.CONTROLLING

    def __init__(self, scene: Scene, master: Master, delay: float) -> None:
        super().__init__(scene.parameters, releaseDelay=delay)
        self.name = f"{scene.name} {master.name}"
        self.started = asyncio.Event()
        self.stopped = asyncio.Event()
        self._scene = scene
        self._master = master
        self._book: Connection | None = None  # from STARTDT on

    @property
    def bookings(self) -> Connection:
        """What it brought; there is nothing before STARTDT."""
        assert self._book is not None
        return self._book

    def start(self) -> None:
        """Send STARTDT act."""
        if self._book is None:
            self._book = self._scene.book.opened(self._master.name)
            self.name = f"{self._scene.name} {self._book.name}"
        else:
            self._book.restarted()
        self._scene.trace.add(f"{self.name} start")
        if time.monotonic() < self._scene.stalledUntil:
            self.stall(self._scene.stalledUntil - time.monotonic())
        self.link.start(self.now())
        self.flush()

    def stop(self) -> None:
        """Send STOPDT act."""
        self.stopped.clear()
        self._scene.trace.add(f"{self.name} stop")
        self.link.stop(self.now())
        self.flush()

    def stall(self, seconds: float) -> None:
        """Acknowledge nothing for so long."""
        self._scene.trace.add(f"{self.name} stalls")
        self.hold(True)
        asyncio.get_running_loop().call_later(seconds, self.hold, False)

    def ask(self, asdu: bytes) -> bool:
        """Send a request if there is room; whether there was."""
        room = not self.closed and self.link.window > 0
        if room:
            self.send([asdu])
        return room

    def happened(self, events: list[LinkEvent]) -> None:
        for event in events:
            if isinstance(event, Received):
                self._take(event.asdus)
            elif isinstance(event, Started):
                self.started.set()
            elif isinstance(event, Stopped):
                self._scene.trace.add(f"{self.name} stopped")
                self.stopped.set()

    def _take(self, asdus: list[bytes]) -> None:
        book = self._book
        assert book is not None, "data before STARTDT"
        numbers = []
        for asdu in asdus:
            try:
                numbers.append(events.numberOf(asdu))
            except ValueError as error:
                numbers.append(0)
                self._scene.book.altered(str(error))
            if asdu[0] == events.SETPOINT and asdu[2] & 0x3F == events.CONFIRMATION:
                confirmed = "commands confirmed" if asdu[2] < 0x40 else "commands refused"
                self._master.figures[confirmed] += 1
        self._scene.trace.numbers(f"{self.name} got", numbers)
        for number in numbers:
            book.received(number)

    def acknowledging(self, count: int) -> None:
        if self._book is not None:
            self._scene.trace.numbers(f"{self.name} acknowledges", self._book.unacknowledged(count))
            self._book.acknowledged(count)
            self._scene.hook("acknowledging")

    def down(self) -> None:
        self._scene.trace.add(f"{self.name} down")
        if self._book is not None:
            self._book.ended()
        if self.cause is not None:
            self._master.figures[f"gave up: {self.cause.value}"] += 1
            if self.cause not in TIMEOUTS:
                text = f"{self.name}: {self.cause.value} {self.detail}"
                self._master.problems.append(text)


class Master:
    """A master: one connection after the other, each with a fate of its own.

    :param pace: what its pauses are multiplied with.
    :param rank: it does not connect while fewer masters than that are wanted.
    :ivar figures: what it did, by name.
    :ivar problems: where the relay broke the protocol.
    """

    def __init__(
        self, scene: Scene, name: str, random: Random, pace: float = 1.0, rank: int = 1
    ) -> None:
        self.name = name
        self.figures: Counter[str] = Counter()
        self.problems: list[str] = []
        self._scene = scene
        self._random = random
        self._pace = pace
        self._rank = rank
        self._current: MasterConnection | None = None
        self._vanished: list[tuple[float, MasterConnection]] = []

    async def live(self, stop: asyncio.Event) -> None:
        """Connect and disconnect until told to stop."""
        fates = {
            self._good: 40,
            self._stalls: 15,
            self._freezes: 8,
            self._vanishes: 8,
            self._stops: 18,
            self._idles: 4,
            self._chops: 7,
        }
        while not stop.is_set():
            pause = self._random.choice((0.0, 0.05, 0.3, 1.5)) * self._pace
            await asyncio.sleep(max(pause, self._scene.absentUntil - time.monotonic()))
            if self._rank > self._scene.crowd:
                await asyncio.sleep(0.1)
                continue
            connection = await self.connect()
            if connection is None:
                await asyncio.sleep(0.05)
                continue
            (fate,) = self._random.choices(list(fates), list(fates.values()))
            self.figures[f"master {fate.__name__[1:]}"] += 1
            await fate(connection)
            self._bury(connection.now())
        if self._current is not None:
            self._current.die()

    async def connect(self) -> MasterConnection | None:
        """A new connection, data transfer not started; None when it is refused."""
        delay = self._random.choice((0.0, 0.02, 0.1, 0.5, 1.0))
        loop = asyncio.get_running_loop()
        try:
            _, connection = await loop.create_connection(
                lambda: MasterConnection(self._scene, self, delay),
                "127.0.0.1",
                self._scene.port,
                local_addr=("127.0.0.1", 0),
            )
        except OSError:
            return None
        self._current = connection
        self.figures["master connections"] += 1
        return connection

    def stallNow(self, seconds: float) -> None:
        """Acknowledge nothing for so long, whatever it is doing."""
        if self._current is not None:
            self._current.stall(seconds)

    def leaveNow(self) -> None:
        """Drop the connection, whatever it is doing."""
        if self._current is not None:
            self._current.die()

    def close(self) -> None:
        """End of the campaign."""
        self.leaveNow()
        for _, connection in self._vanished:
            connection.die()

    # -- fates ------------------------------------------------------------------------------

    async def _good(self, connection: MasterConnection) -> None:
        """Does all as it should, and leaves with FIN or RST."""
        connection.start()
        await self._work(connection, self._some(0.2, 6))
        self._goAway(connection)

    async def _chops(self, connection: MasterConnection) -> None:
        """Is there for a moment only."""
        connection.start()
        await _gone(connection, self._random.expovariate(30))
        self._goAway(connection)

    async def _stalls(self, connection: MasterConnection) -> None:
        """Reads and does not acknowledge, for a while or until it is cut."""
        connection.start()
        await self._work(connection, self._random.choice((0.0, 1.0)))
        connection.hold(True)
        await _gone(connection, self._random.uniform(0.2, 8))
        if self._random.random() < 0.5:
            connection.hold(False)
            await self._work(connection, self._some(0, 2))
        self._goAway(connection)

    async def _freezes(self, connection: MasterConnection) -> None:
        """Does not even read for a while."""
        connection.start()
        await self._work(connection, self._some(0, 2))
        connection.freeze()
        await asyncio.sleep(self._random.uniform(0.5, 6))
        connection.freeze(False)
        await self._work(connection, self._some(0, 2))
        self._goAway(connection)

    async def _vanishes(self, connection: MasterConnection) -> None:
        """Is gone without a word: its socket stays open, nobody is there."""
        connection.start()
        await self._work(connection, self._some(0, 3))
        connection.freeze()
        self._vanished.append((connection.now() + _GRAVE_TIME, connection))

    async def _stops(self, connection: MasterConnection) -> None:
        """Stops data transfer, perhaps starts it again, perhaps leaves at once."""
        connection.start()
        await self._work(connection, self._some(0, 2))
        for _ in range(self._random.randint(1, 3)):
            if not connection.isIn(State.STARTED):
                break
            connection.stop()
            if self._random.random() < 0.3:
                break
            await _either(connection.stopped, connection.lost, _PATIENCE)
            await _gone(connection, self._random.choice((0.0, 0.01, 0.3)))
            if not connection.isIn(State.STOPPED):
                break
            connection.started.clear()
            connection.start()
            await self._work(connection, self._some(0, 2))
        self._goAway(connection)

    async def _idles(self, connection: MasterConnection) -> None:
        """Connects and never starts."""
        await _gone(connection, self._some(0, 2))
        self._goAway(connection)

    # -- helpers ----------------------------------------------------------------------------

    def _some(self, least: float, most: float) -> float:
        """Seconds by chance and pace."""
        return self._random.uniform(least, most) * self._pace

    async def _work(self, connection: MasterConnection, seconds: float) -> None:
        """Be a good master for so long, with a request now and then."""
        end = connection.now() + seconds
        await _either(connection.started, connection.lost, min(seconds, _PATIENCE))
        while not connection.closed and (rest := end - connection.now()) > 0:
            chance = self._random.random()
            if chance < 0.3:
                number = self._scene.nextCommand()
                self.figures["commands"] += connection.ask(events.command(number))
            elif chance < 0.4:
                self.figures["interrogations"] += connection.ask(events.interrogation())
            await _gone(connection, min(rest, self._random.uniform(0.05, 0.8)))

    def _goAway(self, connection: MasterConnection) -> None:
        (connection.leave if self._random.random() < 0.5 else connection.die)()

    def _bury(self, now: float) -> None:
        for when, connection in self._vanished:
            if now > when:
                connection.die()
        self._vanished = [grave for grave in self._vanished if now <= grave[0]]


async def _gone(connection: StationConnection, seconds: float) -> None:
    """Wait so long, or until the connection is lost."""
    try:
        await asyncio.wait_for(connection.lost.wait(), seconds)
    except (TimeoutError, asyncio.TimeoutError):  # two different classes before Python 3.11
        pass


async def _either(one: asyncio.Event, other: asyncio.Event, seconds: float) -> None:
    """Wait for one of two events, so long at most."""
    waiting = [asyncio.ensure_future(event.wait()) for event in (one, other)]
    _, pending = await asyncio.wait(waiting, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
