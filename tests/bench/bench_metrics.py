"""What a scrape costs: 2000 groups with 3 masters each, and how long it keeps the reactor.

    python -m tests.bench.bench_metrics [--groups 2000] [--worlds 40]

The snapshots are those of real groups (of so many worlds, asked again and again); the page is made
as `MetricsResource` makes it. Seconds are of this process' CPU, which others do not lengthen.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TypeVar

import pytest
from prometheus_client import generate_latest
from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families

from mm2ss.config.model import Host
from mm2ss.relay.snapshot import GroupSnapshot
from mm2ss.services.exposition import Page
from mm2ss.services.groupmetrics import FAMILIES
from mm2ss.services.metrics import GROUPS_PER_TURN
from tests.fakes import FakeReactor
from tests.groups import World, event

T = TypeVar("T")


def measured(call: Callable[[], T]) -> tuple[T, float]:
    """What a call returns, and the seconds of CPU that it takes."""
    start = time.process_time()
    return call(), time.process_time() - start


class Groups:
    """Many groups, made of a few."""

    def __init__(self, worlds: int) -> None:
        reactor = FakeReactor()
        self.worlds = []
        for number in range(worlds):
            host = Host(f"198.51.100.{number + 1}", 2404)
            world = World(reactor, id=number, name=f"R{number}", port=3000 + number, hosts=(host,))
            for _ in range(3):
                world.master()
            world.rtu.send(event(1))
            world.run()
            self.worlds.append(world)

    def look(self, numbers: range) -> list[GroupSnapshot]:
        """The figures of some of them."""
        worlds = self.worlds
        return [worlds[number % len(worlds)].group.snapshot() for number in numbers]


class Parsed:
    """A page as the library's own families."""

    def __init__(self, page: bytes) -> None:
        self.families = list(text_string_to_metric_families(page.decode()))

    def collect(self) -> list[Metric]:
        """The families."""
        return self.families


def report(count: int, worlds: int) -> None:
    """Make a page and print what it cost."""
    groups = Groups(worlds)
    page = Page(FAMILIES)
    turns = []
    for start in range(0, count, GROUPS_PER_TURN):
        numbers = range(start, min(start + GROUPS_PER_TURN, count))
        snapshots, looking = measured(partial(groups.look, numbers))
        renamed = [replace(each, id=n) for each, n in zip(snapshots, numbers, strict=True)]
        turns.append(looking + measured(partial(page.add, renamed))[1])
    text, last = measured(page.render)
    lines = len(text.splitlines())
    print(f"\n{count} groups, 3 masters each: {lines} lines, {len(text) / 1e6:.1f} MB")
    print(f"{sum(turns) + last:.3f} s of CPU in {len(turns) + 1} turns of the reactor")
    turns.sort()
    print(
        f"a turn: median {turns[len(turns) // 2] * 1000:.1f} ms, longest {turns[-1] * 1000:.1f} ms,"
    )
    print(f"the last one, which puts the page together: {last * 1000:.1f} ms")
    parsed = Parsed(text)
    _, library = measured(lambda: generate_latest(parsed))
    print(f"prometheus_client's own text of it, without collecting: {library:.3f} s, in one turn")


@pytest.mark.bench
def test_bench() -> None:
    """The figures of docs/metrics.md."""
    report(2000, 40)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--groups", type=int, default=2000)
    parser.add_argument("--worlds", type=int, default=40)
    arguments = parser.parse_args()
    report(arguments.groups, arguments.worlds)
