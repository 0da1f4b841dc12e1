"""What all connections of a process share of its reactor."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IReactorTime

from mm2ss.iec104.alarm import Wheel
from mm2ss.iec104.wire import Wires


class Loop:
    """The reactor's time and turns, for the connections of one process.

    :param clock: monotonic time and timers.
    :param wires: reads and writes them together; None = each reads and writes for itself.
    :ivar wheel: wakes them.
    """

    def __init__(self, clock: IReactorTime, wires: Wires | None = None) -> None:
        self.wheel = Wheel(clock) if wires is None else Wheel(clock, wires.catchUp)
        self.wires = wires

    def afterwards(self, call: Callable[[], None]) -> None:
        """Call this when what has been written is sent: a turn's end, or now."""
        if self.wires is None:
            call()
        else:
            self.wires.afterwards(call)

    def settle(self) -> None:
        """Send now what is written, and do what was put off until then."""
        if self.wires is not None:
            self.wires.send()
