"""Sets aside what the journal holds and no master may get: events of groups that are not (any
more), and damaged places, each in a file of its own in the journal's folder."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime, timedelta, timezone
from itertools import count
from typing import NamedTuple

from mm2ss.relay.journaldisk import Disk
from mm2ss.relay.journalrecovery import Damage, Recovered
from mm2ss.relay.journalstate import Chain
from mm2ss.relay.journalstore import Store

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


class Finding(NamedTuple):
    """A line for the log about what the start has found.

    :ivar isError: something that should not be; else it is what a power cut leaves.
    """

    isError: bool
    text: str


class Aside(NamedTuple):
    """What was done.

    :ivar chains: whose entries are set aside safely; they are not needed any more.
    :ivar number: frames and damaged places set aside.
    """

    findings: list[Finding]
    chains: list[Chain]
    number: int


NOTHING = Aside([], [], 0)


def setAside(disk: Disk, found: Recovered, known: Collection[bytes]) -> Aside:
    """Copy what is to be set aside; what cannot be copied stays in the journal.

    :param known: tags of the groups that there are.
    """
    findings = [
        Finding(True, f"{disk.place}: {name} cannot be read and is left alone: {error}")
        for name, error in found.unreadable
    ]
    number = 0
    for damage in found.damages:
        findings.append(_keepDamage(disk, damage))
        number += not damage.cut or damage.records > 0
    strangers = [chain for chain in found.chains.values() if chain.tag not in known]
    events = setEventsAside(disk, strangers)
    return Aside([*findings, *events.findings], events.chains, number + events.number)


def letGo(store: Store, disk: Disk, chain: Chain, keep: bool) -> Aside:
    """When a group leaves while the process runs: make what it holds ready for the next one that
    has its key, or set it aside."""
    store.drop(chain, 0)
    if keep:
        return NOTHING
    aside = setEventsAside(disk, [chain])
    store.drop(chain, aside.number)
    return aside


def setEventsAside(disk: Disk, strangers: Iterable[Chain]) -> Aside:
    """Copy the events of groups that there are not; what cannot be copied stays."""
    findings, chains = [], []
    number = 0
    for chain in strangers:
        if chain.entries:
            isSafe, finding = _keepEvents(disk, chain)
            findings.append(finding)
            if isSafe:
                chains.append(chain)
                number += len(chain.entries)
    return Aside(findings, chains, number)


def _keepDamage(disk: Disk, damage: Damage) -> Finding:
    where = f"{disk.place}: {damage.name}, at octet {damage.offset}"
    if damage.cut:
        if not damage.records:
            text = f"{where}: an unfinished write of {len(damage.octets)} octets is cut off"
            return Finding(False, text)
        what = f"an unfinished write is cut off, with {damage.records} records behind the break"
    elif not damage.octets:
        return Finding(True, f"{where}: the file is shorter than it was")
    else:
        what = f"{len(damage.octets)} damaged octets"
    name = f"{'cut' if damage.cut else 'damaged'}-{damage.name}-{damage.offset}.bin"
    try:
        name = _save(disk, name, damage.octets)
    except OSError as error:
        return Finding(True, f"{where}: {what}; they cannot be set aside: {error}")
    return Finding(not damage.cut, f"{where}: {what}; set aside as {name}")


def _keepEvents(disk: Disk, chain: Chain) -> tuple[bool, Finding]:
    key = chain.key
    whose = f'group {key.id}, RTU {key.commonAddress}, "{key.name}"' if key else "an unnamed group"
    what = f"{disk.place}: {len(chain.entries)} events of {whose}, which is not configured"
    name = f"events-{key.id if key else 'unnamed'}-{chain.tag.hex()}-{chain.entries[0].seq:x}.txt"
    try:
        name = _save(disk, name, "".join(_lines(chain, whose)).encode())
    except OSError as error:
        return False, Finding(True, f"{what}, stay there; they cannot be set aside: {error}")
    return True, Finding(True, f"{what}, are set aside as {name}")


def _lines(chain: Chain, whose: str) -> Iterable[str]:
    name = whose if whose.isprintable() else ascii(whose)
    yield f"# mm2ss: events of {name}. Time of receipt (UTC), ASDU in hex; oldest first.\n"
    for entry in chain.entries:
        try:
            time = (_EPOCH + timedelta(milliseconds=entry.wall)).isoformat(" ", "milliseconds")
        except OverflowError:
            time = f"{entry.wall}ms"
        yield f"{time} {entry.asdu.hex()}\n"


def _save(disk: Disk, name: str, data: bytes) -> str:
    """Put data into a new file and sync; one that holds just this already (the process was killed
    before the journal could forget it) is not made again.

    :return: the file's name.
    """
    taken = set(disk.names())
    for number in count():
        candidate = f"{name}.{number}" if number else name
        if candidate not in taken:
            writeNew(disk, candidate, data)
        elif disk.read(candidate) == data:
            disk.sync(candidate)
        else:
            continue
        disk.syncDirectory()
        return candidate
    raise AssertionError("count() never ends")


def writeNew(disk: Disk, name: str, data: bytes) -> None:
    """Put data into a new file and sync; what cannot be finished does not stay."""
    file = disk.create(name)
    try:
        try:
            file.append(data)
            file.sync()
        finally:
            file.close()
    except OSError:
        try:
            disk.remove(name)
        except OSError:
            pass
        raise
