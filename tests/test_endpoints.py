"""Reaching the RTU: hosts in rotation, t0, delays that grow; and where masters may connect."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from ipaddress import ip_address
from itertools import pairwise
from random import Random

import pytest
from twisted.internet.error import ConnectionRefusedError
from twisted.python.failure import Failure

from mm2ss.config.model import Host
from mm2ss.iec104.link import Link, Role
from mm2ss.iec104.protocol import LinkFactory
from mm2ss.relay.endpoints import (
    FIRST_DELAY,
    JITTER,
    LONGEST_DELAY,
    Connector,
    RetryDelay,
    RotatingEndpoint,
    listenAddresses,
    portProblem,
)
from mm2ss.relay.pacing import Pacer
from tests.fakes import FakeReactor
from tests.groups import isUp
from tests.peers import FakeRtu, RecordingOwner
from tests.stations import DEFAULTS

ONE, TWO, SIX = (
    Host("198.51.100.1", 2404),
    Host("198.51.100.2", 2405),
    Host("2001:db8::1", 2404),
)


class Dialling:
    """A `Connector` over a made-up network; attempts and failures with their times."""

    def __init__(self, *hosts: Host, t0: float = 10) -> None:
        self.reactor = FakeReactor()
        self.owner = RecordingOwner()
        self.failures: list[tuple[float, Host, str]] = []
        self.endpoint = RotatingEndpoint(self.reactor, hosts, t0, self.failed)
        self.delay = RetryDelay(len(hosts), lambda: 0.5)
        factory = LinkFactory(self.makeLink, self.owner, self.reactor)
        pacer = Pacer(self.reactor)
        self.connector = Connector(self.endpoint, factory, self.delay, self.reactor, pacer)

    def makeLink(self, now: float) -> Link:
        return Link(Role.CONTROLLING, DEFAULTS, now)

    def failed(self, host: Host, failure: Failure) -> None:
        self.failures.append((self.reactor.seconds(), host, failure.getErrorMessage()))

    def run(self, seconds: float) -> None:
        self.reactor.run(seconds)

    @property
    def tried(self) -> list[Host]:
        return [host for _, host, _ in self.failures]


def test_T01_silentHost() -> None:
    """A host that does not answer is given up after t0, and the next one is tried at once."""
    dialling = Dialling(ONE, TWO, t0=7)
    dialling.reactor.silent = {ONE.host}
    rtu = FakeRtu(dialling.reactor, TWO.host, TWO.port)
    rtu.listen()
    dialling.connector.start()
    dialling.run(6.9)
    assert not dialling.failures
    dialling.run(0.2)
    assert isUp(rtu)
    assert dialling.endpoint.host == TWO
    ((at, host, reason),) = dialling.failures
    assert (at, host) == (7, ONE)
    assert "t0" in reason


@pytest.mark.parametrize("t0", [1, 45, 255])
def test_t0IsTheOnlyBound(t0: float) -> None:
    """An attempt takes t0 seconds whether that is shorter or longer than Twisted's 30."""
    dialling = Dialling(ONE, t0=t0)
    dialling.reactor.silent = {ONE.host}
    dialling.connector.start()
    dialling.run(t0 - 0.5)
    assert not dialling.failures
    dialling.run(0.6)
    assert len(dialling.failures) == 1


def test_hostsInRotation() -> None:
    """Hosts, IPv6 too, are tried one after the other without a pause; rounds have one."""
    dialling = Dialling(ONE, TWO, SIX)
    dialling.connector.start()
    dialling.run(0.5)
    assert dialling.tried == [ONE, TWO, SIX]
    dialling.run(FIRST_DELAY)
    assert dialling.tried == [ONE, TWO, SIX] * 2


def test_afterTheHostTriedLast() -> None:
    """When a connection is lost the host after the one that was connected comes first."""
    dialling = Dialling(ONE, TWO)
    rtu = FakeRtu(dialling.reactor, ONE.host, ONE.port)
    other = FakeRtu(dialling.reactor, TWO.host, TWO.port)
    rtu.listen()
    other.listen()
    dialling.connector.start()
    dialling.run(1)
    assert isUp(rtu) and not isUp(other)
    dialling.delay.reset()
    rtu.leave()
    dialling.run(1)
    assert isUp(other) and not isUp(rtu)
    dialling.connector.stop()


def test_delaysDouble() -> None:
    """Between rounds 1 s, 2 s, 4 s and so on up to 30 s."""
    dialling = Dialling(ONE)
    dialling.connector.start()
    dialling.run(130)
    times = [at for at, _, _ in dialling.failures]
    gaps = [round(b - a) for a, b in pairwise(times)]
    assert gaps == [1, 2, 4, 8, 16, 30, 30, 30]


def test_jitter() -> None:
    """Each delay is up to 20 % shorter or longer, so that groups spread out."""
    delays = {value: RetryDelay(1, lambda value=value: value) for value in (0.0, 1.0)}  # type: ignore[misc]  # a constant per delay
    assert delays[0.0].next() == FIRST_DELAY * (1 - JITTER)
    assert delays[1.0].next() == FIRST_DELAY * (1 + JITTER)
    spread = RetryDelay(1, Random(1).random)
    late = [spread.next() for _ in range(1000)][10:]
    assert LONGEST_DELAY * (1 - JITTER) <= min(late) < 25
    assert 35 < max(late) <= LONGEST_DELAY * (1 + JITTER)


def test_resetBeginsAnew() -> None:
    """After a reset the round and the delays begin anew."""
    delay = RetryDelay(2, lambda: 0.5)
    assert [delay.next() for _ in range(6)] == [0, 1, 0, 2, 0, 4]
    delay.next()
    delay.reset()
    assert [delay.next() for _ in range(4)] == [0, 1, 0, 2]


def test_acceptAndCloseIsNoSuccess() -> None:
    """An RTU that accepts and closes is left alone for longer and longer."""
    dialling = Dialling(ONE)
    rtu = FakeRtu(dialling.reactor, ONE.host, ONE.port)

    def leaveSoon(_: object) -> None:
        dialling.reactor.callLater(0.01, rtu.leave)

    rtu.onUp = leaveSoon
    rtu.listen()
    dialling.connector.start()
    dialling.run(70)
    assert len(rtu.ups) == 7


def test_stopWhileConnecting() -> None:
    """Stopping ends the attempt, reports no failure, and leaves nothing pending."""
    dialling = Dialling(ONE)
    dialling.reactor.silent = {ONE.host}
    dialling.connector.start()
    dialling.run(1)
    dialling.connector.stop()
    dialling.run(0)
    assert dialling.reactor.getDelayedCalls() == []
    assert dialling.failures == []


def test_stopWhileWaiting() -> None:
    """Stopping between two attempts leaves nothing pending."""
    dialling = Dialling(ONE)
    dialling.connector.start()
    dialling.run(0.5)
    dialling.connector.stop()
    assert dialling.reactor.getDelayedCalls() == []


def test_stopWhileConnected() -> None:
    """Stopping leaves the connection; when it ends nothing is tried any more."""
    dialling = Dialling(ONE)
    rtu = FakeRtu(dialling.reactor, ONE.host, ONE.port)
    rtu.listen()
    dialling.connector.start()
    dialling.run(1)
    dialling.connector.stop()
    assert isUp(rtu)
    rtu.leave()
    dialling.run(100)
    assert len(rtu.ups) == 1
    assert dialling.reactor.getDelayedCalls() == []


def test_failuresAreTold() -> None:
    """Each failed attempt is told once, with its host and reason."""
    dialling = Dialling(ONE, TWO)
    dialling.connector.start()
    dialling.run(0.5)
    refused = Failure(ConnectionRefusedError()).getErrorMessage()
    assert [(host, reason) for _, host, reason in dialling.failures] == [
        (ONE, refused),
        (TWO, refused),
    ]
    dialling.connector.stop()


def test_configuredListenAddresses() -> None:
    """The addresses of the service file are used as they are."""
    addresses = (ip_address("192.0.2.1"), ip_address("2001:db8::1"))
    assert listenAddresses(addresses) == ["192.0.2.1", "2001:db8::1"]


@pytest.mark.parametrize(
    ("alone", "expected"), [(0, ["::"]), (1, ["0.0.0.0", "::"]), (None, ["0.0.0.0"])]
)
def test_everyAddress(
    alone: int | None, expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without any, every IPv4 and IPv6 address: in one socket where the system can."""

    class Probe:
        def __init__(self, *_: object) -> None:
            if alone is None:
                raise OSError("no IPv6 here")

        def __enter__(self) -> Probe:
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def bind(self, _: object) -> None:
            pass

        def getsockopt(self, *_: object) -> int:
            return alone or 0

    monkeypatch.setattr("mm2ss.relay.endpoints.socket.socket", Probe)
    assert listenAddresses(()) == expected


@pytest.fixture
def taken() -> Iterator[int]:
    """A TCP port on loopback that is in use."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def test_takenPort(taken: int) -> None:
    """A port that is in use is told, with port, address and the system's reason."""
    problem = portProblem(["127.0.0.1"], taken)
    assert str(taken) in problem and "127.0.0.1" in problem and "in use" in problem


def test_foreignAddress() -> None:
    """An address that this machine does not have is told."""
    assert "192.0.2.77" in portProblem(["127.0.0.1", "192.0.2.77"], 0)


def test_freePort() -> None:
    """A free port is no problem, and is free afterwards."""
    for _ in range(2):
        assert portProblem(["127.0.0.1"], 0) == ""
