"""Fast masters for measurements, as a process of its own: so many for each port.

    python -m tests.bench.fastmaster '{"hosts": [["127.0.0.1", 2404]], "each": 5, "k": 12, "w": 8}'

They know the octets that must come (`stream`), acknowledge each time that w frames have come, and
after t2. A connection that is refused or lost is tried again.
"""

from __future__ import annotations

import json
import sys
import time
from collections import deque
from typing import Any

from tests.bench.loop import Tool, traffic
from tests.bench.masterline import LIVE, LOST, Line
from tests.bench.stream import (
    GREETING,
    STARTDT_CON,
    Stream,
)

#: Seconds between two looks at who is to be connected again, and at what is to be acknowledged.
_CONNECT_TICK, _T2_TICK = 0.02, 0.5


class Masters(Tool):
    """All masters.

    :ivar shift: I frames that come before the RTU's first: 1 behind a relay, else 0.
    :ivar stream: what must come; its octets.
    :ivar welcome: the frame that shows that there is data transfer.
    :ivar roundTrips: of the commands, nanoseconds.
    :ivar gap: seconds between two commands.
    """

    def __init__(
        self,
        hosts: list[tuple[str, int]],
        each: int,
        k: int,
        w: int,
        shift: int = 1,
        t2: float = 10,
        retry: float = 0.5,
        mixed: bool = False,
    ) -> None:
        super().__init__()
        self.k, self.w, self.shift = k, w, shift
        self.stream = Stream(shift, mixed)
        self.expected = self.stream.octets
        self.welcome = GREETING if shift else STARTDT_CON
        self.roundTrips: list[int] = []
        self.gap = 0.0
        self._commands = 0
        self._mayLose = False
        self._t2, self._retry = t2, retry
        self._lines = [Line((ip, port), self) for ip, port in hosts for _ in range(each)]
        self._live = 0
        self._allLive = 0.0
        self._curve: list[tuple[float, int]] = []
        begun = time.monotonic()
        self._again = deque((begun, line) for line in self._lines)
        self.loop.every(_CONNECT_TICK, self._connect)
        self.loop.every(_T2_TICK, self._late)

    def live(self, line: Line) -> None:
        """A master has data transfer."""
        line.state = LIVE
        if self.shift:  # the greeting, too, is to be acknowledged
            line.since = time.monotonic()
        self._live += 1
        if self._live == len(self._lines):
            self._allLive = time.monotonic()

    def lost(self, line: Line) -> None:
        """A connection ended or was refused."""
        if line.state == LIVE:
            self._live -= 1
            if not self._mayLose:
                self.error(f"{line.host} closed the connection after {line.octets} octets")
        line.state = LOST
        line.socket = None
        self._again.append((time.monotonic() + self._retry, line))

    def _connect(self) -> None:
        """Connect who waits for it."""
        now = time.monotonic()
        again = self._again
        while again and again[0][0] <= now:
            again.popleft()[1].connect()
        if not self._curve or self._curve[-1][1] != self._live:
            self._curve.append((now, self._live))

    def _late(self) -> None:
        """Acknowledge what has waited for t2."""
        late = time.monotonic() - self._t2
        for line in self._lines:
            if line.since < late:
                line.acknowledgeAll()

    def next(self) -> None:
        """The next command, if there are more."""
        self.loop.every(0, self.next)
        if len(self.roundTrips) < self._commands:
            self._lines[0].ask()

    # -- orders -----------------------------------------------------------------------------

    def doStatus(self) -> dict[str, Any]:
        """How it stands."""
        return {
            "live": self._live,
            "of": len(self._lines),
            "allLive": self._allLive,
            "at": time.monotonic(),
            "received": sum(self.stream.frames(line.octets) for line in self._lines),
            "roundTrips": len(self.roundTrips),
            "errors": self.errors,
        }

    def doMayLose(self) -> dict[str, Any]:
        """From now on connections may be lost."""
        self._mayLose = True
        return {}

    def doFlush(self) -> dict[str, Any]:
        """Acknowledge all that has come."""
        for line in self._lines:
            line.acknowledgeAll()
        return {}

    def doCommands(self, count: int, gap: float) -> dict[str, Any]:
        """The first master sends so many commands, one after the other."""
        self._commands, self.gap = count, gap
        self.roundTrips = []
        self.next()
        return {}

    def doRoundTrips(self) -> dict[str, Any]:
        """Seconds from each command to its confirmation."""
        return {"seconds": [trip / 1e9 for trip in self.roundTrips]}

    def doStamp(self) -> dict[str, Any]:
        """Note from now on when events come."""
        for line in self._lines:
            line.times = []
        return {}

    def doTimes(self) -> dict[str, Any]:
        """When events came at each master."""
        return {"times": [line.times for line in self._lines]}

    def doCurve(self) -> dict[str, Any]:
        """How many had data transfer at what time."""
        return {"curve": self._curve}

    def doTraffic(self) -> dict[str, Any]:
        """What went over all lines."""
        return traffic(line.socket for line in self._lines)


if __name__ == "__main__":
    Masters(**json.loads(sys.argv[1])).serve()
