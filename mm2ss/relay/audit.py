"""What the audit trail says of one command: what it was, whose, and how it ended."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from functools import partial
from typing import Any

from mm2ss.iec104.asdu import (
    Cause,
    causeName,
    header,
    isSelect,
    objectAddress,
    typeName,
    withOriginator,
)
from mm2ss.iec104.elements import describeObjects
from mm2ss.relay.lines import Turn
from mm2ss.relay.rights import controls

#: Single, double, step and set-point commands and bitstrings, with and without a time tag.
_COMMANDS = frozenset((*range(45, 52), *range(58, 65)))


class Outcome(Enum):
    """How a command ended, as far as the relay knows; the value is what the trail says.

    CONFIRMED: the RTU confirmed it, and no more was to come (selects, deactivations, types
        without termination) or came.
    TERMINATED: the RTU confirmed it and reported its end.
    DEACTIVATED: the RTU confirmed a deactivation of it.
    FORWARDED: it went to the RTU, which does not answer to such a type.
    REFUSED_BY_RTU: the RTU's answer was negative, or said that it does not know what is meant.
    REFUSED_BY_RELAY: it never went to the RTU.
    TIMED_OUT: no answer came in time; whether the RTU acted is unknown.
    CONNECTION_LOST: the RTU was lost before it answered; whether it acted is unknown.
    MASTER_GONE: the master was gone before its command had been sent to the RTU.
    """

    CONFIRMED = "confirmed"
    TERMINATED = "terminated"
    DEACTIVATED = "deactivated"
    FORWARDED = "forwarded"
    REFUSED_BY_RTU = "refused by RTU"
    REFUSED_BY_RELAY = "refused by relay"
    TIMED_OUT = "timed out"
    CONNECTION_LOST = "connection lost"
    MASTER_GONE = "master gone"


#: The RTU does, or has done, what it was asked; it may or may not, for it has not said anything.
POSITIVE = (Outcome.CONFIRMED, Outcome.TERMINATED)
UNANSWERED = (Outcome.TIMED_OUT, Outcome.CONNECTION_LOST)


@dataclass(frozen=True)
class AuditEntry:
    """One command that has ended.

    :ivar group: the group's id.
    :ivar system: the name of its RTU or system.
    :ivar master: the address of the master, as text.
    :ivar value: what was commanded, in words.
    :ivar action: ``select``, ``execute``, ``activate``, ``deactivate``, or the cause's name.
    :ivar originator: the originator address that the master wrote, 0-255.
    :ivar test: the test bit was set: nothing was to happen.
    :ivar result: how it ended.
    :ivar reason: why, where the result alone does not say it; else empty.
    :ivar duration: seconds from its coming from the master to its end.
    """

    group: int
    system: str
    master: str
    typeId: int
    typeName: str
    commonAddress: int
    objectAddress: int
    value: str
    action: str
    originator: int
    test: bool
    result: Outcome
    reason: str = ""
    duration: float = 0.0


#: Takes each command that has ended; never raises.
Audit = Callable[[AuditEntry], None]
#: Calls what can wait until all that was written is sent.
Afterwards = Callable[[Callable[[], None]], None]


class Trail:
    """Tells those for whom no master waits how the commands of one group go: the audit trail.

    They are told when the answers have gone to the masters: a file is written for each command,
    and that takes longer than all else it needs.

    :param group: the group's id.
    :param system: the name of its RTU or system.
    :param audit: told how each command ended.
    :param roundTrip: told how many seconds the RTU took to confirm a command, and the time.
    :param afterwards: calls what can wait until all that was written is sent.
    """

    def __init__(
        self,
        group: int,
        system: str,
        audit: Audit,
        roundTrip: Callable[[float, float], None],
        afterwards: Afterwards,
    ) -> None:
        self._group = group
        self._system = system
        self._audit = audit
        self._roundTrip = roundTrip
        self._afterwards = afterwards
        self._confirmed: list[float] = []
        self._ended: list[tuple[Turn[Any], Outcome, float, str]] = []

    def confirmed(self, seconds: float) -> None:
        """The RTU took so long to confirm a command."""
        self._confirmed.append(seconds)

    def tell(self, turn: Turn[Any], outcome: Outcome, now: float, reason: str = "") -> None:
        """A request has ended; an entry for each master that shared it, if it was a command.

        What the relay has refused has its entry whatever it was.
        """
        self._ended.append((turn, outcome, now, reason))

    def flush(self, now: float) -> None:
        """Have all that has ended handed over, in that order, as soon as all is sent."""
        if self._confirmed or self._ended:
            self._afterwards(partial(self._handOver, now))

    def _handOver(self, now: float) -> None:
        for seconds in self._confirmed:
            self._roundTrip(seconds, now)
        self._confirmed.clear()
        ended, self._ended = self._ended, []
        for each in ended:
            self._write(*each)

    def _write(self, turn: Turn[Any], outcome: Outcome, now: float, reason: str) -> None:
        if outcome is not Outcome.REFUSED_BY_RELAY and not controls(turn.asdu):
            return
        parties = turn.parties
        if turn.ours:
            parties = [(turn.owner, 0)]
            reason = f"{reason}, " if reason else ""
            reason += "the relay's own, for a master that left"
        for master, originator in parties:
            asdu = withOriginator(turn.asdu, originator)
            duration = now - turn.since
            self._audit(
                auditEntry(self._group, self._system, master.peer, asdu, outcome, reason, duration)
            )


def auditEntry(
    group: int,
    system: str,
    master: str,
    asdu: bytes,
    result: Outcome,
    reason: str = "",
    duration: float = 0.0,
) -> AuditEntry:
    """The entry of a command that is at hand as its ASDU, with the master's own originator.

    :raises ValueError: when the ASDU is too short for an object address; what `admitControl`
        forwards or refuses is not.
    """
    head = header(asdu)
    address = objectAddress(asdu)
    action = actionOf(asdu)
    value = describeObjects(asdu).removeprefix(f"IOA {address}").removeprefix(" =").lstrip()
    return AuditEntry(
        group,
        system,
        master,
        head.typeId,
        typeName(head.typeId),
        head.commonAddress,
        address,
        value.replace(" select", "", 1) if action == "select" else value,
        action,
        head.originator,
        head.test,
        result,
        reason,
        duration,
    )


def actionOf(asdu: bytes) -> str:
    """What a request does, in a word."""
    cause = asdu[2] & 0x3F
    if cause == Cause.DEACTIVATION:
        return "deactivate"
    if cause != Cause.ACTIVATION:
        return causeName(cause)
    if asdu[0] not in _COMMANDS:
        return "activate"
    return "select" if isSelect(asdu) else "execute"
