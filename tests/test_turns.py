"""The reactor's turns without Twisted's context of log prefixes, over real sockets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.selectreactor import SelectReactor
from twisted.python import log
from twisted.python.failure import Failure

from mm2ss.services.turns import shortenTurns

epollreactor = pytest.importorskip("twisted.internet.epollreactor")

#: More than a socket takes at once: the rest is written when it is ready again.
MUCH = b"m" * 4_000_000


class Server(Protocol):
    """Gives back what comes, and fails at an exclamation mark."""

    def dataReceived(self, data: bytes) -> None:
        if b"!" in data:
            raise ArithmeticError("a fault of the program")
        assert self.transport is not None
        self.transport.write(data)


class Client(Protocol):
    """Says something; ends the reactor when the connection is gone or all has come back."""

    def __init__(self, reactor: Any, text: bytes) -> None:
        self.reactor = reactor
        self.text = text
        self.got = 0
        self.lost = False

    def connectionMade(self) -> None:
        assert self.transport is not None
        self.transport.write(self.text)

    def dataReceived(self, data: bytes) -> None:
        self.got += len(data)
        if self.got == len(self.text):
            self.reactor.stop()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost = True
        if self.reactor.running:
            self.reactor.stop()


def factory(make: Callable[[], Protocol]) -> Factory:
    return Factory.forProtocol(make)


def talk(text: bytes) -> Client:
    """Say something to a server in a reactor with short turns."""
    reactor = epollreactor.EPollReactor()
    assert shortenTurns(reactor), "this Twisted keeps its connections otherwise"
    port = reactor.listenTCP(0, factory(Server), interface="127.0.0.1")
    client = Client(reactor, text)
    reactor.callWhenRunning(
        TCP4ClientEndpoint(reactor, "127.0.0.1", port.getHost().port).connect,
        factory(lambda: client),
    )
    late = reactor.callLater(10, reactor.stop)
    reactor.run(installSignalHandlers=False)
    assert late.active(), "nothing came back"
    late.cancel()
    return client


@pytest.mark.parametrize("text", [b"hello", MUCH])
def test_readsAndWrites(text: bytes) -> None:
    """What is ready to be read is read, and what is ready to be written is written."""
    client = talk(text)
    assert client.got == len(text)


def test_aFaultClosesItsConnection() -> None:
    """Who fails in his connection loses it, and twistd's log says in what he failed."""
    told: list[dict[str, Any]] = []
    log.addObserver(told.append)
    try:
        client = talk(b"!")
    finally:
        log.removeObserver(told.append)
    assert client.lost and client.got == 0
    assert [each["failure"].type for each in told if each["isError"]] == [ArithmeticError]


def test_otherReactors() -> None:
    """A reactor of another kind is left alone."""
    reactor = SelectReactor()
    assert not shortenTurns(reactor) and "doIteration" not in vars(reactor)
