"""What a second process gains: as fast as it goes, by one relay and by several shards of it.

    python -m tests.bench.shards [--shards 2] [--rounds 5] [--seconds 5]

20 RTUs with two masters each, k=12 w=8. Relays and tools share all cores, also where there is one
relay only; so on two cores the tools take from what two relays could gain. Run it where there is
nothing else.
"""

from __future__ import annotations

import argparse
import statistics
import time
from dataclasses import dataclass

from tests.bench.scene import Plan, Scene
from tests.bench.workloads import WARM_UP

GROUPS, MASTERS = 20, 2


@dataclass
class Run:
    """What one measurement found.

    :ivar perSecond: deliveries.
    :ivar cpu: seconds of all relays for 100 000 deliveries.
    :ivar warnings: what may have spoilt it.
    """

    perSecond: float
    cpu: float
    warnings: list[str]


def measure(shards: int, seconds: float) -> Run:
    """One measurement; it ends by checking that every frame has come, once and in order."""
    with Scene(Plan(GROUPS, MASTERS, shards=shards)) as scene:
        scene.served()
        scene.rtus.ask("Flow", on=True)
        time.sleep(WARM_UP)
        before = scene.masters.ask("Status")
        meter = scene.meter(lambda: time.sleep(seconds))
        after = scene.masters.ask("Status")
        scene.rtus.ask("Flow", on=False)
        scene.drained()
        deliveries = after["received"] - before["received"]
        spent = sum(cpu for name, cpu in meter.cpu.items() if name.startswith("relay"))
        perSecond = deliveries / (after["at"] - before["at"])
        return Run(perSecond, spent / deliveries * 1e5, scene.warnings)


def main() -> None:
    """Measure in turn, and print what came out."""
    parser = argparse.ArgumentParser(description="What several processes gain.")
    parser.add_argument("--shards", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5)
    options = parser.parse_args()
    runs: dict[int, list[Run]] = {1: [], options.shards: []}
    for _ in range(options.rounds):
        for shards, done in runs.items():
            done.append(measure(shards, options.seconds))
            print(f"{shards}: {done[-1].perSecond:,.0f}/s", *done[-1].warnings, sep="; ")
    print("\nprocesses | deliveries/s, median (least - most) | CPU s for 100 000")
    for shards, done in runs.items():
        speeds = sorted(run.perSecond for run in done)
        cpu = statistics.median(run.cpu for run in done)
        middle = statistics.median(speeds)
        print(f"{shards} | {middle:,.0f} ({speeds[0]:,.0f} - {speeds[-1]:,.0f}) | {cpu:.2f}")
    pairs = zip(runs[1], runs[options.shards], strict=True)
    gains = sorted(several.perSecond / one.perSecond for one, several in pairs)
    print(f"gain x {statistics.median(gains):.2f} ({gains[0]:.2f} - {gains[-1]:.2f})")


if __name__ == "__main__":
    main()
