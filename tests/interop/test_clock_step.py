"""The wall clock of the relay's process is stepped by an hour: no timer notices."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import time
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from tests.interop.c104stations import TESTFR_ACT, Frame, Master104, Rtu104, Station
from tests.interop.harness import IMMEDIATE, Scene, row
from tests.interop.rawstations import RawStation
from tests.interop.waiting import RTU_IP

SOURCE = Path(__file__).with_name("clockshim.c")
T1, T2, T3, W = 4, 2, 3, 8
#: Seconds that a timer may be late on a busy machine; early it may be by nothing but rounding.
LATE, EARLY = 0.8, 0.05
#: Seconds that a value may take from the RTU to a master.
LATENCY = 0.5
#: Type and cause of the end of an interrogation.
TERMINATION = (100, 10)
#: The type of the values that `Rtu104.mark` sends, which are all different.
MEASURAND = b"\x0d"


class Clock:
    """The wall clock of processes that are started with `environment`."""

    def __init__(self, folder: Path) -> None:
        compiler = shutil.which("cc")
        if compiler is None:
            pytest.skip("there is no C compiler to make a clock that can be set")
        library = folder / "clockshim.so"
        subprocess.run(
            [compiler, "-shared", "-fPIC", "-O2", "-Wall", "-Werror", "-o", library, SOURCE],
            check=True,
        )
        self._file = folder / "clock"
        self.set(0)
        self.environment = {"LD_PRELOAD": str(library), "CLOCKSHIM": str(self._file)}

    def set(self, hours: int) -> None:
        """Set the clock wrong by so many hours, at once."""
        self.hours = hours
        octets = struct.pack("=q", hours * 3600 * 10**9)
        if self._file.exists():
            with self._file.open("r+b", buffering=0) as file:
                os.pwrite(file.fileno(), octets, 0)
        else:
            self._file.write_bytes(octets)

    def isTold(self, stamp: str) -> bool:
        """Whether a time that was logged just now is this clock's."""
        told = datetime.fromisoformat(stamp)
        expected = datetime.now(told.tzinfo) + timedelta(hours=self.hours)
        return abs(told - expected) < timedelta(seconds=10)


@pytest.fixture
def clock(tmp_path: Path) -> Clock:
    """A wall clock for one relay."""
    return Clock(tmp_path)


def exchange(rtu: Rtu104, masters: list[Master104], seconds: float) -> None:
    """Let the RTU send values one after the other."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        rtu.mark(masters)


def checkTests(station: Station) -> None:
    """A test frame comes when the relay has heard nothing for t3, not earlier and not later."""
    sent = [frame.time for frame in station.frames(sent=True)]
    for frame in station.frames(sent=False):
        if frame.octets == TESTFR_ACT:
            silence = frame.time - max(moment for moment in sent if moment < frame.time)
            assert T3 - EARLY < silence < T3 + LATE, f"{station.role}: TESTFR after {silence} s"
    for before, after in pairwise(sent):
        assert after - before < T3 + LATE, f"{station.role}: no TESTFR for {after - before} s"


def checkAcknowledgements(rtu: Station) -> None:
    """The relay acknowledges when w frames wait, else after t2, or with a frame of its own."""
    waiting: list[Frame] = []
    for frame in sorted(rtu.frames(True) + rtu.frames(False), key=lambda frame: frame.time):
        kind = frame.octets[2] & 3
        if frame.sent and kind in (0, 2):
            waiting.append(frame)
        elif not frame.sent and kind != 3:
            number = int.from_bytes(frame.octets[4:6], "little") >> 1
            last = int.from_bytes(waiting[-1].octets[2:4], "little") >> 1 if waiting else number - 1
            count = len(waiting) - (last + 1 - number)
            if kind == 1:
                delay = frame.time - waiting[0].time
                assert count >= W or T2 - EARLY < delay < T2 + LATE, f"S after {delay} s"
            del waiting[:count]
        assert not waiting or frame.time - waiting[0].time < T2 + LATE, "no S"


def checkLatency(rtu: Station, masters: list[Master104]) -> None:
    """No value took long from the RTU to a master, and all arrived."""
    sent = {frame.asdu: frame.time for frame in rtu.frames(True) if frame.asdu[:1] == MEASURAND}
    for master in masters:
        received = {f.asdu: f.time for f in master.frames(False) if f.asdu[:1] == MEASURAND}
        assert received.keys() == sent.keys()
        assert max(received[asdu] - sent[asdu] for asdu in sent) < LATENCY


def test_wallClockStepsDisturbNothing(scene: Scene, clock: Clock) -> None:
    """Steps forward and back by an hour: no link drops, no timer is early or late, and the event
    log tells the time that the clock shows."""
    port, rtuPort = scene.port(), scene.port()
    rtu = scene.rtu(rtuPort, t1=60, t2=1, t3=60)
    relay = scene.relay(
        row(1, port, f"{RTU_IP}:{rtuPort}", t1=T1, t2=T2, t3=T3, w=W),
        service=IMMEDIATE,
        environment=clock.environment,
    )
    relay.waitOpen(port)
    masters = scene.masters(2, port, t1=60, t2=1, t3=60)
    rtu.waitStarted()
    asked = [masters[0].begin("interrogate")]
    exchange(rtu, masters, 0.5)
    assert clock.isTold(relay.eventLog().splitlines()[-1][:32])

    for number, hours in enumerate((1, 0, -1), start=1):
        begun = time.monotonic()
        mute = scene.raw(RawStation.started(port))
        exchange(rtu, masters, 0.5)
        asked.append(masters[0].begin("interrogate"))
        clock.set(hours)
        exchange(rtu, masters, 0.5)
        # It never acknowledges: t1, which ran when the clock was stepped, ends its connection.
        mute.ending(T1 + LATE)
        assert T1 - EARLY < time.monotonic() - begun < T1 + LATE
        mute.close()
        relay.waitLogged("disconnected: I frame not acknowledged within t1", times=number)
        assert clock.isTold(relay.eventLog().splitlines()[-1][:32])
        for station in (rtu, *masters):
            station.waitFrame(TESTFR_ACT, sent=False, times=number)

    for answer in asked:
        answer()
    ends = [asdu for asdu in masters[0].asdus(sent=False) if (asdu[0], asdu[2]) == TERMINATION]
    assert len(ends) == len(asked)
    assert relay.eventLog().count("disconnected") == 3
    for station in (rtu, *masters):
        checkTests(station)
    checkAcknowledgements(rtu)
    checkLatency(rtu, masters)
