"""The way from a group's masters to the RTU: who may ask what, when, and whose the answers are.

A request goes through, in this order: the form of its ASDU (`asdu.admitControl`), the master's
rights and the site's policies (`policies`), the master's queue, the locks of its point (`locks`),
the line of its like (`lines`), and then to the RTU under the master's slot. What is refused on
the way is answered as a busy controlled station would; nothing is made up in the RTU's place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import inf

from mm2ss.config.model import GroupConfig
from mm2ss.iec104.apci import CloseCause
from mm2ss.iec104.asdu import Cause, TypeId, Verdict, admitControl, describe, isSelect, mirror
from mm2ss.iec104.asdu import withOriginator as from_
from mm2ss.relay.audit import POSITIVE, UNANSWERED, Outcome, Trail
from mm2ss.relay.fairqueue import FairQueue
from mm2ss.relay.files import FileSession, isFile
from mm2ss.relay.lines import INTERROGATIONS, Lines, Patience, Turn
from mm2ss.relay.locks import COMMANDS, Locks
from mm2ss.relay.master import QUEUE_MAX, Master, Note, Outlet
from mm2ss.relay.policies import Policies, refusalCause
from mm2ss.relay.requests import Request, Requests
from mm2ss.relay.rights import controls
from mm2ss.relay.routing import Audience
from mm2ss.relay.slots import Slots

#: Seconds between looks at what waits.
LOOK = 0.25
_TOO_LONG = "it waited too long"
# Found at once; see `requests`.
_CLOSE, _READER, _DIRECTORY = Verdict.CLOSE, Audience.READER, Audience.DIRECTORY
_FILES = (Audience.FILE, Audience.FILE_OFFER)
_CLOCK, _RESET = TypeId.C_CS_NA_1.value, TypeId.C_RP_NA_1.value
_ACTIVATION_CON, _DEACTIVATION = Cause.ACTIVATION_CON.value, Cause.DEACTIVATION.value


class Commands:
    """The requests of one group.

    :param config: the group's row and options.
    :param note: told of every event worth a line in the group's event log.
    :param trail: told how each command ended, and how many seconds the RTU took to confirm one.
    :param wallTime: gives seconds since 1970.
    :ivar requests: what the RTU has been asked.
    """

    def __init__(
        self,
        config: GroupConfig,
        note: Note,
        trail: Trail,
        wallTime: Callable[[], float],
    ) -> None:
        self._config = config
        self._options = config.options
        self._note = note
        self._trail = trail
        self._policies = Policies(config.options, wallTime)
        self.requests: Requests[Master] = Requests(config.options, self._ended)
        self._slots = Slots()
        self._locks: Locks[Master] = Locks(config.options.selectTimeout)
        self._lines: Lines[Master] = Lines()
        self._files: FileSession[Master] = FileSession()
        self._rtu: Outlet | None = None
        self._queue = FairQueue()
        self._reset: Request[Master] | None = None  # nothing else is sent while it runs
        self._patience = Patience(self._options.giWait, self._options.commandAgeMax)
        self._lookAt = inf
        self._now = 0.0

    @property
    def deadline(self) -> float:
        """When `wake` must be called at the latest; inf = never."""
        return min(self.requests.deadline, self._locks.deadline, self._lookAt)

    # -- the RTU ----------------------------------------------------------------------------

    def rtuStarted(self, outlet: Outlet, now: float) -> None:
        """Requests may be sent to the RTU."""
        self._rtu = outlet
        self.pump(now)

    def rtuStopping(self) -> None:
        """Nothing may be sent to the RTU any more."""
        self._rtu = None

    def rtuLost(self, now: float) -> None:
        """The RTU's connection is gone, and with it every request."""
        self._now, self._rtu = now, None
        for turn in (*self._queue.clear(now), *self._lines.waiting()):
            self._unwait(turn)
            if controls(turn.asdu):
                self._trail.tell(turn, Outcome.REFUSED_BY_RELAY, now, "the RTU was lost before")
        self._lines.clear()
        self.requests.void()
        self._locks.clear()
        self._files.clear()
        self._reset = None
        self._trail.flush(now)

    def answered(
        self, audience: Audience, asdu: bytes, now: float
    ) -> list[tuple[Master, int]] | None:
        """Whom an answer of the RTU is for, each with the originator address he used.

        :returns: None when it answers nobody's request.
        """
        self._now = now
        self._patience.progressed(asdu[0], now)
        if audience is _READER:
            request = self.requests.reading(asdu, now)
        elif audience is _DIRECTORY:
            request = self.requests.directory(asdu, now)
        else:
            request = self.requests.answer(asdu, now)
        if request is not None:
            if asdu[0] in COMMANDS and asdu[2] & 0x3F == _ACTIVATION_CON:
                self._trail.confirmed(now - request.sent)
            return request.parties
        if audience in _FILES:
            party = self._files.answered(asdu, now)
            return None if party is None else [party]
        return None

    def interrogated(self, asdu: bytes, now: float) -> list[tuple[Master, int]] | None:
        """Whose interrogations data with a cause of 20-36 belongs to; None = nobody's."""
        running = self.requests.interrogations(asdu, now)
        if not running:
            return None
        self._patience.progressed(TypeId.C_IC_NA_1, now)
        # Once for each, also where two requests of one master share the run.
        return list(dict.fromkeys(party for request in running for party in request.parties))

    # -- the masters ------------------------------------------------------------------------

    def received(
        self, master: Master, masters: list[Master], asdus: Iterable[bytes], now: float
    ) -> None:
        """Requests of a master arrived.

        :param masters: the group's masters in the order in which they started.
        """
        self._now = now
        for asdu in asdus:
            admission = admitControl(asdu)
            if admission.verdict is _CLOSE:
                master.outlet.close(CloseCause.BAD_ASDU, admission.reason)
                return
            turn = Turn(master, asdu, now)
            reason = admission.reason or self._policies.refusal(master, masters, asdu)
            if reason:
                self._refuse(turn, reason, admission.cause)
            elif asdu[0] == _CLOCK:
                self._clock(turn, master)
            else:
                self._queue.put(turn)
        self.pump(now)
        # A chunk that fills the queue is acknowledged already when that is seen; k more may come.
        if (load := master.throttle(now)) > QUEUE_MAX + 2 * self._config.masters.k:
            master.outlet.close(CloseCause.POLICY, f"{load} requests wait, it sends more")
        self._look(now)

    def left(self, master: Master, now: float) -> None:
        """A master has stopped or is gone: its requests are given up, its selects deactivated."""
        self.requests.advance()
        self._now = now
        dropped = self._queue.drop(master)
        for turn in (*self._queue.cleared, *self._lines.waiting()):
            if self._drop(turn, master):
                dropped.append(Turn(master, turn.asdu, turn.since))
        self._queue.cleared.extend(self._lines.forget())
        for turn in dropped:
            self._trail.tell(turn, Outcome.MASTER_GONE, self._now)
        if dropped:
            text = f"{len(dropped)} waiting requests not sent to the RTU"
            self._note(text, master.peer, warn=True)
        endings = self._locks.abandon(master)
        file = self._files.abandon(master, now)
        for asdu in (*endings, file) if file else endings:
            self._note(f"{describe(asdu)} sent to the RTU for a master that left", master.peer)
            self._queue.cleared.insert(0, Turn(master, asdu, now, ours=True))
        self.pump(now)
        self._look(now)

    def gone(self, master: Master, now: float) -> None:
        """A master's connection is gone; its slot rests."""
        if master.slot is not None:
            self._slots.giveBack(master.slot, now)

    def _clock(self, turn: Turn[Master], master: Master) -> None:
        """A clock synchronisation stands before all that waits: its time does not wait."""
        text, warn = self._policies.clockNote(master, turn.asdu)
        self._note(text, master.peer, warn=warn)
        if self._enter(turn, master):
            self._queue.cleared.insert(0, turn)

    # -- to the RTU -------------------------------------------------------------------------

    def pump(self, now: float) -> bool:
        """Send what may be sent, as far as the RTU's window allows; returns whether any waited.

        Called last whatever happens: with all gone there is time to register it, and for the trail.
        """
        self.requests.advance()
        self._now, rtu, waited = now, self._rtu, bool(self._queue)
        room = rtu.window if waited and rtu is not None else 0
        batch: list[tuple[Turn[Master], int]] = []
        while len(batch) < room and self._reset is None and (turn := self._next(now)) is not None:
            batch.append((turn, self._slotFor(turn, now)))
            if turn.asdu[0] == _RESET:
                break
        if rtu is not None and batch:
            rtu.send([from_(turn.asdu, slot) for turn, slot in batch], now)
        for turn, slot in batch:
            self._register(turn, slot, now)
        self._trail.flush(now)
        return waited

    def _next(self, now: float) -> Turn[Master] | None:
        """What is sent next: those whose wait is over, then one of each master in turn."""
        while self._queue.cleared:
            turn = self._queue.cleared.pop(0)
            if not turn.parties and not turn.ours:
                self._leave(turn)
            elif self._patience.isOver(turn, now):
                self._refuse(turn, _TOO_LONG)
                self._leave(turn)
            else:
                return turn
        while (waited := self._queue.take()) is not None:
            master = waited.owner
            if self._mayRun(waited, master, now):
                return waited
            master.throttle(now)
        return None

    def _mayRun(self, turn: Turn[Master], master: Master, now: float) -> bool:
        """Whether a request that comes from its master's queue goes to the RTU now.

        If not, it was refused, answered, or waits in line.
        """
        asdu = turn.asdu
        deactivation = asdu[2] & 0x3F == _DEACTIVATION
        if now - turn.since > self._options.commandAgeMax:
            self._refuse(turn, _TOO_LONG)
        elif isFile(asdu):
            if self._files.claim(master, asdu, now):
                return True
            self._refuse(turn, "another file transfer is running")
        elif asdu[0] in COMMANDS:
            if not (isSelect(asdu) or deactivation) and master.isStale(now):
                self._refuse(turn, "this master has not yet taken data that is older")
            elif self._locks.claim(master, asdu, now):
                return True
            elif deactivation:
                self._refuse(turn, "this master has neither selected nor commanded the point")
            else:
                self._refuse(turn, "the point is selected or commanded by another master")
        elif asdu[0] in INTERROGATIONS and deactivation:
            return self._mayStop(turn, master)
        else:
            return self._enter(turn, master)
        return False

    def _mayStop(self, turn: Turn[Master], master: Master) -> bool:
        """Whether the deactivation of an interrogation goes to the RTU: if it runs for nobody else.

        Where it has not been sent yet or is shared, the master is taken out of it and told so as
        by a controlled station, and nobody else notices. It is refused where it is not its own.
        """
        asdu = turn.asdu
        out = self._unline(turn, master)
        runs = self._lines.runningIn(asdu[0], turn.station)
        if runs is not None and runs.asdu[4:] == asdu[4:] and master in runs.owners:
            if all(owner is master for owner in runs.owners):
                return True
            out = self._drop(runs, master)
        if out:
            master.reader.add(mirror(asdu, Cause.DEACTIVATION_CON))
            master.pump(self._now)
            self._trail.tell(turn, Outcome.CONFIRMED, self._now, "by the relay")
        else:
            self._refuse(turn, "no such interrogation of this master runs")
        return False

    def _unline(self, turn: Turn[Master], master: Master) -> bool:
        """Take a master out of what waits in line and is meant by a deactivation."""
        out = False
        for other in self._lines.waitingIn(turn.asdu[0]):
            if other.asdu[4:] == turn.asdu[4:] and self._drop(other, master):
                gone = Turn(master, other.asdu, other.since)
                self._trail.tell(gone, Outcome.DEACTIVATED, self._now, "before it was sent")
                out = True
        self._queue.cleared.extend(self._lines.forget())
        return out

    def _drop(self, turn: Turn[Master], master: Master) -> bool:
        """Take a master out of a request; returns whether it was in."""
        dropped = turn.drop(master)
        if turn.waited:
            master.inLine -= dropped
        return dropped > 0

    def _enter(self, turn: Turn[Master], master: Master) -> bool:
        """Whether a request may run now; if not, it waits in line."""
        if self._lines.enter(turn):
            return True
        master.inLine += 1
        return False

    def _slotFor(self, turn: Turn[Master], now: float) -> int:
        """The originator address under which a request goes to the RTU."""
        mode, master = self._options.originatorMode, turn.owner
        if mode.kind != "slot":
            return mode.address if mode.kind == "fixed" else turn.originator
        if master.slot is None:
            master.slot = self._slots.take(now, self.requests.slots)
        return master.slot

    def _register(self, turn: Turn[Master], slot: int, now: float) -> None:
        """Remember who has asked under which originator address."""
        if isFile(turn.asdu):
            self._trail.tell(turn, Outcome.FORWARDED, self._now)
        else:
            request = self.requests.open(turn, slot, now)
            if turn.asdu[0] == _RESET:
                self._reset = request
        self._unwait(turn)
        if turn.owner.throttled:
            turn.owner.throttle(now)

    # -- how it ends ------------------------------------------------------------------------

    def _ended(self, request: Request[Master], outcome: Outcome) -> None:
        """A request is answered, or has been given up: what waited for it may go on."""
        turn = request.turn
        self._trail.tell(turn, outcome, self._now, request.refusedBy)
        if request is self._reset:
            self._reset = None
        if turn.asdu[0] in COMMANDS:
            positive, answered = outcome in POSITIVE, outcome not in UNANSWERED
            self._locks.ended(request.owner, turn.asdu, positive, answered, self._now)
        self._leave(turn)

    def _leave(self, turn: Turn[Master]) -> None:
        self._queue.cleared.extend(self._lines.leave(turn))

    def _refuse(self, turn: Turn[Master], reason: str, cause: int = 0) -> None:
        """Answer a request negatively, as a controlled station does that cannot serve it."""
        answer = mirror(turn.asdu, cause or refusalCause(turn.asdu), negative=True)
        if turn.ours:
            self._note(f"{describe(turn.asdu)} not sent: {reason}", turn.owner.peer, warn=True)
        for master, originator in turn.parties:
            self._note(f"{describe(turn.asdu)} refused: {reason}", master.peer, warn=True)
            master.refuse(from_(answer, originator))
            master.pump(self._now)
        self._unwait(turn)
        self._trail.tell(turn, Outcome.REFUSED_BY_RELAY, self._now, reason)

    def _unwait(self, turn: Turn[Master]) -> None:
        """A request waits in line no more: its masters may send others."""
        if turn.waited:
            turn.waited = False
            for master, _ in turn.parties:
                master.inLine -= 1
                master.throttle(self._now)

    # -- time -------------------------------------------------------------------------------

    def wake(self, now: float) -> None:
        """Act on what is overdue: unanswered requests, selects, and what waits too long."""
        self._now = now
        self.requests.wake(now)
        self._locks.purge(now)
        if now >= self._lookAt:
            self._refuseLate(now)
            self._lookAt = inf
            self._look(now)
        self.pump(now)

    def _refuseLate(self, now: float) -> None:
        """Refuse what waits too long, in line or for the RTU: a late command is dangerous."""
        cleared, isOver = self._queue.cleared, self._patience.isOver
        late = [turn for turn in self._lines.waiting() if isOver(turn, now)]
        cleared.extend(self._lines.remove(late))
        for turn in late + [turn for turn in cleared if isOver(turn, now)]:
            if turn in cleared:
                cleared.remove(turn)
            self._refuse(turn, _TOO_LONG)
            self._leave(turn)
        for turn in self._queue.takeOlder(now - self._options.commandAgeMax, now):
            self._refuse(turn, _TOO_LONG)

    def _look(self, now: float) -> None:
        """Look again soon while anything waits."""
        if self._queue or self._lines.anyWaits:
            self._lookAt = min(self._lookAt, now + LOOK)
