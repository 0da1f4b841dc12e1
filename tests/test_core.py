"""The compiled core: what belongs to it, how it is built, and that a run says which one it is."""

from __future__ import annotations

import ast
import importlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import cast

import pytest
from twisted.logger import ILogObserver, Logger, formatEvent

from mm2ss import __version__
from mm2ss.iec104.core import COMPILED, CORE
from mm2ss.iec104.loop import Loop
from mm2ss.relay.fleet import Fleet
from mm2ss.tap import RelayService
from tests.fakes import VirtualClock
from tests.groups import World
from tests.test_layers import isPure

ROOT = Path(__file__).parent.parent
#: Asks for the requirements of a build, as its front end does.
ASK = "from setuptools.build_meta import *; print(get_requires_for_build_wheel())"


def coreModules() -> list[str]:
    """The full names of what setup.py compiles."""
    for node in ast.parse((ROOT / "setup.py").read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "CORE":
            parts: dict[str, str] = ast.literal_eval(node.value)
            return [f"mm2ss.{part}.{name}" for part in parts for name in parts[part].split()]
    raise AssertionError("setup.py names no CORE")


@pytest.mark.parametrize("name", coreModules())
def test_coreIsOne(name: str) -> None:
    """Every module of the core is pure, and either all are compiled or none is."""
    assert isPure(name)
    path = importlib.import_module(name).__file__
    assert path is not None and path.endswith(".py") is not COMPILED


def test_runIsWhatItShouldBe() -> None:
    """`make test-compiled` tests compiled code, `make test` the source, whatever lies about."""
    assert os.environ.get("MM2SS_CORE", "python") == CORE


def test_startSaysWhichCoreRuns() -> None:
    """The line at the start, and each group's snapshot, name the core."""
    lines: list[str] = []
    service = RelayService(Fleet((), lambda _config: World(up=False).group), Loop(VirtualClock()))
    observer = cast(ILogObserver, lambda event: lines.append(formatEvent(event)))
    service._log = Logger("tap", observer=observer)
    service.startService()
    service.stopService()
    assert lines == [f"mm2ss {__version__}: 0 groups, {CORE} core"]
    with World() as world:
        assert world.group.snapshot().core == CORE


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of what describes the package, beside a mypyc that cannot be imported."""
    for name in ("setup.py", "setup.cfg", "pyproject.toml", "README.md", "COPYING"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / "mm2ss").mkdir()
    shutil.copy(ROOT / "mm2ss" / "__init__.py", tmp_path / "mm2ss")
    (tmp_path / "without" / "mypyc").mkdir(parents=True)
    (tmp_path / "without" / "mypyc" / "__init__.py").write_text("raise ImportError('none here')")
    return tmp_path


def python(project: Path, compiled: bool, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python in the project, with or without the wish for a compiled core."""
    environment = {**os.environ, "PYTHONPATH": str(project / "without")}
    environment["MM2SS_COMPILE"] = "1" if compiled else ""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=project,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_mypyIsRequiredOnlyOnRequest(project: Path) -> None:
    """The build asks for mypy when the core is to be compiled, and otherwise for nothing."""
    assert python(project, False, "-c", ASK).stdout.splitlines()[-1] == "[]"
    assert "'mypy[mypyc]" in python(project, True, "-c", ASK).stdout.splitlines()[-1]


def test_missingMypyIsNamed(project: Path) -> None:
    """Without mypy a compiled build ends with one line that says so; a pure one goes on."""
    failed = python(project, True, "setup.py", "--version")
    assert failed.returncode == 1
    assert failed.stderr.splitlines()[-1].startswith("mm2ss: MM2SS_COMPILE=1 needs mypy[mypyc]")
    assert python(project, False, "setup.py", "--version").returncode == 0


def test_editableIsRefused(project: Path) -> None:
    """Nobody shall edit a source that compiled modules hide."""
    failed = python(project, True, "setup.py", "editable_wheel")
    assert failed.returncode == 1 and "is not for -e" in failed.stderr
