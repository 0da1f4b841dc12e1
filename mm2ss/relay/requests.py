"""What the masters have asked the RTU, and whose request an answer belongs to.

The key of a request is its type, common address and object address; it finds the owner whether
or not the RTU echoes the originator address. Where several requests share the key, what the RTU
echoes (if it is known to echo), the qualifier and the value decide, and then the older one.

A request that was not answered in time stays as a *tombstone* for a minute, so that a late
answer finds its owner and not a stranger. Nothing is ever made up for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import Enum
from heapq import heapify, heappop, heappush
from itertools import chain, count
from math import inf
from typing import Generic, TypeVar

from mm2ss.config.model import GroupOptions, OriginatorEcho
from mm2ss.iec104.asdu import (
    BROADCAST,
    TYPES,
    Cause,
    TypeId,
    causeName,
    isSelect,
    objectAddress,
    objectAddresses,
)
from mm2ss.relay.audit import Outcome
from mm2ss.relay.lines import Turn
from mm2ss.relay.snapshot import EchoSnapshot

Owner = TypeVar("Owner")

#: Seconds that an unanswered request is remembered after its deadline.
TOMBSTONE = 60.0
#: Seconds a read may take, a clock synchronisation (confirmed behind queued events), an
#: interrogation without progress.
READ_TIME = 10.0
CLOCK_TIME = 30.0
INTERROGATION_TIME = 60.0
#: Seconds for further stations to answer a broadcast when all that answered are done.
BROADCAST_TIME = 5.0
#: Requests remembered for one master; beyond it the oldest is forgotten.
REQUESTS_MAX = 1000
#: Moments of expiry in memory, also of answered requests, before the latter are looked for.
_SWEEP_STEP = 256
#: Answers in a row with the right originator address before an RTU is believed to echo it.
ECHO_PROOF = 3

_TEST = 0x80
_REFUSALS = frozenset((44, 45, 46, 47))
_INTERROGATIONS = frozenset((TypeId.C_IC_NA_1, TypeId.C_CI_NA_1))
_COMMANDS = frozenset((*range(45, 52), *range(58, 65)))
#: Types whose execution ends with a termination after the confirmation.
_TERMINATING = _COMMANDS | _INTERROGATIONS
#: Octets at the end of the object that are a time, and never compared.
_TIME_TAG = dict.fromkeys((*range(58, 65), TypeId.C_CS_NA_1, TypeId.C_TS_TA_1), 7)
#: Types whose first object octet says what is asked: QOI, QCC, QRP, QPA.
_QUALIFIED = frozenset((100, 101, 105, 113))
#: Seconds until the first answer is overdue, where the group's options do not say it.
_PATIENCE = {int(TypeId.C_CS_NA_1): CLOCK_TIME, int(TypeId.C_RD_NA_1): READ_TIME}
# What is asked for often has a name here: up to Python 3.11 an enumeration takes as long as a call
# to find a member.
_READ = TypeId.C_RD_NA_1.value
_DEACTIVATION = Cause.DEACTIVATION.value
_DEACTIVATION_CON = Cause.DEACTIVATION_CON.value
_ACTIVATION_CON = Cause.ACTIVATION_CON.value
_ACTIVATION_TERM = Cause.ACTIVATION_TERM.value


class Phase(Enum):
    """How far a request has come."""

    SENT = "sent"
    CONFIRMED = "confirmed"


_SENT, _CONFIRMED = Phase.SENT, Phase.CONFIRMED


class Request(Generic[Owner]):
    """One request that went to the RTU.

    :ivar turn: the request as its masters sent it.
    :ivar owner: the first master that asked; opaque here.
    :ivar slot: the originator address under which it went to the RTU (0-255).
    :ivar sent: when it went to the RTU, monotonic seconds.
    :ivar expired: it is a tombstone.
    """

    __slots__ = (
        "cause",
        "commonAddress",
        "deadline",
        "expired",
        "objectAddress",
        "owner",
        "phase",
        "qualifier",
        "refusedBy",
        "select",
        "sent",
        "slot",
        "stations",
        "turn",
        "typeId",
    )

    def __init__(self, turn: Turn[Owner], slot: int, now: float) -> None:
        asdu = turn.asdu
        self.turn = turn
        self.owner = turn.owner
        self.slot = slot
        self.sent = now
        self.typeId = asdu[0]
        self.cause = asdu[2] & 0x3F
        self.commonAddress = asdu[4] | asdu[5] << 8
        self.objectAddress = objectAddress(asdu)
        self.select = isSelect(asdu)
        self.qualifier = _qualifier(asdu)
        self.phase = _SENT
        self.expired = False
        self.refusedBy = ""
        """The cause of the RTU's refusal in words, if it refused."""
        self.deadline = inf
        self.stations: dict[int, bool] = {}
        """For a broadcast: the stations that answered, and whether each is done."""

    @property
    def parties(self) -> list[tuple[Owner, int]]:
        """Who asked, each with the originator address he used (0-255), to be restored."""
        return self.turn.parties

    @property
    def test(self) -> int:
        """The T bit: 0 or 128."""
        return self.turn.asdu[2] & _TEST

    @property
    def value(self) -> bytes:
        """The object without its time tag."""
        return _value(self.turn.asdu)

    def fits(self, cause: int, asdu: bytes) -> bool:
        """Whether an answer with this cause can belong to the request as far as it has come."""
        sent = self.phase is _SENT
        if cause in _REFUSALS:  # known by type and addresses alone
            return sent or self._mayAnswerAgain
        if cause == _ACTIVATION_TERM:
            # Only an execution is terminated, whatever S/E says: some RTUs mirror the select's.
            return self.cause != _DEACTIVATION and not self.select
        if self.select != isSelect(asdu):
            return False
        if cause == _ACTIVATION_CON:
            return self.cause != _DEACTIVATION and (sent or self._mayAnswerAgain)
        if cause == _DEACTIVATION_CON:
            return self.cause == _DEACTIVATION
        return True

    @property
    def _mayAnswerAgain(self) -> bool:
        """Broadcasts are answered by many; a read's confirmations and private types by custom."""
        return self.commonAddress == BROADCAST or self.typeId == _READ or self.typeId not in TYPES


class Echo:
    """Whether the RTU returns the originator address of requests."""

    def __init__(self, told: OriginatorEcho) -> None:
        self._learns = told is OriginatorEcho.AUTO
        self._proofs = ECHO_PROOF if told is OriginatorEcho.YES else 0
        self.hits = 0
        self.misses = 0

    @property
    def known(self) -> bool:
        """Whether a returned originator address can be relied on."""
        return self._proofs >= ECHO_PROOF

    def snapshot(self) -> EchoSnapshot:
        """What was seen so far."""
        return EchoSnapshot(self.known, self.hits, self.misses)

    def learn(self, hit: bool) -> None:
        """An unambiguous answer did, or did not, carry the originator address of its request."""
        if hit:
            self.hits += 1
        else:
            self.misses += 1
        if self._learns:
            self._proofs = self._proofs + 1 if hit else 0


class Requests(Generic[Owner]):
    """All requests of one group that are open or remembered.

    :param options: time-outs, and what is told of the RTU's echo.
    :param ended: told once of each request how it ended (a tombstone has ended already).
    :ivar ambiguous: answers that more than one request could have claimed.
    :ivar deadline: when `wake` is to be called; inf = never.
    """

    def __init__(
        self, options: GroupOptions, ended: Callable[[Request[Owner], Outcome], None]
    ) -> None:
        self._options = options
        self._ended = ended
        self._slots = options.originatorMode.kind == "slot"
        echo = options.originatorEcho if self._slots else OriginatorEcho.NO
        self.mirrorEcho = Echo(echo)
        self.dataEcho = Echo(echo)
        self.ambiguous = 0
        self.deadline = inf
        # type and object address -> common address -> requests, oldest first
        self._index: dict[int, dict[int, dict[Request[Owner], None]]] = {}
        self._byOwner: dict[Owner, dict[Request[Owner], None]] = {}
        self._expiry: list[tuple[float, int, Request[Owner]]] = []
        self._sweepAt = _SWEEP_STEP
        self._serial = count()
        self._answered: tuple[Request[Owner], bytes, float] | None = None  # see `advance`

    def __len__(self) -> int:
        return sum(map(len, self._byOwner.values()))

    @property
    def slots(self) -> set[int]:
        """The slots under which something was asked that is still remembered."""
        return {request.slot for own in self._byOwner.values() for request in own}

    # -- questions --------------------------------------------------------------------------

    def open(self, turn: Turn[Owner], slot: int, now: float) -> Request[Owner]:
        """Remember a request that goes to the RTU now."""
        self.advance()
        request = Request(turn, slot, now)
        own = self._byOwner.setdefault(request.owner, {})
        if len(own) >= REQUESTS_MAX:
            self._remove(next(iter(own)), Outcome.TIMED_OUT)
            own = self._byOwner.setdefault(request.owner, {})
        own[request] = None
        point = request.typeId << 24 | request.objectAddress
        stations = self._index.setdefault(point, {})
        stations.setdefault(request.commonAddress, {})[request] = None
        patience = _PATIENCE.get(request.typeId, self._options.confirmTimeout)
        self._expire(request, now + patience)
        return request

    def void(self) -> None:
        """The RTU's connection is gone: no answer will come."""
        self.advance()
        for own in tuple(self._byOwner.values()):
            for request in tuple(own):
                self._remove(request, Outcome.CONNECTION_LOST)
        self._expiry.clear()
        self.deadline = inf

    # -- answers ----------------------------------------------------------------------------

    def answer(self, asdu: bytes, now: float) -> Request[Owner] | None:
        """Whose request a mirror answers; `advance` takes it further."""
        self.advance()
        if len(asdu) < 9:
            return None
        cause = asdu[2] & 0x3F
        station = asdu[4] | asdu[5] << 8
        found = [
            request
            for request in self._candidates(asdu[0], station, objectAddress(asdu))
            if request.fits(cause, asdu)
        ]
        request = self._pick(self.mirrorEcho, found, asdu, alike=True)
        if request is not None:
            self._answered = (request, asdu, now)
        return request

    def advance(self) -> None:
        """Take the request further, or end it, that was answered last.

        To be called when its masters have the answer, who wait for it, and before anything hangs
        on how far requests are. What follows here, the next answer first, calls it by itself.
        """
        if self._answered is not None:
            answered, self._answered = self._answered, None
            self._advance(*answered)

    def reading(self, asdu: bytes, now: float) -> Request[Owner] | None:
        """Whose read (C_RD_NA_1) data with cause 5 answers; ends the read."""
        self.advance()
        station = asdu[4] | asdu[5] << 8
        for address in objectAddresses(asdu):
            found = [
                request
                for request in self._candidates(TypeId.C_RD_NA_1, station, address)
                if request.phase is _SENT  # one that was answered only waits for mirrors
            ]
            if found:
                request = self._pick(self.dataEcho, found, asdu)
                if request is not None:
                    request.phase = _CONFIRMED
                    self._bury(request, Outcome.CONFIRMED, now)
                return request
        return None

    def interrogations(self, asdu: bytes, now: float) -> list[Request[Owner]]:
        """The running interrogations that data with a cause of 20-36 belongs to."""
        self.advance()
        cause = asdu[2] & 0x3F
        station = asdu[4] | asdu[5] << 8
        running = [
            request
            for request in self._candidates(TypeId.C_IC_NA_1, station, 0)
            if not request.expired
            and request.cause == Cause.ACTIVATION
            and request.qualifier == cause
        ]
        for request in running:
            if not _done(request):
                request.deadline = now + INTERROGATION_TIME
        if len(running) == 1:
            self._learn(self.dataEcho, running[0], asdu[3])
        return running

    def directory(self, asdu: bytes, now: float) -> Request[Owner] | None:
        """Who called the directory (F_SC_NA_1 with cause 5) that an F_DR_TA_1 answers; its last
        file ends the call."""
        self.advance()
        station = asdu[4] | asdu[5] << 8
        address = objectAddress(asdu) if len(asdu) >= 9 else 0
        for point in (address, 0):
            found = list(self._candidates(TypeId.F_SC_NA_1, station, point))
            if found:
                request = self._pick(self.dataEcho, found, asdu)
                if request is not None and _isLastFile(asdu):
                    self._bury(request, Outcome.CONFIRMED, now)
                return request
        return None

    # -- time -------------------------------------------------------------------------------

    def wake(self, now: float) -> None:
        """Turn what is overdue into tombstones, and forget old tombstones."""
        self.advance()
        expiry = self._expiry
        while expiry and expiry[0][0] <= now:
            request = heappop(expiry)[2]
            if request not in self._byOwner.get(request.owner, ()):
                continue
            if request.deadline <= now:
                if request.expired or _done(request):
                    self._remove(request, Outcome.TERMINATED)
                    continue
                confirmed = request.phase is _CONFIRMED
                confirmed = confirmed and request.typeId not in _INTERROGATIONS
                self._bury(request, Outcome.CONFIRMED if confirmed else Outcome.TIMED_OUT, now)
            self._push(request)
        self.deadline = expiry[0][0] if expiry else inf

    # -- helpers ----------------------------------------------------------------------------

    def _candidates(self, typeId: int, station: int, address: int) -> Iterable[Request[Owner]]:
        """Requests with this key, oldest first per station; either side may be a broadcast."""
        stations = self._index.get(typeId << 24 | address)
        if stations is None:
            return ()
        if station == BROADCAST:
            return chain.from_iterable(stations.values())
        own = stations.get(station, ())
        return (*own, *stations[BROADCAST]) if BROADCAST in stations else own

    def _pick(
        self, echo: Echo, found: list[Request[Owner]], asdu: bytes, alike: bool = False
    ) -> Request[Owner] | None:
        """By the originator address where it is echoed; then by T bit, qualifier and value (of a
        mirror, which is `alike`); then one that is no tombstone; then the oldest."""
        known = echo.known  # an answer is judged by what was known of the RTU before it
        if len(found) == 1:  # nearly always
            request = found[0]
            self._learn(echo, request, asdu[3])
            return None if asdu[3] and known and request.slot != asdu[3] else request
        if asdu[3] and known:
            same = [request for request in found if request.value == _value(asdu)]
            if asdu[0] in _COMMANDS and same:  # some RTUs stamp the last commander on all
                found = same
            found = [request for request in found if request.slot == asdu[3]]
        if alike:
            found = _prefer(found, asdu)
            if asdu[2] & 0x3F == _ACTIVATION_TERM:  # some RTUs never confirm, others come first
                found = [request for request in found if request.phase is _CONFIRMED] or found
        found = [request for request in found if not request.expired] or found
        if len({request.owner for request in found}) > 1:
            self.ambiguous += 1
        return found[0] if found else None

    def _learn(self, echo: Echo, request: Request[Owner], originator: int) -> None:
        """Note whether the RTU returned the originator address in an answer to this request."""
        if self._slots and not request.expired:
            echo.learn(originator == request.slot)

    def _advance(self, request: Request[Owner], asdu: bytes, now: float) -> None:
        """Take a request further, by an answer to it; a tombstone too, but quietly."""
        cause = asdu[2] & 0x3F
        negative = bool(asdu[2] & 0x40)
        station = asdu[4] | asdu[5] << 8
        if request.commonAddress == BROADCAST and station != BROADCAST:
            if not request.expired:
                self._advanceStation(request, cause, negative, station, now)
        elif cause in _REFUSALS:
            self._refused(request, cause)
        elif cause == _ACTIVATION_TERM:
            self._remove(request, Outcome.TERMINATED)
        elif cause == _DEACTIVATION_CON and negative:
            self._refused(request, cause)
        elif cause == _DEACTIVATION_CON:
            deactivated = self._deactivated(request)
            self._remove(request, Outcome.CONFIRMED)
            for other in deactivated:
                self._remove(other, Outcome.DEACTIVATED)
        elif cause == _ACTIVATION_CON:
            self._confirm(request, negative, now)

    def _confirm(self, request: Request[Owner], negative: bool, now: float) -> None:
        if negative:
            self._refused(request, _ACTIVATION_CON)
        elif request.typeId in _TERMINATING and not request.select:
            request.phase = _CONFIRMED
            if not request.expired:
                interrogation = request.typeId in _INTERROGATIONS
                patience = self._options.terminationTimeout
                self._expire(request, now + (INTERROGATION_TIME if interrogation else patience))
        elif request.typeId != _READ and request.typeId in TYPES:
            self._remove(request, Outcome.CONFIRMED)

    def _refused(self, request: Request[Owner], cause: int) -> None:
        request.refusedBy = f"{causeName(cause)}, negative"
        self._remove(request, Outcome.REFUSED_BY_RTU)

    def _advanceStation(
        self, request: Request[Owner], cause: int, negative: bool, station: int, now: float
    ) -> None:
        """One station's answer to a broadcast; it ends when all that answered are done."""
        more = cause == _ACTIVATION_CON and request.typeId in _TERMINATING and not negative
        request.phase = _CONFIRMED
        request.stations[station] = not more
        self._expire(request, now + (BROADCAST_TIME if _done(request) else INTERROGATION_TIME))

    def _deactivated(self, request: Request[Owner]) -> list[Request[Owner]]:
        """What a deactivation has ended: its master's requests that went to the RTU before it."""
        deactivated: list[Request[Owner]] = []
        stations = self._index[request.typeId << 24 | request.objectAddress]
        for other in stations[request.commonAddress]:
            if other is request:
                break
            if other.cause == _DEACTIVATION:
                continue
            owners = (other.owner, *other.turn.owners)
            alike = other.test == request.test and other.qualifier == request.qualifier
            if alike and any(owner is request.owner for owner in owners):
                deactivated.append(other)
        return deactivated

    def _bury(self, request: Request[Owner], outcome: Outcome, now: float) -> None:
        """It is over, but a late answer is still to find its owner."""
        if not request.expired:
            request.expired = True
            self._ended(request, outcome)
        self._expire(request, now + TOMBSTONE)

    def _expire(self, request: Request[Owner], when: float) -> None:
        earlier = when < request.deadline
        request.deadline = when
        if earlier:  # a later moment is found when the earlier one has come
            self._push(request)

    def _push(self, request: Request[Owner]) -> None:
        if len(self._expiry) >= self._sweepAt:
            self._sweep()
        heappush(self._expiry, (request.deadline, next(self._serial), request))
        self.deadline = self._expiry[0][0]

    def _sweep(self) -> None:
        """Forget when requests that are answered would have been overdue."""
        self._expiry = [
            entry for entry in self._expiry if entry[2] in self._byOwner.get(entry[2].owner, ())
        ]
        heapify(self._expiry)
        self._sweepAt = max(_SWEEP_STEP, 2 * len(self._expiry))

    def _remove(self, request: Request[Owner], outcome: Outcome) -> None:
        own = self._byOwner[request.owner]
        del own[request]
        if not own:
            del self._byOwner[request.owner]
        point = request.typeId << 24 | request.objectAddress
        stations = self._index[point]
        del stations[request.commonAddress][request]
        if not stations[request.commonAddress]:
            del stations[request.commonAddress]
            if not stations:
                del self._index[point]
        if not request.expired:
            self._ended(request, outcome)


def _done(request: Request[Owner]) -> bool:
    """Whether every station that answered a broadcast has finished."""
    return bool(request.stations) and all(request.stations.values())


def _isLastFile(asdu: bytes) -> bool:
    """Whether a directory ends with this F_DR_TA_1 (bit LFD of its last object's SOF)."""
    return len(asdu) >= 22 and bool(asdu[-8] & 0x20)


def _prefer(pool: list[Request[Owner]], asdu: bytes) -> list[Request[Owner]]:
    """Those with the same T bit, qualifier and value, in this order, where there are any."""
    if len(pool) > 1:
        pool = [request for request in pool if request.test == asdu[2] & _TEST] or pool
        pool = [request for request in pool if request.qualifier == _qualifier(asdu)] or pool
        pool = [request for request in pool if request.value == _value(asdu)] or pool
    return pool


def _qualifier(asdu: bytes) -> int:
    return asdu[9] if asdu[0] in _QUALIFIED and len(asdu) > 9 else 0


def _value(asdu: bytes) -> bytes:
    """The object without its time tag."""
    return asdu[9 : len(asdu) - _TIME_TAG.get(asdu[0], 0)]
