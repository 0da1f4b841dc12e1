"""Turns of Twisted's epoll reactor: read all that has come, work on it, send all that is to go.

Twisted serves one connection after the other. Two things of that are expensive here:

* Between reading, working and sending, a processor's caches lose what the other half of the way
  needs: with 20 busy RTUs more than a quarter of all time. So what is ready is read first, in one
  go; then the relay works on it; then all that it has written is sent
  (`mm2ss.iec104.wire.Wires`).
* Whatever is ready is called through `twisted.python.log.callWithLogger`, which makes a context
  of log prefixes for it. Nobody here asks for that context (who logs says whom it is about): some
  30 µs when a single event or command has to come through caches that have gone cold.
"""

from __future__ import annotations

from typing import Any

from twisted.logger import Logger

from mm2ss.iec104.wire import READ, Wire, Wires

#: What the system says of a connection from which something can be read, and nothing else is to be
#: known: EPOLLIN of epoll(7).
READABLE = 1
#: Connections that are served together, so that none waits long for its answer, and no timer for
#: all of them; the others are served in the next turns.
AT_ONCE = 64
#: So few are ready that what is written is sent at once: nobody else waits for the caches.
FEW = 8

_log = Logger()


def orderTurns(reactor: Any) -> Wires | None:
    """Let an epoll reactor read, work and send in this order; any other one is left as it is.

    What is no plain wire (listening ports, TLS, HTTP, SSH, pipes), has ended, or has more to tell
    than that it can be read, is served as Twisted does it, behind what was read: the system does
    not say which of them came first where several are busy, and an end takes other connections
    with it, whose acknowledgements were to count. Twisted's `_doReadOrWrite` logs what an owner of
    a connection fails in, and closes it. Who fails even in taking note of the end is logged, too.

    :return: the wires that are served so; None where a Twisted keeps its connections otherwise.
    """
    parts = ("_poller", "_selectables", "_doReadOrWrite", "doIteration")
    isEpoll = any(base.__name__ == "EPollReactor" for base in type(reactor).__mro__)
    if not isEpoll or not all(hasattr(reactor, part) for part in parts):
        return None
    poll, connections, serve = reactor._poller.poll, reactor._selectables, reactor._doReadOrWrite
    seconds = reactor.seconds
    wires = Wires()
    byTransport = wires.byTransport

    def turn(timeout: float | None) -> None:
        """Wait so many seconds, at most, for something to be ready (None = for ever), and serve.

        Where alarms are late, whoever is ready is served once before the reactor looks at them.
        """
        wait = -1 if timeout is None else timeout
        left = len(connections) if wires.behind else 0
        wires.behind = False
        while serveSome(0 if wires.waiting else wait) == AT_ONCE and left > AT_ONCE:
            left -= AT_ONCE
            wait = 0

    def serveSome(wait: float) -> int:
        """Wait for something to be ready, serve `AT_ONCE`; returns how many were ready of them."""
        ready = poll(wait, AT_ONCE)
        wires.holding = len(ready) > FEW
        came: list[tuple[Wire, bytes]] = []
        others: list[tuple[Any, int, int]] = []
        for descriptor, event in ready:
            connection = connections.get(descriptor)
            wire = byTransport.get(connection) if event == READABLE else None
            data = b""
            if wire is not None:
                try:
                    data = wire.read(READ)
                except OSError:
                    pass  # the transport finds it again
            if wire is not None and data:
                came.append((wire, data))
            elif connection is not None:
                others.append((connection, descriptor, event))
        for wire, data in came:
            try:
                wire.receive(data, seconds())
            except Exception:
                wire.fail()
        for connection, descriptor, event in others:
            try:
                if connections.get(descriptor) is connection:  # else another one has closed it
                    serve(connection, descriptor, event)
            except Exception:
                _log.failure("Somebody has failed in taking note of a connection's end.")
        wires.holding = False
        wires.send()
        return len(ready)

    setattr(reactor, "doIteration", turn)  # noqa: B010  # mypy forbids to assign a method
    return wires
