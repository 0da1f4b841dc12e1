"""What ``twistd -n mm2ss --demo`` runs: a group that needs no file, and its built-in RTU.

The RTU has a loopback address of its own, because a group refuses masters that come from the
address of its RTU.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from datetime import datetime
from ipaddress import ip_address
from random import Random
from typing import Any

from twisted.application.service import IService, MultiService, Service
from twisted.logger import Logger

from mm2ss.config.model import GroupConfig, GroupOptions, Host
from mm2ss.simulator.outbox import Outbox
from mm2ss.simulator.plant import BREAKER, COMMON_ADDRESS, LIGHTING, plantPoints
from mm2ss.simulator.process import Process
from mm2ss.simulator.rtu import SimulatedRtu
from mm2ss.simulator.station import Station

#: Environment variable with the port of the demo's masters, 1-65534; the RTU has the next one.
DEMO_PORT = "MM2SS_DEMO_PORT"
DEFAULT_PORT = 2404
#: Where the demo's masters connect. Loopback only: anybody may command a demo.
MASTERS_ADDRESS = "127.0.0.1"
#: Loopback addresses for the RTU, in order of preference. Not every system has all of 127/8
#: (macOS has 127.0.0.1 alone); nearly every one has IPv6.
RTU_ADDRESSES = ("127.0.0.2", "::1")
#: Events that the demo's RTU keeps: a master that comes an hour later need not see them all.
_EVENTS_MAX = 50


def demoPort(environment: Mapping[str, str] = os.environ) -> int:
    """The port of the demo's masters: ``MM2SS_DEMO_PORT``, else 2404.

    :raises SystemExit: when the variable holds anything but a number 1-65534.
    """
    text = environment.get(DEMO_PORT, "").strip() or str(DEFAULT_PORT)
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= 65534:
        raise SystemExit(f"mm2ss: {DEMO_PORT} is {text!r}, not a port (1-65534)")
    return int(text)


def demoHost() -> str:
    """The address of the demo's RTU.

    :raises SystemExit: when this computer has none that a master does not also have.
    """
    for address in RTU_ADDRESSES:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        try:
            with socket.socket(family, socket.SOCK_STREAM) as probe:
                probe.bind((address, 0))
        except OSError:
            continue
        return address
    raise SystemExit(
        f"mm2ss: the demo's RTU needs a loopback address other than {MASTERS_ADDRESS}, and this"
        f" computer has none of {', '.join(RTU_ADDRESSES)}. As administrator: 'ifconfig lo0 alias"
        f" {RTU_ADDRESSES[0]} up' (macOS) or 'ip address add {RTU_ADDRESSES[0]}/8 dev lo' (Linux)"
    )


def demoGroups(port: int | None = None) -> tuple[GroupConfig, ...]:
    """The demo's one group.

    :param port: where its masters connect, 1-65534; by default `demoPort`.
    :raises SystemExit: as `demoPort` and `demoHost`.
    """
    port = demoPort() if port is None else port
    return (
        GroupConfig(
            id=1,
            name="DEMO-RTU",
            port=port,
            commonAddress=COMMON_ADDRESS,
            hosts=(Host(demoHost(), port + 1),),
            logEvents=False,
            options=GroupOptions(listen=(ip_address(MASTERS_ADDRESS),)),
        ),
    )


def demoRtu(reactor: Any, port: int | None = None, seed: int | None = None) -> MultiService:
    """The demo's RTU: a service that listens on `demoHost`, one port above the masters'.

    :param reactor: listens, and keeps monotonic time.
    :param port: as for `demoGroups`.
    :param seed: the same seed gives the same changes of the process.
    :raises SystemExit: as `demoGroups`.
    """
    port = demoPort() if port is None else port
    points = plantPoints()
    now = reactor.seconds()
    station = Station(points, now, datetime.now(), COMMON_ADDRESS)
    rtu = SimulatedRtu(
        reactor,
        demoHost(),
        port + 1,
        station,
        Process(points, Random(seed), now),
        Outbox(_EVENTS_MAX),
    )
    service = MultiService()
    service.setName("demo RTU")
    parts: tuple[IService, ...] = (rtu, _Guide(port))
    for part in parts:
        part.setServiceParent(service)
    return service


class _Guide(Service):
    """Says at the start how a master may be connected."""

    _log = Logger()

    def __init__(self, port: int) -> None:
        self._port = port

    def startService(self) -> None:
        Service.startService(self)
        for line in (
            f"connect any IEC 60870-5-104 master to {MASTERS_ADDRESS}:{self._port},"
            f" common address {COMMON_ADDRESS}; several at once, that is the point",
            "it sees single and double points, measurands and counters of a small substation",
            f"it may command: single command IOA {LIGHTING}; double command IOA {BREAKER} (select"
            " before operate); all points and controls are in docs/simulator.md",
        ):
            self._log.info("{line}", line=line, log_system="demo")
