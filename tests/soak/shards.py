"""The relay as several processes that share out its groups; their number changes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from random import Random

from mm2ss.config.shard import Shard
from tests.soak.relay import RelayProcess


class Shards(RelayProcess):
    """As one process for who starts and kills it, but some kills leave others alive.

    :param folder: as for one process; all share it.
    :param rows: likewise.
    :param service: likewise.
    :param groups: the groups' numbers: each process must have one at least.
    :param most: processes at most; 1 is the relay without shards.
    :param random: of its chances.
    :raises ValueError: when a process would have no group.
    :ivar figures: starts of all, by their number, and kills of one process that left others.
    """

    def __init__(
        self,
        folder: Path,
        rows: Sequence[str],
        service: str,
        groups: Sequence[int],
        most: int,
        random: Random,
    ) -> None:
        super().__init__(folder, rows, service)
        self.figures: Counter[str] = Counter()
        self._random = random
        self._all = {Shard(1, 1): RelayProcess(folder, rows, service)}
        self._divisions = [[Shard(1, 1)]]
        for count in range(2, most + 1):
            division = [Shard(index, count) for index in range(1, count + 1)]
            self._divisions.append(division)
            for shard in division:
                if not any(map(shard.owns, groups)):
                    raise ValueError(f"{len(groups)} groups leave none for shard {shard}")
                arguments = ["--shard", str(shard)]
                self._all[shard] = RelayProcess(folder, rows, service, arguments)
        for process in self._all.values():
            process.problems = self.problems
        self._division: list[Shard] = []

    @property
    def _processes(self) -> list[RelayProcess]:
        """Those that are to run."""
        return [self._all[shard] for shard in self._division]

    @property
    def running(self) -> bool:
        """Whether all run that are to run."""
        return bool(self._division) and all(process.running for process in self._processes)

    def start(self) -> None:
        """Start those that do not run; where none does, another number of them."""
        if not any(process.running for process in self._processes):
            others = [each for each in self._divisions if each is not self._division]
            self._division = self._random.choice(others)
            self.starts += 1
            self.figures[f"starts as {len(self._division)} processes"] += 1
        for process in self._processes:
            process.start()

    def kill(self) -> bool:
        """Kill all, or one of them."""
        alive = [process for process in self._processes if process.running]
        if len(alive) > 1 and self._random.random() < 0.5:
            self.figures["kills of one process"] += 1
            alive = [self._random.choice(alive)]
        for process in alive:
            process.kill()
        return bool(alive)

    def close(self) -> None:
        """End whatever runs of it."""
        for process in self._all.values():
            process.close()

    def terminate(self) -> None:
        """End all in order, one after the other."""
        for process in self._processes:
            process.terminate()

    def pause(self, paused: bool) -> None:
        """Let all do nothing for a while, or go on."""
        for process in self._processes:
            process.pause(paused)

    @property
    def log(self) -> str:
        """What all have logged."""
        return "".join(process.log for process in self._all.values())
