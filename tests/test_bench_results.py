"""What becomes of measurements: slopes with their certainty, ratios, tables, plots, the page."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any
from xml.etree import ElementTree

import pytest

from tests.bench.drawings import draw
from tests.bench.figures import FIGURES, Spread, rows, show
from tests.bench.page import PAGE, render, replaced
from tests.bench.plots import bars, lines, ticks
from tests.bench.processes import spoilt
from tests.bench.slope import slope
from tests.bench.workloads import WORKLOADS

SVG = "{http://www.w3.org/2000/svg}"


# -- slopes ---------------------------------------------------------------------------------


def wandering(growth: float, seed: int, memory: float = 0.8) -> list[tuple[float, float]]:
    """Samples that grow, with noise that remembers what it was."""
    random = Random(seed)
    noise = 0.0
    samples = []
    for second in range(600):
        noise = memory * noise + random.gauss(0, 1)
        samples.append((float(second), 1000 + growth * second + noise))
    return samples


@pytest.mark.parametrize("growth", [0, 0.05, -0.3])
def test_slopeOfALine(growth: float) -> None:
    """Without noise the slope is exact, and so is its interval."""
    found = slope([(float(second), 5 + growth * second) for second in range(300)])
    assert (found.estimate, found.low, found.high) == pytest.approx((growth, growth, growth))
    assert found.flat == (growth == 0)


@pytest.mark.parametrize("growth", [0, 0.01])
def test_slopeCovers(growth: float) -> None:
    """The interval holds the truth about as often as it says, though neighbours are alike."""
    found = [slope(wandering(growth, seed)) for seed in range(100)]
    covered = sum(one.low <= growth <= one.high for one in found)
    assert 88 <= covered <= 100
    assert all(one.low <= one.estimate <= one.high for one in found)


def test_slopeSeesGrowth() -> None:
    """A growth that is larger than the noise is not taken for none."""
    assert not any(slope(wandering(0.05, seed)).flat for seed in range(20))


def test_slopeNeedsSamples() -> None:
    """Three samples say nothing."""
    with pytest.raises(ValueError, match="too few"):
        slope([(0, 1), (1, 2), (2, 3)])


# -- was it the tools -----------------------------------------------------------------------


@dataclass
class Placed:
    """A process on its cores."""

    name: str
    cores: set[int] = field(default_factory=lambda: {0})


TOOLS = [Placed("rtus"), Placed("masters"), Placed("relay", {1})]


@pytest.mark.parametrize(
    ("spent", "said"),
    [
        ({"rtus": 4, "masters": 4, "relay": 10, "others": 1}, []),
        ({"rtus": 5, "masters": 4.5, "relay": 5, "others": 0}, ["rtus is busy", "masters is busy"]),
        ({"rtus": 1, "masters": 1, "relay": 5, "others": 3}, ["other programs use 30%"]),
    ],
)
def test_spoilt(spent: dict[str, float], said: list[str]) -> None:
    """Tools that share a core are busy together; a busy relay is what is measured."""
    warnings = spoilt(TOOLS, spent, 10)
    assert len(warnings) == len(said)
    assert all(text in warning for text, warning in zip(said, warnings, strict=True))


def test_spoiltOnManyCores() -> None:
    """A tool has one core at most, however many there are."""
    tool = [Placed("masters", {0, 1, 2})]
    assert not spoilt(tool, {"masters": 8, "others": 0}, 10)
    assert spoilt(tool, {"masters": 9.5, "others": 0}, 10)


# -- tables ---------------------------------------------------------------------------------


def result(number: int, version: str, workload: str = "one", **figures: float) -> dict[str, Any]:
    """One measurement."""
    return {
        "workload": workload,
        "version": version,
        "round": number,
        "figures": figures,
        "warnings": [] if figures else ["FAILED"],
        "curves": {},
    }


def document(*results: dict[str, Any], versions: tuple[str, ...] = ("present",)) -> dict[str, Any]:
    """Results as they are written."""
    return {
        "machine": dict.fromkeys(
            ("processor", "system", "python", "twisted", "revision", "awake"), "x"
        )
        | {"cores": 2, "date": "2024-06-15"},
        "settings": {"groups": 1000, "fleet": 2000},
        "versions": list(versions),
        "results": list(results),
    }


def test_everyFigureHasItsWorkload() -> None:
    """Each figure names a workload that there is, and each workload has a figure."""
    assert {figure.workload for figure in FIGURES} == set(WORKLOADS)


def test_pairs() -> None:
    """Ratios are of the same round; a round that failed on one side gives none."""
    compared = document(
        *(result(number, "present", perSecond=speed) for number, speed in enumerate((10, 30, 90))),
        result(0, "old", perSecond=10),
        result(1, "old"),
        result(2, "old", perSecond=45),
        versions=("present", "old"),
    )
    (row,) = rows(compared)
    assert row.spread == Spread((10, 30, 90))
    assert row.ratios == Spread((1, 2))
    assert "x 1.500 [1.000 – 2.000]" in show(compared)
    assert "! one, round 2, old: FAILED" in show(compared)


def test_show() -> None:
    """The table has median, least and most, the goal, and the parts by their own names."""
    text = show(
        document(
            result(0, "present", "twenty", cpuPer100k=0.5),
            result(1, "present", "twenty", cpuPer100k=0.3),
            result(0, "present", "micro", **{"read a frame": 812.4}),
        )
    )
    assert "0.400 [0.300 – 0.500] s  goal 0.4" in text
    assert "read a frame" in text and "812 ns" in text


# -- plots ----------------------------------------------------------------------------------


def test_bars() -> None:
    """Bars are as long as their medians; names are escaped."""
    drawing = bars("A & B", "/s", {"<one>": Spread((5, 10, 20)), "two": Spread((30,))})
    page = ElementTree.fromstring(drawing)
    first, second = (float(bar.attrib["width"]) for bar in page.iter(f"{SVG}rect"))
    assert second / first == pytest.approx(3, rel=0.01)
    texts = [text.text for text in page.iter(f"{SVG}text")]
    assert {"A & B", "<one>", "10 /s", "30 /s"} <= set(texts)


def test_lines() -> None:
    """Each curve is a line with its name, within the page."""
    page = ElementTree.fromstring(
        lines("title", "x", "y", {"one": [(0, 0), (5, 100)], "two": [(0, 50), (10, 50)]})
    )
    drawn = [curve.attrib["points"] for curve in page.iter(f"{SVG}polyline")]
    assert len(drawn) == 2
    places = [
        float(place) for points in drawn for pair in points.split() for place in pair.split(",")
    ]
    assert min(places) >= 0 and max(places) <= 720


@pytest.mark.parametrize(
    ("least", "most", "expected"),
    [(0, 10, [0, 2, 4, 6, 8, 10]), (0, 0.3, [0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3]), (7, 7, [7])],
)
def test_ticks(least: float, most: float, expected: list[float]) -> None:
    """Axes have a few round numbers."""
    assert ticks(least, most) == pytest.approx(expected)


def test_draw() -> None:
    """What was not measured is not drawn."""
    assert draw(document(result(0, "present"))) == {}
    drawn = draw(document(result(0, "present", perSecond=5)))
    assert list(drawn) == ["throughput.svg"]
    assert "5 /s" in drawn["throughput.svg"]


# -- the page -------------------------------------------------------------------------------


def test_replaced() -> None:
    """Only what stands between the marks changes."""
    page = "a\n<!-- x -->\nold\n<!-- /x -->\nb\n"
    assert replaced(page, "x", "new\n") == "a\n<!-- x -->\nnew\n<!-- /x -->\nb\n"
    with pytest.raises(ValueError, match="no marks y"):
        replaced(page, "y", "new")


def test_render(tmp_path: Path) -> None:
    """The page takes all results, again and again, with what repeats each of them."""
    measured = document(
        result(0, "present", "twenty", cpuPer100k=0.123),
        result(0, "present", "micro", **{"read a frame": 812.4}),
    )
    (tmp_path / "bench.json").write_text(json.dumps(measured), "utf-8")
    growth = {"estimate": 1.5, "low": -2.0, "high": 4.0}
    memory = {
        "samples": [[3600, 1]],
        "growth": growth,
        "blocks": [[3600, 7654321]],
        "blockGrowth": growth,
        "delivered": 1234567,
        "pauses": [0.1, 7.3],
    }
    (tmp_path / "memory.json").write_text(json.dumps(memory), "utf-8")
    row = {
        "work": "w",
        "unit": "",
        "digits": 2,
        "values": {"here": [0.5, 0.7], "there": [0.25]},
        "goal": "0.50",
        "command": "c",
    }
    reference = tmp_path / "reference.json"
    reference.write_text(json.dumps({"columns": ["here", "there"], "rows": [row]}), "utf-8")
    page = render(PAGE.read_text("utf-8"), tmp_path, reference)
    for text in ("0.123 s | 0.4 s | `make bench ARGS=twenty`", "812 ns", "2024-06-15", "1,234,567"):
        assert text in page
    assert "-2 to +4) of 7,654,321" in page
    for text in ("-2.0 to +4.0", "7.3 ms", "0.60 [0.50 – 0.70] | 0.25 | 0.50 | `c`"):
        assert text in page
    assert render(page, tmp_path, reference) == page
