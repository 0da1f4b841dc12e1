"""The benchmark's tools against a real relay: all figures are there, and no frame is wrong."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.bench.figures import FIGURES
from tests.interop.waiting import ROOT

SHORT = ["--rounds", "1", "--seconds", "0.3", "--rest", "0.5", "--groups", "10", "--fleet", "5"]
#: Seconds that one call may take.
TIME = 100


def run(folder: Path, *arguments: str) -> dict[str, Any]:
    """Run the benchmark; its results."""
    command = [sys.executable, "-m", "tests.bench", *arguments, *SHORT, "--out", str(folder)]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=TIME, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "FAILED" not in done.stdout
    document: dict[str, Any] = json.loads((folder / "bench.json").read_text("utf-8"))
    return document


def keys(workload: str) -> set[str]:
    """The figures that the tables know of a workload."""
    return {figure.key for figure in FIGURES if figure.workload == workload}


@pytest.mark.smoke
def test_throughput(tmp_path: Path) -> None:
    """A short measurement of throughput gives its figures, from a relay that relays."""
    (result,) = run(tmp_path, "one")["results"]
    assert keys("one") <= result["figures"].keys()
    assert result["figures"]["perSecond"] > 100
    assert (tmp_path / "throughput.svg").exists()


@pytest.mark.parametrize("workload", ["mixed", "latency", "commands", "line", "rest", "fleet"])
def test_workload(tmp_path: Path, workload: str) -> None:
    """Each workload gives all the figures that the tables know of it."""
    (result,) = run(tmp_path, workload)["results"]
    assert keys(workload) <= result["figures"].keys()


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="needs the history")
def test_compare(tmp_path: Path) -> None:
    """A revision is measured in turn with the working tree."""
    document = run(tmp_path, "one", "--compare", "HEAD")
    assert [result["version"] for result in document["results"]] == ["present", "HEAD"]


def test_memory(tmp_path: Path) -> None:
    """The long run, short: a slope, and all events are delivered."""
    command = [sys.executable, "-m", "tests.bench.memory", "--minutes", "0.05", "--groups", "2"]
    subprocess.run(
        [*command, "--every", "0.1", "--out", tmp_path], cwd=ROOT, timeout=TIME, check=False
    )
    result = json.loads((tmp_path / "memory.json").read_text("utf-8"))
    assert result["delivered"] > 100
    assert result["growth"]["low"] <= result["growth"]["estimate"] <= result["growth"]["high"]
