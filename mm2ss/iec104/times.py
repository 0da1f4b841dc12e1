"""Time in information elements: CP16Time2a, CP24Time2a, CP56Time2a (60870-5-101 7.2.6.18-20).

No clock is read and no zone is known here: a station's clock runs on local time or on UTC, as
its operator decided, so datetimes are taken and given as bare calendar and clock readings.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import ClassVar

from mm2ss.iec104.bitfields import Element, bits


@dataclass(frozen=True)
class CP16Time2a(Element):
    """A duration of 0-59999 ms: relay operating time, elapsed time, delay (7.2.6.20)."""

    milliseconds: int = bits(16)

    def text(self) -> str:
        return f"{self.milliseconds} ms"


@dataclass(frozen=True)
class CP24Time2a(Element):
    """Milliseconds and minute of an hour that is not told (7.2.6.19)."""

    PREFIX: ClassVar[str] = "@"

    milliseconds: int = bits(16)
    minute: int = bits(6)
    gen: bool = bits(1)
    iv: bool = bits(1)

    def __str__(self) -> str:
        clock = f"{self.minute:02}:{_seconds(self.milliseconds)}"
        return clock + _timeMarks(self.gen, self.iv, False)


@dataclass(frozen=True)
class CP56Time2a(Element):
    """Calendar date and time of day to the millisecond (7.2.6.18).

    All 56 bits are kept as they came, even such that name no date. `gen` (RES1) says that the
    time was substituted on the way, `iv` that it is invalid, `su` that summer time is in force.
    `dayOfWeek` is 1 (Monday) to 7, 0 where not used; `year` is that of the century, 0-99.
    """

    PREFIX: ClassVar[str] = "@"

    milliseconds: int = bits(16)
    minute: int = bits(6)
    gen: bool = bits(1)
    iv: bool = bits(1)
    hour: int = bits(5)
    reserved2: int = bits(2)
    su: bool = bits(1)
    dayOfMonth: int = bits(5)
    dayOfWeek: int = bits(3)
    month: int = bits(4)
    reserved3: int = bits(4)
    year: int = bits(7)
    reserved4: bool = bits(1)

    @classmethod
    def fromDatetime(
        cls,
        when: datetime,
        *,
        su: bool = False,
        iv: bool = False,
        gen: bool = False,
        withDayOfWeek: bool = True,
    ) -> CP56Time2a:
        """Take the reading of `when`, cut to milliseconds; ValueError outside 1970-2069.

        `when` is naive, local or UTC as the station's clock is, or aware and in UTC; any other
        zone is refused, for it is not plain which reading is meant. `su` must be told.
        """
        if when.utcoffset():
            raise ValueError(f"{when.isoformat()} is neither naive nor UTC")
        if not 1970 <= when.year <= 2069:
            raise ValueError(f"year {when.year} is not 1970-2069")
        return cls(
            milliseconds=when.second * 1000 + when.microsecond // 1000,
            minute=when.minute,
            gen=gen,
            iv=iv,
            hour=when.hour,
            su=su,
            dayOfMonth=when.day,
            dayOfWeek=when.isoweekday() if withDayOfWeek else 0,
            month=when.month,
            year=when.year % 100,
        )

    def fullYear(self) -> int:
        """Return the year with its century: 70-99 are 1970-1999, all else is from 2000 on."""
        return self.year + (1900 if 70 <= self.year <= 99 else 2000)

    def toDatetime(self) -> datetime:
        """Return the naive datetime; ValueError if the fields name none.

        IV, SU and the day of the week play no part: what they mean for the reading, the caller
        knows better.
        """
        if self.milliseconds > 59999 or self.year > 99:
            raise ValueError(f"CP56Time2a {self} is no date and time")
        try:
            start = datetime(self.fullYear(), self.month, self.dayOfMonth, self.hour, self.minute)
        except ValueError:
            raise ValueError(f"CP56Time2a {self} is no date and time") from None
        return start + timedelta(milliseconds=self.milliseconds)

    def __str__(self) -> str:
        date = f"{self.fullYear()}-{self.month:02}-{self.dayOfMonth:02}"
        clock = f"{self.hour:02}:{self.minute:02}:{_seconds(self.milliseconds)}"
        return f"{date} {clock}" + _timeMarks(self.gen, self.iv, self.su)


def _seconds(milliseconds: int) -> str:
    return f"{milliseconds // 1000:02}.{milliseconds % 1000:03}"


def _timeMarks(gen: bool, iv: bool, su: bool) -> str:
    """Say what holds of a time, in words that cannot be taken for those of a value."""
    return (
        (" summer time" if su else "")
        + (" time substituted" if gen else "")
        + (" time invalid" if iv else "")
    )
