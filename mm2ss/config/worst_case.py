"""What the groups may need at worst: file descriptors, memory, and disk for the journal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from mm2ss.config.model import GroupConfig, HoldMax
from mm2ss.config.problems import counted

#: Listening ports of a group without ``listen``: one for IPv4 and one for IPv6.
EVERY_ADDRESS = 2
#: The journal's file, its lock, and its folder while that is synced.
JOURNAL_FILES = 3
#: The audit trail while it is written, and while a thread syncs it. It is closed in between.
AUDIT_FILES = 2
#: Of all event logs one is open at a time.
EVENT_LOGS = 1
#: What twistd needs: standard streams, log, reactor, and those that look up host names.
PROCESS = 20

#: Octets of the smallest and of the largest ASDU, and of the largest frame.
MIN_ASDU = 10
MAX_ASDU = 249
MAX_FRAME = 255
#: Octets that the journal's file needs for an event beside its ASDU.
DISK_OVERHEAD = 33
#: Octets of memory for the same: the objects of ledger and journal.
HELD_OVERHEAD = 240
#: The journal may become twice as large as what is needed of it, and so many octets more, before
#: it is tidied up.
WASTE = 2
SPARE = 32 * 1024 * 1024


def worstCase(
    groups: Sequence[GroupConfig], journal: Path, allowed: int | None = None
) -> Iterator[str]:
    """The lines of the report.

    :param journal: where the journal is.
    :param allowed: file descriptors that the process may have; None = as many as it wants.
    """
    if not groups:
        return
    held = [group.options.holdMax for group in groups if group.options.journalled]
    yield "At worst the groups need:"
    yield _descriptors(groups, bool(held))
    if scarce := shortage(groups, allowed):
        yield f"    {scarce}"
    yield _memory(groups, held)
    if held:
        disk = SPARE + WASTE * sum(_octets(each, DISK_OVERHEAD) for each in held)
        yield f"  disk: {_size(disk)} for the journal in {journal} (hold_max of each group)"


def descriptors(groups: Sequence[GroupConfig]) -> int:
    """File descriptors that the groups need at worst."""
    journal = any(group.options.journalled for group in groups)
    return _ports(groups) + len(groups) + _masters(groups) + _files(journal) + PROCESS


def shortage(groups: Sequence[GroupConfig], allowed: int | None) -> str:
    """What to do when the groups may need more file descriptors than the process may have; empty
    when they do not."""
    needed = descriptors(groups)
    if allowed is None or needed <= allowed:
        return ""
    return (
        f"at worst {needed} file descriptors are needed, and the system allows {allowed}: raise the"
        f" hard limit (systemd: LimitNOFILE={needed}; a shell: ulimit -Hn {needed})"
    )


def _ports(groups: Sequence[GroupConfig]) -> int:
    return sum(len(group.options.listen) or EVERY_ADDRESS for group in groups)


def _masters(groups: Sequence[GroupConfig]) -> int:
    return sum(group.maxMasters for group in groups)


def _files(journal: bool) -> int:
    return AUDIT_FILES + EVENT_LOGS + (JOURNAL_FILES if journal else 0)


def _descriptors(groups: Sequence[GroupConfig], journal: bool) -> str:
    ports, masters, files = _ports(groups), _masters(groups), _files(journal)
    return (
        f"  file descriptors: {descriptors(groups)} "
        f"({counted(ports, 'port')}, {counted(len(groups), 'RTU')}, {counted(masters, 'master')}, "
        f"{files} for {'journal, ' if journal else ''}audit trail and event logs, "
        f"{PROCESS} for the process)"
    )


def _memory(groups: Sequence[GroupConfig], held: Sequence[HoldMax]) -> str:
    waiting = sum(group.options.ledgerMax for group in groups)
    safe = sum(_octets(each, HELD_OVERHEAD) for each in held)
    flight = sum(group.maxMasters * group.masters.k for group in groups) * MAX_FRAME
    parts = [f"{_size(waiting)} ledger_max", f"{_size(flight)} on the way to masters"]
    if held:
        parts.insert(1, f"{_size(safe)} events in the journal")
    return f"  memory: {_size(waiting + safe + flight)} ({', '.join(parts)})"


def _octets(hold: HoldMax, overhead: int) -> int:
    """The most that the events of one group take, with so much beside each."""
    frames = min(hold.frames, hold.octets // MIN_ASDU)
    return min(hold.octets, frames * MAX_ASDU) + frames * overhead


def _size(octets: int) -> str:
    return f"{octets / 1048576:.1f} MiB"
