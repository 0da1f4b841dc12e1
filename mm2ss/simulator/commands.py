"""Process commands of a simulated station: select and execute, and what they move."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Final

from mm2ss.iec104.asdu import TYPES, Cause, TypeId, header, isSelect
from mm2ss.iec104.elements import InformationObject
from mm2ss.simulator.points import Control, Kind, Points
from mm2ss.simulator.voice import Voice

#: From a command type without to the one with CP56Time2a.
_TIMED: Final = 13

#: Which controls take which command types.
COMMANDS: Final[dict[int, Kind]] = {
    TypeId.C_SC_NA_1 + timed: Kind.SINGLE for timed in (0, _TIMED)
} | {
    int(typeId) + timed: kind
    for typeId, kind in (
        (TypeId.C_DC_NA_1, Kind.DOUBLE),
        (TypeId.C_RC_NA_1, Kind.STEP),
        (TypeId.C_SE_NA_1, Kind.NORMALIZED),
        (TypeId.C_SE_NB_1, Kind.SCALED),
        (TypeId.C_SE_NC_1, Kind.FLOAT),
        (TypeId.C_BO_NA_1, Kind.BITSTRING),
    )
    for timed in (0, _TIMED)
}


@dataclass(frozen=True)
class _Selected:
    """A select that waits for its execute."""

    command: bytes
    until: float


@dataclass(frozen=True)
class _Running:
    """A command that was confirmed and is being carried out."""

    request: bytes
    value: float
    until: float


class Commands:
    """The commands of one station.

    A command that carries the T bit is answered like any other, and does nothing: it selects
    nothing, needs no select and moves no point.

    :param points: what is moved.
    :param voice: makes the answers.
    :param selectTimeout: seconds that a select waits for its execute.
    """

    def __init__(self, points: Points, voice: Voice, selectTimeout: float) -> None:
        self._points = points
        self._voice = voice
        self._selectTimeout = selectTimeout
        self._selected: dict[int, _Selected] = {}
        self._running: dict[int, _Running] = {}

    @property
    def deadline(self) -> float:
        """When `wake` is to be called; inf while nothing is being carried out."""
        return min((running.until for running in self._running.values()), default=inf)

    def selected(self, address: int, now: float) -> bool:
        """Whether a control is selected."""
        selected = self._selected.get(address)
        return selected is not None and now < selected.until

    def forgetSelects(self) -> None:
        """The master is gone: nobody may execute what it selected."""
        self._selected.clear()

    def handle(self, asdu: bytes, item: InformationObject, now: float) -> list[bytes]:
        """Answer a command (a well-formed one, for this station, with cause 6 or 8)."""
        control = self._points.control(item.address)
        if control is None or control.kind is not COMMANDS[asdu[0]]:
            return [self._voice.mirror(asdu, Cause.UNKNOWN_IOA, negative=True)]
        head = header(asdu)
        if head.cause == Cause.DEACTIVATION:
            known = head.test or self.selected(control.address, now)
            if not head.test:
                self._selected.pop(control.address, None)
            return [self._voice.mirror(asdu, Cause.DEACTIVATION_CON, negative=not known)]
        value = self._wanted(control, item)
        if head.test and value is not None:
            return self._confirmed(asdu, done=not isSelect(asdu))
        if value is None or control.address in self._running:
            return self._refused(asdu)
        if isSelect(asdu):
            until = now + self._selectTimeout
            self._selected[control.address] = _Selected(_content(asdu), until)
            return self._confirmed(asdu, done=False)
        return self._execute(asdu, control, value, now)

    def wake(self, now: float) -> list[bytes]:
        """Finish what has run its time."""
        asdus: list[bytes] = []
        for address, running in sorted(self._running.items(), key=lambda item: item[1].until):
            if running.until <= now:
                del self._running[address]
                asdus += self._finish(address, running, now)
        return asdus

    def _execute(self, asdu: bytes, control: Control, value: float, now: float) -> list[bytes]:
        selected = self._selected.pop(control.address, None)
        if selected is None or now >= selected.until:
            if control.mustSelect:
                return self._refused(asdu)
        elif selected.command != _content(asdu):
            return self._refused(asdu)
        running = _Running(asdu, value, now + control.runTime)
        confirmation = self._voice.mirror(asdu, Cause.ACTIVATION_CON)
        if control.runTime:
            self._running[control.address] = running
            return [confirmation]
        return [confirmation, *self._finish(control.address, running, now)]

    def _finish(self, address: int, running: _Running, now: float) -> list[bytes]:
        """The point has moved: say so, and that the command is over."""
        control = self._points.control(address)
        point = self._points.get(control.target) if control else None
        assert point is not None, "Points checks its controls"
        point.value = running.value
        return [
            self._voice.returned(running.request, point, now),
            self._voice.mirror(running.request, Cause.ACTIVATION_TERM),
        ]

    def _wanted(self, control: Control, item: InformationObject) -> float | None:
        """The value that the point is to have; None if it cannot have it."""
        point = self._points.get(control.target)
        element = item.elements[0]
        assert point is not None and element.value is not None, "commands have values"
        value = float(element.value)
        if control.kind is Kind.STEP:
            if value not in (1, 2):
                return None
            value = point.value + (1 if value == 2 else -1)
        elif control.kind is Kind.DOUBLE:
            return value if value in (1, 2) else None
        elif control.kind is Kind.BITSTRING:
            return value
        return value if point.low <= value <= point.high else None

    def _confirmed(self, asdu: bytes, done: bool) -> list[bytes]:
        causes = (Cause.ACTIVATION_CON, Cause.ACTIVATION_TERM) if done else (Cause.ACTIVATION_CON,)
        return [self._voice.mirror(asdu, cause) for cause in causes]

    def _refused(self, asdu: bytes) -> list[bytes]:
        return [self._voice.mirror(asdu, Cause.ACTIVATION_CON, negative=True)]


def _content(asdu: bytes) -> bytes:
    """What must be the same in select and execute: type and object, not S/E and time tag."""
    base = asdu[0] - _TIMED if asdu[0] >= TypeId.C_SC_TA_1 else asdu[0]
    length = TYPES[base].objectLength or 0
    content = bytearray(asdu[:1] + asdu[9 : 9 + length])
    offset = TYPES[base].qualifierOffset
    if offset is not None:
        content[1 + offset] &= 0x7F
    return bytes(content)
