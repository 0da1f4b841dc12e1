"""Alarms on their wheel: when they go off, together, and what they leave behind."""

from __future__ import annotations

from functools import partial
from math import inf
from random import Random

import pytest

from mm2ss.iec104.alarm import FAR, LATE, SLICE, Alarm, Wheel
from tests.fakes import VirtualClock

#: No multiple of `SLICE`.
BEGIN = 1000.03


class Bells:
    """Alarms on one wheel, and when they went off."""

    def __init__(self, count: int = 1) -> None:
        self.clock = VirtualClock()
        self.clock.rightNow = BEGIN
        self.wheel = Wheel(self.clock)
        self.rung: list[tuple[float, int]] = []
        self.alarms = [Alarm(self.wheel, partial(self._wake, number)) for number in range(count)]

    def _wake(self, number: int) -> None:
        self.ring(number)

    def ring(self, number: int) -> None:
        self.rung.append((self.clock.seconds() - BEGIN, number))

    def set(self, *delays: float) -> None:
        for alarm, delay in zip(self.alarms, delays, strict=True):
            alarm.set(BEGIN + delay)

    @property
    def pending(self) -> int:
        return len(self.clock.getDelayedCalls())


@pytest.mark.parametrize("delay", [0.001, 0.1, FAR / 2])
def test_nearIsExact(delay: float) -> None:
    """What is near goes off at its moment."""
    bells = Bells()
    bells.set(delay)
    bells.clock.run(delay * 0.99)
    assert not bells.rung
    bells.clock.run(1)
    ((moment, _),) = bells.rung
    assert moment == pytest.approx(delay)


@pytest.mark.parametrize("delay", [FAR + 0.01, 15, 20, 255, 3600.11])
def test_farIsNeverEarlyAndHardlyLate(delay: float) -> None:
    """What is far goes off at a whole slice of time, the first that is not too early."""
    bells = Bells()
    bells.set(delay)
    bells.clock.run(2 * delay)
    ((moment, _),) = bells.rung
    assert delay <= moment < delay + SLICE
    assert (BEGIN + moment) % SLICE == pytest.approx(0)


def test_whatIsInThePastGoesOffAtOnce() -> None:
    """A deadline that is over is seen in the reactor's next turn, not from within the call."""
    bells = Bells()
    bells.set(-5)
    assert not bells.rung
    bells.clock.run(0)
    bells.clock.run(0)
    assert bells.rung == [(0, 0)]


def test_oneCallForAll() -> None:
    """However many alarms there are, the reactor has one call, and one for each slice of time."""
    bells = Bells(1000)
    bells.set(*(20 + number / 1000 for number in range(1000)))
    assert bells.pending == 1
    turns = set()
    while bells.pending:
        bells.clock.run(SLICE / 8)
        turns.add(len(bells.rung))
    assert len(bells.rung) == 1000
    assert len(turns - {0}) <= 1 / SLICE + 2
    assert all(20 + n / 1000 <= moment < 20 + n / 1000 + SLICE for moment, n in bells.rung)


def test_laterLeavesTheCall() -> None:
    """A deadline that moves away touches no timer; its owner is not woken for the old one."""
    bells = Bells()
    bells.set(15)
    (call,) = bells.clock.getDelayedCalls()
    for delay in (20, 30, 25):
        bells.set(delay)
    assert bells.clock.getDelayedCalls() == [call]
    bells.clock.run(24.9)
    assert not bells.rung and bells.pending == 1
    bells.clock.run(1)
    assert [number for _, number in bells.rung] == [0]


def test_sooner() -> None:
    """A deadline that comes nearer is kept; the alarm goes off once."""
    bells = Bells()
    bells.set(20)
    bells.set(0.1)
    assert bells.alarms[0].at == BEGIN + 0.1
    assert bells.pending == 1
    bells.clock.run(30)
    ((moment, _),) = bells.rung
    assert moment == pytest.approx(0.1)
    assert bells.alarms[0].at == inf
    assert bells.pending == 0


@pytest.mark.parametrize("how", ["cancel", "never"])
def test_cancel(how: str) -> None:
    """What was cancelled does not go off, nor what is never to; nothing is left of the first."""
    bells = Bells(2)
    bells.set(20, 30)
    first, second = bells.alarms
    first.cancel() if how == "cancel" else first.set(inf)
    bells.clock.run(29)
    assert not bells.rung
    second.cancel()
    second.cancel()
    assert bells.pending == 0
    second.set(BEGIN + 40)
    bells.clock.run(12)
    assert [number for _, number in bells.rung] == [1]


def test_anAlarmMayChangeTheOthers() -> None:
    """One that goes off cancels one, moves another and sets itself anew, all of the same slice."""
    bells = Bells(4)
    _, second, third, fourth = bells.alarms
    bells.set(20, 20, 20, 20)

    def ring(number: int) -> None:
        bells.rung.append((bells.clock.seconds() - BEGIN, number))
        if number == 0 and len(bells.rung) == 1:
            second.cancel()
            third.set(BEGIN + 21)
            fourth.set(BEGIN + 1)  # sooner than now
            bells.alarms[0].set(BEGIN + 22)

    bells.ring = ring  # type: ignore[method-assign]  # it does more than note
    bells.clock.run(30)
    assert [number for _, number in bells.rung] == [0, 3, 2, 0]
    assert bells.pending == 0


def test_aFailureStopsNobodyElse() -> None:
    """The reactor gets to know of the failure; who is behind it goes off in the next turn."""
    bells = Bells(3)
    bells.set(20, 20, 20)

    def ring(number: int) -> None:
        bells.rung.append((0, number))
        if number == 0:
            raise RuntimeError("bell")

    bells.ring = ring  # type: ignore[method-assign]  # it does more than note
    with pytest.raises(RuntimeError, match="bell"):
        bells.clock.run(21)
    bells.clock.run(0)
    assert [number for _, number in bells.rung] == [0, 1, 2]
    assert bells.pending == 0


def test_afterAPauseTheSocketsComeFirst() -> None:
    """When the process was suspended, the reactor has a turn before anything is judged."""
    bells = Bells()
    bells.set(20)
    bells.clock.callLater(20.5, bells.set, 50)  # what is read moves the deadline
    bells.clock.advance(21 + LATE)
    assert not bells.rung and bells.pending == 1
    bells.clock.advance(50)
    assert len(bells.rung) == 1
    assert bells.pending == 0


def test_manyAtRandom() -> None:
    """Whatever is set, moved and cancelled, each goes off once, in time; nothing is left behind."""
    random = Random(1)
    bells = Bells(50)
    due: dict[int, float] = {}

    def ring(number: int) -> None:
        now = bells.clock.seconds()
        assert due.pop(number) <= now + 1e-9

    bells.ring = ring  # type: ignore[method-assign]  # it does more than note
    for _ in range(5000):
        number = random.randrange(50)
        alarm = bells.alarms[number]
        if random.random() < 0.2:
            alarm.cancel()
            due.pop(number, None)
        else:
            due[number] = bells.clock.seconds() + random.choice((0.05, 1, 3, 15, 20))
            alarm.set(due[number])
        bells.clock.run(random.random() / 10)
        assert not due or min(due.values()) >= bells.clock.seconds() - SLICE
        assert bells.pending == bool(due)
    for alarm in bells.alarms:
        alarm.cancel()
    assert bells.pending == 0


def test_nothingIsPendingAfterTheLastOne() -> None:
    """When the last alarm has gone off, no call is left for those that were cancelled before."""
    clock = VirtualClock()
    wheel = Wheel(clock)
    early, late = Alarm(wheel, lambda: None), Alarm(wheel, lambda: None)
    early.set(clock.seconds() + 3)
    late.set(clock.seconds() + 20)
    late.cancel()
    clock.run(4)
    assert clock.getDelayedCalls() == []
