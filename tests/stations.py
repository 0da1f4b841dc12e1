"""A `Link` whose frames are read and written as text, and two of them back to back.

No Twisted: time is a number.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Any

from mm2ss.config.parameters import LinkParameters
from mm2ss.iec104.apci import (
    HEAD_LENGTH,
    Apdu,
    CloseCause,
    FrameBuffer,
    UFunction,
    encodeI,
    encodeS,
    encodeU,
    isI,
    isS,
)
from mm2ss.iec104.link import Acknowledged, Closed, Link, LinkEvent, Received, Role, State

DEFAULTS = LinkParameters()
#: The shortest time in the tests; with it floats add up exactly.
MOMENT = 2.0**-10

STARTDT_ACT = encodeU(UFunction.STARTDT_ACT)
STARTDT_CON = encodeU(UFunction.STARTDT_CON)
STOPDT_ACT = encodeU(UFunction.STOPDT_ACT)
STOPDT_CON = encodeU(UFunction.STOPDT_CON)
TESTFR_ACT = encodeU(UFunction.TESTFR_ACT)
TESTFR_CON = encodeU(UFunction.TESTFR_CON)


def asdu(number: int) -> bytes:
    """A valid ASDU (M_SP_NA_1, spontaneous, station 1) that carries a number 0-16777215."""
    return bytes((1, 1, 3, 0, 1, 0)) + number.to_bytes(3, "little") + b"\x01"


def asdus(count: int, first: int = 0) -> list[bytes]:
    """Several of `asdu`, numbered on."""
    return [asdu(number) for number in range(first, first + count)]


def describe(apdu: Apdu) -> str:
    """A frame as tests read it: ``I 3/0`` (N(S)/N(R)), ``S 8``, ``STARTDT con``."""
    if isI(apdu):
        return f"I {apdu[0] >> 1}/{apdu[1] >> 1}"
    if isS(apdu):
        return f"S {apdu[1] >> 1}"
    return UFunction(apdu[0]).name.replace("_ACT", " act").replace("_CON", " con")


def frames(octets: bytes) -> list[str]:
    """Octets as `describe` shows their frames; they must be whole and valid."""
    buffer = FrameBuffer()
    apdus = buffer.feed(octets)
    assert buffer.fault is None
    assert sum(6 + len(apdu[2]) for apdu in apdus) == len(octets), "an unfinished frame"
    return [describe(apdu) for apdu in apdus]


def cut(octets: bytes, places: Iterable[int]) -> list[bytes]:
    """Octets in chunks, cut at the given places (in any order, of any size, some at one place)."""
    inside = sorted(place % (len(octets) + 1) for place in places)
    return [octets[a:b] for a, b in pairwise([0, *inside, len(octets)])]


class Station:
    """A `Link` and its owner: keeps all events, checks what holds for every link.

    :ivar now: the station's monotonic second; `run` moves it.
    :ivar events: everything the link told, in order.
    """

    def __init__(
        self,
        role: Role,
        parameters: LinkParameters = DEFAULTS,
        now: float = 0.0,
        idleTime: float = 0,
        releaseDelay: float | None = None,
    ) -> None:
        self.now = now
        self.link = Link(role, parameters, now, idleTime, releaseDelay)
        self.events: list[LinkEvent] = []

    @classmethod
    def controlled(cls, *args: Any, **options: Any) -> Station:
        """A controlled station that a controlling station has started."""
        station = cls(Role.CONTROLLED, *args, **options)
        station.feed(STARTDT_ACT)
        station.forget()
        return station

    @classmethod
    def controlling(cls, *args: Any, **options: Any) -> Station:
        """A controlling station that has started data transfer."""
        station = cls(Role.CONTROLLING, *args, **options)
        station.link.start(station.now)
        station.feed(STARTDT_CON)
        station.forget()
        return station

    @classmethod
    def started(cls, role: Role, *args: Any, **options: Any) -> Station:
        """A station of either role, with data transfer started."""
        make = cls.controlled if role is Role.CONTROLLED else cls.controlling
        return make(*args, **options)

    def forget(self) -> None:
        """Drop the events and the octets so far."""
        self.events.clear()
        self.link.takeOutput()

    def feed(self, *octets: bytes) -> list[LinkEvent]:
        """One chunk arrives; return what it led to."""
        chunk = b"".join(octets)
        count = self.link.receiveS(chunk, self.now) if len(chunk) == HEAD_LENGTH else -1
        events: list[LinkEvent] = [Acknowledged(count)] if count >= 0 else []
        if not events:
            events = self.link.receive(chunk, self.now)
        return self._keep(events)

    def feedI(self, count: int, first: int | None = None, acknowledging: int = 0) -> None:
        """I frames arrive in one chunk, numbered on from what was received unless told."""
        number = self.link.received if first is None else first
        self.feed(*(encodeI(n, acknowledging, asdu(n)) for n in range(number, number + count)))

    def feedS(self, number: int) -> list[LinkEvent]:
        """An S frame arrives."""
        return self.feed(encodeS(number))

    def send(self, count: int) -> None:
        """Send numbered ASDUs."""
        self.link.send(asdus(count, self.link.sent), self.now)

    def wake(self) -> list[LinkEvent]:
        """Wake the link now, and check that this moved its deadline if that had come."""
        before = self.link.deadline
        events = self._keep(self.link.wake(self.now))
        if self.now >= before:
            assert self.link.deadline > before, "busy loop"
        return events

    def run(self, seconds: float) -> list[LinkEvent]:
        """Let time pass; the link is woken exactly at each of its deadlines."""
        end = self.now + seconds
        events: list[LinkEvent] = []
        while self.link.deadline <= end:
            self.now = max(self.now, self.link.deadline)
            events += self.wake()
        self.now = end
        return events

    def written(self) -> list[str]:
        """The frames written since the last call, as `describe` shows them."""
        return frames(self.link.takeOutput())

    def state(self) -> State:
        """The state of the link (a method: what mypy has seen of an attribute it believes on)."""
        return self.link.state

    @property
    def received(self) -> list[bytes]:
        """All ASDUs that arrived."""
        return [a for event in self.events if isinstance(event, Received) for a in event.asdus]

    @property
    def closed(self) -> CloseCause | None:
        """Why the link closed, or None."""
        last = self.events[-1] if self.events else None
        return last.cause if isinstance(last, Closed) else None

    def _keep(self, events: list[LinkEvent]) -> list[LinkEvent]:
        if self.closed:
            assert not events, "events after Closed"
        assert not any(isinstance(event, Closed) for event in events[:-1]), "Closed is not last"
        assert (self.link.deadline < float("inf")) == (self.link.state is not State.CLOSED)
        self.events += events
        return events


class Pair:
    """A controlling and a controlled station with a wire each way; nothing moves by itself."""

    def __init__(
        self,
        parameters: LinkParameters = DEFAULTS,
        peerParameters: LinkParameters | None = None,
        now: float = 0.0,
        **options: Any,
    ) -> None:
        self.controlling = Station(Role.CONTROLLING, parameters, now, **options)
        self.controlled = Station(Role.CONTROLLED, peerParameters or parameters, now, **options)
        self.stations = (self.controlling, self.controlled)
        #: Octets on their way from each station.
        self.wires = {station: bytearray() for station in self.stations}

    def other(self, station: Station) -> Station:
        """The station at the other end."""
        return self.controlled if station is self.controlling else self.controlling

    def collect(self) -> None:
        """Put on the wires what the links have written."""
        for station in self.stations:
            self.wires[station] += station.link.takeOutput()

    def deliver(self, sender: Station, octets: int | None = None) -> list[LinkEvent]:
        """Bring octets (all, unless told) from a station to the other one, as one chunk."""
        self.collect()
        wire = self.wires[sender]
        chunk = bytes(wire[:octets])
        del wire[: len(chunk)]
        return self.other(sender).feed(chunk) if chunk else []

    def settle(self) -> None:
        """Deliver until nothing is on its way, without letting time pass."""
        self.collect()
        while any(self.wires.values()):
            for station in self.stations:
                self.deliver(station)
            self.collect()

    def run(self, seconds: float) -> None:
        """Let time pass: each station is woken at its deadlines, octets take no time."""
        end = self.controlling.now + seconds
        self.settle()
        while (at := min(station.link.deadline for station in self.stations)) <= end:
            for station in self.stations:
                station.now = max(station.now, at)
                if station.link.deadline <= at:
                    station.wake()
            self.settle()
        for station in self.stations:
            station.now = end

    def start(self) -> None:
        """Start data transfer and settle."""
        self.controlling.link.start(self.controlling.now)
        self.settle()
