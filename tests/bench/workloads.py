"""The measurements of a whole relay: each plays one scene and returns figures.

The relay behaves as it does for users: acknowledgement-through, journal, event log. Every
measurement ends by checking that each master has all that was sent, once and in order.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from tests.bench.scene import Plan, Scene, Version

#: Seconds from the beginning of a load until it is measured.
WARM_UP = 0.5
#: Events a second while latency is measured.
LATENCY_RATE = 200
#: Commands, and seconds between two.
COMMANDS, COMMAND_GAP = 300, 0.002
#: Seconds after the start for what is done once.
SETTLE = 2.0


@dataclass(frozen=True)
class Settings:
    """How long and how much.

    :ivar seconds: of each measurement under load.
    :ivar restSeconds: of each measurement at rest: t3, so that every connection is tested once.
    :ivar groups: how many are at rest; a tenth of them is the reference for memory.
    :ivar fleet: how many start and drop out at once.
    """

    seconds: float = 3
    restSeconds: float = 20
    groups: int = 1000
    fleet: int = 2000


@dataclass
class Outcome:
    """What a measurement found.

    :ivar figures: by name.
    :ivar curves: lines for plots: (x, y) by name.
    :ivar warnings: what may have spoilt it.
    """

    figures: dict[str, float]
    warnings: list[str]
    curves: dict[str, list[tuple[float, float]]]


Measure = Callable[[Settings, Version], Outcome]


# -- throughput -----------------------------------------------------------------------------


def _flow(plan: Plan, settings: Settings, version: Version) -> tuple[dict[str, float], list[str]]:
    """As fast as it goes: deliveries a second, CPU time of them, octets on both sides."""
    with Scene(plan, version) as scene:
        scene.served()
        scene.rtus.ask("Flow", on=True)
        time.sleep(WARM_UP)
        before = scene.masters.ask("Status")
        meter = scene.meter(lambda: time.sleep(settings.seconds))
        after = scene.masters.ask("Status")
        scene.rtus.ask("Flow", on=False)
        scene.drained()
        deliveries = after["received"] - before["received"]
        figures = {"perSecond": deliveries / (after["at"] - before["at"])}
        if not plan.direct:
            figures["cpuPer100k"] = meter.cpu["relay"] / deliveries * 1e5
        return figures, scene.warnings


def throughput(plan: Plan) -> Measure:
    """A measurement of throughput, with the direct connection beside it."""

    def measure(settings: Settings, version: Version) -> Outcome:
        figures, warnings = _flow(plan, settings, version)
        direct, _ = _flow(replace(plan, direct=True), settings, version)
        figures["directPerSecond"] = direct["perSecond"]
        figures["ofDirect"] = figures["perSecond"] / direct["perSecond"]
        return Outcome(figures, warnings, {})

    return measure


# -- latency --------------------------------------------------------------------------------


def _delays(plan: Plan, settings: Settings, version: Version) -> tuple[list[float], Scene]:
    """Milliseconds from the RTU to each master, sorted."""
    with Scene(plan, version) as scene:
        scene.served()
        scene.masters.ask("Stamp")
        # Without a relay each master has a connection of its own with the RTU: one is enough.
        scene.rtus.ask("Rate", perSecond=LATENCY_RATE, stamp=True)
        scene.meter(lambda: time.sleep(settings.seconds))
        scene.rtus.ask("Rate", perSecond=0)
        scene.drained()
        stamps = scene.rtus.ask("Stamps")["stamps"]
        delays = []
        for times in scene.masters.ask("Times")["times"]:
            number = 0
            for count, moment in times:
                delays += [(moment - stamp) / 1e6 for stamp in stamps[number:count]]
                number = count
        return sorted(delays), scene


def latency(settings: Settings, version: Version) -> Outcome:
    """What the relay adds at a moderate rate, with five masters."""
    delays, scene = _delays(Plan(masters=5), settings, version)
    direct, _ = _delays(Plan(direct=True), settings, version)
    figures = {}
    for name, share in (("median", 0.5), ("p99", 0.99)):
        figures[f"{name}Ms"] = _quantile(delays, share)
        figures[f"{name}DirectMs"] = _quantile(direct, share)
        figures[f"{name}AddedMs"] = figures[f"{name}Ms"] - figures[f"{name}DirectMs"]
    curves = {"relay": _distribution(delays), "direct": _distribution(direct)}
    return Outcome(figures, scene.warnings, curves)


def _quantile(ordered: Sequence[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def _distribution(ordered: Sequence[float]) -> list[tuple[float, float]]:
    """(milliseconds, percent of the events that took no longer), at most a hundred points."""
    return [(_quantile(ordered, percent / 100), float(percent)) for percent in range(100)]


def commands(settings: Settings, version: Version) -> Outcome:
    """From a command to its confirmation, one master."""
    trips, warnings = _roundTrips(Plan(), version)
    direct, _ = _roundTrips(Plan(direct=True), version)
    figures = {
        "medianMs": statistics.median(trips),
        "p99Ms": _quantile(trips, 0.99),
        "medianDirectMs": statistics.median(direct),
    }
    return Outcome(figures, warnings, {})


def _roundTrips(plan: Plan, version: Version) -> tuple[list[float], list[str]]:
    """Milliseconds of each command, sorted."""
    with Scene(plan, version) as scene:
        scene.served()
        masters = scene.masters

        def command() -> None:
            masters.ask("Commands", count=COMMANDS, gap=COMMAND_GAP)
            scene.until(lambda: masters.ask("Status")["roundTrips"] >= COMMANDS, "answers")

        scene.meter(command)
        trips = masters.ask("RoundTrips")["seconds"]
        return sorted(trip * 1e3 for trip in trips), scene.warnings


def line(settings: Settings, version: Version) -> Outcome:
    """Octets on the RTU's line and on those of five masters, headers included."""
    with Scene(Plan(masters=5), version) as scene:
        scene.served()
        before = scene.rtus.ask("Traffic"), scene.masters.ask("Traffic")
        scene.rtus.ask("Rate", perSecond=LATENCY_RATE)
        time.sleep(settings.seconds)
        scene.rtus.ask("Rate", perSecond=0)
        scene.drained()
        scene.masters.ask("Flush")
        time.sleep(WARM_UP)
        events = scene.rtus.ask("Status")["sent"]
        after = scene.rtus.ask("Traffic"), scene.masters.ask("Traffic")
        rtu, masters = (
            (end["onTheLine"] - start["onTheLine"]) / events
            for start, end in zip(before, after, strict=True)
        )
        saved = 100 - 100 * rtu / masters
        figures = {"rtuOctets": rtu, "mastersOctets": masters, "savedPercent": saved}
        return Outcome(figures, [], {})


# -- many groups ----------------------------------------------------------------------------


def rest(settings: Settings, version: Version) -> Outcome:
    """Many groups with two masters each: CPU at rest and at one event a second, memory."""
    few = max(1, settings.groups // 10)
    with Scene(Plan(few, 2), version) as scene:
        scene.served()
        time.sleep(SETTLE)
        assert scene.relay is not None
        least = scene.relay.resident()
    with Scene(Plan(settings.groups, 2), version) as scene:
        scene.served()
        scene.masters.ask("Flush")  # else they acknowledge what greets them when all should rest
        time.sleep(SETTLE)
        assert scene.relay is not None
        perGroup = (scene.relay.resident() - least) / (settings.groups - few)
        quiet = scene.meter(lambda: time.sleep(settings.restSeconds))
        scene.rtus.ask("Rate", perSecond=1)
        time.sleep(SETTLE)
        busy = scene.meter(lambda: time.sleep(settings.restSeconds))
        scene.rtus.ask("Rate", perSecond=0)
        scene.drained()
        return Outcome(
            {
                "restPercent": 100 * quiet.cpu["relay"] / quiet.seconds,
                "onePerSecondPercent": 100 * busy.cpu["relay"] / busy.seconds,
                "kilobytesPerGroup": perGroup / 1000,
            },
            scene.warnings,
            {},
        )


def fleet(settings: Settings, version: Version) -> Outcome:
    """Start of many groups, and the return of all RTUs at once; how late the loop is then."""
    with Scene(Plan(settings.fleet, 3, probe=True, retry=1), version) as scene:
        started = scene.served()
        begun = scene.begun
        scene.masters.ask("MayLose")
        dropped = scene.rtus.ask("Drop")["at"]
        masters = scene.masters
        scene.until(lambda: masters.ask("Status")["live"] == 0, "all masters are disconnected")
        returned = scene.served()
        # Only now: a relay may repeat to new masters what came before the RTU dropped out.
        scene.rtus.ask("One")
        scene.drained()
        curve = scene.masters.ask("Curve")["curve"]
        scene.stopRelay()
        seen = json.loads((scene.folder / "probe.json").read_text("utf-8"))
        figures = {"startSeconds": started - begun, "stormSeconds": returned - dropped}
        for name, first, last in (("start", begun, started), ("storm", dropped, returned)):
            for kind in ("lags", "collections"):
                inside = [seconds for moment, seconds in seen[kind] if first <= moment <= last]
                label = "LagMs" if kind == "lags" else "CollectionMs"
                figures[f"{name}{label}"] = max(inside, default=0.0) * 1e3
        curves = {
            "start": [(at - begun, float(live)) for at, live in curve if at < dropped],
            "return": [(at - dropped, float(live)) for at, live in curve if at >= dropped],
        }
        return Outcome(figures, scene.warnings, curves)


#: All measurements by name.
WORKLOADS: dict[str, Measure] = {
    "one": throughput(Plan(1, 5)),
    "twenty": throughput(Plan(20, 2)),
    "wide": throughput(Plan(1, 5, 1000, 667)),
    "mixed": throughput(Plan(1, 5, mixed=True)),
    "latency": latency,
    "commands": commands,
    "line": line,
    "rest": rest,
    "fleet": fleet,
}
