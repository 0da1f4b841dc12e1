"""The OpenSSH client, as a command and on a terminal.

MM2SS_SSH names a folder with its programs, where they are not in the path.
"""

from __future__ import annotations

import fcntl
import os
import pty
import select
import shutil
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Sequence
from pathlib import Path

from tests.interop.waiting import END_TIME, PATIENCE

_PATH = os.pathsep.join((os.environ.get("MM2SS_SSH", ""), os.environ.get("PATH", "")))
SSH = shutil.which("ssh", path=_PATH)
KEYGEN = shutil.which("ssh-keygen", path=_PATH)


def makeKey(path: Path, kind: str, *options: str) -> str:
    """Make a key without a pass phrase; returns its public line."""
    assert KEYGEN is not None
    command = [KEYGEN, "-q", "-t", kind, *options, "-N", "", "-C", f"{path.name}@test"]
    command += ["-f", str(path)]
    subprocess.run(command, check=True, timeout=END_TIME, stdin=subprocess.DEVNULL)
    return path.with_suffix(".pub").read_text()


class SshClient:
    """Calls ssh with one key.

    :param folder: for the file of known hosts, which belongs to this folder's clients.
    """

    def __init__(self, folder: Path, port: int, key: Path) -> None:
        settings = {
            "StrictHostKeyChecking": "accept-new",
            "UserKnownHostsFile": folder / "known_hosts",
            "IdentitiesOnly": "yes",
            "IdentityAgent": "none",
            "BatchMode": "yes",
            "LogLevel": "ERROR",
        }
        options = [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]
        assert SSH is not None
        self._command = [SSH, "-F", "none", *options, "-i", str(key), "-p", str(port)]
        self._host = "tester@127.0.0.1"

    def run(
        self, *command: str, options: Sequence[str] = (), stdin: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """Run a command, or what comes over the standard input, to its end."""
        return subprocess.run(
            [*self._command, *options, self._host, *command],
            input=stdin,
            capture_output=True,
            encoding="utf-8",
            timeout=END_TIME,
        )

    def start(self, *command: str) -> subprocess.Popen[bytes]:
        """Start a command whose output is read by nobody for now."""
        return subprocess.Popen(
            [*self._command, self._host, *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def terminal(self, width: int = 80, command: Sequence[str] = ()) -> SshTerminal:
        """Start a session on a terminal of its own."""
        return SshTerminal([*self._command, "-tt", self._host, *command], width)


class SshTerminal:
    """A session on a terminal; close it."""

    def __init__(self, command: Sequence[str], width: int) -> None:
        self._master, slave = pty.openpty()
        self._width(width)
        self._process = subprocess.Popen(
            command, stdin=slave, stdout=slave, stderr=slave, start_new_session=True
        )
        os.close(slave)
        self._seen = ""
        self._read = 0

    def type(self, keys: str) -> None:
        """Press keys; a line ends with ``\\r``."""
        os.write(self._master, keys.encode())

    def expect(self, text: str) -> str:
        """Wait for a text behind what was expected before; returns what came up to its end."""
        deadline = time.monotonic() + PATIENCE
        while text not in self._seen[self._read :]:
            left = deadline - time.monotonic()
            assert left > 0 and self._take(left), f"no {text!r} in {self._seen[self._read :]!r}"
        begun = self._read
        self._read = self._seen.index(text, begun) + len(text)
        return self._seen[begun : self._read]

    def resize(self, width: int) -> None:
        """Give the window another width, and tell the client."""
        self._width(width)
        self._process.send_signal(signal.SIGWINCH)

    def ending(self) -> int:
        """Wait for the end; the exit status."""
        deadline = time.monotonic() + PATIENCE
        while self._take(max(deadline - time.monotonic(), 0)):
            pass
        return self._process.wait(END_TIME)

    def close(self) -> None:
        """End it, however it stands."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        os.close(self._master)

    def report(self) -> str:
        """All that was seen."""
        return self._seen

    def _take(self, seconds: float) -> bool:
        """Read what comes within some seconds; False when nothing comes (any more)."""
        ready, _, _ = select.select([self._master], [], [], seconds)
        try:
            data = os.read(self._master, 65536) if ready else b""
        except OSError:  # the other end is closed
            data = b""
        self._seen += data.decode("utf-8", "replace")
        return bool(data)

    def _width(self, width: int) -> None:
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))
