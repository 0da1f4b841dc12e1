"""twistd with a look from outside: how late its event loop is, how long collections take, and how
many blocks of memory Python's objects have.

    python -m tests.bench.probe FILE [twistd's arguments]

The program that runs is the same. Before the loop starts, a heartbeat is put into it and a listener
to the garbage collector; what they saw stands in FILE when the process has ended. All is written
into rings of fixed size: the memory of the process does not grow by being watched.
"""

from __future__ import annotations

import gc
import json
import sys
import time
from array import array
from pathlib import Path
from typing import Any

#: Seconds between two beats.
BEAT = 0.01
#: Seconds between two counts of the blocks.
COUNT = 0.25
#: What is kept of each: the last ones.
_BEATS, _COLLECTIONS, _COUNTS = 65_536, 16_384, 32_768


class Ring:
    """The last so many (moment, value)."""

    def __init__(self, size: int) -> None:
        self._moments = array("d", bytes(8 * size))
        self._values = array("d", bytes(8 * size))
        self._size = size
        self._count = 0

    def add(self, moment: float, value: float) -> None:
        """One more."""
        place = self._count % self._size
        self._moments[place], self._values[place] = moment, value
        self._count += 1

    def listed(self) -> list[tuple[float, float]]:
        """All that is kept, in any order."""
        kept = min(self._count, self._size)
        return list(zip(self._moments[:kept], self._values[:kept], strict=True))


class Probe:
    """Watches a reactor until it stops.

    :param path: of the file to be written.
    """

    def __init__(self, path: Path, reactor: Any) -> None:
        self._path = path.resolve()
        self._reactor = reactor
        self._lags = Ring(_BEATS)
        self._collections = Ring(_COLLECTIONS)
        self._counts = Ring(_COUNTS)
        self._due = self._begun = 0.0
        reactor.callWhenRunning(self._start)
        reactor.addSystemEventTrigger("after", "shutdown", self._write)

    def _start(self) -> None:
        gc.callbacks.append(self._collecting)
        self._due = time.monotonic()
        self._beat()
        self._countBlocks()

    def _beat(self) -> None:
        now = time.monotonic()
        self._lags.add(now, now - self._due)
        self._due = now + BEAT
        self._reactor.callLater(BEAT, self._beat)

    def _countBlocks(self) -> None:
        self._counts.add(time.monotonic(), sys.getallocatedblocks())
        self._reactor.callLater(COUNT, self._countBlocks)

    def _collecting(self, phase: str, _info: dict[str, int]) -> None:
        now = time.monotonic()
        if phase == "start":
            self._begun = now
        else:
            self._collections.add(now, now - self._begun)

    def _write(self) -> None:
        rings = {"lags": self._lags, "collections": self._collections, "blocks": self._counts}
        seen = {name: ring.listed() for name, ring in rings.items()}
        self._path.write_text(json.dumps(seen), "utf-8")


def main() -> None:
    """Run twistd, watched."""
    path = Path(sys.argv.pop(1))
    from twisted.internet import reactor  # twistd then takes this one
    from twisted.scripts import twistd

    Probe(path, reactor)
    sys.argv[0] = "twistd"
    twistd.run()


if __name__ == "__main__":
    main()
