"""What systemd is told, read from a real datagram socket; time is virtual."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from twisted.logger import LogLevel, globalLogPublisher

from mm2ss.relay.snapshot import Standing
from mm2ss.services.systemd import (
    MAX_WAITING,
    STATUS_INTERVAL,
    STOP_EXTENSION,
    STOP_MAX,
    Supervisor,
    SystemdService,
    statusText,
    takeSupervisor,
)
from tests.fakes import VirtualClock
from tests.groups import World
from tests.logfiles import TwistdLog

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="systemd is Linux's")

EXTEND = f"EXTEND_TIMEOUT_USEC={int(STOP_EXTENSION * 1e6)}"


class Reactor(VirtualClock):
    """Virtual time, and a shutdown that the test brings about."""

    def __init__(self) -> None:
        super().__init__()
        self.triggers: list[Callable[[], None]] = []

    def addSystemEventTrigger(self, phase: str, event: str, call: Callable[[], None]) -> Any:
        assert (phase, event) == ("before", "shutdown")
        self.triggers.append(call)
        return call

    def removeSystemEventTrigger(self, trigger: Any) -> None:
        self.triggers.remove(trigger)

    def shutDown(self) -> None:
        while self.triggers:
            self.triggers.pop(0)()


@dataclass
class Systemd:
    """The other end of the socket.

    :ivar groups: what the service finds when it looks at the groups.
    :ivar looks: how often it looked.
    """

    address: str
    socket: socket.socket
    reactor: Reactor = field(default_factory=Reactor)
    groups: list[Standing] = field(default_factory=list)
    looks: int = 0

    def service(self, watchdog: float = 0, watched: int = 0) -> SystemdService:
        """A service that tells us; not started."""
        supervisor = Supervisor(self.address, watchdog, watched)
        return SystemdService(supervisor, self.standings, self.reactor)

    def standings(self) -> list[Standing]:
        """How the groups stand."""
        self.looks += 1
        return self.groups

    def told(self) -> list[str]:
        """The messages that have come since this was asked last."""
        found = []
        while True:
            try:
                found.append(self.socket.recv(4096).decode())
            except BlockingIOError:
                return found


@pytest.fixture(params=["file", "abstract"])
def systemd(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Systemd]:
    """A socket in the file system, and one outside of it."""
    name = str(tmp_path / "notify")
    address = name if request.param == "file" else "\0" + name
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
        end.setblocking(False)
        end.bind(address)
        yield Systemd(address, end)


UP, DOWN = Standing(connected=True, masters=2), Standing(connected=False, masters=0)


def test_life(systemd: Systemd) -> None:
    """Ready in the first turn of the reactor and not before; then the status when it changed."""
    service = systemd.service()
    service.startService()
    assert systemd.told() == []
    systemd.reactor.run(0)
    ready = f"READY=1\nMAINPID={os.getpid()}"
    assert systemd.told() == [ready, "STATUS=0 of 0 RTUs connected, 0 masters"]
    systemd.reactor.run(5 * STATUS_INTERVAL)
    assert systemd.told() == []
    systemd.groups = [UP]
    systemd.reactor.run(STATUS_INTERVAL)
    assert systemd.told() == ["STATUS=1 of 1 RTUs connected, 2 masters"]

    systemd.reactor.shutDown()
    assert systemd.told() == ["STOPPING=1\nSTATUS=stopping\n" + EXTEND]
    service.stopService()
    assert systemd.reactor.getDelayedCalls() == [] and systemd.reactor.triggers == []


@pytest.mark.parametrize("watched", [0, os.getpid()], ids=["anybody", "us"])
def test_watchdog(systemd: Systemd, watched: int) -> None:
    """A sign of life comes at half of the time, and the status no more often than without."""
    service = systemd.service(watchdog=4, watched=watched)
    service.startService()
    systemd.reactor.run(0)
    assert "WATCHDOG=1" in systemd.told()
    systemd.groups = [UP]
    systemd.reactor.run(STATUS_INTERVAL)
    told = systemd.told()
    assert systemd.looks == 2
    assert told.count("WATCHDOG=1") == STATUS_INTERVAL / 2
    assert told.count("STATUS=1 of 1 RTUs connected, 2 masters") == len(told) - 5 == 1
    service.stopService()
    assert systemd.reactor.getDelayedCalls() == [] and systemd.reactor.triggers == []


def test_watchdogOfAnother(systemd: Systemd) -> None:
    """A watchdog that means another process is not fed."""
    service = systemd.service(watchdog=4, watched=os.getpid() + 1)
    service.startService()
    systemd.reactor.run(20)
    assert "WATCHDOG=1" not in systemd.told()
    service.stopService()


def test_longStop(systemd: Systemd) -> None:
    """While it stops more time is asked for, always before the last is over, and not for ever."""
    service = systemd.service()
    service.startService()
    systemd.reactor.run(1)
    systemd.reactor.shutDown()
    systemd.told()
    given, asked = 0.0, 0
    while systemd.reactor.seconds() < 2 * STOP_MAX:
        systemd.reactor.run(1)
        if EXTEND in systemd.told():
            asked += 1
            assert given <= STOP_EXTENSION
            given = 0.0
        given += 1
    assert STOP_MAX / STATUS_INTERVAL - 1 <= asked <= STOP_MAX / STATUS_INTERVAL
    service.stopService()


def test_reload(systemd: Systemd) -> None:
    """A reload is framed by RELOADING, with its time, and READY; when it stops, not again ready."""
    service = systemd.service()
    service.startService()
    systemd.reactor.run(3.5)
    systemd.told()
    service.reloading()
    service.reloaded()
    assert systemd.told() == [
        "RELOADING=1\nMONOTONIC_USEC=3500000",
        "READY=1",
    ]
    service.reloading()
    systemd.reactor.shutDown()
    service.reloaded()
    assert [message.partition("\n")[0] for message in systemd.told()] == [
        "RELOADING=1",
        "STOPPING=1",
    ]
    service.stopService()


def test_stoppedBeforeReady(systemd: Systemd) -> None:
    """Told to stop before its first turn, it never says that it is ready."""
    service = systemd.service()
    service.startService()
    systemd.reactor.shutDown()
    systemd.reactor.run(STATUS_INTERVAL)
    assert not any("READY=1" in message for message in systemd.told())
    service.stopService()


def test_socketGone(tmp_path: Path) -> None:
    """Nobody at the socket: said once, and what must arrive arrives when somebody comes."""
    log = TwistdLog()
    globalLogPublisher.addObserver(log)
    address = str(tmp_path / "notify")
    reactor = Reactor()
    with socket.socket() as unused:
        service = SystemdService(Supervisor(address, 2), Systemd("", unused).standings, reactor)
    service.startService()
    reactor.run(10)
    globalLogPublisher.removeObserver(log)
    (said,) = log.texts(LogLevel.warn)
    assert said.startswith("systemd cannot be told how we stand: ")
    for _ in range(2 * MAX_WAITING):
        service.reloading()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
        end.bind(address)
        end.setblocking(False)
        reactor.run(1)
        told = Systemd(address, end).told()
    assert told[0] == "WATCHDOG=1" and len(told) == 1 + MAX_WAITING
    service.stopService()
    assert reactor.getDelayedCalls() == []


def test_status() -> None:
    """RTUs that are connected, of all, and masters that are."""
    assert statusText([UP, DOWN, UP]) == "2 of 3 RTUs connected, 4 masters"
    with World() as world:
        world.master()
        assert world.group.standing() == Standing(connected=True, masters=1)
        world.rtu.die()
        world.run(0.1)
        assert world.group.standing() == DOWN


ENVIRONMENTS: dict[str, tuple[dict[str, str], Supervisor | None]] = {
    "none": ({}, None),
    "file": ({"NOTIFY_SOCKET": "/run/n"}, Supervisor("/run/n")),
    "abstract": ({"NOTIFY_SOCKET": "@a@b"}, Supervisor("\0a@b")),
    "watchdog": (
        {"NOTIFY_SOCKET": "/n", "WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "7"},
        Supervisor("/n", 30, 7),
    ),
    "nonsense": ({"NOTIFY_SOCKET": "/n", "WATCHDOG_USEC": "soon"}, Supervisor("/n")),
    "unknown kind": ({"NOTIFY_SOCKET": "vsock:2:1234"}, None),
    "watchdog alone": ({"WATCHDOG_USEC": "1"}, None),
}


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_environment(name: str) -> None:
    """The environment is understood, and children do not get what concerns us."""
    variables, expected = ENVIRONMENTS[name]
    environment = {**variables, "PATH": "/bin"}
    assert takeSupervisor(environment) == expected
    assert environment == {"PATH": "/bin"}
