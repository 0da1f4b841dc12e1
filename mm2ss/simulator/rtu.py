"""A simulated RTU: the station, its process and its event buffer behind a listening port."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, gatherResults, maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort
from twisted.logger import Logger, LogLevel

from mm2ss.config.parameters import LinkParameters
from mm2ss.iec104.alarm import Alarm, Wheel
from mm2ss.iec104.apci import CloseCause, ProtocolError, closeText
from mm2ss.iec104.link import (
    Acknowledged,
    Link,
    LinkEvent,
    Received,
    Role,
    Started,
    Stopped,
    StopRequested,
)
from mm2ss.iec104.protocol import LinkFactory, LinkProtocol
from mm2ss.simulator.outbox import Outbox
from mm2ss.simulator.process import Process
from mm2ss.simulator.station import Station

#: Seconds between attempts to use a port that was taken.
PORT_RETRY = 5.0


class SimulatedRtu(Service):
    """Listens for controlling stations and is the controlled one.

    Any number may connect, as to an RTU with a redundancy group; one of them at a time has data
    transfer started. Another one that starts it takes over, and the first is disconnected.

    :param reactor: listens, and keeps monotonic time.
    :param host: the address to listen on.
    :param port: the TCP port, 0 = any that is free.
    :param station: what answers; its resetting of events is connected to the outbox here.
    :param process: what changes the station's points by itself.
    :param outbox: keeps the events; by default a new one.
    :param parameters: windows and timers.
    :ivar listening: whether connections are accepted.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        host: str,
        port: int,
        station: Station,
        process: Process | None = None,
        outbox: Outbox | None = None,
        parameters: LinkParameters | None = None,
    ) -> None:
        self._reactor = reactor
        self._host = host
        self._wantedPort = port
        self.station = station
        self.outbox = Outbox() if outbox is None else outbox
        self._process = process
        self._parameters = parameters or LinkParameters()
        self._alarm = Alarm(Wheel(reactor), self._wake)
        self._port: IListeningPort | None = None
        self._retry: Any = None
        self._connections: set[LinkProtocol] = set()
        self._active: LinkProtocol | None = None
        station.resetEvents = self.outbox.forgetEvents

    # -- service ----------------------------------------------------------------------------

    @property
    def listening(self) -> bool:
        """Whether connections are accepted."""
        return self._port is not None

    @property
    def port(self) -> int:
        """The TCP port that is listened on; what was asked for while there is none."""
        host: Any = self._port.getHost() if self._port is not None else None
        return self._wantedPort if host is None else int(host.port)

    @property
    def connections(self) -> int:
        """How many controlling stations are connected."""
        return len(self._connections)

    def startService(self) -> None:
        """Listen; while the port is taken, say so and try again."""
        Service.startService(self)
        self._listen(noted=False)
        self._setAlarm()

    def stopService(self) -> Deferred[list[object]]:
        """Stop listening and disconnect everybody; fires when that is done."""
        Service.stopService(self)
        self._alarm.cancel()
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        pending: list[Deferred[object]] = []
        if self._port is not None:
            pending.append(maybeDeferred(self._port.stopListening))
            self._port = None
        for connection in tuple(self._connections):
            pending.append(connection.whenLost())
            connection.close(CloseCause.SHUTDOWN)
        self._alarm.cancel()
        return gatherResults(pending, consumeErrors=True)

    def change(self, address: int, value: float) -> None:
        """Change a point now, as the process does.

        :raises KeyError: when there is no such point.
        """
        self._put(self.station.change(address, value, self._reactor.seconds()))
        self._pump()

    def _listen(self, noted: bool) -> None:
        self._retry = None
        factory = LinkFactory(self._makeLink, self, self._reactor)
        try:
            self._port = self._reactor.listenTCP(self._wantedPort, factory, interface=self._host)
        except CannotListenError as error:
            if not noted:
                self._note(
                    f"port {self._wantedPort} on {self._host} cannot be used:"
                    f" {error.socketError}; tried again every {PORT_RETRY:g} s",
                    warn=True,
                )
            self._retry = self._reactor.callLater(PORT_RETRY, self._listen, True)
        else:
            self._note(f"listening on {self._host}:{self.port}")

    def _makeLink(self, now: float) -> Link:
        return Link(Role.CONTROLLED, self._parameters, now)

    # -- connections ------------------------------------------------------------------------

    def linkUp(self, connection: LinkProtocol) -> None:
        """A controlling station is connected."""
        self._connections.add(connection)
        self._note("connected", connection.peer)

    def linkDown(self, connection: LinkProtocol, cause: CloseCause, detail: str) -> None:
        """A controlling station is gone."""
        self._connections.discard(connection)
        text = "the RTU stops" if cause is CloseCause.SHUTDOWN else closeText(cause, detail)
        self._note(f"disconnected: {text}", connection.peer)
        if connection is self._active:
            self._active = None
            self.station.stopped()
            self.outbox.connectionLost()

    def linkEvents(self, connection: LinkProtocol, events: list[LinkEvent]) -> None:
        """A controlling station sent something."""
        for event in events:
            if connection not in self._connections:
                return
            active = connection is self._active
            if isinstance(event, Acknowledged) and active:
                self.outbox.acknowledged(event.count)
            elif isinstance(event, Received) and active:
                self._answer(connection, event.asdus)
            elif isinstance(event, Started):
                self._start(connection)
            elif isinstance(event, StopRequested) and active:
                self.outbox.close()
                self.station.stopped()
            elif isinstance(event, Stopped) and active:
                self._active = None
                self._note("data transfer stopped", connection.peer)
        self._pump()

    def _start(self, connection: LinkProtocol) -> None:
        before, self._active = self._active, connection
        if before is not None and before is not connection:
            self._active = before  # it is told as the one that goes
            before.close(CloseCause.REPLACED, f"{connection.peer} started data transfer")
            self._active = connection
        self._note("data transfer started", connection.peer)
        link = connection.link
        self.outbox.open(link.sent - link.outstanding)
        self._put(self.station.started())

    def _answer(self, connection: LinkProtocol, asdus: list[bytes]) -> None:
        now = self._reactor.seconds()
        try:
            for asdu in asdus:
                self._put(self.station.receive(asdu, now))
        except ProtocolError as error:
            connection.close(error.cause, str(error))
            return
        if self.outbox.overrun:
            connection.close(CloseCause.TOO_SLOW, "too many answers wait to be acknowledged")

    # -- sending and time -------------------------------------------------------------------

    def _put(self, asdus: Iterable[bytes]) -> None:
        before = self.outbox.lost
        self.outbox.put(asdus)
        if self.outbox.lost and not before:
            self._note("the event buffer is full: the oldest events are lost", warn=True)

    def _pump(self) -> None:
        """Send what the window allows."""
        connection = self._active
        if connection is not None and connection.conduit.window and self.outbox:
            connection.send(self.outbox.take(connection.conduit.window))
        self._setAlarm()

    def _wake(self) -> None:
        now = self._reactor.seconds()
        self._put(self.station.wake(now))
        if self._process is not None:
            for address, value in self._process.advance(now):
                self._put(self.station.change(address, value, now))
        self._pump()

    def _setAlarm(self) -> None:
        if self.running:
            ahead = self.station.deadline
            if self._process is not None:
                ahead = min(ahead, self._process.deadline)
            self._alarm.set(ahead)

    def _note(self, text: str, peer: str = "-", warn: bool = False) -> None:
        self._log.emit(
            LogLevel.warn if warn else LogLevel.info,
            "{text}",
            text=text,
            peer=peer,
            log_system=f"RTU {self.station.commonAddress} {peer}",
        )
