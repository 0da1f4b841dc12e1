"""A captured exchange, as tshark's own dissector reads it."""

from __future__ import annotations

import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from tests.interop.c104stations import Station
from tests.interop.harness import Scene, row
from tests.interop.points import COUNTERS
from tests.interop.waiting import RTU_IP, end, refused, waitFor

#: Octets that begin a capture file without a packet; the first packet comes after them.
HEADER_ONLY = 1000
#: The severity of what tshark calls an error; warnings (a refused connection) are less.
ERROR = 0x800000


class Capture:
    """tshark listening on the loopback interface to some ports."""

    def __init__(self, scene: Scene, ports: list[int]) -> None:
        tshark = shutil.which("tshark")
        if tshark is None:
            pytest.skip("tshark is not installed")
        self._tshark = tshark
        self._ports = ports
        self._file = scene.folder / "capture.pcapng"
        self._errors = scene.folder / "tshark.err"
        capture = " or ".join(f"tcp port {port}" for port in ports)
        with self._errors.open("wb") as errors:
            self._process = subprocess.Popen(
                [tshark, "-q", "-i", "lo", "-f", capture, "-w", self._file],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
            )
        scene.cleanUp(self._kill)
        scene.reportOn("tshark", self._errors.read_text)
        waitFor(self._runs, "tshark captures")

    def _runs(self) -> bool:
        """Provoke a packet and look whether it was captured."""
        if self._process.poll() is not None:
            pytest.skip(f"tshark may not capture here: {self._errors.read_text()}")
        assert refused(self._ports[-1])
        return self._file.exists() and self._file.stat().st_size > HEADER_ONLY

    def _kill(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
            end(self._process)

    def finish(self, last: bytes) -> None:
        """End the capture when it holds the octets that were sent last."""
        waitFor(lambda: last in self._file.read_bytes(), "the last frame is captured")
        self._process.send_signal(signal.SIGINT)
        end(self._process)

    def read(self, *fields: str) -> list[list[str]]:
        """Some fields of all packets."""
        command: list[str | Path] = [self._tshark, "-r", self._file, "-T", "fields"]
        for port in self._ports:
            command += ["-d", f"tcp.port=={port},iec60870_104"]
        for field in fields:
            command += ["-e", field]
        shown = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
        return [line.split("\t") for line in shown.stdout.splitlines()]


def test_tsharkUnderstandsBothConnections(scene: Scene) -> None:
    """Every packet on both legs is IEC 60870-5-104 without a malformed or an erroneous one."""
    port, rtuPort, unused = scene.port(), scene.port(), scene.port()
    capture = Capture(scene, [port, rtuPort, unused])
    rtu = scene.rtu(rtuPort)
    relay = scene.relay(row(1, port, f"{RTU_IP}:{rtuPort}", w=2))
    relay.waitOpen(port)
    masters = scene.masters(2, port)
    rtu.waitStarted()
    for address in COUNTERS:
        rtu.do("set", address=address, value=address)
    first, second = masters
    for master, request in ((first, "interrogate"), (second, "counters"), (first, "clock")):
        master.do(request)
    second.do("command", address=200, value=True)
    first.do("command", address=212, value=-5, select=True)
    second.do("command", address=210, value=True)  # refused: it is not selected
    first.do("read", address=107)
    known = {port: count(first) + count(second), rtuPort: count(rtu)}
    rtu.mark(masters)
    capture.finish(second.asdus(sent=False)[-1])

    types: dict[int, set[str]] = {port: set(), rtuPort: set()}
    frames = dict.fromkeys(types, 0)
    for source, target, protocols, severities, lengths, kinds in capture.read(
        "tcp.srcport",
        "tcp.dstport",
        "frame.protocols",
        "_ws.expert.severity",
        "iec60870_104.apdulen",
        "iec60870_asdu.typeid",
    ):
        assert "malformed" not in protocols
        assert all(int(severity) < ERROR for severity in severities.split(",") if severity)
        for leg, seen in types.items():
            if str(leg) in (source, target):
                frames[leg] += len(lengths.split(",")) if lengths else 0
                seen.update(kind for kind in kinds.split(",") if kind)
    requests = {"100", "101", "102", "103", "45", "49"}
    assert types[port] >= requests | {"70", "13", "36", "15"}
    assert types[rtuPort] >= requests | {"13", "36", "15"}
    # Each frame that the stations know of was read as one.
    assert all(frames[leg] >= known[leg] for leg in frames)


def count(station: Station) -> int:
    """How many frames a station has sent and received."""
    return len(station.frames(sent=True)) + len(station.frames(sent=False))
