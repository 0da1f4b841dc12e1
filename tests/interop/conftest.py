"""The scene of an interop test, and its logs in the report of a failure."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from tests.interop.harness import Scene


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    """Starts processes and connections for a test and ends them with it, whatever happens."""
    with contextlib.ExitStack() as stack:
        yield Scene(tmp_path, stack)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show what the relay and the stations logged when a test fails."""
    report = yield
    scene = getattr(item, "funcargs", {}).get("scene")
    if report.failed and isinstance(scene, Scene):
        report.sections += [(f"seen by {name}", text) for name, text in scene.reports()]
    return report
