"""What happened in the campaign, to be read when an event was lost."""

from __future__ import annotations

import time
from collections import deque
from pathlib import Path

#: Lines that are kept: some minutes of a campaign.
_KEPT = 400_000
#: Seconds shown before the first and after the last time that an event is mentioned.
_BEFORE, _AFTER = 0.3, 1.0
#: Lines shown for one event at most.
_SHOWN = 120


class Trace:
    """Lines with the second of the campaign; some are about a range of numbers."""

    def __init__(self) -> None:
        self._begun = time.monotonic()
        self._lines: deque[tuple[float, str, int, int]] = deque(maxlen=_KEPT)

    def add(self, text: str, first: int = 0, last: int = 0) -> None:
        """One thing that happened, with the events that it happened to."""
        self._lines.append((time.monotonic() - self._begun, text, first, last))

    def numbers(self, text: str, numbers: list[int]) -> None:
        """One thing that happened to events; 0 is none. Kept as runs of numbers."""
        run: list[int] = []
        for number in numbers:
            if number and run and number != run[-1] + 1:
                self.add(text, run[0], run[-1])
                run = []
            if number:
                run.append(number)
        if run:
            self.add(text, run[0], run[-1])

    def lines(self, group: str) -> list[str]:
        """All lines on a group."""
        return [_text(line) for line in self._lines if line[1].startswith((group, "relay"))]

    def about(self, group: str, number: int) -> list[str]:
        """All lines on one event of a group, with all that happened to connections meanwhile."""
        mine = [line for line in self._lines if line[1].startswith((group, "relay"))]
        times = [line[0] for line in mine if line[2] <= number <= line[3]]
        if not times:
            return [f"nothing is kept about event {number}"]
        first, last = times[0] - _BEFORE, times[-1] + _AFTER
        shown = [
            _text(line)
            for line in mine
            if line[2] <= number <= line[3] or (not line[2] and first <= line[0] <= last)
        ]
        if len(shown) > _SHOWN:
            shown[_SHOWN // 2 : -_SHOWN // 2] = ["..."]
        return shown

    def write(self, path: Path) -> None:
        """All of it into a file."""
        path.write_text("".join(f"{_text(line)}\n" for line in self._lines), "utf-8")


def _text(line: tuple[float, str, int, int]) -> str:
    at, text, first, last = line
    numbers = f" {first}-{last}" if first else ""
    return f"{at:10.6f} {text}{numbers}"
