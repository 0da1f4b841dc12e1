"""NTP servers for tests: answers made octet by octet, and a fake network of such servers."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError
from twisted.internet.protocol import DatagramProtocol

from tests.fakes import VirtualClock

#: 2026-01-01T00:00:00Z.
NOW = 1767225600.0
ERA = 2**32
DELTA = 2208988800


def timestamp(seconds: float) -> bytes:
    """Seconds since 1970 as an NTP timestamp of whatever era."""
    whole, part = divmod(seconds, 1)
    return struct.pack("!II", (int(whole) + DELTA) % ERA, int(part * ERA))


def fixed(seconds: float) -> int:
    """16.16 fixed point."""
    return int(seconds * 65536)


def answer(
    question: bytes,
    time: float,
    held: float = 0.0,
    leap: int = 0,
    version: int = 4,
    mode: int = 4,
    stratum: int = 2,
    reference: bytes = b"GPS\0",
    rootDelay: float = 0.01,
    rootDispersion: float = 0.01,
    received: bytes | None = None,
    sent: bytes | None = None,
) -> bytes:
    """A server's answer: it gets the question at ``time`` of its own, and keeps it for ``held``."""
    return (
        struct.pack("!BBbb", leap << 6 | version << 3 | mode, stratum, 6, -20)
        + struct.pack("!II", fixed(rootDelay), fixed(rootDispersion))
        + reference
        + timestamp(time)
        + question[40:48]
        + (timestamp(time) if received is None else received)
        + (timestamp(time + held) if sent is None else sent)
    )


Server = Callable[[bytes, float], Sequence[bytes]]


class FakePort:
    """A UDP port of a `FakeReactor`."""

    def __init__(self, reactor: FakeReactor, protocol: DatagramProtocol, isV6: bool) -> None:
        self.reactor = reactor
        self.protocol = protocol
        self.isV6 = isV6

    def write(self, datagram: bytes, addr: tuple[str, int]) -> None:
        host, port = addr
        assert (":" in host) is self.isV6, "wrong family"
        self.reactor.asked.append((self.reactor.seconds(), host, port))
        if host in self.reactor.noWay:
            raise OSError(101, "Network is unreachable")
        server = self.reactor.servers.get(host)
        for reply in server(datagram, self.reactor.seconds()) if server else ():
            source = self.reactor.source or addr
            self.reactor.callLater(self.reactor.latency, self._deliver, reply, source)

    def _deliver(self, reply: bytes, source: tuple[str, int]) -> None:
        if self in self.reactor.open:
            self.protocol.datagramReceived(reply, source)

    def stopListening(self) -> Deferred[None]:
        """Closed a moment later, as a real one."""
        done: Deferred[None] = Deferred()
        self.reactor.open.remove(self)
        self.reactor.callLater(0, done.callback, None)
        return done


class FakeReactor(VirtualClock):
    """Virtual time, names and UDP.

    :ivar servers: what answers at an address.
    :ivar names: addresses by name; None = the resolver says nothing.
    :ivar asked: (time, address, port) of each question.
    :ivar open: the ports that are open.
    """

    def __init__(self) -> None:
        super().__init__()
        self.servers: dict[str, Server] = {}
        self.names: dict[str, Sequence[str] | None] = {}
        self.noWay: set[str] = set()
        self.source: tuple[str, int] | None = None
        self.families = {4, 6}
        self.latency = 0.01
        self.asked: list[tuple[float, str, int]] = []
        self.open: list[FakePort] = []

    @property
    def hosts(self) -> list[str]:
        """Who was asked."""
        return [host for _, host, _ in self.asked]

    def listenUDP(
        self, port: int, protocol: DatagramProtocol, interface: str = "", maxPacketSize: int = 8192
    ) -> FakePort:
        isV6 = ":" in interface
        if (6 if isV6 else 4) not in self.families:
            raise CannotListenError(interface, port, OSError(97, "no such family"))
        made = FakePort(self, protocol, isV6)
        self.open.append(made)
        protocol.transport = made  # type: ignore[assignment]  # a fake one
        return made

    @property
    def nameResolver(self) -> FakeReactor:
        return self

    def resolveHostName(self, receiver: Any, name: str, port: int = 0, **_: Any) -> None:
        addresses = self.names.get(name, ())
        if addresses is None:
            return
        receiver.resolutionBegan(self)
        for address in addresses:
            kind = IPv6Address if ":" in address else IPv4Address
            receiver.addressResolved(kind("UDP", address, port))
        self.callLater(0, receiver.resolutionComplete)


class FakeClock:
    """A system clock that is wrong by ``error`` seconds against the reactor's time plus `NOW`."""

    def __init__(self, reactor: FakeReactor, error: float = 0.0) -> None:
        self.reactor = reactor
        self.error = error
        self.canSlew = True
        self.fault: Exception | None = None
        self.calls: list[tuple[str, float]] = []
        self.kernel: bool | None = False
        self.running: list[str] = []

    def time(self) -> float:
        return NOW + self.reactor.seconds() + self.error

    def step(self, offset: float) -> None:
        self._set("step", offset)

    def slew(self, offset: float) -> None:
        self._set("slew", offset)

    def _set(self, how: str, offset: float) -> None:
        if self.fault is not None:
            raise self.fault
        self.calls.append((how, round(offset, 3)))
        self.error += offset

    def synchronised(self) -> bool | None:
        return self.kernel

    def programs(self) -> Iterator[str]:
        return iter(self.running)


def honest(**options: Any) -> Server:
    """A server with the right time."""
    return lambda question, now: [answer(question, NOW + now + 0.005, **options)]
