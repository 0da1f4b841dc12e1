"""Unit files as systemd reads them, and a stand-in for systemd that runs what they say.

The stand-in makes the directories, runs the very commands of a unit (with other paths in front),
and listens at the socket of sd_notify. It does not confine the process: the real systemd-analyze
judges that part of the units.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import socket
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

from tests.interop.waiting import END_TIME, PATIENCE, ROOT, end

UNITS = ROOT / "etc" / "systemd"

Settings = dict[str, list[str]]


def readUnit(text: str) -> Settings:
    """The settings of a unit in all its sections, each with all its values."""
    settings: Settings = {}
    for line in text.splitlines():
        if line and line[0] not in "#;[":
            name, _, value = line.partition("=")
            settings.setdefault(name, []).append(value)
    return settings


class Manager:
    """Runs one unit.

    :param folder: stands for the root of the file system: ``etc/mm2ss``, ``var/lib``, ``var/log``.
    :param twistd: stands for the one that the units name.
    :ivar told: the messages that have come, as lists of lines.
    """

    def __init__(
        self, folder: Path, unit: str, instance: str, twistd: Path, watchdog: float = 0
    ) -> None:
        self.folder = folder
        self._places = {
            "/opt/mm2ss/bin/twistd": str(twistd),
            "/etc/mm2ss/": f"{folder}/etc/mm2ss/",
            "%S": f"{folder}/var/lib",
            "%i": instance,
        }
        self.settings = readUnit((UNITS / unit).read_text("utf-8"))
        self.state = folder / "var/lib" / self._value("StateDirectory")
        self.logs = folder / "var/log" / self._value("LogsDirectory")
        for path in (self.state, self.logs):
            path.mkdir(parents=True)
        self.told: list[list[str]] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(folder / "notify"))
        self._environment = {
            **os.environ,
            "LOGS_DIRECTORY": str(self.logs),
            "NOTIFY_SOCKET": str(folder / "notify"),
        }
        if watchdog:
            self._environment["WATCHDOG_USEC"] = str(int(watchdog * 1e6))
        self._process: subprocess.Popen[bytes] | None = None

    def _value(self, name: str) -> str:
        value = self.settings[name][-1]
        for place, path in self._places.items():
            value = value.replace(place, path)
        return value

    def _command(self, name: str, variables: Mapping[str, str]) -> list[str]:
        """A command line of the unit, its variables replaced as systemd does it."""
        words = shlex.split(self._value(name).lstrip("-"))
        return [
            re.sub(r"\$\{(\w+)\}|^\$(\w+)$", lambda found: variables[found[1] or found[2]], word)
            for word in words
        ]

    def start(self, *under: str) -> None:
        """Start the unit, on request under another program; whoever starts it stops it."""
        folder = self._value("WorkingDirectory")
        before = self._command("ExecStartPre", self._environment)
        subprocess.run(before, cwd=folder, check=True, timeout=END_TIME)
        with self.journal.open("ab") as journal:
            self._process = subprocess.Popen(
                [*under, *self._command("ExecStart", self._environment)],
                cwd=folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=journal,
                stderr=subprocess.STDOUT,
            )

    @property
    def journal(self) -> Path:
        """What the service wrote to its output."""
        return self.folder / "journal"

    @property
    def pid(self) -> int:
        """The process."""
        assert self._process is not None
        return self._process.pid

    def reload(self) -> None:
        """Run the unit's command for that."""
        command = self._command("ExecReload", {"MAINPID": str(self.pid)})
        subprocess.run(command, check=True, timeout=END_TIME)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the service."""
        os.kill(self.pid, number)

    def stop(self) -> int:
        """Stop it as systemd does; its status."""
        if self._process is None:
            return 0
        if self._process.poll() is None:
            self._process.terminate()
        return end(self._process)

    def close(self) -> None:
        """End whatever there is."""
        self.stop()
        self._socket.close()

    def waitTold(self, *lines: str, seconds: float = PATIENCE) -> list[str]:
        """Wait for a message that begins with these lines; gives the whole of it."""
        deadline = time.monotonic() + seconds
        while True:
            self._socket.settimeout(max(deadline - time.monotonic(), 0.01))
            try:
                message = self._socket.recv(4096).decode().split("\n")
            except TimeoutError:
                raise AssertionError(f"not told {lines}: {self.told}") from None
            self.told.append(message)
            if message[: len(lines)] == list(lines):
                return message

    def silence(self, seconds: float) -> None:
        """Make sure that nothing is told for so long; what was told before is not looked at."""
        self._socket.setblocking(False)
        try:
            while True:
                self.told.append(self._socket.recv(4096).decode().split("\n"))
        except BlockingIOError:
            pass
        self._socket.settimeout(seconds)
        try:
            message = self._socket.recv(4096)
        except TimeoutError:
            return
        raise AssertionError(f"told {message!r}")
