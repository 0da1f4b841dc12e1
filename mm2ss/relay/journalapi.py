"""What a group sees of the journal: the safe copy on disk of its RTU's events.

The words and the rules, without threads and files, so that pure modules may know them;
`mm2ss.relay.journal` is what does it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

#: Milliseconds that end the classes in which the duration of commits is counted; the last class
#: is open. From a disk with a battery behind its cache to one that is about to fail.
LATENCY_CLASSES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)


class JournalError(Exception):
    """The journal cannot be used at all; the text says which folder and why."""


@dataclass(frozen=True)
class GroupKey:
    """Whose events a record holds. All three must agree: events that were meant for one plant are
    never given to another.

    :param id: the group's number, 0 to 2**32-1.
    :param commonAddress: the RTU's number, 0 to 65535.
    :param name: the system's name; at most 65000 octets in UTF-8.
    """

    id: int
    commonAddress: int
    name: str


@dataclass(frozen=True)
class Hold:
    """How much a group may keep in the journal.

    :param frames: at this number no more are taken; at least 1.
    :param octets: the same for the sum of their ASDUs.
    :param age: seconds of wall time after which an event is given up; 0 = never.
    """

    frames: int = 100_000
    octets: int = 64 * 1024 * 1024
    age: float = 0.0


@dataclass(frozen=True)
class GroupFigures:
    """One group's part of the journal, at a moment.

    :ivar frames: that are held (on disk or handed over).
    :ivar octets: of their ASDUs.
    :ivar written: frames put on disk since the start.
    :ivar refused: writes that were answered with False since the start.
    :ivar expired: frames given up for their age since (and at) the start.
    :ivar full: why the next write would be refused; "" if it would not.
    """

    frames: int
    octets: int
    written: int
    refused: int
    expired: int
    full: str


@dataclass(frozen=True)
class JournalFigures:
    """The whole journal, at a moment; all counts are since the start.

    :ivar frames: held for all groups.
    :ivar octets: of their ASDUs.
    :ivar size: octets of the journal's files.
    :ivar files: their number.
    :ivar written: frames put on disk.
    :ivar commits: times that this was done, each with one write and one sync.
    :ivar failures: times that it failed.
    :ivar lastLatency: seconds that the last commit took, from taking what waited until it was on
        disk.
    :ivar maxLatency: the longest.
    :ivar meanLatency: the mean.
    :ivar latencies: commits in each class of `LATENCY_CLASSES`, and in the open one.
    :ivar carried: frames copied forward, so that old files could be deleted.
    :ivar setAside: frames and damaged places put into files of their own at the start.
    :ivar full: why nothing can be written, "" if it can.
    """

    frames: int
    octets: int
    size: int
    files: int
    written: int
    commits: int
    failures: int
    lastLatency: float
    maxLatency: float
    meanLatency: float
    latencies: tuple[int, ...]
    carried: int
    setAside: int
    full: str


class SafeCopy(Protocol):
    """One group's part of the journal, as the group uses it. All in the reactor's thread; nothing
    blocks, nothing raises for what happens on the disk.

    Positions are those of the group's ledger, which begins with `held`: entry i of it has
    position i. The order of the RTU is kept whatever fails, on one condition: what was refused is
    offered again, if it is not settled by then, before anything behind it. (A write that begins
    behind a refused and unsettled position is refused too: a hole would become a wrong order
    when the RTU sends again what it was not acknowledged.)
    """

    @property
    def held(self) -> list[bytes]:
        """What was not let go of when the last process ended, in order; known once the journal's
        service has started, never changed by the journal afterwards. It is on disk (or its
        first commit is on the way; none of it was ever acknowledged unless it was on disk)."""
        ...

    @property
    def breaks(self) -> list[int]:
        """Which entries of `held` came on another connection of the RTU than the one before them;
        rising."""
        ...

    @property
    def full(self) -> str:
        """Why a write would be refused now, as a text for status and log; "" if it would not."""
        ...

    @property
    def room(self) -> int:
        """Frames that may be handed over now before `full` says no; 0 when it does. A single
        write may go beyond (one is never split), so bounds are exceeded by one write at most."""
        ...

    onRoom: Callable[[], None]
    """Called in a turn of its own when a write was refused and there is room again. Set it to
    what offers the refused entries again; does nothing by default."""

    def write(
        self, entries: Sequence[tuple[int, bytes]], done: Callable[[bool], None], session: int = 0
    ) -> None:
        """Put entries on disk.

        :param entries: position and ASDU (at most 65000 octets), positions rising, also from
            write to write (except what was refused before); gaps are allowed, for what needs no
            safe copy. Must not be changed afterwards.
        :param done: called once, in a later turn of the reactor, in the order of the writes: with
            True when all entries are synced to the disk (or settled meanwhile), with False when
            they are not: no room, a failing disk, the journal stops or has not started. Not
            called any more once the journal's service has stopped.
        :param session: on which connection of the RTU they came, numbered from 0; see `breaks`.
        """
        ...

    def settle(self, position: int) -> None:
        """No entry before `position` is needed any more; cheap, call it as often as you like. The
        disk hears of it soon, but not at once; a crash before means duplicates, never a loss."""
        ...

    def expire(self) -> int:
        """Give up what is older than `Hold.age`; counted and logged as an error. Call it now and
        then (each minute), and settle the ledger up to what it returns.

        :return: the position before which everything is given up or settled.
        """
        ...

    @property
    def figures(self) -> GroupFigures:
        """For status and metrics."""
        ...
