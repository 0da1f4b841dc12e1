"""What the parts cost by themselves: codec, `Link`, ledger, routing, correlation.

    python -m tests.bench.micro [--json]

Each part is repeated until a round takes long enough to be measured; the median of the rounds
counts. Time is the processor's. Everything runs in this process, without sockets. Where a version
lacks what a measurement needs, it says so and goes on; nothing of tests is used that might need a
newer one.
"""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import time
from collections.abc import Callable
from functools import partial
from itertools import islice

from mm2ss.config.model import GroupOptions, OriginatorEcho
from mm2ss.config.parameters import LinkParameters
from mm2ss.iec104.apci import FrameBuffer, encodeI
from mm2ss.iec104.link import Link, Role
from mm2ss.relay.ledger import Ledger, Reader
from mm2ss.relay.lines import Turn
from mm2ss.relay.requests import Requests
from mm2ss.relay.routing import AUDIENCES
from tests.bench.stream import Stream, answers, command

#: Seconds that a round takes at least, and how many rounds there are.
ROUND, ROUNDS = 0.01, 25
#: Frames in a chunk, and masters that read a ledger.
FRAMES, MASTERS = 8, 5
#: Requests that are open while others are correlated.
OPEN = 100

#: Does something so many times; the seconds that it took, of one.
Part = Callable[[int], float]


def _timed(step: Callable[[], object], per: int) -> Part:
    """A part that calls a step; `per` frames (or the like) are done in each."""

    def part(times: int) -> float:
        begun = time.process_time()
        for _ in range(times):
            step()
        return (time.process_time() - begun) / times / per

    return part


def _asdus(mixed: bool = False) -> list[bytes]:
    """The ASDUs of a chunk."""
    stream = Stream(mixed=mixed)
    return [stream.octets[stream.offset(n) + 6 : stream.offset(n + 1)] for n in range(FRAMES)]


def reading(mixed: bool) -> Part:
    """From a chunk to its frames."""
    stream = Stream(mixed=mixed)
    chunk = stream.octets[: stream.offset(FRAMES)]
    return _timed(partial(FrameBuffer().feed, chunk), FRAMES)


def writing() -> Part:
    """An ASDU to an I frame."""
    return _timed(partial(encodeI, 1000, 2000, _asdus()[0]), 1)


class _Pair:
    """Two links back to back."""

    def __init__(self, mixed: bool) -> None:
        parameters = LinkParameters(k=12, w=8)
        self._asdus = _asdus(mixed)
        self._rtu = Link(Role.CONTROLLED, parameters, 0)
        self._master = Link(Role.CONTROLLING, parameters, 0)
        self._master.start(0)
        self._rtu.receive(self._master.takeOutput(), 0)
        self._master.receive(self._rtu.takeOutput(), 0)

    def exchange(self) -> None:
        """Send a chunk one way and its acknowledgement the other."""
        self._rtu.send(self._asdus, 0)
        self._master.receive(self._rtu.takeOutput(), 0)
        self._rtu.receive(self._master.takeOutput(), 0)
        assert not self._rtu.outstanding


def linking(mixed: bool) -> Part:
    """Through two links: sent, received, acknowledged."""
    return _timed(_Pair(mixed).exchange, FRAMES)


class _Readers:
    """A ledger and its masters."""

    def __init__(self) -> None:
        self._asdus = _asdus()
        self._ledger = Ledger()
        self._readers = [Reader(self._ledger) for _ in range(MASTERS)]
        for reader in self._readers:
            self._ledger.attach(reader)

    def step(self) -> None:
        """A chunk comes, goes to each master, and is acknowledged by each."""
        for asdu in self._asdus:
            self._ledger.append(asdu)
        for reader in self._readers:
            reader.take(12)
            reader.acknowledged(reader.sent)
        assert self._ledger.settled == self._ledger.end


def keeping() -> Part:
    """Through the ledger: appended, taken by each master, settled; of one delivery."""
    return _timed(_Readers().step, FRAMES * MASTERS)


def routing() -> Part:
    """Whom an ASDU is for."""
    asdus = [
        bytes((typeId, 1, cause, 0, 1, 0)) for typeId in range(0, 128, 8) for cause in range(64)
    ]
    audiences = AUDIENCES

    def decide() -> None:
        for asdu in asdus:
            audiences[asdu[0] << 6 | asdu[2] & 0x3F]

    return _timed(decide, len(asdus))


def correlating(echo: OriginatorEcho) -> Part:
    """A command, remembered and found again by its confirmation and its termination."""
    requests: Requests[int] = Requests(GroupOptions(originatorEcho=echo), lambda *_: None)
    for number in range(OPEN):
        requests.open(Turn(number % MASTERS, command(number + 10), 0.0), number % MASTERS + 1, 0.0)
    asked = command(1)
    replies = answers(asked[:3] + bytes((int(echo is OriginatorEcho.YES),)) + asked[4:])

    def correlate() -> None:
        requests.open(Turn(0, asked, 0.0), 1, 0.0)
        for reply in replies:
            assert requests.answer(reply, 0.0) is not None

    return _timed(correlate, 1)


#: What is measured, by name: how to make it.
PARTS: dict[str, Callable[[], Part]] = {
    "read a frame": partial(reading, mixed=False),
    "read a frame, mixed lengths": partial(reading, mixed=True),
    "write a frame": writing,
    "two links, a frame": partial(linking, mixed=False),
    "two links, a frame, mixed lengths": partial(linking, mixed=True),
    "ledger, a delivery": keeping,
    "routing, a decision": routing,
    "correlation, a command, echoing RTU": partial(correlating, OriginatorEcho.YES),
    "correlation, a command, RTU without echo": partial(correlating, OriginatorEcho.NO),
}


def rounds(part: Part, count: int = ROUNDS) -> list[float]:
    """Nanoseconds of one, in each round; a round takes `ROUND` seconds at least."""
    times = 1
    while True:
        begun = time.process_time()
        part(times)
        if time.process_time() - begun >= ROUND:
            break
        times *= 2
    gc.collect()
    return [seconds * 1e9 for seconds in islice(iter(partial(part, times), None), count)]


def measure(count: int = ROUNDS) -> dict[str, float]:
    """The median of each part, in nanoseconds; a part that cannot be measured is left out."""
    figures = {}
    for name, make in PARTS.items():
        try:
            figures[name] = statistics.median(rounds(make(), count))
        except (AttributeError, TypeError) as error:
            print(f"{name}: not in this version ({error})")
    return figures


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.micro")
    parser.add_argument("--json", action="store_true", help="one line of JSON, at the end")
    arguments = parser.parse_args()
    figures = measure()
    if arguments.json:
        print(json.dumps(figures))
    else:
        for name, nanoseconds in figures.items():
            print(f"{name:42}{nanoseconds:10.0f} ns")


if __name__ == "__main__":
    main()
