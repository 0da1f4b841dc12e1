"""One groups file shared out to several processes: which groups are whose, and what must differ."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path

from mm2ss.config.problems import Problem, Severity
from mm2ss.config.service_file import ServiceFile

#: Processes of one groups file; more cores than any machine that this is for.
MAX_SHARDS = 64
#: Sections of the service file that listen, each with keys ``enabled`` and ``port``.
_LISTENERS = ("console", "manhole", "metrics")


@dataclass(frozen=True)
class Shard:
    """A process's part of the groups.

    :ivar index: 1 to `count`.
    :ivar count: how many processes there are, 1 to `MAX_SHARDS`.
    """

    index: int
    count: int

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"

    def owns(self, group: int) -> bool:
        """Whether a group is this process's.

        It follows from the group's number alone, so that groups that come and go move no other
        one; from a hash of it, so that numbers with a pattern are shared out, too.
        """
        digest = blake2b(b"%d" % group, digest_size=4).digest()
        return int.from_bytes(digest, "big") % self.count == self.index - 1

    def own(self, path: Path) -> Path:
        """The name of a file or folder that each process needs for itself; it does not depend on
        how many there are."""
        return path.with_stem(f"{path.stem}-{self.index}")


def parseShard(text: str) -> Shard:
    """``2/4`` is the second of four.

    :raises ValueError: with the reason.
    """
    index, _, count = text.partition("/")
    if not all(part.isascii() and part.isdigit() for part in (index, count)):
        raise ValueError(f"{text!r} is not I/N, as in 2/4: the second of four processes")
    shard = Shard(int(index), int(count))
    if not 1 <= shard.count <= MAX_SHARDS:
        raise ValueError(f"{text}: there can be 1 to {MAX_SHARDS} processes")
    if not 1 <= shard.index <= shard.count:
        raise ValueError(
            f"{text}: the first process is 1/{shard.count}, the last one"
            f" {shard.count}/{shard.count}"
        )
    return shard


def forShard(file: ServiceFile, shard: Shard) -> ServiceFile:
    """The service file as it is for one process: with ports of its own, and the system's clock is
    kept by the first one only."""
    further = shard.index - 1
    settings = file.settings
    ports = {
        name: replace(getattr(settings, name), port=getattr(settings, name).port + further)
        for name in _LISTENERS
    }
    ntp = replace(settings.ntp, enabled=settings.ntp.enabled and not further)
    return replace(file, settings=replace(settings, **ports, ntp=ntp))


def shardProblems(file: ServiceFile, shard: Shard, groups: int) -> Iterator[Problem]:
    """What cannot be with this shard.

    :param file: as `forShard` gives it.
    :param groups: how many are its own.
    """
    for name in _LISTENERS:
        listener = getattr(file.settings, name)
        if listener.enabled and listener.port > 65535:
            key = f"{name}.port"
            reason = f"is beyond 65535 (each shard adds one; this is shard {shard})"
            line = file.lines.get(key)
            yield Problem(Severity.ERROR, file.source, line, key, str(listener.port), reason)
    if not groups:
        reason = "no group is left for this process: there are too few groups for so many"
        yield Problem(Severity.ERROR, file.source, None, "--shard", str(shard), reason)
