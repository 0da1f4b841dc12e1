"""What thousands of groups rely on: rest is cheap, nothing is left behind, limits are told."""

from __future__ import annotations

import gc
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from weakref import ref

import pytest
from twisted.internet.error import ConnectionDone
from twisted.logger import LogEvent, LogLevel, formatEvent, globalLogPublisher
from twisted.python.failure import Failure

from mm2ss.config.model import AckMode, GroupConfig, Host
from mm2ss.config.worst_case import descriptors, shortage, worstCase
from mm2ss.iec104.link import Link, Role
from mm2ss.iec104.loop import Loop
from mm2ss.iec104.protocol import LinkFactory
from mm2ss.relay.fleet import Fleet
from mm2ss.services.memory import THRESHOLDS, MemoryService
from mm2ss.tap import RelayService
from tests.fakes import FakeTransport, VirtualClock
from tests.groups import World
from tests.peers import RecordingOwner
from tests.stations import DEFAULTS

GROUPS = [GroupConfig(n, "A", 2404 + n, 1, (Host("rtu", 1),), maxMasters=4) for n in range(3)]


def test_restCostsOneTestForEachConnection() -> None:
    """At rest a group sets no timers but for each connection's test, every t3 seconds."""
    with World(ackMode=AckMode.THROUGH) as world:
        for _ in range(2):
            world.master()
        world.run(2 * DEFAULTS.t3)
        later = world.reactor.callLater
        names: list[str] = []

        def callLater(delay: float, call: Any, *arguments: Any, **others: Any) -> Any:
            if getattr(call, "__self__", None).__class__.__module__.startswith("mm2ss."):
                names.append(call.__qualname__)
            return later(delay, call, *arguments, **others)

        watched: Any = world.reactor
        watched.callLater = callLater
        rounds = 10
        world.run(rounds * DEFAULTS.t3)
        watched.callLater = later
    # A test and its time-out; the group has one wheel, and so has each of the three peers.
    assert set(names) == {"Wheel._goOff"}
    assert len(names) <= rounds * 4 * 2 * 2


def test_aLostConnectionLeavesNoCircle() -> None:
    """What is left of a lost connection goes at once, without the garbage collector."""
    clock = VirtualClock()
    owner = RecordingOwner()
    factory = LinkFactory(lambda now: Link(Role.CONTROLLED, DEFAULTS, now), owner, clock)
    connection = factory.buildProtocol(None)
    assert connection is not None
    transport = FakeTransport(clock)
    transport.connect(connection)
    transport.protocol = None  # as Twisted's do when they are lost
    gc.disable()
    try:
        transport.unregisterProducer()
        connection.connectionLost(Failure(ConnectionDone()))
        owner.__dict__.clear()
        gone = ref(connection)
        del connection
        assert gone() is None
    finally:
        gc.enable()


# -- memory ---------------------------------------------------------------------------------


@pytest.fixture
def memory() -> Iterator[tuple[MemoryService, VirtualClock]]:
    """A started service and its clock."""
    clock = VirtualClock()
    service = MemoryService(clock)
    service.startService()
    yield service, clock
    if service.running:
        service.stopService()


def test_whatIsThereIsFrozen(memory: tuple[MemoryService, VirtualClock]) -> None:
    """One turn after the start all that is there is out of the collector's sight."""
    _, clock = memory
    assert gc.get_threshold() == THRESHOLDS
    assert gc.get_freeze_count() == 0
    clock.run(0)
    assert gc.get_freeze_count() > 10_000
    assert clock.getDelayedCalls() == []


class _Ring:
    """Refers to itself."""

    def __init__(self) -> None:
        self.self = self


def test_whatWentSinceIsNotKept(memory: tuple[MemoryService, VirtualClock]) -> None:
    """What was frozen and has gone in a circle is freed when much has changed."""
    service, clock = memory
    ring = _Ring()
    clock.run(0)
    gone = ref(ring)
    del ring
    gc.collect()
    assert gone() is not None
    service.settleSoon()
    service.settleSoon()
    assert len(clock.getDelayedCalls()) == 1
    clock.run(0)
    assert gone() is None


def test_stoppedAsBefore() -> None:
    """After its stop the collector is as it was, and nothing is pending."""
    before = gc.get_threshold()
    clock = VirtualClock()
    service = MemoryService(clock)
    service.startService()
    service.stopService()
    service.settleSoon()
    assert (gc.get_threshold(), gc.get_freeze_count()) == (before, 0)
    assert clock.getDelayedCalls() == []


# -- file descriptors -----------------------------------------------------------------------


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limit")
def test_allThatTheSystemAllowsIsTaken() -> None:
    """The limit that holds becomes the one beyond which only an administrator can go."""
    program = (
        "import resource as r\n"
        "from mm2ss.services.descriptors import allowed, takeAll\n"
        "_, hard = r.getrlimit(r.RLIMIT_NOFILE)\n"
        "r.setrlimit(r.RLIMIT_NOFILE, (64, min(hard, 300)) if hard > 0 else (64, 300))\n"
        "takeAll()\n"
        "print(allowed(), *r.getrlimit(r.RLIMIT_NOFILE))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, check=True, text=True, timeout=60
    )
    assert done.stdout.split() == ["300"] * 3


def test_shortage() -> None:
    """What is needed beyond what is allowed is said with the figure and how to get it."""
    needed = descriptors(GROUPS)
    assert needed == 6 + 3 + 12 + 6 + 20
    assert shortage(GROUPS, None) == shortage(GROUPS, needed) == ""
    text = shortage(GROUPS, needed - 1)
    assert f"LimitNOFILE={needed}" in text and f"ulimit -Hn {needed}" in text
    assert f"the system allows {needed - 1}" in text
    lines = list(worstCase(GROUPS, Path("/j"), needed - 1))
    assert lines[1].startswith(f"  file descriptors: {needed} ")
    assert lines[2] == f"    {text}"
    assert text not in "".join(worstCase(GROUPS, Path("/j"), needed))


def test_shortageIsInTheLog() -> None:
    """A service that may run out of file descriptors says so when it starts."""
    events: list[LogEvent] = []
    globalLogPublisher.addObserver(events.append)  # type: ignore[arg-type]  # returns None
    service = RelayService(
        Fleet((), lambda _: pytest.fail("no group")), Loop(VirtualClock()), (), "too few"
    )
    service.startService()
    service.stopService()
    globalLogPublisher.removeObserver(events.append)  # type: ignore[arg-type]  # as above
    warnings = [formatEvent(each) for each in events if each["log_level"] is LogLevel.warn]
    assert warnings == ["too few"]
