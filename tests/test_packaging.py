"""What is built and what is pinned is what the source says."""

from __future__ import annotations

import configparser
import re
import shutil
import subprocess
import sys
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest
from twisted.application.service import IServiceMaker
from twisted.plugin import getPlugins

import mm2ss

ROOT = Path(__file__).resolve().parent.parent


def distributionNames(requirements: list[str]) -> set[str]:
    """The normalized names of the packages in lines as ``name >= 1.0``."""
    names = (re.split(r"[^A-Za-z0-9._-]", line.strip(), maxsplit=1)[0] for line in requirements)
    return {re.sub(r"[-_.]+", "-", name).lower() for name in names if name}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """A wheel built as `make wheel` does, from a copy of the tree where an old build has left a
    module that is deleted in the source."""
    tree = tmp_path_factory.mktemp("packaging") / "tree"
    leaveOut = shutil.ignore_patterns(
        ".venv*", ".git", ".*_cache", ".hypothesis", "__pycache__", "build", "dist", "*.egg-info"
    )
    shutil.copytree(ROOT, tree, ignore=leaveOut)
    stale = tree / "build" / "lib" / "mm2ss" / "gone.py"
    stale.parent.mkdir(parents=True)
    stale.touch()
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", "dist", "."]
    done = subprocess.run(command, cwd=tree, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(list((tree / "dist").glob("*.tar.gz"))) == 1
    (built,) = (tree / "dist").glob("*.whl")
    return zipfile.ZipFile(built)


def test_wheel_holds_the_source(wheel: zipfile.ZipFile) -> None:
    """Every module and the plugin are in the wheel, and nothing else: no test, no old module."""
    modules = {str(path.relative_to(ROOT)) for path in (ROOT / "mm2ss").rglob("*.py")}
    built = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert built == modules | {"mm2ss/py.typed", "twisted/plugins/mm2ss_plugin.py"}


def test_wheel_metadata(wheel: zipfile.ZipFile) -> None:
    """Version, licence and Python versions are as declared."""
    (name,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    metadata = Parser().parsestr(wheel.read(name).decode())
    assert metadata["Version"] == mm2ss.__version__
    assert metadata["License-Expression"] == "GPL-3.0-or-later"
    assert metadata["Requires-Python"] == ">=3.10"


def test_plugin_folder_is_no_package() -> None:
    """An __init__.py there would hide Twisted's own plugins, and ours from Twisted."""
    assert list((ROOT / "twisted").rglob("__init__.py")) == []


def test_twistd_knows_the_command() -> None:
    """twistd offers `mm2ss`, once."""
    names = [maker.tapname for maker in getPlugins(IServiceMaker)]
    assert names.count("mm2ss") == 1


def test_requirements_are_pinned() -> None:
    """What the program and its tests need directly is in test.txt, with one exact version."""
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    runtime = distributionNames(setup["options"]["install_requires"].splitlines())
    folder = ROOT / "requirements"
    direct = (folder / "test.in").read_text().splitlines()
    pins = (folder / "test.txt").read_text().splitlines()
    lines = [line for line in pins if not line.startswith("#")]
    assert runtime <= distributionNames([line for line in direct if not line.startswith("#")])
    assert distributionNames([line for line in direct if not line.startswith("#")]) <= (
        distributionNames(lines)
    )
    pin = re.compile(r'[A-Za-z0-9._-]+==[A-Za-z0-9.]+(; python_version (<|>=) "3\.\d+")?')
    assert [line for line in lines if not pin.fullmatch(line)] == []
