"""The Manhole: an SSH shell into the running service, for public keys only.

Whoever is in owns the process, for the shell is Python within it.
"""

from __future__ import annotations

from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, gatherResults, maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IDelayedCall, IListeningPort
from twisted.logger import Logger

from mm2ss import __version__
from mm2ss.config.service_settings import ManholeSettings
from mm2ss.services.authorizedkeys import AuthorizedKeys
from mm2ss.services.hostkeys import HostKeyError, fingerprint, hostKeys
from mm2ss.services.inspection import Desk, Inspected
from mm2ss.services.sshserver import ShellFactory

#: Seconds between attempts to listen on a port that was taken.
PORT_RETRY = 10.0


class ManholeService(Service):
    """Listens from its start to its stop. Whatever is wrong with it, the groups run on.

    :param folder: absolute path of the folder for the host keys; made at the start.
    :param inspected: what the shell can look at.
    :param reactor: listens, and keeps (monotonic) time.
    """

    _log = Logger()

    def __init__(
        self, settings: ManholeSettings, folder: str, inspected: Inspected, reactor: Any
    ) -> None:
        self._settings = settings
        self._folder = folder
        self._inspected = inspected
        self._reactor = reactor
        self._factory = ShellFactory(
            AuthorizedKeys(str(settings.authorizedKeys)),
            self._enter,
            reactor,
            settings.maxSessions,
            settings.idleTimeout,
        )
        self._port: IListeningPort | None = None
        self._retry: IDelayedCall | None = None
        self._started = 0.0

    def startService(self) -> None:
        """Read the host keys, which are made at the first start, and listen."""
        Service.startService(self)
        self._started = self._reactor.seconds()
        try:
            keys, made = hostKeys(self._folder)
        except HostKeyError as error:
            self._log.error("There is no Manhole: {error}", error=error)
            return
        for path in made:
            self._log.info("Manhole: made the host key {path}", path=path)
        for key in keys:
            name = key.sshType().decode("ascii")
            self._log.info("Manhole: host key {name} {print}", name=name, print=fingerprint(key))
        self._factory.setHostKeys(keys)
        self._listen(noted=False)

    def stopService(self) -> Deferred[Any]:
        """Close all sessions; fires when nothing is left."""
        Service.stopService(self)
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        port, self._port = self._port, None
        closed = maybeDeferred(port.stopListening) if port is not None else None
        hungUp = self._factory.hangUp("the relay stops")
        return gatherResults([each for each in (closed, hungUp) if each is not None])

    def _listen(self, noted: bool) -> None:
        """Listen; while the port is taken, say so once and try again."""
        self._retry = None
        where = str(self._settings.listen)
        try:
            self._port = self._reactor.listenTCP(
                self._settings.port, self._factory, interface=where
            )
        except CannotListenError as error:
            if not noted:
                self._log.error(
                    "Manhole: {where} port {port} cannot be used: {error}; tried again every"
                    " {seconds:g} s",
                    where=where,
                    port=self._settings.port,
                    error=error.socketError,
                    seconds=PORT_RETRY,
                )
            self._retry = self._reactor.callLater(PORT_RETRY, self._listen, noted=True)
        else:
            self._log.info(
                "Manhole: {where} port {port} is open", where=where, port=self._settings.port
            )

    def _enter(self, operator: str) -> tuple[dict[str, Any], str]:
        """What one who has logged in finds, and is told."""
        desk = Desk(self._inspected, operator, self._started)
        count = len(self._inspected.fleet.numbers)
        greeting = f"mm2ss {__version__}, {count} groups. help() says what can be asked.\n"
        return desk.namespace(), greeting
