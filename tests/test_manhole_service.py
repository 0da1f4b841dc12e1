"""The Manhole as a service: when it listens, whom it keeps out, and how it stops."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from twisted.application.service import IService
from twisted.internet.defer import maybeDeferred
from twisted.internet.protocol import ClientFactory, Protocol
from twisted.python.failure import Failure

from mm2ss.config.service_settings import ManholeSettings
from mm2ss.relay.fleet import Fleet
from mm2ss.services.hostkeys import hostKeys
from mm2ss.services.inspection import Inspected
from mm2ss.services.manhole import PORT_RETRY, ManholeService
from mm2ss.services.sshserver import CLOSE_TIME, LOGIN_TIME, MAX_STRANGERS
from tests.fakes import FakeReactor
from tests.manholes import Log, logged

PORT = 8222
HOST = "127.0.0.1"


class Caller(Protocol):
    """Connects, says so much, and listens."""

    def __init__(self, says: bytes) -> None:
        self.says = says
        self.heard = b""
        self._lost = False

    def connectionMade(self) -> None:
        assert self.transport is not None
        self.transport.write(self.says)

    def dataReceived(self, data: bytes) -> None:
        self.heard += data

    def connectionLost(self, reason: Failure | None = None) -> None:
        self._lost = True

    def gone(self) -> bool:
        """Whether it was disconnected."""
        return self._lost


class Callers(ClientFactory):
    """Makes one `Caller`."""

    def __init__(self, caller: Caller) -> None:
        self.caller = caller

    def buildProtocol(self, addr: object) -> Caller:
        return self.caller


class House:
    """The service in a made-up network."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.reactor = FakeReactor()
        fleet = Fleet((), _noGroup)
        settings = ManholeSettings(enabled=True, authorizedKeys=folder / "authorized_keys")
        inspected = Inspected(fleet, self.reactor.seconds)
        self.service = ManholeService(settings, str(folder / "keys"), inspected, self.reactor)
        self.logged = Log()

    @property
    def log(self) -> str:
        """What was logged."""
        return self.logged.text

    def isOpen(self) -> bool:
        """Whether the port listens."""
        return self.reactor.listening(PORT, HOST)

    def call(self, says: bytes = b"") -> Caller:
        """Somebody connects."""
        caller = Caller(says)
        self.reactor.connectTCP(HOST, PORT, Callers(caller))
        self.reactor.run(0.1)
        return caller

    def start(self) -> None:
        """Start the service."""
        IService(self.service).startService()

    def stop(self) -> None:
        """Stop the service, and see that nothing is left."""
        stopped: list[object] = []
        maybeDeferred(self.service.stopService).addBoth(stopped.append)
        self.reactor.run(CLOSE_TIME + 0.1)
        assert len(stopped) == 1 and "Failure" not in repr(stopped)
        assert not self.isOpen() and self.reactor.getDelayedCalls() == []


def _noGroup(_: object) -> Any:
    raise AssertionError("there are no groups")


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    """A house that is stopped at the end."""
    house = House(tmp_path)
    with logged() as house.logged:
        yield house
    house.stop()


def test_opensAtItsStart(house: House) -> None:
    """Nothing is made before the start; then the keys are there and the port is open."""
    assert not (house.folder / "keys").exists() and not house.isOpen()
    house.start()
    assert house.isOpen() and len(list((house.folder / "keys").iterdir())) == 2
    assert house.log.count("made the host key") == 2
    assert f"Manhole: {HOST} port {PORT} is open" in house.log
    house.stop()
    house.start()  # and again
    assert house.isOpen() and house.log.count("made the host key") == 2


def test_withoutAHostKey(house: House) -> None:
    """A damaged host key is one clear error; the port stays closed, and nothing else suffers."""
    hostKeys(str(house.folder / "keys"))
    (house.folder / "keys" / "ssh_host_ed25519_key").write_bytes(b"nonsense")
    house.start()
    assert not house.isOpen()
    (event,) = house.logged.events
    assert event["log_level"].name == "error"
    assert "There is no Manhole: the host key" in house.log and "delete it" in house.log


def test_portTaken(house: House) -> None:
    """A port that is taken is said once, and tried until it is free."""
    other = house.reactor.listenTCP(PORT, Callers(Caller(b"")), interface=HOST)
    house.start()
    house.reactor.run(3 * PORT_RETRY)
    assert house.log.count("cannot be used") == 1
    other.stopListening()
    house.reactor.run(PORT_RETRY)
    assert house.isOpen() and "is open" in house.log


def test_stopsWhileThePortIsTaken(house: House) -> None:
    """A stop ends the attempts."""
    other = house.reactor.listenTCP(PORT, Callers(Caller(b"")), interface=HOST)
    house.start()
    house.service.stopService()
    other.stopListening()
    house.reactor.run(2 * PORT_RETRY)
    assert not house.isOpen()


def test_strangersHaveLittleTime(house: House) -> None:
    """Who does not log in is sent away, and closed if he does not go."""
    house.start()
    caller = house.call(b"SSH-2.0-x\r\n")
    assert caller.heard.startswith(b"SSH-2.0-")
    house.reactor.run(LOGIN_TIME - 1)
    assert not caller.gone()
    house.reactor.run(1 + CLOSE_TIME)
    assert caller.gone()
    assert "did not log in within 60 s" in house.log


def test_aCrowd(house: House) -> None:
    """Only so many strangers are let in at a time; when they leave there is room again."""
    house.start()
    callers = [house.call() for _ in range(MAX_STRANGERS)]
    late = house.call()
    assert late.gone() and late.heard == b"" and "there is a crowd" in house.log
    assert not any(caller.gone() for caller in callers)
    assert callers[0].transport is not None
    callers[0].transport.loseConnection()
    house.reactor.run(0.1)
    assert house.call().heard.startswith(b"SSH-2.0-")


@pytest.mark.parametrize(
    "says",
    [
        b"SSH-2.0-x\r\n\0\0\0\x0c\4\x14" + bytes(10),  # a KEXINIT that ends too early
        b"SSH-2.0-x\r\n\0\0\0\x0c\4\x01" + b"\xff" * 10,  # a DISCONNECT of nonsense
    ],
)
def test_nonsense(house: House, says: bytes) -> None:
    """What is not SSH is a line in the log without a traceback, and closed."""
    house.start()
    caller = house.call(says)
    assert caller.gone()
    assert house.log.count("sent what is not SSH") == 1


def test_aFarewell(house: House) -> None:
    """A client that says why it leaves is quoted in one line, whatever it says."""
    house.start()
    text = b"bye\n\x1b[2J"
    payload = b"\x01\0\0\0\x02" + len(text).to_bytes(4, "big") + text + bytes(4)
    padding = 8 - (len(payload) + 5) % 8 + 8
    packet = (len(payload) + padding + 1).to_bytes(4, "big") + bytes((padding,)) + payload
    caller = house.call(b"SSH-2.0-x\r\n" + packet + bytes(padding))
    assert caller.gone() and "leaves: bye\\n\\x1b[2J" in house.log


def test_stopClosesAll(house: House) -> None:
    """A stop tells those who are there, and does not wait for those who do not go."""
    house.start()
    caller = house.call()
    house.stop()
    assert caller.gone() and b"the relay stops" in caller.heard


def test_costsNothingWhenOff() -> None:
    """Without a Manhole its half a second of imports is not paid."""
    program = "import sys, mm2ss.tap; sys.exit('twisted.conch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], timeout=60).returncode == 0


def test_settings() -> None:
    """Off, and on loopback, unless somebody says otherwise."""
    settings = ManholeSettings()
    assert not settings.enabled and settings.listen == ip_address(HOST)
