"""What the shell can be asked: the names in its namespace, and what they print.

Everything is seen through frozen snapshots and changed by a few commands.
"""

from __future__ import annotations

import os
import pydoc
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import twisted
from mm2ss import __version__
from mm2ss.iec104.core import CORE
from mm2ss.services.groupviews import Fleet, Group, Groups, Tracing, named
from mm2ss.services.interpreter import Leave
from mm2ss.services.tables import Facts, Said

HELP = """\
status()                     the process: version, uptime, groups, time, journal, memory
groups                       all groups; groups.down: those whose RTU is not connected
group(111)                   one group, by its number or name
group(111).masters           its masters
group(111).config            what it runs with
group(111).settled           a figure by its name (dir(group(111)) lists them)
group(111).disconnect("10.1.1.7")
                             close the masters at an address, or "10.1.1.7:40001": one of them
group(111).restart()         stop the group in order and start it anew: its RTU and all its
                             masters are disconnected
trace(111)                   what passes between the RTU, the relay and the masters, in words,
                             until Ctrl-C
trace(111).save()            write what passed last to a file for Wireshark
help(), help(thing)          this page; what Python knows of a thing
exit()                       leave (also Ctrl-D)

All else is Python, within the running service: whoever is here can do what it can.
A statement that takes long stops all groups for so long."""


@dataclass(frozen=True)
class Inspected:
    """What the shell can look at.

    :ivar fleet: the groups.
    :ivar seconds: monotonic time.
    :ivar time: the status of the time service, in a few words; None without one.
    :ivar journal: gives figures of the journal, a frozen dataclass; None while there is none.
    """

    fleet: Fleet
    seconds: Callable[[], float]
    time: Callable[[], str] | None = None
    journal: Callable[[], Any] = lambda: None


class Desk:
    """The namespace of one session.

    :param operator: who is logged in, as the logs say it.
    :param started: second of the monotonic clock when the service was started.
    """

    def __init__(self, inspected: Inspected, operator: str, started: float) -> None:
        self._inspected = inspected
        self._operator = operator
        self._started = started

    def namespace(self) -> dict[str, Any]:
        """The names, each time as new."""
        return {
            "__name__": "__manhole__",
            "status": self.status,
            "groups": Groups(self._inspected.fleet, self._operator),
            "group": self.group,
            "trace": self.trace,
            "help": helpOn,
            "exit": leave,
            "quit": leave,
        }

    def status(self) -> Facts:
        """How the process stands."""
        inspected = self._inspected
        snapshots = inspected.fleet.snapshots()
        down = [each.id for each in snapshots if not each.rtu]
        masters = sum(each.links.connected for each in snapshots)
        return Facts(
            {
                "version": f"mm2ss {__version__}, Python {sys.version.split()[0]},"
                f" Twisted {twisted.__version__}, {CORE} core",
                "process": os.getpid(),
                "uptime": duration(inspected.seconds() - self._started),
                "groups": f"{len(snapshots)}, RTU connected: {len(snapshots) - len(down)}",
                "RTU not connected": named(down),
                "masters": f"{masters}",
                "events unsettled": sum(each.unsettled for each in snapshots),
                "time": inspected.time() if inspected.time else "no time server is configured",
                "journal": _heldIn(inspected.journal()),
                "memory": memory(),
            }
        )

    def group(self, which: int | str) -> Group:
        """A group, by its number or its name."""
        return Groups(self._inspected.fleet, self._operator)[which]

    def trace(self, which: int | str) -> Tracing:
        """What passes on a group's connections, in words, until Ctrl-C."""
        return self.group(which).trace()


def _heldIn(journal: Any) -> str:
    """How the journal stands, in a few words."""
    if journal is None:
        return "there is none"
    text = f"{journal.frames} events held, {journal.size} octets on disk"
    return f"{text}; takes nothing: {journal.full}" if journal.full else text


def helpOn(thing: object = None) -> Said:
    """The names there are, or what Python knows of one."""
    return Said(HELP if thing is None else pydoc.plain(pydoc.render_doc(thing)))


def leave(status: int = 0) -> None:
    """End the session."""
    raise Leave(status)


def duration(seconds: float) -> str:
    """``3 d 04:05:06``."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    return f"{days} d {hours:02}:{minutes:02}:{rest:02}"


def memory() -> str:
    """What the process takes of the machine's memory now, where the system says so."""
    try:
        with open("/proc/self/status") as file:
            found = re.search(r"(?m)^VmRSS:\s+(\d+) kB", file.read())
    except OSError:
        return ""
    return f"{int(found[1]) / 1024:.1f} MiB" if found else ""
