"""The units of etc/systemd: their command lines, what the service tells, how they confine it."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from tests.interop.harness import TWISTD, Scene, row
from tests.interop.rawstations import RawStation
from tests.interop.units import UNITS, Manager, Settings, readUnit
from tests.interop.waiting import RTU_IP, listening, waitFor

#: unit, instance, the files that it reads, the name of its directories.
INSTANCES = [
    ("mm2ss.service", "", ("groups.csv", "mm2ss.yaml"), "mm2ss"),
    ("mm2ss@.service", "north", ("north.csv", "north.yaml"), "mm2ss-north"),
]
#: How much systemd lets the worst of the units do: 0 is nothing, 10 is everything.
EXPOSURE = 1.6
STARTDT_ACT, STARTDT_CON = "68 04 07 00 00 00", "68 04 0b 00 00 00"
STOPDT_ACT, STOPDT_CON = "68 04 13 00 00 00", "68 04 23 00 00 00"


def manager(scene: Scene, unit: str, instance: str, files: tuple[str, str], rows: str) -> Manager:
    """The unit with its files, not started."""
    folder = scene.folder / "root"
    (folder / "etc/mm2ss").mkdir(parents=True)
    (folder / "etc/mm2ss" / files[0]).write_text(rows + "\n")
    (folder / "etc/mm2ss" / files[1]).write_text("defaults:\n  stop_delay: 0\n")
    made = Manager(folder, unit, instance, TWISTD, watchdog=1)
    scene.cleanUp(made.close)
    scene.reportOn("the unit", lambda: made.journal.read_text() if made.journal.exists() else "")
    return made


@pytest.mark.parametrize(("unit", "instance", "files", "name"), INSTANCES)
def test_commandLine(
    scene: Scene, unit: str, instance: str, files: tuple[str, str], name: str
) -> None:
    """The unit's own command runs it: ready, a status, signs of life, stopping; and all that it
    writes is in the directories that the unit asks for."""
    port, rtuPort = scene.port(), scene.port()
    listener = scene.rawRtu(rtuPort)
    unitRun = manager(scene, unit, instance, files, row(7, port, f"{RTU_IP}:{rtuPort}"))
    unitRun.start()
    assert unitRun.waitTold("READY=1")[1:] == [f"MAINPID={unitRun.pid}"]
    rtu = scene.raw(listener.accept())
    waitFor(lambda: listening(port), f"port {port} is open")
    master = scene.raw(RawStation.started(port))
    rtu.expect(STARTDT_ACT)
    rtu.send(STARTDT_CON)
    unitRun.waitTold("STATUS=1 of 1 RTUs connected, 1 masters")
    unitRun.waitTold("WATCHDOG=1")
    unitRun.reload()
    assert unitRun.waitTold("RELOADING=1")[1].startswith("MONOTONIC_USEC=")
    unitRun.waitTold("READY=1")

    unitRun.signal(signal.SIGTERM)
    stopping = unitRun.waitTold("STOPPING=1")
    assert any(line.startswith("EXTEND_TIMEOUT_USEC=") for line in stopping)
    rtu.expect(STOPDT_ACT)
    rtu.send(STOPDT_CON)
    assert unitRun.stop() == -signal.SIGTERM  # which counts as success to systemd
    master.close()

    written = {
        path.relative_to(unitRun.folder)
        for path in unitRun.folder.rglob("*")
        if path.is_file() and not path.is_symlink()
    }
    assert (unitRun.logs / "7-RTU_7.log").exists() and (unitRun.state / "state/journal").is_dir()
    allowed = {Path(f"var/{kind}/{name}") for kind in ("lib", "log")} | {Path("etc/mm2ss")}
    strangers = {path for path in written if not allowed & set(path.parents)}
    assert strangers <= {Path("journal"), Path("notify")}
    assert "Traceback" not in unitRun.journal.read_text()


def test_blockedIsNotAlive(scene: Scene) -> None:
    """Signs of life come twice in the time that systemd gives, and end with a process that is
    blocked, so that systemd kills it; when it goes on, they do."""
    rows = row(7, scene.port(), f"{RTU_IP}:{scene.port()}")
    unitRun = manager(scene, *INSTANCES[0][:3], rows)
    unitRun.start()
    unitRun.waitTold("READY=1")
    for _ in range(4):
        unitRun.waitTold("WATCHDOG=1", seconds=1)
    unitRun.signal(signal.SIGSTOP)
    unitRun.silence(1.5)
    unitRun.signal(signal.SIGCONT)
    unitRun.waitTold("WATCHDOG=1")


def test_stopTwice(scene: Scene) -> None:
    """Told to stop again while it stops, the relay says so and goes on stopping in order."""
    port, rtuPort = scene.port(), scene.port()
    listener = scene.rawRtu(rtuPort)
    rows = row(7, port, f"{RTU_IP}:{rtuPort}", t1=3, t2=1)
    unitRun = manager(scene, *INSTANCES[0][:3], rows)
    unitRun.start()
    rtu = scene.raw(listener.accept())
    waitFor(lambda: listening(port), f"port {port} is open")
    scene.raw(RawStation.started(port))
    rtu.expect(STARTDT_ACT)
    rtu.send(STARTDT_CON)
    rtu.expectNothing()
    unitRun.signal(signal.SIGTERM)
    rtu.expect(STOPDT_ACT)
    for again in (signal.SIGTERM, signal.SIGINT):
        unitRun.signal(again)
        text = f"Received {again.name} again: already stopping."
        waitFor(lambda text=text: text in unitRun.journal.read_text(), text)  # type: ignore[misc]  # bound
    rtu.send(STOPDT_CON)
    assert unitRun.stop() == -signal.SIGTERM
    assert "Server Shut Down" in unitRun.journal.read_text()
    assert "Traceback" not in unitRun.journal.read_text()


ANALYZE = os.environ.get("MM2SS_SYSTEMD_ANALYZE") or shutil.which("systemd-analyze")
needsAnalyze = pytest.mark.skipif(ANALYZE is None, reason="no systemd-analyze here")
STRACE = shutil.which("strace")


def allowedCalls(unit: Settings) -> set[str]:
    """The system calls that a unit's filter lets through, as this systemd knows its groups."""
    groups: dict[str, set[str]] = {}
    name = ""
    for line in analyze("syscall-filter", "--no-pager").splitlines():
        if line.startswith("@"):
            name = line
        elif line.startswith("    ") and not line.strip().startswith("#"):
            groups.setdefault(name, set()).add(line.strip())

    def calls(group: str) -> set[str]:
        members = groups[group]
        found = {each for each in members if not each.startswith("@")}
        return found.union(*(calls(each) for each in members if each.startswith("@")))

    allowed = calls("@default")
    for words in unit["SystemCallFilter"]:
        named = set().union(*(calls(word) for word in words.lstrip("~").split()))
        allowed = allowed - named if words.startswith("~") else allowed | named
    return allowed | calls("@default")


@pytest.mark.skipif(STRACE is None, reason="no strace here")
@needsAnalyze
def test_systemCalls(scene: Scene) -> None:
    """All that a relay with a master, a journal and a time server asks of the kernel passes the
    unit's filter, but for the question who keeps the clock, which may fail."""
    port, rtuPort = scene.port(), scene.port()
    listener = scene.rawRtu(rtuPort)
    rows = row(7, port, f"{RTU_IP}:{rtuPort}") + "\nntp_server,127.0.0.9"
    unitRun = manager(scene, *INSTANCES[0][:3], rows)
    trace = scene.folder / "calls"
    assert STRACE is not None
    unitRun.start(STRACE, "-f", "-qq", "-o", str(trace), "--seccomp-bpf", "-e", "trace=all")
    pid = int(unitRun.waitTold("READY=1")[1].partition("=")[2])
    scene.cleanUp(lambda: os.kill(pid, signal.SIGKILL) if Path(f"/proc/{pid}").exists() else None)
    rtu = scene.raw(listener.accept())
    waitFor(lambda: listening(port), f"port {port} is open")
    master = scene.raw(RawStation.started(port))
    rtu.expect(STARTDT_ACT)
    rtu.send(STARTDT_CON, "68 0e 00 00 00 00 01 01 03 00 20 00 64 00 00 01")
    master.expect("68 0e 02 00 00 00 01 01 03 00 20 00 64 00 00 01")
    master.close()  # the event goes to the journal
    waitFor(lambda: "STOPDT sent to the RTU" in unitRun.journal.read_text(), "it stops the RTU")
    os.kill(pid, signal.SIGTERM)
    rtu.close()
    waitFor(lambda: "Server Shut Down" in unitRun.journal.read_text(), "it ends")
    unitRun.stop()
    made = set(re.findall(r"^\d+ +(\w+)\(", trace.read_text(), re.MULTILINE))
    assert {"sendto", "fdatasync", "epoll_wait", "accept4"} <= made
    assert made - allowedCalls(unitRun.settings) <= {"clock_adjtime", "adjtimex"}


# -- what systemd itself says of the units ------------------------------------------------------

ALL = ["mm2ss.service", "mm2ss@.service", "mm2ss-shard@.service"]
DROP_INS = ["clock.conf", "low-ports.conf"]


def analyze(*arguments: str | Path) -> str:
    """What systemd-analyze says; it must be content."""
    assert ANALYZE is not None
    done = subprocess.run(
        [ANALYZE, *arguments], capture_output=True, encoding="utf-8", timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def install(folder: Path, unit: str, *dropIns: str) -> Path:
    """The unit with its drop-ins in a folder, with programs that are here."""
    text = (UNITS / unit).read_text("utf-8")
    made = folder / unit
    made.write_text(text.replace("/opt/mm2ss/bin/twistd", str(TWISTD)))
    for name in dropIns:
        (folder / f"{unit}.d").mkdir(exist_ok=True)
        shutil.copy(UNITS / name, folder / f"{unit}.d")
    return made


@pytest.mark.smoke
@needsAnalyze
@pytest.mark.parametrize("unit", ALL)
@pytest.mark.parametrize("dropIns", [(), DROP_INS], ids=["plain", "drop-ins"])
def test_verify(tmp_path: Path, unit: str, dropIns: list[str]) -> None:
    """systemd has nothing to say against the units, with and without the drop-ins."""
    made = install(tmp_path, unit, *dropIns)
    said = analyze("verify", "--man=no", "--recursive-errors=no", made)
    assert unit.partition(".")[0] not in said, said


@pytest.mark.smoke
@needsAnalyze
@pytest.mark.parametrize("unit", ALL)
def test_exposure(tmp_path: Path, unit: str) -> None:
    """systemd judges the units to expose little: an attacker within the process could do little."""
    said = analyze("security", "--offline=true", "--no-pager", install(tmp_path, unit))
    found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", said)
    assert found is not None and float(found[1]) <= EXPOSURE, said


@pytest.mark.smoke
@pytest.mark.parametrize("unit", ALL[1:])
def test_unitsAgree(unit: str) -> None:
    """The units differ in what they run and where; in nothing else."""
    first, other = (readUnit((UNITS / name).read_text("utf-8")) for name in (ALL[0], unit))
    differing = {name for name in first.keys() | other if first.get(name) != other.get(name)}
    own = {"Description", "ExecStart"}
    if unit == "mm2ss-shard@.service":  # shards share their directories: journals change hands
        own |= {"Environment"}
    else:
        own |= {"StateDirectory", "LogsDirectory", "WorkingDirectory"}
        assert "%i" in other["StateDirectory"][0]
    assert differing == own
    assert "%i" in other["ExecStart"][0]


@pytest.mark.smoke
def test_privileges() -> None:
    """Without a drop-in there is no capability, and each drop-in gives just the one it names."""
    plain = readUnit((UNITS / "mm2ss.service").read_text("utf-8"))
    assert plain["CapabilityBoundingSet"] == plain["AmbientCapabilities"] == [""]
    assert plain["NoNewPrivileges"] == plain["ProtectClock"] == ["yes"]
    for name, capability in zip(DROP_INS, ("SYS_TIME", "NET_BIND_SERVICE"), strict=True):
        settings = readUnit((UNITS / name).read_text("utf-8"))
        assert settings["CapabilityBoundingSet"] == [f"CAP_{capability}"]
        assert settings["AmbientCapabilities"] == [f"CAP_{capability}"]
        assert ("SystemCallFilter" in settings) == (capability == "SYS_TIME")
