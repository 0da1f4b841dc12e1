"""Who else keeps this machine's clock: two programs that set one clock fight each other.

Two things tell. The kernel knows whether some program disciplines its clock (``adjtimex``; also
from within a container, and whatever the program's name), and the processes show which one.
Pid files do not count: they outlive their programs, and each system has them elsewhere.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator

#: What ``/proc/<pid>/comm`` (15 characters) says of programs that keep the clock, and their names.
PROGRAMS = {
    "chronyd": "chronyd",
    "ntpd": "ntpd",
    "openntpd": "openntpd",
    "systemd-timesyn": "systemd-timesyncd",
    "phc2sys": "phc2sys",
}
#: Those that always tell the kernel when they discipline its clock. Of the others (ntpd without
#: kernel discipline, OpenNTPD) the kernel may know nothing.
TELL_THE_KERNEL = frozenset({"chronyd", "systemd-timesyncd"})
#: Seconds that such a program gets to find a server. One that has found none by then (as in a
#: station without the Internet) keeps no clock, and we do.
GRACE = 600.0

#: chronyd's option -x, alone or together with others: it serves time, but sets no clock.
_SERVES_ONLY = re.compile(rb"-[0-9A-Za-z]*x")


def keeperOf(synchronised: bool | None, programs: Collection[str], waited: float) -> str:
    """Who keeps the clock, in words; empty when nobody does.

    :param synchronised: what the kernel says; None when it cannot be asked.
    :param programs: those of ``PROGRAMS`` that run.
    :param waited: seconds for which they have been seen to run while the clock was not kept.
    """
    names = " and ".join(sorted(programs))
    if synchronised:
        return names or "another program"
    silent = [name for name in programs if name not in TELL_THE_KERNEL]
    if synchronised is None or silent or waited < GRACE:
        return names
    return ""


def runningPrograms(proc: str = "/proc") -> Iterator[str]:
    """Look at all processes, one with each step: its name if it is one of ``PROGRAMS``, else ""."""
    try:
        numbers = [name for name in os.listdir(proc) if name.isdecimal()]
    except OSError:
        return
    for number in numbers:
        yield _program(os.path.join(proc, number))


def _program(folder: str) -> str:
    """The name of a process that may set the clock; empty for others, and for one that ended."""
    try:
        with open(os.path.join(folder, "comm"), "rb") as file:
            name = PROGRAMS.get(file.read(64).decode("ascii", "replace").strip(), "")
        if name == "chronyd":
            with open(os.path.join(folder, "cmdline"), "rb") as file:
                words = file.read(4096).split(b"\0")
            if any(_SERVES_ONLY.fullmatch(word) for word in words):
                return ""
    except OSError:
        return ""
    return name
