"""Attempts to connect are spread over time, and few of them never wait."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from mm2ss.config.model import Host
from mm2ss.relay.group import GroupService
from mm2ss.relay.pacing import ATTEMPTS, BEAT, Pacer
from tests.fakes import FakeReactor, VirtualClock
from tests.groups import groupConfig
from tests.peers import FakeRtu


class Asked:
    """A pacer, and when whose attempt began."""

    def __init__(self, attempts: int = 3, beat: float = 1.0) -> None:
        self.clock = VirtualClock()
        self.pacer = Pacer(self.clock, attempts, beat)
        self.begun: list[tuple[float, int]] = []
        self._calls: dict[int, Callable[[], None]] = {}

    def ask(self, *numbers: int) -> None:
        for number in numbers:
            self.pacer.ask(self._calls.setdefault(number, partial(self._begin, number)))

    def withdraw(self, number: int) -> None:
        self.pacer.withdraw(self._calls[number])

    def _begin(self, number: int) -> None:
        self.begun.append((self.clock.seconds(), number))


class Dialled(FakeReactor):
    """Notes when it was asked to connect."""

    def __init__(self) -> None:
        super().__init__()
        self.dialled: list[float] = []

    def connectTCP(self, *arguments: Any, **others: Any) -> Any:
        self.dialled.append(self.seconds())
        return super().connectTCP(*arguments, **others)


def group(number: int, reactor: FakeReactor, pacer: Pacer) -> GroupService:
    host = Host(f"198.51.100.{number}", 2404)
    config = groupConfig(id=number + 1, port=3000 + number, hosts=(host,))
    return GroupService(config, reactor, lambda _, __: "", pacer=pacer)


def test_theFirstBeginAtOnce() -> None:
    """As many as one beat allows begin within the call; nothing is left pending."""
    asked = Asked()
    asked.ask(1, 2, 3)
    assert asked.begun == [(0, 1), (0, 2), (0, 3)]
    assert asked.clock.getDelayedCalls() == []


def test_theOthersInTheirOrder() -> None:
    """The others begin in the order in which they asked, so many a beat, and none too early."""
    asked = Asked()
    asked.ask(*range(8))
    asked.clock.run(10)
    assert asked.begun == [(number // 3, number) for number in range(8)]
    assert asked.pacer.waiting == 0
    assert asked.clock.getDelayedCalls() == []


def test_nobodyPassesThoseThatWait() -> None:
    """Who asks while others wait begins after them."""
    asked = Asked()
    asked.ask(*range(4))
    asked.clock.run(0.9)
    asked.ask(4)
    asked.clock.run(0.2)
    asked.ask(5)
    asked.ask(6)
    asked.clock.run(5)
    assert [number for _, number in asked.begun] == list(range(7))
    assert [at for at, _ in asked.begun] == [0, 0, 0, 1, 1, pytest.approx(1.1), 2]


def test_seldomAttemptsNeverWait() -> None:
    """One attempt now and then begins at once, for ever."""
    asked = Asked(attempts=1)
    for number in range(5):
        asked.ask(number)
        asked.clock.run(1.0)
    assert [at for at, _ in asked.begun] == [0, 1, 2, 3, 4]


def test_askingTwiceIsOnce() -> None:
    """The same attempt waits once."""
    asked = Asked()
    asked.ask(1, 2, 3, 4, 4, 4)
    asked.clock.run(5)
    assert [number for _, number in asked.begun] == [1, 2, 3, 4]


def test_withdrawn() -> None:
    """Who withdraws does not begin; the last one leaves nothing pending."""
    asked = Asked()
    asked.ask(*range(5))
    asked.withdraw(3)
    asked.withdraw(4)
    asked.withdraw(4)
    assert asked.clock.getDelayedCalls() == []
    asked.clock.run(5)
    assert [number for _, number in asked.begun] == [0, 1, 2]


def test_aSlowProcessCallsFewer() -> None:
    """The next beat is counted from the end of the work of the last one."""
    clock = VirtualClock()
    pacer = Pacer(clock, 1, 1.0)
    begun: list[float] = []

    def busy() -> None:
        begun.append(clock.seconds())
        clock.rightNow += 3

    pacer.ask(lambda: None)
    for _ in range(3):
        pacer.ask(partial(busy))
    clock.run(20)
    assert begun == [1, 5, 9]


def test_aFaultKeepsNobodyWaiting() -> None:
    """An attempt that raises does not stop those behind it."""
    asked = Asked(attempts=1)

    def fails() -> None:
        raise ZeroDivisionError

    asked.ask(1)
    asked.pacer.ask(fails)
    asked.ask(2)
    with pytest.raises(ZeroDivisionError):
        asked.clock.run(1)
    asked.clock.run(5)
    assert [number for _, number in asked.begun] == [1, 2]


def test_manyGroupsAfterACommonOutage() -> None:
    """All RTUs drop at once: they are called one after the other, and soon back."""
    count = 5 * ATTEMPTS
    reactor = Dialled()
    pacer = Pacer(reactor)
    groups = [group(number, reactor, pacer) for number in range(count)]
    rtus = [FakeRtu(reactor, f"198.51.100.{number}", 2404) for number in range(count)]
    for rtu in rtus:
        rtu.listen()
    for each in groups:
        each.startService()
    reactor.run(count / ATTEMPTS * BEAT + 0.5)
    assert all(rtu.connected for rtu in rtus)
    assertSpread(reactor.dialled, count)
    reactor.dialled.clear()
    for rtu in rtus:
        rtu.leave()
    reactor.run(3)
    assert all(rtu.connected for rtu in rtus)
    assertSpread(reactor.dialled, count)
    for each in groups:
        each.stopService()
    reactor.run(15)
    assert reactor.getDelayedCalls() == []


def assertSpread(moments: list[float], count: int) -> None:
    """No beat has more attempts than it may have."""
    assert len(moments) == count
    for first, later in zip(moments, moments[ATTEMPTS:], strict=False):
        assert later - first >= BEAT * 0.99
