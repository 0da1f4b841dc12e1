"""The proxy of the benchmarks: it delays, and changes nothing."""

from __future__ import annotations

import asyncio

import pytest

from tests.bench.delayproxy import IN_FLIGHT_MAX, DelayProxy

pytestmark = [pytest.mark.interop, pytest.mark.smoke, pytest.mark.xdist_group("interop")]

IP = "127.0.0.1"
DELAY = 0.05
PATIENCE = 20.0


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A server that returns what it gets, and ends when the other end does."""
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()


async def throughProxy(octets: bytes) -> tuple[float, bytes]:
    """Send through the proxy to a server that echoes; seconds, and what came back."""
    loop = asyncio.get_running_loop()
    server = await asyncio.start_server(echo, IP, 0)
    proxy = DelayProxy((IP, server.sockets[0].getsockname()[1]), DELAY)
    try:
        reader, writer = await asyncio.open_connection(IP, await proxy.listen(IP))
        writer.write(octets)
        back = await asyncio.wait_for(reader.readexactly(len(octets)), PATIENCE)
        begun = loop.time()
        writer.write(octets[:10])
        back += await asyncio.wait_for(reader.readexactly(10), PATIENCE)
        seconds = loop.time() - begun
        writer.close()
        await writer.wait_closed()
        return seconds, back
    finally:
        proxy.close()
        server.close()
        await asyncio.sleep(DELAY)  # the transports close in the loop's next turns


def test_roundTripTakesTwiceTheDelay() -> None:
    """Each way takes the delay; order and octets stay, also of more than may be on its way."""
    octets = bytes(range(256)) * (3 * IN_FLIGHT_MAX // 256)
    seconds, back = asyncio.run(throughProxy(octets))
    assert seconds >= 2 * DELAY - 0.002
    assert back == octets + octets[:10]
