"""The time service: asks the time servers in order, and sets the system clock by the first answer.

All its timers are the reactor's, which is monotonic: a step of the clock moves none of them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, TimeoutError
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from mm2ss.config.service_settings import NtpSettings
from mm2ss.services.ntpdecision import (
    NONCE,
    Correction,
    Refused,
    Restraint,
    Sample,
    correction,
    restraint,
)
from mm2ss.services.ntpquery import query, resolve
from mm2ss.services.systemclock import SystemClock
from mm2ss.services.timekeepers import GRACE, keeperOf

UPDATED = "Time updated at: {time} from {server}"
NO_PRIVILEGE = "No admin privilege, cannot update time."
TRYING = "Trying NTP servers to update local time .."
#: Beside the three: nothing is tried, because somebody else keeps the clock.
KEPT = "Time is kept by {keeper}, not updated here."

#: Seconds to the next round after one without a usable answer; doubled each time, never longer
#: than the interval. At boot the network is often later than we.
FIRST_RETRY = 16.0
#: Addresses of one server's name that are tried in a round.
MAX_ADDRESSES = 4
#: Servers' addresses whose wish to be left alone is remembered: names of pools give ever new ones.
MAX_RESTRAINTS = 256
#: Processes that are looked at in one turn of the reactor: a millisecond or two (20-160 us each).
PROCESSES_PER_TURN = 16


@dataclass(frozen=True)
class NtpSnapshot:
    """How the time service stands.

    :ivar status: as `NtpService.status`.
    :ivar server: the server of the last usable answer, as it is configured; empty before the first.
    :ivar address: its address.
    :ivar offset: seconds that the clock was behind it then.
    :ivar delay: seconds of the way there and back.
    :ivar stratum: of that server.
    :ivar answeredAt: second of the monotonic clock when it answered.
    :ivar updatedAt: the system clock when it was last set, in seconds since 1970.
    :ivar steps: how often the clock was stepped.
    :ivar slews: how often it was slewed.
    :ivar keeper: who else keeps the clock; empty when nobody does.
    :ivar privileged: False when the system did not let us set the clock; None when not yet tried.
    :ivar complaints: (server, reason) for those whose last answer was not usable.
    """

    status: str = TRYING
    server: str = ""
    address: str = ""
    offset: float | None = None
    delay: float | None = None
    stratum: int | None = None
    answeredAt: float | None = None
    updatedAt: float | None = None
    steps: int = 0
    slews: int = 0
    keeper: str = ""
    privileged: bool | None = None
    complaints: tuple[tuple[str, str], ...] = ()


class NtpService(Service):
    """Keeps the system clock right from its start to its stop.

    :param servers: names or addresses, in the order in which they are tried.
    :param interval: seconds from one update to the next round.
    :param reactor: monotonic time, UDP and name resolution.
    :param clock: what is set.
    :param port: where the servers are asked.
    :param random: gives so many random octets.
    """

    _log = Logger()

    def __init__(
        self,
        servers: Sequence[str],
        interval: float,
        settings: NtpSettings,
        reactor: Any,
        clock: SystemClock,
        port: int = 123,
        random: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self._servers = tuple(dict.fromkeys(servers))
        self._interval = interval
        self._settings = settings
        self._reactor = reactor
        self._clock = clock
        self._port = port
        self._random = random
        self._running: Deferred[None] | None = None
        self._begin()

    def _begin(self) -> None:
        """What each start begins with."""
        self._state = NtpSnapshot()
        self._failures = 0
        self._restraints: dict[str, Restraint] = {}
        self._complaints: dict[str, str] = {}
        self._keptSince: float | None = None
        self._trouble = ""

    @property
    def status(self) -> str:
        """How it stands, in a few words: `UPDATED`, `NO_PRIVILEGE`, `TRYING` - or `KEPT`."""
        return self._state.status

    def snapshot(self) -> NtpSnapshot:
        """How it stands, in full."""
        return replace(self._state, complaints=tuple(self._complaints.items()))

    def startService(self) -> None:
        """Begin the first round."""
        Service.startService(self)
        self._begin()
        self._running = Deferred.fromCoroutine(self._run())

    def stopService(self) -> Deferred[None] | None:
        """Give up what is under way; done when the socket is closed."""
        Service.stopService(self)
        running, self._running = self._running, None
        if running is not None:
            running.addErrback(lambda failure: failure.trap(CancelledError) and None)
            running.cancel()
        return running

    async def _run(self) -> None:
        while True:
            try:
                pause = await self._round()
            except CancelledError:
                raise
            except Exception:
                # A fault of ours: said with its traceback, and the clock is tried again later.
                self._log.failure("The time update failed", Failure())
                pause = self._interval
            await self._sleep(pause)

    def _sleep(self, seconds: float) -> Deferred[None]:
        return deferLater(self._reactor, seconds, lambda: None)

    async def _round(self) -> float:
        """Update the time if that can be; gives the seconds to wait then."""
        keeper = "" if self._settings.fight else await self._keeper()
        self._note(keeper)
        if keeper:
            return min(self._interval, GRACE)
        for server in self._servers:
            found = await self._ask(server)
            if found is not None:
                self._failures = 0
                self._update(server, *found)
                return self._interval
        self._failures += 1
        if self._state.privileged is not False:
            self._state = replace(self._state, status=TRYING)
        return float(min(self._interval, FIRST_RETRY * 2 ** min(self._failures - 1, 20)))

    # who else keeps the clock

    async def _keeper(self) -> str:
        """Look who keeps the clock, some processes in each turn of the reactor."""
        programs = set()
        for count, name in enumerate(self._clock.programs(), 1):
            if name:
                programs.add(name)
            if count % PROCESSES_PER_TURN == 0:
                await self._sleep(0)
        synchronised = self._clock.synchronised()
        now = self._reactor.seconds()
        if synchronised or not programs:
            self._keptSince = None
        elif self._keptSince is None:
            self._keptSince = now
        waited = 0.0 if self._keptSince is None else now - self._keptSince
        return keeperOf(synchronised, programs, waited)

    def _note(self, keeper: str) -> None:
        """Say once that somebody else keeps the clock, and when that has ended."""
        if keeper == self._state.keeper:
            return
        if keeper:
            self._log.warn(
                "The clock of this machine is kept by {keeper}: it is not updated from the NTP"
                " servers (ntp.fight in the service file would do it nevertheless)",
                keeper=keeper,
            )
            status = KEPT.format(keeper=keeper)
        else:
            self._log.info(
                "{keeper} does not keep the clock of this machine: it is updated from now on",
                keeper=self._state.keeper,
            )
            status = TRYING
        self._state = replace(self._state, keeper=keeper, status=status)

    # asking

    async def _ask(self, server: str) -> tuple[str, Sample] | None:
        """Ask a server at its addresses; gives the one that answered as it should."""
        reasons: dict[str, None] = {}
        addresses = await self._addresses(server)
        if not addresses:
            reasons["its name is not found"] = None
        for address in addresses[:MAX_ADDRESSES]:
            held = self._restraints.get(address)
            if held is not None and self._reactor.seconds() < held.until:
                continue
            result = await self._query(address)
            now = self._reactor.seconds()
            if isinstance(result, Sample):
                if held is not None:
                    self._restraints[address] = held.asked(now)
                if self._complaints.pop(server, None):
                    self._log.info("NTP server {server} can be used again", server=server)
                return address, result
            if result.kiss is not None:
                self._restrain(address, restraint(result.kiss, held, self._interval, now))
            reasons[result.reason] = None
        if reasons:
            self._complain(server, "; ".join(reasons))
        return None

    def _addresses(self, server: str) -> Deferred[Sequence[str]]:
        """Look a name up, no longer than for an answer; one that is not found has no addresses."""
        found = resolve(self._reactor, server, self._port)
        found.addTimeout(self._settings.timeout, self._reactor)

        def failed(failure: Failure) -> Sequence[str]:
            failure.trap(TimeoutError)
            return []

        return found.addErrback(failed)

    def _query(self, address: str) -> Coroutine[Any, Any, Sample | Refused]:
        nonce = self._random(NONCE)
        return query(self._reactor, address, self._port, nonce, self._settings, self._clock.time)

    def _restrain(self, address: str, held: Restraint) -> None:
        self._restraints.pop(address, None)
        self._restraints[address] = held
        if len(self._restraints) > MAX_RESTRAINTS:
            del self._restraints[next(iter(self._restraints))]

    def _complain(self, server: str, reason: str) -> None:
        """Say why a server is not used, unless that was the last thing said of it."""
        if self._complaints.get(server) != reason:
            self._log.warn(
                "NTP server {server} is not used: {reason}", server=server, reason=reason
            )
        self._complaints[server] = reason

    # setting

    def _update(self, server: str, address: str, sample: Sample) -> None:
        """Set the clock, if the system lets us."""
        self._state = replace(
            self._state,
            server=server,
            address=address,
            offset=sample.offset,
            delay=sample.delay,
            stratum=sample.stratum,
            answeredAt=self._reactor.seconds(),
        )
        how = correction(sample.offset, self._settings, self._clock.canSlew)
        try:
            if how is Correction.STEP:
                self._clock.step(sample.offset)
            elif how is Correction.SLEW:
                self._clock.slew(sample.offset)
        except PermissionError:
            self._denied(server, sample)
        except (OSError, OverflowError, ValueError) as error:
            self._failed(str(error))
        else:
            self._done(server, sample, how)

    def _denied(self, server: str, sample: Sample) -> None:
        if self._state.privileged is not False:
            self._log.warn(
                NO_PRIVILEGE + " The clock is {offset} s behind {server}.",
                offset=f"{sample.offset:.6f}",
                server=server,
            )
        self._state = replace(self._state, privileged=False, status=NO_PRIVILEGE)

    def _failed(self, trouble: str) -> None:
        if trouble != self._trouble:
            self._log.error("The clock cannot be set: {trouble}", trouble=trouble)
        self._trouble = trouble
        self._state = replace(self._state, status=TRYING)

    def _done(self, server: str, sample: Sample, how: Correction) -> None:
        state = self._state
        now = self._clock.time()
        isNews = (
            how is Correction.STEP
            or not state.status.endswith(f" from {server}")
            or bool(self._trouble)
        )
        say = self._log.info if isNews else self._log.debug
        say(
            "The clock was {offset} s behind {server}: {how}",
            offset=f"{sample.offset:.6f}",
            server=server,
            how=how.value,
        )
        self._trouble = ""
        local = datetime.fromtimestamp(now, timezone.utc).astimezone()
        self._state = replace(
            state,
            status=UPDATED.format(time=local.isoformat(" ", "milliseconds"), server=server),
            updatedAt=now,
            steps=state.steps + (how is Correction.STEP),
            slews=state.slews + (how is Correction.SLEW),
            privileged=state.privileged if how is Correction.LEAVE else True,
        )
