"""Groups that change their process take their events along, whenever the power is cut.

The model has two journals and the folder of the parcels, each a disk of its own that loses what was
not synced; power cuts hit all three in the same moment. Groups change sides again and again.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from random import Random

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mm2ss.relay.journalapi import GroupKey
from mm2ss.relay.journalaside import Finding
from mm2ss.relay.journalparcels import PREFIX, clear, collect
from mm2ss.relay.journalrecords import tagOf
from mm2ss.relay.journalrecovery import Recovered, recover
from mm2ss.relay.journalstate import Chain, Entry
from mm2ss.relay.journalstore import Store
from tests.powercut import ModelDisk, PowerCut

KEYS = [GroupKey(number, 1, f"group {number}") for number in range(1, 5)]
SEGMENT = 1500
ROUNDS = 12


class Machine:
    """Disks that lose their power together.

    :ivar left: operations until then; None = never.
    """

    def __init__(self, random: Random) -> None:
        self.left: int | None = None
        self.isOff = False
        self.disks = {name: Part(random, self) for name in ("a", "b", "parcels")}

    def cutPower(self) -> None:
        self.isOff, self.left = False, None
        for disk in self.disks.values():
            disk.cutPower()

    def kill(self) -> None:
        self.isOff, self.left = False, None
        for disk in self.disks.values():
            disk.kill()


class Part(ModelDisk):
    """One disk of a machine."""

    def __init__(self, random: Random, machine: Machine) -> None:
        super().__init__(random)
        self.machine = machine

    def step(self, what: str, age: int | None = None, isRead: bool = False) -> int:
        machine = self.machine
        if machine.left is not None:
            machine.left -= 1
        if machine.isOff or (machine.left is not None and machine.left < 0):
            machine.isOff = True
            raise PowerCut
        return super().step(what, age, isRead)


class Process:
    """What a process does with the journals at its start, and a little work."""

    def __init__(self, machine: Machine, name: str, own: Iterable[GroupKey]) -> None:
        self.own = [*own]
        self.disk = machine.disks[name]
        self.parcels = machine.disks["parcels"]
        self.name = name
        self.others = {tagOf(key): key for key in KEYS if key not in self.own}
        self.found: Recovered = recover(self.disk)
        self.store = Store(self.disk, self.found, SEGMENT, 0)
        self.findings: list[Finding] = []

    def settle(self) -> None:
        """Put out what is others', as a process does first."""
        chains = list(self.found.chains.values())
        self.findings += clear(self.store, chains, self.others, self.name, self.parcels)

    def takeIn(self) -> None:
        """Take what is there for it, when all others have settled."""
        others = list(self.others.values())
        self.findings += collect(self.store, self.own, others, self.parcels)
        for chain in list(self.found.chains.values()):
            self.store.drop(chain, 0)

    def chain(self, key: GroupKey) -> Chain:
        return self.store.chain(key)

    def held(self, key: GroupKey) -> list[int]:
        return [int(entry.asdu) for entry in self.chain(key).entries]


class Story:
    """What happens to the groups, and what of it must be there.

    :ivar owed: by group, the events that are confirmed and not settled.
    :ivar side: by group, whose it is.
    """

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.machine = Machine(Random(seed + 1))
        self.owed: dict[GroupKey, list[int]] = {key: [] for key in KEYS}
        self.side = dict.fromkeys(KEYS, "a")
        self.serial = 0

    def round(self) -> None:
        """A start, after which everything is checked; work; an end of some kind."""
        processes = self.start()
        for key in KEYS:
            held = processes[self.side[key]].held(key)
            assert held == sorted(set(held)), "order, or twice"
            assert set(self.owed[key]) <= set(held), "lost"
            self.owed[key] = held
            # The RTU's next connection: what it sends again counts as new.
            self.serial += 1
        self.machine.left = self.random.choice([None, self.random.randint(0, 40)])
        try:
            self.work(processes)
            if self.random.random() < 0.5:
                for process in processes.values():
                    process.store.close()
        except PowerCut:
            self.machine.cutPower()
        else:
            (self.machine.kill if self.random.random() < 0.5 else self.machine.cutPower)()
        for key in KEYS:
            if self.random.random() < 0.4:
                self.side[key] = self.random.choice("ab")

    def start(self) -> dict[str, Process]:
        """Both processes start, if need be after some that the power cuts short."""
        while True:
            self.machine.left = self.random.choice([None, self.random.randint(0, 60)])
            try:
                processes = {
                    name: Process(self.machine, name, [k for k in KEYS if self.side[k] == name])
                    for name in ("a", "b")
                }
                order = self.random.sample([*processes.values()], 2)
                for process in order:
                    process.settle()
                for process in order:
                    process.takeIn()
                assert not any(each.isError for p in order for each in p.findings)
            except PowerCut:
                self.machine.cutPower()
            else:
                self.machine.left = None
                return processes

    def work(self, processes: dict[str, Process]) -> None:
        for _ in range(self.random.randint(0, 6)):
            key = self.random.choice(KEYS)
            process = processes[self.side[key]]
            chain = process.chain(key)
            if self.random.random() < 0.7:
                session = self.random.randint(0, 1)
                events = [self.serial + n for n in range(self.random.randint(1, 9))]
                self.serial += len(events)
                start = chain.entries[-1].position + 1 if chain.entries else 0
                entries = [
                    Entry(start + n, 0, 1000 + event, b"%012d" % event, session)
                    for n, event in enumerate(events)
                ]
                process.store.commit([(chain, entry) for entry in entries])
                self.owed[key] += events
            elif chain.entries:
                count = self.random.randint(1, len(chain.entries))
                self.owed[key] = self.owed[key][count:]
                process.store.settle(chain, chain.entries[0].position + count)
            while process.store.tidy():
                pass


@given(st.integers(0, 2**32))
@example(7251890)  # a torn beginning of a segment voided marks and did not have them
@example(5610)  # an empty newest segment let the one with the marks be deleted
def test_noEventIsLostWithItsGroup(seed: int) -> None:
    """Whatever is confirmed and not settled is in the journal of the group's process at its start,
    in order and once, however often groups change sides and the power is cut."""
    story = Story(seed)
    for _ in range(ROUNDS):
        story.round()


# -- one by one -----------------------------------------------------------------------------


def filled(machine: Machine, name: str, key: GroupKey, events: Iterable[int]) -> None:
    """A journal holds events of a group, each pair of them of another connection of the RTU."""
    process = Process(machine, name, KEYS)
    chain = process.chain(key)
    entries = [
        (chain, Entry(position, 0, event, b"%d" % event, position // 2))
        for position, event in enumerate(events)
    ]
    process.store.commit(entries)
    process.store.close()


def started(machine: Machine, name: str, own: Iterable[GroupKey]) -> Process:
    """A process that has taken in what is its."""
    process = Process(machine, name, own)
    process.settle()
    process.takeIn()
    return process


@pytest.fixture
def machine() -> Machine:
    return Machine(Random(1))


def test_connectionsStayApart(machine: Machine) -> None:
    """Where a connection of the RTU ended is known in the other journal, too."""
    filled(machine, "a", KEYS[0], range(1, 7))
    started(machine, "a", KEYS[1:])
    process = started(machine, "b", KEYS[:1])
    assert process.held(KEYS[0]) == [1, 2, 3, 4, 5, 6]
    numbers = [entry.seq for entry in process.chain(KEYS[0]).entries]
    gaps = [later - before for before, later in pairwise(numbers)]
    assert gaps == [1, 2, 1, 2, 1]


def test_nothingStaysBehind(machine: Machine) -> None:
    """After the hand-over there is no parcel, and the first journal has nothing of the group."""
    filled(machine, "a", KEYS[0], [1, 2])
    started(machine, "a", KEYS[1:])
    started(machine, "b", KEYS[:1])
    assert machine.disks["parcels"].listing() == []
    machine.cutPower()
    assert not started(machine, "a", KEYS).held(KEYS[0])
    assert recover(machine.disks["b"]).chains[tagOf(KEYS[0])].entries


def test_olderOnesComeFirst(machine: Machine) -> None:
    """Of several parcels the oldest is taken in first."""
    filled(machine, "a", KEYS[0], [20])
    started(machine, "a", KEYS[1:])
    machine.disks["a"] = Part(Random(2), machine)  # another journal, another parcel
    filled(machine, "a", KEYS[0], [10, 11, 12])
    started(machine, "a", KEYS[1:])
    assert len(machine.disks["parcels"].listing()) == 2
    process = started(machine, "b", KEYS[:1])
    assert process.held(KEYS[0]) == [10, 11, 12, 20]
    positions = [entry.position for entry in process.chain(KEYS[0]).entries]
    assert positions == list(range(4))


def test_tooLate(machine: Machine) -> None:
    """What comes behind later events, as it could not be had in time, is not lost; an error."""
    filled(machine, "b", KEYS[0], [30, 31])
    filled(machine, "a", KEYS[0], [20])
    started(machine, "a", KEYS[1:])
    process = started(machine, "b", KEYS[:1])
    assert process.held(KEYS[0]) == [30, 31, 20]
    (finding,) = process.findings
    assert finding.isError and "behind later ones" in finding.text


def test_onlyTheKeyGetsThem(machine: Machine) -> None:
    """Events of a plant that nobody runs any more go to nobody: they are set aside."""
    filled(machine, "a", KEYS[0], [1])
    started(machine, "a", KEYS[1:])
    stranger = GroupKey(KEYS[0].id, KEYS[0].commonAddress, "another name")
    process = Process(machine, "b", [stranger])
    findings = [*collect(process.store, [stranger], KEYS[1:], process.parcels)]
    assert process.held(stranger) == []
    assert [each.isError for each in findings] == [True]
    (name,) = machine.disks["parcels"].listing()
    assert name.startswith("events-1-") and name.endswith(".txt")


def test_neighboursParcelsAreLeftAlone(machine: Machine) -> None:
    """A parcel for another process stays until that one starts."""
    filled(machine, "a", KEYS[0], [1])
    started(machine, "a", KEYS[1:])
    before = machine.disks["parcels"].listing()
    started(machine, "a", KEYS[1:])
    assert machine.disks["parcels"].listing() == before != []


def test_damagedParcel(machine: Machine) -> None:
    """A parcel that the disk has damaged is left alone, with an error; the others are taken in."""
    filled(machine, "a", KEYS[0], [1])
    filled(machine, "a", KEYS[1], [2])
    started(machine, "a", KEYS[2:])
    parcels = machine.disks["parcels"]
    name = next(each for each in parcels.listing() if each.startswith(f"{PREFIX}1-"))
    octets = bytearray(parcels.content(name))
    octets[-1] ^= 1
    parcels.put(name, bytes(octets))
    process = started(machine, "b", KEYS[:2])
    assert process.held(KEYS[1]) == [2]
    assert parcels.listing() == [name]
    assert any(each.isError and name in each.text for each in process.findings)


def test_aDiskThatFails(machine: Machine) -> None:
    """When a parcel cannot be made, the events stay where they are."""
    filled(machine, "a", KEYS[0], [1, 2])
    machine.disks["parcels"].failures = {0: 28}
    with pytest.raises(OSError):
        started(machine, "a", KEYS[1:])
    machine.kill()
    assert started(machine, "a", KEYS).held(KEYS[0]) == [1, 2]
