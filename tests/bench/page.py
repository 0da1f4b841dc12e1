"""Puts measured figures and plots into docs/performance.md, so that none is typed by hand.

    python -m tests.bench.page bench-results [--reference FILE]

takes ``bench.json``, ``memory.json`` and the plots from the folder. What stands in the page between
``<!-- NAME -->`` and ``<!-- /NAME -->`` is replaced. The reference file holds what was measured
against another program: ``{"rows": [{"work", "unit", "digits", "values", "goal", "command"}]}``.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from pathlib import Path
from typing import Any

from tests.bench.figures import Spread, rows, warned
from tests.bench.slope import CONFIDENCE
from tests.interop.waiting import ROOT

PAGE = ROOT / "docs" / "performance.md"
#: What comes of the results in words that are no figures.
_KEPT_AWAKE = "were kept awake, but for `rest` and `fleet`"
_NO_WARNING = "No measurement was disturbed: no tool used up its core, nobody else was busy."

Document = dict[str, Any]


def replaced(page: str, name: str, content: str) -> str:
    """The page with other content between a pair of marks.

    :raises ValueError: when the marks are not there.
    """
    before, mark, rest = page.partition(f"<!-- {name} -->\n")
    _, end, after = rest.partition(f"<!-- /{name} -->")
    if not mark or not end:
        raise ValueError(f"the page has no marks {name}")
    return f"{before}{mark}{content.rstrip()}\n{end}{after}"


def table(headings: list[str], cells: list[list[str]]) -> str:
    """A table of Markdown."""
    lines = [headings, ["---"] * len(headings), *cells]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def figures(document: Document) -> str:
    """What was measured of the whole relay, with the command that repeats it."""
    cells = [
        [
            row.figure.title,
            f"{row.spread.text(row.figure.digits)} {row.figure.unit}",
            "" if row.figure.goal is None else f"{row.figure.goal:g} {row.figure.unit}",
            f"`make bench ARGS={row.figure.workload}`",
        ]
        for row in rows(document)
        if row.figure.workload != "micro"
    ]
    return table(["work", "median [least – most]", "to be reached", "again"], cells)


def parts(document: Document) -> str:
    """What was measured of the parts by themselves."""
    cells = [
        [row.figure.title, f"{row.spread.text(row.figure.digits)} ns"]
        for row in rows(document)
        if row.figure.workload == "micro"
    ]
    return table(["part", "median [least – most]"], cells)


def circumstances(document: Document) -> str:
    """On what it was measured, and what may have spoilt it."""
    machine = document["machine"]
    settings = document["settings"]
    count = len({result["round"] for result in document["results"]})
    warnings = warned(document)
    return "\n".join(
        (
            f"{machine['date']}, revision {machine['revision']}, {count} runs:"
            f" {machine['processor']}, {machine['cores']} cores, {machine['system']},"
            f" Python {machine['python']}, Twisted {machine['twisted']};"
            f" {settings['groups']} groups at rest, {settings['fleet']} that start at once."
            f" Idle processors {_KEPT_AWAKE if machine['awake'] else 'may have slept'}.",
            "",
            *([f"* {text}" for text in warnings] or [_NO_WARNING]),
        )
    )


def memory(document: Document) -> str:
    """What the long run found."""
    growth, objects = document["growth"], document["blockGrowth"]
    pauses = document["pauses"]
    minutes = document["samples"][-1][0] / 60
    return (
        f"{minutes:.0f} minutes, {document['delivered']:,} deliveries:"
        f" {growth['estimate']:+.1f} kB an hour, {CONFIDENCE:.0%} confidence from"
        f" {growth['low']:+.1f} to {growth['high']:+.1f} kB an hour. Blocks of Python's objects:"
        f" {objects['estimate']:+.0f} an hour ({objects['low']:+.0f} to {objects['high']:+.0f}) of"
        f" {document['blocks'][-1][1]:,.0f}. The longest of"
        f" {len(pauses)} garbage collections took {max(pauses, default=0):.1f} ms."
    )


def compared(document: Document) -> str:
    """What was measured against another program, in one column for each of the circumstances."""
    columns = document["columns"]
    cells = [
        [
            row["work"],
            *(
                f"{Spread(tuple(row['values'][name])).text(row['digits'])} {row['unit']}".strip()
                for name in columns
            ),
            row["goal"],
            f"`{row['command']}`",
        ]
        for row in document["rows"]
    ]
    return table(["work", *columns, "to be reached", "measured with"], cells)


def render(page: str, folder: Path, reference: Path | None) -> str:
    """The page with all that is in the folder."""
    bench, slope = folder / "bench.json", folder / "memory.json"
    if bench.exists():
        document = json.loads(bench.read_text("utf-8"))
        for name, part in (("measured", figures), ("parts", parts), ("machine", circumstances)):
            page = replaced(page, name, part(document))
    if slope.exists():
        page = replaced(page, "memory", memory(json.loads(slope.read_text("utf-8"))))
    if reference is not None:
        page = replaced(page, "reference", compared(json.loads(reference.read_text("utf-8"))))
    return page


def main() -> int:
    """Write the page and the plots."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.page")
    parser.add_argument("folder", type=Path, help="where results are")
    parser.add_argument("--reference", type=Path, help="figures against another program")
    arguments = parser.parse_args()
    page = render(PAGE.read_text("utf-8"), arguments.folder, arguments.reference)
    PAGE.write_text(page, "utf-8")
    plots = PAGE.with_suffix("")
    plots.mkdir(exist_ok=True)
    for plot in arguments.folder.glob("*.svg"):
        shutil.copy(plot, plots)
    print(f"{PAGE} and {plots}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
