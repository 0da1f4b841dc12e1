"""Keeps the garbage collector from stopping the relay for long.

Python frees what nobody refers to at once. The collector is for the rest: objects in a circle, of
which the relay makes next to none (a connection that is lost leaves none of its own, Twisted's part
of one to an RTU leaves six small objects). But each full collection looks at every object of the
process, and stands still meanwhile. With 2 000 groups that was half a second at the start and
again when all their RTUs came back. So what is there to stay is taken out of its sight, and it
looks more seldom for what is young. docs/scale.md has the figures.
"""

from __future__ import annotations

import gc
from typing import Any

from twisted.application.service import Service
from twisted.internet.interfaces import IDelayedCall

#: Objects that come without going before the young ones are looked at (Python: 700); times that
#: this is done before the middle-aged are, and that before all are. It costs some MB: so much may
#: wait in circles for its end.
THRESHOLDS = (10_000, 10, 10)


class MemoryService(Service):
    """Adjusts the garbage collector while it runs.

    :param reactor: timers.
    """

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._before = gc.get_threshold()
        self._call: IDelayedCall | None = None

    def startService(self) -> None:
        """Collect seldom; what has been made when all services have started is there to stay."""
        Service.startService(self)
        self._before = gc.get_threshold()
        gc.set_threshold(*THRESHOLDS)
        self._call = self._reactor.callLater(0, self._begun)

    def stopService(self) -> None:
        """Leave the collector as it was."""
        Service.stopService(self)
        if self._call is not None:
            self._call.cancel()
            self._call = None
        gc.set_threshold(*self._before)
        gc.unfreeze()

    def settleSoon(self) -> None:
        """Much has been made, or has gone, that was there to stay: look at it once more, in a turn
        of its own, and then no more."""
        if self.running and self._call is None:
            self._call = self._reactor.callLater(0, self._settle)

    def _begun(self) -> None:
        self._call = None
        gc.collect(1)  # of what has just been made next to nothing has gone in circles
        gc.freeze()

    def _settle(self) -> None:
        self._call = None
        gc.unfreeze()  # some of it may have gone since, in circles
        gc.collect()
        gc.freeze()
