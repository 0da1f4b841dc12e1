"""What it costs to find out whose an ASDU is, and who may command: look-ups, never a scan.

    python -m tests.bench.bench_routing [--count 1000000] [--json routing.json]

Everything runs in this process, without sockets and without the protocol. Time is the
processor's. Figures of one run may be compared with each other; machines are different.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from mm2ss.config.model import GroupOptions, OriginatorEcho
from mm2ss.iec104.asdu import Cause
from mm2ss.relay.lines import Lines, Turn
from mm2ss.relay.locks import Locks
from mm2ss.relay.requests import Requests
from mm2ss.relay.routing import AUDIENCES
from tests.groups import answer, data, interrogation, request

#: Requests that are open while others are correlated.
OPEN = (1, 100, 1000)
#: Masters that they belong to.
MASTERS = 5
SELECT = bytes((0x81,))


def best(rounds: int, measure: Callable[..., float], *arguments: Any) -> float:
    """The least of some measurements: what disturbs only adds."""
    return min(measure(*arguments) for _ in range(rounds))


def measureRouting(count: int) -> float:
    """Seconds of processor per decision, of so many over all types and causes."""
    random = Random(1)
    asdus = [bytes((random.randrange(256), 1, random.randrange(256), 0, 1, 0)) for _ in range(1000)]
    audiences = AUDIENCES
    start = time.process_time()
    for _ in range(count // len(asdus)):
        for asdu in asdus:
            audiences[asdu[0] << 6 | asdu[2] & 0x3F]
    return (time.process_time() - start) / (count // len(asdus) * len(asdus))


class Table:
    """`Requests` with some open ones of several masters, on points of their own."""

    def __init__(self, echo: OriginatorEcho, count: int) -> None:
        self.requests: Requests[int] = Requests(
            GroupOptions(originatorEcho=echo), lambda request, outcome: None
        )
        for number in range(count - 1):
            self.ask(number % MASTERS, request(address=number + 10))

    def ask(self, owner: int, asdu: bytes) -> None:
        """Open a request."""
        self.requests.open(Turn(owner, asdu, 0.0), owner + 1, 0.0)


def measureCorrelation(echo: OriginatorEcho, count: int, repeats: int) -> float:
    """Seconds for one select: remembered, and found again by its confirmation."""
    table = Table(echo, count)
    asked = request(address=1, content=SELECT)
    slot = 1 if echo is OriginatorEcho.YES else 0
    confirmed = answer(request(address=1, content=SELECT, originator=slot))
    ask, find = table.ask, table.requests.answer
    start = time.process_time()
    for _ in range(repeats):
        ask(0, asked)
        assert find(confirmed, 0.0) is not None
    return (time.process_time() - start) / repeats


def measureInterrogated(count: int, repeats: int) -> float:
    """Seconds for one frame of interrogated data while an interrogation runs."""
    table = Table(OriginatorEcho.NO, count)
    table.ask(0, interrogation())
    shown = data(5, Cause.INTERROGATED_STATION)
    find = table.requests.interrogations
    start = time.process_time()
    for _ in range(repeats):
        assert find(shown, 0.0)
    return (time.process_time() - start) / repeats


def measureClaims(count: int, repeats: int) -> float:
    """Seconds to claim a point for an execute and to free it, while others are taken."""
    locks: Locks[int] = Locks(30)
    for number in range(count - 1):
        locks.claim(number % MASTERS, request(address=number + 10, content=SELECT), 0.0)
    asked = request(address=1)
    start = time.process_time()
    for _ in range(repeats):
        assert locks.claim(0, asked, 0.0)
        locks.ended(0, asked, positive=True, answered=True, now=0.0)
        assert locks.deadline == 30 or count == 1
    return (time.process_time() - start) / repeats


def measureLines(count: int, repeats: int) -> float:
    """Seconds for a read to enter its line and to leave it, while others run."""
    lines: Lines[int] = Lines()
    for number in range(count - 1):
        lines.enter(Turn(number % MASTERS, request(104, number + 10), 0.0))
    asked = request(104, 1)
    start = time.process_time()
    for _ in range(repeats):
        turn = Turn(0, asked, 0.0)
        assert lines.enter(turn)
        lines.leave(turn)
    return (time.process_time() - start) / repeats


def measure(count: int, repeats: int, rounds: int) -> dict[str, Any]:
    """All measurements; seconds, and by the number of open requests where it might matter."""
    table: dict[str, Callable[[int, int], float]] = {
        "correlation, echoing RTU": partial(measureCorrelation, OriginatorEcho.YES),
        "correlation, RTU without echo": partial(measureCorrelation, OriginatorEcho.NO),
        "interrogated data": measureInterrogated,
        "claim and free a point": measureClaims,
        "enter and leave a line": measureLines,
    }
    return {
        "routing": best(rounds, measureRouting, count),
        "decisions": count,
        "open": {
            name: {opened: best(rounds, one, opened, repeats) for opened in OPEN}
            for name, one in table.items()
        },
    }


def show(result: dict[str, Any]) -> str:
    """The figures as a table."""
    lines = [
        f"routing: {result['routing'] * 1e9:.0f} ns a decision, of {result['decisions']}",
        "",
        f"{'us, with so many open requests':34}" + "".join(f"{opened:>8}" for opened in OPEN),
    ]
    for name, costs in result["open"].items():
        lines.append(f"{name:34}" + "".join(f"{costs[opened] * 1e6:8.2f}" for opened in OPEN))
    return "\n".join(lines)


def growth(result: dict[str, Any]) -> float:
    """By what factor a cost grows from the fewest to the most open requests; the median."""
    factors = (costs[OPEN[-1]] / costs[OPEN[0]] for costs in result["open"].values())
    return float(statistics.median(factors))


def test_routing() -> None:
    """A short measurement: that it works, and that no cost grows with what is open."""
    result = measure(count=100_000, repeats=2000, rounds=3)
    print(f"\n{show(result)}")
    assert growth(result) < 3


def main() -> int:
    """Measure, print the table, write the JSON."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.bench_routing")
    add = parser.add_argument
    add("--count", type=int, default=1_000_000, help="routing decisions (%(default)s)")
    add("--repeats", type=int, default=20_000, help="of each other measurement (%(default)s)")
    add("--rounds", type=int, default=3, help="of which the best counts (%(default)s)")
    add("--json", help="write the figures into this file, too")
    arguments = parser.parse_args()
    result = measure(arguments.count, arguments.repeats, arguments.rounds)
    print(show(result))
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(result, indent=1) + "\n", "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
