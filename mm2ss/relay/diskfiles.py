"""A folder on a real disk, as the journal uses it, and the lock on it."""

from __future__ import annotations

import os
import shutil
import sys

from mm2ss.relay.journalapi import JournalError

#: For the owner only: events tell much about a plant.
FILE_MODE = 0o600
FOLDER_MODE = 0o700
LOCK_NAME = "lock"

_BINARY = getattr(os, "O_BINARY", 0)
_FLAGS = _BINARY | getattr(os, "O_NOINHERIT", 0) | getattr(os, "O_CLOEXEC", 0)


def _syncData(descriptor: int) -> None:
    """Sync content and length; the times of a file matter to nobody."""
    if sys.platform == "linux":
        os.fdatasync(descriptor)
    else:
        os.fsync(descriptor)


class RealFile:
    """A file of a `RealDisk`, open for writing."""

    def __init__(self, path: str) -> None:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | _FLAGS
        self._descriptor = os.open(path, flags, FILE_MODE)

    def append(self, data: bytes) -> None:
        """Write all octets, in one call if the system takes them."""
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(self._descriptor, rest) :]

    def sync(self) -> None:
        """Return when content and length are on disk."""
        _syncData(self._descriptor)

    def close(self) -> None:
        """Close, once."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


class RealDisk:
    """A folder; see `mm2ss.relay.journaldisk.Disk`.

    :param place: the folder's absolute path. It must be there.
    """

    def __init__(self, place: str) -> None:
        self.place = place

    def _path(self, name: str) -> str:
        return os.path.join(self.place, name)

    def names(self) -> list[str]:
        """All plain files."""
        with os.scandir(self.place) as entries:
            return [entry.name for entry in entries if entry.is_file()]

    def read(self, name: str) -> bytes:
        """A file's content."""
        with open(self._path(name), "rb") as file:
            return file.read()

    def create(self, name: str) -> RealFile:
        """A new file."""
        return RealFile(self._path(name))

    def remove(self, name: str) -> None:
        """Delete a file."""
        os.remove(self._path(name))

    def sync(self, name: str) -> None:
        """Sync a file that is not open."""
        # For writing: Windows syncs no file that is open for reading only.
        descriptor = os.open(self._path(name), os.O_RDWR | _FLAGS)
        try:
            _syncData(descriptor)
        finally:
            os.close(descriptor)

    def syncDirectory(self) -> None:
        """Sync the folder. On Windows a folder cannot be synced: NTFS logs names by itself."""
        if sys.platform != "win32":
            syncFolder(self.place)

    def free(self) -> int | None:
        """What the file system has left for us; None if it does not say."""
        try:
            return shutil.disk_usage(self.place).free
        except OSError:
            return None


def syncFolder(path: str) -> None:
    """Sync a folder's list of names.

    :raises OSError: when it cannot be done.
    """
    descriptor = os.open(path, os.O_RDONLY | _FLAGS)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def makeFolder(path: str) -> None:
    """Make the folder and those above it, so that they survive a power cut.

    :raises JournalError: when it cannot be done.
    """
    path = os.path.abspath(path)
    parent = os.path.dirname(path)
    try:
        if not os.path.isdir(path):
            if not os.path.isdir(parent):
                makeFolder(parent)
            os.mkdir(path, FOLDER_MODE)
            if sys.platform != "win32":
                syncFolder(parent)
    except OSError as error:
        raise JournalError(f"Cannot make the journal's folder {path}: {error}") from error


def folderProblem(path: str) -> str:
    """Why the folder cannot be made or used as things stand; empty when it can. Changes nothing."""
    path = os.path.abspath(path)
    if os.path.exists(os.path.join(path, LOCK_NAME)):
        try:
            FolderLock(path).release()
        except JournalError as error:
            return str(error)
    there = path
    while not os.path.lexists(there):
        there = os.path.dirname(there)
    if not os.path.isdir(there):
        return f"The journal's folder {path} cannot be had: {there} is no folder"
    if not os.access(there, os.W_OK | os.X_OK):
        return f"The journal's folder {path} cannot be had: {there} may not be written"
    return ""


class FolderLock:
    """Holds a folder for one process, until `release` or the process's end, however it ends.

    :raises JournalError: when another process holds it, or it cannot be had.
    """

    def __init__(self, place: str) -> None:
        path = os.path.join(place, LOCK_NAME)
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | _FLAGS, FILE_MODE)
        except OSError as error:
            raise JournalError(f"Cannot lock the journal's folder: {error}") from error
        try:
            _lock(self._descriptor)
        except OSError as error:
            os.close(self._descriptor)
            raise JournalError(
                f"The journal's folder {place} is in use by another process (its lock is {path}):"
                f" each process needs a folder of its own. ({error})"
            ) from error

    def tell(self, text: str) -> None:
        """Write into the lock who holds it, for `holderOf`."""
        # Windows lets nobody else read the octet that is locked, the first one.
        data = f" {text}\n".encode()
        os.lseek(self._descriptor, 0, os.SEEK_SET)
        os.write(self._descriptor, data)
        os.ftruncate(self._descriptor, len(data))

    def release(self) -> None:
        """Let others have the folder; does nothing the second time."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


def holderOf(place: str) -> str:
    """What who holds a folder's lock, or held it last, has told; empty when it is not known."""
    try:
        with open(os.path.join(place, LOCK_NAME), "rb") as file:
            file.seek(1)
            return file.read(200).decode("utf-8", "replace").strip()
    except OSError:
        return ""


if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int) -> None:
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
