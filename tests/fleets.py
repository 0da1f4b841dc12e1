"""Several groups in a made-up network: a real `Fleet` with its journal, RTUs and masters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Any, cast

from twisted.application.service import IService
from twisted.internet.defer import Deferred, maybeDeferred

from mm2ss.config.model import AckMode, GroupConfig, Host
from mm2ss.relay.fleet import Fleet
from mm2ss.relay.group import GroupService
from mm2ss.relay.journal import JournalService
from mm2ss.relay.journalwriter import Writer
from mm2ss.relay.safecopies import SafeCopies
from tests.fakes import FakeReactor
from tests.groups import GREETING, RELAY, groupConfig
from tests.peers import FakeMaster, FakeRtu
from tests.powercut import ModelDisk

#: Seconds between two rounds of the journal's writer.
_ROUND = 0.01


class FleetReactor(FakeReactor):
    """A `FakeReactor` for what uses threads, of which there are none."""

    def callFromThread(self, call: Callable[..., Any], *arguments: Any) -> None:
        """Call in a turn of its own."""
        self.callLater(0, call, *arguments)


def config(number: int, **changes: Any) -> GroupConfig:
    """A group with ``ack_mode: through``; its RTU and port follow from its number."""
    changes.setdefault("ackMode", AckMode.THROUGH)
    changes.setdefault("hosts", (Host(f"198.51.100.{number}", 2404),))
    changes.setdefault("port", 2400 + number)
    return groupConfig(id=number, name=changes.pop("name", f"group {number}"), **changes)


class FleetWorld:
    """The fleet, started, and an RTU for each number from 1 to 5.

    :ivar made: the groups that were made, in order.
    :ivar broken: numbers of groups that cannot be made.
    """

    def __init__(self, *configs: GroupConfig) -> None:
        self.reactor = FleetReactor()
        self.disk = ModelDisk(Random(1))
        self.made: list[GroupService] = []
        self.broken: set[int] = set()
        self.rtus = {n: FakeRtu(self.reactor, f"198.51.100.{n}") for n in range(1, 6)}
        for rtu in self.rtus.values():
            rtu.listen()
        self.copies = SafeCopies(self._journal)
        self.fleet = Fleet(configs, self._make, self.copies.release)
        IService(self.copies).startService()
        IService(self.fleet).startService()
        self.run()

    def _make(self, config: GroupConfig) -> GroupService:
        if config.id in self.broken:
            raise RuntimeError("it is broken")
        group = GroupService(
            config, self.reactor, lambda _, __: "", journal=self.copies.open(config)
        )
        self.made.append(group)
        return group

    def _journal(self) -> JournalService:
        return JournalService(
            "/model",
            self.reactor,
            lambda: 1e9,
            reserve=2000,
            disk=self.disk,
            startThread=self._startThread,
            now=self.reactor.seconds,
        )

    def _startThread(self, target: Callable[[], None]) -> Callable[[], None]:
        writer = cast(Writer, getattr(target, "__self__"))  # noqa: B009  # mypy knows it not

        def turn() -> None:
            if writer._stopping:
                target()
            else:
                writer.round()
                self.reactor.callLater(_ROUND, turn)

        self.reactor.callLater(0, turn)
        return lambda: None

    def run(self, seconds: float = 1.0) -> None:
        """Let time pass."""
        self.reactor.run(seconds)

    def master(self, number: int, address: str = "192.0.2.1", mute: bool = False) -> FakeMaster:
        """A master at a group's port, connected and started."""
        master = FakeMaster(self.reactor, self.fleet.config(number).port, address, RELAY)
        master.connect()
        self.run(0.1)
        master.start()
        if mute:
            master.mute()
        self.run(0.1)
        assert master.started
        return master

    def apply(self, *configs: GroupConfig, seconds: float = 2.0) -> list[Any]:
        """Reload; the list has the changes once it has ended."""
        done: list[Any] = []
        self.fleet.apply(configs).addBoth(done.append)
        self.run(seconds)
        return done

    def ended(self, deferred: Deferred[Any], seconds: float = 2.0) -> list[Any]:
        """What a Deferred gave after so long."""
        done: list[Any] = []
        deferred.addBoth(done.append)
        self.run(seconds)
        return done

    def isOpen(self, port: int) -> bool:
        """Whether a port listens."""
        return self.reactor.listening(port, RELAY)

    def finish(self) -> None:
        """Take all down, and see that nothing is left."""
        assert self.ended(self.fleet.stopService(), 13) != []
        assert self.ended(maybeDeferred(IService(self.copies).stopService)) != []
        assert not any(rtu.connected for rtu in self.rtus.values())
        assert self.reactor.getDelayedCalls() == []


def events(master: FakeMaster) -> Sequence[bytes]:
    """What a master received but its greetings."""
    return [asdu for asdu in master.received if asdu != GREETING]
