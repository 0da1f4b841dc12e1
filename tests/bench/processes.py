"""The processes of a measurement: how they are started, asked, ended, and what they cost."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from tests.interop.waiting import ROOT, end

#: Seconds that a tool may take for an order.
_ORDER_TIME = 30.0
#: A tool that uses more of its cores, or others that use more of the machine, spoil a measurement.
BUSY, DISTURBED = 0.9, 0.15
#: Where Linux is told how many microseconds it may take to wake up, for as long as it is open.
LATENCY = "/dev/cpu_dma_latency"


class Trouble(Exception):
    """A measurement that is worth nothing: frames were wrong, or something ended or hung."""


class Process:
    """A process, ended by its id; what it costs is read from the system."""

    def __init__(self, name: str, command: Sequence[str | Path], cores: set[int], **more: Any):
        self.name = name
        self.cores = cores
        self._process = subprocess.Popen(command, **more)
        self.pid = self._process.pid
        os.sched_setaffinity(self.pid, cores)

    @property
    def running(self) -> bool:
        """Whether it runs."""
        return self._process.poll() is None

    def cpu(self) -> float:
        """Seconds of CPU time of all its threads so far."""
        total = 0
        for task in Path(f"/proc/{self.pid}/task").iterdir():
            try:
                total += int((task / "schedstat").read_text().split()[0])
            except FileNotFoundError:
                pass  # a thread that has just ended
        return total / 1e9

    def resident(self) -> int:
        """Octets of memory."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGESIZE")

    def stop(self) -> None:
        """End it in order."""
        if self.running:
            self._process.terminate()
        end(self._process)


class ToolProcess(Process):
    """A load tool that takes orders."""

    def __init__(self, module: str, cores: set[int], **arguments: Any) -> None:
        command = [sys.executable, "-m", f"tests.bench.{module}", json.dumps(arguments)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        super().__init__(module, command, cores, cwd=ROOT, **pipes)
        self._buffer = b""

    def ask(self, order: str, **arguments: Any) -> dict[str, Any]:
        """Give an order; the answer."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps([order, arguments]).encode() + b"\n")
        self._process.stdin.flush()
        descriptor = self._process.stdout.fileno()
        while b"\n" not in self._buffer:
            if not select.select([descriptor], [], [], _ORDER_TIME)[0]:
                raise Trouble(f"{self.name} does not answer")
            data = os.read(descriptor, 1 << 20)
            if not data:
                raise Trouble(f"{self.name} ended")
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        answer: dict[str, Any] = json.loads(line)
        if answer.get("errors"):
            raise Trouble(f"{self.name}: {'; '.join(answer['errors'][:3])}")
        return answer

    def stop(self) -> None:
        """End it: its orders end."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        end(self._process)
        self._process.stdout.close()


@contextmanager
def awake(device: str = LATENCY) -> Iterator[bool]:
    """Keep idle processors from going to sleep, where this user may; gives whether they are kept.

    To wake a processor takes tens of microseconds, in a virtual machine up to a millisecond. A
    single event or command wakes four in turn, which would then be most of what is measured.
    """
    try:
        descriptor = os.open(device, os.O_WRONLY)
    except OSError:
        yield False
        return
    try:
        os.write(descriptor, bytes(4))  # a number of 32 bits: 0 µs
        yield True
    finally:
        os.close(descriptor)


class Placed(Protocol):
    """A process on its cores."""

    name: str
    cores: set[int]


def spoilt(processes: Sequence[Placed], cpu: dict[str, float], seconds: float) -> list[str]:
    """Why figures may be those of the tools or of the machine.

    :param cpu: seconds that each process by its name, and "others", spent.
    """
    warnings = []
    for process in processes:
        sharing = [other.name for other in processes if other.cores == process.cores]
        share = sum(cpu[name] for name in sharing) / len(process.cores)
        busy = max(share, cpu[process.name]) / seconds
        if not process.name.startswith("relay") and busy > BUSY:
            warnings.append(f"{process.name} is busy ({busy:.0%} of what it has)")
    if cpu["others"] > DISTURBED * seconds:
        warnings.append(f"other programs use {cpu['others'] / seconds:.0%} of a core")
    return warnings


def cores() -> tuple[set[int], set[int]]:
    """Cores for the tools, and the one for the relay."""
    *others, last = sorted(os.sched_getaffinity(0))
    return set(others) or {last}, {last}


def idleSeconds() -> float:
    """Seconds that all cores of the machine have been idle, waiting for a disk included."""
    fields = Path("/proc/stat").read_text().splitlines()[0].split()
    return (int(fields[4]) + int(fields[5])) / os.sysconf("SC_CLK_TCK")
