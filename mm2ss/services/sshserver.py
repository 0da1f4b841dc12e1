"""The SSH side of the Manhole: connections, and logins by public key."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from twisted.conch.checkers import SSHPublicKeyChecker
from twisted.conch.error import IgnoreAuthentication
from twisted.conch.interfaces import IConchUser
from twisted.conch.manhole_ssh import ConchFactory
from twisted.conch.ssh.common import getNS
from twisted.conch.ssh.keys import BadKeyError, Key
from twisted.conch.ssh.transport import (
    DISCONNECT_BY_APPLICATION,
    DISCONNECT_NO_MORE_AUTH_METHODS_AVAILABLE,
    SSHServerTransport,
)
from twisted.conch.ssh.userauth import SSHUserAuthServer
from twisted.cred.error import UnauthorizedLogin
from twisted.cred.portal import IRealm, Portal
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.interfaces import IAddress, IDelayedCall, ITCPTransport
from twisted.logger import Logger
from twisted.protocols.policies import TimeoutMixin
from twisted.python.failure import Failure
from zope.interface import implementer

from mm2ss.iec104.protocol import addressText
from mm2ss.services.authorizedkeys import AuthorizedKeys
from mm2ss.services.eventlog import oneLine
from mm2ss.services.hostkeys import fingerprint
from mm2ss.services.sshsession import CHATTER, Connection, Operator

#: Seconds from the connection to the login; somebody may have to type a pass phrase.
LOGIN_TIME = 60.0
#: Keys that a client may offer on one connection, as many as sshd takes.
MAX_KEYS = 6
#: Connections that have not logged in; what comes on top is closed.
MAX_STRANGERS = 10
#: Seconds that a connection which is being closed may take.
CLOSE_TIME = 2.0
#: Codes of SSH with which a client leaves that is done, or has no further key.
_FAREWELLS = (DISCONNECT_BY_APPLICATION, DISCONNECT_NO_MORE_AUTH_METHODS_AVAILABLE)
#: Characters of a user's name, and of a key's comment, that the log shows.
MAX_USER = 64

#: With what a user's key may sign. conch by itself names only what fits the host keys, and a
#: client would not use its RSA key beside an Ed25519 host key.
SIGNATURES = (
    b"ssh-ed25519",
    b"ecdsa-sha2-nistp256",
    b"ecdsa-sha2-nistp384",
    b"ecdsa-sha2-nistp521",
    b"rsa-sha2-512",
    b"rsa-sha2-256",
)

#: Makes the namespace of one who has logged in, and says what greets him.
Enter = Callable[[str], tuple[dict[str, Any], str]]


def _without(algorithms: Sequence[bytes], *broken: bytes) -> list[bytes]:
    """Algorithms but for those whose names contain what is broken."""
    return [name for name in algorithms if not any(each in name for each in broken)]


class ShellFactory(ConchFactory):
    """Makes the connections, and knows those that there are.

    :param keys: who may log in.
    :param enter: what a session finds.
    :param clock: monotonic time.
    :param maxSessions: connections that may be logged in at a time.
    :param idleTime: seconds without anything typed or shown, then a session is closed; 0 = never.
    """

    _log = CHATTER
    log = Logger()

    noisy = False

    def __init__(
        self,
        keys: AuthorizedKeys,
        enter: Enter,
        clock: Any,
        maxSessions: int,
        idleTime: float,
    ) -> None:
        ConchFactory.__init__(self, Portal(_Realm(), [SSHPublicKeyChecker(keys)]))
        self.protocol = ShellTransport
        self.services = {b"ssh-userauth": Login, b"ssh-connection": Connection}
        self.keys = keys
        self.enter = enter
        self.clock = clock
        self.maxSessions = maxSessions
        self.idleTime = idleTime
        self.connections: set[ShellTransport] = set()

    def setHostKeys(self, keys: list[Key]) -> None:
        """The relay's own keys, before the first connection comes."""
        # conch says bytes and means keys
        self.privateKeys = {key.sshType(): key for key in keys}  # type: ignore[misc]  # see above
        self.publicKeys = {key.sshType(): key.public() for key in keys}

    def buildProtocol(  # type: ignore[override]  # None closes it, as everywhere in Twisted
        self, addr: IAddress | None
    ) -> ShellTransport | None:
        """A connection, unless too many strangers are there."""
        if len(self.connections) - self.loggedIn >= MAX_STRANGERS:
            self.log.warn("Manhole: {peer} is not let in, there is a crowd", peer=addressText(addr))
            return None
        connection = ConchFactory.buildProtocol(self, addr)
        assert isinstance(connection, ShellTransport)
        connection.peer = addressText(addr)
        self.connections.add(connection)
        return connection

    @property
    def loggedIn(self) -> int:
        """Connections that have logged in."""
        return sum(bool(each.operator) for each in self.connections)

    def hangUp(self, reason: str) -> Deferred[Any]:
        """Close all connections; fires when they are closed."""
        connections = list(self.connections)
        for connection in connections:
            connection.hangUp(reason)
        return gatherResults([each.whenLost for each in connections])


class ShellTransport(SSHServerTransport, TimeoutMixin):
    """One connection.

    :ivar peer: its address and port.
    :ivar operator: who has logged in, as the logs say it; empty before.
    """

    _log = CHATTER
    log = Logger()

    # What is broken (SHA-1, MD5, CBC, 3DES) or dangerous before the login (zlib) is left out.
    supportedCiphers = _without(SSHServerTransport.supportedCiphers, b"-cbc")
    supportedMACs = _without(SSHServerTransport.supportedMACs, b"sha1", b"md5")
    supportedKeyExchanges = _without(SSHServerTransport.supportedKeyExchanges, b"sha1")
    supportedCompressions = _without(SSHServerTransport.supportedCompressions, b"zlib")

    factory: ShellFactory
    transport: ITCPTransport

    def __init__(self) -> None:
        self.peer = "-"
        self.operator = ""
        self.whenLost: Deferred[None] = Deferred()
        self._closing = False
        self._noted = False

    def connectionMade(self) -> None:
        """Somebody is there; he has some time to log in."""
        self.transport.setTcpKeepAlive(True)
        self.setTimeout(LOGIN_TIME)
        SSHServerTransport.connectionMade(self)

    def callLater(self, seconds: float, call: Callable[[], None]) -> IDelayedCall:
        """The clock of `setTimeout`."""
        later: IDelayedCall = self.factory.clock.callLater(seconds, call)
        return later

    def sendExtInfo(self, extensions: Any) -> None:
        """Say what users' keys may sign with, whatever the host keys are."""
        SSHServerTransport.sendExtInfo(self, [(b"server-sig-algs", b",".join(SIGNATURES))])

    def dataReceived(self, data: bytes) -> None:
        """Take what comes; a stranger who does not speak SSH leaves no traceback."""
        try:
            SSHServerTransport.dataReceived(self, data)
        except Exception as error:
            if self.operator:
                self.log.failure("Manhole: the connection of {operator}", operator=self.operator)
            else:
                reason = oneLine(f"{type(error).__name__}: {error}")
                self.note("sent what is not SSH ({reason})", reason=reason)
            self.transport.abortConnection()

    def receiveError(self, reasonCode: int, description: bytes) -> None:
        """The other end says why it leaves; that it simply wants to is no news."""
        if reasonCode not in _FAREWELLS:
            self.note("leaves: {reason}", reason=oneLine(description.decode("utf-8", "replace")))

    def enter(self) -> tuple[dict[str, Any], str]:
        """A namespace for a session, and what greets it."""
        return self.factory.enter(self.operator)

    def touch(self) -> None:
        """Something was typed or shown."""
        self.resetTimeout()

    def soon(self, call: Callable[[], None]) -> IDelayedCall:
        """Call in a later turn of the reactor."""
        return self.callLater(0, call)

    def note(self, text: str, **fields: Any) -> None:
        """A warning for the log about one who has not logged in."""
        self._noted = True
        self.log.warn(f"Manhole: {{peer}} {text}", peer=self.peer, **fields)

    def welcome(self, operator: str) -> None:
        """Somebody has logged in."""
        self.operator = operator
        self.log.info("Manhole: {operator} logged in", operator=operator, peer=self.peer)
        self.setTimeout(self.factory.idleTime or None)

    def hangUp(self, reason: str) -> None:
        """Close the connection, in order if that can be."""
        self._closing = True
        self.setTimeout(CLOSE_TIME)
        self.sendDisconnect(DISCONNECT_BY_APPLICATION, reason.encode("ascii"))

    def timeoutConnection(self) -> None:
        """Too long without a login, or without anything typed or shown; or it does not close."""
        if self._closing:
            self.transport.abortConnection()
        elif self.operator:
            self.log.info("Manhole: {operator} was idle for too long", operator=self.operator)
            self.hangUp("idle for too long")
        else:
            self.note("did not log in within {seconds:g} s", seconds=LOGIN_TIME)
            self.hangUp("the login takes too long")

    def connectionLost(self, reason: Failure | None = None) -> None:
        """The connection is closed."""
        self.setTimeout(None)
        SSHServerTransport.connectionLost(self, reason)
        self.factory.connections.discard(self)
        if self.operator:
            self.log.info("Manhole: {operator} logged out", operator=self.operator, peer=self.peer)
        elif not self._noted:
            self.note("left without a login")
        self.whenLost.callback(None)


class Login(SSHUserAuthServer):
    """Lets those in whose key is in the file, and says in the log who came."""

    _log = CHATTER
    attemptsBeforeDisconnect = MAX_KEYS

    transport: ShellTransport

    def serviceStarted(self) -> None:
        """The client wants to log in."""
        self.clock = self.transport.factory.clock
        SSHUserAuthServer.serviceStarted(self)

    def auth_publickey(self, packet: bytes) -> Deferred[Any]:
        """A key was offered, or used."""
        try:
            key = Key.fromString(getNS(packet[1:], 2)[1])
        except Exception:  # nothing that conch knows; it will say so
            key = None
        return SSHUserAuthServer.auth_publickey(self, packet).addCallbacks(
            self._loggedIn, self._refused, callbackArgs=(key,), errbackArgs=(key,)
        )

    def _loggedIn(self, result: Any, key: Key) -> Any:
        connection, factory = self.transport, self.transport.factory
        if factory.loggedIn >= factory.maxSessions:
            connection.note("({user}) finds all sessions taken", user=self._user)
            connection.hangUp("all sessions are taken")
            raise IgnoreAuthentication()
        comment = oneLine(factory.keys.commentOf(key))[:MAX_USER]
        who = f"{self._user} at {connection.peer} with {fingerprint(key)} {comment}".strip()
        connection.welcome(who)
        return result

    def _refused(self, failure: Failure, key: Key | None) -> Failure:
        if failure.check(UnauthorizedLogin, BadKeyError):
            self.transport.note(
                "({user}) is refused: its key {key} may not log in",
                user=self._user,
                key="of an unknown kind" if key is None else fingerprint(key),
            )
        return failure

    @property
    def _user(self) -> str:
        """The name that the client gives itself; it counts for nothing."""
        name: bytes = self.user or b""
        return oneLine(name.decode("utf-8", "replace"))[:MAX_USER]


@implementer(IRealm)
class _Realm:
    """All who log in may do the same."""

    def requestAvatar(self, avatarId: object, mind: object, *interfaces: object) -> Any:
        return IConchUser, Operator(), lambda: None
