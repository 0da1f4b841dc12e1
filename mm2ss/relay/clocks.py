"""The clocks that masters set: noted beside the relay's own, never changed."""

from __future__ import annotations

from datetime import datetime, timezone

from mm2ss.iec104.times import CP56Time2a

#: Seconds by which two masters' times may differ before it is worth a warning.
DISAGREEMENT = 1.0


def offsetOf(octets: bytes, wallTime: float) -> tuple[float, str] | None:
    """By how many seconds a CP56Time2a is ahead of a wall time (seconds since 1970).

    It says not whether it is local time or UTC; the nearer of both is taken, and named.

    :returns: the offset and what it is an offset from; None when it is no valid time.
    """
    time = CP56Time2a.decode(octets)
    if time.iv:
        return None
    try:
        told = time.toDatetime()
    except ValueError:
        return None
    offsets = (
        (told - datetime.fromtimestamp(wallTime), "local time"),
        (told - datetime.fromtimestamp(wallTime, timezone.utc).replace(tzinfo=None), "UTC"),
    )
    offset, name = min(offsets, key=lambda each: abs(each[0]))
    return offset.total_seconds(), name
