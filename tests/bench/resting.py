"""What a connection at rest costs, in one process and in made-up time.

    python -m tests.bench.resting [--groups 300] [--cycles 3] [--json]

Real groups with one RTU and two masters each, on the relay's reactor with real connections; its
clock jumps from one timer to the next. The peers are bare sockets. In a cycle each connection is
tested once, over t3: by the relay, or (*asked*) by the peers, who are quicker. Told are the
microseconds of CPU of the relay's part for each test, and how often it was woken.

Waking up costs more in life than here, where nothing is cold.
"""

from __future__ import annotations

import argparse
import json
import select
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

from twisted.internet.epollreactor import EPollReactor

from mm2ss.config.model import GroupConfig, GroupOptions, Host
from mm2ss.iec104.loop import Loop
from mm2ss.relay.group import GroupService
from mm2ss.services.turns import orderTurns
from tests.bench.stream import (
    STARTDT_ACT,
    STARTDT_CON,
    TESTFR_ACT,
    TESTFR_CON,
    acknowledge,
)

#: Masters of each group.
MASTERS = 2
_HERE, _RTU = "127.0.0.1", "127.0.0.2"
_CONFIRMED = {STARTDT_ACT: STARTDT_CON, TESTFR_ACT: TESTFR_CON}


class Reactor(EPollReactor):
    """A reactor whose time is made up, and which tells what it costs."""

    def __init__(self) -> None:
        self.now = 1000.0
        super().__init__()  # type: ignore[no-untyped-call]  # Twisted's is not
        self.wakeUps = 0
        self.spent = 0

    def seconds(self) -> float:
        """The made-up time."""
        return self.now

    def turn(self) -> None:
        """What is due, and what can be read now."""
        begun = time.process_time_ns()
        self.runUntilCurrent()
        self.timeout()
        self.doIteration(0)  # type: ignore[no-untyped-call]  # the relay's own, see `orderTurns`
        self.spent += time.process_time_ns() - begun
        self.wakeUps += 1

    def until(self, end: float, after: Callable[[], bool]) -> None:
        """Go from timer to timer.

        :param after: what the peers do then; whether they have sent something.
        """
        while True:
            self._insertNewDelayedCalls()
            pending = self._pendingTimedCalls
            if not pending or pending[0].time > end:
                break
            self.now = max(self.now, pending[0].time)
            self.turn()
            while after():
                self.turn()
        self.now = end


class Peers:
    """The other ends of all connections."""

    def __init__(self) -> None:
        self._poll = select.epoll()
        self._ends: dict[int, socket.socket] = {}
        self.tests = 0

    def add(self, end: socket.socket) -> None:
        """One more."""
        end.setblocking(True)
        self._ends[end.fileno()] = end
        self._poll.register(end, select.EPOLLIN)

    def answer(self) -> bool:
        """Confirm what was asked; whether anything was."""
        answered = False
        for number, _ in self._poll.poll(0, 10_000):
            end = self._ends[number]
            for at in range(0, len(data := end.recv(1024)), 6):
                frame = data[at : at + 6]
                if frame == TESTFR_CON:
                    self.tests += 1
                if frame in _CONFIRMED:
                    self.tests += frame == TESTFR_ACT
                    end.send(_CONFIRMED[frame])
                    answered = True
        return answered

    def ask(self) -> Iterator[None]:
        """Send a test to one after the other."""
        for end in tuple(self._ends.values()):
            end.send(TESTFR_ACT)
            yield

    def close(self) -> None:
        """Leave."""
        self._poll.close()
        for end in self._ends.values():
            end.close()


@dataclass(frozen=True)
class Cost:
    """Of one test.

    :ivar microseconds: of CPU.
    :ivar wakeUps: turns of the reactor.
    """

    microseconds: float
    wakeUps: float


class Resting:
    """So many groups that have all been started, spread over t3."""

    def __init__(self, groups: int) -> None:
        self.reactor = Reactor()
        self.peers = Peers()
        self._groups: list[GroupService] = []
        self._exit = ExitStack()
        self._rtus = socket.create_server((_RTU, 0), backlog=1000)
        self._exit.enter_context(self._rtus)
        self._exit.callback(self.peers.close)
        wires = orderTurns(self.reactor)
        assert wires is not None
        self._loop = Loop(self.reactor, wires)
        self.t3 = GroupConfig(1, "", 1, 1, ()).masters.t3
        for number in range(groups):
            self._add(number + 1)
            self.reactor.until(self.reactor.now + self.t3 / groups, self.peers.answer)

    def _add(self, number: int) -> None:
        host = Host(_RTU, self._rtus.getsockname()[1])
        options = GroupOptions(listen=(ip_address(_HERE),))
        config = GroupConfig(number, f"RTU {number}", 0, 1, (host,), options=options)
        group = GroupService(config, self.reactor, portProblem=lambda *_: "", loop=self._loop)
        self._groups.append(group)
        group.startService()
        self.reactor.turn()
        self.peers.add(self._rtus.accept()[0])
        ports: Any = group._masters._ports
        while not ports:
            self.reactor.turn()
        for _ in range(MASTERS):
            # Not at the same moment: in life nobody comes with another.
            self.reactor.until(self.reactor.now + 0.005, self.peers.answer)
            master = socket.create_connection((_HERE, ports[0].getHost().port))
            master.send(STARTDT_ACT)
            self.peers.add(master)
            for _ in range(3):
                self.reactor.turn()
                self.peers.answer()
            master.send(acknowledge(1))  # the end of initialization

    def tested(self) -> Cost:
        """A cycle in which the relay tests."""
        return self._cost(lambda: self._rest(self.t3))

    def asked(self) -> Cost:
        """A cycle in which the peers test."""
        return self._cost(self._ask)

    def _rest(self, seconds: float) -> None:
        self.reactor.until(self.reactor.now + seconds, self.peers.answer)

    def _ask(self) -> None:
        step = self.t3 / len(self._groups) / (1 + MASTERS)
        for _ in self.peers.ask():
            self.reactor.turn()
            self._rest(step)

    def _cost(self, cycle: Callable[[], None]) -> Cost:
        cycle()  # the first of a kind is not counted
        reactor, peers = self.reactor, self.peers
        tests, wakeUps, spent = peers.tests, reactor.wakeUps, reactor.spent
        cycle()
        tests = peers.tests - tests
        return Cost((reactor.spent - spent) / 1e3 / tests, (reactor.wakeUps - wakeUps) / tests)

    def close(self) -> None:
        """End it."""
        for group in self._groups:
            group.stopService()
        self._rest(10)
        self._exit.close()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.resting")
    parser.add_argument("--groups", type=int, default=300)
    parser.add_argument("--cycles", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="one line of JSON")
    arguments = parser.parse_args()
    resting = Resting(arguments.groups)
    figures = {}
    for name, measure in (("tested", resting.tested), ("asked", resting.asked)):
        best = min((measure() for _ in range(arguments.cycles)), key=lambda cost: cost.microseconds)
        figures[f"{name}Us"], figures[f"{name}WakeUps"] = best.microseconds, best.wakeUps
    resting.close()
    if arguments.json:
        print(json.dumps(figures))
    else:
        for name, figure in figures.items():
            print(f"{name:20}{figure:10.2f}")


if __name__ == "__main__":
    main()
