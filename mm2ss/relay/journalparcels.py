"""Hands the events of a group from one journal to another, when the group's process changes.

What a journal holds for a group that is another process's goes into a *parcel*: a file in a folder
that all processes share. The group's process takes it into its own journal when it starts. At each
moment an event is safe in at least one place:

* A parcel is whole and synced, its name too, before its events leave the journal they were in.
* Its events are synced in the other journal before the parcel is deleted.

A power cut between two of these steps leaves an event in two places. So a parcel's name follows
from what is in it: made again it is the same file. And what a journal holds already, it does not
take again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import count
from typing import NamedTuple

from mm2ss.relay.journalapi import GroupKey
from mm2ss.relay.journalaside import Finding, setEventsAside, writeNew
from mm2ss.relay.journaldisk import Disk
from mm2ss.relay.journalrecords import (
    Encoder,
    Kind,
    parseClosed,
    parseData,
    parseGroup,
    scan,
    tagOf,
)
from mm2ss.relay.journalstate import Chain, Entry
from mm2ss.relay.journalstore import Store

#: What the names of parcels begin with.
PREFIX = "parcel-"
#: A parcel is written as a segment of this number, which no journal has.
_NUMBER = 0


class Parcel(NamedTuple):
    """What a parcel holds.

    :ivar entries: number in the group, ms since 1970 (UTC), ASDU; in order, at least one.
    """

    name: str
    key: GroupKey
    entries: list[tuple[int, int, bytes]]


def putOut(chain: Chain, key: GroupKey, source: str, folder: Disk) -> Finding:
    """Make a parcel of all that a journal holds for a group; the journal may then forget it.

    :param source: the name of the journal; two journals may hold events of one group.
    :raises OSError: there is no parcel.
    """
    first = chain.entries[0]
    name = f"{PREFIX}{key.id}-{chain.tag.hex()}-{first.seq:x}-{source}"
    _put(name, b"".join(_records(chain, key)), folder)
    text = f"{len(chain.entries)} events of group {key.id} leave {source}: it is another process's"
    return Finding(False, text)


def _put(name: str, data: bytes, folder: Disk) -> None:
    """Make a file, its name synced, too; the one that is there already, if it is the same."""
    taken = set(folder.names())
    for number in count():
        candidate = f"{name}.{number}" if number else name
        if candidate in taken and folder.read(candidate) == data:
            folder.sync(candidate)
        elif candidate in taken and _parcel(folder, candidate) is not None:
            continue  # another parcel, of a journal that was deleted since
        else:
            if candidate in taken:  # it was not finished
                folder.remove(candidate)
            writeNew(folder, candidate, data)
        folder.syncDirectory()
        return


def _records(chain: Chain, key: GroupKey) -> Iterator[bytes]:
    encoder = Encoder(_NUMBER)
    yield encoder.head()
    yield encoder.group(chain.tag, key)
    for entry in chain.entries:
        yield encoder.data(chain.tag, entry.seq, entry.wall, entry.asdu)
    yield encoder.closed(_NUMBER, len(chain.entries))  # the end: it is whole


def _parcel(folder: Disk, name: str) -> Parcel | None:
    """A parcel; None when it is not whole."""
    key: GroupKey | None = None
    entries: list[tuple[int, int, bytes]] = []
    end = -1
    for kind, _, _, body in scan(folder.read(name), _NUMBER):
        if kind == Kind.GROUP:
            _, key = parseGroup(body)
        elif kind == Kind.DATA:
            _, seq, wall, asdu = parseData(body)
            entries.append((seq, wall, asdu))
        elif kind == Kind.CLOSED:
            _, end = parseClosed(body)
        elif kind == Kind.DAMAGE:
            return None
    if key is None or not entries or end != len(entries):
        return None
    return Parcel(name, key, entries)


def takeIn(parcel: Parcel, store: Store, folder: Disk) -> Finding:
    """Put a parcel's events into a journal and delete the parcel.

    :raises OSError: they are not all in the journal, or the parcel cannot be deleted.
    """
    chain = store.chain(parcel.key)
    there = _alreadyThere(chain, parcel)
    last = chain.entries[-1].wall if len(chain.entries) > there else 0
    entries = [*_entries(parcel, len(chain.entries) - there, chain.session + 1)]
    # Also when all are there: they may stand in the system's cache only.
    _twice(store, [(chain, entry) for entry in entries[there:]])
    folder.remove(parcel.name)
    folder.syncDirectory()
    text = f"{len(entries)} events of group {parcel.key.id} are taken over from another process"
    if last > parcel.entries[0][1]:
        return Finding(True, f"{text}, behind later ones: they could not be before")
    return Finding(False, text)


def _alreadyThere(chain: Chain, parcel: Parcel) -> int:
    """How many of a parcel's events are in the journal since the power was cut while they were
    put there, or before the parcel was deleted: the journal ends with them."""
    there = [(entry.wall, entry.asdu) for entry in chain.entries]
    moved = [(wall, asdu) for _, wall, asdu in parcel.entries]
    for start in range(max(0, len(there) - len(moved)), len(there)):
        if there[start] == moved[0] and there[start:] == moved[: len(there) - start]:
            return len(there) - start
    return 0


def _entries(parcel: Parcel, position: int, session: int) -> Iterator[Entry]:
    """New entries; where a number was left out, another connection of the RTU begins."""
    before = parcel.entries[0][0] - 1
    for seq, wall, asdu in parcel.entries:
        session += seq != before + 1
        before = seq
        yield Entry(position, 0, wall, asdu, session)
        position += 1


def _twice(store: Store, entries: list[tuple[Chain, Entry]]) -> None:
    """Commit, when it fails once more: with a new segment."""
    try:
        store.commit(entries)
    except OSError:
        store.commit(entries)


def clear(
    store: Store,
    chains: Iterable[Chain],
    others: Mapping[bytes, GroupKey],
    source: str,
    folder: Disk,
) -> Iterator[Finding]:
    """Make parcels of all that a journal holds for other processes' groups.

    :param chains: what the journal holds.
    :param others: these groups, by tag.
    :raises OSError: it could not be done; nothing is lost.
    """
    leaving = [chain for chain in chains if chain.tag in others and chain.entries]
    for chain in leaving:
        yield putOut(chain, others[chain.tag], source, folder)
        store.drop(chain, len(chain.entries))
    if leaving:
        # Before anybody may take them in: they must not come back here.
        _twice(store, [])


def collect(
    store: Store, own: Collection[GroupKey], others: Collection[GroupKey], folder: Disk
) -> Iterator[Finding]:
    """Take in all parcels that are for this process; those for nobody are set aside. To be called
    when no parcel for this process can come any more.

    :raises OSError: it could not be done; nothing is lost.
    """
    found: list[Parcel] = []
    for name in folder.names():
        if name.startswith(PREFIX):
            parcel = _parcel(folder, name)
            if parcel is not None:
                found.append(parcel)
            else:  # (or what it was made of could not be read this time)
                yield Finding(True, f"{folder.place}: {name} is damaged, and is left alone")
    for parcel in sorted(found, key=lambda each: (each.entries[0][1], each.name)):
        if parcel.key in own:
            yield takeIn(parcel, store, folder)
        elif parcel.key not in others:
            yield from _setAside(parcel, folder)


def _setAside(parcel: Parcel, folder: Disk) -> list[Finding]:
    chain = Chain(tagOf(parcel.key), parcel.key, 0)
    chain.entries.extend(Entry(0, *entry) for entry in parcel.entries)
    aside = setEventsAside(folder, [chain])
    if aside.chains:
        folder.remove(parcel.name)
        folder.syncDirectory()
    return aside.findings
