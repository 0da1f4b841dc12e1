"""Addresses, free ports and bounded waits for the interop tests."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

ROOT = Path(__file__).parents[2]

MASTER_IP = "127.0.0.1"
RTU_IP = "127.0.0.2"
OTHER_RTU_IP = "127.0.0.3"

#: Seconds that a wait takes at most unless it says otherwise. A busy machine takes its time.
PATIENCE = 30.0
#: Seconds between two looks at what cannot be waited for.
POLL = 0.02
#: Seconds that a process may take to end when it is asked to.
END_TIME = 30.0


def waitFor(condition: Callable[[], T], what: str, seconds: float = PATIENCE) -> T:
    """The condition's first result that is true.

    :raises AssertionError: when there is none in time.
    """
    deadline = time.monotonic() + seconds
    while not (result := condition()):
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        time.sleep(POLL)
    return result


def listening(port: int) -> bool:
    """Whether anybody listens on a TCP port, as the kernel shows it to ``ss -ltn``."""
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with contextlib.suppress(FileNotFoundError), open(table) as lines:
            for line in lines:
                cells = line.split()
                if cells[3] == "0A" and int(cells[1].rpartition(":")[2], 16) == port:
                    return True
    return False


def refused(port: int, ip: str = MASTER_IP) -> bool:
    """Whether a connection to a port is refused, not only closed again."""
    try:
        socket.create_connection((ip, port), PATIENCE).close()
    except ConnectionRefusedError:
        return True
    return False


class Ports:
    """Free ports, kept for the one who asked: bound here so that nobody else finds them free.

    A socket that is bound and does not listen is in nobody's way who sets SO_REUSEADDR, as
    servers do. A port that was only seen to be free is not kept: the system may choose it as the
    own port of any connection.
    """

    def __init__(self) -> None:
        self._kept: list[socket.socket] = []

    def take(self, count: int = 1) -> int:
        """A port that is free on every address; the first of so many that follow each other.

        :raises AssertionError: when the system has no such row of ports.
        """
        for _ in range(200):
            first = self._keep(0)
            assert first is not None
            if all(self._keep(first + further) for further in range(1, count)):
                return first
        raise AssertionError(f"no {count} ports that follow each other are free")

    def _keep(self, port: int) -> int | None:
        """Keep a port, 0 = any; None when it is not free."""
        keeper = socket.socket()
        keeper.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            keeper.bind(("0.0.0.0", port))
        except (OSError, OverflowError):
            keeper.close()
            return None
        self._kept.append(keeper)
        return int(keeper.getsockname()[1])

    def close(self) -> None:
        """Give all ports back."""
        for keeper in self._kept:
            keeper.close()


def end(process: subprocess.Popen[bytes], seconds: float = END_TIME) -> int:
    """Wait for a process to end, kill it when it does not; its status."""
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()
