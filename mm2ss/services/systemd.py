"""What systemd is told: that the service runs, how it stands, that it is alive, that it stops.

systemd names a datagram socket in the environment and reads lines ``NAME=value`` from it
(sd_notify(3)). Where it names none there is nothing to do, and this service is not made.
"""

from __future__ import annotations

import os
import socket
import sys
from collections import deque
from collections.abc import Callable, Iterable, MutableMapping
from dataclasses import dataclass
from typing import Any

from twisted.application.service import Service
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from mm2ss.relay.snapshot import Standing

#: Seconds between two looks at the groups for the status line.
STATUS_INTERVAL = 10.0
#: Seconds that systemd is asked for, again and again, while the service stops.
STOP_EXTENSION = 30.0
#: Seconds of stopping after which no more are asked for: something hangs, and is to be killed.
STOP_MAX = 300.0
#: Messages that wait while systemd does not read. Only turns of the life cycle wait, and there
#: are few; a status or a sign of life is worth nothing later.
MAX_WAITING = 8


@dataclass(frozen=True)
class Supervisor:
    """What the environment says of the program that watches over this process.

    :ivar address: of its datagram socket, as the socket module takes it.
    :ivar watchdog: seconds without a sign of life after which it kills; 0 = never.
    :ivar watched: the process that it means by that; 0 = the one that has the environment.
    """

    address: str
    watchdog: float = 0.0
    watched: int = 0


def takeSupervisor(environment: MutableMapping[str, str]) -> Supervisor | None:
    """Who watches over this process; None when nobody says so.

    The variables are removed: they mean this process, not the ones that it may start.
    """
    address = environment.pop("NOTIFY_SOCKET", "")
    watchdog = _number(environment.pop("WATCHDOG_USEC", ""))
    watched = _number(environment.pop("WATCHDOG_PID", ""))
    if address[:1] not in ("/", "@") or not hasattr(socket, "AF_UNIX"):
        return None
    # "@" stands for the zero octet of an address outside of the file system.
    address = address.replace("@", "\0", 1) if address.startswith("@") else address
    return Supervisor(address, watchdog / 1e6, watched)


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() else 0


def statusText(groups: Iterable[Standing]) -> str:
    """How the groups stand, in a line."""
    connected = count = masters = 0
    for group in groups:
        count += 1
        connected += group.connected
        masters += group.masters
    return f"{connected} of {count} RTUs connected, {masters} masters"


class SystemdService(Service):
    """Tells systemd how the service stands, from its start to its stop.

    It belongs beside the groups: started before them, stopped after them. The service counts as
    running at the first turn of the reactor, when everything has been started. Signs of life come
    from the reactor, so that one that is blocked is killed.

    :param supervisor: who is told.
    :param standings: tells how the groups stand.
    :param reactor: (monotonic) time, and the event of its shutdown.
    """

    _log = Logger()

    def __init__(
        self, supervisor: Supervisor, standings: Callable[[], Iterable[Standing]], reactor: Any
    ) -> None:
        self._supervisor = supervisor
        self._standings = standings
        self._reactor = reactor
        self._socket: socket.socket | None = None
        self._waiting: deque[str] = deque(maxlen=MAX_WAITING)
        self._troubled = False
        self._beating: IDelayedCall | None = None
        self._period = STATUS_INTERVAL
        self._guarded = False
        self._status = ""
        self._statusDue = 0.0
        self._trigger: Any = None
        self._stoppingSince: float | None = None

    # -- service ----------------------------------------------------------------------------

    def startService(self) -> None:
        """Open the socket; the first message goes in the first turn of the reactor."""
        Service.startService(self)
        watched, watchdog = self._supervisor.watched, self._supervisor.watchdog
        self._guarded = bool(watchdog) and watched in (0, os.getpid())
        self._period = min(STATUS_INTERVAL, watchdog / 2) if self._guarded else STATUS_INTERVAL
        if sys.platform != "win32":
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self._socket.setblocking(False)
        self._stoppingSince = None
        self._trigger = self._reactor.addSystemEventTrigger("before", "shutdown", self._stopping)
        self._beating = self._reactor.callLater(0, self._running)

    def stopService(self) -> None:
        """Say nothing more."""
        Service.stopService(self)
        if self._beating is not None:
            self._beating.cancel()
            self._beating = None
        if self._stoppingSince is None:
            self._reactor.removeSystemEventTrigger(self._trigger)
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    # -- turns of the life cycle ------------------------------------------------------------

    def reloading(self) -> None:
        """The files are being read again; `reloaded` must follow."""
        microseconds = int(self._reactor.seconds() * 1e6)
        self._tell(f"RELOADING=1\nMONOTONIC_USEC={microseconds}")

    def reloaded(self) -> None:
        """Reading again has ended, well or not."""
        if self._stoppingSince is None:
            self._tell("READY=1")

    def _running(self) -> None:
        if self._stoppingSince is None:
            self._tell(f"READY=1\nMAINPID={os.getpid()}")
        self._beat()

    def _stopping(self) -> None:
        self._stoppingSince = self._reactor.seconds()
        self._tell(f"STOPPING=1\nSTATUS=stopping\n{_EXTEND}")

    # -- signs of life ----------------------------------------------------------------------

    def _beat(self) -> None:
        """What is due now; and again after a while."""
        self._beating = self._reactor.callLater(self._period, self._beat)
        now = self._reactor.seconds()
        if self._guarded:
            self._send("WATCHDOG=1")
        self._sendWaiting()
        if self._stoppingSince is not None:
            if now < self._stoppingSince + STOP_MAX:
                self._send(_EXTEND)
        elif now >= self._statusDue:
            self._statusDue = now + STATUS_INTERVAL
            status = statusText(self._standings())
            if status != self._status:
                self._status = status
                self._send(f"STATUS={status}")

    # -- the socket -------------------------------------------------------------------------

    def _tell(self, message: str) -> None:
        """Send what must arrive: in its order, and later when it cannot be now."""
        self._waiting.append(message)
        self._sendWaiting()

    def _sendWaiting(self) -> None:
        while self._waiting and self._send(self._waiting[0]):
            self._waiting.popleft()

    def _send(self, message: str) -> bool:
        """Send now if that can be; says once that it cannot."""
        if self._socket is None:
            return False
        try:
            self._socket.sendto(message.encode(), self._supervisor.address)
        except OSError as error:
            if not self._troubled:
                self._log.warn("systemd cannot be told how we stand: {error}", error=error)
            self._troubled = True
            return False
        self._troubled = False
        return True


_EXTEND = f"EXTEND_TIMEOUT_USEC={int(STOP_EXTENSION * 1e6)}"
