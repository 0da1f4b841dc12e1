"""What a group lets its masters ask, beyond the form of an ASDU: rights and site decisions."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mm2ss.config.model import CounterReset, GroupOptions, ResetProcess
from mm2ss.iec104.asdu import Cause, TypeId
from mm2ss.relay.clocks import DISAGREEMENT, offsetOf
from mm2ss.relay.master import Master

_FREEZE = 0xC0
#: What the site decides about.
_COUNTERS = TypeId.C_CI_NA_1.value
_CLOCK = TypeId.C_CS_NA_1.value
_PROCESS = TypeId.C_RP_NA_1.value
#: QRP of C_RP_NA_1 that restarts the RTU; 2 erases the time-tagged events in it, other masters'
#: among them, and what the others do is not known.
_RESTART = 1
#: Masters whose clocks are remembered to compare them; far more than a group has.
_CLOCKS_MAX = 255


class Policies:
    """The rules of one group for what is forwarded at all.

    :param options: the site's decisions.
    :param wallTime: gives seconds since 1970, to compare the masters' clocks with.
    """

    def __init__(self, options: GroupOptions, wallTime: Callable[[], float]) -> None:
        self._options = options
        self._wallTime = wallTime
        self._clocks: dict[str, float] = {}

    def refusal(self, master: Master, masters: Sequence[Master], asdu: bytes) -> str:
        """Why a well-formed request is refused; empty when it is not.

        :param masters: the group's masters in the order in which they started.
        """
        reason = master.rights.refusal(asdu)
        if reason:
            return reason
        if asdu[0] == _COUNTERS and asdu[9] & _FREEZE:
            return self._counterReset(master, masters)
        if asdu[0] == _CLOCK:
            clock = self._options.clockSync
            if not clock.allows(master.address):
                return "clock synchronisation is not accepted from this master"
        if asdu[0] == _PROCESS:
            return self._reset(asdu[9])
        return ""

    def _counterReset(self, master: Master, masters: Sequence[Master]) -> str:
        reset = self._options.counterReset
        if reset is CounterReset.DENY:
            return "freezing and resetting counters is denied in this group"
        first = next((each for each in masters if each.started), None)
        if reset is CounterReset.FIRST_MASTER and master is not first:
            return "only the master that started first may freeze and reset counters"
        return ""

    def _reset(self, qualifier: int) -> str:
        reset = self._options.resetProcess
        if reset is ResetProcess.DENY:
            return "resetting the RTU is denied in this group"
        if reset is ResetProcess.DEFAULT and qualifier != _RESTART:
            return "erasing the RTU's events would take them from the other masters"
        return ""

    def clockNote(self, master: Master, asdu: bytes) -> tuple[str, bool]:
        """What the event log says of a clock synchronisation, and whether it is a warning."""
        found = offsetOf(asdu[9:16], self._wallTime())
        if found is None:
            return "clock synchronisation with an invalid time", True
        offset, base = found
        text = f"clock synchronisation, {offset:+.3f} s from the relay's {base}"
        name = str(master.address)
        others = [
            f"{other} by {offset - earlier:+.3f} s"
            for other, earlier in self._clocks.items()
            if other != name and abs(offset - earlier) > DISAGREEMENT
        ]
        self._clocks.pop(name, None)
        self._clocks[name] = offset
        if len(self._clocks) > _CLOCKS_MAX:
            del self._clocks[next(iter(self._clocks))]
        if others:
            return f"{text}; it disagrees with {', '.join(others)}", True
        return text, False


def refusalCause(asdu: bytes) -> int:
    """The cause of the relay's own negative answer to a request."""
    cause = asdu[2] & 0x3F
    if cause == Cause.DEACTIVATION:
        return Cause.DEACTIVATION_CON
    return Cause.FILE_TRANSFER if cause == Cause.FILE_TRANSFER else Cause.ACTIVATION_CON
