"""The time service with a real NTP server on loopback: chrony, as Debian has it.

chronyd runs as a child on a port of its own, with its local clock for a reference, and with ``-x``:
it never sets the clock of the machine. Nor does the service here: its setter is replaced, or it
runs as a user who may not. MM2SS_CHRONYD names a chronyd that is not in the path.
"""

from __future__ import annotations

import getpass
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.interop.waiting import ROOT, waitFor

CHRONYD = os.environ.get("MM2SS_CHRONYD") or shutil.which(
    "chronyd", path=os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"))
)
#: Somebody who may do nothing.
NOBODY = 65534

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="the NTP server is started on Linux"),
]
needsChrony = pytest.mark.skipif(CHRONYD is None, reason="no chronyd here (apt-get install chrony)")

Serve = Callable[..., int]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Starts an NTP server with some lines of configuration; gives its port."""
    started: list[subprocess.Popen[bytes]] = []

    def start(*lines: str) -> int:
        port = freePort()
        folder = tmp_path / f"chrony{port}"
        folder.mkdir()
        config = folder / "chrony.conf"
        config.write_text(
            "\n".join((f"port {port}", "cmdport 0", f"pidfile {folder}/pid", "allow all", *lines))
        )
        assert CHRONYD is not None
        user = getpass.getuser()
        command = [CHRONYD, "-x", "-U", "-d", "-u", user, "-f", str(config)]
        log = (folder / "log").open("wb")
        started.append(subprocess.Popen(command, stdout=log, stderr=log, cwd=folder))
        log.close()
        waitFor(lambda: answers(port), f"an answer of chronyd: {(folder / 'log').read_text()}")
        return port

    yield start
    for process in started:
        process.kill()  # it takes its time to end in order, and has nothing to save
        process.wait()


def freePort() -> int:
    """A UDP port that nobody uses now."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answers(port: int) -> bool:
    """Whether somebody answers a plain NTP question."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.settimeout(0.2)
        probe.connect(("127.0.0.1", port))
        try:
            probe.send(b"\x23" + bytes(39) + b"question")
            return len(probe.recv(100)) >= 48
        except OSError:
            return False


def run(port: int, servers: list[str], **options: Any) -> dict[str, Any]:
    """Run the service until its first answer; gives its snapshot."""
    text = json.dumps({"servers": servers, "port": port, **options})
    done = subprocess.run(
        [sys.executable, "-B", "-m", "tests.interop.ntpclient", text],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result


@needsChrony
@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "localhost"])
def test_realServer(serve: Serve, address: str) -> None:
    """A clock that is a quarter of a second wrong is slewed by that, over IPv4, IPv6 and a name."""
    state = run(serve("local stratum 5"), [address], error=0.25)
    assert state["status"].endswith(f" from {address}") and state["stratum"] == 5
    ((how, offset),) = state["calls"]
    assert how == "slew" and offset == pytest.approx(-0.25, abs=0.05)
    assert state["delay"] < 0.5


@needsChrony
@pytest.mark.parametrize("error", [7200.0, -7200.0])
def test_realServerStep(serve: Serve, error: float) -> None:
    """One that is hours wrong is stepped."""
    ((how, offset),) = run(serve("local stratum 1"), ["127.0.0.1"], error=error)["calls"]
    assert how == "step" and offset == pytest.approx(-error, abs=0.5)


@needsChrony
def test_unsynchronisedServer(serve: Serve) -> None:
    """A chronyd without any reference says so, and its time is not used."""
    state = run(serve(), ["127.0.0.1"], seconds=2)
    assert state["calls"] == [] and dict(state["complaints"]) == {
        "127.0.0.1": "it is not synchronised"
    }


@needsChrony
def test_unprivileged(serve: Serve) -> None:
    """A user without privilege, with the real setter: it says so and runs on."""
    state = run(serve("local stratum 5"), ["127.0.0.1"], user=NOBODY)
    assert state["status"] == "No admin privilege, cannot update time."
    assert state["privileged"] is False and abs(state["offset"]) < 0.5


@needsChrony
def test_unprivilegedStep(serve: Serve) -> None:
    """The same where the real clock would be stepped."""
    settings = {"stepThreshold": 0}
    state = run(serve("local stratum 5"), ["127.0.0.1"], user=NOBODY, settings=settings)
    assert state["status"] == "No admin privilege, cannot update time." and state["steps"] == 0


def test_nobodyThere() -> None:
    """A port where nobody listens is an answer that does not come, and no traceback."""
    state = run(freePort(), ["127.0.0.1", "::1"], seconds=1.5, settings={"timeout": 0.3})
    assert state["calls"] == [] and len(state["complaints"]) == 2
