"""The few file operations that the journal needs, so that a test can cut the power between them.

All names are plain file names in the journal's own folder; all methods may raise OSError.
`mm2ss.relay.diskfiles` does it with a real disk.
"""

from __future__ import annotations

from typing import Protocol


class DiskFile(Protocol):
    """A file that was made by `Disk.create`."""

    def append(self, data: bytes) -> None:
        """Write all octets behind those that are there. After an error any part may be there."""
        ...

    def sync(self) -> None:
        """Return when all that was appended is on disk. After an error nothing of what was
        appended since the last success may be relied on, also not after a later success."""
        ...

    def close(self) -> None:
        """Let go of the file; syncs nothing. Does nothing the second time."""
        ...


class Disk(Protocol):
    """The journal's folder."""

    @property
    def place(self) -> str:
        """The folder's name, for texts."""
        ...

    def names(self) -> list[str]:
        """The names of all files, in any order."""
        ...

    def read(self, name: str) -> bytes:
        """A file's whole content."""
        ...

    def create(self, name: str) -> DiskFile:
        """A new, empty file. It survives a power cut only after `syncDirectory`.

        :raises FileExistsError: when the name is taken.
        """
        ...

    def remove(self, name: str) -> None:
        """Delete a file. It may come back at a power cut before `syncDirectory`.

        :raises FileNotFoundError: when there is none.
        """
        ...

    def sync(self, name: str) -> None:
        """Return when the content of a file, written by whomever, is on disk."""
        ...

    def syncDirectory(self) -> None:
        """Return when all that was created and removed is so on disk."""
        ...

    def free(self) -> int | None:
        """Octets that can still be written; None when that is not known."""
        ...
