"""What the figures of a benchmark are: their names, units and goals; and how tables show them."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Figure:
    """One figure of a workload.

    :ivar workload: where it is measured.
    :ivar key: its name there.
    :ivar title: what it is.
    :ivar unit: of its numbers.
    :ivar digits: behind the point.
    :ivar more: whether more is better.
    :ivar goal: what it should be, where that is known for every machine.
    """

    workload: str
    key: str
    title: str
    unit: str
    digits: int = 0
    more: bool = False
    goal: float | None = None


FIGURES = (
    Figure("one", "perSecond", "1 RTU, 5 masters, k=12 w=8", "deliveries/s", more=True),
    Figure("one", "ofDirect", "… of a direct connection", "ratio", 3, more=True),
    Figure("one", "cpuPer100k", "… CPU of 100 000 deliveries", "s", 3),
    Figure("twenty", "perSecond", "20 RTUs, 2 masters each, k=12 w=8", "deliveries/s", more=True),
    Figure("twenty", "ofDirect", "… of direct connections", "ratio", 3, more=True),
    Figure("twenty", "cpuPer100k", "… CPU of 100 000 deliveries", "s", 3, goal=0.40),
    Figure("wide", "perSecond", "1 RTU, 5 masters, k=1000 w=667", "deliveries/s", more=True),
    Figure("wide", "ofDirect", "… of a direct connection", "ratio", 3, more=True),
    Figure("wide", "cpuPer100k", "… CPU of 100 000 deliveries", "s", 3),
    Figure(
        "mixed",
        "perSecond",
        "1 RTU, 5 masters, k=12, frames of many lengths",
        "deliveries/s",
        more=True,
    ),
    Figure("mixed", "cpuPer100k", "… CPU of 100 000 deliveries", "s", 3),
    Figure(
        "latency",
        "medianAddedMs",
        "added latency, 200 events/s, 5 masters, median",
        "ms",
        3,
        goal=0.40,
    ),
    Figure("latency", "p99AddedMs", "… 99 %", "ms", 3),
    Figure("latency", "medianDirectMs", "… direct connection, median", "ms", 3),
    Figure("commands", "medianMs", "command to confirmation, median", "ms", 3, goal=0.50),
    Figure("commands", "p99Ms", "… 99 %", "ms", 3),
    Figure("commands", "medianDirectMs", "… direct connection, median", "ms", 3),
    Figure("line", "rtuOctets", "RTU's line, an event to 5 masters, with headers", "octets"),
    Figure("line", "mastersOctets", "… all masters' lines", "octets"),
    Figure("line", "savedPercent", "… saved on the RTU's line", "%", 1, more=True),
    Figure(
        "rest", "restPercent", "groups at rest, 2 masters each, CPU of a core", "%", 2, goal=1.5
    ),
    Figure("rest", "onePerSecondPercent", "… at 1 event/s each", "%", 1, goal=25),
    Figure("rest", "kilobytesPerGroup", "… memory of a group", "kB", 1, goal=40),
    Figure("fleet", "startSeconds", "start, 3 masters each, until all are served", "s", 1, goal=30),
    Figure("fleet", "startLagMs", "… event loop late at most", "ms"),
    Figure("fleet", "startCollectionMs", "… longest garbage collection", "ms", 1),
    Figure(
        "fleet", "stormSeconds", "all RTUs drop and return, until all are served", "s", 1, goal=30
    ),
    Figure("fleet", "stormLagMs", "… event loop late at most", "ms"),
    Figure("fleet", "stormCollectionMs", "… longest garbage collection", "ms", 1),
)


@dataclass(frozen=True)
class Spread:
    """Some measurements of one figure."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """The one in the middle."""
        return statistics.median(self.values)

    def text(self, digits: int) -> str:
        """``median [least - most]``."""
        middle = f"{self.median:,.{digits}f}"
        if len(self.values) == 1:
            return middle
        return f"{middle} [{min(self.values):,.{digits}f} – {max(self.values):,.{digits}f}]"


@dataclass(frozen=True)
class Row:
    """A figure, and what was measured of it; with two versions, each pair's ratio."""

    figure: Figure
    spread: Spread
    ratios: Spread | None = None


def values(results: Iterable[dict[str, Any]], figure: Figure, version: str) -> dict[int, float]:
    """All measurements of a figure, by their rounds."""
    return {
        result["round"]: result["figures"][figure.key]
        for result in results
        if result["workload"] == figure.workload
        and result["version"] == version
        and figure.key in result["figures"]
    }


def described(results: Sequence[dict[str, Any]]) -> list[Figure]:
    """The figures that can be in results: those known, and one for each part by itself."""
    parts = {
        key: Figure("micro", key, key, "ns")
        for result in results
        if result["workload"] == "micro"
        for key in result["figures"]
    }
    return [*FIGURES, *parts.values()]


def rows(document: dict[str, Any]) -> list[Row]:
    """What a document of results says, figure by figure."""
    results = document["results"]
    present, *others = document["versions"]
    table = []
    for figure in described(results):
        measured = values(results, figure, present)
        if not measured:
            continue
        ratios = None
        for other in others:
            before = values(results, figure, other)
            pairs = [
                measured[number] / before[number]
                for number in measured.keys() & before.keys()
                if measured[number] > 0 < before[number]
            ]
            ratios = Spread(tuple(pairs)) if pairs else None
        table.append(Row(figure, Spread(tuple(measured.values())), ratios))
    return table


def show(document: dict[str, Any]) -> str:
    """The table for the screen."""
    table = rows(document)
    compared = len(document["versions"]) > 1
    width = max((len(row.figure.title) for row in table), default=0)
    lines = []
    workload = ""
    for row in table:
        figure = row.figure
        if figure.workload != workload:
            workload = figure.workload
            lines.append(f"-- {workload}")
        goal = f"  goal {figure.goal:g}" if figure.goal is not None else ""
        text = f"{figure.title:{width}}  {row.spread.text(figure.digits)} {figure.unit}{goal}"
        if compared:
            text += f"  x {row.ratios.text(3)}" if row.ratios else "  (not in both)"
        lines.append(text)
    if compared:
        lines.append(f"x: {document['versions'][0]} divided by {document['versions'][1]}, in pairs")
    warnings = warned(document)
    return "\n".join([*lines, *(f"! {text}" for text in warnings)])


def warned(document: dict[str, Any]) -> list[str]:
    """All warnings, with where they belong."""
    texts = []
    for result in document["results"]:
        name = f"{result['workload']}, round {result['round'] + 1}, {result['version']}"
        texts += [f"{name}: {warning}" for warning in result["warnings"]]
    return texts
