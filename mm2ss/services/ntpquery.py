"""One question to one time server: a datagram there, and the datagram back that answers it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from ipaddress import ip_address
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IAddress, IHostResolution, IResolutionReceiver
from twisted.internet.protocol import DatagramProtocol
from zope.interface import implementer

from mm2ss.config.service_settings import NtpSettings
from mm2ss.services.ntpdecision import Question, Refused, Sample, judge

#: Seconds that wall clock and monotonic clock may differ while an answer is under way: slewing
#: does not reach it, and somebody who sets the clock meanwhile seldom misses it.
MAX_DISTURBANCE = 0.05


class NtpQuery(DatagramProtocol):
    """Asks once. The socket is not connected: then no ICMP message can end the reactor's reading
    of it with a traceback. Who answers is looked at here.

    :param address: the server's, a literal.
    :param wallTime: the system clock.
    :param seconds: the monotonic clock.
    """

    noisy = False

    def __init__(
        self,
        address: str,
        port: int,
        settings: NtpSettings,
        wallTime: Callable[[], float],
        seconds: Callable[[], float],
    ) -> None:
        self._address = address
        self._port = port
        self._settings = settings
        self._wallTime = wallTime
        self._seconds = seconds
        self._question: Question | None = None
        self._sentAt = 0.0
        self._answer: Deferred[Sample | Refused] | None = None

    def ask(self, nonce: bytes) -> Deferred[Sample | Refused]:
        """Send the question; the result comes with the answer, or never: who asks sets a limit.

        :raises OSError: when there is no way to the server.
        """
        assert self.transport is not None, "it is made by listenUDP"
        answer: Deferred[Sample | Refused] = Deferred()
        self._answer = answer
        self._question = Question(nonce, self._wallTime())
        self._sentAt = self._seconds()
        self.transport.write(self._question.encode(), (self._address, self._port))
        return answer

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        """Take what answers the question, and ignore the rest."""
        if self._question is None or self._answer is None or not self._isServer(addr):
            return
        elapsed = self._seconds() - self._sentAt
        result = judge(datagram, self._question, elapsed, self._settings)
        if result is None:
            return
        disturbance = self._wallTime() - self._question.sentAt - elapsed
        if isinstance(result, Sample) and abs(disturbance) > MAX_DISTURBANCE:
            result = Refused("the clock was set by somebody while the answer was under way")
        answer, self._answer = self._answer, None
        answer.callback(result)

    def _isServer(self, addr: Any) -> bool:
        """Whether a datagram comes from whom we asked; zones of IPv6 addresses do not count."""
        host, port = addr[:2]
        try:
            source = ip_address(host.partition("%")[0])
        except ValueError:
            return False
        return bool(port == self._port and source == ip_address(self._address.partition("%")[0]))


async def query(
    reactor: Any,
    address: str,
    port: int,
    nonce: bytes,
    settings: NtpSettings,
    wallTime: Callable[[], float],
) -> Sample | Refused:
    """Ask the server at a literal address once, from a port of its own that is closed again."""
    protocol = NtpQuery(address, port, settings, wallTime, reactor.seconds)
    try:
        udp = reactor.listenUDP(0, protocol, interface="::" if ":" in address else "")
    except CannotListenError as error:
        return Refused(f"no socket: {error.socketError}")
    try:
        answer = protocol.ask(nonce)
        answer.addTimeout(
            settings.timeout,
            reactor,
            lambda _, seconds: Refused(f"no answer within {seconds:g} s"),
        )
        return await answer
    except OSError as error:
        return Refused(f"cannot be asked: {error.strerror or error}")
    finally:
        await maybeDeferred(udp.stopListening)


@implementer(IResolutionReceiver)
class _Addresses:
    """Collects what a name resolver finds, in its order."""

    def __init__(self) -> None:
        self.done: Deferred[Sequence[str]] = Deferred()
        self._found: list[str] = []

    def resolutionBegan(self, resolutionInProgress: IHostResolution) -> None:
        """Nothing to do."""

    def addressResolved(self, address: IAddress) -> None:
        """Take one address."""
        host = getattr(address, "host", None)
        if isinstance(host, str) and host not in self._found:
            self._found.append(host)

    def resolutionComplete(self) -> None:
        """That is all."""
        self.done.callback(self._found)


def resolve(reactor: Any, name: str, port: int) -> Deferred[Sequence[str]]:
    """The addresses of a server, by the reactor's resolver; of a literal address, that itself."""
    try:
        ip_address(name)
    except ValueError:
        receiver = _Addresses()
        reactor.nameResolver.resolveHostName(receiver, name, port, transportSemantics="UDP")
        return receiver.done
    return succeed([name])
