"""A group in a world of its own: the real service over a made-up network, RTU and masters.

::

    with World(maxMasters=2) as world:
        master = world.master()
        world.rtu.send(event(1))
        world.run()
        assert master.received == [event(1)]

Leaving the ``with`` takes the group down and checks that nothing is left behind.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from ipaddress import ip_address
from types import TracebackType
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import ILogObserver, LogEvent, Logger, LogLevel, LogPublisher, formatEvent
from zope.interface import implementer

from mm2ss.config.model import AckMode, GroupConfig, GroupOptions, Host
from mm2ss.config.parameters import LinkParameters
from mm2ss.iec104.asdu import TYPES, Cause, buildAsdu, endOfInitialization, withOriginator
from mm2ss.iec104.asdu import mirror as mirrored
from mm2ss.iec104.loop import Loop
from mm2ss.relay.group import GroupService
from mm2ss.relay.journalapi import SafeCopy
from mm2ss.relay.trace import Trace
from tests.fakes import FakeReactor
from tests.peers import FakeMaster, FakeRtu
from tests.stations import DEFAULTS, asdu

#: The relay's own address, the RTU's two, its common address and the group's port.
RELAY = "192.0.2.254"
RTU, RTU_TOO = "198.51.100.1", "198.51.100.2"
STATION = 32
PORT = 2404
#: A window that no test fills.
WIDE = LinkParameters(k=32767, w=1)

_OPTIONS = {field.name for field in fields(GroupOptions)}

# -- ASDUs ----------------------------------------------------------------------------------

event = asdu

#: What a master gets first.
GREETING = endOfInitialization(STATION)


def data(
    address: int,
    cause: int = Cause.SPONTANEOUS,
    typeId: int = 1,
    station: int = STATION,
    originator: int = 0,
    negative: bool = False,
) -> bytes:
    """An ASDU of any type with one object of zeros."""
    length = TYPES[typeId].objectLength if typeId in TYPES else 1
    objects = address.to_bytes(3, "little") + bytes(length or 0)
    return buildAsdu(typeId, cause, station, objects, negative=negative, originator=originator)


def request(
    typeId: int = 45,
    address: int = 100,
    content: bytes | None = None,
    cause: int = Cause.ACTIVATION,
    station: int = STATION,
    originator: int = 0,
    test: bool = False,
) -> bytes:
    """A request of a master; its object is ``content``, else 1 and zeros."""
    if content is None:
        length = TYPES[typeId].objectLength if typeId in TYPES else 3
        content = bytes((1, *bytes(30)))[:length]
    objects = address.to_bytes(3, "little") + content
    return buildAsdu(typeId, cause, station, objects, originator=originator, test=test)


def interrogation(qualifier: int = 20, **others: Any) -> bytes:
    """A (general) interrogation."""
    return request(100, 0, bytes((qualifier,)), **others)


def read(address: int, **others: Any) -> bytes:
    """A read command."""
    return request(102, address, b"", cause=Cause.REQUEST, **others)


def answer(asked: bytes, cause: int = Cause.ACTIVATION_CON, negative: bool = False) -> bytes:
    """A mirror of a request, originator address included."""
    return mirrored(asked, cause, negative)


# -- RTUs that answer -----------------------------------------------------------------------


class Responder:
    """Answers as an RTU does: each request by the causes given for its type.

    :param stamp: the originator address for an answer, from that of the request and whether the
        answer is a mirror.
    :ivar asked: the requests, as the RTU saw them.
    """

    def __init__(
        self, stamp: Callable[[int, bool], int] = lambda originator, _: originator
    ) -> None:
        self.stamp = stamp
        self.asked: list[bytes] = []

    def __call__(self, asked: bytes) -> list[bytes]:
        self.asked.append(asked)
        typeId, cause = asked[0], asked[2] & 0x3F
        if cause == Cause.DEACTIVATION:
            return [self.mirror(asked, Cause.DEACTIVATION_CON)]
        if typeId == 100:
            shown = [self.data(asked, data(number, asked[9])) for number in (1, 2)]
            return [self.mirror(asked), *shown, self.mirror(asked, Cause.ACTIVATION_TERM)]
        if typeId == 101:
            shown = [self.data(asked, data(7, Cause.COUNTER_GENERAL, 15))]
            return [self.mirror(asked), *shown, self.mirror(asked, Cause.ACTIVATION_TERM)]
        if typeId == 102:
            address = int.from_bytes(asked[6:9], "little")
            return [self.data(asked, data(address, Cause.REQUEST, 11))]
        if typeId in range(45, 65) and not asked[-1] & 0x80:
            return [self.mirror(asked), self.mirror(asked, Cause.ACTIVATION_TERM)]
        return [self.mirror(asked)]

    def mirror(
        self, asked: bytes, cause: int = Cause.ACTIVATION_CON, negative: bool = False
    ) -> bytes:
        """A mirror as this RTU makes it."""
        return withOriginator(answer(asked, cause, negative), self.stamp(asked[3], True))

    def data(self, asked: bytes, shown: bytes) -> bytes:
        """Data that a request caused."""
        return withOriginator(shown, self.stamp(asked[3], False))


def lastCommander() -> Responder:
    """An RTU that stamps whatever it sends with the originator address it saw last."""
    responder = Responder()
    responder.stamp = lambda originator, _: responder.asked[-1][3]
    return responder


#: What real RTUs do with the originator address.
RESPONDERS: dict[str, Callable[[], Responder]] = {
    "echo": Responder,
    "never": lambda: Responder(lambda _, __: 0),
    "constant": lambda: Responder(lambda _, __: 77),
    "mirrors only": lambda: Responder(lambda originator, mirror: originator if mirror else 0),
    "last commander": lastCommander,
}


def isUp(peer: FakeMaster | FakeRtu) -> bool:
    """Whether a peer is connected now."""
    return peer.connected


# -- the world ------------------------------------------------------------------------------


@implementer(ILogObserver)
class Notes:
    """What a group tells: (level, peer, text) of each line."""

    def __init__(self) -> None:
        self.lines: list[tuple[LogLevel, str, str]] = []

    def __call__(self, noted: LogEvent) -> None:
        text = formatEvent(noted)
        assert "\n" not in text and noted["group"], "one line, of a group"
        self.lines.append((noted["log_level"], noted["peer"], text))

    def about(self, words: str) -> list[str]:
        """The texts that contain the words."""
        return [text for _, _, text in self.lines if words in text]

    def of(self, peer: str) -> list[str]:
        """The texts about a peer."""
        return [text for _, about, text in self.lines if about == peer]

    @property
    def warnings(self) -> list[str]:
        """The texts of level warn."""
        return [text for level, _, text in self.lines if level is LogLevel.warn]


def groupConfig(**changes: Any) -> GroupConfig:
    """The configuration of a group, by default with ack_mode immediate; options by their names."""
    options = {name: changes.pop(name) for name in tuple(changes) if name in _OPTIONS}
    options.setdefault("listen", (ip_address(RELAY),))
    options.setdefault("ackMode", AckMode.IMMEDIATE)
    changes.setdefault("id", 1)
    changes.setdefault("hosts", (Host(RTU, 2404),))
    return replace(
        GroupConfig(1, "TEST", PORT, STATION, ()), options=GroupOptions(**options), **changes
    )


class World:
    """One group, its RTU, its masters, and time.

    :param reactor: shared by several groups, if given.
    :param up: whether the RTU listens and is connected from the start.
    :param rtuParameters: those of the RTU itself.
    :param safe: the group's journal, if it has one.
    :param trace: the group's trace, if it is not to make its own.
    :param loop: what it shares with other groups, if it is not to have one of its own.
    :param changes: of the group's configuration, see `groupConfig`.
    """

    def __init__(
        self,
        reactor: FakeReactor | None = None,
        up: bool = True,
        rtuParameters: LinkParameters = DEFAULTS,
        safe: SafeCopy | None = None,
        trace: Trace | None = None,
        loop: Loop | None = None,
        **changes: Any,
    ) -> None:
        self.reactor = reactor or FakeReactor()
        self.config = groupConfig(**changes)
        self.problem = ""
        self.group = GroupService(
            self.config,
            self.reactor,
            lambda _, __: self.problem,
            journal=safe,
            trace=trace,
            loop=loop,
        )
        self.notes = Notes()
        self.group._retry._random = lambda: 0.5  # delays without jitter
        self.group._log = Logger("group", observer=LogPublisher(self.notes))
        host = self.config.hosts[0]
        self.rtu = FakeRtu(self.reactor, host.host, host.port, rtuParameters)
        self.masters: list[FakeMaster] = []
        self._stopping: Deferred[Any] | None = None
        if up:
            self.rtu.listen()
            self.group.startService()
            self.run(0.5)
            assert self.rtu.connected and self.isOpen()

    def __enter__(self) -> World:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None
    ) -> None:
        if kind is None:
            self.finish()

    def run(self, seconds: float = 1.0) -> None:
        """Let time pass."""
        self.reactor.run(seconds)

    @property
    def now(self) -> float:
        """Virtual seconds."""
        return self.reactor.seconds()

    def isOpen(self) -> bool:
        """Whether the group's port listens."""
        return self.reactor.listening(self.config.port, RELAY)

    def master(
        self,
        address: str = "",
        parameters: LinkParameters = DEFAULTS,
        start: bool = True,
        latency: float = 0.0,
    ) -> FakeMaster:
        """A new master, by default from an address of its own, connected and started."""
        address = address or f"192.0.2.{len(self.masters) + 1}"
        master = FakeMaster(self.reactor, self.config.port, address, RELAY, parameters)
        self.masters.append(master)
        master.connect()
        self.run(0.1)
        if latency:
            remote = master.transport.remote
            assert remote is not None
            master.transport.latency = remote.latency = latency
        if start:
            master.start()
            self.run(0.1 + 2 * latency)
            assert master.started
        return master

    def respond(self, responder: Responder | None = None) -> Responder:
        """The RTU answers from now on."""
        responder = responder or Responder()
        self.rtu.reply = responder
        return responder

    def stop(self) -> Deferred[Any]:
        """Take the group down, once."""
        if self._stopping is None:
            self._stopping = self.group.stopService()
        return self._stopping

    def finish(self) -> None:
        """Take the group down, and see that it leaves nothing."""
        self.rtu.stopListening()
        stopping = self.stop()
        fired: list[object] = []
        stopping.addBoth(fired.append)
        self.run(0 if fired else 13)
        assert len(fired) == 1, "stopService takes too long"
        assert "Failure" not in repr(fired[0])
        assert not self.isOpen(), "the port is open"
        self.run(0.1)
        for peer in (self.rtu, *self.masters):
            assert not peer.connected, f"{peer} is connected"
        left = self.reactor.getDelayedCalls()
        assert left == [], f"pending: {left}"


def shown(asdus: Sequence[bytes]) -> list[tuple[int, int, int, int]]:
    """Type, cause (with P/N and T), originator address and object address of each ASDU."""
    return [(a[0], a[2], a[3], int.from_bytes(a[6:9], "little")) for a in asdus]
