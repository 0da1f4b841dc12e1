"""The relay as a process that is killed and started again, always in the same folder."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tests.interop.harness import TWISTD
from tests.interop.waiting import END_TIME, end

#: What must not stand in its log.
_BAD_WORDS = ("Traceback", "Unhandled", "#critical")


class RelayProcess:
    """A ``twistd mm2ss`` that can be started again and again.

    :param folder: its working folder; made if it is not there.
    :param rows: of the groups' file.
    :param service: the service file's text.
    :param arguments: more for the command line.
    :ivar starts: how often it was started.
    :ivar problems: where it ended by itself, or not as told.
    :ivar figures: what else is to be counted, by name.
    """

    def __init__(
        self, folder: Path, rows: Sequence[str], service: str, arguments: Sequence[str] = ()
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "groups.csv").write_text("\n".join(rows) + "\n", "utf-8")
        (folder / "mm2ss.yaml").write_text(service, "utf-8")
        self.folder = folder
        self._arguments = arguments
        self._log = folder / f"{'-'.join(('twistd', *arguments)).replace('/', '-')}.log"
        self.starts = 0
        self.problems: list[str] = []
        self.figures: Counter[str] = Counter()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Its process id, while it runs."""
        assert self._process is not None
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it runs; an end that nobody asked for is a problem."""
        process = self._process
        if process is None:
            return False
        status = process.poll()
        if status is None:
            return True
        self._process = None
        self.problems.append(f"the relay ended by itself with status {status}")
        return False

    def start(self) -> None:
        """Start it."""
        if self.running:
            return
        self.starts += 1
        files = ["-i", "groups.csv", "--config", "mm2ss.yaml"]
        with self._log.open("ab") as log:
            log.write(f"--- start {self.starts}\n".encode())
            log.flush()
            self._process = subprocess.Popen(
                [str(TWISTD), "-n", "--pidfile=", "mm2ss", *files, *self._arguments],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def kill(self) -> bool:
        """Kill it as it stands (SIGKILL); whether there was anything to kill."""
        if not self.running or self._process is None:
            return False
        process, self._process = self._process, None
        process.kill()
        process.wait()
        return True

    def close(self) -> None:
        """End whatever runs of it."""
        self.kill()

    def terminate(self) -> None:
        """End it in order (SIGTERM) and wait for that."""
        if not self.running or self._process is None:
            return
        process, self._process = self._process, None
        process.terminate()
        status = end(process, END_TIME)
        if status != -signal.SIGTERM:
            self.problems.append(f"the relay ended with status {status} after SIGTERM")

    def pause(self, paused: bool) -> None:
        """Let it do nothing for a while (SIGSTOP), or go on."""
        if sys.platform != "win32" and self.running:
            os.kill(self.pid, signal.SIGSTOP if paused else signal.SIGCONT)

    # -- what it left -----------------------------------------------------------------------

    @property
    def log(self) -> str:
        """What twistd logged, in all its lives."""
        return self._log.read_text("utf-8", "replace") if self._log.exists() else ""

    def complaints(self) -> list[str]:
        """Lines of its log that must not be there."""
        return [line for line in self.log.splitlines() if any(word in line for word in _BAD_WORDS)]

    # -- what it costs ----------------------------------------------------------------------

    def cpuSeconds(self) -> float:
        """CPU time of its running process so far, all threads (Linux)."""
        fields = self._figures("stat").rpartition(") ")[2].split()
        return (int(fields[11]) + int(fields[12])) / systemValue("SC_CLK_TCK")

    def residentMiB(self) -> float:
        """Memory of its running process (Linux)."""
        return int(self._figures("statm").split()[1]) * systemValue("SC_PAGESIZE") / 2**20

    def _figures(self, name: str) -> str:
        return Path(f"/proc/{self.pid}/{name}").read_text()

    def stateBytes(self, directory: str = "state") -> int:
        """Octets in its state directory."""
        files = (self.folder / directory).rglob("*")
        return sum(file.stat().st_size for file in files if file.is_file())


def endInOrder() -> None:
    """Let SIGTERM end this program as Ctrl-C does, so that it ends what it started."""

    def end(number: int, _frame: object) -> None:
        raise SystemExit(128 + number)

    signal.signal(signal.SIGTERM, end)


def systemValue(name: str) -> int:
    """A value of ``sysconf``."""
    if sys.platform != "win32":
        return os.sysconf(name)
    raise OSError(f"{name}: Windows does not tell this value")
