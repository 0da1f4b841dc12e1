"""A file of lines that is open only while it is written, and renamed when it has become long."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import BinaryIO

from twisted.logger import Logger

#: Opens a file for appending, unbuffered, and makes it if it is not there.
Opener = Callable[[str], BinaryIO]


def openForAppending(path: str) -> BinaryIO:
    """Open a log file unbuffered at its end; a new one is for its owner and group only."""
    return open(path, "ab", buffering=0, opener=lambda name, flags: os.open(name, flags, 0o640))


class RotatingFile:
    """Lines in a file, of which so many older ones are kept as ``.1``, ``.2``, ...

    :ivar path: absolute path of the file that is written.
    :param rotateAt: octets that a file may have; 0 = any number.
    :param keep: renamed files that are kept.
    """

    _log = Logger()

    def __init__(self, path: str, rotateAt: int, keep: int, opener: Opener) -> None:
        self.path = path
        self._rotateAt = rotateAt
        self._names = [path, *(f"{path}.{number}" for number in range(1, keep + 1))]
        self._opener = opener
        self._cannotRotate = False

    def take(self, lines: list[bytes]) -> None:
        """Append the lines, and remove from the list those that are in a file.

        :raises OSError: what could not be written is still in the list, and no part of it in a
            file.
        """
        mayRotate = self._rotateAt > 0
        while lines:
            with self._opener(self.path) as file:
                count = self._countFitting(file.tell(), lines) if mayRotate else len(lines)
                _writeAll(file, b"".join(lines[:count]))
            del lines[:count]
            if lines:
                mayRotate = self._rotate()

    def _countFitting(self, size: int, lines: list[bytes]) -> int:
        """How many lines fit into a file of this size; an empty file takes at least one."""
        for count, line in enumerate(lines):
            if size and size + len(line) > self._rotateAt:
                return count
            size += len(line)
        return len(lines)

    def _rotate(self) -> bool:
        """Rename the file to ``.1``, ``.1`` to ``.2``, ... and drop the last.

        :return: whether it worked. If not (a program on Windows holds the file open), the file
            grows on: a long log is better than a lost line. twistd's log says so, once.
        """
        try:
            if len(self._names) == 1:
                os.remove(self.path)
            for number in range(len(self._names) - 1, 0, -1):
                if os.path.lexists(self._names[number - 1]):
                    os.replace(self._names[number - 1], self._names[number])
        except OSError as error:
            if not self._cannotRotate:
                self._cannotRotate = True
                self._log.error(
                    "Cannot rename the log {file}, it grows on: {error}",
                    file=self.path,
                    error=error,
                )
            return False
        self._cannotRotate = False
        return True


def _writeAll(file: BinaryIO, data: bytes) -> None:
    """Write all octets at the end of an unbuffered file, or none of them.

    :raises OSError: when they could not be written; half a line is taken back.
    """
    start = file.tell()
    rest = memoryview(data)
    try:
        while rest:
            rest = rest[file.write(rest) :]
    except OSError:
        try:
            file.truncate(start)
        except OSError:
            pass
        raise
