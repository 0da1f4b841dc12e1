"""One group row -> a GroupConfig, or the reasons why it cannot be one."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum

from mm2ss.config.addresses import parseFilter, parseHosts
from mm2ss.config.cells import Cells
from mm2ss.config.model import GroupConfig, Host, Network, SameAddress
from mm2ss.config.parameters import LinkParameters

#: What empty cells mean as long as no general row says otherwise.
DEFAULTS: Mapping[str, int] = {
    "idletime": 60,
    "t1": 15,
    "t2": 10,
    "t3": 20,
    "w": 8,
    "k": 12,
    "bufsize": 1000,
}

MAX_CONNECTIONS = 5

#: Characters of the system name that count.
NAME_LENGTH = 16


class _YesNo(Enum):
    YES = "Y"
    NO = "N"


def readGroup(cells: Cells, defaults: Mapping[str, int]) -> GroupConfig | None:
    """The group of a row, or None; ``cells.problems`` says why, and what was changed.

    ``defaults`` gives the numbers for empty cells (keys as in DEFAULTS). All cells are looked at,
    also when an early one rejects the row.
    """
    if cells.row.fault:
        cells.error("", None, cells.row.fault)
        return None
    number = cells.required("id")
    name = _name(cells)
    port = cells.required("port no")
    commonAddress = cells.required("rtu no")
    maxMasters = cells.optional("max conn", MAX_CONNECTIONS)
    idleTime = cells.optional("idletime", defaults["idletime"])
    link = _link(cells, defaults)
    bufferSize = _bufferSize(cells, defaults["bufsize"], link.k)
    if idleTime and idleTime <= link.t3 + link.t1:
        limit = f"t3 + t1 ({link.t3 + link.t1})"
        cells.warn(
            "idletime",
            str(idleTime),
            f"is not longer than {limit}: connections at rest "
            "are closed before a test frame can keep them",
        )
    logEvents = cells.choice("logevents", {"y": _YesNo.YES, "n": _YesNo.NO}, _YesNo.YES)
    same = {value.value: value for value in SameAddress}
    sameAddress = cells.choice("same ip", same, SameAddress.ALL)
    networks = _filter(cells)
    hosts = _hosts(cells)
    if cells.rejected:
        return None
    return GroupConfig(
        id=number,
        name=name,
        port=port,
        commonAddress=commonAddress,
        hosts=hosts,
        maxMasters=maxMasters,
        idleTime=idleTime,
        bufferSize=bufferSize,
        logEvents=logEvents is _YesNo.YES,
        sameAddress=sameAddress,
        filter=networks,
        rtu=link,
        masters=link,
    )


def _name(cells: Cells) -> str:
    text = cells.text("sys name")
    if not text:
        cells.error("sys name", text, "is empty; a name is needed here")
    name = "".join(each if each.isprintable() else " " if each.isspace() else "_" for each in text)
    name = name[:NAME_LENGTH].strip()
    if name != text:
        cells.warn(
            "sys name", text, f"the name used is '{name}': {NAME_LENGTH} printable characters count"
        )
    return name


def _link(cells: Cells, defaults: Mapping[str, int]) -> LinkParameters:
    """Timers and windows, made to agree with each other."""
    t1, t2, t3, w, k = (
        cells.optional(name, defaults[name]) for name in ("t1", "t2", "t3", "w", "k")
    )
    if t1 == 1:
        cells.warn("t1", "1", "leaves no t2 between 1 and t1 - 1; t1 2 and t2 1 are used")
        t1, t2 = 2, 1
    elif t2 >= t1:
        cells.warn("t2", str(t2), f"is not shorter than t1 ({t1}); {t1 - 1} is used")
        t2 = t1 - 1
    if w > k:
        corrected = max(1, 2 * k // 3)
        cells.warn("w", str(w), f"is larger than k ({k}); {corrected} is used")
        w = corrected
    elif 3 * w > 2 * k:
        cells.warn(
            "w",
            str(w),
            f"is larger than 2/3 of k ({k}): the peer may have to wait for acknowledgements",
        )
    return LinkParameters(k=k, w=w, t1=t1, t2=t2, t3=t3)


def _bufferSize(cells: Cells, default: int, k: int) -> int:
    """Frames that may wait for a master: at least one window."""
    size = cells.optional("bufsize", default)
    if size >= k:
        return size
    used = max(default, k)
    cells.warn("bufsize", str(size), f"is less than k ({k}); {used} is used")
    return used


def _filter(cells: Cells) -> tuple[Network, ...]:
    """The networks; one wrong entry rejects the row, since leaving it out could let more in."""
    networks, wrong = parseFilter(cells.text("filter"))
    for entry, reason in wrong:
        cells.error("filter", entry, reason)
    return networks


def _hosts(cells: Cells) -> tuple[Host, ...]:
    text = cells.text("hosts")
    hosts, wrong = parseHosts(text)
    for entry, reason in wrong:
        cells.warn("hosts", entry, f"{reason}; skipped")
    if not hosts:
        reason = "no host with a port; at least one such as 192.168.1.1:2404 is needed"
        cells.error("hosts", text, reason)
    elif not cells.text("filter") and any(not parseFilter(entry)[1] for entry, _ in wrong):
        reason = "is empty, so everyone may connect; were the addresses in 'hosts' meant for it?"
        cells.warn("filter", None, reason)
    return hosts
