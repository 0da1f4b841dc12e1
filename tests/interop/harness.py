"""What the interop tests stand on: the relay as a process, and the scene that it plays in.

Everything is on loopback: RTUs at 127.0.0.2 and above, masters at 127.0.0.1 (a master may not
come from its RTU's address). Ports are free ones, found when they are needed. Nothing sleeps for
a fixed time; every wait has a bound. What was started is ended by its process id.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.interop.c104stations import Master104, Rtu104
from tests.interop.rawstations import RawRtu, RawStation
from tests.interop.waiting import END_TIME, PATIENCE, ROOT, RTU_IP, Ports, end, listening, waitFor

#: What other folders' tests that start relays may use, too.
__all__ = [
    "END_TIME",
    "IMMEDIATE",
    "PATIENCE",
    "ROOT",
    "RTU_IP",
    "TWISTD",
    "Ports",
    "Relay",
    "Scene",
    "end",
    "row",
]

TWISTD = Path(sys.executable).with_name("twistd")

#: The service file of tests that look at when the relay acknowledges what the RTU sends.
IMMEDIATE = "defaults:\n  ack_mode: immediate\n"


def row(number: int, port: int, hosts: str, **columns: object) -> str:
    """A group's row of the CSV file; the columns by their names, with ``_`` for a blank."""
    cells: dict[str, object] = {
        "id": number,
        "sys_name": f"RTU {number}",
        "port_no": port,
        "rtu_no": 32,
        "max_conn": 5,
        "idletime": 60,
        "t1": 15,
        "t2": 10,
        "t3": 20,
        "w": 8,
        "k": 12,
        "bufsize": 1000,
        "logevents": "Y",
        "same_ip": "all",
        "hosts": hosts,
        "filter": "",
    }
    assert columns.keys() <= cells.keys(), columns
    cells.update(columns)
    return ",".join(map(str, cells.values()))


def runTwistd(
    folder: Path, *arguments: str, prepare: Callable[[], None] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run twistd to its end, or to where it has gone into the background.

    :param prepare: called in the new process before twistd begins.
    """
    return subprocess.run(
        [TWISTD, *arguments],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=END_TIME,
        preexec_fn=prepare,
    )


class Relay:
    """A ``twistd mm2ss`` in the foreground, in a folder of its own; ends with the context.

    :param folder: where it is started; made here.
    :param rows: of the CSV file.
    :param service: the service file's text; without it there is no service file.
    :param environment: additional environment variables.
    :param prepare: called in the new process, before the program is loaded.
    :ivar tolerated: of the words that its log must not have at the end, those that it may.
    """

    def __init__(
        self,
        folder: Path,
        rows: Sequence[str],
        service: str = "",
        environment: Mapping[str, str] | None = None,
        prepare: Callable[[], None] | None = None,
    ) -> None:
        folder.mkdir()
        self.folder = folder
        (folder / "groups.csv").write_text("\n".join(rows) + "\n", "utf-8")
        command: list[str | Path] = [TWISTD, "-n", "--pidfile=", "mm2ss", "-i", "groups.csv"]
        if service:
            (folder / "service.yaml").write_text(service)
            command += ["--config", "service.yaml"]
        with (folder / "twistd.log").open("wb") as log:
            self._process = subprocess.Popen(
                command,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(environment or {})},
                preexec_fn=prepare,
            )
        self.pid = self._process.pid
        self.tolerated: set[str] = set()

    def __enter__(self) -> Relay:
        return self

    def __exit__(self, *_: object) -> None:
        status = self.stop()
        # twistd ends by the signal that it was told to end with, when it has shut down.
        assert status == -signal.SIGTERM, f"the relay ended with status {status}"
        assert "Server Shut Down." in self.log, "the relay did not shut down"
        for word in {"Traceback", "Unhandled", "#error", "#critical"} - self.tolerated:
            assert word not in self.log, f"{word} in the relay's log"

    def stop(self) -> int:
        """Ask the relay to end, wait for it and return its status; it is killed when it hangs."""
        if self._process.poll() is None:
            self._process.terminate()
        return end(self._process)

    @property
    def log(self) -> str:
        """What twistd logged."""
        return (self.folder / "twistd.log").read_text()

    def eventLog(self, number: int = 1) -> str:
        """What stands in a group's event log now."""
        files = list((self.folder / "log").glob(f"{number}-*.log"))
        return files[0].read_text() if files else ""

    def waitLogged(self, text: str, times: int = 1, number: int = 1) -> None:
        """Wait until a text stands in a group's event log (so often)."""
        waitFor(
            lambda: self.eventLog(number).count(text) >= times,
            f"{text!r} ({times} times) in the event log of group {number}",
        )

    def audited(self, count: int) -> list[dict[str, Any]]:
        """The lines of the audit trail, when there are so many."""
        path = self.folder / "log" / "audit.jsonl"

        def lines() -> list[dict[str, Any]]:
            text = path.read_text("utf-8") if path.exists() else ""
            found = [json.loads(line) for line in text.splitlines()]
            return found if len(found) >= count else []

        found = waitFor(lines, f"{count} lines in the audit trail")
        assert len(found) == count, found
        return found

    def waitOpen(self, port: int) -> None:
        """Wait until a group's port is open."""

        def isOpen() -> bool:
            assert self._process.poll() is None, f"the relay ended: {self._process.returncode}"
            return listening(port)

        waitFor(isOpen, f"port {port} is open")

    def report(self) -> str:
        """All its logs, for the report of a test that failed."""
        logs = [self.folder / "twistd.log", *sorted((self.folder / "log").glob("*"))]
        return "\n".join(f"--- {log.name}\n{log.read_text()}" for log in logs)


class Scene:
    """What one test starts; the fixture ends all of it, in the opposite order.

    :param folder: the test's own.
    """

    def __init__(self, folder: Path, stack: contextlib.ExitStack) -> None:
        self.folder = folder
        self._stack = stack
        self._reports: list[tuple[str, Callable[[], str]]] = []
        self._ports = Ports()
        stack.callback(self._ports.close)

    def port(self, count: int = 1) -> int:
        """A free port; the first of so many that follow each other."""
        return self._ports.take(count)

    def relay(
        self,
        *rows: str,
        service: str = "",
        environment: Mapping[str, str] | None = None,
        prepare: Callable[[], None] | None = None,
    ) -> Relay:
        """Start the relay."""
        relay = Relay(self.folder / "relay", rows, service, environment, prepare)
        self._reports.append(("relay", relay.report))
        return self._stack.enter_context(relay)

    def rtu(self, port: int, ip: str = RTU_IP, **parameters: int) -> Rtu104:
        """Start a c104 RTU."""
        rtu = Rtu104(self.folder, ip, port, **parameters)
        self._stack.callback(rtu.close)
        self._reports.append((f"RTU at {ip}:{port}", rtu.report))
        return rtu.waitReady()

    def masters(self, count: int, port: int, **parameters: int) -> list[Master104]:
        """Start so many c104 masters and connect them to an open port."""
        masters = []
        for number in range(count):
            master = Master104(self.folder, port, **parameters)
            self._stack.callback(master.close)
            self._reports.append((f"master {number} at port {port}", master.report))
            masters.append(master)
        return [master.connect() for master in masters]

    def rawRtu(self, port: int, ip: str = RTU_IP) -> RawRtu:
        """Listen as an RTU."""
        rtu = RawRtu(port, ip)
        self._stack.callback(rtu.close)
        return rtu

    def raw(self, station: RawStation) -> RawStation:
        """Close a plain connection when the test ends."""
        self._stack.callback(station.close)
        return station

    def cleanUp(self, call: Callable[[], object]) -> None:
        """Call when the test ends."""
        self._stack.callback(call)

    def reportOn(self, name: str, report: Callable[[], str]) -> None:
        """Show a text when the test fails."""
        self._reports.append((name, report))

    def reports(self) -> list[tuple[str, str]]:
        """What everybody saw, for the report of a test that failed."""
        return [(name, report()) for name, report in self._reports]
