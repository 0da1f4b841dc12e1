"""What it costs to lose nothing: acknowledgement-through and the journal, measured.

    python -m tests.bench.bench_noloss --json noloss.json

The relay runs as a process of its own, the stations in this one. Figures of one run may be compared
with each other; machines are different, and busy.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.bench.delayproxy import DelayProxy
from tests.bench.stations import FastMaster, FastRtu
from tests.interop.harness import row
from tests.interop.waiting import MASTER_IP, RTU_IP, Ports
from tests.soak.relay import RelayProcess, endInOrder
from tests.soak.settings import serviceFile

#: Windows in the comparison of throughput.
K, W = 12, 8
#: Seconds of round trip that the proxy adds on the masters' side.
ROUND_TRIP = 0.05
#: Seconds before a measurement begins, and that anything may take at most.
_WARM_UP, _PATIENCE = 1.0, 240.0
#: The RTU's window while events are put into the journal: many in one write.
_JOURNAL_K = 4000
_MODES = ("immediate", "through")
#: Room for all that waits: with ``immediate`` nothing slows an RTU that is faster than the masters,
#: and one whose backlog fills the memory would be cut.
_FLOWING = (f"masters: {{k: {K}, w: {W}}}", "ledger_max: 1073741824")
#: Everything is journalled as it comes (t1 leaves no time for masters), and nothing is too much.
_HOLDING = (
    "ledger_max: 1073741824",
    "rtu: {t1: 3, t2: 1}",
    "masters: {t1: 255, k: 12, w: 8}",
)
_HOLDING_THROUGH = ("hold_max: {frames: 100000000, octets: 1099511627776}",)


class Bench:
    """A relay with one RTU, and room for masters."""

    def __init__(self, relay: RelayProcess, rtu: FastRtu, port: int) -> None:
        self.relay = relay
        self.rtu = rtu
        self.port = port

    async def join(self, master: FastMaster, port: int = 0) -> FastMaster:
        """Connect a master as soon as it is possible."""
        loop = asyncio.get_running_loop()
        deadline = time.monotonic() + _PATIENCE
        while True:
            try:
                await loop.create_connection(lambda: master, MASTER_IP, port or self.port)
            except OSError:
                assert time.monotonic() < deadline, "the relay's port is not open"
                await asyncio.sleep(0.01)
            else:
                return master


@asynccontextmanager
async def bench(
    mode: str, rtuK: int, limit: int = 10**12, options: tuple[str, ...] = ()
) -> AsyncIterator[Bench]:
    """Start a relay and an RTU; end both."""
    ports = Ports()
    rtu = FastRtu(rtuK, limit)
    rtuPort, port = ports.take(), ports.take()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: rtu, RTU_IP, rtuPort, reuse_address=True)
    group = row(
        1,
        port,
        f"{RTU_IP}:{rtuPort}",
        k=max(rtuK, K),
        w=W,
        bufsize=10**8,
        max_conn=20,
        logevents="N",
    )
    with tempfile.TemporaryDirectory(prefix="mm2ss-bench-") as folder:
        relay = RelayProcess(Path(folder) / "relay", [group], serviceFile(mode, True, options))
        relay.start()
        try:
            yield Bench(relay, rtu, port)
        finally:
            relay.kill()
            rtu.close()
            server.close()
            ports.close()


async def until(condition: Callable[[], bool], what: str) -> float:
    """Wait for something; the seconds it took."""
    begun = time.monotonic()
    while not condition():
        assert time.monotonic() - begun < _PATIENCE, f"not within {_PATIENCE:g} s: {what}"
        await asyncio.sleep(0.002)
    return time.monotonic() - begun


# -- throughput -----------------------------------------------------------------------------


async def throughput(mode: str, roundTrip: float, masters: int, seconds: float) -> dict[str, float]:
    """Frames a second at each master, and the relay's CPU time for each frame of the RTU."""
    async with bench(mode, K, options=_FLOWING) as scene:
        proxy = DelayProxy((MASTER_IP, scene.port), roundTrip / 2)
        port = await proxy.listen(MASTER_IP) if roundTrip else 0
        await until(lambda: scene.rtu.transport is not None, "the RTU is connected")
        # Only then: through the proxy, a refusal looks like a connection that is closed.
        first = await scene.join(FastMaster(W))
        await until(lambda: first.received > 0, "data comes")
        crowd = [await scene.join(FastMaster(W), port) for _ in range(masters)]
        first.close()
        await asyncio.sleep(_WARM_UP)
        begun = time.monotonic()
        cpu = scene.relay.cpuSeconds()
        before = [master.received for master in crowd]
        confirmed = scene.rtu.confirmed
        await asyncio.sleep(seconds)
        elapsed = time.monotonic() - begun
        frames = [master.received - count for master, count in zip(crowd, before, strict=True)]
        cpu = scene.relay.cpuSeconds() - cpu
        proxy.close()
        for master in crowd:
            master.close()
        assert min(frames) > 0, "a master was not served"
        return {
            "framesPerSecond": statistics.mean(frames) / elapsed,
            "rtuFramesPerSecond": (scene.rtu.confirmed - confirmed) / elapsed,
            "cpuMicrosecondsPerFrame": cpu * 1e6 / (scene.rtu.confirmed - confirmed),
        }


async def compareThroughput(rounds: int, masters: int, seconds: float) -> list[dict[str, Any]]:
    """Both modes in turn, several times, with and without the delay."""
    results: dict[tuple[float, str], list[dict[str, float]]] = {}
    for _ in range(rounds):
        for roundTrip in (0.0, ROUND_TRIP):
            for mode in _MODES:
                figures = await throughput(mode, roundTrip, masters, seconds)
                results.setdefault((roundTrip, mode), []).append(figures)
    table = []
    for (roundTrip, mode), rows in results.items():
        line: dict[str, Any] = {"mode": mode, "roundTripMs": roundTrip * 1000, "masters": masters}
        line |= {name: statistics.median(row[name] for row in rows) for name in rows[0]}
        line["rounds"] = [round(row["framesPerSecond"]) for row in rows]
        reference = statistics.median(
            row["framesPerSecond"] for row in results[roundTrip, "immediate"]
        )
        line["ratio"] = line["framesPerSecond"] / reference
        table.append(line)
    return table


# -- the journal ----------------------------------------------------------------------------


async def hold(mode: str, frames: int, replay: bool) -> dict[str, float]:
    """A master that takes nothing while so many events happen; then, perhaps, one that does.

    In mode ``through`` every event is put into the journal before the RTU is acknowledged.
    """
    options = _HOLDING + (_HOLDING_THROUGH if mode == "through" else ())
    async with bench(mode, _JOURNAL_K, frames, options) as scene:
        relay, rtu = scene.relay, scene.rtu
        stalled = await scene.join(FastMaster(W, stalled=True))
        await until(lambda: stalled.received > 1, "data comes")
        # From the beginning of the process: the RTU sends at once when the first master starts.
        seconds = await until(lambda: rtu.confirmed >= frames, "all is acknowledged")
        result = {"seconds": seconds, "cpuSeconds": relay.cpuSeconds()}
        if mode == "through":
            result["octetsPerFrame"] = relay.stateBytes() / frames
        if replay:
            relay.kill()
            stalled.close()
            begun = time.monotonic()
            relay.start()
            master = await scene.join(FastMaster(W))
            result["startSeconds"] = time.monotonic() - begun
            result["replaySeconds"] = await until(
                lambda: master.received > frames, "all is replayed"
            )
            master.acknowledge()
            result["residentMiB"] = relay.residentMiB()
            master.close()
        return result


async def measureJournal(frames: int, rounds: int) -> dict[str, Any]:
    """Cost of each journalled frame, and the time to replay them."""
    costs = []
    through: dict[str, float] = {}
    for number in range(rounds):
        plain = await hold("immediate", frames, replay=False)
        through = await hold("through", frames, replay=number == rounds - 1)
        costs.append((through["cpuSeconds"] - plain["cpuSeconds"]) * 1e6 / frames)
    return {
        "frames": frames,
        "cpuMicrosecondsPerFrame": statistics.median(costs),
        "rounds": [round(cost, 1) for cost in costs],
        "journalledPerSecond": frames / through["seconds"],
        "octetsPerFrame": through["octetsPerFrame"],
        "startSeconds": through["startSeconds"],
        "replaySeconds": through["replaySeconds"],
        "residentMiB": through["residentMiB"],
    }


# -- the whole ------------------------------------------------------------------------------


def show(result: dict[str, Any]) -> str:
    """The figures as a table."""
    lines = [
        "frames/s at each master; of them in mode immediate; frames/s of the RTU, and the CPU time"
        " of the relay for each of these",
        "masters  round trip  mode        frames/s     ratio     RTU/s  CPU us  rounds",
    ]
    for line in result["throughput"]:
        rounds = " ".join(map(str, line["rounds"]))
        lines.append(
            f"{line['masters']:>7}{line['roundTripMs']:>9.0f} ms  {line['mode']:<10}"
            f"{line['framesPerSecond']:>10.0f}{line['ratio']:>10.3f}"
            f"{line['rtuFramesPerSecond']:>10.0f}{line['cpuMicrosecondsPerFrame']:>8.1f}  {rounds}"
        )
    journal = result.get("journal")
    if journal:
        lines += [
            "",
            f"journal, {journal['frames']} events:",
            f"  cost of a frame        {journal['cpuMicrosecondsPerFrame']:10.1f} us CPU",
            f"  journalled             {journal['journalledPerSecond']:10.0f} frames/s",
            f"  on disk                {journal['octetsPerFrame']:10.1f} octets a frame",
            f"  start with all held    {journal['startSeconds']:10.2f} s until a master is in",
            f"  replay to a master     {journal['replaySeconds']:10.2f} s",
            f"  memory then            {journal['residentMiB']:10.1f} MiB",
        ]
    return "\n".join(lines)


async def measure(rounds: int, seconds: float, masters: list[int], held: int) -> dict[str, Any]:
    """All measurements."""
    result: dict[str, Any] = {"throughput": []}
    for count in masters:
        result["throughput"] += await compareThroughput(rounds, count, seconds)
    if held:
        result["journal"] = await measureJournal(held, rounds)
    return result


def test_noLoss() -> None:
    """A short measurement: that it works, and that nothing is grossly slower than it should be."""
    result = asyncio.run(measure(rounds=1, seconds=2, masters=[1], held=20_000))
    print(f"\n{show(result)}")
    assert all(line["ratio"] > 0.2 for line in result["throughput"])


def main() -> int:
    """Measure, print the table, write the JSON."""
    endInOrder()
    parser = argparse.ArgumentParser(prog="python -m tests.bench.bench_noloss")
    add = parser.add_argument
    add("--rounds", type=int, default=3, help="of each measurement, interleaved (%(default)s)")
    add("--seconds", type=float, default=5, help="of each throughput (%(default)s)")
    add("--masters", type=int, nargs="*", default=[1, 5], help="how many (%(default)s)")
    add("--held", type=int, default=100_000, help="events in the journal; 0: not (%(default)s)")
    add("--json", help="write the figures into this file, too")
    arguments = parser.parse_args()
    result = asyncio.run(
        measure(arguments.rounds, arguments.seconds, arguments.masters, arguments.held)
    )
    print(show(result))
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(result, indent=1) + "\n", "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
