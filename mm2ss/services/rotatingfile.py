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
    :param tellsDrops: whether twistd's log is told when the oldest file goes.
    """

    _log = Logger()

    def __init__(
        self, path: str, rotateAt: int, keep: int, opener: Opener, tellsDrops: bool = False
    ) -> None:
        self.path = path
        self._rotateAt = rotateAt
        self._keep = keep
        self._opener = opener
        self._tellsDrops = tellsDrops
        self._cannotRotate = False
        # Whether the file is known to end with a whole line; not so before the first write.
        self._isWhole = False
        # How many files, from the newest, have been written since `written` was asked.
        self._fresh = 0

    @property
    def _names(self) -> list[str]:
        """The file and its predecessors, the newest first."""
        return [self.path, *(f"{self.path}.{number}" for number in range(1, self._keep + 1))]

    @property
    def isFresh(self) -> bool:
        """Whether anything was written since `written` was asked last."""
        return self._fresh > 0

    def written(self) -> list[str]:
        """The files that may have been written since this was asked last.

        One more than those, in case they are renamed before the caller opens them.
        """
        paths = self._names[: self._fresh + 1] if self._fresh else []
        self._fresh = 0
        return paths

    def touch(self) -> None:
        """Make the file if it is not there.

        :raises OSError: it cannot be written.
        """
        with self._opener(self.path):
            pass

    def take(self, lines: list[bytes]) -> None:
        """Append the lines, and remove from the list those that are in a file.

        :raises OSError: what could not be written is still in the list, and no part of it in a
            file.
        """
        mayRotate = self._rotateAt > 0
        while lines:
            if not self._isWhole and _endsInside(self.path) and not lines[0].startswith(b"\n"):
                lines[0] = b"\n" + lines[0]
            self._isWhole = False
            with self._opener(self.path) as file:
                count = self._countFitting(file.tell(), lines) if mayRotate else len(lines)
                _writeAll(file, b"".join(lines[:count]))
            self._isWhole = True
            self._fresh = max(self._fresh, 1)
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
        names = self._names
        drops = self._tellsDrops and os.path.lexists(names[-1])
        try:
            if len(names) == 1:
                os.remove(self.path)
            for number in range(len(names) - 1, 0, -1):
                if os.path.lexists(names[number - 1]):
                    os.replace(names[number - 1], names[number])
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
        self._fresh += 1
        if drops:
            self._log.warn("{file} was the oldest that is kept; it is gone.", file=names[-1])
        return True


def _endsInside(path: str) -> bool:
    """Whether a file ends inside of a line, as a power cut or a full disk may leave it."""
    try:
        with open(path, "rb") as file:
            file.seek(-1, os.SEEK_END)
            return file.read(1) != b"\n"
    except OSError:  # there is no file, or nothing in it
        return False


def forceToDisk(paths: list[str]) -> None:
    """Wait until the files, and that they are where they are, would survive a power cut.

    :raises OSError: when the disk says that it could not keep something.
    """
    for path in paths:
        try:
            # For writing: Windows wants that.
            descriptor = os.open(path, os.O_WRONLY | os.O_APPEND)
        except FileNotFoundError:
            continue  # the operator moved it away, or there is no such old file
        _forceAndClose(descriptor)
    if paths and os.name == "posix":
        _forceAndClose(os.open(os.path.dirname(paths[0]), os.O_RDONLY))


def _forceAndClose(descriptor: int) -> None:
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


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
