"""A fault of the program itself: who was served is cut, nobody else suffers, and life goes on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import pytest
from twisted.logger import LogEvent

from mm2ss.config.model import AckMode
from mm2ss.iec104.apci import CloseCause
from mm2ss.iec104.conduit import Conduit
from mm2ss.iec104.protocol import LinkProtocol
from mm2ss.relay.exchange import Exchange
from mm2ss.relay.group import FAULT_PAUSE
from mm2ss.relay.master import Outlet
from tests.around import Around
from tests.groups import GREETING, World, event, request


def fails(*_: Any, **__: Any) -> None:
    """A method with a fault."""
    raise ArithmeticError("a fault of the program")


def assertLogged(failures: list[LogEvent], times: int = 1) -> None:
    """The fault was logged so many times, and nothing else."""
    assert [each["log_failure"].type for each in failures] == [ArithmeticError] * times
    failures.clear()


def connectionOf(world: World, address: str) -> LinkProtocol:
    """The relay's end of a master's connection."""
    sessions = world.group._masters._sessions
    return next(each for each in sessions if each.peer.startswith(address + ":"))


def breakExchange(world: World, **methods: Callable[..., object]) -> Exchange:
    """Let the group's traffic have faults; returns what has none."""
    exchange = world.group._exchange
    broken = cast(Exchange, Around(exchange, **methods))
    world.group._exchange = world.group._masters._exchange = broken
    return exchange


def test_inSendingToAMaster(loggedFailures: list[LogEvent]) -> None:
    """The master whose data could not be sent is cut, with a cause of its own; the RTU and the
    other masters go on, and it gets on its return what it had not got."""
    with World(retain=60) as world:
        broken, sound = world.master(), world.master()
        served = world.group._exchange._masters[0]
        served.outlet = cast(Outlet, Around(served.outlet, send=fails))
        world.rtu.send(event(1), event(2))
        world.run(0.1)
        assertLogged(loggedFailures)
        assert sound.received == [GREETING, event(1), event(2)] and world.rtu.connected
        assert not broken.connected and sound.connected
        assert broken.received == [GREETING]
        assert world.group.snapshot().masterCloses == {CloseCause.FAULT.name: 1}
        assert world.notes.about("the relay has failed in it, see its log, 1 of 5 masters")
        assert world.master("192.0.2.1").received == [GREETING, event(1), event(2)]


@pytest.mark.parametrize("of", ["RTU", "master"])
def test_inAnAlarm(of: str, loggedFailures: list[LogEvent]) -> None:
    """A connection whose time-outs nobody looks at any more is cut."""
    with World() as world:
        master = world.master()
        connection = connectionOf(world, "192.0.2.1")
        if of == "RTU":
            rtu = world.group._rtu
            assert rtu is not None
            connection = rtu
        conduit = connection.conduit

        def wake(now: float) -> None:
            connection.conduit = conduit
            fails()

        connection.conduit = cast(Conduit, Around(conduit, wake=wake))
        world.run(25)
        assertLogged(loggedFailures)
        closes = world.group.snapshot()
        named = closes.rtuCloses if of == "RTU" else closes.masterCloses
        assert named == {CloseCause.FAULT.name: 1}
        assert not master.connected and world.rtu.connected and world.isOpen()


def test_inTakingNoteOfTheRtusEnd(loggedFailures: list[LogEvent]) -> None:
    """The masters are disconnected all the same, and the RTU is called again."""
    with World() as world:
        master = world.master()
        sound = breakExchange(world, rtuLost=fails)
        world.rtu.die()
        world.run(0.1)
        assertLogged(loggedFailures)
        assert not master.connected and not world.isOpen()
        world.group._exchange = world.group._masters._exchange = sound
        world.run(30)
        assert world.rtu.connected and world.isOpen()
        again = world.master()
        world.rtu.send(event(1))
        world.run(0.1)
        assert again.received == [GREETING, event(1)]


def test_inTakingNoteOfAMastersEnd(loggedFailures: list[LogEvent]) -> None:
    """It is forgotten and nothing is sent to it any more, and the next one's end is noted."""
    with World(ackMode=AckMode.THROUGH) as world:
        first, second, third = world.master(), world.master(), world.master()
        exchange = world.group._exchange
        line = exchange._line
        exchange._line = cast(Outlet, Around(line, release=fails))
        first.die()
        second.die()
        world.run(0.1)
        assertLogged(loggedFailures, 2)
        exchange._line = line
        assert world.group.standing().masters == len(exchange._masters) == 1
        world.rtu.send(event(1))
        world.run(0.1)
        assert third.received == [GREETING, event(1)]


def test_inTakingNoteOfTheLastMastersEnd(loggedFailures: list[LogEvent]) -> None:
    """The RTU is stopped all the same."""
    with World(ackMode=AckMode.THROUGH) as world:
        master = world.master()
        exchange = world.group._exchange
        line = exchange._line

        def release(count: int, now: float) -> None:
            exchange._line = line
            fails()

        exchange._line = cast(Outlet, Around(line, release=release))
        master.die()
        world.run(0.1)
        assertLogged(loggedFailures)
        assert world.rtu.connected and not world.rtu.started
        assert world.group.snapshot().masterCloses == {CloseCause.PEER_RESET.name: 1}


def test_inWhatIsDue() -> None:
    """What was due and failed is tried again after a while, here to give up a request."""
    with World() as world:
        sound = breakExchange(world, wake=fails)
        world.master().send(request())
        world.run(world.config.options.confirmTimeout + FAULT_PAUSE / 2)
        assert world.notes.about("What was due has failed") and sound.deadline < world.now
        world.group._exchange = world.group._masters._exchange = sound
        world.run(FAULT_PAUSE)
        assert sound.deadline > world.now
