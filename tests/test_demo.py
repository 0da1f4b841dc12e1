"""The demo as its user starts it: real processes, real sockets, real time."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mm2ss.simulator.builtin import demoHost
from mm2ss.simulator.demo import Screen, choosePort, demoSeconds
from tests.interop.waiting import Ports

# With the interop tests in one process: this, too, takes real time.
pytestmark = [pytest.mark.interop, pytest.mark.xdist_group("interop")]

#: Seconds until a demo that should have ended is killed; far more than it takes.
PATIENCE = 60


@pytest.fixture
def port() -> Iterator[int]:
    """A port for the masters; the next one is free for the RTU."""
    ports = Ports()
    yield ports.take(2)
    ports.close()


@contextlib.contextmanager
def demo(folder: Path, port: int, seconds: str) -> Iterator[subprocess.Popen[str]]:
    """A demo that runs in this folder, and is gone afterwards."""
    environment = dict(os.environ, MM2SS_DEMO_PORT=str(port), DEMO_SECONDS=seconds)
    process = subprocess.Popen(
        [sys.executable, "-m", "mm2ss.simulator.demo"],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()  # so that it can end its child
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        assert process.stdout is not None
        process.stdout.close()


def assertNothingListens(port: int) -> None:
    """Neither relay nor RTU is left."""
    for address in (("127.0.0.1", port), (demoHost(), port + 1)):
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address, 5).close()


@pytest.mark.smoke
def test_demo_ends_by_itself(tmp_path: Path, port: int) -> None:
    """Data comes to both masters, a command is confirmed to its sender alone: status 0."""
    with demo(tmp_path, port, "2") as process:
        output, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, output
    assert re.search(r"M1 +-> +request +single command IOA 1101: yard lighting on", output)
    assert re.search(r"M1 +<- +confirmed +single command IOA 1101", output)
    assert not re.search(r"M2 +<- +(confirmed|finished) +single command", output)
    for master in ("M1", "M2"):
        assert re.search(rf"{master} +<- +after command +yard lighting on", output)
    assert "M1's command was answered to M1 alone; its effect was seen by M1 and M2" in output
    assert "Traceback" not in output
    assert "Warning" not in output
    assert list(tmp_path.iterdir()) == []
    assertNothingListens(port)


def test_demo_that_shows_nothing(tmp_path: Path, port: int) -> None:
    """Ended before a command was confirmed: status 1 and the reason."""
    with demo(tmp_path, port, "0.2") as process:
        output, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1, output
    assert "demo: FAILED: no command was confirmed" in output


def test_interrupted_demo(tmp_path: Path, port: int) -> None:
    """Ctrl-C ends everything in order: status 0 where no time was given, nothing is left."""
    with demo(tmp_path, port, "") as process:
        assert process.stdout is not None
        end = time.monotonic() + PATIENCE
        while "started" not in process.stdout.readline():
            assert time.monotonic() < end
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, output
    assert "nothing is left running" in output
    assert "Traceback" not in output
    assertNothingListens(port)


def test_relay_that_dies(tmp_path: Path, port: int) -> None:
    """The relay's process ends by itself: status 1, and its last lines are shown."""
    with demo(tmp_path, port, "30") as process:
        assert process.stdout is not None
        end = time.monotonic() + PATIENCE
        while "connected, 2 of 5 masters" not in process.stdout.readline():
            assert time.monotonic() < end
            assert process.poll() is None
        (child,) = children(process.pid)
        os.kill(child, signal.SIGTERM)
        output, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1, output
    assert "FAILED: the relay has ended by itself" in output
    assert "port" in output.split("FAILED")[1]
    assertNothingListens(port)


def children(parent: int) -> list[int]:
    """The processes that a process has started (Linux)."""
    path = Path(f"/proc/{parent}/task/{parent}/children")
    if not path.exists():
        pytest.skip("this system does not tell a process's children")
    return [int(word) for word in path.read_text().split()]


def test_busy_port(
    port: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Another port is taken, and said, when the masters' or the RTU's is busy."""
    monkeypatch.setenv("MM2SS_DEMO_PORT", str(port))
    assert choosePort(Screen()) == port
    for address in (("127.0.0.1", port), (demoHost(), port + 1)):
        with socket.create_server(address):
            assert choosePort(Screen()) != port
        assert "cannot be used" in capsys.readouterr().out


def test_seconds() -> None:
    """A number, or nothing; all else is said clearly."""
    assert demoSeconds({}) is None
    assert demoSeconds({"DEMO_SECONDS": " "}) is None
    assert demoSeconds({"DEMO_SECONDS": "2.5"}) == 2.5
    for text in ("x", "0", "-1", "nan", "inf"):
        with pytest.raises(SystemExit, match="DEMO_SECONDS"):
            demoSeconds({"DEMO_SECONDS": text})
