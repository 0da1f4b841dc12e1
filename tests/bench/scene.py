"""What a measurement plays in: fast RTUs, the relay or none, fast masters; and what each costs."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.bench.fastrtu import address
from tests.bench.processes import Process, ToolProcess, Trouble, cores, idleSeconds, spoilt
from tests.interop.harness import TWISTD, row
from tests.interop.waiting import MASTER_IP, ROOT

#: Seconds that the relay may take until all is served.
START_TIME = 120.0
#: Ports of the relay and of the RTUs: below those that the system gives to clients.
_PORTS = range(10_000, 32_000)


@dataclass(frozen=True)
class Version:
    """A version of mm2ss to be measured.

    :ivar name: for tables.
    :ivar folder: where its packages are; None = the present one.
    """

    name: str = "present"
    folder: Path | None = None

    @property
    def environment(self) -> dict[str, str]:
        """For its process."""
        paths = [str(path) for path in (self.folder, ROOT) if path]
        return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}


@dataclass(frozen=True)
class Plan:
    """How many of what.

    :ivar groups: RTUs.
    :ivar masters: of each.
    :ivar direct: without a relay: each master has a stream of the RTU for itself.
    :ivar probe: look into the relay's event loop and garbage collection.
    :ivar k: of all connections, and w.
    :ivar mixed: frames of many lengths.
    :ivar retry: seconds after which a master tries again.
    :ivar shards: processes of the relay that share out the groups, on all cores; 0 = one that
        runs all groups, on a core of its own.
    """

    groups: int = 1
    masters: int = 1
    k: int = 12
    w: int = 8
    mixed: bool = False
    direct: bool = False
    probe: bool = False
    retry: float = 0.5
    shards: int = 0


@dataclass
class Meter:
    """What was spent from one moment to another.

    :ivar seconds: between them.
    :ivar cpu: seconds of CPU of each process by name; "others" is all else on the machine.
    """

    seconds: float = 0
    cpu: dict[str, float] = field(default_factory=dict)


class Scene:
    """RTUs, relay and masters; all end with the context.

    :ivar warnings: why the figures may be those of the tools or of the machine.
    """

    def __init__(self, plan: Plan, version: Version | None = None) -> None:
        self.plan = plan
        self.version = version or Version()
        self.warnings: list[str] = []
        self.relay: Process | None = None
        self._folder = tempfile.TemporaryDirectory(prefix="mm2ss-bench-")
        self.folder = Path(self._folder.name)
        self._processes: list[Process] = []

    def __enter__(self) -> Scene:
        try:
            self._start()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._stop()

    def _start(self) -> None:
        plan = self.plan
        toolCores, relayCores = cores()
        if plan.shards:
            toolCores = relayCores = toolCores | relayCores
        ports = freePorts(plan.groups + 1)
        rtuPort = ports.pop()
        self.rtus = self._run(
            ToolProcess(
                "fastrtu",
                relayCores if plan.direct else toolCores,
                count=plan.groups,
                port=rtuPort,
                k=plan.k,
                mixed=plan.mixed,
            )
        )
        self.rtus.ask("Status")  # it listens
        self.begun = time.monotonic()
        if plan.direct:
            hosts = [(address(number), rtuPort) for number in range(plan.groups)]
        else:
            self._writeGroups(ports, rtuPort)
            self.relay = self._run(self._startRelay(relayCores, min(plan.shards, 1)))
            for index in range(2, plan.shards + 1):
                self._run(self._startRelay(relayCores, index))
            hosts = [(MASTER_IP, port) for port in ports]
        self.masters = self._run(
            ToolProcess(
                "fastmaster",
                toolCores,
                hosts=hosts,
                each=plan.masters,
                k=plan.k,
                w=plan.w,
                shift=int(not plan.direct),
                retry=plan.retry,
                mixed=plan.mixed,
            )
        )

    def _run(self, process: Any) -> Any:
        self._processes.append(process)
        return process

    def _writeGroups(self, ports: list[int], rtuPort: int) -> None:
        plan = self.plan
        rows = [
            row(
                number + 1,
                port,
                f"{address(number)}:{rtuPort}",
                k=plan.k,
                w=plan.w,
                max_conn=plan.masters + 3,
                bufsize=max(1000, plan.k),
            )
            for number, port in enumerate(ports)
        ]
        (self.folder / "groups.csv").write_text("\n".join(rows) + "\n", "utf-8")

    def _startRelay(self, cores: set[int], index: int) -> Process:
        """Start the relay, or one shard (counted from 1) of it."""
        plan = self.plan
        command: list[str | Path] = [TWISTD]
        if plan.probe:
            command = [sys.executable, "-m", "tests.bench.probe", self.folder / "probe.json"]
        command += ["-n", "--pidfile=", "mm2ss", "-i", "groups.csv"]
        if index:
            command += ["--shard", f"{index}/{plan.shards}"]
        with (self.folder / "twistd.log").open("ab") as log:
            return Process(
                f"relay {index}" if index > 1 else "relay",
                command,
                cores,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self.version.environment,
            )

    def _stop(self) -> None:
        for process in reversed(self._processes):
            process.stop()
        self._processes.clear()
        self._folder.cleanup()

    # -- what measurements do ---------------------------------------------------------------

    def stopRelay(self) -> None:
        """End the relay in order; its files are still there."""
        assert self.relay is not None
        self.relay.stop()

    def until(self, condition: Callable[[], bool], what: str, seconds: float = START_TIME) -> None:
        """Wait for something.

        :raises Trouble: when it does not happen, or the relay ends.
        """
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                raise Trouble(f"not within {seconds:g} s: {what}\n{self.log[-2000:]}")
            if self.relay is not None and not self.relay.running:
                raise Trouble(f"the relay ended\n{self.log[-2000:]}")
            time.sleep(0.02)

    def served(self) -> float:
        """Wait until all masters and all RTUs have data transfer; the moment when it was so."""

        def allServed() -> bool:
            status = self.masters.ask("Status")
            return bool(status["live"] == status["of"])

        def allStarted() -> bool:
            return bool(self.rtus.ask("Status")["started"] >= self.plan.groups)

        self.until(allServed, "all masters are served")
        self.until(allStarted, "all RTUs are started")
        moments = self.masters.ask("Status")["allLive"], self.rtus.ask("Status")["startedAt"]
        return float(max(moments))

    def drained(self) -> int:
        """Wait until all that was sent has come to all; events that each master has.

        :raises Trouble: when not all comes, or more.
        """
        sent = self.rtus.ask("Status")["sent"]
        expected = sent if self.plan.direct else sent * self.plan.masters
        self.until(
            lambda: bool(self.masters.ask("Status")["received"] >= expected),
            f"all {expected} frames are delivered",
            30,
        )
        received = self.masters.ask("Status")["received"]
        if received != expected:
            raise Trouble(f"{received} frames for {expected}")
        return int(received)

    def meter(self, body: Callable[[], Any]) -> Meter:
        """Do something, and see what it takes; warn where a tool or somebody else was busy."""
        before, idle, begun = self._spent(), idleSeconds(), time.monotonic()
        body()
        seconds = time.monotonic() - begun
        after, idle = self._spent(), idleSeconds() - idle
        cpu = {name: after[name] - before[name] for name in after}
        count = os.cpu_count() or 1
        cpu["others"] = max(0.0, seconds * count - idle - sum(cpu.values()))
        for text in spoilt(self._processes, cpu, seconds):
            if text not in self.warnings:
                self.warnings.append(text)
        return Meter(seconds, cpu)

    def _spent(self) -> dict[str, float]:
        return {process.name: process.cpu() for process in self._processes}

    @property
    def log(self) -> str:
        """The relay's log."""
        path = self.folder / "twistd.log"
        return path.read_text("utf-8", "replace") if path.exists() else ""


def freePorts(count: int) -> list[int]:
    """Ports that nobody listens on now."""
    free: list[int] = []
    for port in _PORTS[os.getpid() % 5000 :]:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("0.0.0.0", port))
            except OSError:
                continue
        free.append(port)
        if len(free) == count:
            return free
    raise Trouble(f"there are no {count} free ports")
