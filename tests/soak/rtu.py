"""An RTU that keeps its events until they are acknowledged, and sends them again if they are not.

What is acknowledged is gone for good: nobody can have it again, as with a real RTU.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable
from random import Random

from mm2ss.config.parameters import LinkParameters
from mm2ss.iec104.asdu import mirror
from mm2ss.iec104.link import Acknowledged, LinkEvent, Received, Role, Started
from tests.soak import events
from tests.soak.checker import Book
from tests.soak.station import TIMEOUTS, StationConnection
from tests.soak.trace import Trace

#: Events that wait at most before no new ones are made: so much a real RTU can keep.
BACKLOG_MAX = 3000
#: Points that answer an interrogation.
_POINTS = 15

Hook = Callable[[str], None]


class Rtu:
    """The station.

    :param name: of its group, for the trace.
    :param address: where it listens: IP address and port.
    :param book: where its events are booked.
    :param parameters: of its connections.
    :param hook: told of each moment at which something might be killed.
    :ivar figures: connections, cuts and so on, by what they are.
    """

    def __init__(
        self,
        name: str,
        address: tuple[str, int],
        book: Book,
        parameters: LinkParameters,
        trace: Trace,
        hook: Hook,
    ) -> None:
        self.name = name
        self.address = address
        self.book = book
        self.parameters = parameters
        self.trace = trace
        self.hook = hook
        self.waiting: deque[int] = deque()
        self.connection: RtuConnection | None = None
        self.figures: Counter[str] = Counter()
        self.problems: list[str] = []
        self.executed: Counter[int] = Counter()
        self._server: asyncio.Server | None = None

    @property
    def backlog(self) -> int:
        """Events that are not acknowledged."""
        return self.book.produced - self.book.freedCount

    @property
    def listening(self) -> bool:
        """Whether it takes connections."""
        return self._server is not None

    async def listen(self) -> None:
        """Take connections from now on."""
        if self._server is None:
            loop = asyncio.get_running_loop()
            self._server = await loop.create_server(
                lambda: RtuConnection(self), *self.address, reuse_address=True
            )

    def refuse(self) -> None:
        """Take no connections; the one that is there stays."""
        if self._server is not None:
            self._server.close()
            self._server = None

    def close(self) -> None:
        """End of the campaign."""
        self.refuse()
        if self.connection is not None:
            self.connection.die()

    def produce(self, count: int) -> None:
        """So many new events."""
        self.waiting.extend(self.book.produce() for _ in range(count))
        if self.connection is not None:
            self.connection.pump()

    def sendCyclic(self, value: int) -> None:
        """A frame that nobody misses."""
        if self.connection is not None:
            self.connection.other.append(events.cyclic(value))
            self.connection.pump()

    def cut(self, how: str) -> None:
        """The line breaks: by FIN, by RST, or in silence (nobody is told)."""
        connection = self.connection
        if connection is None:
            return
        self.figures[f"cut {how}"] += 1
        self.trace.add(f"{self.name} rtu cut {how}")
        if how == "silent":
            connection.freeze()  # what comes is not read; a new connection takes its place
        elif how == "rst":
            connection.die()
        else:
            connection.leave()

    async def live(self, random: Random, stop: asyncio.Event, rate: float) -> None:
        """Make events until told to stop: bursts, trickles, single ones, silence.

        :param rate: events a second, more or less.
        """
        while not stop.is_set():
            if self.backlog > BACKLOG_MAX:
                await asyncio.sleep(0.05)
                continue
            pattern = random.random()
            if pattern < 0.35:
                count = random.randint(1, 60)
                self.produce(count)
                await asyncio.sleep(count / rate)
            elif pattern < 0.7:
                for _ in range(random.randint(5, 40)):
                    self.produce(1)
                    await asyncio.sleep(random.expovariate(rate))
            elif pattern < 0.8:
                self.produce(count := random.randint(100, 400))
                await asyncio.sleep(count / rate)
            elif pattern < 0.9:
                self.produce(random.randint(1, 9))
                await asyncio.sleep(random.uniform(0.2, 3))
            else:
                for value in range(random.randint(1, 30)):
                    self.sendCyclic(value)
                    await asyncio.sleep(0.01)

    def cameUp(self, connection: RtuConnection) -> None:
        """The relay has connected; an older connection is dead, or was cut in silence."""
        if self.connection is not None:
            self.connection.giveUp()
            self.connection.die()
        self.connection = connection
        self.figures["connections"] += 1
        self.hook("rtu up")

    def wentDown(self, connection: RtuConnection) -> None:
        """A connection is gone: what was not acknowledged on it is sent again."""
        connection.giveUp()
        if connection.cause is not None:
            self.figures[f"gave up: {connection.cause.value}"] += 1
            if connection.cause not in TIMEOUTS:
                self.problems.append(f"RTU: {connection.cause.value} {connection.detail}")
        if self.connection is connection:
            self.connection = None


class RtuConnection(StationConnection):
    """A connection of the relay to the RTU."""

    role = Role.CONTROLLED

    def __init__(self, rtu: Rtu) -> None:
        super().__init__(rtu.parameters, releaseDelay=0.05)
        self.other: deque[bytes] = deque()
        self._rtu = rtu
        # The numbers of what was sent and is not acknowledged, 0 for what has none.
        self._flight: deque[int] = deque()
        self._confirmed = 0
        self._givenUp = False

    def up(self) -> None:
        self._rtu.trace.add(f"{self._rtu.name} rtu connected")
        self._rtu.cameUp(self)

    def down(self) -> None:
        self._rtu.trace.add(f"{self._rtu.name} rtu disconnected")
        self._rtu.wentDown(self)

    def giveUp(self) -> None:
        """Take back what was not acknowledged; from now on nothing that comes counts."""
        if not self._givenUp:
            self._givenUp = True
            again = [number for number in self._flight if number]
            self._rtu.waiting.extendleft(reversed(again))
            self._flight.clear()
            self._rtu.book.rtuEnded()

    def happened(self, events: list[LinkEvent]) -> None:
        if self._givenUp:
            return
        for event in events:
            if isinstance(event, Acknowledged):
                self._free(event.count)
            elif isinstance(event, Received):
                for asdu in event.asdus:
                    self._answer(asdu)
            elif isinstance(event, Started):
                self._rtu.trace.add(f"{self._rtu.name} rtu started")
        self.pump()

    def pump(self) -> None:
        """Send what waits as far as the window allows; answers first, then events in order."""
        room = 0 if self.closed or self._frozen or self._givenUp else self.link.window
        if not room:
            return
        rtu = self._rtu
        batch: list[bytes] = []
        numbers: list[int] = []
        while len(batch) < room and (self.other or rtu.waiting):
            if self.other:
                numbers.append(0)
                batch.append(self.other.popleft())
            else:
                numbers.append(rtu.waiting.popleft())
                batch.append(events.event(numbers[-1]))
        if not batch:
            return
        for number in numbers:
            if number:
                rtu.book.sent(number)
        self._flight.extend(numbers)
        rtu.trace.numbers(f"{rtu.name} rtu sent", numbers)
        self.send(batch)
        rtu.hook("sent")

    def _free(self, count: int) -> None:
        numbers = [self._flight.popleft() for _ in range(count - self._confirmed)]
        self._confirmed = count
        early = [self._rtu.book.freed(number) for number in numbers if number]
        self._rtu.trace.numbers(f"{self._rtu.name} rtu freed", numbers)
        self._rtu.hook("freed early" if any(early) else "freed")

    def _answer(self, asdu: bytes) -> None:
        """Answer a request; commands are counted."""
        self.other.append(mirror(asdu, events.CONFIRMATION))
        if asdu[0] == events.INTERROGATION:
            self.other.extend(events.interrogated(1000 + point) for point in range(_POINTS))
        else:
            number = int.from_bytes(asdu[6:9], "little")
            self._rtu.executed[number] += 1
        self.other.append(mirror(asdu, events.TERMINATION))
