"""One groups file shared out to several real processes, whose number changes."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from mm2ss.config.shard import Shard
from tests.interop.harness import RTU_IP, TWISTD, Scene, end, row
from tests.interop.rawstations import RawRtu, RawStation
from tests.interop.waiting import listening, waitFor

GROUPS = range(1, 7)
STARTDT_ACT, STARTDT_CON = "68 04 07 00 00 00", "68 04 0b 00 00 00"
STOPDT_ACT = "68 04 13 00 00 00"


def event(sent: int, value: int) -> str:
    """A single point with a send sequence number (and 0 received)."""
    return f"68 0e {2 * sent:02x} 00 00 00 01 01 03 00 20 00 64 00 00 {value:02x}"


def acknowledgement(count: int) -> str:
    """An S frame."""
    return f"68 04 01 00 {2 * count:02x} 00"


class Process:
    """A relay, or a shard of one, in a folder that it shares with others."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self._log = folder / f"{'-'.join(('twistd', *arguments)).replace('/', '-')}.log"
        command: list[str | Path] = [
            TWISTD,
            "-n",
            "--pidfile=",
            "mm2ss",
            "-i",
            "groups.csv",
            "--config",
            "s.yaml",
        ]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [*command, *arguments], cwd=folder, stdout=log, stderr=subprocess.STDOUT
            )

    @property
    def log(self) -> str:
        """What it logged."""
        return self._log.read_text()

    def kill(self) -> None:
        """End it without any warning."""
        if self._process.poll() is None:
            os.kill(self._process.pid, signal.SIGKILL)
        end(self._process)

    def wait(self) -> int:
        """Its status, when it has ended by itself."""
        return self._process.wait(30)


class Site:
    """Six RTUs, and the processes that share them out."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.folder = scene.folder
        self.ports = {number: scene.port() for number in GROUPS}
        self.rtus: dict[int, RawRtu] = {}
        rows = []
        for number in GROUPS:
            port = scene.port()
            self.rtus[number] = scene.rawRtu(port)
            rows.append(row(number, self.ports[number], f"{RTU_IP}:{port}"))
        self.metrics = scene.port(3)  # and the next two: one for each process
        (self.folder / "groups.csv").write_text("\n".join(rows) + "\n", "utf-8")
        (self.folder / "s.yaml").write_text(f"metrics: {{enabled: true, port: {self.metrics}}}\n")

    def run(self, *arguments: Sequence[str]) -> list[Process]:
        """Start processes, all at once."""
        processes = [Process(self.folder, *each) for each in arguments]
        for number, process in enumerate(processes):
            self.scene.cleanUp(process.kill)
            self.scene.reportOn(f"process {number}", lambda process=process: process.log)  # type: ignore[misc]  # mypy cannot infer it
        return processes

    def shards(self, count: int) -> list[Process]:
        """Start all of so many."""
        return self.run(*(("--shard", f"{index}/{count}") for index in range(1, count + 1)))

    def session(self, number: int, *events: str) -> None:
        """A master of a group connects, gets what it must have missed, acknowledges nothing."""
        rtu = self.scene.raw(self.rtus[number].accept())
        port = self.ports[number]
        waitFor(lambda: listening(port), f"port {port} is open")
        master = self.scene.raw(RawStation.started(port))
        rtu.expect(STARTDT_ACT)
        rtu.send(STARTDT_CON)
        master.expect(*events)
        if not events:
            rtu.send(event(0, number & 1))
            master.expect(event(1, number & 1))
            master.close()
            got = {rtu.receive().hex(" ") for _ in range(2)}
            assert got == {STOPDT_ACT, acknowledgement(1)}  # it is in the journal


def owner(number: int, count: int) -> int:
    """The index of the shard that has a group."""
    return next(i for i in range(1, count + 1) if Shard(i, count).owns(number))


def test_theNumberOfShardsChanges(scene: Scene) -> None:
    """From one process to two, to three, and back to one, each time by kill -9: each group is
    served by one of them, and its event, that no master has taken, is with it."""
    site = Site(scene)
    (whole,) = site.run(())
    for number in GROUPS:
        site.session(number)
    whole.kill()
    for count in (2, 3):
        processes = site.shards(count)
        for number in GROUPS:
            site.session(number, event(1, number & 1))
        for index, process in enumerate(processes, 1):
            own = sum(owner(number, count) == index for number in GROUPS)
            assert f"{own} groups" in process.log and "Traceback" not in process.log
            waitFor(lambda at=site.metrics + index - 1: listening(at), "its metrics")  # type: ignore[misc]  # mypy cannot infer it
        for process in processes:
            process.kill()
    (whole,) = site.run(())
    for number in GROUPS:
        site.session(number, event(1, number & 1))
    assert "Traceback" not in whole.log
    assert os.listdir(site.folder / "state" / "parcels") == []


@pytest.mark.smoke
def test_anotherDivisionStillRuns(scene: Scene) -> None:
    """A shard of three does not start while one of two runs; it names that process and ends."""
    site = Site(scene)
    first, second = site.shards(2)
    waitFor(lambda: "are held in" in second.log, "the second one has its journal")
    waitFor(lambda: "are held in" in first.log, "the first one has its journal")
    (late,) = site.run(("--shard", "3/3"))
    assert late.wait() != 0
    assert "runs as shard 1/2; this one is to run as shard 3/3" in late.log
    assert "stop that process first" in late.log
