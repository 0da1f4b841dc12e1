"""A disk in memory whose power can be cut between any two operations, and which can fail.

What a process reads is the system's *cache*; what survives a power cut is the *platter*. Of what
was written since a file's last good sync any part may get to the platter: blocks of 512 octets in
any order, each of them whole, not at all, cut at any octet, as zeros or as garbage; the length may
have grown or not. Names that were made or removed since the folder's last good sync are there or
not, each independently of the others. After a *failed* sync the cache still shows what the platter
may not have, and no later sync writes it ("fsyncgate"). Octets that were synced once stay: a block
that is written again is not harmed in its old part, as disks promise.
"""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass, field
from random import Random

BLOCK = 512


class PowerCut(BaseException):
    """The machine stands still: nothing can be done any more. No Exception, so that no code takes
    it for an error of the disk."""


@dataclass(eq=False)
class Inode:
    """A file's content.

    :ivar cache: what is read.
    :ivar platter: what is surely there after a power cut.
    :ivar pending: offset and octets of what the next sync has to write.
    """

    cache: bytearray = field(default_factory=bytearray)
    platter: bytearray = field(default_factory=bytearray)
    pending: list[tuple[int, bytes]] = field(default_factory=list)


class ModelDisk:
    """A `mm2ss.relay.journaldisk.Disk` that lives on when the process or the machine dies.

    :param random: decides what survives.
    :ivar capacity: octets that fit; None = any number.
    :ivar cutAt: operations until the power is cut; None = never.
    :ivar failures: by number of operations from now, the errors that they give (reading never
        fails, see `unreadable`).
    :ivar unreadable: names that cannot be read.
    :ivar operations: what was done, by name, for tests that look at the order.
    """

    place = "/model"

    def __init__(self, random: Random) -> None:
        self.random = random
        self.capacity: int | None = None
        self.cutAt: int | None = None
        self.failures: dict[int, int] = {}
        self.unreadable: set[str] = set()
        self.operations: list[str] = []
        self._cached: dict[str, Inode] = {}
        # By name, all that the platter may say of it: the oldest is what was synced last.
        self._states: dict[str, list[Inode | None]] = {}
        self._isOff = False
        self._age = 0  # a process of before cannot touch the disk any more

    # -- what happens to the machine --------------------------------------------------------

    def kill(self) -> None:
        """The process ends at once; the system, and so the cache, lives on."""
        self._age += 1
        self.cutAt = None
        self._isOff = False
        self.failures.clear()

    def cutPower(self) -> None:
        """The machine stops and starts again; what survived is the platter from now on."""
        self.kill()
        names: dict[str, Inode] = {}
        for name in sorted({*self._cached, *self._states}):
            states = self._states.get(name) or [self._cached[name]]
            inode = self.random.choice(states)
            if inode is not None:
                names[name] = inode
        for inode in {id(one): one for one in names.values()}.values():
            self._settle(inode)
            inode.cache = bytearray(inode.platter)
        self._cached = names
        self._states.clear()

    def _settle(self, inode: Inode) -> None:
        """Some of what is pending gets to the platter, the rest never will."""
        random = self.random
        platter = inode.platter
        pending, inode.pending = inode.pending, []
        if not pending:
            return
        end = max(offset + len(data) for offset, data in pending)
        mood = random.random()
        if mood < 0.15:
            return
        size = end if mood < 0.6 else random.randint(len(platter), max(len(platter), end))
        platter += bytes(max(0, size - len(platter)))
        for offset, data in pending:
            at = offset
            while at < offset + len(data):
                stop = min((at // BLOCK + 1) * BLOCK, offset + len(data), size)
                if stop <= at:
                    break
                self._settleBlock(platter, at, data[at - offset : stop - offset])
                at = stop

    def _settleBlock(self, platter: bytearray, at: int, data: bytes) -> None:
        random = self.random
        mood = random.random()
        if mood < 0.6:
            platter[at : at + len(data)] = data
        elif mood < 0.7:
            part = random.randint(0, len(data))
            platter[at : at + part] = data[:part]
        elif mood < 0.8:
            platter[at : at + len(data)] = random.randbytes(len(data))
        elif mood < 0.85:
            platter[at : at + len(data)] = bytes(len(data))

    # -- operations -------------------------------------------------------------------------

    @property
    def used(self) -> int:
        """Octets of all files."""
        return sum(len(inode.cache) for inode in self._cached.values())

    def _look(self, what: str) -> None:
        self.step(what, isRead=True)

    def step(self, what: str, age: int | None = None, isRead: bool = False) -> int:
        """One operation begins.

        :return: the error that it shall give; 0 = none.
        """
        if self._isOff or (age is not None and age != self._age):
            raise PowerCut
        if self.cutAt is not None:
            self.cutAt -= 1
            if self.cutAt < 0:
                self._isOff = True
                raise PowerCut
        self.operations.append(what)
        if isRead:
            return 0
        error = self.failures.pop(0, 0)
        self.failures = {number - 1: code for number, code in self.failures.items()}
        return error

    def names(self) -> list[str]:
        """All names, in no order that means anything."""
        self._look("names")
        names = list(self._cached)
        self.random.shuffle(names)
        return names

    def read(self, name: str) -> bytes:
        """A file, as the cache has it."""
        self._look(f"read {name}")
        if name in self.unreadable:
            raise OSError(errno.EIO, os.strerror(errno.EIO), name)
        return bytes(self._inode(name).cache)

    def create(self, name: str) -> ModelFile:
        """A new file; with an error it may be there all the same."""
        error = self.step(f"create {name}")
        if name in self._cached:
            raise FileExistsError(errno.EEXIST, "there", name)
        if not error and self.capacity is not None and self.used >= self.capacity:
            error = errno.ENOSPC
        if not error or self.random.random() < 0.3:
            self._name(name, Inode())
        self._raise(error)
        return ModelFile(self, self._inode(name), self._age)

    def remove(self, name: str) -> None:
        """Remove a name; with an error it may be gone all the same."""
        error = self.step(f"remove {name}")
        self._inode(name)
        if not error or self.random.random() < 0.3:
            self._name(name, None)
        self._raise(error)

    def sync(self, name: str) -> None:
        """Sync by name."""
        error = self.step(f"sync {name}")
        self.syncInode(self._inode(name), error)

    def syncDirectory(self) -> None:
        """All names are as they are now."""
        error = self.step("syncDirectory")
        self._raise(error)
        self._states.clear()

    def free(self) -> int | None:
        """What is left of the capacity."""
        return None if self.capacity is None else max(0, self.capacity - self.used)

    def syncInode(self, inode: Inode, error: int) -> None:
        """All that is pending gets to the platter; on an error some of it, the rest never."""
        if error:
            self._settle(inode)
            self._raise(error)
        for offset, data in inode.pending:
            inode.platter += bytes(max(0, offset + len(data) - len(inode.platter)))
            inode.platter[offset : offset + len(data)] = data
        inode.pending.clear()

    def _name(self, name: str, inode: Inode | None) -> None:
        before = self._cached.get(name)
        self._states.setdefault(name, [before]).append(inode)
        if inode is None:
            del self._cached[name]
        else:
            self._cached[name] = inode

    def _inode(self, name: str) -> Inode:
        try:
            return self._cached[name]
        except KeyError:
            raise FileNotFoundError(errno.ENOENT, "not there", name) from None

    @staticmethod
    def _raise(error: int) -> None:
        if error:
            raise OSError(error, os.strerror(error))

    # -- for tests that look or do harm -----------------------------------------------------

    def content(self, name: str) -> bytes:
        """A file as the cache has it; no operation."""
        return bytes(self._inode(name).cache)

    def listing(self) -> list[str]:
        """All names in order; no operation."""
        return sorted(self._cached)

    def put(self, name: str, data: bytes) -> None:
        """A file is, and always was, so."""
        self._cached[name] = Inode(bytearray(data), bytearray(data))


class ModelFile:
    """An open file of a `ModelDisk`, of one process."""

    def __init__(self, disk: ModelDisk, inode: Inode, age: int) -> None:
        self._disk = disk
        self._inode = inode
        self._age = age

    def append(self, data: bytes) -> None:
        """Write to the cache; what does not fit, or fails, is there in part."""
        disk = self._disk
        error = disk.step("append", self._age)
        part = len(data)
        free = disk.free()
        if error:
            part = disk.random.randint(0, part)
        elif free is not None and free < part:
            error, part = errno.ENOSPC, free
        if part:
            self._inode.pending.append((len(self._inode.cache), data[:part]))
            self._inode.cache += data[:part]
        if error:
            raise OSError(error, os.strerror(error))

    def sync(self) -> None:
        """Get it all to the platter."""
        self._disk.syncInode(self._inode, self._disk.step("sync", self._age))

    def close(self) -> None:
        """No promise."""
