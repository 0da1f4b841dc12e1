"""The system clock without touching it, and who else keeps it."""

from __future__ import annotations

import errno
import sys
import time
from pathlib import Path

import pytest

from mm2ss.services import systemclock
from mm2ss.services.systemclock import MAX_SLEW, systemClock, systemTime, timeval
from mm2ss.services.timekeepers import GRACE, keeperOf, runningPrograms

posix = pytest.mark.skipif(sys.platform == "win32", reason="the clock of Linux")


@pytest.mark.parametrize(
    ("offset", "expected"),
    [
        (0.0, (0, 0)),
        (0.25, (0, 250000)),
        (-0.25, (-1, 750000)),
        (-1.0, (-1, 0)),
        (0.9999999, (1, 0)),
        (1e9, (int(MAX_SLEW), 0)),
        (-1e9, (-int(MAX_SLEW), 0)),
    ],
)
def test_timeval(offset: float, expected: tuple[int, int]) -> None:
    """An offset in the form that adjtime takes, limited to what it can."""
    assert timeval(offset) == expected


def test_windowsTime() -> None:
    """A time in the form that Windows takes: UTC, milliseconds, Sunday is 0."""
    assert systemTime(1767225600.1234) == (2026, 1, 4, 1, 0, 0, 0, 123)
    assert systemTime(0) == (1970, 1, 4, 1, 0, 0, 0, 0)
    assert systemTime(1767225600.9996 + 3 * 86400)[2:] == (0, 4, 0, 0, 1, 0)
    with pytest.raises(OverflowError):
        systemTime(1e12)


if sys.platform != "win32":

    class _Recorder(systemclock.PosixClock):
        """The real one, but for the two calls that set the clock."""

        def __init__(self) -> None:
            super().__init__()
            self.times: list[int] = []
            self.slews: list[tuple[int, int]] = []

        def _setTime(self, nanoseconds: int) -> None:
            self.times.append(nanoseconds)

        def _adjust(self, seconds: int, microseconds: int) -> None:
            self.slews.append((seconds, microseconds))

    class _Library:
        """A C library that refuses."""

        def __init__(self, code: int) -> None:
            self.code = code

        def adjtime(self, *_: object) -> int:
            import ctypes

            ctypes.set_errno(self.code)
            return -1

        def adjtimex(self, *_: object) -> int:
            return -1

    def test_step() -> None:
        """A step is the time now plus the offset."""
        clock = _Recorder()
        before = time.time_ns()
        clock.step(-7200.5)
        assert before <= clock.times[0] + 7_200_500_000_000 <= time.time_ns()
        assert clock.canSlew and clock.time() == pytest.approx(time.time(), abs=5)

    def test_slew() -> None:
        """A slew gives the C library what it wants."""
        clock = _Recorder()
        clock.slew(-0.125)
        assert clock.slews == [(-1, 875000)]

    @pytest.mark.parametrize(
        ("code", "kind"), [(errno.EPERM, PermissionError), (errno.EINVAL, OSError)]
    )
    def test_refused(code: int, kind: type[OSError]) -> None:
        """What the C library refuses is raised as what it is."""
        clock = systemclock.PosixClock()
        clock._library = _Library(code)  # type: ignore[assignment]  # a stand-in
        with pytest.raises(kind) as caught:
            clock.slew(0.1)
        assert caught.value.errno == code and isinstance(caught.value, PermissionError) == (
            code == errno.EPERM
        )
        assert clock.synchronised() is None


@posix
def test_readOnly() -> None:
    """The kernel can be asked without privilege, and the processes looked at."""
    clock = systemClock()
    assert clock.synchronised() in (True, False, None)
    if sys.platform == "linux":
        assert clock.synchronised() is not None
    assert sum(1 for _ in clock.programs()) >= 1


def process(folder: Path, number: int, comm: str, *words: str) -> None:
    """A process as /proc shows it."""
    home = folder / str(number)
    home.mkdir()
    (home / "comm").write_text(comm + "\n")
    (home / "cmdline").write_bytes(b"\0".join(word.encode() for word in (comm, *words)) + b"\0")


def test_programs(tmp_path: Path) -> None:
    """Programs that keep clocks are found by their names; a chronyd that only serves is none."""
    process(tmp_path, 1, "systemd")
    process(tmp_path, 20, "chronyd", "-F", "1")
    process(tmp_path, 21, "chronyd", "-x", "-d")
    process(tmp_path, 22, "chronyd", "-dx", "-f", "/etc/x.conf")
    process(tmp_path, 30, "systemd-timesyn")
    process(tmp_path, 40, "ntpd", "-x")
    (tmp_path / "50").mkdir()
    (tmp_path / "sys").mkdir()
    found = sorted(runningPrograms(str(tmp_path)))
    assert found == ["", "", "", "", "chronyd", "ntpd", "systemd-timesyncd"]
    assert list(runningPrograms(str(tmp_path / "missing"))) == []


@pytest.mark.parametrize(
    ("synchronised", "programs", "waited", "keeper"),
    [
        (False, [], 0, ""),
        (None, [], 0, ""),
        (True, [], 0, "another program"),
        (True, ["chronyd"], 1e6, "chronyd"),
        (False, ["chronyd"], 0, "chronyd"),
        (False, ["chronyd"], GRACE, ""),
        (False, ["systemd-timesyncd"], GRACE - 1, "systemd-timesyncd"),
        (False, ["ntpd"], 1e6, "ntpd"),
        (False, ["ntpd", "chronyd"], 1e6, "chronyd and ntpd"),
        (None, ["chronyd"], 1e6, "chronyd"),
    ],
)
def test_keeper(synchronised: bool | None, programs: list[str], waited: float, keeper: str) -> None:
    """The kernel's word counts first; one who finds no server does not keep the clock for long."""
    assert keeperOf(synchronised, programs, waited) == keeper
