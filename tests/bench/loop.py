"""The loop of the load tools: sockets by epoll, a few ticks, and orders from the driver.

Orders come as lines of JSON on the standard input, each is answered by one line on the standard
output. When the input ends, so does the tool: none outlives its driver.
"""

from __future__ import annotations

import gc
import json
import os
import resource
import select
import socket
import struct
import sys
import time
from collections.abc import Callable, Iterable
from typing import Any

Ready = Callable[[int], None]

#: In struct tcp_info: octets acknowledged and received, segments sent and received.
_TCP_INFO = struct.Struct("<120xQQII")
#: Octets of the IP and TCP headers of a segment, time stamps included.
HEADERS = 52


class Loop:
    """Calls handlers when their descriptors are ready, and ticks when they are due."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._handlers: dict[int, Ready] = {}
        self._ticks: dict[Callable[[], None], tuple[float, float]] = {}
        self.running = True

    def add(self, descriptor: int, ready: Ready, mask: int = select.EPOLLIN) -> None:
        """Watch a descriptor."""
        self._handlers[descriptor] = ready
        self._epoll.register(descriptor, mask)

    def change(self, descriptor: int, mask: int) -> None:
        """Watch it for something else."""
        self._epoll.modify(descriptor, mask)

    def drop(self, descriptor: int) -> None:
        """Watch it no more; before it is closed."""
        del self._handlers[descriptor]
        self._epoll.unregister(descriptor)

    def every(self, seconds: float, call: Callable[[], None]) -> None:
        """Call again and again, in place of what was said of this call before; 0: no more."""
        self._ticks.pop(call, None)
        if seconds > 0:
            self._ticks[call] = (time.monotonic() + seconds, seconds)

    def close(self) -> None:
        """Watch nothing any more."""
        self._epoll.close()

    def run(self) -> None:
        """Until `running` is False."""
        while self.running:
            ready = self._epoll.poll(self._patience(), 1024)
            handlers = self._handlers
            for descriptor, mask in ready:
                handler = handlers.get(descriptor)
                if handler is not None:
                    handler(mask)

    def _patience(self) -> float:
        """Call what is due; seconds until something is."""
        now = time.monotonic()
        for call, (due, seconds) in list(self._ticks.items()):
            if now >= due:
                self._ticks[call] = (max(due, now - seconds) + seconds, seconds)
                call()
        return max(0.0, min((due for due, _ in self._ticks.values()), default=now + 1) - now)


class Tool:
    """A load tool: a loop, and orders that are methods named ``do<Order>``.

    :ivar errors: what must not happen and did; the first few.
    """

    def __init__(self) -> None:
        self.loop = Loop()
        self.errors: list[str] = []
        self._orders = b""

    def error(self, text: str) -> None:
        """Note what must not happen."""
        if len(self.errors) < 20:
            self.errors.append(text)

    def serve(self) -> None:
        """Take orders until there are no more."""
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        gc.freeze()
        gc.disable()  # nothing here is cyclic, and a pause would be taken for one of the relay
        os.set_blocking(0, False)
        self.loop.add(0, self._order)
        self.loop.run()

    def _order(self, _mask: int) -> None:
        data = os.read(0, 65536)
        self.loop.running = bool(data)
        *lines, self._orders = (self._orders + data).split(b"\n")
        for line in lines:
            name, arguments = json.loads(line)
            answer = getattr(self, f"do{name}")(**arguments)
            sys.stdout.write(json.dumps(answer) + "\n")
            sys.stdout.flush()


def prepare(connection: socket.socket) -> None:
    """The options of a connection: no delay, and room for the largest window."""
    connection.setblocking(False)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)


def traffic(connections: Iterable[socket.socket | None]) -> dict[str, Any]:
    """What went over the connections in both directions: octets, and octets with all headers."""
    octets = segments = 0
    for connection in connections:
        if connection is not None:
            info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
            sent, received, segmentsOut, segmentsIn = _TCP_INFO.unpack_from(info)
            octets += sent + received
            segments += segmentsOut + segmentsIn
    return {"octets": octets, "onTheLine": octets + HEADERS * segments}
