"""Many RTUs in one thread: each takes connections, confirms what it is asked, and counts."""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
from collections import Counter
from ipaddress import IPv4Address

from tests.interop.waiting import RTU_IP

#: What an RTU confirms: STARTDT, STOPDT, TESTFR.
_CONFIRMATIONS = {0x07: 0x0B, 0x13: 0x23, 0x43: 0x83}


class RtuFarm:
    """So many RTUs at addresses that follow each other, all at one port.

    :ivar addresses: theirs.
    :ivar connects: connections that each RTU has had, by its address.
    :ivar losses: connections that each has lost.
    :ivar stops: times that each was asked to stop data transfer.
    """

    def __init__(self, count: int, port: int) -> None:
        first = int(IPv4Address(RTU_IP))
        self.addresses = [str(IPv4Address(first + number)) for number in range(count)]
        self.connects: Counter[str] = Counter()
        self.losses: Counter[str] = Counter()
        self.stops: Counter[str] = Counter()
        self._selector = selectors.DefaultSelector()
        for address in self.addresses:
            listener = socket.socket()
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((address, port))
            listener.listen()
            listener.setblocking(False)
            self._selector.register(listener, selectors.EVENT_READ, (address, True))
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._ends.is_set():
            for key, _ in self._selector.select(0.1):
                address, listens = key.data
                assert isinstance(key.fileobj, socket.socket)
                if listens:
                    self._accept(key.fileobj, address)
                else:
                    self._read(key.fileobj, address)

    def _accept(self, listener: socket.socket, address: str) -> None:
        connection, _ = listener.accept()
        self.connects[address] += 1
        self._selector.register(connection, selectors.EVENT_READ, (address, False))

    def _read(self, connection: socket.socket, address: str) -> None:
        data = b""
        with contextlib.suppress(ConnectionError):
            data = connection.recv(4096)
        if not data:
            self.losses[address] += 1
            self._selector.unregister(connection)
            connection.close()
        # The relay sends them nothing but frames without information, of 6 octets each.
        for at in range(0, len(data), 6):
            control = data[at + 2]
            self.stops[address] += control == 0x13
            if control in _CONFIRMATIONS:
                connection.sendall(bytes((0x68, 4, _CONFIRMATIONS[control], 0, 0, 0)))

    def close(self) -> None:
        """End all of them."""
        self._ends.set()
        self._thread.join()
        for key in list(self._selector.get_map().values()):
            assert isinstance(key.fileobj, socket.socket)
            key.fileobj.close()
        self._selector.close()
