"""The wall clock of the relay's process is stepped by an hour, and by a day: no timer notices."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import struct
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Protocol

import pytest

from tests import ntpservers
from tests.interop.c104stations import TESTFR_ACT, Frame, Master104, Rtu104
from tests.interop.capabilities import SYS_TIME, without
from tests.interop.harness import IMMEDIATE, Scene, row
from tests.interop.rawstations import RawStation
from tests.interop.recorders import Master, Recorder, Rtu
from tests.interop.waiting import MASTER_IP, PATIENCE, RTU_IP, waitFor

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

    def read(self) -> int:
        """By how many hours the clock is wrong now, whoever set it."""
        (nanoseconds,) = struct.unpack("=q", self._file.read_bytes())
        self.hours = round(nanoseconds / 3600e9)
        return self.hours

    def isTold(self, stamp: str) -> bool:
        """Whether a time that was logged just now is this clock's."""
        told = datetime.fromisoformat(stamp)
        expected = datetime.now(told.tzinfo) + timedelta(hours=self.hours)
        return abs(told - expected) < timedelta(seconds=10)


@pytest.fixture
def clock(tmp_path: Path) -> Clock:
    """A wall clock for one relay."""
    return Clock(tmp_path)


class Timed(Protocol):
    """A station that recorded its frames."""

    role: str

    def frames(self, sent: bool) -> list[Frame]:
        """Those that it sent, or that it received."""


def exchange(rtu: Rtu104, masters: list[Master104], seconds: float) -> None:
    """Let the RTU send values one after the other."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        rtu.mark(masters)


def checkTests(station: Timed) -> None:
    """A test frame comes when the relay has heard nothing for t3, not earlier and not later."""
    sent = [frame.time for frame in station.frames(sent=True)]
    for frame in station.frames(sent=False):
        if frame.octets == TESTFR_ACT:
            silence = frame.time - max(moment for moment in sent if moment < frame.time)
            assert T3 - EARLY < silence < T3 + LATE, f"{station.role}: TESTFR after {silence} s"
    for before, after in pairwise(sent):
        assert after - before < T3 + LATE, f"{station.role}: no TESTFR for {after - before} s"


def checkAcknowledgements(rtu: Timed) -> None:
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


def checkLatency(rtu: Timed, masters: Sequence[Timed]) -> None:
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


#: Groups, of which the last two have an RTU that sends, and masters of each: 50 connections.
GROUPS, BUSY, MASTERS = 5, 2, 9
#: Where the time server is; the relay asks port 123 only.
SERVER = ("127.0.0.9", 123)
#: What the relay takes from its server, and that another program keeps the machine's clock.
TIME = IMMEDIATE + "ntp: {max_offset: 90000, fight: true}\n"


class TimeServer(asyncio.DatagramProtocol):
    """An NTP server whose time is wrong by so many hours."""

    hours = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        reply = ntpservers.answer(data, time.time() + self.hours * 3600)
        self._transport.sendto(reply, addr)  # type: ignore[attr-defined]  # it is a datagram one


@dataclass
class Group:
    """A group's stations."""

    port: int
    rtus: list[Rtu]
    masters: list[Master]

    async def join(self, mute: bool = False) -> Master:
        """One more master that has started."""
        _, master = await asyncio.get_running_loop().create_connection(
            lambda: Master(mute), MASTER_IP, self.port
        )
        return master

    def close(self) -> None:
        """End all connections."""
        for station in (*self.rtus, *self.masters):
            if station.transport is not None:
                station.transport.abort()


async def until(condition: Callable[[], object], what: str) -> None:
    """Wait while the stations go on."""
    await asyncio.to_thread(waitFor, condition, what)


async def dayLater(
    groups: list[Group], server: TimeServer, clock: Clock, hours: int, log: Callable[[], str]
) -> None:
    """The server's time changes; the relay's clock follows while a master is mute."""
    begun = time.monotonic()
    mute = await groups[-1].join(mute=True)
    first = len(log().splitlines())
    server.hours = hours
    await until(lambda: clock.read() == hours, f"the relay's clock is set to {hours} h")
    await asyncio.wait_for(mute.lost.wait(), PATIENCE)
    assert T1 - EARLY < time.monotonic() - begun < T1 + LATE
    ended = "disconnected: I frame not acknowledged within t1"
    await until(lambda: ended in "\n".join(log().splitlines()[first:]), "the event log has its end")
    assert clock.isTold(log().splitlines()[-1][:32])
    await asyncio.sleep(T3 + 1)


async def days(scene: Scene, clock: Clock, stack: contextlib.ExitStack) -> None:
    """The test, its stations in one process.

    :param stack: closes what was opened, while the loop still runs.
    """
    loop = asyncio.get_running_loop()
    try:
        transport, server = await loop.create_datagram_endpoint(TimeServer, SERVER)
    except PermissionError:
        pytest.skip("only root may be a time server on port 123")
    stack.callback(transport.close)
    groups, rows = [], []
    for number in range(GROUPS):
        group, rtuPort = Group(scene.port(), [], []), scene.port()

        def accept(group: Group = group, isBusy: bool = number >= GROUPS - BUSY) -> Rtu:
            group.rtus.append(Rtu(0.3 if isBusy else 0))
            return group.rtus[-1]

        stack.callback((await loop.create_server(accept, RTU_IP, rtuPort)).close)
        stack.callback(group.close)
        groups.append(group)
        hosts = f"{RTU_IP}:{rtuPort}"
        rows.append(row(number, group.port, hosts, t1=T1, t2=T2, t3=T3, w=W, max_conn=20))
    rows += [f"ntp_server,{SERVER[0]}", "ntp_update_every_sec,1"]
    relay = scene.relay(
        *rows, service=TIME, environment=clock.environment, prepare=without(SYS_TIME)
    )
    for group in groups:
        await asyncio.to_thread(relay.waitOpen, group.port)
        group.masters += [await group.join() for _ in range(MASTERS)]

    for hours in (24, 0, -24):
        await dayLater(groups, server, clock, hours, lambda: relay.eventLog(GROUPS - 1))

    for group in groups:
        stations: list[Recorder] = [*group.rtus, *group.masters]
        assert len(stations) == 1 + MASTERS
        assert not any(station.lost.is_set() for station in stations)
        for station in stations:
            checkTests(station)
    for group in groups[-BUSY:]:
        checkAcknowledgements(group.rtus[0])
        await until(lambda: len({m.received for m in group.masters}) == 1, "all have the same")  # noqa: B023  # at once
    told = [line for line in relay.log.splitlines() if "The clock was " in line]
    steps = [line.partition("The clock was ")[2].split() for line in told if "stepped" in line]
    assert [round(float(words[0]) / 3600) for words in steps] == [24, -24, -24]
    assert all(SERVER[0] + ":" in words for words in steps)
    for number in range(GROUPS - 1):
        assert "disconnected" not in relay.eventLog(number)
    assert relay.eventLog(GROUPS - 1).count("disconnected") == 3


def test_dayLaterAndEarlier(scene: Scene, clock: Clock) -> None:
    """50 connections while the NTP service steps the clock by a day, forward and back: no link
    drops, no timer is early or late, and both logs tell what happened."""

    async def run() -> None:
        try:
            with contextlib.ExitStack() as stack:
                await days(scene, clock, stack)
        finally:
            await asyncio.sleep(0.1)  # transports take a turn to close

    asyncio.run(run())
