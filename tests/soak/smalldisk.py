"""A small file system in memory, for a state directory that can be filled up."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from types import TracebackType


class CannotMount(Exception):
    """This user, or this system, has no such disk; the text says why."""


class SmallDisk:
    """A tmpfs, mounted while the context lasts.

    :param place: where; made if it is not there.
    :param mebibytes: its size.
    :raises CannotMount: when entered.
    """

    def __init__(self, place: Path, mebibytes: int) -> None:
        self.place = place
        self._size = mebibytes

    def __enter__(self) -> SmallDisk:
        self.place.mkdir(parents=True, exist_ok=True)
        options = f"size={self._size}m,mode=0700"
        command = ["mount", "-t", "tmpfs", "-o", options, "mm2ss-soak", str(self.place)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=30)
        except OSError as error:
            raise CannotMount(f"no small disk to fill up: {error}") from error
        if done.returncode:
            raise CannotMount(f"no small disk to fill up (only root has one): {done.stderr}")
        # Its input ends with this process, however that ends: the disk is never left behind.
        # Lazily: also when a process that is about to end has a file open there.
        self._janitor = subprocess.Popen(
            ["sh", "-c", 'read -r _; exec umount -l "$0"', str(self.place)],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._janitor.communicate(timeout=30)
        assert self._janitor.returncode == 0, f"{self.place} is still mounted"

    def fill(self) -> None:
        """Leave no octet free."""
        with (self.place / "filler").open("ab") as filler:
            block = bytes(65536)
            while block:
                try:
                    os.write(filler.fileno(), block)
                except OSError:
                    block = block[: len(block) // 2]

    def clear(self) -> None:
        """Make room again."""
        (self.place / "filler").unlink()
