"""``twistd mm2ss`` as administrators start and stop it: in the background, with a pidfile."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.interop.harness import IMMEDIATE, TWISTD, Scene, row, runTwistd
from tests.interop.rawstations import RawStation
from tests.interop.waiting import PATIENCE, RTU_IP, end, listening, waitFor

STARTDT_ACT, STARTDT_CON = "68 04 07 00 00 00", "68 04 0b 00 00 00"
STOPDT_ACT, STOPDT_CON = "68 04 13 00 00 00", "68 04 23 00 00 00"


def alive(pid: int) -> bool:
    """Whether a process runs; one that nobody has waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except FileNotFoundError:
        return False


@dataclass
class Daemon:
    """A relay in the background.

    :ivar start: the folder it was started in.
    :ivar run: the folder it was told to run in, with its pidfile and log.
    """

    start: Path
    run: Path
    pid: int

    @property
    def pidfile(self) -> Path:
        """Where twistd wrote the process id."""
        return self.run / "relay.pid"

    def eventLog(self, name: str) -> str:
        """What stands in an event log now."""
        path = self.start / "log" / name
        return path.read_text() if path.exists() else ""

    def report(self) -> str:
        """Its logs, for the report of a test that failed."""
        logs = [self.run / "relay.log", *sorted((self.start / "log").glob("*"))]
        return "\n".join(f"--- {log.name}\n{log.read_text()}" for log in logs)

    def terminate(self) -> Callable[[float], float]:
        """Send SIGTERM; what is returned waits for the end and says how many seconds it took."""
        begun = time.monotonic()
        os.kill(self.pid, signal.SIGTERM)

        def wait(seconds: float) -> float:
            waitFor(lambda: not alive(self.pid), f"the relay ends after SIGTERM, {seconds} s")
            return time.monotonic() - begun

        return wait


def daemonize(scene: Scene, rows: Sequence[str]) -> Daemon:
    """Start a relay in the background, the paths of its files relative to another folder than
    the one that it runs in; it is killed with the test if it still runs."""
    start, runs = scene.folder / "start", scene.folder / "run"
    (start / "etc").mkdir(parents=True)
    runs.mkdir()
    (start / "etc" / "groups.csv").write_text("\n".join(rows) + "\n", "utf-8")
    pidfile, log = runs / "relay.pid", runs / "relay.log"
    (start / "etc" / "service.yaml").write_text(IMMEDIATE)
    service = ["mm2ss", "-i", "etc/groups.csv", "--config", "etc/service.yaml"]
    started = runTwistd(
        start, f"--rundir={runs}", f"--pidfile={pidfile}", f"--logfile={log}", *service
    )
    if pidfile.exists():
        pid = int(pidfile.read_text())

        def kill() -> None:
            if alive(pid):
                os.kill(pid, signal.SIGKILL)

        scene.cleanUp(kill)
    assert started.returncode == 0, started.stderr
    assert (started.stdout, started.stderr) == ("", "")
    daemon = Daemon(start, runs, int(pidfile.read_text()))
    scene.reportOn("daemon", daemon.report)
    return daemon


@pytest.mark.smoke
def test_startsAndStopsInOrder(scene: Scene) -> None:
    """In the background it serves; SIGTERM: the RTU is stopped first, then all is closed."""
    port, rtuPort = scene.port(), scene.port()
    listener = scene.rawRtu(rtuPort)
    daemon = daemonize(scene, [row(7, port, f"{RTU_IP}:{rtuPort}", sys_name="Süd/West 1")])
    rtu = scene.raw(listener.accept())
    waitFor(lambda: listening(port), f"port {port} is open")
    masters = [scene.raw(RawStation.started(port)) for _ in range(2)]
    rtu.expect(STARTDT_ACT)
    rtu.send(STARTDT_CON, "68 0e 00 00 00 00 01 01 03 00 20 00 64 00 00 01")
    for master in masters:
        master.expect("68 0e 02 00 00 00 01 01 03 00 20 00 64 00 00 01")

    ended = daemon.terminate()
    # What is owed to the RTU, then STOPDT; what the RTU still sends reaches the masters.
    rtu.expect("68 04 01 00 02 00", STOPDT_ACT)
    rtu.send("68 0e 02 00 00 00 01 01 03 00 20 00 64 00 00 00")
    rtu.expect("68 04 01 00 04 00")
    for master in masters:
        master.expect("68 0e 04 00 00 00 01 01 03 00 20 00 64 00 00 00")
    rtu.send(STOPDT_CON)
    assert [station.ending() for station in (rtu, *masters)] == ["FIN"] * 3
    for station in (rtu, *masters):
        station.close()
    assert ended(PATIENCE) < 2
    assert not daemon.pidfile.exists()
    assert not listening(port)

    log = daemon.eventLog("7-S_d_West_1.log")
    for line in ("RTU connected", "connected, 2 of 5 masters", "STOPDT sent to the RTU", "stopped"):
        assert line in log
    service = (daemon.run / "relay.log").read_text()
    assert "Server Shut Down" in service
    assert "Traceback" not in service


def test_stopsInTimeWhenNobodyAnswers(scene: Scene) -> None:
    """RTUs that do not confirm STOPDT hold the end up for t1, all of them together once."""
    count = 4
    ports, rtuPorts = ([scene.port() for _ in range(count)] for _ in range(2))
    listeners = [scene.rawRtu(port) for port in rtuPorts]
    rows = [row(n, ports[n], f"{RTU_IP}:{rtuPorts[n]}", t1=2, t2=1) for n in range(count)]
    daemon = daemonize(scene, rows)
    masters, rtus = [], []
    for listener, port in zip(listeners, ports, strict=True):
        rtu = scene.raw(listener.accept())
        waitFor(lambda port=port: listening(port), f"port {port} is open")  # type: ignore[misc]  # bound to this port
        masters.append(scene.raw(RawStation.started(port)))
        masters[-1].send("68 04 01 00 02 00")
        rtu.expect(STARTDT_ACT)
        rtu.send(STARTDT_CON)
        rtu.expectNothing()
        rtus.append(rtu)
    ended = daemon.terminate()
    for rtu in rtus:
        rtu.expect(STOPDT_ACT)
    for rtu in rtus:
        rtu.ending()  # at t1 it is given up, in order or not
    assert [master.ending() for master in masters] == ["FIN"] * count
    for station in (*rtus, *masters):
        station.close()
    assert 1.5 < ended(PATIENCE) < 4
    assert not daemon.pidfile.exists()


def test_secondStartOnOnePort(scene: Scene) -> None:
    """A relay whose ports are taken says so and does not start, in background and foreground."""
    port, rtuPort = scene.port(), scene.port()
    listener = scene.rawRtu(rtuPort)
    daemon = daemonize(scene, [row(1, port, f"{RTU_IP}:{rtuPort}")])
    scene.raw(listener.accept())
    waitFor(lambda: listening(port), f"port {port} is open")

    pidfile, log = scene.folder / "second.pid", scene.folder / "second.log"
    files = [f"--pidfile={pidfile}", f"--logfile={log}"]
    service = ["mm2ss", "-i", "etc/groups.csv"]
    for arguments in (["-n", "--pidfile=", *service], [*files, *service]):
        second = runTwistd(daemon.start, *arguments)
        assert second.returncode not in (0, None)
        assert f"port {port}" in second.stdout + second.stderr
        assert "Address already in use" in second.stdout + second.stderr
    waitFor(lambda: not pidfile.exists(), "the second relay's pidfile is removed")
    assert alive(daemon.pid)
    daemon.terminate()(PATIENCE)


MISTAKES = {
    "no file": (None, "groups.csv: error: cannot be read"),
    "no group": ("id,sys name\n# nothing\n", "no group can be loaded"),
    "no group that is right": ("1,RTU,99999,32\n", "no group can be loaded"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_filesThatCannotBeUsed(tmp_path: Path, mistake: str) -> None:
    """Without a group the relay does not start; the last line of what it says is why."""
    text, reason = MISTAKES[mistake]
    if text is not None:
        (tmp_path / "groups.csv").write_text(text)
    failed = runTwistd(tmp_path, "--pidfile=x.pid", "mm2ss", "-i", "groups.csv")
    assert failed.returncode not in (0, None)
    last = failed.stderr.splitlines()[-1]
    assert last.startswith("mm2ss cannot run: groups.csv")
    assert reason in last
    assert "Traceback" not in failed.stdout + failed.stderr
    assert not (tmp_path / "x.pid").exists()


def test_check(scene: Scene, tmp_path: Path) -> None:
    """``--check`` says what would run, by its status too, and touches no network."""
    port = scene.port()
    good, bad = row(1, port, "192.0.2.1:2404"), row(2, 99999, "192.0.2.1:2404")
    for rows, status in (([good], 0), ([good, bad], 1), ([bad], 1)):
        (tmp_path / "groups.csv").write_text("\n".join(rows))
        servers = ["-s", "192.0.2.2", "--ntp_server", "192.0.2.3"]
        checked = runTwistd(tmp_path, "mm2ss", "--check", "--ini", "groups.csv", *servers)
        assert checked.returncode == status
        assert ("RTU 1" in checked.stdout) == (good in rows)
        assert ("99999" in checked.stdout) == (bad in rows)
    assert os.listdir(tmp_path) == ["groups.csv"]


@pytest.mark.parametrize("option", ["--help", "-h"])
def test_help(option: str) -> None:
    """Help can be had anywhere, and tells the two -n apart."""
    shown = runTwistd(Path("/"), "mm2ss", option)
    assert shown.returncode == 0
    text = " ".join(shown.stdout.split())
    for option in ("--ini", "--config", "--check", "--demo", "--nogui", "--service"):
        assert option in text
    assert "'twistd -n mm2ss' MEANS FOREGROUND" in text
    assert "'twistd mm2ss -n' MEANS NO CONSOLE" in text


def start(folder: Path, port: int, rtuPort: int) -> subprocess.CompletedProcess[str]:
    """Start a relay in the background, in ``folder`` and with a pidfile there."""
    (folder / "groups.csv").write_text(row(1, port, f"{RTU_IP}:{rtuPort}") + "\n")
    files = ["--pidfile=relay.pid", "--logfile=relay.log"]
    return runTwistd(folder, *files, "mm2ss", "-i", "groups.csv")


def test_stalePidfile(scene: Scene) -> None:
    """A pidfile that a killed relay left behind is replaced, and the next start serves."""
    scene.folder.joinpath("relay.pid").write_text(str(deadProcess()))
    port, rtuPort = scene.port(), scene.port()
    listener = scene.rawRtu(rtuPort)
    started = start(scene.folder, port, rtuPort)
    assert started.returncode == 0, started.stderr
    pid = int((scene.folder / "relay.pid").read_text())
    scene.cleanUp(lambda: os.kill(pid, signal.SIGKILL) if alive(pid) else None)
    scene.raw(listener.accept())
    waitFor(lambda: listening(port), f"port {port} is open")
    os.kill(pid, signal.SIGTERM)
    waitFor(lambda: not alive(pid), "the relay ends")
    assert not (scene.folder / "relay.pid").exists()


def test_pidfileOfAnother(scene: Scene) -> None:
    """A pidfile that names a process which runs, whatever it is, stops the start, and says so."""
    pidfile = scene.folder / "relay.pid"
    with subprocess.Popen(["sleep", "600"]) as other:
        pidfile.write_text(str(other.pid))
        refused = start(scene.folder, scene.port(), scene.port())
        other.kill()
    assert refused.returncode != 0
    said = refused.stdout + refused.stderr
    assert "Another twistd server is running" in said and str(other.pid) in said
    assert "Traceback" not in said
    assert pidfile.read_text() == str(other.pid)


def deadProcess() -> int:
    """The number of a process that there was."""
    with subprocess.Popen(["true"]) as process:
        process.wait()
    return process.pid


def test_supervisorRestarts(scene: Scene) -> None:
    """In the foreground under a supervisor that starts it again and again: each time it serves, a
    killed one leaves nothing that is in the next one's way, and no pidfile."""
    port, rtuPort = scene.port(), scene.port()
    listener = scene.rawRtu(rtuPort)
    (scene.folder / "groups.csv").write_text(row(1, port, f"{RTU_IP}:{rtuPort}") + "\n")
    loop = "trap 'kill $pid; wait; exit 0' TERM; while :; do \"$@\" & pid=$!; wait $pid; done"
    command = ["sh", "-c", loop, "supervisor", str(TWISTD), "-n", "--pidfile="]
    with (scene.folder / "log.txt").open("wb") as log:
        supervisor = subprocess.Popen(
            [*command, "mm2ss", "-i", "groups.csv"],
            cwd=scene.folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    scene.cleanUp(lambda: end(supervisor))
    scene.cleanUp(supervisor.terminate)
    scene.reportOn("the supervisor", (scene.folder / "log.txt").read_text)
    seen: list[int] = []
    for _ in range(3):
        scene.raw(listener.accept())
        waitFor(lambda: listening(port), f"port {port} is open")
        scene.raw(RawStation.started(port))
        (pid,) = children(supervisor.pid)
        assert pid not in seen
        seen.append(pid)
        os.kill(pid, signal.SIGKILL)
    scene.raw(listener.accept())
    (pid,) = children(supervisor.pid)
    supervisor.terminate()
    assert end(supervisor) == 0
    assert not alive(pid)
    assert not list(scene.folder.glob("*.pid"))
    said = (scene.folder / "log.txt").read_text()
    assert said.count("mm2ss 0") == 4 and said.count("Server Shut Down") == 1
    assert "Traceback" not in said


def children(pid: int) -> list[int]:
    """The processes that a process has started and that run."""
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [child for child in map(int, text.split()) if alive(child)]
