"""Three c104 masters want the same of one c104 RTU at once; the relay runs as a real process."""

from __future__ import annotations

import os
import signal
import socket
import threading
from pathlib import Path

import pytest

from tests.interop.c104stations import Master104, Rtu104
from tests.interop.harness import Relay, Scene, row
from tests.interop.waiting import MASTER_IP, PATIENCE, RTU_IP, waitFor

#: The address that may not command, as the relay sees it.
WATCHER_IP = "127.0.0.9"
ACTIVATION, CONFIRMATION, TERMINATION, REFUSED = 6, 7, 10, 0x47
COMMAND, INTERROGATION = 45, 100
#: An S frame for the first I frame of a connection.
FIRST_TAKEN = bytes.fromhex("680401000200")
#: A point that must be selected, and one that is executed at once.
SELECTED, DIRECT = 210, 200


class Detour:
    """Lets a station connect from an address that it cannot choose itself.

    :ivar port: where the station connects instead.
    """

    def __init__(self, scene: Scene, port: int, source: str) -> None:
        self._target = (MASTER_IP, port)
        self._source = source
        self._listener = socket.create_server((MASTER_IP, 0))
        self._sockets = [self._listener]
        self.port = int(self._listener.getsockname()[1])
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()
        scene.cleanUp(self.close)

    def _accept(self) -> None:
        try:
            near, _ = self._listener.accept()
            far = socket.create_connection(self._target, PATIENCE, (self._source, 0))
        except OSError:
            return
        far.settimeout(None)
        self._sockets += [near, far]
        for one, other in ((near, far), (far, near)):
            thread = threading.Thread(target=self._copy, args=(one, other), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _copy(self, one: socket.socket, other: socket.socket) -> None:
        try:
            while octets := one.recv(4096):
                other.sendall(octets)
            other.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def close(self) -> None:
        """End it; both stations are disconnected."""
        for each in self._sockets:
            try:
                each.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            each.close()
        for thread in self._threads:
            thread.join(PATIENCE)


def stats(tasks: Path) -> list[str]:
    """What the kernel says of each thread of a process."""
    return [(task / "stat").read_text() for task in tasks.iterdir()]


class Paused:
    """An RTU's process that does nothing for a while: what is sent to it waits."""

    def __init__(self, rtu: Rtu104) -> None:
        self._rtu = rtu

    def __enter__(self) -> None:
        self._rtu.freeze()
        tasks = Path(f"/proc/{self._rtu._process.pid}/task")
        waitFor(
            lambda: all(") T " in text for text in stats(tasks)),
            "all threads of the RTU are stopped",
        )

    def __exit__(self, *_: object) -> None:
        os.kill(self._rtu._process.pid, signal.SIGCONT)


def begin(scene: Scene, masters: int, control: str = "") -> tuple[Relay, Rtu104, int]:
    """Start an RTU and the relay; how many masters may come, and who of them may command."""
    port, rtuPort = scene.port(), scene.port()
    rtu = scene.rtu(rtuPort)
    names = "id,sys,port,rtu,max,idle,t1,t2,t3,w,k,buf,log,same,hosts,filter,control"
    cells = row(1, port, f"{RTU_IP}:{rtuPort}", max_conn=masters, w=1) + f",{control}"
    relay = scene.relay(names, cells)
    relay.waitOpen(port)
    return relay, rtu, port


def waitTaken(master: Master104) -> None:
    """Wait until the relay has a master's first request: it acknowledges each at once (w = 1)."""
    master.waitFrame(FIRST_TAKEN, sent=False)


def mirrors(master: Master104, kind: int) -> list[int]:
    """Causes, with P/N, of the answers of a type that a master received."""
    return [asdu[2] for asdu in master.asdus(sent=False) if asdu[0] == kind]


def asked(rtu: Rtu104, kind: int) -> list[bytes]:
    """Requests of a type that reached the RTU."""
    return [asdu for asdu in rtu.asdus(sent=False) if asdu[0] == kind]


def test_C01_simultaneousInterrogations(scene: Scene) -> None:
    """Three interrogations at once cost the RTU two runs at most; each master gets all of it."""
    relay, rtu, port = begin(scene, 3)
    masters = scene.masters(3, port)
    rtu.waitStarted()
    with Paused(rtu):
        answers = [master.begin("interrogate") for master in masters]
        for master in masters:
            waitTaken(master)
    for answer in answers:
        answer()
    rtu.mark(masters)
    assert 1 <= len(asked(rtu, INTERROGATION)) <= 2
    shown = [asdu for asdu in rtu.asdus(sent=True) if asdu[2] == 20]
    for master in masters:
        assert mirrors(master, INTERROGATION) == [CONFIRMATION, TERMINATION]
        assert [asdu[4:] for asdu in master.asdus(sent=False) if asdu[2] == 20] == [
            asdu[4:] for asdu in shown
        ]
    trail = relay.folder / "log" / "audit.jsonl"
    assert not trail.exists() or trail.read_text("utf-8") == "", "to look is no command"


@pytest.mark.smoke
def test_C03_selectConflict(scene: Scene) -> None:
    """A second master's select of a point is refused; the first executes. Then the other may."""
    relay, rtu, port = begin(scene, 3)
    first, second, third = masters = scene.masters(3, port)
    rtu.waitStarted()
    with Paused(rtu):
        executed = first.begin("command", address=SELECTED, value=True, select=True)
        waitTaken(first)
        assert not second.do("command", address=SELECTED, value=False, select=True)
        second.wait(lambda: mirrors(second, COMMAND) == [REFUSED], "its select is refused")
    assert executed()
    rtu.mark(masters)
    assert [event["value"] for event in rtu.events("command")] == [True]
    assert len(asked(rtu, COMMAND)) == 2

    assert second.do("command", address=SELECTED, value=False, select=True)
    rtu.mark(masters)
    assert [event["value"] for event in rtu.events("command")] == [True, False]
    assert mirrors(third, COMMAND) == []
    told = [(line["action"], line["value"], line["result"]) for line in relay.audited(5)]
    assert told[0] == ("select", "off", "refused by relay")
    assert {each[2] for each in told[1:]} <= {"confirmed", "terminated"}
    assert [each[:2] for each in told[1:]] == [
        ("select", "on"),
        ("execute", "on"),
        ("select", "off"),
        ("execute", "off"),
    ]


def test_monitorOnlyMaster(scene: Scene) -> None:
    """Who is not in the column ``control`` interrogates, but commands nothing."""
    relay, rtu, port = begin(scene, 3, control=MASTER_IP)
    detour = Detour(scene, port, WATCHER_IP)
    first, second = scene.masters(2, port)
    (watcher,) = scene.masters(1, detour.port)
    masters = [first, second, watcher]
    rtu.waitStarted()
    watcher.do("interrogate")
    rtu.mark(masters)
    assert mirrors(watcher, INTERROGATION) == [CONFIRMATION, TERMINATION]

    watcher.do("command", address=DIRECT, value=True)
    rtu.mark(masters)
    assert mirrors(watcher, COMMAND) == [REFUSED]
    assert asked(rtu, COMMAND) == [] and rtu.events("command") == []

    first.do("command", address=DIRECT, value=True)
    rtu.mark(masters)
    assert len(rtu.events("command")) == 1
    assert CONFIRMATION in mirrors(first, COMMAND) and mirrors(second, COMMAND) == []
    lines = relay.audited(1)
    assert lines[0]["result"] == "refused by relay"
    assert lines[0]["reason"] == "this master may not control"
    assert lines[0]["master"].startswith(WATCHER_IP)
