"""Turns of Twisted's epoll reactor, without what it puts around each connection.

Twisted calls whatever is ready through `twisted.python.log.callWithLogger`, which makes a context
of log prefixes for it. Nobody here asks for that context (who logs says whom it is about), and it
is half of the way from the system call that waits to the one that reads: some 30 µs when a single
event or command has to come through caches that have gone cold.
"""

from __future__ import annotations

from typing import Any


def shortenTurns(reactor: Any) -> bool:
    """Let an epoll reactor call what is ready itself; any other one is left as it is.

    Its `_doReadOrWrite` logs what an owner of a connection fails in, as before, and closes it. Who
    fails even in taking note of the end comes to its main loop, which logs that and goes on; what
    else was ready is ready in the next turn.

    :return: whether it was done. It is not where a Twisted keeps its connections otherwise.
    """
    parts = ("_poller", "_selectables", "_doReadOrWrite", "doIteration")
    isEpoll = type(reactor).__name__ == "EPollReactor"
    if not isEpoll or not all(hasattr(reactor, part) for part in parts):
        return False
    poll, connections, serve = reactor._poller.poll, reactor._selectables, reactor._doReadOrWrite

    def turn(seconds: float | None) -> None:
        """Wait so long, at most, for something to be ready (None = for ever), and serve it."""
        for descriptor, event in poll(-1 if seconds is None else seconds, len(connections)):
            connection = connections.get(descriptor)
            if connection is not None:  # else another one has closed it in this turn
                serve(connection, descriptor, event)

    setattr(reactor, "doIteration", turn)  # noqa: B010  # mypy forbids to assign a method
    return True
