"""Masters that want the same at once, and RTUs of every kind, against a model of who gets what.

Each request of a master has an originator address of its own, which the RTU never sees: it tells
whose an answer is that the relay delivers. What the RTU really was asked, and for whom, is
watched where requests leave the relay.
"""

from __future__ import annotations

import struct
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from math import inf
from typing import Any, cast

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from mm2ss.config.model import InterrogatedData, OriginatorMode
from mm2ss.config.parameters import LinkParameters
from mm2ss.iec104.asdu import BROADCAST, Cause, isSelect, withOriginator
from mm2ss.iec104.link import LinkEvent, Received
from mm2ss.iec104.protocol import LinkProtocol
from mm2ss.relay.audit import AuditEntry, Outcome
from mm2ss.relay.exchange import Exchange
from mm2ss.relay.locks import COMMANDS
from mm2ss.relay.master import Master, Outlet
from mm2ss.relay.requests import Request
from mm2ss.relay.rights import controls
from tests.around import Around
from tests.groups import PORT, RELAY, World, answer, data, interrogation, read, request
from tests.peers import FakeMaster

CON, TERM, DECON = Cause.ACTIVATION_CON, Cause.ACTIVATION_TERM, Cause.DEACTIVATION_CON
MASTERS = 3
STATIONS = (32, 33)
#: Seconds that the RTU keeps a select; the relay's lock is longer.
ARMED_TIME = 20.0
SELECT_TIMEOUT = 30.0
#: Within these seconds an answer comes in time, and after those late but to a tombstone.
PROMPT, LATE = (0.0, 0.05, 0.6, 3.0, 8.0), (12.0, 45.0)

#: The originator address of what an RTU sends, from the request's, whether it is a mirror, and
#: the last request's.
STAMPS: dict[str, Callable[[int, bool, int], int]] = {
    "echo": lambda slot, mirror, last: slot,
    "mirrors only": lambda slot, mirror, last: slot if mirror else 0,
    "return information": lambda slot, mirror, last: slot,
    "never": lambda slot, mirror, last: 0,
    "constant": lambda slot, mirror, last: 77,
    "last commander": lambda slot, mirror, last: last,
    "refuses addresses": lambda slot, mirror, last: 0,
}


def plain(asdu: bytes) -> bytes:
    """An ASDU without originator address."""
    return withOriginator(asdu, 0)


def cause(asdu: bytes) -> int:
    """Cause of transmission."""
    return asdu[2] & 0x3F


@dataclass(eq=False)
class Asked:
    """A request of a master.

    :ivar steady: its master was there all the time, and so was the RTU.
    :ivar job: what it became at the RTU.
    :ivar got: the answers that its master received, without originator address.
    """

    asdu: bytes
    place: int
    steady: bool = True
    job: Job | None = None
    got: list[bytes] = field(default_factory=list)


@dataclass(eq=False)
class Job:
    """A request as the RTU has it.

    :ivar owner: the relay's master, for a comparison of identity.
    :ivar parties: the masters' requests behind it.
    :ivar sent: its answers so far, without originator address.
    :ivar rest: how many answers are to come.
    :ivar timely: nothing of its answers came after the relay's patience.
    """

    asdu: bytes
    owner: Master
    parties: list[Asked]
    sent: list[bytes] = field(default_factory=list)
    timely: bool = True
    cancelled: bool = False
    rest: int = 0


@dataclass(frozen=True)
class Plan:
    """What the RTU does with one request.

    :ivar heard: it takes notice; a deaf RTU answers nothing.
    :ivar style: ``normal``, ``negative``, ``unknown``, ``silent``, ``endless`` (no termination).
    :ivar delay: seconds until the first answer, and from one to the next.
    """

    style: str = "normal"
    heard: bool = True
    delay: float = 0.05
    between: float = 0.05
    pattern: str = "blocks"


PLANS = st.builds(
    Plan,
    style=st.sampled_from(["normal"] * 4 + ["negative", "unknown", "silent", "endless"]),
    heard=st.sampled_from([True, True, False]),
    delay=st.sampled_from((*PROMPT, *LATE)),
    between=st.sampled_from(PROMPT),
    pattern=st.sampled_from(["blocks", "confirmed first", "as one"]),
)


class Tagged(FakeMaster):
    """A master whose every request has an originator address of its own."""

    def __init__(self, world: World, place: int) -> None:
        super().__init__(world.reactor, PORT, f"192.0.2.{place + 1}", RELAY)
        self.place = place
        self.asked: dict[int, Asked] = {}
        self.shown: list[bytes] = []

    def ask(self, asdu: bytes) -> Asked:
        """Send a request."""
        number = len(self.asked) + 1
        asked = self.asked[number] = Asked(asdu, self.place)
        self.send(withOriginator(asdu, number))
        return asked

    def unsteady(self) -> None:
        """It leaves: what is open may be answered or not."""
        for asked in self.asked.values():
            asked.steady = False

    def linkEvents(self, connection: LinkProtocol, events: list[LinkEvent]) -> None:
        for event in events:
            if isinstance(event, Received):
                for asdu in event.asdus:
                    if asdu[3]:
                        self.asked[asdu[3]].got.append(plain(asdu))
                    else:
                        assert cause(asdu) not in (7, 9, 10, 44, 45, 46, 47), "a stray mirror"
                        self.shown.append(asdu)
        super().linkEvents(connection, events)


class Plant:
    """The RTU: it keeps selects, answers late or never, and checks who executes."""

    def __init__(self, world: World, kind: str, jobs: deque[Job]) -> None:
        self.world = world
        self.kind = kind
        self.jobs = jobs  # what the relay has sent and has not arrived
        self.open: list[Job] = []
        self.plans: deque[Plan] = deque()
        self.armed: dict[bytes, tuple[Master, float]] = {}
        self.last = 0
        self.serial = 0
        world.rtu.reply = self.receive

    def lost(self) -> None:
        """The connection is gone, and all that belongs to it."""
        self.jobs.clear()
        self.open.clear()
        self.armed.clear()

    def receive(self, asked: bytes) -> list[bytes]:
        """Take a request; its answers come later."""
        job = self.jobs.popleft()
        assert job.asdu == asked, "requests arrive in the order in which they were sent"
        self.last = asked[3]
        plan = self.plans.popleft() if self.plans else Plan()
        if cause(asked) == Cause.DEACTIVATION:  # else those of one master could not be told apart
            style = plan.style if asked[0] in COMMANDS else "normal"
            plan = replace(plan, delay=PROMPT[1], style=style)
        if plan.delay in LATE and not self.mayBeLate(asked):
            plan = replace(plan, delay=PROMPT[-1])
        if asked[4:6] == b"\xff\xff":  # stations that answer later are taken for silent
            plan = replace(plan, between=min(plan.between, PROMPT[3]))
        if plan.style == "silent":
            if plan.heard:
                self.act(job, accepted=True)
            return []
        job.timely = plan.delay not in LATE
        self.open.append(job)
        accepted = self.act(job, plan.style in ("normal", "endless"))
        answers = self.answers(job, plan, accepted)
        at = plan.delay
        for each in answers:
            self.later(at, job, each)
            at += plan.between
        job.rest = len(answers)
        return []

    def mayBeLate(self, asked: bytes) -> bool:
        """Whether a late answer can be told from that to a later request: by its value."""
        return asked[0] in (50, 63) and cause(asked) == Cause.ACTIVATION

    def act(self, job: Job, accepted: bool) -> bool:
        """Do what was asked; returns whether it is accepted."""
        asked, now = job.asdu, self.world.now
        what, point = cause(asked), asked[4:9]
        if asked[0] in (100, 101) and what == Cause.DEACTIVATION:
            return self.stop(job, accepted)
        if asked[0] not in COMMANDS or asked[2] & 0x80:
            return accepted
        holder, until = self.armed.get(point, (job.owner, inf))
        if now < until:
            assert holder is job.owner, f"{asked.hex()} on the select of another"
        if what == Cause.ACTIVATION and not isSelect(asked):
            self.armed.pop(point, None)  # used up, also if the execution is refused
        elif accepted and what == Cause.DEACTIVATION:
            self.armed.pop(point, None)
        elif accepted:
            self.armed[point] = (job.owner, now + ARMED_TIME)
        return accepted

    def stop(self, job: Job, accepted: bool) -> bool:
        """Stop an interrogation, which must be that of who asks for it."""
        asked = job.asdu
        running = [each for each in self.open if each is not job and each.asdu[0] == asked[0]]
        running = [each for each in running if each.asdu[4:] == asked[4:] and not each.cancelled]
        for each in running:
            places = {party.place for party in each.parties}
            assert job.parties[0].place in places, "another's interrogation is stopped"
        return accepted and bool(running)

    def answers(self, job: Job, plan: Plan, accepted: bool) -> list[bytes]:
        """All answers to a request, without originator address."""
        asked = plain(job.asdu)
        if cause(asked) == Cause.DEACTIVATION:
            return [answer(asked, DECON, not accepted)]
        if plan.style == "unknown":
            return [answer(asked, 47, negative=True)]
        if asked[0] == 102:
            self.serial += 1
            shown = data(int.from_bytes(asked[6:9], "little"), 5, 11)
            return [shown[:9] + struct.pack("<h", self.serial % 30000) + shown[11:]]
        if not accepted:
            return [answer(asked, CON, negative=True)]
        ends = [] if plan.style == "endless" else [answer(asked, TERM)]
        if asked[0] == 100:
            return self.interrogated(asked, plan, ends)
        if asked[0] == 101:
            return [answer(asked), data(1, 37, 15), *ends]
        if asked[0] in COMMANDS and not isSelect(asked):
            back = [data(7, 11)] if self.kind == "return information" else []
            return [answer(asked), *back, *ends]
        return [answer(asked)]

    def interrogated(self, asked: bytes, plan: Plan, ends: list[bytes]) -> list[bytes]:
        """The answers to an interrogation, its data numbered."""

        def of(asdu: bytes, station: int) -> bytes:
            return asdu[:4] + station.to_bytes(2, "little") + asdu[6:]

        self.serial += 1
        shown = data(self.serial, asked[9])
        if asked[4:6] != b"\xff\xff":
            return [answer(asked), of(shown, int.from_bytes(asked[4:6], "little")), *ends]
        confirmed = answer(asked)
        if plan.pattern == "as one":
            return [confirmed, *(of(shown, station) for station in STATIONS), *ends]
        blocks = [[of(each, station) for each in (confirmed, shown, *ends)] for station in STATIONS]
        if plan.pattern == "blocks":
            return [each for block in blocks for each in block]
        return [each for step in zip(*blocks, strict=True) for each in step]

    def later(self, delay: float, job: Job, asdu: bytes) -> None:
        """Send an answer when its time has come, on the connection of now."""
        connection = self.world.rtu.connection

        def send() -> None:
            rtu = self.world.rtu
            if rtu.connection is not connection or not rtu.started or job.cancelled:
                job.cancelled = True  # what is stopped is not gone on with
                job.timely = False
                return
            if cause(asdu) == DECON and not asdu[2] & 0x40:
                self.cancelBefore(job)
            job.rest -= 1
            if not job.rest:
                self.open.remove(job)
            stamp = STAMPS[self.kind]
            private = asdu[0] not in (1, 15) or cause(asdu) not in (11, 37)
            if private:
                job.sent.append(asdu)
            mirror = asdu[0] >= 45
            rtu.send(withOriginator(asdu, stamp(job.asdu[3], mirror, self.last)))

        self.world.reactor.callLater(delay, send)

    def cancelBefore(self, job: Job) -> None:
        """Answer nothing any more that a deactivation has ended."""
        for each in self.open:
            if each is job:
                break
            if cause(each.asdu) == Cause.DEACTIVATION:
                continue
            alike = each.asdu[0] == job.asdu[0] and each.asdu[4:9] == job.asdu[4:9]
            if job.asdu[0] in (100, 101):
                alike = alike and each.asdu[9:] == job.asdu[9:]
            if alike and each.asdu[2] & 0x80 == job.asdu[2] & 0x80:
                each.cancelled = each.cancelled or each.owner is job.owner or job.asdu[0] < 102


def isPart(some: list[bytes], whole: list[bytes]) -> bool:
    """Whether all of some occur in the whole, in this order."""
    rest = iter(whole)
    return all(each in rest for each in some)


class ArbitrationMachine(RuleBasedStateMachine):
    """Masters ask, select, execute, cancel, stop, die and return; the RTU does as it likes."""

    @initialize(kind=st.sampled_from(sorted(STAMPS)), narrow=st.booleans(), onePoint=st.booleans())
    def begin(self, kind: str, narrow: bool, onePoint: bool) -> None:
        self.kind = kind
        self.onePoint = onePoint  # all is about one point that everybody wants to command
        mode = OriginatorMode("fixed", 0) if kind == "refuses addresses" else OriginatorMode()
        self.world = world = World(
            interrogatedData=InterrogatedData.REQUESTER,
            originatorMode=mode,
            selectTimeout=SELECT_TIMEOUT,
            idleTime=0,
            rtu=LinkParameters(k=2 if narrow else 12, w=1),
            rtuParameters=LinkParameters(w=1),
        )
        self.commands = world.group._exchange._commands
        self.entries: list[AuditEntry] = []
        self.commands._trail._audit = self.entries.append
        self.masters = [Tagged(world, place) for place in range(MASTERS)]
        world.masters += self.masters
        self.jobs: deque[Job] = deque()
        self.all: list[Job] = []
        self.plant = Plant(world, kind, self.jobs)
        self.serial = 0
        self.known: set[Request[Master]] = set()
        self.sent: list[bytes] = []
        exchange = world.group._exchange

        def started(outlet: Outlet, now: float) -> None:
            exchange.rtuStarted(Around(outlet, send=partial(self.watch, outlet)), now)

        world.group._exchange = cast(Exchange, Around(exchange, rtuStarted=started))
        for master in self.masters:
            self.join(master)

    def watch(self, outlet: Outlet, asdus: Sequence[bytes], now: float) -> None:
        """Requests go to the RTU; they are registered as soon as they are sent."""
        self.sent += asdus
        self.world.reactor.callLater(0, self.registered)
        outlet.send(asdus, now)

    def registered(self) -> None:
        opened = sorted(self.commands.requests._expiry, key=lambda entry: entry[1])
        new = [entry[2] for entry in opened if entry[2] not in self.known]
        self.known.update(new)
        asdus, self.sent = self.sent, []
        for asdu, opening in zip(asdus, dict.fromkeys(new), strict=True):
            parties = [self.find(master, number) for master, number in opening.parties]
            job = Job(asdu, opening.owner, parties)
            for party in parties:
                assert party.job is None, "a request goes to the RTU once"
                party.job = job
            self.jobs.append(job)
            self.all.append(job)

    def find(self, master: Master, number: int) -> Asked:
        """The model's own record of a request."""
        place = int(str(master.address).rsplit(".", 1)[1]) - 1
        return self.masters[place].asked[number]

    def settle(self, seconds: float = 0.05) -> None:
        self.world.run(seconds)

    def join(self, master: Tagged) -> None:
        if not master.connected and self.world.isOpen():
            master.connect()
            self.settle()
        if master.connected and master.link.state.name == "STOPPED":
            master.start()
            self.settle()

    def ask(self, place: int, asdu: bytes, plan: Plan) -> None:
        master = self.masters[place]
        if master.started and len(master.asked) < 250:
            self.plant.plans.append(plan)
            master.ask(asdu)
            self.settle(0.02)

    # -- what masters ask

    @rule(
        place=st.integers(0, MASTERS - 1),
        what=st.sampled_from(["select", "select", "execute", "execute", "cancel"]),
        typeId=st.sampled_from([45, 50, 50, 63]),
        address=st.integers(1, 2),
        test=st.sampled_from([False, False, False, True]),
        plan=PLANS,
    )
    def command(
        self, place: int, what: str, typeId: int, address: int, test: bool, plan: Plan
    ) -> None:
        address = 1 if self.onePoint else address
        self.serial += 1
        select = 0x80 if what != "execute" else 0
        if typeId == 45:
            content = bytes((select | self.serial % 32 << 2,))
        else:
            content = struct.pack("<fB", self.serial, select)
            content += bytes((0, 0, 0, 10, 22, 11, 26)) if typeId == 63 else b""
        does = Cause.DEACTIVATION if what == "cancel" else Cause.ACTIVATION
        self.ask(place, request(typeId, address, content, cause=does, test=test), plan)

    @precondition(lambda self: not self.onePoint)
    @rule(
        place=st.integers(0, MASTERS - 1),
        typeId=st.sampled_from([100, 100, 101]),
        station=st.sampled_from([*STATIONS, *STATIONS, BROADCAST]),
        qualifier=st.integers(0, 1),
        stop=st.sampled_from([False, False, True]),
        plan=PLANS,
    )
    def interrogate(
        self, place: int, typeId: int, station: int, qualifier: int, stop: bool, plan: Plan
    ) -> None:
        does = Cause.DEACTIVATION if stop else Cause.ACTIVATION
        if typeId == 100:
            asdu = interrogation(20 + qualifier, station=station, cause=does)
        else:
            station = STATIONS[0] if station == BROADCAST else station
            octet = (0x05, 0x85)[qualifier]
            asdu = request(101, 0, bytes((octet,)), station=station, cause=does)
        self.ask(place, asdu, plan)

    @precondition(lambda self: not self.onePoint)
    @rule(
        place=st.integers(0, MASTERS - 1),
        kind=st.sampled_from(["read", "read", "clock", "test", "parameter", "reset"]),
        address=st.integers(1, 2),
        plan=PLANS,
    )
    def other(self, place: int, kind: str, address: int, plan: Plan) -> None:
        self.serial += 1
        number = self.serial.to_bytes(2, "little")
        asdu = {
            "read": read(address),
            "clock": request(103, 0, number + bytes((0, 10, 22, 11, 26))),
            "test": request(107, 0, number + bytes(7)),
            "parameter": request(110, address, number + b"\x01"),
            "reset": request(105, 0, b"\x01"),
        }[kind]
        self.ask(place, asdu, plan)

    # -- who comes and goes

    @rule(
        place=st.integers(0, MASTERS - 1), how=st.sampled_from(["leave", "die", "stop", "restart"])
    )
    def depart(self, place: int, how: str) -> None:
        master = self.masters[place]
        if not master.started:
            self.join(master)
            return
        master.unsteady()
        if how in ("leave", "die"):
            getattr(master, how)()
        else:
            master.stop()
        self.settle()
        if how == "restart":
            self.join(master)

    @precondition(lambda self: not self.onePoint)
    @rule(often=st.integers(0, 9))
    def loseRtu(self, often: int) -> None:
        if often or not self.world.rtu.connected:
            return
        self.world.rtu.die()
        self.settle()
        self.plant.lost()
        for master in self.masters:
            master.unsteady()
        self.settle(5)
        assert self.world.rtu.connected
        self.tablesAreEmpty()
        for master in self.masters:
            self.join(master)

    @precondition(lambda self: not self.onePoint)
    @rule(muted=st.booleans())
    def mute(self, muted: bool) -> None:
        if self.world.rtu.connected:
            self.world.rtu.mute(muted)
            if muted:  # not for so long that the connection is lost
                rtu = self.world.rtu
                connection = rtu.connection
                self.world.reactor.callLater(
                    13, lambda: rtu.mute(False) if rtu.connection is connection else None
                )

    @rule(seconds=st.sampled_from([0.1, 0.1, 1.5, 9.0, 11.0, 31.0]))
    def wait(self, seconds: float) -> None:
        self.settle(seconds)

    # -- what always holds

    @invariant()
    def locksHaveTheirReason(self) -> None:
        """No lock outlives its deadline, or the commands that hold it."""
        requests = [
            each
            for own in self.commands.requests._byOwner.values()
            for each in own
            if not each.expired
        ]
        for point, lock in self.commands._locks._locks.items():
            if not lock.executing:
                assert self.world.now <= lock.deadline < self.world.now + SELECT_TIMEOUT + 0.001
            at = [
                each
                for each in requests
                if each.owner is lock.owner and each.typeId in COMMANDS
                if int.from_bytes(each.turn.asdu[4:9], "little") == point
                if each.cause == Cause.ACTIVATION and not each.select and not each.test
            ]
            assert len(at) == lock.executing

    @invariant()
    def waitingIsCounted(self) -> None:
        """Each master's `inLine` is what stands in line of it."""
        waiting: Counter[Master] = Counter()
        for turn in (*self.commands._queue.cleared, *self.commands._lines.waiting()):
            if turn.waited:
                waiting.update(turn.owners)
        for master in self.world.group._exchange._masters:
            assert master.inLine == waiting[master]

    @invariant()
    def strangersGetNothing(self) -> None:
        """A mirror reaches who asked, or nobody; nothing is made up; a refusal comes once."""
        for master in self.masters:
            for asked in master.asked.values():
                if asked.job is not None:
                    assert isPart(asked.got, asked.job.sent) or self.misled(asked), asked
                elif asked.got:
                    (local,) = asked.got
                    mirrors = DECON if cause(asked.asdu) == Cause.DEACTIVATION else CON
                    stopped = asked.asdu[0] in (100, 101) and mirrors == DECON
                    refused = answer(asked.asdu, mirrors, negative=True)
                    assert local == refused or (stopped and local == answer(asked.asdu, mirrors))

    def misled(self, asked: Asked) -> bool:
        """Whether the RTU itself says wrongly whose an answer is, and nothing else tells.

        One that stamps the last commander on everything can be taken for one that echoes. The
        values of commands tell their answers all the same; `oa_echo: no` is for the others.
        """
        return self.kind == "last commander" and asked.asdu[0] not in COMMANDS

    @invariant()
    def dataIsItsReaders(self) -> None:
        """What was read or interrogated goes to nobody else while somebody waits for it."""
        if self.kind == "last commander":
            return
        private = {each for job in self.all if job.timely for each in job.sent if each[0] < 45}
        for master in self.masters:
            assert not private & set(master.shown)

    # -- in the end

    def tablesAreEmpty(self) -> None:
        commands = self.commands
        assert len(commands.requests) == len(commands._locks) == len(commands._lines) == 0
        assert not commands._queue and commands._reset is None
        assert all(master.inLine == 0 for master in self.world.group._exchange._masters)

    def everybodyWasAnswered(self) -> None:
        """Exactly what the RTU answered, or exactly one refusal, reached each that stayed."""
        for master in self.masters:
            for asked in master.asked.values():
                if not asked.steady or self.kind == "last commander":
                    continue
                taken = [
                    other
                    for other in master.asked.values()
                    if cause(other.asdu) == Cause.DEACTIVATION
                    and other.got
                    and other.asdu[0] in (100, 101)
                    and other.asdu[4:] == asked.asdu[4:]
                ]
                if asked.job is None:
                    assert len(asked.got) == 1 or taken, asked
                elif not taken:
                    assert asked.got == asked.job.sent, asked

    def everyCommandHasItsEntry(self) -> None:
        """Each command has one entry in the audit trail, and nothing else has one."""
        told = Counter(
            (entry.master.rsplit(":", 1)[0], entry.originator)
            for entry in self.entries
            if "the relay's own" not in entry.reason
        )
        for master in self.masters:
            for number, asked in master.asked.items():
                count = told.pop((master.address, number), 0)
                if controls(asked.asdu):
                    reached = asked.job is not None or asked.steady
                    assert count == 1 or (count == 0 and not reached), asked
                else:
                    refused = asked.job is None
                    assert count == 0 or (count == 1 and refused), asked
        assert not told
        ended = {Outcome.CONFIRMED, Outcome.TERMINATED, Outcome.REFUSED_BY_RTU}
        assert all(entry.duration < 200 for entry in self.entries if entry.result in ended)

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        self.settle(300)
        self.tablesAreEmpty()
        assert self.commands.deadline == inf
        self.strangersGetNothing()
        self.everybodyWasAnswered()
        self.everyCommandHasItsEntry()
        self.world.finish()


TestArbitrationMachine: Any = ArbitrationMachine.TestCase
TestArbitrationMachine.settings = settings(stateful_step_count=30)
