"""The traffic of one group: what the RTU sends to its masters, what they send to the RTU.

No sockets and no clock: the group's service calls it with what arrived and the time, and it
sends through the `Outlet` of each connection. An event of the RTU goes through `rtuReceived`, a
command of a master through `masterReceived`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf

from mm2ss.config.addresses import isWithin
from mm2ss.config.model import Address, EndOfInitialization, GroupConfig, InterrogatedData
from mm2ss.iec104.apci import MAX_LENGTH, CloseCause
from mm2ss.iec104.asdu import HEADER_LENGTH, describe, endOfInitialization, withOriginator
from mm2ss.relay.audit import Afterwards, Audit, Trail
from mm2ss.relay.commandfigures import CommandFigures
from mm2ss.relay.commands import Commands
from mm2ss.relay.custody import Custody
from mm2ss.relay.journalapi import SafeCopy
from mm2ss.relay.ledger import Ledger
from mm2ss.relay.master import Master, Note, Outlet
from mm2ss.relay.places import Places
from mm2ss.relay.pressure import Pressure
from mm2ss.relay.rights import Rights
from mm2ss.relay.routing import AUDIENCES, Audience, areForAll
from mm2ss.relay.snapshot import GroupSnapshot, LinksSnapshot

#: Seconds between looks at what is too old to be kept, where `hold_age` is set.
_EXPIRY = 60.0
# Found at once, which a member of an enumeration is not up to Python 3.11.
_ALL, _INITIALIZED = Audience.ALL, Audience.INITIALIZED
_INTERROGATOR, _NOBODY = Audience.INTERROGATOR, Audience.NOBODY


class Exchange:
    """One group's traffic.

    :param config: the group's row and options.
    :param note: told of every event worth a line in the group's event log.
    :param audit: told how each command ended.
    :param afterwards: calls what can wait until all that was written is sent.
    :param wallTime: gives seconds since 1970.
    :param journal: the safe copy of the group's events; None = there is none.
    :param secured: called out of turn when `acknowledge` has something to do.
    :ivar unmatched: answers of the RTU that belong to nobody's request.
    """

    def __init__(
        self,
        config: GroupConfig,
        note: Note,
        audit: Audit,
        afterwards: Afterwards,
        wallTime: Callable[[], float],
        journal: SafeCopy | None,
        secured: Callable[[], None],
    ) -> None:
        self._config = config
        self._options = config.options
        self._note = note
        self._journal = journal
        options = config.options
        window = min(
            config.rtu.k, options.ledgerMax // (4 * MAX_LENGTH), options.holdMax.frames // 2
        )
        self._ledger = Ledger(config.options.commandAgeMax, journal is not None, window)
        self._custody = Custody(config, self._ledger, journal, secured)
        self._secured = secured
        self._places = Places(self._ledger, config.retain, config.bufferSize)
        figures = self._figures = CommandFigures(audit, self._commandConfirmed)
        trail = Trail(config.id, config.name, figures.ended, figures.confirmed, afterwards)
        self._commands = Commands(config, note, trail, wallTime)
        self._masters: list[Master] = []
        self._pressure = Pressure(config, self._ledger, self._masters, self._places)
        self._line: Outlet | None = None  # the RTU's connection, started or not
        self._inSession = False  # an ASDU other than end of initialization came since STARTDT
        self._keeping = False  # the journal takes nothing, and the RTU keeps its events
        self._expireAt = 0.0 if config.options.holdAge else inf
        self._replayed = 0
        self._resent = 0
        self.unmatched = 0

    # -- what the group's service may look at -----------------------------------------------

    @property
    def active(self) -> bool:
        """Whether any master has data transfer started."""
        return any(master.started for master in self._masters)

    @property
    def unsettled(self) -> int:
        """Frames of the RTU that no master has acknowledged."""
        return self._ledger.end - self._ledger.settled

    @property
    def deadline(self) -> float:
        """When `wake` must be called at the latest; inf = never."""
        return min(
            self._commands.deadline, self._custody.deadline, self._pressure.lookAt, self._expireAt
        )

    @property
    def eventsDeadline(self) -> float:
        """The same, but only as far as the arrival of events may bring it nearer."""
        return min(self._custody.deadline, self._pressure.lookAt)

    def snapshot(
        self, transfer: str, refused: dict[str, int], links: LinksSnapshot, now: float
    ) -> GroupSnapshot:
        """The figures of this moment.

        :param transfer: the state of data transfer with the RTU, in words.
        :param refused: connections refused, by reason.
        :param links: the connections.
        """
        ledger = self._ledger
        journal = self._journal
        return GroupSnapshot(
            id=self._config.id,
            name=self._config.name,
            rtu=self._line.peer if self._line is not None else "",
            transfer=transfer,
            masters=tuple(master.snapshot(now) for master in self._masters),
            received=ledger.end - self._replayed,
            settled=ledger.settled,
            unsettled=self.unsettled,
            early=self._custody.early,
            resent=self._resent,
            cutOff=self._pressure.cutOff,
            heldBack=self._pressure.heldBack,
            keeping=journal.full if self._keeping and journal is not None else "",
            unmatched=self.unmatched,
            ambiguous=self._commands.requests.ambiguous,
            octets=ledger.octets,
            mirrorEcho=self._commands.requests.mirrorEcho.snapshot(),
            dataEcho=self._commands.requests.dataEcho.snapshot(),
            journal=journal.figures if journal is not None else None,
            refused=dict(refused),
            links=links,
            commands=dict(self._figures.results),
            roundTrips=self._figures.roundTrips.snapshot(),
            waits=ledger.arrivals.waits(),
        )

    # -- the RTU ----------------------------------------------------------------------------

    def begin(self) -> None:
        """The group starts: what the journal holds is the head of the ledger."""
        count = self._replayed = self._custody.begin()
        if count:
            self._note(f"{count} events are in the journal, for the next master that starts")

    def rtuConnected(self, outlet: Outlet) -> None:
        """The RTU is connected; data transfer is stopped."""
        self._line = outlet
        self._custody.rtuConnected()

    def rtuStarted(self, outlet: Outlet, now: float) -> None:
        """Data transfer with the RTU is started."""
        self._inSession = False
        self._pressure.rtuStarted(outlet, now)
        self._commands.rtuStarted(outlet, now)

    def rtuStopping(self, now: float) -> None:
        """Nothing may be sent to the RTU any more; what it sends is still taken.

        It confirms the stop when all its frames are acknowledged, so they are made safe now.
        """
        self._commands.rtuStopping()
        self._pressure.rtuStopping(now)
        self._custody.mastersListen(False)
        self.acknowledge(now)

    def rtuLost(self, now: float) -> None:
        """The RTU's connection is gone, and with it every pending request."""
        self._line = None
        self._ledger.interrupted()
        self._pressure.rtuLost()
        self._commands.rtuLost(now)
        self.acknowledge(now)

    def rtuReceived(self, outlet: Outlet, asdus: Sequence[bytes], now: float) -> bool:
        """Give each ASDU to whom it is for.

        :returns: whether all was plain process data, by which no request's time has changed.
        """
        ledger = self._ledger
        start = ledger.end
        ledger.arrivals.came(start, now)
        usual = self._inSession and areForAll(asdus)
        others: list[int] = []  # frames that did not enter the ledger
        if usual:
            ledger.extend(asdus)
        elif not self._route(outlet, asdus, others, now):
            return False
        self._custody.rtuReceived(len(asdus), start, others, now)
        for master in self._masters:
            try:
                master.pump(now)
            except Exception:
                master.outlet.fail()  # the RTU and the others have no part in it
        if not usual:
            self._commands.pump(now)
        self._pressure.look(now)
        self.acknowledge(now)
        return usual

    def _route(self, outlet: Outlet, asdus: Sequence[bytes], others: list[int], now: float) -> bool:
        """Give each ASDU to whom it is for, one by one.

        :param others: gets the number of each frame that did not enter the ledger.
        :returns: False when one is malformed; the RTU's connection is then closed.
        """
        ledger = self._ledger
        for number, asdu in enumerate(asdus):
            if len(asdu) < HEADER_LENGTH:
                outlet.close(CloseCause.BAD_ASDU, describe(asdu))
                return False
            audience = AUDIENCES[asdu[0] << 6 | asdu[2] & 0x3F]
            if audience is _ALL:
                ledger.append(withOriginator(asdu, 0))
            else:
                before = ledger.end
                self._direct(audience, asdu, now)
                if ledger.end == before:
                    others.append(number)
            if audience is not _INITIALIZED:
                self._inSession = True
        return True

    def rtuAcknowledged(self, now: float) -> bool:
        """The RTU acknowledged requests: there is room for more; returns whether any waited."""
        return self._commands.pump(now)

    def acknowledge(self, now: float) -> None:
        """Acknowledge to the RTU what is settled or safe, and see that the rest becomes safe."""
        if not self._custody.through:
            return
        point = self._custody.step(now)
        if self._custody.failing != self._keeping:
            self._noteKeeping()
        if self._line is not None and not self._pressure.held:
            self._line.release(point, now)

    def _noteKeeping(self) -> None:
        """Events have begun, or ceased, to wait at the RTU for the journal."""
        self._keeping = self._custody.failing
        if self._keeping:
            why = self._journal.full if self._journal is not None else ""
            self._note(f"the journal takes nothing ({why}): the RTU keeps its events", warn=True)
        else:
            self._note("the journal takes events again")

    def roundTrip(self, seconds: float, now: float) -> None:
        """The RTU answered a test after so long."""
        self._custody.roundTrip(seconds, now)

    def _commandConfirmed(self, seconds: float, now: float) -> None:
        """The RTU confirmed a command after so long; told when all that was written is sent."""
        before = self._custody.deadline
        self._custody.roundTrip(seconds, now)
        if self._custody.deadline < before:  # the alarm stands for later
            self._secured()

    def rtuKnows(self, count: int, now: float) -> None:
        """The RTU has received the acknowledgement of its connection's first `count` frames."""
        self._custody.rtuKnows(count)
        self.acknowledge(now)

    def _direct(self, audience: Audience, asdu: bytes, now: float) -> None:
        """Find whom an ASDU is for that is not simply for all."""
        if audience is _INITIALIZED:
            self._initialized(asdu)
            return
        if audience is _INTERROGATOR:
            parties = self._commands.interrogated(asdu, now)
            if self._options.interrogatedData is InterrogatedData.ALL:
                parties = None
        elif audience is _NOBODY:
            parties = None
        else:
            parties = self._commands.answered(audience, asdu, now)
        if parties is not None:
            # To each that asked, with its own originator address; for one that is gone, to nobody.
            for master, originator in parties:
                if master.started:
                    master.reader.add(withOriginator(asdu, originator))
        elif audience in _ELSE_ALL:
            self._ledger.append(withOriginator(asdu, 0))
        else:
            self._unmatched(asdu)

    def _initialized(self, asdu: bytes) -> None:
        """End of initialization of the RTU: noted, and announced if so configured."""
        announce = self._options.endOfInitialization is EndOfInitialization.ANNOUNCE
        announce = announce and self._inSession and len(asdu) > 9
        self._note(f"{describe(asdu)} from the RTU{', announced' if announce else ''}")
        if announce:
            for master in self._masters:
                if master.started:
                    own = endOfInitialization(asdu[4] | asdu[5] << 8, asdu[9])
                    master.reader.add(own)

    def _unmatched(self, asdu: bytes) -> None:
        """An answer to nobody's request; noted at 1, 2, 4, 8 … of them, lest a log fills."""
        self.unmatched += 1
        if self.unmatched & (self.unmatched - 1) == 0:
            text = f"{describe(asdu)} from the RTU is for no master ({self.unmatched} so far)"
            self._note(text, warn=True)

    # -- the masters ------------------------------------------------------------------------

    def masterStarted(self, outlet: Outlet, address: Address, rights: Rights, now: float) -> Master:
        """A master has started data transfer on its connection for the first time."""
        keepers = self._config.keepers
        keeps = not keepers or isWithin(address, keepers)
        master = Master(outlet, address, rights, self._ledger, keeps)
        self._masters.append(master)
        self.masterResumed(master, now)
        return master

    def masterResumed(self, master: Master, now: float) -> None:
        """A master has started (again): end of initialization, what is unsettled, what comes.

        One whose place was kept gets what it has missed, in order, before what comes.
        """
        position, missed = self._places.take(master.address, now)
        if position is not None:
            missing = self._ledger.end - position
            self._resent += self._ledger.settled - position
            self._note(f"goes on where it was, {missing} frames behind", master.peer)
        elif missed:
            self._note(f"came back too late: it has missed {missed} frames", master.peer, warn=True)
        master.start(endOfInitialization(self._config.commonAddress), position, now)
        self._custody.mastersListen(True)
        master.pump(now)

    def masterStopping(self, master: Master, now: float) -> None:
        """A master sent STOPDT act: it counts as gone, but its acknowledgements still settle."""
        master.stop()
        self._custody.mastersListen(self.active)
        self._commands.left(master, now)
        self._pressure.decide(now)
        self.acknowledge(now)

    def masterGone(self, master: Master, now: float) -> None:
        """A master's connection is gone."""
        try:
            if master.started:
                self._places.keep(master.address, master.reader.reached, now)
                self.masterStopping(master, now)
            self._commands.gone(master, now)
        finally:
            self._masters.remove(master)

    def masterAcknowledged(self, master: Master, count: int, now: float) -> None:
        """A master acknowledged the first `count` frames of its connection."""
        settled = self._ledger.settled
        master.acknowledged(count, now)
        if self._pressure.held:
            self._pressure.decide(now)
        elif self._ledger.settled == settled:
            return  # others have acknowledged all this before
        self.acknowledge(now)

    def masterReceived(self, master: Master, asdus: Sequence[bytes], now: float) -> None:
        """Requests of a master."""
        self._commands.received(master, self._masters, asdus, now)

    # -- time and bounds --------------------------------------------------------------------

    def wake(self, now: float) -> None:
        """Act on what is overdue: requests, and stalled masters."""
        self._commands.wake(now)
        if now >= self._pressure.lookAt:
            self._pressure.look(now, isDue=True)
        self._places.expire(now)
        if now >= self._expireAt and self._journal is not None:
            self._expireAt = now + _EXPIRY
            self._ledger.settle(self._journal.expire())
        self.acknowledge(now)


_ELSE_ALL = frozenset(
    (
        Audience.REQUESTER_OR_ALL,
        Audience.READER,
        Audience.FILE_OFFER,
        Audience.INTERROGATOR,
    )
)
