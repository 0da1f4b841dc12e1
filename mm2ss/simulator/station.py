"""A controlled station without its connection: ASDUs and the time in, ASDUs out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from mm2ss.iec104.apci import CloseCause, ProtocolError
from mm2ss.iec104.asdu import ALLOWED_CAUSES, BROADCAST, Cause, TypeId
from mm2ss.iec104.elements import QCC, QOI, QRP, CP56Time2a, InformationObject, decode
from mm2ss.simulator.commands import COMMANDS, Commands
from mm2ss.simulator.counters import Counters, Freeze
from mm2ss.simulator.points import (
    Kind,
    Point,
    Points,
    plainObject,
    plainType,
    taggedObject,
    taggedType,
)
from mm2ss.simulator.voice import Echo, StationClock, Voice

_BROADCASTABLE: Final = frozenset(
    (TypeId.C_IC_NA_1, TypeId.C_CI_NA_1, TypeId.C_CS_NA_1, TypeId.C_RP_NA_1)
)
_SYSTEM: Final = frozenset((100, 101, 103, 104, 105, 107))
_GENERAL_RESET: Final = 1
_RESET_EVENTS: Final = 2
_POWER_ON: Final = 0
_REMOTE_RESET: Final = 2


@dataclass(frozen=True)
class _Request:
    """A request that is for this station and makes sense as far as its header goes."""

    asdu: bytes
    item: InformationObject
    now: float

    @property
    def test(self) -> bool:
        """The T bit: answer, but do nothing."""
        return self.asdu[2] >= 0x80

    @property
    def deactivates(self) -> bool:
        return self.asdu[2] & 0x3F == Cause.DEACTIVATION


class Station:
    """Answers a controlling station, and tells it what changes.

    All times are monotonic seconds, all of its results ASDUs in the order they are to be sent.

    :param points: what it has.
    :param now: when it is switched on.
    :param reading: what its clock shows then (naive); clock synchronization sets it.
    :param commonAddress: its number, 1-65534.
    :param echo: what it does with originator addresses.
    :param selectTimeout: seconds that a select waits for its execute.
    :param resetEvents: called when the master has the buffered events reset (QRP 2).
    :raises ValueError: when `commonAddress` or `echo` is out of range.
    :ivar clock: the station's own clock.
    """

    def __init__(
        self,
        points: Points,
        now: float,
        reading: datetime,
        commonAddress: int = 1,
        echo: Echo = "all",
        selectTimeout: float = 30,
        resetEvents: Callable[[], None] | None = None,
    ) -> None:
        self.points = points
        self.clock = StationClock(reading, now)
        self.resetEvents = resetEvents
        self._voice = Voice(commonAddress, echo, self.clock)
        self._commands = Commands(points, self._voice, selectTimeout)
        self._counters = Counters(points)
        self._initialized = False
        self._handlers: dict[int, Callable[[_Request], list[bytes]]] = {
            TypeId.C_IC_NA_1: self._interrogate,
            TypeId.C_CI_NA_1: self._readCounters,
            TypeId.C_RD_NA_1: self._read,
            TypeId.C_CS_NA_1: self._setClock,
            TypeId.C_TS_NA_1: self._confirm,  # any pattern: lib60870 sends another than 0x55AA
            TypeId.C_RP_NA_1: self._reset,
            TypeId.C_TS_TA_1: self._confirm,
            **dict.fromkeys(COMMANDS, self._command),
        }

    @property
    def commonAddress(self) -> int:
        """The station's number."""
        return self._voice.commonAddress

    @property
    def deadline(self) -> float:
        """When `wake` is to be called; inf = not before something happens."""
        return self._commands.deadline

    # -- what happens to it -----------------------------------------------------------------

    def started(self) -> list[bytes]:
        """A controlling station has started data transfer: the first hears of the power-on."""
        if self._initialized:
            return []
        self._initialized = True
        return [self._voice.initialized(_POWER_ON)]

    def stopped(self) -> None:
        """The controlling station is gone or has stopped data transfer: selects end."""
        self._commands.forgetSelects()

    def receive(self, asdu: bytes, now: float) -> list[bytes]:
        """Answer an ASDU.

        :raises ProtocolError: when its length and its structure do not fit together.
        """
        if len(asdu) < 9:
            raise ProtocolError(CloseCause.BAD_ASDU, asdu)
        self._voice.heard(asdu)
        cause = self._headerProblem(asdu)
        if cause is not None:
            return [self._voice.mirror(asdu, cause, negative=True)]
        try:
            (item,) = decode(asdu)
        except ValueError as problem:
            raise ProtocolError(CloseCause.BAD_ASDU, asdu) from problem
        if item.address and asdu[0] in _SYSTEM:
            return [self._voice.mirror(asdu, Cause.UNKNOWN_IOA, negative=True)]
        return self._handlers[asdu[0]](_Request(asdu, item, now))

    def wake(self, now: float) -> list[bytes]:
        """Finish commands that take their time."""
        return self._commands.wake(now)

    def change(self, address: int, value: float, now: float) -> list[bytes]:
        """The process changes a point: spontaneous with time, a cyclic one periodic without.

        Counters are told when they are asked for only.

        :raises KeyError: when there is no such point.
        """
        point = self.points.get(address)
        if point is None:
            raise KeyError(address)
        point.value = value
        if point.kind is Kind.COUNTER:
            return []
        if point.cyclic:
            item = plainObject(point)
            return [self._voice.spontaneous(plainType(point.kind), Cause.PERIODIC, item)]
        item = taggedObject(point, self._voice.time(now))
        return [self._voice.spontaneous(taggedType(point.kind), Cause.SPONTANEOUS, item)]

    # -- what it is asked -------------------------------------------------------------------

    def _headerProblem(self, asdu: bytes) -> Cause | None:
        """The cause (44-46) of a refusal for what the header says; None if it may pass."""
        if asdu[0] not in self._handlers:
            return Cause.UNKNOWN_TYPE
        if asdu[2] & 0x3F not in ALLOWED_CAUSES[asdu[0]].control:
            return Cause.UNKNOWN_CAUSE
        address = asdu[4] | asdu[5] << 8
        broadcast = address == BROADCAST and asdu[0] in _BROADCASTABLE
        return None if broadcast or address == self.commonAddress else Cause.UNKNOWN_CA

    def _command(self, request: _Request) -> list[bytes]:
        return self._commands.handle(request.asdu, request.item, request.now)

    def _interrogate(self, request: _Request) -> list[bytes]:
        """General interrogation; it is answered in one go, so there is none to deactivate."""
        qualifier = request.item.find(QOI)
        assert qualifier is not None
        qoi = qualifier.qoi
        known = Cause.INTERROGATED_STATION <= qoi <= Cause.INTERROGATED_GROUP_16
        if request.deactivates or not known:
            return self._refuse(request)
        points = self.points.interrogated(qoi - Cause.INTERROGATED_STATION)
        data = self._voice.interrogated(request.asdu, qoi, points)
        return [*self._confirm(request), *data, self._terminate(request)]

    def _readCounters(self, request: _Request) -> list[bytes]:
        """Freeze, reset or read counters; only a read brings data."""
        qualifier = request.item.find(QCC)
        assert qualifier is not None
        try:
            self._counters.members(qualifier.rqt)
        except ValueError:
            return self._refuse(request)
        if request.deactivates:
            return self._refuse(request)
        if not request.test:
            self._counters.act(qualifier.rqt, Freeze(qualifier.frz))
        data: list[bytes] = []
        if qualifier.frz == Freeze.READ:
            cause = Cause.COUNTER_GENERAL + qualifier.rqt % 5
            readings = self._counters.read(qualifier.rqt)
            data = self._voice.block(request.asdu, cause, Kind.COUNTER, readings)
        return [*self._confirm(request), *data, self._terminate(request)]

    def _read(self, request: _Request) -> list[bytes]:
        point: Point | None = self.points.get(request.item.address)
        if point is None or point.kind is Kind.COUNTER:
            return [self._voice.mirror(request.asdu, Cause.UNKNOWN_IOA, negative=True)]
        return self._voice.interrogated(request.asdu, Cause.REQUEST, [point])

    def _setClock(self, request: _Request) -> list[bytes]:
        """The confirmation carries the time of the request."""
        time = request.item.find(CP56Time2a)
        assert time is not None
        try:
            reading = time.toDatetime()
        except ValueError:
            return self._refuse(request)
        if not request.test:
            self.clock.set(reading, request.now, time.su)
        return self._confirm(request)

    def _reset(self, request: _Request) -> list[bytes]:
        """A general reset ends in end of initialization; the connection stays."""
        qualifier = request.item.find(QRP)
        assert qualifier is not None
        if qualifier.qrp not in (_GENERAL_RESET, _RESET_EVENTS):
            return self._refuse(request)
        answer = self._confirm(request)
        if request.test:
            return answer
        if qualifier.qrp == _RESET_EVENTS:
            if self.resetEvents is not None:
                self.resetEvents()
            return answer
        self._commands.forgetSelects()
        return [*answer, self._voice.initialized(_REMOTE_RESET)]

    def _confirm(self, request: _Request) -> list[bytes]:
        return [self._voice.mirror(request.asdu, Cause.ACTIVATION_CON)]

    def _terminate(self, request: _Request) -> bytes:
        return self._voice.mirror(request.asdu, Cause.ACTIVATION_TERM)

    def _refuse(self, request: _Request) -> list[bytes]:
        cause = Cause.DEACTIVATION_CON if request.deactivates else Cause.ACTIVATION_CON
        return [self._voice.mirror(request.asdu, cause, negative=True)]
