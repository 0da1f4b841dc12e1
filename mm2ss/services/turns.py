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

from mm2ss.iec104.wire import READ, Wire, Wires

#: What the system says of a connection from which something can be read, and nothing else is to be
#: known: EPOLLIN of epoll(7).
READABLE = 1
#: Connections that are served in one turn, so that none waits long for its answer; the others are
#: served in the next ones.
AT_ONCE = 64
#: So few are ready that what is written is sent at once: nobody else waits for the caches.
FEW = 3


def orderTurns(reactor: Any) -> Wires | None:
    """Let an epoll reactor read, work and send in this order; any other one is left as it is.

    What is no plain wire (listening ports, TLS, HTTP, SSH, pipes), or has more to tell than that it
    can be read, is served as Twisted does it: its `_doReadOrWrite` logs what an owner of a
    connection fails in, and closes it. Who fails even in taking note of the end comes to the main
    loop, which logs that and goes on; what else was ready and not read is ready in the next turn.

    :return: the wires that are served so; None where a Twisted keeps its connections otherwise.
    """
    parts = ("_poller", "_selectables", "_doReadOrWrite", "doIteration")
    isEpoll = type(reactor).__name__ == "EPollReactor"
    if not isEpoll or not all(hasattr(reactor, part) for part in parts):
        return None
    poll, connections, serve = reactor._poller.poll, reactor._selectables, reactor._doReadOrWrite
    seconds = reactor.seconds
    wires = Wires()
    byTransport = wires.byTransport

    def turn(timeout: float | None) -> None:
        """Wait so many seconds, at most, for something to be ready (None = for ever), and serve."""
        ready = poll(-1 if timeout is None else timeout, AT_ONCE)
        wires.holding = len(ready) > FEW
        came: list[tuple[Wire, bytes]] = []
        try:
            for descriptor, event in ready:
                connection = connections.get(descriptor)
                if connection is None:
                    continue  # another one has closed it in this turn
                wire = byTransport.get(connection)
                if wire is not None and event == READABLE:
                    try:
                        data = wire.read(READ)
                    except OSError:
                        data = b""
                    if data:
                        came.append((wire, data))
                        continue
                serve(connection, descriptor, event)  # it also finds the end, and the fault again
        finally:  # what was read is worked on, whoever else has failed
            for wire, data in came:
                try:
                    wire.receive(data, seconds())
                except Exception:
                    wire.fail()
            wires.holding = False
            wires.send()

    setattr(reactor, "doIteration", turn)  # noqa: B010  # mypy forbids to assign a method
    return wires
