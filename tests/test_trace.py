"""A group's trace: how each connection ended, what was said last, and who follows it live."""

from __future__ import annotations

import errno
import gc
import re
from ipaddress import ip_network
from pathlib import Path
from typing import Any
from weakref import ref

import pytest
from twisted.application.service import IService
from twisted.internet.defer import TimeoutError
from twisted.internet.error import (
    ConnectBindError,
    ConnectError,
    ConnectionRefusedError,
    DNSLookupError,
    NoRouteError,
    TCPTimedOutError,
)
from twisted.python.failure import Failure

from mm2ss.config.model import GroupConfig, SameAddress
from mm2ss.iec104.apci import CloseCause, encodeI
from mm2ss.iec104.stream import framesOf
from mm2ss.relay.admission import RefuseReason
from mm2ss.relay.endpoints import ConnectFailure, failureOf
from mm2ss.relay.fleet import Fleet
from mm2ss.relay.group import GroupService
from mm2ss.relay.snapshot import TraceSnapshot
from mm2ss.relay.trace import (
    ENDED,
    FAULT_INTERVAL,
    FAULTS,
    LINES_PER_SECOND,
    PRESENT,
    Trace,
    Traces,
)
from tests.fakes import FakeReactor
from tests.groups import RTU, STATION, World, event, groupConfig, request
from tests.peers import FakeRtu
from tests.stations import TESTFR_ACT


class Files:
    """Keeps what would be written."""

    def __init__(self) -> None:
        self.written: list[TraceSnapshot] = []

    def __call__(self, trace: TraceSnapshot) -> None:
        self.written.append(trace)

    def save(self, trace: TraceSnapshot) -> Any:
        self.written.append(trace)
        return "path"


class Traced(World):
    """A group whose traces are kept."""

    def __init__(self, **changes: Any) -> None:
        reactor = FakeReactor()
        self.files = Files()
        trace = Trace(1, "TEST", reactor.seconds, lambda: 1.8e9, self.files)
        super().__init__(reactor, trace=trace, **changes)

    def __enter__(self) -> Traced:
        return self

    @property
    def causes(self) -> list[str]:
        """What stands at the end of each line of the log that has a cause."""
        lines = self.notes.about(" cause=")
        return [line.rpartition(" cause=")[2] for line in lines]


BREACHES: dict[CloseCause, bytes] = {
    CloseCause.BAD_START: b"GET / HTTP/1.1",
    CloseCause.BAD_LENGTH: b"\x68\x03\x00\x00\x00",
    CloseCause.UNKNOWN_U: bytes.fromhex("6804ff000000"),
    CloseCause.NS_MISMATCH: encodeI(5, 0, event(1)),
    CloseCause.NR_OUT_OF_WINDOW: bytes.fromhex("680401002000"),
    CloseCause.BAD_ASDU: encodeI(0, 0, request()[:-1]),
}


@pytest.mark.parametrize("cause", BREACHES)
def test_faultOfAMaster(cause: CloseCause) -> None:
    """Whatever a master breaks is one cause in log, figures and trace, with its octets in it."""
    with Traced() as world:
        master = world.master()
        peer = f"{master.address}:{master.transport.getHost().port}"
        master.raw(BREACHES[cause])
        world.run()
        assert world.causes == [cause.name]
        assert world.group.snapshot().masterCloses == {cause.name: 1}
        (trace,) = world.files.written
        assert (trace.id, trace.name, trace.cause, trace.peer) == (1, "TEST", cause, peer)
        assert peer in trace.why and cause.value in trace.why
        ended, rtu = trace.recordings
        assert (ended.leg, ended.peer, ended.cause, ended.whole) == ("master", peer, cause, True)
        assert [each for each in framesOf(ended) if each.received][-1].octets == BREACHES[cause]
        assert (rtu.leg, rtu.cause) == ("RTU", None)


def test_dataWhileStopped() -> None:
    """Data before STARTDT is such a fault, too."""
    with Traced() as world:
        world.master(start=False).raw(encodeI(0, 0, event(1)))
        world.run()
        assert world.causes == ["DATA_WHILE_STOPPED"]
        assert [trace.cause for trace in world.files.written] == [CloseCause.DATA_WHILE_STOPPED]


def test_silentMaster() -> None:
    """When a master does not acknowledge, its trace shows what it got, whatever others said."""
    with Traced() as world:
        silent, busy = world.master(), world.master()
        silent.mute()
        world.rtu.send(event(77))
        for number in range(100):
            world.run(0.15)
            world.rtu.send(event(number)) if number < 5 else busy.raw(TESTFR_ACT)
        world.run(5)
        assert world.causes == ["T1_I_FRAME"]
        (trace,) = world.files.written
        (ended,) = (each for each in trace.recordings if each.cause)
        frames = b"".join(each.octets for each in framesOf(ended) if not each.received)
        assert event(77) in frames


def test_rtuFault() -> None:
    """The RTU's leg likewise; its masters end by RTU_LOST, without a file of their own."""
    with Traced() as world:
        world.master()
        world.rtu.raw(b"\x00")
        world.run(0.5)
        assert world.causes == ["BAD_START", "RTU_LOST"]
        figures = world.group.snapshot()
        assert (figures.rtuCloses, figures.masterCloses) == ({"BAD_START": 1}, {"RTU_LOST": 1})
        (trace,) = world.files.written
        assert [each.leg for each in trace.recordings] == ["RTU", "master"]


def test_flappingPeer() -> None:
    """A fault that comes again and again is written once a minute, another one at once."""
    with Traced() as world:
        for _ in range(10):
            world.master("192.0.2.9").raw(b"\x00")
            world.run(1)
        assert len(world.files.written) == 1
        assert world.group.snapshot().masterCloses == {"BAD_START": 10}
        assert len(world.files.written[0].recordings) == 2
        assert len(world.group.trace.snapshot().recordings) == 1 + ENDED
        world.master("192.0.2.9").raw(BREACHES[CloseCause.UNKNOWN_U])
        world.run(1)
        assert len(world.files.written) == 2
        world.run(FAULT_INTERVAL)
        world.master("192.0.2.9").raw(b"\x00")
        world.run(1)
        assert len(world.files.written) == 3


def test_orderlyEnds() -> None:
    """Ends that are nobody's fault have a cause as well, and no file."""
    with Traced(sameAddress=SameAddress.NEW) as world:
        world.master("192.0.2.7")
        world.master("192.0.2.7").leave()
        world.master()
        world.run()
        world.group.disconnect("192.0.2.3")
        world.run()
    assert world.causes == ["REPLACED", "PEER_CLOSED", "OPERATOR", "SHUTDOWN"]
    assert world.files.written == []


def test_everyCloseCauseIsJudged() -> None:
    """The faults are those of the protocol (broken rules, silence for t1), and the relay's own."""
    assert {cause.name for cause in FAULTS} == {
        "T1_I_FRAME",
        "T1_STARTDT",
        "T1_STOPDT",
        "T1_TESTFR",
        "BAD_START",
        "BAD_LENGTH",
        "UNKNOWN_U",
        "NS_MISMATCH",
        "NR_OUT_OF_WINDOW",
        "DATA_WHILE_STOPPED",
        "BAD_ASDU",
        "FAULT",
    }


def test_documentation() -> None:
    """docs/trace.md lists every cause, and says rightly after which ones there is a file."""
    text = (Path(__file__).parent.parent / "docs" / "trace.md").read_text("utf-8")
    rows = [line.split("|") for line in text.splitlines() if line.startswith("| `")]
    listed = {
        name: row[3].strip() == "yes"
        for row in rows
        if len(row) == 5
        for name in re.findall(r"`([A-Z0-9_]+)`", row[1])
    }
    expected = {cause.name: cause in FAULTS for cause in CloseCause if cause is not CloseCause.T0}
    assert listed == expected
    for reason in (*RefuseReason, *ConnectFailure):
        assert f"`{reason.name}`" in text


def test_refusals() -> None:
    """A refusal has a constant reason in figures and log, though its words have numbers in them."""
    with Traced(maxMasters=1, filter=(ip_network("192.0.2.0/24"),)) as world:
        world.master()
        for address in ("192.0.2.50", "192.0.2.51", "203.0.113.1"):
            assert not world.master(address, start=False).connected
        assert world.group.snapshot().refused == {"MAX_MASTERS": 2, "FILTER": 1}
        assert world.causes == ["MAX_MASTERS", "MAX_MASTERS", "FILTER"]
        assert world.notes.about("1 of 1 masters are connected already cause=MAX_MASTERS")


def test_rtuNotReached() -> None:
    """Attempts that come to nothing are counted by cause, and their lines end with it."""
    reactor = FakeReactor()
    with World(reactor, up=False) as world:
        world.group.startService()
        world.run(2)
        failures = world.group.snapshot().rtuFailures
        assert list(failures) == ["REFUSED"] and failures["REFUSED"] >= 2
        assert all(line.endswith(" cause=REFUSED") for line in world.notes.about("not reached"))


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (TimeoutError("t0"), ConnectFailure.T0),
        (ConnectionRefusedError(), ConnectFailure.REFUSED),
        (NoRouteError(), ConnectFailure.UNREACHABLE),
        (TCPTimedOutError(), ConnectFailure.UNREACHABLE),
        (ConnectError(errno.EHOSTUNREACH, "No route to host"), ConnectFailure.UNREACHABLE),
        (DNSLookupError("no.such.host"), ConnectFailure.UNKNOWN_HOST),
        (ConnectBindError(), ConnectFailure.OTHER),
        (ValueError(), ConnectFailure.OTHER),
    ],
)
def test_connectFailures(error: Exception, expected: ConnectFailure) -> None:
    """What the network says becomes one of a few causes."""
    assert failureOf(Failure(error)) is expected


# -- live -----------------------------------------------------------------------------------


def test_follow() -> None:
    """A follower gets every frame of both legs in words, also of connections that come later."""
    with Traced() as world:
        lines: list[str] = []
        stop = world.group.trace.follow(lines.append)
        master = world.master("192.0.2.1")
        world.rtu.send(event(100))
        world.run()
        peer = f"192.0.2.1:{master.transport.getHost().port}"
        texts = [line.split(" ", 1)[1] for line in lines]
        assert all(line[8] == "." for line in lines), "each begins with the time of day"
        assert texts[:4] == [
            f"{peer} connected",
            f"{peer} > relay  STARTDT act",
            f"relay > {peer}  STARTDT con",
            f"relay > {peer}  I(0,0) M_EI_NA_1 initialized CA {STATION} local power on",
        ]
        assert "relay > RTU  STARTDT act" in texts
        assert "RTU > relay  I(0,0) M_SP_NA_1 spontaneous CA 1 IOA 100 on" in texts
        assert f"relay > {peer}  I(1,0) M_SP_NA_1 spontaneous CA 1 IOA 100 on" in texts
        master.raw(b"\x00\x01")
        world.run()
        garbage, end, *_ = lines[len(texts) :]
        assert garbage.endswith(f"{peer} > relay  no APDU [00 01]")
        assert end.endswith("start octet is not 0x68: [00 01] cause=BAD_START")
        told = len(lines)
        stop()
        stop()
        world.rtu.send(event(101))
        world.run()
        assert len(lines) == told


def test_nobodyFollows() -> None:
    """When the last follower is gone, nobody listens to the connections; their tapes are whole."""
    with Traced() as world:
        connection = world.group._rtu
        assert connection is not None
        world.rtu.raw(TESTFR_ACT)
        world.run(0.1)
        before = connection.conduit.tape.chunks()
        stops = [world.group.trace.follow(lambda _: None) for _ in range(2)]
        tape = connection.conduit.tape
        heard = [tape.ear is not None]
        world.rtu.raw(TESTFR_ACT)
        world.run(0.1)
        for stop in stops:
            stop()
            heard.append(tape.ear is not None)
        assert heard == [True, True, False]
        assert tape.chunks()[: len(before)] == before
        assert len(tape.chunks()) == len(before) + 2


def test_followerThatFails() -> None:
    """A follower's exception ends that follower and disturbs nobody else."""
    with Traced() as world:
        lines: list[str] = []

        def fails(_: str) -> None:
            raise RuntimeError("the terminal is gone")

        stop = world.group.trace.follow(fails)
        world.group.trace.follow(lines.append)
        world.rtu.raw(TESTFR_ACT)
        world.run()
        assert len(lines) == 2
        stop()
        assert world.rtu.connected


def test_muchToTell() -> None:
    """Followers get so many lines a second; then they are told how many were left out."""
    with Traced() as world:
        lines: list[str] = []
        world.group.trace.follow(lines.append)
        world.rtu.raw(TESTFR_ACT * 500)
        world.run(0.5)
        assert len(lines) == LINES_PER_SECOND
        world.run(1)
        world.rtu.raw(TESTFR_ACT)
        world.run(0.1)
        assert lines[LINES_PER_SECOND].endswith(f"({1000 - LINES_PER_SECOND} lines left out)")
        assert lines[LINES_PER_SECOND + 1].endswith("RTU > relay  TESTFR act")


# -- on demand ------------------------------------------------------------------------------


def test_onDemand() -> None:
    """What is kept can be had at any time: the last connections that ended, and all there are."""
    with Traced() as world:
        world.master("192.0.2.1").leave()
        world.master("192.0.2.2")
        world.run()
        assert world.group.trace.save() == "path"
        (trace,) = world.files.written
        assert (trace.cause, trace.peer, trace.time) == (None, "-", world.now)
        kept = [(each.leg, each.cause) for each in trace.recordings]
        assert kept == [("master", CloseCause.PEER_CLOSED), ("RTU", None), ("master", None)]
    with World() as world, pytest.raises(RuntimeError, match="no folder"):
        world.group.trace.save()


def test_manyMasters() -> None:
    """Of many masters that are connected some are shown, and always the RTU and who ended."""
    with Traced(maxMasters=50) as world:
        for number in range(1, 31):
            world.master(f"192.0.2.{number}", start=False)
        world.masters[-1].raw(b"\x00")
        world.run()
        (trace,) = world.files.written
        assert len(trace.recordings) == 1 + 1 + PRESENT
        assert trace.recordings[0].cause is CloseCause.BAD_START
        assert [each.leg for each in trace.recordings].count("RTU") == 1


def test_outlivesTheGroup() -> None:
    """A group that takes another's place has its trace; when both are gone, nothing is kept."""
    files = Files()
    traces = Traces(lambda: 5.0, lambda: 0.0, files)
    first = traces.of(7, "old")
    assert traces.of(7, "new") is first and first.name == "new"
    assert traces.of(8, "other") is not first
    first.save()
    assert (files.written[0].id, files.written[0].time) == (7, 5.0)
    kept = ref(first)
    del first
    assert kept() is None


def test_restart() -> None:
    """A group's trace, and who follows it, outlive the group's restart; its figures begin anew."""
    reactor = FakeReactor()
    traces = Traces(reactor.seconds, lambda: 0.0, Files())

    def make(config: GroupConfig) -> GroupService:
        trace = traces.of(config.id, config.name)
        return GroupService(config, reactor, lambda _, __: "", trace=trace)

    rtu = FakeRtu(reactor, RTU)
    rtu.listen()
    fleet = Fleet([groupConfig()], make)
    IService(fleet).startService()
    reactor.run(1)
    lines: list[str] = []
    fleet.trace(1).follow(lines.append)
    fleet.restart(1)
    gc.collect()
    reactor.run(2)
    assert [line.split(" ", 1)[1] for line in lines] == [
        "RTU disconnected: the relay stops cause=SHUTDOWN",
        "RTU connected",
    ]
    kept = [(each.leg, each.cause) for each in fleet.trace(1).snapshot().recordings]
    assert kept == [("RTU", CloseCause.SHUTDOWN), ("RTU", None)]
    assert fleet.snapshot(1).rtuCloses == {}
    with pytest.raises(KeyError):
        fleet.trace(2)
    rtu.stopListening()
    fleet.stopService()
    reactor.run(1)
    assert reactor.getDelayedCalls() == []
