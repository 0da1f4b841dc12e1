"""Reaching the RTU: its hosts in rotation, and when to try again."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable, Sequence
from enum import Enum
from ipaddress import ip_address
from random import random
from typing import Any, cast

from twisted.internet.defer import CancelledError, Deferred, TimeoutError
from twisted.internet.endpoints import (
    HostnameEndpoint,
    TCP4ClientEndpoint,
    TCP6ClientEndpoint,
)
from twisted.internet.error import (
    ConnectError,
    ConnectingCancelledError,
    ConnectionRefusedError,
    DNSLookupError,
    NoRouteError,
    TCPTimedOutError,
    UnknownHostError,
)
from twisted.internet.interfaces import (
    IDelayedCall,
    IProtocol,
    IProtocolFactory,
    IReactorTime,
    IStreamClientEndpoint,
)
from twisted.python.failure import Failure
from zope.interface import implementer

from mm2ss.config.model import Address, Host
from mm2ss.iec104.apci import CloseCause
from mm2ss.iec104.protocol import LinkFactory, LinkProtocol
from mm2ss.relay.pacing import Pacer

#: Seconds before the first new round of hosts, the longest, and by how much each is varied so
#: that a thousand groups do not all try in the same moment.
FIRST_DELAY = 1.0
LONGEST_DELAY = 30.0
JITTER = 0.2
#: Longer than any t0 (1-255 s), which alone ends an attempt; Twisted's own bound would be 30 s.
LONGEST_T0 = 300
#: Seconds a connection must live (or data transfer start) before delays begin anew: an RTU that
#: accepts and closes is left alone for longer and longer, too.
PROVEN = 10.0


class RetryDelay:
    """How long to wait before the next host is tried.

    :param hosts: how many make a round.
    :param random: a number from 0 to 1 for the jitter.
    """

    def __init__(self, hosts: int, random: Callable[[], float] = random) -> None:
        self._hosts = hosts
        self._random = random
        self.reset()

    def reset(self) -> None:
        """The RTU was reached: delays begin anew."""
        self._tried = 0
        self._delay = FIRST_DELAY

    def next(self) -> float:
        """Seconds to wait after an attempt that came to nothing; 0 within a round."""
        self._tried += 1
        if self._tried % self._hosts:
            return 0.0
        delay = self._delay
        self._delay = min(2 * delay, LONGEST_DELAY)
        return delay * (1 + JITTER * (2 * self._random() - 1))


@implementer(IStreamClientEndpoint)
class RotatingEndpoint:
    """Connects to the host after the one tried last, round and round.

    :param reactor: what the hosts are connected with.
    :param hosts: at least one.
    :param t0: seconds that one attempt may take.
    :param failed: told of each attempt that failed.
    :ivar host: the host tried last.
    """

    def __init__(
        self,
        reactor: Any,
        hosts: Sequence[Host],
        t0: float,
        failed: Callable[[Host, Failure], None],
    ) -> None:
        self._reactor = reactor
        self._hosts = hosts
        self._t0 = t0
        self._failed = failed
        self._next = 0
        self.host = hosts[0]

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """Try one host; fails with a `TimeoutError` after t0, else as the network says."""
        host = self.host = self._hosts[self._next]
        self._next = (self._next + 1) % len(self._hosts)
        connecting: Deferred[IProtocol] = self._endpoint(host).connect(protocolFactory)
        # The bound holds for all of it: a name takes time to resolve and may have many addresses.
        connecting.addTimeout(self._t0, self._reactor, _timedOut)

        def report(failure: Failure) -> Failure:
            if not isinstance(failure.value, (CancelledError, ConnectingCancelledError)):
                self._failed(host, failure)
            return failure

        return connecting.addErrback(report)

    def _endpoint(self, host: Host) -> IStreamClientEndpoint:
        try:
            version = ip_address(host.host.partition("%")[0]).version
        except ValueError:
            return HostnameEndpoint(self._reactor, host.host, host.port, timeout=LONGEST_T0)
        if version == 4:
            return TCP4ClientEndpoint(self._reactor, host.host, host.port, timeout=LONGEST_T0)
        return TCP6ClientEndpoint(self._reactor, host.host, host.port, timeout=LONGEST_T0)


class ConnectFailure(Enum):
    """Why an RTU was not reached; the name is what logs and figures show."""

    T0 = "no connection within t0"
    REFUSED = "the host refuses"
    UNREACHABLE = "no way to the host, or no answer from it"
    UNKNOWN_HOST = "the host's name has no address"
    OTHER = "something else"


_FAILURES: tuple[tuple[type[Exception], ConnectFailure], ...] = (
    (TimeoutError, ConnectFailure.T0),
    (ConnectionRefusedError, ConnectFailure.REFUSED),
    (NoRouteError, ConnectFailure.UNREACHABLE),
    (TCPTimedOutError, ConnectFailure.UNREACHABLE),
    (DNSLookupError, ConnectFailure.UNKNOWN_HOST),
    (UnknownHostError, ConnectFailure.UNKNOWN_HOST),
)
#: Twisted has no class for it.
_HOST_UNREACHABLE = {errno.EHOSTUNREACH, getattr(errno, "WSAEHOSTUNREACH", errno.EHOSTUNREACH)}


def failureOf(failure: Failure) -> ConnectFailure:
    """What hindered an attempt to connect."""
    error = failure.value
    for kind, reason in _FAILURES:
        if isinstance(error, kind):
            return reason
    unreachable = isinstance(error, ConnectError) and error.osError in _HOST_UNREACHABLE
    return ConnectFailure.UNREACHABLE if unreachable else ConnectFailure.OTHER


def _timedOut(_result: object, seconds: float) -> Failure:
    """What an attempt that was ended by t0 fails with."""
    return Failure(TimeoutError(f"{CloseCause.T0.value} ({seconds:g} s)"))


class Connector:
    """Keeps the RTU connected: tries until it is, and again when the connection is lost.

    :param endpoint: makes one attempt.
    :param factory: makes the connection's protocol.
    :param delay: how long to wait between attempts.
    :param clock: timers.
    :param pacer: says when an attempt that is due may begin.
    """

    def __init__(
        self,
        endpoint: RotatingEndpoint,
        factory: LinkFactory,
        delay: RetryDelay,
        clock: IReactorTime,
        pacer: Pacer,
    ) -> None:
        self._endpoint = endpoint
        self._factory = factory
        self._delay = delay
        self._clock = clock
        self._pacer = pacer
        self._running = False
        self._attempt: Deferred[IProtocol] | None = None
        self._pause: IDelayedCall | None = None

    def start(self) -> None:
        """Connect, now and whenever there is no connection."""
        self._running = True
        self._try()

    def stop(self) -> None:
        """Try no more; a connection that is there stays."""
        self._running = False
        self._pacer.withdraw(self._dial)
        if self._pause is not None:
            self._pause.cancel()
            self._pause = None
        if self._attempt is not None:
            self._attempt.cancel()

    def _try(self) -> None:
        self._pause = None
        self._pacer.ask(self._dial)

    def _dial(self) -> None:
        self._attempt = self._endpoint.connect(self._factory)
        self._attempt.addCallbacks(self._connected, self._again)

    def _connected(self, protocol: IProtocol) -> None:
        self._attempt = None
        cast(LinkProtocol, protocol).whenLost().addCallback(self._again)

    def _again(self, _reason: object) -> None:
        self._attempt = None
        if self._running:
            self._pause = self._clock.callLater(self._delay.next(), self._try)


def listenAddresses(configured: Sequence[Address]) -> list[str]:
    """The addresses to listen on: those configured, else every IPv4 and IPv6 address.

    Where the system lets one IPv6 socket serve both, one socket is enough.
    """
    if configured:
        return [str(address) for address in configured]
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
            probe.bind(("::", 0))
            alone = probe.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)
    except OSError:
        return ["0.0.0.0"]
    return ["0.0.0.0", "::"] if alone else ["::"]


def portProblem(addresses: Sequence[str], port: int) -> str:
    """Why a port cannot be listened on; empty when it can. Nothing is left listening."""
    for address in addresses:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        try:
            with socket.socket(family, socket.SOCK_STREAM) as probe:
                if os.name == "posix":  # as Twisted's listenTCP does
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind((address, port))
        except OSError as error:
            return f"port {port} on {address} cannot be used: {error.strerror or error}"
    return ""
