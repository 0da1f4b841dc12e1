"""A c104 station as a program: it crashes alone, and it is told what to do line by line.

    python -m tests.interop.c104peer '{"role": "rtu", "ip": "127.0.0.2", "port": 2404}'

Each line of standard input is a JSON object with ``id``, ``do`` (a method's name) and the method's
arguments. Each line of standard output is a JSON object with ``event``: what the station saw, or
``reply`` to a line. The station ends when its standard input does.
"""

# Without "from __future__ import annotations": c104 compares the annotations of its callbacks.
import json
import os
import sys
import time
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any

import c104

from tests.interop.points import DIRECT, MONITORED, SELECTED, STATION

#: The shortest that c104 takes.
TICK_MS = 50
COMMAND_TIMEOUT_MS = 5000


def emit(event: str, **values: Any) -> None:
    """Write one line, at once and whole: the callbacks come from other threads."""
    line = json.dumps({"event": event, "time": time.monotonic(), **values}) + "\n"
    os.write(1, line.encode())


def moment(milliseconds: int | None) -> datetime | None:
    """A time tag from milliseconds since the epoch."""
    if milliseconds is None:
        return None
    return datetime.fromtimestamp(milliseconds // 1000, timezone.utc).replace(
        microsecond=milliseconds % 1000 * 1000
    )


def information(kind: str, value: Any, at: int | None = None) -> c104.Information:
    """A point's content, as c104 wants it for a type: status, measurand, counter, command."""
    recorded = moment(at)
    make: dict[str, Callable[[], c104.Information]] = {
        "M_SP": lambda: c104.SingleInfo(on=value, recorded_at=recorded),
        "M_DP": lambda: c104.DoubleInfo(state=double(value), recorded_at=recorded),
        "M_ST": lambda: c104.StepInfo(  # "position" in c104's type hints, but that fails
            state=c104.Int7(value),  # type: ignore[call-arg]  # its stub is wrong
            recorded_at=recorded,
        ),
        "M_BO": lambda: c104.BinaryInfo(blob=c104.Byte32(value), recorded_at=recorded),
        "M_IT": lambda: c104.BinaryCounterInfo(
            counter=value,
            sequence=c104.UInt5(7),
            quality=c104.BinaryCounterQuality(),  # its default is none that c104 takes
            recorded_at=recorded,
        ),
        "M_ME_TD_1": lambda: c104.NormalizedInfo(
            actual=c104.NormalizedFloat(value), recorded_at=recorded
        ),
        "M_ME_TE_1": lambda: c104.ScaledInfo(actual=c104.Int16(value), recorded_at=recorded),
        "M_ME_TF_1": lambda: c104.ShortInfo(actual=value, recorded_at=recorded),
        "M_ME_NC_1": lambda: c104.ShortInfo(actual=value),
        "C_SC": lambda: c104.SingleCmd(on=value, recorded_at=recorded),
        "C_DC": lambda: c104.DoubleCmd(state=double(value), recorded_at=recorded),
        "C_RC": lambda: c104.StepCmd(
            direction=c104.Step.HIGHER if value else c104.Step.LOWER, recorded_at=recorded
        ),
        "C_SE_NB_1": lambda: c104.ScaledCmd(target=c104.Int16(value)),
        "C_SE_NC_1": lambda: c104.ShortCmd(target=value),
    }
    return (make.get(kind) or make[kind[:4]])()


def double(value: int) -> c104.Double:
    """A double point's state: 1 is off, 2 is on."""
    return {1: c104.Double.OFF, 2: c104.Double.ON}[value]


def plain(value: Any) -> Any:
    """A value of c104's own types as JSON can hold it."""
    if isinstance(value, bool | int | float):
        return value
    if isinstance(value, c104.Double | c104.Step):
        return value.value
    if isinstance(value, c104.NormalizedFloat):
        return float(value)  # type: ignore[arg-type]  # not in c104's type hints
    if isinstance(value, c104.Byte32):
        return int.from_bytes(bytes(value), "little")
    return int(value)


class Rtu:
    """The controlled station."""

    def __init__(self, ip: str, port: int, parameters: dict[str, int]) -> None:
        self._server = c104.Server(ip=ip, port=port, tick_rate_ms=TICK_MS)
        setParameters(self._server.protocol_parameters, parameters)
        station = self._server.add_station(STATION)
        assert station is not None
        self._station = station
        for address, kind in MONITORED.items():
            station.add_point(address, getattr(c104.Type, kind))
        for address, kind in DIRECT.items():
            self._addCommand(address, kind, c104.CommandMode.DIRECT)
        for address, kind in SELECTED.items():
            self._addCommand(address, kind, c104.CommandMode.SELECT_AND_EXECUTE)
        self._server.on_receive_raw(callable=self._received)
        self._server.on_send_raw(callable=self._sent)
        self._server.on_clock_sync(callable=self._clock)
        self._server.start()

    def _addCommand(self, address: int, kind: str, mode: c104.CommandMode) -> None:
        point = self._station.add_point(address, getattr(c104.Type, kind), command_mode=mode)
        assert point is not None
        point.on_receive(callable=self._command)

    def _received(self, server: c104.Server, data: bytes) -> None:
        emit("frame", octets=data.hex(), sent=False)

    def _sent(self, server: c104.Server, data: bytes) -> None:
        emit("frame", octets=data.hex(), sent=True)

    def _clock(self, server: c104.Server, ip: str, date_time: datetime) -> c104.ResponseState:
        emit("clock", at=date_time.isoformat())
        return c104.ResponseState.SUCCESS

    def _command(
        self, point: c104.Point, previous_info: c104.Information, message: c104.IncomingMessage
    ) -> c104.ResponseState:
        emit("command", address=point.io_address, value=plain(point.value))
        return c104.ResponseState.SUCCESS

    def _set(self, address: int, value: Any, at: int | None) -> c104.Point:
        point = self._station.get_point(address)
        assert point is not None
        point.info = information(MONITORED[address], value, at)
        return point

    def set(self, address: int, value: Any, at: int | None = None) -> bool:
        """Change a point and report nothing."""
        return self._set(address, value, at) is not None

    def send(self, address: int, value: Any, at: int | None = None) -> bool:
        """Change a point and report it as spontaneous."""
        return self._set(address, value, at).transmit(c104.Cot.SPONTANEOUS)

    def initialized(self) -> bool:
        """Report the end of an initialization."""
        self._station.signal_initialized(cause=c104.Coi.REMOTE_RESET)
        return True


class Master:
    """The controlling station."""

    def __init__(self, ip: str, port: int, parameters: dict[str, int]) -> None:
        self._client = c104.Client(tick_rate_ms=TICK_MS, command_timeout_ms=COMMAND_TIMEOUT_MS)
        connection = self._client.add_connection(ip=ip, port=port, init=c104.Init.MUTED)
        assert connection is not None
        self._connection = connection
        setParameters(connection.protocol_parameters, parameters)
        station = connection.add_station(STATION)
        assert station is not None
        self._station = station
        for address, kind in MONITORED.items():
            point = station.add_point(address, getattr(c104.Type, kind))
            assert point is not None
            point.on_receive(callable=self._value)
        for address, kind in {**DIRECT, **SELECTED}.items():
            station.add_point(address, getattr(c104.Type, kind))
        connection.on_receive_raw(callable=self._received)
        connection.on_send_raw(callable=self._sent)
        connection.on_state_change(callable=self._state)

    def _received(self, connection: c104.Connection, data: bytes) -> None:
        emit("frame", octets=data.hex(), sent=False)

    def _sent(self, connection: c104.Connection, data: bytes) -> None:
        emit("frame", octets=data.hex(), sent=True)

    def _state(self, connection: c104.Connection, state: c104.ConnectionState) -> None:
        emit("state", state=state.name)

    def _value(
        self, point: c104.Point, previous_info: c104.Information, message: c104.IncomingMessage
    ) -> c104.ResponseState:
        at = point.recorded_at
        emit(
            "value",
            address=point.io_address,
            value=plain(point.value),
            at=None if at is None else round(at.timestamp() * 1000),
        )
        return c104.ResponseState.SUCCESS

    def connect(self) -> bool:
        """Begin to connect. (There is no way back: c104's disconnect may hang for ever.)"""
        self._client.start()
        return True

    def start(self) -> bool:
        """Start data transfer; c104 may forget that when it is to do so by itself."""
        return self._connection.unmute()

    def interrogate(self) -> bool:
        """General interrogation; whether it was confirmed and terminated."""
        return self._connection.interrogation(STATION)

    def counters(self) -> bool:
        """General counter interrogation; whether it was confirmed and terminated."""
        return self._connection.counter_interrogation(STATION)

    def clock(self) -> bool:
        """Clock synchronization; whether it was confirmed."""
        return self._connection.clock_sync(STATION)

    def read(self, address: int) -> bool:
        """Read one point; whether it was answered."""
        point = self._station.get_point(address)
        assert point is not None
        return point.read()

    def command(self, address: int, value: Any, select: bool = False) -> bool:
        """A command, selected first if so wanted; whether all of it was confirmed."""
        point = self._station.get_point(address)
        assert point is not None
        mode = c104.CommandMode.SELECT_AND_EXECUTE if select else c104.CommandMode.DIRECT
        point.command_mode = mode
        now = time.time_ns() // 1_000_000
        point.info = information(point.type.name, value, now if "_TA_" in point.type.name else None)
        return point.transmit(c104.Cot.ACTIVATION)


def setParameters(target: c104.ProtocolParameters, values: dict[str, int]) -> None:
    """Windows and timers by their names in the standard."""
    names = {
        "k": "send_window_size",
        "w": "receive_window_size",
        "t0": "connection_timeout",
        "t1": "message_timeout",
        "t2": "confirm_interval",
        "t3": "keep_alive_interval",
    }
    for name, value in values.items():
        setattr(target, names[name], value)


def main() -> None:
    """Make the station, do what the lines say, end with the last one."""
    options = json.loads(sys.argv[1])
    role = {"rtu": Rtu, "master": Master}[options["role"]]
    station = role(options["ip"], options["port"], options.get("parameters", {}))
    emit("ready")
    for line in sys.stdin:
        request = json.loads(line)
        identity = request.pop("id")
        try:
            result = getattr(station, request.pop("do"))(**request)
        except Exception as error:
            emit("reply", id=identity, error=f"{type(error).__name__}: {error}")
        else:
            emit("reply", id=identity, result=result)
    os._exit(0)  # c104's threads need not end in an orderly way


if __name__ == "__main__":
    main()
