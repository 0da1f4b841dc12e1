"""A group that lives on takes no more memory: whatever it does, it does again and again."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from types import BuiltinFunctionType, CodeType, FunctionType, ModuleType

import pytest
from twisted.logger import Logger

from mm2ss.config.model import AckMode, GroupConfig
from tests.fakes import FakeReactor, FakeTransport
from tests.groups import World, event, interrogation, request
from tests.memoryjournal import MemoryJournal
from tests.peers import FakeMaster

#: What is not of the group though it refers to it: the code, and the world that it is in.
_ELSEWHERE = (
    type,
    ModuleType,
    CodeType,
    BuiltinFunctionType,
    Logger,
    GroupConfig,
    FakeReactor,
    FakeTransport,
    FakeMaster,
    MemoryJournal,
    World,
)
#: Seconds of a period, in which everything happens that a case has; and how many there are.
PERIOD, PERIODS = 30, 4

Happening = Callable[[World, FakeMaster, int], None]


def octets(root: object) -> int:
    """Memory of all that is reachable from an object."""
    seen: dict[int, object] = {}
    waiting = [root]
    while waiting:
        each = waiting.pop()
        if id(each) in seen or isinstance(each, _ELSEWHERE):
            continue
        seen[id(each)] = each
        if isinstance(each, FunctionType):  # not its module
            waiting += [each.__closure__, each.__defaults__]
        else:
            waiting += gc.get_referents(each)
    return sum(map(sys.getsizeof, seen.values()))


def events(world: World, _master: FakeMaster, tick: int) -> None:
    """An event at each tick, ten a second."""
    world.rtu.send(event(tick % 1000))


def interrogations(world: World, master: FakeMaster, tick: int) -> None:
    """Events, and now and then an interrogation amidst them."""
    events(world, master, tick)
    if tick % 7 == 0:
        master.send(interrogation())


def commands(world: World, master: FakeMaster, tick: int) -> None:
    """Events and commands."""
    events(world, master, tick)
    if tick % 3 == 0:
        master.send(request(address=100 + tick % 5))


def newMasters(world: World, master: FakeMaster, tick: int) -> None:
    """Events and commands, and one master who comes and goes, each time with another port."""
    commands(world, master, tick)
    if tick % 60 == 30:
        master.leave()
    elif tick % 60 == 40:
        master.connect()
    elif tick % 60 == 45:
        master.start()


def newRtu(world: World, master: FakeMaster, tick: int) -> None:
    """Events, and a connection of the RTU that breaks; the masters come again."""
    if world.rtu.connected:
        events(world, master, tick)
    if tick % 100 == 50:
        world.rtu.die()
    elif tick % 100 == 90:
        for each in world.masters:
            each.connect()
        world.run(0.01)
        for each in world.masters:
            each.start()


@pytest.mark.parametrize("ackMode", AckMode)
@pytest.mark.parametrize("happens", [events, interrogations, commands, newMasters, newRtu])
def test_memoryIsBounded(happens: Happening, ackMode: AckMode) -> None:
    """What a group has in memory at its fullest is the same in the last period as in the second."""
    reactor = FakeReactor()
    safe = MemoryJournal(reactor) if ackMode is AckMode.THROUGH else None
    with World(reactor, safe=safe, ackMode=ackMode) as world:
        world.respond()
        world.master()
        master = world.master()
        most = []
        for period in range(PERIODS):
            sizes = []
            for tick in range(period * PERIOD * 10, (period + 1) * PERIOD * 10):
                happens(world, master, tick)
                world.run(0.1)
                if tick % 5 == 0:
                    sizes.append(octets(world.group))
            most.append(max(sizes))
        assert most[-1] < 1.05 * most[1]
