"""``python -m mm2ss.simulator.demo``: the relay, its built-in RTU and two masters on the screen.

``DEMO_SECONDS=10`` in the environment makes it end by itself, that many seconds after both masters
have started data transfer, with exit status 0 if data came to both and a command was confirmed.
"""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Callable, Coroutine, Mapping
from datetime import datetime
from functools import partial
from itertools import cycle
from typing import Any, Final

from twisted.internet.defer import CancelledError, Deferred, TimeoutError, gatherResults
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import deferLater, react
from twisted.python.failure import Failure

from mm2ss.relay.endpoints import portProblem
from mm2ss.simulator.builtin import MASTERS_ADDRESS, demoHost, demoPort
from mm2ss.simulator.child import RelayProcess
from mm2ss.simulator.master import DemoMaster, NotConnected, Refused, Unanswered
from mm2ss.simulator.plant import plantPoints
from mm2ss.simulator.tour import (
    lookAround,
    operateBreaker,
    readCounters,
    setVoltage,
    switchLighting,
)

#: Environment variable: seconds after which the demo ends by itself.
DEMO_SECONDS: Final = "DEMO_SECONDS"
#: Seconds that the relay may take to come up and both masters to start.
START_TIME: Final = 30.0
#: Seconds between the commands, for the eye; and between two rounds of them.
_STEP: Final = 1.0
_ROUND: Final = 15.0

_Action = Callable[[DemoMaster], Coroutine[Any, Any, None]]


class Screen:
    """Prints lines in columns: seconds, who, direction, what happened, to what."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    def line(self, who: str, arrow: str, what: str, detail: str) -> None:
        """One line."""
        seconds = time.monotonic() - self._began
        text = f"{seconds:6.2f} s  {who:<5}  {arrow:<2}  {what:<13}  {detail}"
        print(text.rstrip(), flush=True)

    def say(self, text: str) -> None:
        """A line of the demo's own."""
        self.line("demo", "==", "", text)

    def relay(self, system: str, text: str) -> None:
        """A line of the relay's log; what is neither of the group nor of the RTU stays unsaid."""
        source, _, peer = system.rpartition(" ")
        who = "relay" if source.startswith("1 ") else "RTU" if source.startswith("RTU ") else ""
        if who:
            self.line(who, "--", "", text if peer == "-" else f"{text}  [{peer}]")


class Demo:
    """The relay's process and two masters.

    :param reactor: everything of Twisted.
    :param screen: shows what happens.
    :param seconds: how long it is to go on; None = until it is interrupted.
    :ivar ended: fires when nothing of it is left.
    """

    def __init__(self, reactor: Any, screen: Screen, seconds: float | None) -> None:
        self._reactor = reactor
        self._screen = screen
        self._seconds = seconds
        self._relay = RelayProcess(reactor, screen.relay)
        self._masters: dict[str, DemoMaster] = {}
        self._timer: IDelayedCall | None = None
        self._over: Deferred[str] = Deferred()
        self._interrupted = False
        self.ended: Deferred[None] = Deferred()

    async def run(self) -> str:
        """All of it, until its time is over or it is interrupted.

        :returns: what went wrong; empty when nothing did.
        """
        show: Deferred[None] | None = None
        try:
            port = choosePort(self._screen)
            self._relay.start(port)
            self._relay.whenEnded().addCallback(self._relayEnded)
            show = Deferred.fromCoroutine(self._show(port))
            show.addErrback(self._showFailed)
            problem = await self._over
        finally:
            if show is not None:
                show.cancel()
            if self._timer is not None and self._timer.active():
                self._timer.cancel()
            await self._close()
            self.ended.callback(None)
        self._summary()
        return problem or self._verdict()

    def interrupt(self) -> Deferred[None]:
        """End it now; fires as `ended`."""
        self._interrupted = True
        self._finish("")
        return self.ended

    # -- its end ----------------------------------------------------------------------------

    def _finish(self, problem: str) -> None:
        if not self._over.called:
            self._over.callback(problem)

    def _relayEnded(self, how: str) -> None:
        if not self._over.called:
            tail = "\n  ".join(self._relay.tail)
            self._finish(f"the relay has ended by itself ({how}); its last lines:\n  {tail}")

    def _showFailed(self, failure: Failure) -> None:
        if not failure.check(CancelledError):
            self._finish(failure.getTraceback())

    async def _close(self) -> None:
        """The masters go first, so that the relay can stop its RTU in order."""
        try:
            await gatherResults([master.stopService() for master in self._masters.values()])
        finally:
            await self._relay.stop()

    def _summary(self) -> None:
        for name, master in self._masters.items():
            self._screen.say(
                f"{name} has received {master.data} telegrams with data; {master.confirmed} of"
                f" its requests were confirmed, {master.commands} of them commands"
            )

    def _verdict(self) -> str:
        """What is missing of what was to be shown."""
        if self._seconds is None:
            return ""
        if self._interrupted:
            return f"interrupted before its {self._seconds:g} s were over"
        for name, master in self._masters.items():
            if not master.data:
                return f"no data came to {name}"
            if master.unasked:
                return f"{name} received {master.unasked} answers to what it had not asked"
        if not any(master.commands for master in self._masters.values()):
            return "no command was confirmed"
        return ""

    # -- what it shows ----------------------------------------------------------------------

    async def _show(self, port: int) -> None:
        names = plantPoints().name
        for name in ("M1", "M2"):
            tell = partial(self._screen.line, name)
            master = DemoMaster(self._reactor, MASTERS_ADDRESS, port, tell, names)
            self._masters[name] = master
            master.startService()
        started = gatherResults([master.whenStarted() for master in self._masters.values()])
        try:
            await started.addTimeout(START_TIME, self._reactor)
        except TimeoutError:
            self._finish(f"the masters could not start data transfer within {START_TIME:g} s")
            return
        if self._seconds is not None:
            self._timer = self._reactor.callLater(self._seconds, self._finish, "")
        await self._try("M1", lookAround(self._masters["M1"], datetime.now()))
        await self._try("M2", readCounters(self._masters["M2"]))
        for kilovolts in cycle((112.5, 108.0)):
            await self._commands(kilovolts)
            self._screen.say(f"spontaneous data only, then again in {_ROUND:g} s")
            await self._pause(_ROUND)

    async def _commands(self, kilovolts: float) -> None:
        """A round of commands, from both masters in turn."""
        await self._command("M1", lambda master: switchLighting(master, True), 101, 1)
        await self._command("M1", lambda master: operateBreaker(master, False), 201, 1)
        await self._command("M2", lambda master: setVoltage(master, kilovolts), 521, kilovolts)
        await self._command("M2", lambda master: operateBreaker(master, True), 201, 2)
        await self._command("M1", lambda master: switchLighting(master, False), 101, 0)

    async def _command(self, name: str, command: _Action, target: int, value: float) -> None:
        """One master commands; say what all of them then know."""
        await self._pause(_STEP)
        masters = self._masters.values()
        unasked = [master.unasked for master in masters]
        if not await self._try(name, command(self._masters[name])):
            return
        await self._pause(_STEP / 4)
        alone = unasked == [master.unasked for master in masters]
        seen = [each for each, master in self._masters.items() if master.seen.get(target) == value]
        self._screen.say(
            f"{name}'s command was answered to {name}{' alone' if alone else ' AND OTHERS'};"
            f" its effect was seen by {' and '.join(seen) or 'NOBODY'}"
        )

    async def _try(self, name: str, action: Coroutine[Any, Any, None]) -> bool:
        """Do something that may come to nothing; whether it was done."""
        try:
            await action
        except (Refused, NotConnected, Unanswered) as problem:
            self._screen.say(f"{name}: {problem}")
            return False
        return True

    async def _pause(self, seconds: float) -> None:
        await deferLater(self._reactor, seconds)


def choosePort(screen: Screen) -> int:
    """The masters' port: the wanted one, else one that is free.

    :raises SystemExit: when there is none, or no address for the RTU.
    """
    wanted = demoPort()
    problem = _problemWith(wanted)
    if not problem:
        return wanted
    for _ in range(50):
        with socket.socket() as probe:
            probe.bind((MASTERS_ADDRESS, 0))
            port = int(probe.getsockname()[1])
        if port < 65535 and not _problemWith(port):
            screen.say(f"{problem}; taking port {port} instead")
            return port
    raise SystemExit(f"demo: {problem}, and no free port was found")


def _problemWith(port: int) -> str:
    """Why the relay and its RTU cannot have this port and the next; empty when they can."""
    return portProblem([MASTERS_ADDRESS], port) or portProblem([demoHost()], port + 1)


def demoSeconds(environment: Mapping[str, str] = os.environ) -> float | None:
    """How long the demo is to go on; None = until it is interrupted.

    :raises SystemExit: when ``DEMO_SECONDS`` is anything but a number above 0.
    """
    text = environment.get(DEMO_SECONDS, "").strip()
    if not text:
        return None
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0
    if not 0 < seconds <= 1e6:
        raise SystemExit(f"demo: {DEMO_SECONDS} is {text!r}, not a number of seconds")
    return seconds


async def main(reactor: Any) -> None:
    """Run the demo.

    :raises SystemExit: with status 1 when it has not shown what it is to show.
    """
    # As in the relay: a clock that is stepped must not fire or freeze timers.
    setattr(reactor, "seconds", time.monotonic)  # noqa: B010  # mypy forbids to assign a method
    screen = Screen()
    seconds = demoSeconds()
    end = "Ctrl-C ends it" if seconds is None else f"it ends {seconds:g} s after both have started"
    screen.say(f"one relay with a built-in RTU, two masters M1 and M2; {end}")
    screen.say("-> sent, <- received, -- the connection, == what it means")
    demo = Demo(reactor, screen, seconds)
    reactor.addSystemEventTrigger("before", "shutdown", demo.interrupt)
    problem = await demo.run()
    if problem:
        print(f"demo: FAILED: {problem}", file=sys.stderr, flush=True)
        raise SystemExit(1)
    screen.say("ended; nothing is left running")


if __name__ == "__main__":
    react(main)
