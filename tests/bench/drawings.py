"""Which plots are drawn of a benchmark's results."""

from __future__ import annotations

from typing import Any

from tests.bench.figures import FIGURES, Figure, Spread, described, values
from tests.bench.plots import Point, bars, lines


def draw(document: dict[str, Any]) -> dict[str, str]:
    """The plots of what was measured: SVG by file name. Only the first version is drawn."""
    results = document["results"]
    version = document["versions"][0]
    drawn = {}

    def bar(name: str, title: str, unit: str, figures: list[Figure], digits: int = 0) -> None:
        table = {
            figure.title: Spread(tuple(measured.values()))
            for figure in figures
            if (measured := values(results, figure, version))
        }
        if table:
            drawn[name] = bars(title, unit, table, digits)

    speeds = [figure for figure in FIGURES if figure.key == "perSecond"]
    bar("throughput.svg", "Deliveries to masters, as fast as it goes", "/s", speeds)
    costs = [figure for figure in described(results) if figure.workload == "micro"]
    bar("parts.svg", "The parts by themselves", "ns", costs)
    delays = _curves(results, "latency", version)
    if delays:
        title = "Latency at 200 events/s, 5 masters"
        drawn["latency.svg"] = lines(title, "milliseconds", "% of the events", delays)
    served = _curves(results, "fleet", version)
    if served:
        title = "Masters that are served after start, and after all RTUs returned"
        drawn["start.svg"] = lines(title, "seconds", "masters", served)
    return drawn


def _curves(results: list[dict[str, Any]], workload: str, version: str) -> dict[str, list[Point]]:
    """The curves of a workload's last round."""
    found: dict[str, list[Point]] = {}
    for result in results:
        if result["workload"] == workload and result["version"] == version:
            found = result["curves"]
    return found
