"""A TCP proxy that delays: what a long line adds, without changing anything else.

Each direction holds every chunk for the same time and keeps the order. What is on its way is
bounded: beyond `IN_FLIGHT_MAX` nothing is read, as on a line whose buffers are full.

    python -m tests.bench.delayproxy --listen 127.0.0.1:2500 --to 127.0.0.1:2404 --delay 0.025
"""

from __future__ import annotations

import argparse
import asyncio
import socket
from collections import deque
from typing import cast

#: Octets on their way in one direction of one connection.
IN_FLIGHT_MAX = 1024 * 1024


class _Direction:
    """Chunks on their way from one socket to the other."""

    def __init__(self, delay: float, source: asyncio.Transport) -> None:
        self._delay = delay
        self._source = source
        self._target: asyncio.Transport | None = None
        # Each chunk with the time it arrives; b"" is the end.
        self._chunks: deque[tuple[float, bytes]] = deque()
        self._octets = 0
        self._timer: asyncio.TimerHandle | None = None
        self._paused = False

    def connect(self, target: asyncio.Transport) -> None:
        """The far end is there: what was sent before goes its way."""
        self._target = target
        self._arm()

    def add(self, data: bytes) -> None:
        """A chunk enters; empty: nothing more will."""
        now = asyncio.get_running_loop().time()
        self._chunks.append((now + self._delay, data))
        self._octets += len(data)
        if self._octets > IN_FLIGHT_MAX and not self._paused:
            self._paused = True
            self._source.pause_reading()
        self._arm()

    def cancel(self) -> None:
        """Nothing arrives any more."""
        self._chunks.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arm(self) -> None:
        if self._timer is None and self._chunks and self._target is not None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_at(self._chunks[0][0], self._arrive)

    def _arrive(self) -> None:
        self._timer = None
        target = self._target
        assert target is not None
        now = asyncio.get_running_loop().time()
        while self._chunks and self._chunks[0][0] <= now:
            _, data = self._chunks.popleft()
            self._octets -= len(data)
            if target.is_closing():
                continue
            if data:
                target.write(data)
            else:
                target.close()
        if self._paused and self._octets <= IN_FLIGHT_MAX // 2 and not self._source.is_closing():
            self._paused = False
            self._source.resume_reading()
        self._arm()


class _End(asyncio.Protocol):
    """One socket of a connection through the proxy; `outward` is set once it is connected."""

    def __init__(self, proxy: DelayProxy, other: _End | None = None) -> None:
        self._proxy = proxy
        self._other = other
        self.outward: _Direction | None = None
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        own = self.transport = cast(asyncio.Transport, transport)
        own.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.outward = _Direction(self._proxy.delay, own)
        self._proxy.ends.add(self)
        if self._other is None:
            self._proxy.dial(self)
        else:
            other = self._other
            other._other = self
            assert other.outward is not None and other.transport is not None
            other.outward.connect(own)
            self.outward.connect(other.transport)

    def data_received(self, data: bytes) -> None:
        assert self.outward is not None
        self.outward.add(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._proxy.ends.discard(self)
        if self.outward is not None:
            self.outward.add(b"")


class DelayProxy:
    """Listens, and passes every connection on, delayed.

    :param to: where connections are passed on to: IP address and port.
    :param delay: seconds, each way.
    :ivar ends: the open sockets.
    """

    def __init__(self, to: tuple[str, int], delay: float) -> None:
        self.delay = delay
        self.ends: set[_End] = set()
        self._to = to
        self._server: asyncio.Server | None = None
        self._dials: set[asyncio.Task[None]] = set()

    async def listen(self, ip: str, port: int = 0) -> int:
        """Accept connections; the port."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _End(self), ip, port)
        return int(self._server.sockets[0].getsockname()[1])

    def dial(self, end: _End) -> None:
        """A client is there: connect it to the server."""

        async def connect() -> None:
            loop = asyncio.get_running_loop()
            await asyncio.sleep(self.delay)
            try:
                await loop.create_connection(lambda: _End(self, end), *self._to)
            except OSError:
                assert end.transport is not None
                end.transport.abort()

        task = asyncio.ensure_future(connect())
        self._dials.add(task)
        task.add_done_callback(self._dials.discard)

    def close(self) -> None:
        """End all connections and listen no more."""
        if self._server is not None:
            self._server.close()
        for task in self._dials:
            task.cancel()
        for end in list(self.ends):
            if end.outward is not None:
                end.outward.cancel()
            if end.transport is not None:
                end.transport.abort()


def main() -> None:
    """Run until interrupted."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.delayproxy")
    parser.add_argument("--listen", required=True, help="IP:PORT")
    parser.add_argument("--to", required=True, help="IP:PORT")
    parser.add_argument("--delay", type=float, default=0.025, help="seconds each way (%(default)s)")
    arguments = parser.parse_args()
    listen, to = (
        (ip, int(port))
        for ip, _, port in (text.rpartition(":") for text in (arguments.listen, arguments.to))
    )

    async def run() -> None:
        proxy = DelayProxy(to, arguments.delay)
        port = await proxy.listen(*listen)
        print(f"{listen[0]}:{port} -> {to[0]}:{to[1]}, {arguments.delay:g} s each way", flush=True)
        await asyncio.Event().wait()

    try:
        asyncio.run(run())
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
