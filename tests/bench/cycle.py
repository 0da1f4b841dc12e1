"""What one turn of a busy group costs in the relay's own code, without sockets and reactor.

    python -m tests.bench.cycle [--masters 2] [--frames 12] [--turns 20000] [--where]

A turn: the RTU sends so many events in one chunk, they go to each master, each master acknowledges
them, and the relay acknowledges them to the RTU. Told are microseconds of CPU, and with ``--where``
the steps of the interpreter in each function, which are the same in each run. So are instructions,
by the difference of two runs under valgrind::

    valgrind --tool=cachegrind --cache-sim=no python -m tests.bench.cycle --turns 200
    valgrind --tool=cachegrind --cache-sim=no python -m tests.bench.cycle --turns 700
"""

from __future__ import annotations

import argparse
import socket
import sys
import time
from collections import Counter
from contextlib import closing
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.protocol import Protocol

from mm2ss.config.model import AckMode
from mm2ss.config.parameters import LinkParameters
from mm2ss.iec104.apci import UFunction, encodeRun, encodeS, encodeU
from mm2ss.relay.group import GroupService
from tests.fakes import FakeReactor
from tests.groups import event, groupConfig

_SHOWN = 40


class Sink(socket.socket):
    """A socket that takes everything."""

    def send(self, data: Any, _flags: int = 0) -> int:
        return len(data)


class Transport:
    """As much of a TCP connection as a turn needs."""

    def __init__(self, peer: str, sink: Sink) -> None:
        self._peer = IPv4Address("TCP", peer, 2404)
        self._sink = sink

    def getHandle(self) -> socket.socket:
        return self._sink

    def getPeer(self) -> IPv4Address:
        return self._peer

    getHost = getPeer

    def setTcpNoDelay(self, _enabled: bool) -> None:
        """It has no delay."""

    setTcpKeepAlive = setTcpNoDelay

    def abortConnection(self) -> None:
        raise AssertionError("the relay gives the connection up")

    loseConnection = abortConnection


class Reactor(FakeReactor):
    """Real time, and nothing else that is real."""

    def seconds(self) -> float:
        return time.monotonic()


class Bench:
    """A group in transfer.

    :param masters: how many it has.
    :param frames: events in a chunk; k on both sides, if more than 12.
    """

    def __init__(self, masters: int, frames: int) -> None:
        reactor = Reactor()
        links = LinkParameters(k=max(frames, 12), w=8)
        group = GroupService(
            groupConfig(ackMode=AckMode.THROUGH, rtu=links, masters=links), reactor
        )
        self.group = group
        self._sink = Sink()
        group.startService()
        self._rtu = self._connected(group._connector._factory, "198.51.100.1")
        factory = group._masters._factory
        self._masters = [self._connected(factory, f"192.0.2.{n}") for n in range(1, masters + 1)]
        for master in self._masters:
            master.dataReceived(encodeU(UFunction.STARTDT_ACT))
        self._rtu.dataReceived(encodeU(UFunction.STARTDT_CON))
        for master in self._masters:
            master.dataReceived(encodeS(1))  # the end of initialization
        self._asdus = [event(number) for number in range(frames)]
        self._count = 0

    def _connected(self, factory: Any, peer: str) -> Protocol:
        protocol: Protocol = factory.buildProtocol(IPv4Address("TCP", peer, 2404))
        transport: Any = Transport(peer, self._sink)
        protocol.makeConnection(transport)
        return protocol

    def chunks(self, turns: int) -> list[tuple[bytes, bytes]]:
        """What the RTU, and each master, sends in so many turns."""
        frames = len(self._asdus)
        starts = range(self._count, self._count + turns * frames, frames)
        self._count += turns * frames
        return [(encodeRun(at, 0, self._asdus), encodeS(at + frames + 1)) for at in starts]

    def run(self, chunks: list[tuple[bytes, bytes]]) -> None:
        """The turns."""
        for events, acknowledgement in chunks:
            self._rtu.dataReceived(events)
            for master in self._masters:
                master.dataReceived(acknowledgement)

    def close(self) -> None:
        """Leave nothing open."""
        self._sink.close()


def steps(bench: Bench, turns: int = 200) -> Counter[CodeType]:
    """The interpreter's steps of one turn, by function."""
    counts: Counter[CodeType] = Counter()

    def called(frame: FrameType, _what: str, _value: object) -> Any:
        frame.f_trace_opcodes, frame.f_trace_lines = True, False

        def stepped(_frame: FrameType, what: str, _value: object) -> Any:
            counts[frame.f_code] += what == "opcode"
            return stepped

        return stepped

    chunks = bench.chunks(turns)
    before = sys.gettrace()
    sys.settrace(called)
    try:
        bench.run(chunks)
    finally:
        sys.settrace(before)
    return Counter({code: count // turns for code, count in counts.items()})


def main() -> None:
    """Measure, and tell."""
    parser = argparse.ArgumentParser(prog="cycle", description="One turn of a busy group.")
    parser.add_argument("--masters", type=int, default=2)
    parser.add_argument("--frames", type=int, default=12)
    parser.add_argument("--turns", type=int, default=20_000)
    parser.add_argument("--where", action="store_true", help="show where the steps are taken")
    arguments = parser.parse_args()
    with closing(Bench(arguments.masters, arguments.frames)) as bench:
        bench.run(bench.chunks(100))
        chunks = bench.chunks(arguments.turns)
        begun = time.process_time()
        bench.run(chunks)
        spent = time.process_time() - begun
        print(f"{spent / arguments.turns * 1e6:.1f} µs a turn")
        if arguments.where:
            show(steps(bench))


def show(taken: Counter[CodeType]) -> None:
    """Where the steps are taken, most of them first."""
    print(f"{sum(taken.values())} steps a turn")
    for code, count in taken.most_common(_SHOWN):
        print(f"{count:6}  {Path(code.co_filename).name} {code.co_name}")


if __name__ == "__main__":
    main()
