"""What the audit trail says of each command, and who may command at all."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_network

import pytest

from mm2ss.config.model import Network
from mm2ss.config.parameters import LinkParameters
from mm2ss.iec104.asdu import Cause
from mm2ss.relay.audit import AuditEntry, Outcome
from tests.groups import STATION, World, answer, data, interrogation, read, request

SELECT, EXECUTE = bytes((0x81,)), bytes((0x01,))
TERM, DECON = Cause.ACTIVATION_TERM, Cause.DEACTIVATION_CON
CANCEL = request(content=SELECT, cause=Cause.DEACTIVATION)


def trailOf(world: World) -> list[AuditEntry]:
    """The entries that will come."""
    entries: list[AuditEntry] = []
    world.group._exchange._commands._trail._audit = entries.append
    return entries


def told(entries: Iterable[AuditEntry]) -> list[tuple[str, Outcome]]:
    """Action and outcome of each entry."""
    return [(entry.action, entry.result) for entry in entries]


def test_confirmedAndTerminated() -> None:
    """Select and execute each have one entry, with all that was commanded."""
    with World() as world:
        entries = trailOf(world)
        world.respond()
        master = world.master()
        master.send(request(content=SELECT, originator=7))
        world.run()
        master.send(request(content=EXECUTE, originator=7))
        world.run()
        assert told(entries) == [("select", Outcome.CONFIRMED), ("execute", Outcome.TERMINATED)]
        entry = entries[1]
        assert (entry.group, entry.system, entry.typeName) == (1, "TEST", "C_SC_NA_1")
        assert (entry.commonAddress, entry.objectAddress, entry.originator) == (STATION, 100, 7)
        assert entry.master.startswith("192.0.2.1:") and entry.value == "on"
        assert 0 < entry.duration < 0.1 and entry.reason == ""


def test_confirmedWithoutTermination() -> None:
    """No termination comes: confirmed, when the relay waits no more."""
    with World() as world:
        entries = trailOf(world)
        world.rtu.reply = lambda asked: [answer(asked)]
        world.master().send(request())
        world.run(29)
        assert entries == []
        world.run(2)
        assert told(entries) == [("execute", Outcome.CONFIRMED)]
        assert 30 <= entries[0].duration < 30.1


@pytest.mark.parametrize("cause", [7, 44, 45, 46, 47])
def test_R09_R10_refusedByTheRtu(cause: int) -> None:
    """The RTU's refusal is named by its cause."""
    with World() as world:
        entries = trailOf(world)
        world.rtu.reply = lambda asked: [answer(asked, cause, negative=True)]
        world.master().send(request())
        world.run()
        (entry,) = entries
        assert entry.result is Outcome.REFUSED_BY_RTU and "negative" in entry.reason


def test_refusedByTheRelay() -> None:
    """What never went to the RTU says why."""
    with World() as world:
        entries = trailOf(world)
        world.respond()
        first, second = world.master(), world.master()
        first.send(request(content=SELECT))
        world.run()
        second.send(request(content=EXECUTE), CANCEL, request(station=0))
        world.run()
        reasons = [entry.reason for entry in entries[1:]]
        assert {entry.result for entry in entries[1:]} == {Outcome.REFUSED_BY_RELAY}
        assert sorted(reasons) == [
            "common address 0",
            "the point is selected or commanded by another master",
            "this master has neither selected nor commanded the point",
        ]


def test_R22_timedOut() -> None:
    """No answer: timed out, once, whatever comes later."""
    with World() as world:
        entries = trailOf(world)
        master = world.master()
        master.send(request())
        world.run(11)
        assert told(entries) == [("execute", Outcome.TIMED_OUT)]
        asked = world.rtu.received[0]
        world.rtu.send(answer(asked), answer(asked, TERM))
        world.run(100)
        assert len(entries) == 1
        assert [asdu[2] for asdu in master.received[1:]] == [7, TERM]


def test_connectionLost() -> None:
    """The RTU is lost: what had gone there may have acted, what had not has not."""
    with World(rtu=LinkParameters(k=1, w=1)) as world:
        entries = trailOf(world)
        world.rtu.mute()
        master = world.master()
        master.send(request(address=1), request(address=2), interrogation())
        world.run()
        assert len(world.rtu.received) == 1
        world.rtu.die()
        world.run()
        assert [(e.objectAddress, e.result) for e in entries] == [
            (2, Outcome.REFUSED_BY_RELAY),
            (1, Outcome.CONNECTION_LOST),
        ]
        assert "RTU was lost" in entries[0].reason


def test_masterGone() -> None:
    """Its master left before it was sent; of what was sent the RTU's answer still counts."""
    with World(rtu=LinkParameters(k=1, w=1)) as world:
        entries = trailOf(world)
        world.rtu.mute()
        master = world.master()
        world.master()
        master.send(request(address=1), request(address=2), request(101, 0, b"\x85"), read(9))
        world.run()
        master.die()
        world.run()
        assert [(e.typeId, e.result) for e in entries] == [
            (45, Outcome.MASTER_GONE),
            (101, Outcome.MASTER_GONE),
        ]
        (asked,) = world.rtu.received
        world.rtu.mute(False)
        world.rtu.send(answer(asked), answer(asked, TERM))
        world.run()
        assert told(entries[2:]) == [("execute", Outcome.TERMINATED)]


def test_deactivated() -> None:
    """A deactivation has its entry, and what it ended has its own."""
    with World() as world:
        entries = trailOf(world)
        master = world.master()
        master.send(request(), CANCEL)
        world.run()
        asked, cancelled = world.rtu.received
        world.rtu.send(answer(asked), answer(cancelled, DECON))
        world.run()
        assert told(entries) == [
            ("deactivate", Outcome.CONFIRMED),
            ("execute", Outcome.DEACTIVATED),
        ]


def test_C05_theRelaysOwnDeactivation() -> None:
    """What the relay cancels for a master that left is in the trail as the relay's doing."""
    with World() as world:
        entries = trailOf(world)
        world.respond()
        master = world.master()
        world.master()
        master.send(request(content=SELECT))
        world.run()
        master.die()
        world.run()
        assert told(entries) == [
            ("select", Outcome.CONFIRMED),
            ("deactivate", Outcome.CONFIRMED),
        ]
        assert entries[1].master == entries[0].master and "relay's own" in entries[1].reason


def test_forwarded() -> None:
    """What the RTU does not answer to, such as deleting a file, was forwarded."""
    with World() as world:
        entries = trailOf(world)
        master = world.master()
        master.send(request(122, 1, bytes((1, 0, 0, 4)), cause=Cause.FILE_TRANSFER))
        world.run()
        assert [entry.result for entry in entries] == [Outcome.FORWARDED]


def test_whatOnlyLooksHasNoEntry() -> None:
    """Interrogations, reads and tests leave no trace unless they are refused."""
    with World(denyTypes=frozenset((104,))) as world:
        entries = trailOf(world)
        world.respond()
        master = world.master()
        master.send(interrogation(), read(5), request(101, 0, b"\x05"), request(107, 0))
        world.run()
        assert entries == []
        master.send(request(104, 0))
        world.run()
        assert [entry.result for entry in entries] == [Outcome.REFUSED_BY_RELAY]


def test_C08_aResetThatIsTakenBackWhileItWaits() -> None:
    """A counter reset that never went to the RTU, for its master changed its mind."""
    with World() as world:
        entries = trailOf(world)
        first, second = world.master(), world.master()
        reset = request(101, 0, b"\x85")
        first.send(reset)
        second.send(reset)
        world.run()
        second.send(request(101, 0, b"\x85", cause=Cause.DEACTIVATION))
        world.run()
        assert told(entries) == [
            ("activate", Outcome.DEACTIVATED),
            ("deactivate", Outcome.CONFIRMED),
        ]
        assert [entry.reason for entry in entries] == ["before it was sent", "by the relay"]
        assert [asdu[2] for asdu in second.received[1:]] == [DECON]
        assert len(world.rtu.received) == 1


# -- who may command ------------------------------------------------------------------------

COMMANDING = [
    request(),
    request(content=SELECT),
    request(58),
    request(50),
    request(101, 0, b"\x45"),
    request(103, 0),
    request(105, 0),
    request(110, 1),
    request(113, 1),
    request(122, 1, bytes((1, 0, 0, 4)), cause=Cause.FILE_TRANSFER),
    request(125, 1, bytes(4), cause=Cause.FILE_TRANSFER),
    request(200),
]
LOOKING = [
    interrogation(),
    request(101, 0, b"\x05"),
    read(4),
    request(104, 0),
    request(122, 1, bytes((1, 0, 0, 1)), cause=Cause.FILE_TRANSFER),
]


@pytest.mark.parametrize(
    ("control", "may"),
    [
        (None, True),
        ((), False),
        ((ip_network("192.0.2.1/32"),), True),
        ((ip_network("198.51.100.0/24"), ip_network("192.0.2.0/24")), True),
        ((ip_network("192.0.2.2/32"),), False),
    ],
)
def test_control(control: tuple[Network, ...] | None, may: bool) -> None:
    """The column ``control``: who is not in it looks only, and each refusal is in the trail."""
    with World(control=control) as world:
        entries = trailOf(world)
        master = world.master()
        for asdu in COMMANDING:
            master.send(asdu)
            world.run(0.1)
            if may and asdu[0] not in range(120, 126):
                world.rtu.send(answer(world.rtu.received[-1], negative=True))
            world.run(0.1)
        expected = COMMANDING if may else []
        assert [asdu[4:] for asdu in world.rtu.received] == [asdu[4:] for asdu in expected]
        assert len(entries) == len(COMMANDING)
        if not may:
            assert {entry.reason for entry in entries} == {"this master may not control"}
            assert {asdu[2] & 0x40 for asdu in master.received[1:]} == {0x40}
            assert len(world.notes.about("may not control")) == len(COMMANDING)
            assert world.rtu.received == []
        seen = len(world.rtu.received)
        world.run(61)
        for asdu in LOOKING:
            master.send(asdu)
            world.run(0.1)
        assert [asdu[4:] for asdu in world.rtu.received[seen:]] == [a[4:] for a in LOOKING]


def test_denyTypes() -> None:
    """The column ``deny types``: nobody sends these, everybody the others."""
    with World(denyTypes=frozenset((46, 100, 105))) as world:
        entries = trailOf(world)
        master = world.master()
        master.send(request(46), interrogation(), request(105, 0), request(45))
        world.run()
        assert [asdu[0] for asdu in world.rtu.received] == [45]
        assert [entry.typeId for entry in entries] == [46, 100, 105]
        assert all(entry.reason.endswith("is denied in this group") for entry in entries)
        assert [(asdu[0], asdu[2]) for asdu in master.received[1:]] == [
            (46, 0x47),
            (100, 0x47),
            (105, 0x47),
        ]


def test_aWatcherGetsEverythingElse() -> None:
    """Who may not control gets all data, and the answers to what it asks."""
    with World(control=()) as world:
        world.respond()
        watcher = world.master()
        watcher.send(interrogation(), request())
        world.rtu.send(data(5))
        world.run()
        mirrors = [(asdu[0], asdu[2]) for asdu in watcher.received if asdu[0] >= 45]
        assert sorted(mirrors[1:]) == [(45, 0x47), (100, 7), (100, 10)]
        assert data(5) in watcher.received


@pytest.mark.parametrize("content", [SELECT, EXECUTE])
def test_theAnswerGoesFirst(content: bytes) -> None:
    """When the trail is told, the master's answers are with its transport: it waits for no file."""
    with World() as world:
        world.respond()
        master = world.master()
        (connection,) = world.group._masters._sessions
        sent: list[int] = []
        asked = request(content=content)
        audit = world.group._exchange._commands._trail
        audit._audit = lambda _: sent.append(connection.conduit.octetsOut)
        before = connection.conduit.octetsOut
        master.send(asked)
        world.run()
        assert sent == [before + (2 - (content == SELECT)) * (6 + len(asked))]


def test_toldThoughTheRtuBreaksOff() -> None:
    """What ended in the chunk for which the RTU's connection was closed has its entry, once."""
    with World() as world:
        entries = trailOf(world)
        master = world.master()
        master.send(request())
        world.run()
        (asked,) = world.rtu.received
        world.rtu.send(answer(asked), answer(asked, TERM), b"\x01\x01")
        world.run()
        assert told(entries) == [("execute", Outcome.TERMINATED)]
        assert world.notes.about("BAD_ASDU")
