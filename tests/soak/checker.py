"""Keeps book of every numbered event of one RTU, and says what went wrong.

The words of the verdict:

* **lost**: an event that the RTU produced and that no master ever acknowledged, though at the end
  a good master has drained everything. *Unseen* are those of them that never even arrived.
* **reordered**: the first appearance of a number on a master's connection that is lower than one
  before it.
* **holes**: numbers that a connection skips in the middle of its stream, and that nobody had
  acknowledged before this connection started.
* **repeated**: a number that appears again - on one connection, to the same master on a later
  connection, or on a connection that started after some master had acknowledged it. That is
  allowed *near* a change of connections only, where an acknowledgement may have been on its way:
  the number was sent more than once by the RTU; or was among the last k numbers of a connection
  when that one ended or the new one started; or among the last k that were acknowledged to the
  RTU on a connection that ended. Any other one is *far*, and wrong.
* **early**: acknowledged to the RTU when no master had acknowledged it: if it is not on the
  relay's disk by then, a crash of the relay loses it.

It is told what happens in the order in which it happens. It knows no sockets.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field

#: Findings that are described; all are counted.
_DESCRIBED = 20


@dataclass
class Verdict:
    """What the book says; numbers of events, lists of them where each one is worth a look."""

    produced: int = 0
    acknowledged: int = 0
    freed: int = 0
    early: int = 0
    resent: int = 0
    delivered: int = 0
    near: int = 0
    lost: list[int] = field(default_factory=list)
    unseen: int = 0
    far: int = 0
    reordered: int = 0
    holes: int = 0
    altered: int = 0
    findings: list[str] = field(default_factory=list)
    suspects: list[int] = field(default_factory=list)

    @property
    def faults(self) -> dict[str, int]:
        """What must be 0."""
        return {
            "lost": len(self.lost),
            "far": self.far,
            "reordered": self.reordered,
            "holes": self.holes,
            "altered": self.altered,
        }


class Book:
    """All events of one RTU.

    :param window: k, the most frames that may be unacknowledged on a connection.
    """

    def __init__(self, window: int) -> None:
        self.window = window
        self._tick = 0
        self._produced = 0
        self._freed = 0
        self._taken = 0
        # By number; 0 is no event.
        self._sent = [0]
        self._acknowledgedAt = [0]
        self._seen = bytearray(1)
        self._doubtful = bytearray(1)
        self._received: dict[str, set[int]] = {}
        self._open: dict[Connection, None] = {}
        self._freedLast: deque[int] = deque(maxlen=window)  # on the RTU's present connection
        self._verdict = Verdict()

    # -- the RTU ----------------------------------------------------------------------------

    def produce(self) -> int:
        """There is a new event: its number."""
        self._produced += 1
        self._sent.append(0)
        self._acknowledgedAt.append(0)
        self._seen.append(0)
        self._doubtful.append(0)
        return self._produced

    def sent(self, number: int) -> None:
        """The RTU sent an event, perhaps again."""
        self._sent[number] += 1
        self._verdict.resent += self._sent[number] > 1

    def freed(self, number: int) -> bool:
        """An event was acknowledged to the RTU, which has forgotten it now; whether no master
        had acknowledged it."""
        self._freed += 1
        self._freedLast.append(number)
        early = not self._acknowledgedAt[number]
        self._verdict.early += early
        return early

    def rtuEnded(self) -> None:
        """The RTU's connection is gone: for all the relay knows, with its last acknowledgements."""
        for number in self._freedLast:
            self._doubtful[number] = 1
        self._freedLast.clear()

    # -- the masters ------------------------------------------------------------------------

    def opened(self, master: str) -> Connection:
        """A master has sent STARTDT act on a new connection."""
        connection = Connection(self, master)
        self._received.setdefault(master, set())
        self.doubtOpen()
        self._open[connection] = None
        return connection

    def doubtOpen(self) -> None:
        """A connection starts: what the others acknowledged last may not count yet."""
        for connection in self._open:
            self._doubt(connection)

    def tick(self) -> int:
        """The next moment."""
        self._tick += 1
        return self._tick

    def received(self, connection: Connection, number: int, again: int) -> None:
        """A connection brought an event, for the `again`-th time after the first."""
        self._seen[number] = 1
        mine = self._received[connection.master]
        if again:
            self._repeat(connection, number, self._sent[number] > again)
        elif number in mine or self._wasAcknowledged(number, connection):
            near = self._sent[number] > 1 or self._doubtful[number] != 0
            self._repeat(connection, number, near)
        mine.add(number)
        self._verdict.delivered += 1

    def skipped(self, connection: Connection, first: int, last: int) -> None:
        """A connection brought the number after `last` when `first` was due."""
        missing = [
            number
            for number in range(first, last + 1)
            if not self._wasAcknowledged(number, connection)
        ]
        if missing:
            self._verdict.holes += len(missing)
            self._finding(connection, missing[0], f"skipped to {last + 1}, {len(missing)} missing")

    def jumpedBack(self, connection: Connection, number: int, highest: int) -> None:
        """A connection brought a number for the first time, and a higher one before."""
        self._verdict.reordered += 1
        self._finding(connection, number, f"came after {highest}")

    def altered(self, text: str) -> None:
        """An event did not arrive as it was sent."""
        self._verdict.altered += 1
        self._describe(text)

    def acknowledged(self, number: int) -> None:
        """A master has acknowledged an event."""
        if not self._acknowledgedAt[number]:
            self._acknowledgedAt[number] = self.tick()
            self._taken += 1

    def ended(self, connection: Connection) -> None:
        """A connection is gone."""
        if connection in self._open:
            del self._open[connection]
            self._doubt(connection)

    # -- the verdict ------------------------------------------------------------------------

    @property
    def produced(self) -> int:
        """Events so far."""
        return self._produced

    @property
    def delivered(self) -> int:
        """Events that arrived at masters so far, repetitions too."""
        return self._verdict.delivered

    def isBeyond(self, delivered: int) -> bool:
        """Whether more has arrived at masters than so many events."""
        return self.delivered > delivered

    @property
    def freedCount(self) -> int:
        """Events that were acknowledged to the RTU so far."""
        return self._freed

    @property
    def outstanding(self) -> int:
        """Events that no master has acknowledged yet."""
        return self._produced - self._taken

    def verdict(self) -> Verdict:
        """What can be said when all is drained."""
        verdict = self._verdict
        verdict.produced = self._produced
        verdict.freed = self._freed
        verdict.lost = [n for n in range(1, self._produced + 1) if not self._acknowledgedAt[n]]
        verdict.acknowledged = self._produced - len(verdict.lost)
        verdict.unseen = sum(not self._seen[number] for number in verdict.lost)
        return verdict

    # -- helpers ----------------------------------------------------------------------------

    def _wasAcknowledged(self, number: int, connection: Connection) -> bool:
        """Whether any master had acknowledged a number before a connection started."""
        return 0 < self._acknowledgedAt[number] < connection.since

    def _repeat(self, connection: Connection, number: int, near: bool) -> None:
        if near:
            self._verdict.near += 1
        else:
            self._verdict.far += 1
            self._finding(connection, number, "again, and not near a change of connections")

    def _doubt(self, connection: Connection) -> None:
        for number in [number for number in connection.arrived if number][-self.window :]:
            self._doubtful[number] = 1

    def _finding(self, connection: Connection, number: int, what: str) -> None:
        if len(self._verdict.suspects) < _DESCRIBED:
            self._verdict.suspects.append(number)
        self._describe(f"event {number} at {connection.name}: {what}")

    def _describe(self, text: str) -> None:
        if len(self._verdict.findings) < _DESCRIBED:
            self._verdict.findings.append(text)


class Connection:
    """What one connection of a master brought.

    :param book: where it is kept.
    :param master: whose connection it is.
    :ivar since: the moment it started.
    :ivar arrived: the numbers that it brought; 0 for a frame without one.
    """

    _made = 0

    def __init__(self, book: Book, master: str) -> None:
        Connection._made += 1
        self.master = master
        self.name = f"{master}#{Connection._made}"
        self.since = book.tick()
        self.arrived: list[int] = []
        self._book = book
        self._counts: Counter[int] = Counter()
        self._highest = 0
        self._acknowledged = 0

    def received(self, number: int) -> None:
        """A frame arrived: the number of its event, or 0."""
        self.arrived.append(number)
        if not number:
            return
        again = self._counts[number]
        self._counts[number] += 1
        self._book.received(self, number, again)
        if again:
            return
        if number < self._highest:
            self._book.jumpedBack(self, number, self._highest)
            return
        if self._highest and number > self._highest + 1:
            self._book.skipped(self, self._highest + 1, number - 1)
        self._highest = number

    def acknowledged(self, count: int) -> None:
        """The master acknowledges the first `count` frames."""
        for number in self.arrived[self._acknowledged : count]:
            if number:
                self._book.acknowledged(number)
        self._acknowledged = max(self._acknowledged, count)

    def ended(self) -> None:
        """The connection is gone."""
        self._book.ended(self)

    def restarted(self) -> None:
        """The master starts again after STOPDT: as if it had left and come back."""
        self._book.doubtOpen()
        self.since = self._book.tick()
        self._counts.clear()
        self._highest = 0

    def unacknowledged(self, count: int) -> list[int]:
        """What `acknowledged` with this count is about."""
        return self.arrived[self._acknowledged : count]
