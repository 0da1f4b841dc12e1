"""Whether memory stays flat under a steady load, and how long garbage collections take.

    python -m tests.bench.memory --minutes 60 [--out FOLDER]

The relay's resident memory is read every few seconds, and its interpreter counts the blocks that
its objects have (`probe`). The first tenth of the time is not counted: pools and windows fill. What
is left has a slope (`slope`), told with its confidence interval. At the end each master must have
all that was sent.

Resident memory hardly ever falls: it is the most that was needed at once until now, and a little
more each time that blocks of many sizes come to lie less well than ever before. So it creeps
towards a bound though nothing grows. A leak shows in the blocks, which come and go.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.bench.plots import lines
from tests.bench.scene import Plan, Scene
from tests.bench.slope import CONFIDENCE, Slope, slope
from tests.interop.waiting import ROOT
from tests.soak.relay import endInOrder

#: Share of the time that is not counted.
WARM_UP = 0.1
#: More growth than this is a leak: kilobytes in an hour.
GROWTH_MAX = 1000.0

Sample = tuple[float, float]


@dataclass(frozen=True)
class Result:
    """What a run found.

    :ivar samples: (second, kilobytes of resident memory).
    :ivar growth: of it, in kilobytes an hour, without the first tenth.
    :ivar blocks: (second, blocks of the interpreter's objects).
    :ivar blockGrowth: of them, in blocks an hour, without the first tenth.
    :ivar delivered: events, to all masters together.
    :ivar pauses: milliseconds of each garbage collection, the last ones.
    """

    samples: list[Sample]
    growth: Slope
    blocks: list[Sample]
    blockGrowth: Slope
    delivered: int
    pauses: list[float]


def observe(scene: Scene, seconds: float, every: float) -> list[Sample]:
    """(second, kilobytes) of the relay."""
    assert scene.relay is not None
    samples = []
    begun = time.monotonic()
    while (spent := time.monotonic() - begun) < seconds:
        samples.append((spent, scene.relay.resident() / 1000))
        scene.masters.ask("Status")  # an error there ends the run
        time.sleep(every)
    return samples


def measure(plan: Plan, rate: float, seconds: float, every: float) -> Result:
    """Run the load, and see that all arrives."""
    with Scene(plan) as scene:
        scene.served()
        scene.rtus.ask("Rate", perSecond=rate)
        begun = time.monotonic()
        samples = observe(scene, seconds, every)
        end = time.monotonic()
        scene.rtus.ask("Rate", perSecond=0)
        delivered = scene.drained()
        scene.stopRelay()
        seen = json.loads((scene.folder / "probe.json").read_text("utf-8"))
    blocks = sorted((at - begun, count) for at, count in seen["blocks"] if begun <= at < end)
    growth, blockGrowth = (hourly(each, WARM_UP * seconds) for each in (samples, blocks))
    pauses = [pause * 1e3 for moment, pause in seen["collections"] if moment >= begun]
    return Result(samples, growth, blocks, blockGrowth, delivered, pauses)


def hourly(samples: list[Sample], since: float) -> Slope:
    """What is added in an hour, as far as it was seen from a second on."""
    return slope([(second / 3600, size) for second, size in samples if second >= since])


def show(result: Result) -> str:
    """The result in words."""
    pauses = result.pauses
    return "\n".join(
        (
            f"delivered: {result.delivered} events, none lost, doubled or out of order",
            f"memory: {told(result.growth, 'kB')}",
            f"objects: {told(result.blockGrowth, 'blocks')},"
            f" of {statistics.median(count for _, count in result.blocks):.0f}",
            f"garbage collections: {len(pauses)}, median {statistics.median(pauses or [0]):.2f} ms,"
            f" longest {max(pauses, default=0):.2f} ms",
        )
    )


def told(growth: Slope, unit: str) -> str:
    """A slope in words."""
    return (
        f"{growth.estimate:+.1f} {unit} an hour, {CONFIDENCE:.0%} confidence from"
        f" {growth.low:+.1f} to {growth.high:+.1f}: {'flat' if growth.flat else 'not flat'}"
    )


def main() -> int:
    """Measure, show, write; 1 when memory surely grows by more than `GROWTH_MAX`."""
    endInOrder()
    parser = argparse.ArgumentParser(prog="python -m tests.bench.memory")
    add = parser.add_argument
    add("--minutes", type=float, default=60, help="of load (%(default)s)")
    add("--groups", type=int, default=20, help="RTUs, two masters each (%(default)s)")
    add("--rate", type=float, default=50, help="events a second of each RTU (%(default)s)")
    add("--every", type=float, default=2, help="seconds between two samples (%(default)s)")
    add("--out", default=str(ROOT / "bench-results"), help="folder for the results (%(default)s)")
    arguments = parser.parse_args()
    plan = Plan(arguments.groups, 2, probe=True)
    result = measure(plan, arguments.rate, arguments.minutes * 60, arguments.every)
    print(show(result))
    out = Path(arguments.out)
    out.mkdir(parents=True, exist_ok=True)
    (out / "memory.json").write_text(json.dumps(asdict(result)) + "\n", "utf-8")
    curve = [(second / 60, kilobytes / 1000) for second, kilobytes in result.samples]
    title = f"Memory under {arguments.groups * arguments.rate:g} events/s"
    drawing = lines(title, "minutes", "MB", {"resident": curve})
    (out / "memory.svg").write_text(drawing, "utf-8")
    return int(result.growth.low > GROWTH_MAX)


if __name__ == "__main__":
    sys.exit(main())
