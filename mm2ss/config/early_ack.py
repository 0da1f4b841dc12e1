"""Where the RTU cannot wait for a master's acknowledgement: what the parameters of a group mean.

The relay acknowledges an event to the RTU when a master has acknowledged it, and early when the
RTU's t1 would be over before, or when its window k is too small for the masters' w.
"""

from __future__ import annotations

from collections.abc import Iterator

from mm2ss.config.model import AckMode, GroupConfig
from mm2ss.config.parameters import LinkParameters

#: Seconds before the end of the RTU's t1 at which it is acknowledged at the latest.
MARGIN = 2.0
#: Seconds before that at which events are taken to the journal, and the least time they get.
WRITE_TIME = 1.0


def patienceOf(rtu: LinkParameters) -> float:
    """Seconds after which an event is acknowledged to the RTU, whatever the masters do."""
    return max(rtu.t1 - MARGIN, WRITE_TIME)


def whyTooShort(group: GroupConfig) -> str:
    """What is wrong when a master that works as it should acknowledges too late for the RTU."""
    rtu, masters = group.rtu, group.masters
    if group.options.ackMode is AckMode.IMMEDIATE:
        return ""
    if patienceOf(rtu) > masters.t2 + WRITE_TIME:
        return ""
    advice = f"Set t1 in the RTU to more than {masters.t2 + WRITE_TIME + MARGIN:g} s"
    shorter = rtu.t1 - MARGIN - WRITE_TIME
    if shorter > 1:
        advice += f", or t2 in the masters to less than {shorter:g} s"
    return (
        f"the RTU's t1 ({rtu.t1:g} s) is too short for the masters' t2 ({masters.t2:g} s): each"
        f" event that comes alone is acknowledged {_early(group)}. {advice}, and the same here"
    )


def _early(group: GroupConfig) -> str:
    if group.options.journal:
        return "early, through the journal"
    return "early, and lost by a crash until a master has it"


def atRisk(group: GroupConfig) -> tuple[int, int]:
    """Frames that a crash may cost without the journal, and further ones while a group stops.

    They hold for masters that take their data and are lost one at a time.
    """
    k, w = group.rtu.k, group.masters.w
    return (k if k >= w else k + w), 2 * k


def remarks(group: GroupConfig) -> Iterator[str]:
    """What is as it was set, and should be known."""
    options, k, w = group.options, group.rtu.k, group.masters.w
    if options.ackMode is AckMode.IMMEDIATE:
        if group.keepers:
            yield "keepers: no effect, since ack_mode is immediate"
        return
    if k < w:
        yield (
            f"the RTU's k ({k}) is smaller than the masters' w ({w}): what fills 2/3 of k for 2 s"
            f" is acknowledged {_early(group)}"
        )
    if group.keepers:
        events = "go to the journal, up to hold_max" if options.journal else "are lost by a crash"
        yield f"keepers: while none of them is connected, events {events}"
    if options.journal and options.holdAge:
        yield f"hold_age: events that nobody took for {options.holdAge:g} s are given up"
