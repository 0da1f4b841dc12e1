"""What a group's connections said last, and how each ended: for whoever asks what happened.

Each connection keeps its last chunks itself (`iec104.tape`), so that a busy master does not push
out what a silent one said. A `Trace` knows the connections of one group, those of now and the last
that ended; it outlives the group's restarts.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from enum import Enum
from math import inf
from typing import Any, Protocol
from weakref import WeakValueDictionary

from mm2ss.iec104.apci import CloseCause, closeText
from mm2ss.iec104.stream import Cutter
from mm2ss.iec104.tape import Recording, Tape
from mm2ss.iec104.words import frameWords
from mm2ss.relay.snapshot import TraceSnapshot

#: Connections of each leg that are kept after their end.
ENDED = 2
#: Masters that a snapshot shows besides those that ended: there may be 255, and snapshots of many
#: groups may wait for the disk.
PRESENT = 16
#: Lines a second that followers get: more than a person reads, and little work for the relay.
LINES_PER_SECOND = 200
#: Seconds in which a fault is written once for each leg and cause: a peer that comes back and does
#: the same again must neither fill a disk nor keep the relay busy.
FAULT_INTERVAL = 60.0
#: Octets that are shown of what is no APDU.
SHOWN = 32
#: Causes after which the frames are worth a look: somebody broke the protocol, or did not answer,
#: or the relay itself has failed.
FAULTS = frozenset(
    (
        CloseCause.T1_I_FRAME,
        CloseCause.T1_STARTDT,
        CloseCause.T1_STOPDT,
        CloseCause.T1_TESTFR,
        CloseCause.BAD_START,
        CloseCause.BAD_LENGTH,
        CloseCause.UNKNOWN_U,
        CloseCause.NS_MISMATCH,
        CloseCause.NR_OUT_OF_WINDOW,
        CloseCause.DATA_WHILE_STOPPED,
        CloseCause.BAD_ASDU,
        CloseCause.FAULT,
    )
)

#: Called with each line of a live trace.
Follower = Callable[[str], object]


class Leg(Enum):
    """Who is at the other end of a connection."""

    RTU = "RTU"
    MASTER = "master"


class Tapped(Protocol):
    """What a trace needs of a connection; see `iec104.conduit.Conduit`."""

    peer: str
    local: str
    octetsIn: int
    octetsOut: int
    tape: Tape


class Files(Protocol):
    """Where traces are written; see `services.tracefiles.TraceFiles`."""

    def __call__(self, trace: TraceSnapshot) -> None:
        """A connection ended by one of `FAULTS`; called at most once in `FAULT_INTERVAL` for the
        same leg and cause."""

    def save(self, trace: TraceSnapshot) -> Any:
        """Write a file; a Deferred that fires with its path."""


class Trace:
    """The trace of one group.

    :param number: the group's.
    :param name: the group's.
    :param seconds: monotonic time, as in the chunks.
    :param wallTime: gives seconds since 1970, for the lines of a live trace.
    :param files: where it is written; None = it cannot be.
    """

    def __init__(
        self,
        number: int,
        name: str = "",
        seconds: Callable[[], float] = lambda: 0.0,
        wallTime: Callable[[], float] = lambda: 0.0,
        files: Files | None = None,
    ) -> None:
        self.number = number
        self.name = name
        self._seconds = seconds
        self._wallTime = wallTime
        self._files = files
        self._open: dict[Tapped, Leg] = {}
        self._ended: dict[Leg, list[Recording]] = {leg: [] for leg in Leg}
        self._followers: list[Follower] = []
        self._told: dict[tuple[Leg, CloseCause], float] = {}
        self._second = -inf
        self._lines = 0
        self._leftOut = 0

    # -- what the group tells ---------------------------------------------------------------

    def opened(self, leg: Leg, connection: Tapped) -> None:
        """A connection has been made."""
        self._open[connection] = leg
        if self._followers:
            self._listen(connection, new=True)
            self._tell(f"{_nameOf(leg, connection)} connected")

    def closed(self, connection: Tapped, cause: CloseCause, detail: str) -> None:
        """A connection has ended, or is about to."""
        leg = self._open.pop(connection)
        record = _recording(leg, connection, cause, detail)
        ended = self._ended[leg]
        ended.append(record)
        del ended[:-ENDED]
        if self._followers:
            self._unlisten(connection)
            text = closeText(cause, detail)
            self._tell(f"{_nameOf(leg, connection)} disconnected: {text} cause={cause.name}")
        if self._files and cause in FAULTS and self._isNews(leg, cause):
            about = f"{_nameOf(leg, connection)}: {closeText(cause, detail)}"
            self._files(self._snapshot(about, cause, connection.peer))

    def _isNews(self, leg: Leg, cause: CloseCause) -> bool:
        now = self._seconds()
        last = self._told.get((leg, cause), -inf)
        if now - last < FAULT_INTERVAL:
            return False
        self._told[leg, cause] = now
        return True

    # -- what may be asked ------------------------------------------------------------------

    def snapshot(self) -> TraceSnapshot:
        """All that is kept at this moment."""
        return self._snapshot("asked for", None, "-")

    def save(self) -> Any:
        """Write all that is kept to a file; a Deferred that fires with its path.

        :raises RuntimeError: there is no place for files (the demo has none).
        """
        if self._files is None:
            raise RuntimeError("there is no folder for trace files here")
        return self._files.save(self.snapshot())

    def follow(self, follower: Follower) -> Callable[[], None]:
        """Have each frame told in a line as it comes, at most `LINES_PER_SECOND`.

        :param follower: is called in the midst of the relay's work: it must be quick, and keep no
            more than it can. When it raises an exception it is not called again.
        :return: ends it.
        """
        if not self._followers:
            for connection in self._open:
                self._listen(connection, new=False)
        self._followers.append(follower)

        def stop() -> None:
            if follower in self._followers:
                self._followers.remove(follower)
                self._unlistenAll()

        return stop

    def _snapshot(self, why: str, cause: CloseCause | None, peer: str) -> TraceSnapshot:
        ended = [each for records in self._ended.values() for each in records]
        masters = [each for each, leg in self._open.items() if leg is Leg.MASTER][:PRESENT]
        present = [
            _recording(leg, each)
            for each, leg in self._open.items()
            if leg is Leg.RTU or each in masters
        ]
        recordings = (*ended, *present)
        return TraceSnapshot(self.number, self.name, why, cause, peer, self._seconds(), recordings)

    # -- followers --------------------------------------------------------------------------

    def _listen(self, connection: Tapped, new: bool) -> None:
        connection.tape.ear = _Ear(self, _nameOf(self._open[connection], connection), new)

    def _unlisten(self, connection: Tapped) -> None:
        connection.tape.ear = None

    def _unlistenAll(self) -> None:
        if not self._followers:
            for connection in self._open:
                self._unlisten(connection)

    def roomFor(self) -> bool:
        """Whether one more line may be told in this second; counts those that may not."""
        now = self._seconds()
        if now - self._second >= 1:
            self._second, self._lines = now, 0
            leftOut, self._leftOut = self._leftOut, 0
            if leftOut:
                self._tell(f"({leftOut} lines left out)")
        self._lines += 1
        if self._lines > LINES_PER_SECOND:
            self._leftOut += 1
            return False
        return True

    def _tell(self, text: str) -> None:
        clock = datetime.fromtimestamp(self._wallTime()).strftime("%H:%M:%S.%f")
        for follower in tuple(self._followers):
            try:
                follower(f"{clock} {text}")
            except Exception:  # his fault must not become the connection's
                self._followers.remove(follower)
        self._unlistenAll()


class Traces:
    """The traces of all groups.

    :param seconds: as for `Trace`.
    :param wallTime: as for `Trace`.
    :param files: as for `Trace`.
    """

    def __init__(
        self, seconds: Callable[[], float], wallTime: Callable[[], float], files: Files
    ) -> None:
        self._seconds = seconds
        self._wallTime = wallTime
        self._files = files
        # A trace lives as long as a group holds it: one that restarts while its successor is
        # made, one that is removed no longer.
        self._traces: WeakValueDictionary[int, Trace] = WeakValueDictionary()

    def of(self, number: int, name: str) -> Trace:
        """That of one group; the same as long as the group, or its successor, is there."""
        trace = self._traces.get(number)
        if trace is None:
            trace = Trace(number, name, self._seconds, self._wallTime, self._files)
            self._traces[number] = trace
        trace.name = name
        return trace


class _Ear:
    """Hears what passes on a connection that is followed.

    :param name: who is at its other end.
    :param new: nothing has passed yet.
    """

    def __init__(self, trace: Trace, name: str, new: bool) -> None:
        self._trace = trace
        self._cutters = {True: Cutter(new), False: Cutter(new)}
        self._ways = {True: f"{name} > relay", False: f"relay > {name}"}

    def __call__(self, _time: float, size: int, octets: bytes) -> None:
        received = size > 0
        for apdu, piece in self._cutters[received].feed(octets):
            if self._trace.roomFor():
                words = frameWords(apdu) if apdu else f"no APDU [{piece[:SHOWN].hex(' ')}]"
                self._trace._tell(f"{self._ways[received]}  {words}")


def _nameOf(leg: Leg, connection: Tapped) -> str:
    return "RTU" if leg is Leg.RTU else connection.peer


def _recording(
    leg: Leg, connection: Tapped, cause: CloseCause | None = None, detail: str = ""
) -> Recording:
    chunks = connection.tape.chunks()
    octets = sum(abs(size) for _, size, _ in chunks)
    whole = octets == connection.octetsIn + connection.octetsOut
    return Recording(leg.value, connection.peer, connection.local, chunks, whole, cause, detail)
