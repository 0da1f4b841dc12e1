"""Stations that are plain sockets: octets are written and compared, nothing is understood."""

from __future__ import annotations

import socket

from tests.interop.waiting import MASTER_IP, PATIENCE, RTU_IP


class RawStation:
    """A connection without any protocol machine: octets are written and compared."""

    def __init__(self, connection: socket.socket) -> None:
        connection.settimeout(PATIENCE)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket = connection

    @classmethod
    def connect(cls, port: int, source: str = MASTER_IP) -> RawStation:
        """A connection to a port of the relay, from one of the loopback addresses."""
        return cls(socket.create_connection((MASTER_IP, port), PATIENCE, (source, 0)))

    @classmethod
    def started(cls, port: int, source: str = MASTER_IP) -> RawStation:
        """A master that has started data transfer and has its end of initialization."""
        master = cls.connect(port, source)
        master.send("68 04 07 00 00 00")
        master.expect("68 04 0b 00 00 00", "68 0e 00 00 00 00 46 01 04 00 20 00 00 00 00 00")
        return master

    def send(self, *frames: str) -> None:
        """Write octets given in hexadecimal, with one call."""
        self._socket.sendall(bytes.fromhex("".join(frames)))

    def receive(self, seconds: float = PATIENCE) -> bytes:
        """The next whole frame; empty when the other end has closed the connection."""
        self._socket.settimeout(seconds)
        try:
            head = self._read(2)
            return head + self._read(head[1]) if head else b""
        except TimeoutError:
            raise AssertionError(f"no frame within {seconds:g} s") from None

    def _read(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            chunk = self._socket.recv(count - len(data))
            if not chunk:
                assert not data, f"closed within a frame: {data.hex(' ')}"
                break
            data += chunk
        return data

    def expect(self, *frames: str, seconds: float = PATIENCE) -> None:
        """Read one frame for each that is given in hexadecimal; nothing may be in between."""
        for frame in frames:
            got = self.receive(seconds).hex(" ")
            assert got == frame.lower(), f"received {got or 'the end'}, expected {frame}"

    def expectNothing(self) -> None:
        """Make sure that nothing came: the answer to a test frame is the next to arrive."""
        self.send("68 04 43 00 00 00")
        self.expect("68 04 83 00 00 00")

    def ending(self, seconds: float = PATIENCE) -> str:
        """How the other end closes: FIN or RST. What arrives before is not looked at."""
        self._socket.settimeout(seconds)
        try:
            while self._socket.recv(4096):
                pass
        except ConnectionResetError:
            return "RST"
        except TimeoutError:
            raise AssertionError(f"the connection is not closed within {seconds:g} s") from None
        return "FIN"

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()


class RawRtu:
    """A listening socket at an RTU's address."""

    def __init__(self, port: int, ip: str = RTU_IP) -> None:
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind((ip, port))
        self._socket.listen()
        self._socket.settimeout(PATIENCE)

    def accept(self) -> RawStation:
        """The relay's connection."""
        try:
            return RawStation(self._socket.accept()[0])
        except TimeoutError:
            raise AssertionError(f"the relay does not connect within {PATIENCE:g} s") from None

    def close(self) -> None:
        """Stop listening."""
        self._socket.close()
