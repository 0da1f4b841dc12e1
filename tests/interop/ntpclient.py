"""The time service as a program, whose clock it is safe to run: for the tests.

    python -m tests.interop.ntpclient '{"servers": ["127.0.0.1"], "port": 11123, "error": 3600}'

It ends after the first answer and prints a JSON object: the status, the snapshot and what was set.
With ``user`` it gives up root first and takes the real clock of the system; without, the setter is
replaced, and the clock that the service sees is wrong by ``error`` seconds.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater, react

from mm2ss.config.service_settings import NtpSettings
from mm2ss.services.ntp import TRYING, NtpService
from mm2ss.services.systemclock import SystemClock, systemClock

CAP_SYS_TIME = 25
#: Seconds until it gives up.
PATIENCE = 20.0


class WrongClock:
    """The system's clock plus an error; to set it changes the error."""

    canSlew = True

    def __init__(self, error: float) -> None:
        self.error = error
        self.calls: list[tuple[str, float]] = []

    def time(self) -> float:
        """The wrong time."""
        return time.time() + self.error

    def step(self, offset: float) -> None:
        """Step the error."""
        self.calls.append(("step", offset))
        self.error += offset

    def slew(self, offset: float) -> None:
        """Slew it, at once."""
        self.calls.append(("slew", offset))
        self.error += offset

    def synchronised(self) -> bool | None:
        """Nobody keeps it."""
        return False

    def programs(self) -> Iterator[str]:
        """Nobody."""
        return iter(())


def giveUpRoot(user: int) -> None:
    """Become somebody who cannot set the clock, or end here: the machine's clock is not ours.

    :raises SystemExit: when the clock could be set nevertheless.
    """
    if sys.platform != "win32":
        if os.geteuid() == 0:
            os.setgroups([])
            os.setgid(user)
            os.setuid(user)
        with open("/proc/self/status") as lines:
            granted = [int(line.split()[1], 16) for line in lines if line.startswith("CapEff")]
        if os.geteuid() != 0 and not granted[0] >> CAP_SYS_TIME & 1:
            return
    raise SystemExit("this process may set the clock")


def main(reactor: Any, text: str) -> Deferred[None]:
    """Run the service until the first answer."""
    options = json.loads(text)
    clock: SystemClock = WrongClock(options.get("error", 0))
    if "user" in options:
        giveUpRoot(options["user"])
        clock = systemClock()
    reactor.seconds = time.monotonic
    settings = NtpSettings(**{"fight": True, **options.get("settings", {})})
    service = NtpService(
        options["servers"], options.get("interval", 900), settings, reactor, clock, options["port"]
    )

    async def run() -> None:
        service.startService()
        end = reactor.seconds() + options.get("seconds", PATIENCE)
        while service.status == TRYING and reactor.seconds() < end:
            await deferLater(reactor, 0.01, lambda: None)
        state = service.snapshot()
        await service.stopService()  # type: ignore[misc]  # it runs, so there is something to stop
        calls = clock.calls if isinstance(clock, WrongClock) else None
        print(json.dumps({**asdict(state), "calls": calls}))

    return Deferred.fromCoroutine(run())


if __name__ == "__main__":
    react(main, sys.argv[1:])
