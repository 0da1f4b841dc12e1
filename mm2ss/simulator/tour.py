"""What the demo's masters do: a look around, then three kinds of commands."""

from __future__ import annotations

from datetime import datetime

from mm2ss.iec104.asdu import Cause, TypeId
from mm2ss.iec104.bitfields import Element
from mm2ss.iec104.elements import (
    DCO,
    QCC,
    QOI,
    QOS,
    R32,
    SCO,
    CP56Time2a,
    InformationObject,
    encode,
)
from mm2ss.simulator.master import DemoMaster
from mm2ss.simulator.plant import BREAKER, COMMON_ADDRESS, LIGHTING, VOLTAGE_SETPOINT


async def lookAround(master: DemoMaster, now: datetime) -> None:
    """General interrogation, and the station's clock set to `now`.

    :raises Refused: as all of these, when the station says no.
    """
    await master.ask(_request(TypeId.C_IC_NA_1, 0, QOI(20)), Cause.ACTIVATION_TERM)
    await master.ask(_request(TypeId.C_CS_NA_1, 0, CP56Time2a.fromDatetime(now)))


async def readCounters(master: DemoMaster) -> None:
    """Counter interrogation: all counters, without freezing them."""
    await master.ask(_request(TypeId.C_CI_NA_1, 0, QCC(rqt=5)), Cause.ACTIVATION_TERM)


async def switchLighting(master: DemoMaster, on: bool) -> None:
    """A direct single command."""
    await master.ask(_request(TypeId.C_SC_NA_1, LIGHTING, SCO(scs=on)), Cause.ACTIVATION_TERM)


async def operateBreaker(master: DemoMaster, close: bool) -> None:
    """A double command, select before operate."""
    state = 2 if close else 1
    await master.ask(_request(TypeId.C_DC_NA_1, BREAKER, DCO(dcs=state, se=True)))
    await master.ask(_request(TypeId.C_DC_NA_1, BREAKER, DCO(dcs=state)), Cause.ACTIVATION_TERM)


async def setVoltage(master: DemoMaster, kilovolts: float) -> None:
    """A set point command, 100-120 kV."""
    request = _request(TypeId.C_SE_NC_1, VOLTAGE_SETPOINT, R32.of(kilovolts), QOS())
    await master.ask(request, Cause.ACTIVATION_TERM)


def _request(typeId: TypeId, address: int, *elements: Element) -> bytes:
    item = InformationObject(address, elements)
    return encode(typeId, Cause.ACTIVATION, COMMON_ADDRESS, [item])
