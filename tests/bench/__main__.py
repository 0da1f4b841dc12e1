"""The project's own benchmark; `make bench` runs it.

    python -m tests.bench [WORKLOAD ...] [--rounds 3] [--compare REVISION] [--out FOLDER]

Prints a table, writes ``bench.json`` and plots into a folder. Each round measures every workload
once, so that what changes on the machine meanwhile meets all of them. With ``--compare`` each
workload is measured of the present tree and of the revision in turn, by the same tools, and the
ratio of each pair is shown. Needs Linux, and two cores that nobody else uses.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Sequence
from contextlib import nullcontext
from importlib.metadata import version as installed
from io import BytesIO
from pathlib import Path
from typing import Any

from tests.bench.drawings import draw
from tests.bench.figures import show
from tests.bench.processes import LATENCY, Trouble, awake
from tests.bench.scene import Version
from tests.bench.workloads import WORKLOADS, Outcome, Settings
from tests.interop.waiting import ROOT
from tests.soak.relay import endInOrder

#: Where results go, in the project's folder.
OUT = "bench-results"
#: Seconds after which the parts by themselves must be measured.
_MICRO_TIME = 120
#: Descriptors that one group needs in the process that has most of them.
_DESCRIPTORS = 6


def export(revision: str, folder: Path) -> Version:
    """A revision's packages in a folder; raises SystemExit when git does not know it."""
    archive = subprocess.run(
        ["git", "archive", "--format=tar", revision, "mm2ss", "twisted"],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    if archive.returncode:
        raise SystemExit(f"git cannot give {revision}: {archive.stderr.decode().strip()}")
    with tarfile.open(fileobj=BytesIO(archive.stdout)) as tar:
        tar.extractall(folder, filter="data")
    return Version(revision, folder)


def micro(_settings: Settings, version: Version) -> Outcome:
    """The parts by themselves, in a process of that version."""
    with tempfile.TemporaryDirectory() as folder:  # a module of the current folder would come first
        done = subprocess.run(
            [sys.executable, "-m", "tests.bench.micro", "--json"],
            cwd=folder,
            env=version.environment,
            capture_output=True,
            check=False,
            text=True,
            timeout=_MICRO_TIME,
        )
    if done.returncode:
        raise Trouble(done.stderr[-2000:])
    *notes, figures = done.stdout.splitlines()
    return Outcome(json.loads(figures), notes, {})


ALL = {**WORKLOADS, "micro": micro}
#: Workloads of which the CPU time at little load is told: there processors sleep as at a site.
_ASLEEP = ("rest", "fleet")


def measure(
    names: Sequence[str],
    versions: Sequence[Version],
    settings: Settings,
    rounds: int,
    minutes: float,
) -> list[dict[str, Any]]:
    """All rounds; none begins that would last beyond the time, if the first one is a measure."""
    results: list[dict[str, Any]] = []
    begun = time.monotonic()
    for number in range(rounds):
        for name in names:
            for version in versions:
                results.append(_one(name, version, settings, number))
        spent = time.monotonic() - begun
        if spent + spent / (number + 1) > minutes * 60:
            print(f"{number + 1} of {rounds} rounds are done; there is no time for another")
            break
    return results


def _one(name: str, version: Version, settings: Settings, number: int) -> dict[str, Any]:
    """One measurement; the screen shows how it goes. One that failed has no figures."""
    print(f"round {number + 1}: {name}, {version.name} ... ", end="", flush=True)
    begun = time.monotonic()
    try:
        with nullcontext() if name in _ASLEEP else awake():
            outcome = ALL[name](settings, version)
    except Trouble as trouble:
        outcome = Outcome({}, [f"FAILED: {trouble}"], {})
    print(f"{time.monotonic() - begun:.0f} s", *outcome.warnings, sep="; ")
    return {
        "workload": name,
        "version": version.name,
        "round": number,
        "figures": outcome.figures,
        "warnings": outcome.warnings,
        "curves": outcome.curves,
    }


def machine() -> dict[str, Any]:
    """What it was measured on."""
    models = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    return {
        "processor": models[0] if models else platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "twisted": installed("twisted"),
        "revision": _revision(),
        "date": time.strftime("%Y-%m-%d"),
        "awake": _isKeptAwake(),
    }


def _isKeptAwake() -> bool:
    """Whether processors were kept from sleeping where single events are measured."""
    with awake() as kept:
        return kept


def _revision() -> str:
    """What stands in the working tree."""
    command = ["git", "describe", "--always", "--dirty"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=False, text=True)
    return done.stdout.strip() or "unknown"


def _arguments(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    add = parser.add_argument
    add("workloads", nargs="*", metavar="WORKLOAD", help=f"{', '.join(ALL)}; all without any")
    add("--rounds", type=int, default=3, help="of each workload (%(default)s)")
    add("--minutes", type=float, default=14, help="then no new round begins (%(default)s)")
    add("--seconds", type=float, default=3, help="under load (%(default)s)")
    add("--rest", type=float, default=20, help="seconds at rest (%(default)s)")
    add("--groups", type=int, default=1000, help="at rest (%(default)s)")
    add("--fleet", type=int, default=2000, help="groups that start at once (%(default)s)")
    add("--compare", metavar="REVISION", help="a revision of git to compare with")
    add("--out", default=str(ROOT / OUT), help="folder for the results (%(default)s)")
    arguments = parser.parse_args(words)
    unknown = set(arguments.workloads) - set(ALL)
    if unknown:
        parser.error(f"{', '.join(sorted(unknown))}: not a workload; there are {', '.join(ALL)}")
    return arguments


def _fit(settings: Settings) -> Settings:
    """As many groups as descriptors allow. Every process raises its own limit, also the relay."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = hard // _DESCRIPTORS if hard != resource.RLIM_INFINITY else settings.fleet
    if max(settings.fleet, settings.groups) > most:
        print(f"{hard} descriptors allow {most} groups only")
    return Settings(
        settings.seconds,
        settings.restSeconds,
        min(settings.groups, most),
        min(settings.fleet, most),
    )


def main(words: Sequence[str] | None = None) -> int:
    """Measure, show, write; 1 when anything failed: frames were wrong, something ended or hung."""
    endInOrder()
    arguments = _arguments(words)
    asked = Settings(arguments.seconds, arguments.rest, arguments.groups, arguments.fleet)
    settings = _fit(asked)
    if not _isKeptAwake():
        print(f"{LATENCY} cannot be written: processors may sleep, which delays single events")
    with tempfile.TemporaryDirectory(prefix="mm2ss-revision-") as folder:
        versions = [Version()]
        if arguments.compare:
            versions.append(export(arguments.compare, Path(folder)))
        names = arguments.workloads or list(ALL)
        results = measure(names, versions, settings, arguments.rounds, arguments.minutes)
    document = {
        "machine": machine(),
        "settings": vars(settings),
        "versions": [version.name for version in versions],
        "results": results,
    }
    print(f"\n{show(document)}")
    out = Path(arguments.out)
    out.mkdir(parents=True, exist_ok=True)
    (out / "bench.json").write_text(json.dumps(document, indent=1) + "\n", "utf-8")
    for name, drawing in draw(document).items():
        (out / name).write_text(drawing, "utf-8")
    print(f"\n{out / 'bench.json'} and plots beside it")
    return int(any(not result["figures"] for result in results))


if __name__ == "__main__":
    sys.exit(main())
