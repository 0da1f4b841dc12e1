"""The system's clock: to read, to step and to slew it, and to see whether somebody else keeps it.

Only what is here ever sets the clock of the machine; the tests replace it.
"""

from __future__ import annotations

import ctypes
import sys
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Protocol

from mm2ss.services.timekeepers import runningPrograms

#: The kernel's "nobody disciplines this clock" in ``timex.status`` (STA_UNSYNC).
STA_UNSYNC = 0x0040
#: Most seconds that ``adjtime`` takes: the C library counts microseconds in 32 bits.
MAX_SLEW = 2000.0
#: Windows' answers to who may not set the clock: access denied, privilege not held.
NO_PRIVILEGE = frozenset({5, 1314})


class SystemClock(Protocol):
    """What the time service needs of the system.

    :ivar canSlew: whether `slew` can be used.
    """

    canSlew: bool

    def time(self) -> float:
        """Seconds since 1970."""

    def step(self, offset: float) -> None:
        """Set the clock forward by so many seconds (back, if negative), at once.

        :raises PermissionError: without the privilege.
        :raises OSError: when the system does not take the time.
        """

    def slew(self, offset: float) -> None:
        """Let the clock run faster or slower until so many seconds are made up for; never back.

        What is left of an earlier slew is forgotten. Raises as `step` does.
        """

    def synchronised(self) -> bool | None:
        """Whether the system says that a program keeps its clock; None when it does not say."""

    def programs(self) -> Iterator[str]:
        """Look for programs that keep clocks, one process with each step ("" = it is none)."""


class _Timeval(ctypes.Structure):
    """``struct timeval``."""

    _fields_ = (("seconds", ctypes.c_long), ("microseconds", ctypes.c_long))


class _Timex(ctypes.Structure):
    """The beginning of Linux's ``struct timex``, and more room than its rest needs."""

    _fields_ = (
        ("modes", ctypes.c_int),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_byte * 512),
    )


class _SystemTime(ctypes.Structure):
    """Windows' ``SYSTEMTIME``, in UTC."""

    _fields_ = tuple(
        (name, ctypes.c_uint16)
        for name in ("year", "month", "weekday", "day", "hour", "minute", "second", "millisecond")
    )


def timeval(offset: float) -> tuple[int, int]:
    """Whole seconds (rounded down) and microseconds of an offset that `MAX_SLEW` limits."""
    return divmod(round(max(-MAX_SLEW, min(MAX_SLEW, offset)) * 1_000_000), 1_000_000)


def systemTime(seconds: float) -> tuple[int, ...]:
    """Seconds since 1970 as the fields of a ``SYSTEMTIME``; Sunday is weekday 0.

    :raises OverflowError: for a time that no calendar has.
    """
    when = datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(milliseconds=round(seconds * 1000))
    return (
        when.year,
        when.month,
        when.isoweekday() % 7,
        when.day,
        when.hour,
        when.minute,
        when.second,
        when.microsecond // 1000,
    )


if sys.platform == "win32":

    class WindowsClock:
        """Windows: ``SetSystemTime``, which knows steps only. Never tried on a real Windows."""

        canSlew = False

        def time(self) -> float:
            """Seconds since 1970."""
            return time.time()

        def step(self, offset: float) -> None:
            """Set the clock, to the millisecond."""
            fields = _SystemTime(*systemTime(time.time() + offset))
            kernel = ctypes.WinDLL("kernel32", use_last_error=True)
            if not kernel.SetSystemTime(ctypes.byref(fields)):
                code = ctypes.get_last_error()
                if code in NO_PRIVILEGE:
                    raise PermissionError(code, ctypes.FormatError(code))
                raise ctypes.WinError(code)

        def slew(self, offset: float) -> None:
            """Windows cannot."""
            raise OSError("the clock cannot be slewed here")

        def synchronised(self) -> bool | None:
            """Windows' own time service is not asked; docs/time.md says how to stop it."""
            return None

        def programs(self) -> Iterator[str]:
            """Nobody is looked for."""
            return iter(())

    def systemClock() -> SystemClock:
        """The clock of this machine."""
        return WindowsClock()

else:

    class PosixClock:
        """Linux, and others with ``clock_settime`` and ``adjtime``."""

        def __init__(self) -> None:
            self._library = ctypes.CDLL(None, use_errno=True)
            self.canSlew = hasattr(self._library, "adjtime")

        def time(self) -> float:
            """Seconds since 1970."""
            return time.time()

        def step(self, offset: float) -> None:
            """Set the clock, to the microsecond and better."""
            now = time.clock_gettime_ns(time.CLOCK_REALTIME)
            self._setTime(now + round(offset * 1_000_000_000))

        def slew(self, offset: float) -> None:
            """Half a millisecond a second, and that is what the kernel does in either direction."""
            self._adjust(*timeval(offset))

        def synchronised(self) -> bool | None:
            """Ask the kernel (Linux); nothing is changed by that, and needs no privilege."""
            adjtimex = getattr(self._library, "adjtimex", None)
            state = _Timex()  # modes = 0: read only
            if adjtimex is None or adjtimex(ctypes.byref(state)) < 0:
                return None
            return not state.status & STA_UNSYNC

        def programs(self) -> Iterator[str]:
            """Those that are seen in ``/proc``."""
            return runningPrograms()

        def _setTime(self, nanoseconds: int) -> None:
            time.clock_settime_ns(time.CLOCK_REALTIME, nanoseconds)

        def _adjust(self, seconds: int, microseconds: int) -> None:
            wanted = _Timeval(seconds, microseconds)
            if self._library.adjtime(ctypes.byref(wanted), None) < 0:
                code = ctypes.get_errno()
                # OSError makes a PermissionError of EPERM by itself.
                raise OSError(code, "adjtime is refused")

    def systemClock() -> SystemClock:
        """The clock of this machine."""
        return PosixClock()
