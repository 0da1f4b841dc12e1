"""How a simulated station speaks: its common address, its clock, its originator addresses."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from itertools import groupby
from typing import Literal

from mm2ss.iec104.asdu import ALLOWED_CAUSES, BROADCAST, Cause, TypeId, mirror, withOriginator
from mm2ss.iec104.elements import COI, InformationObject, encode
from mm2ss.iec104.times import CP56Time2a
from mm2ss.simulator.points import Kind, Point, packed, plainObject, taggedObject, taggedType

#: What a station does with originator addresses; every behaviour is one of real devices.
#:
#: - ``all``: returns the requester's in mirrors, in the data that was asked for, and in the
#:   return information of a command;
#: - ``mirrors``: returns it in mirrors only, data have 0;
#: - ``none``: 0 everywhere;
#: - a number 0-255: this one everywhere;
#: - ``last``: as ``all``, and spontaneous data have that of the last request of anybody.
Echo = Literal["all", "mirrors", "none", "last"] | int


_ORDER = {kind: number for number, kind in enumerate(Kind)}
_BROADCAST = BROADCAST.to_bytes(2, "little")


class StationClock:
    """A clock that can be set; it runs with the monotonic seconds that it is asked with.

    :param reading: what it shows at monotonic second `now` (naive, as stations' clocks are).
    :ivar summer: whether that is summer time.
    """

    def __init__(self, reading: datetime, now: float) -> None:
        self.set(reading, now)

    def set(self, reading: datetime, now: float, summer: bool = False) -> None:
        """Show this reading at this monotonic second; `summer` = it is summer time (SU)."""
        self._reading = reading
        self._since = now
        self.summer = summer

    def read(self, now: float) -> datetime:
        """What the clock shows."""
        return self._reading + timedelta(seconds=now - self._since)


class Voice:
    """Makes the ASDUs of one station.

    :param commonAddress: the station's number, 1-65534.
    :param echo: what becomes of originator addresses.
    :param clock: gives the time tags.
    :raises ValueError: when the common or the originator address is out of range.
    """

    def __init__(self, commonAddress: int, echo: Echo, clock: StationClock) -> None:
        if not 1 <= commonAddress <= 65534:
            raise ValueError(f"common address {commonAddress} is not 1-65534")
        if isinstance(echo, int) and not 0 <= echo <= 255:
            raise ValueError(f"originator address {echo} is not 0-255")
        self.commonAddress = commonAddress
        self.clock = clock
        self._echo = echo
        self._last = 0

    def heard(self, asdu: bytes) -> None:
        """A request came in."""
        self._last = asdu[3]

    def mirror(self, asdu: bytes, cause: int, negative: bool = False) -> bytes:
        """The request returned with another cause; that of a broadcast has the own address."""
        originator = self._originator(asdu[3], self._echo in ("all", "mirrors", "last"))
        answer = withOriginator(mirror(asdu, cause, negative), originator)
        if answer[4:6] != _BROADCAST or cause >= Cause.UNKNOWN_TYPE:
            return answer
        return answer[:4] + self.commonAddress.to_bytes(2, "little") + answer[6:]

    def interrogated(self, request: bytes, cause: int, points: Iterable[Point]) -> list[bytes]:
        """The points as they are, without times, as few ASDUs; kind by kind."""
        asdus: list[bytes] = []
        ordered = sorted(points, key=lambda point: _ORDER[point.kind])
        for kind, members in groupby(ordered, lambda point: point.kind):
            objects = [plainObject(point) for point in members]
            asdus += self.block(request, cause, kind, objects)
        return asdus

    def block(
        self, request: bytes, cause: int, kind: Kind, objects: Sequence[InformationObject]
    ) -> list[bytes]:
        """Objects of one kind, without times, as few ASDUs."""
        return [
            self.data(request, typeId, cause, members, sequence)
            for typeId, members, sequence in packed(kind, objects)
        ]

    def data(
        self,
        request: bytes,
        typeId: int,
        cause: int,
        objects: Sequence[InformationObject],
        sequence: bool = False,
    ) -> bytes:
        """Data that a request caused; T as in the request."""
        return encode(
            typeId,
            cause,
            self.commonAddress,
            objects,
            sequence,
            test=request[2] >= 0x80,
            originator=self._originator(request[3], self._echo in ("all", "last")),
        )

    def returned(self, request: bytes, point: Point, now: float) -> bytes:
        """A point that a command has moved: return information, where the type may have that cause
        (60870-5-101 7.2.3), else spontaneous data."""
        item = taggedObject(point, self.time(now))
        if Cause.RETURN_REMOTE not in ALLOWED_CAUSES[taggedType(point.kind)].monitor:
            return self.spontaneous(taggedType(point.kind), Cause.SPONTANEOUS, item)
        return self.data(request, taggedType(point.kind), Cause.RETURN_REMOTE, [item])

    def spontaneous(self, typeId: int, cause: int, item: InformationObject) -> bytes:
        """Data that nobody asked for."""
        originator = self._originator(self._last, self._echo == "last")
        return encode(typeId, cause, self.commonAddress, [item], originator=originator)

    def initialized(self, coi: int) -> bytes:
        """End of initialization; `coi` 0 = power on, 2 = remote reset."""
        item = InformationObject.of(0, COI(coi))
        return self.spontaneous(TypeId.M_EI_NA_1, Cause.INITIALIZED, item)

    def time(self, now: float) -> CP56Time2a:
        """The station's time as a tag."""
        return CP56Time2a.fromDatetime(self.clock.read(now), su=self.clock.summer)

    def _originator(self, wanted: int, echoed: bool) -> int:
        if isinstance(self._echo, int):
            return self._echo
        return wanted if echoed else 0
