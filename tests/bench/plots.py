"""Plots as SVG, without any library: bars with their spread, and lines.

Colours are chosen to be read on white and on black, for a page may be shown on either.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from math import ceil, floor, log10

from tests.bench.figures import Spread

#: Size of a plot, and its margins: left, top, right, bottom.
_WIDTH, _HEIGHT = 720, 360
_LEFT, _TOP, _RIGHT, _BOTTOM = 70, 56, 20, 50
#: Width of a curve's name in the legend.
_LEGEND = 110
_COLOURS = ("#2b7bba", "#d9822b", "#3a9d5d", "#b0478f")
_INK = "#808080"
#: Height of a bar and of the space between two.
_BAR, _GAP = 22, 14
#: Where bars begin.
_LABELS = 330

Point = tuple[float, float]


def _page(height: int, title: str, parts: Sequence[str]) -> str:
    return "\n".join(
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}"'
            f' font-family="sans-serif" font-size="13" fill="{_INK}">',
            f"<title>{escape(title)}</title>",
            _text(_WIDTH / 2, 22, title, "middle", 15),
            *parts,
            "</svg>",
            "",
        )
    )


def _text(x: float, y: float, text: str, anchor: str = "start", size: int = 13) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}">'
        f"{escape(text)}</text>"
    )


def _stroke(
    x: float, y: float, toX: float, toY: float, colour: str = _INK, width: float = 1
) -> str:
    return (
        f'<line x1="{x:.1f}" y1="{y:.1f}" x2="{toX:.1f}" y2="{toY:.1f}"'
        f' stroke="{colour}" stroke-width="{width}"/>'
    )


def bars(title: str, unit: str, table: Mapping[str, Spread], digits: int = 0) -> str:
    """A bar for each name: its length is the median, a thin line spans the measurements."""
    most = max((max(spread.values) for spread in table.values()), default=0) or 1
    scale = (_WIDTH - _LABELS - 130) / most
    parts = []
    for place, (name, spread) in enumerate(table.items()):
        y = _TOP + place * (_BAR + _GAP)
        middle = y + _BAR / 2
        length = spread.median * scale
        least, last = (
            _LABELS + value * scale for value in (min(spread.values), max(spread.values))
        )
        parts += [
            _text(_LABELS - 10, middle + 5, name, "end"),
            f'<rect x="{_LABELS}" y="{y}" width="{length:.1f}" height="{_BAR}"'
            f' fill="{_COLOURS[place % len(_COLOURS)]}"/>',
            _stroke(least, middle, last, middle, width=2),
            _text(
                max(last, _LABELS + length) + 8, middle + 5, f"{spread.median:,.{digits}f} {unit}"
            ),
        ]
    return _page(_TOP + len(table) * (_BAR + _GAP) + 10, title, parts)


def ticks(least: float, most: float) -> list[float]:
    """About five round numbers from one to the other."""
    span = (most - least) or 1
    step = 10 ** floor(log10(span / 4))
    step *= next(factor for factor in (1, 2, 5, 10) if span / (step * factor) <= 6)
    first = ceil(least / step)
    return [number * step for number in range(first, floor(most / step + 1e-9) + 1)]


def lines(title: str, xTitle: str, yTitle: str, curves: Mapping[str, Sequence[Point]]) -> str:
    """A line for each name; the axes hold all points."""
    points = [point for curve in curves.values() for point in curve] or [(0.0, 0.0)]
    left, right = min(x for x, _ in points), max(x for x, _ in points)
    low, high = min(y for _, y in points), max(y for _, y in points)
    width, height = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM

    def across(x: float) -> float:
        return _LEFT + (x - left) / ((right - left) or 1) * width

    def up(y: float) -> float:
        return _TOP + height - (y - low) / ((high - low) or 1) * height

    parts = [
        _stroke(_LEFT, _TOP, _LEFT, _TOP + height),
        _stroke(_LEFT, _TOP + height, _LEFT + width, _TOP + height),
        _text(_LEFT + width / 2, _HEIGHT - 10, xTitle, "middle"),
        _text(10, _TOP - 8, yTitle),
    ]
    parts += [_text(across(x), _TOP + height + 18, f"{x:g}", "middle") for x in ticks(left, right)]
    parts += [_text(_LEFT - 8, up(y) + 4, f"{y:g}", "end") for y in ticks(low, high)]
    for place, (name, curve) in enumerate(curves.items()):
        colour = _COLOURS[place % len(_COLOURS)]
        path = " ".join(f"{across(x):.1f},{up(y):.1f}" for x, y in curve)
        legend = _WIDTH - _RIGHT - _LEGEND * (len(curves) - place)
        parts += [
            f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>',
            _stroke(legend, _TOP - 12, legend + 24, _TOP - 12, colour, 3),
            _text(legend + 30, _TOP - 8, name),
        ]
    return _page(_HEIGHT, title, parts)
