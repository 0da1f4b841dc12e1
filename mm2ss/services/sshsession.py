"""What one who has logged in by SSH may do: open sessions, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from twisted.conch.avatar import ConchUser
from twisted.conch.interfaces import ISession
from twisted.conch.ssh.common import NS, getNS
from twisted.conch.ssh.connection import MSG_CHANNEL_OPEN_FAILURE, SSHConnection
from twisted.conch.ssh.connection import OPEN_ADMINISTRATIVELY_PROHIBITED as PROHIBITED
from twisted.conch.ssh.session import SSHSession
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import (
    FilteringLogObserver,
    Logger,
    LogLevel,
    LogLevelFilterPredicate,
    globalLogPublisher,
)
from zope.interface import implementer

from mm2ss.services.eventlog import oneLine
from mm2ss.services.script import Channel, Script
from mm2ss.services.tables import USUAL_WIDTH
from mm2ss.services.terminal import Terminal

#: Sessions that one connection may have open at a time.
MAX_CHANNELS = 10
#: Characters of a statement that the log shows.
MAX_STATEMENT = 200
#: What conch itself says: a dozen lines for each login, of which only trouble is kept.
CHATTER = Logger(
    "twisted.conch",
    observer=FilteringLogObserver(
        globalLogPublisher, [LogLevelFilterPredicate(defaultLogLevel=LogLevel.warn)]
    ),
)


class Host(Protocol):
    """The connection of one who has logged in, as his sessions use it.

    :ivar operator: who it is, as the logs say it.
    """

    operator: str

    def enter(self) -> tuple[dict[str, Any], str]:
        """A namespace for a session, and what greets it."""
        ...

    def touch(self) -> None:
        """Something was typed or shown."""
        ...

    def soon(self, call: Callable[[], None]) -> IDelayedCall:
        """Call in a later turn of the reactor."""
        ...


class QuietSession(SSHSession):
    """conch's end of a session."""

    _log = CHATTER


class Operator(ConchUser):
    """One who has logged in: may open sessions, and no tunnels."""

    def __init__(self) -> None:
        ConchUser.__init__(self)
        self.channelLookup[b"session"] = QuietSession

    def __conform__(self, interface: object) -> Any:
        return Session(self) if interface is ISession else None


class Connection(SSHConnection):
    """The sessions of one connection."""

    _log = CHATTER

    def ssh_CHANNEL_OPEN(self, packet: bytes) -> None:
        """Something is to be opened. (conch would leave a traceback where it refuses.)"""
        kind, rest = getNS(packet)
        if kind == b"session" and len(self.channels) < MAX_CHANNELS:
            SSHConnection.ssh_CHANNEL_OPEN(self, packet)
            return
        reason = b"too many sessions" if kind == b"session" else b"there are sessions only"
        refusal = rest[:4] + PROHIBITED.to_bytes(4, "big") + NS(reason) + NS(b"")
        assert self.transport is not None
        self.transport.sendPacket(MSG_CHANNEL_OPEN_FAILURE, refusal)


@implementer(ISession)
class Session:
    """One session: a terminal, a command, or statements from the standard input."""

    log = Logger()

    def __init__(self, operator: Operator) -> None:
        self._host: Host = operator.conn.transport
        self._width = USUAL_WIDTH
        self._inWindow = False
        self._partner: Terminal | Script | None = None
        self._later: IDelayedCall | None = None

    def getPty(self, term: bytes, windowSize: tuple[int, ...], modes: object) -> None:
        """The other end is a terminal."""
        self._inWindow = True
        self.windowChanged(windowSize)

    def windowChanged(self, newWindowSize: tuple[int, ...]) -> None:
        """The terminal's window has this many rows and columns now."""
        self._width = newWindowSize[1] or USUAL_WIDTH
        if self._partner is not None:
            self._partner.resized(self._width)

    def openShell(self, process: Any) -> None:
        """No command was given."""
        if not self._inWindow:
            self._script(process).collect()
            return
        channel = Channel(process, self._host.touch)
        namespace, greeting = self._host.enter()
        self._partner = Terminal(channel, namespace, self._heard, self._width, greeting)
        process.makeConnection(self)

    def execCommand(self, process: Any, command: bytes) -> None:
        """A command was given; it runs when the other end knows that it may."""
        script = self._script(process)
        self._later = self._host.soon(lambda: script.run(command))

    def eofReceived(self) -> None:
        """The other end sends no more."""
        if self._partner is not None:
            self._partner.ended()

    def closed(self) -> None:
        """The session is over."""
        if self._later is not None and self._later.active():
            self._later.cancel()
        if self._partner is not None:
            self._partner.closed()

    def _script(self, process: Any) -> Script:
        channel = Channel(process, self._host.touch)
        namespace, _ = self._host.enter()
        script = Script(channel, namespace, self._heard, self._width if self._inWindow else None)
        self._partner = script
        process.makeConnection(self)
        return script

    # -- the transport of conch's process ----------------------------------------------------

    def write(self, data: bytes) -> None:
        """The other end has sent something."""
        self._host.touch()
        if self._partner is not None:
            self._partner.received(data)

    def loseConnection(self) -> None:
        """conch closes the session; `closed` will say so."""

    def _heard(self, source: str) -> None:
        """Each statement stands in the log, with the one who gave it."""
        text = oneLine(source)
        if len(text) > MAX_STATEMENT:
            text = text[:MAX_STATEMENT] + " [cut]"
        operator = self._host.operator
        self.log.info("Manhole: {operator}: {text}", operator=operator, text=text)
