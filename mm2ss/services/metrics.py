"""Figures for Prometheus: ``/metrics`` on a port of its own, made when somebody asks."""

from __future__ import annotations

from typing import Any, Protocol

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from twisted.application.service import IService, MultiService
from twisted.internet.defer import CancelledError, Deferred, gatherResults, maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IAddress, IDelayedCall, IListeningPort
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.python.failure import Failure
from twisted.web.http import INTERNAL_SERVER_ERROR, NOT_ALLOWED
from twisted.web.pages import notFound
from twisted.web.resource import IResource, Resource
from twisted.web.server import NOT_DONE_YET, Request, Site

from mm2ss.config.service_settings import MetricsSettings
from mm2ss.relay.snapshot import GroupSnapshot
from mm2ss.services.exposition import Page
from mm2ss.services.groupmetrics import FAMILIES
from mm2ss.services.looplag import LoopLag
from mm2ss.services.processmetrics import Sources, processRegistry

#: Groups that are looked at in one turn of the reactor: some milliseconds, then the connections
#: have their turn.
GROUPS_PER_TURN = 25
#: Connections at a time: each may have one page that it has not read yet, and one of 2000 groups
#: has 13 MB.
CONNECTIONS_MAX = 16
#: Seconds after which an idle connection is closed.
IDLE_TIME = 120
#: Seconds between attempts to use a port that is taken.
PORT_RETRY = 5.0


class Groups(Protocol):
    """Where the groups' figures come from."""

    @property
    def numbers(self) -> list[int]:
        """The groups' numbers."""

    def snapshot(self, number: int) -> GroupSnapshot:
        """A group's figures.

        :raises KeyError: there is no such group any more.
        """


class _Place(Resource):
    """Has only the children that it was given; for all others there is status 404."""

    def __init__(self) -> None:
        Resource.__init__(self)

    def getChild(self, path: bytes, request: Request) -> IResource:
        """What is at a path that nobody knows."""
        return notFound()


class MetricsResource(_Place):
    """The page. Who asks while it is being made gets the same one.

    :param groups: whose figures it shows.
    :param registry: what else it shows.
    :param clock: gives the connections their turn.
    """

    _log = Logger()

    def __init__(self, groups: Groups, registry: CollectorRegistry, clock: Any) -> None:
        _Place.__init__(self)
        self._groups = groups
        self._registry = registry
        self._clock = clock
        self._waiting: list[Request] = []
        self._making: Deferred[None] | None = None

    def render(self, request: Request) -> bytes | int:
        """Answer the methods that only look. (Twisted's own refusal warns of itself.)"""
        if request.method in (b"GET", b"HEAD"):
            answer: bytes | int = Resource.render(self, request)
            return answer
        request.setHeader(b"allow", b"GET, HEAD")
        request.setResponseCode(NOT_ALLOWED)
        return b"there is nothing to change here\n"

    def render_HEAD(self, request: Request) -> bytes:
        """The type, without making a page."""
        self._announce(request)
        return b""

    def render_GET(self, request: Request) -> int:
        """The page, when it is made."""
        self._waiting.append(request)
        request.notifyFinish().addErrback(lambda _: self._waiting.remove(request))
        if self._making is None:
            self._making = Deferred.fromCoroutine(self._make())
            self._making.addErrback(self._failed)
        return NOT_DONE_YET

    def stop(self) -> None:
        """Give up what is being made."""
        if self._making is not None:
            self._making.cancel()

    def _announce(self, request: Request) -> None:
        request.setHeader(b"content-type", CONTENT_TYPE_PLAIN_0_0_4.encode("ascii"))

    async def _make(self) -> None:
        """Make the page, some groups in each turn of the reactor."""
        page = Page(FAMILIES)
        numbers = self._groups.numbers
        for start in range(0, len(numbers), GROUPS_PER_TURN):
            await deferLater(self._clock, 0)
            page.add(self._snapshots(numbers[start : start + GROUPS_PER_TURN]))
        await deferLater(self._clock, 0)
        text = generate_latest(self._registry) + page.render()
        for request in self._end():
            self._announce(request)
            request.setHeader(b"content-length", str(len(text)).encode("ascii"))
            request.write(text)
            request.finish()

    def _snapshots(self, numbers: list[int]) -> list[GroupSnapshot]:
        """What there is of these groups; a reload may have taken some away."""
        found = []
        for number in numbers:
            try:
                found.append(self._groups.snapshot(number))
            except KeyError:
                continue
        return found

    def _failed(self, failure: Failure) -> None:
        if not failure.check(CancelledError):
            self._log.failure("The metrics cannot be made", failure)
        for request in self._end():
            request.setResponseCode(INTERNAL_SERVER_ERROR)
            request.write(b"the metrics cannot be made; twistd's log says why\n")
            request.finish()

    def _end(self) -> list[Request]:
        """Who is to be answered; the next one begins a new page."""
        self._making = None
        waiting, self._waiting = self._waiting, []
        return waiting


class _Quiet(Site):
    """No line for each scrape in twistd's log."""

    noisy = False

    def __init__(self, resource: Resource, clock: Any) -> None:
        Site.__init__(self, resource, timeout=IDLE_TIME, reactor=clock)

    def log(self, request: object) -> None:
        """Say nothing."""


class _Bounded(WrappingFactory):
    """Knows its connections, and lets not too many in."""

    noisy = False

    def __init__(self, site: Site) -> None:
        super().__init__(site)  # type: ignore[no-untyped-call]  # Twisted has no types there

    def buildProtocol(self, addr: IAddress | None) -> ProtocolWrapper | None:  # type: ignore[override]  # a factory may refuse
        full = len(self.protocols) >= CONNECTIONS_MAX
        return None if full else WrappingFactory.buildProtocol(self, addr)


class MetricsService(MultiService):
    """Serves ``/metrics`` from its start to its stop.

    :param groups: whose figures are shown.
    :param sources: of the figures that are no group's.
    :param settings: where it listens.
    :param reactor: listens and keeps time.
    """

    _log = Logger()

    def __init__(
        self,
        groups: Groups,
        sources: Sources,
        settings: MetricsSettings,
        reactor: Any,
    ) -> None:
        MultiService.__init__(self)
        lag = LoopLag(reactor)
        IService(lag).setServiceParent(self)
        registry = processRegistry(sources, lambda: len(groups.numbers), lag)
        self._settings = settings
        self._reactor = reactor
        self._resource = MetricsResource(groups, registry, reactor)
        root = _Place()
        root.putChild(b"metrics", self._resource)
        self._factory = _Bounded(_Quiet(root, reactor))
        self._port: IListeningPort | None = None
        self._retrying: IDelayedCall | None = None

    def startService(self) -> None:
        """Listen. A port that is taken is said once, and tried again: relaying goes on without."""
        MultiService.startService(self)
        self._listen(isNews=True)

    def stopService(self) -> Deferred[Any]:
        """Stop listening, end all connections; fires when the port is free."""
        pending: list[Deferred[Any]] = [maybeDeferred(MultiService.stopService, self)]
        if self._retrying is not None:
            self._retrying.cancel()
            self._retrying = None
        self._resource.stop()
        for connection in list(self._factory.protocols):
            connection.transport.abortConnection()
        port, self._port = self._port, None
        if port is not None:
            pending.append(maybeDeferred(port.stopListening))
        return gatherResults(pending)

    def _listen(self, isNews: bool) -> None:
        self._retrying = None
        host, number = str(self._settings.listen), self._settings.port
        try:
            self._port = self._reactor.listenTCP(number, self._factory, interface=host)
        except CannotListenError as error:
            if isNews:
                self._log.warn(
                    "Metrics: port {port} on {host} cannot be used: {error}. Each instance needs a"
                    " metrics.port of its own. It is tried again every {seconds} s.",
                    port=number,
                    host=host,
                    error=error.socketError,
                    seconds=f"{PORT_RETRY:g}",
                )
            self._retrying = self._reactor.callLater(PORT_RETRY, self._listen, False)
            return
        self._log.info(
            "Metrics are at http://{host}:{port}/metrics",
            host=f"[{host}]" if ":" in host else host,
            port=number,
        )
