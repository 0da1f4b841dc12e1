"""The plant that the built-in RTU watches over: a small substation."""

from __future__ import annotations

from mm2ss.simulator.points import Control, Kind, Point, Points

#: Its number.
COMMON_ADDRESS = 1

# The demo's masters act on these.
LIGHTING = 1101
BREAKER = 1201
VOLTAGE_SETPOINT = 1521


def plantPoints() -> Points:
    """Fresh points of the substation, each in its initial state."""
    return Points(
        (
            Point(101, Kind.SINGLE, "yard lighting", group=1),
            Point(102, Kind.SINGLE, "remote control", value=1, group=1),
            Point(103, Kind.SINGLE, "control room door", group=1, activity=11),
            Point(104, Kind.SINGLE, "charger fault", group=1, activity=37),
            Point(111, Kind.SINGLE, "feeder 1 earth fault", group=1, activity=29),
            Point(201, Kind.DOUBLE, "feeder 1 breaker", value=2, group=2),
            Point(202, Kind.DOUBLE, "feeder 2 breaker", value=2, group=2),
            Point(203, Kind.DOUBLE, "bus coupler", value=1, group=2, activity=23),
            Point(301, Kind.STEP, "transformer tap", value=9, group=3, low=1, high=19),
            Point(401, Kind.BITSTRING, "alarm panel", value=0x21, group=3),
            Point(501, Kind.NORMALIZED, "reactive power limit", value=0.5, group=4, low=-1),
            Point(511, Kind.SCALED, "feeder 1 current", 212, 4, 0, 400, activity=3),
            Point(512, Kind.SCALED, "feeder 2 current", 187, 4, 0, 400, activity=5),
            Point(521, Kind.FLOAT, "voltage set point", 110.0, 4, 100, 120),
            Point(522, Kind.FLOAT, "bus bar voltage", 110.4, 4, 105, 115, activity=4),
            Point(523, Kind.FLOAT, "frequency", 50.0, 4, 49.9, 50.1, activity=5, cyclic=True),
            Point(601, Kind.COUNTER, "energy imported", 12400, 1, activity=2),
            Point(602, Kind.COUNTER, "energy exported", 310, 2, activity=7),
        ),
        (
            Control(LIGHTING, Kind.SINGLE, target=101),
            Control(1102, Kind.SINGLE, target=102, mustSelect=True),
            Control(BREAKER, Kind.DOUBLE, target=201, mustSelect=True, runTime=0.3),
            Control(1202, Kind.DOUBLE, target=202, runTime=0.3),
            Control(1301, Kind.STEP, target=301),
            Control(1401, Kind.BITSTRING, target=401),
            Control(1501, Kind.NORMALIZED, target=501),
            Control(1511, Kind.SCALED, target=511),
            Control(VOLTAGE_SETPOINT, Kind.FLOAT, target=521),
        ),
    )
