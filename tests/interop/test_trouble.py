"""Files that cannot be used: what the relay says, and that the groups run where they can.

Root is denied no file; where the tests run as root, the relay goes without that right.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.interop.capabilities import DAC_OVERRIDE, DAC_READ_SEARCH, without
from tests.interop.harness import Scene, row, runTwistd
from tests.interop.rawstations import RawStation
from tests.interop.waiting import RTU_IP, waitFor

STARTDT_ACT, STARTDT_CON = "68 04 07 00 00 00", "68 04 0b 00 00 00"

#: What is in the way: its name in the folder, its mode, and what is said of it.
OBSTACLES = {
    "groups file": ("groups.csv", 0o000, "groups.csv: error: cannot be read: Permission denied"),
    "service file": ("mm2ss.yaml", 0o000, "mm2ss.yaml: error: cannot be read: Permission denied"),
    "state directory": ("state", 0o555, "may not be written"),
}


def runModestly(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run twistd to its end, without the rights of root over files."""
    return runTwistd(folder, *arguments, prepare=without(DAC_OVERRIDE, DAC_READ_SEARCH))


@pytest.mark.skipif(sys.platform != "linux", reason="modes of files, capabilities")
@pytest.mark.parametrize("obstacle", OBSTACLES)
@pytest.mark.parametrize("foreground", [True, False], ids=["foreground", "background"])
def test_cannotStart(tmp_path: Path, obstacle: str, foreground: bool) -> None:
    """What it cannot do without stops the start with one clear line and no pidfile."""
    (tmp_path / "groups.csv").write_text(row(1, 39999, "192.0.2.1:2404") + "\n")
    (tmp_path / "mm2ss.yaml").write_text("defaults: {stop_delay: 0}\n")
    (tmp_path / "state").mkdir()
    name, mode, said = OBSTACLES[obstacle]
    (tmp_path / name).chmod(mode)
    how: Sequence[str] = ["-n", "--pidfile="] if foreground else ["--pidfile=x.pid"]
    failed = runModestly(tmp_path, *how, "mm2ss", "-i", "groups.csv", "--config", "mm2ss.yaml")
    assert failed.returncode == 1
    lines = failed.stderr.splitlines()
    assert lines[-1].startswith("mm2ss cannot run: ") and said in lines[-1], failed.stderr
    assert "Traceback" not in failed.stdout + failed.stderr
    assert not (tmp_path / "x.pid").exists()


def test_logsCannotBeWritten(scene: Scene) -> None:
    """The disk of the logs is full: said once, the group relays, and when there is room again
    the event log has all its lines."""
    port, rtuPort = scene.port(), scene.port()
    listener = scene.rawRtu(rtuPort)
    logs = scene.folder / "log"
    logs.mkdir()
    for name in ("1-RTU_1.log", "audit.jsonl"):
        (logs / name).symlink_to("/dev/full")
    relay = scene.relay(
        row(1, port, f"{RTU_IP}:{rtuPort}"),
        service=f"log: {{directory: {logs}}}\n",
    )
    relay.tolerated = {"#error", "#critical"}
    rtu = scene.raw(listener.accept())
    relay.waitOpen(port)
    master = scene.raw(RawStation.started(port))
    rtu.expect(STARTDT_ACT)
    rtu.send(STARTDT_CON, "68 0e 00 00 00 00 01 01 03 00 20 00 64 00 00 01")
    master.expect("68 0e 02 00 00 00 01 01 03 00 20 00 64 00 00 01")
    master.send("68 0e 00 00 04 00 69 01 06 00 20 00 00 00 00 02")  # erase the events: refused
    waitFor(lambda: "Cannot write the event log" in relay.log, "the relay says so")
    waitFor(lambda: "Cannot write the audit trail" in relay.log, "the relay says that, too")
    assert relay.log.count("Cannot write the event log") == 1
    assert relay.log.count("Cannot write the audit trail") == 1
    assert relay.log.count("No space left on device") == 2

    for name in ("1-RTU_1.log", "audit.jsonl"):
        (logs / name).unlink()
    waitFor(lambda: "All event logs can be written again." in relay.log, "there is room again")
    waitFor(
        lambda: relay.log.count("can be written again.") == 2, "the audit trail is written, too"
    )
    assert "refused by relay" in (logs / "audit.jsonl").read_text()
    text = (logs / "1-RTU_1.log").read_text()
    assert text.index("RTU connected") < text.index("STARTDT: data transfer started")
    assert "lost here" not in text
