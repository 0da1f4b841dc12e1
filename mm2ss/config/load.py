"""Both files together: the whole configuration, and whether the service can run with it."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mm2ss.config.groups_csv import GroupsFile, readGroups
from mm2ss.config.model import GroupConfig
from mm2ss.config.options import applyOptions
from mm2ss.config.ports import portProblems
from mm2ss.config.problems import Problem, hasErrors
from mm2ss.config.service_file import ServiceFile, noServiceFile, readServiceFile
from mm2ss.config.shard import Shard, forShard, shardProblems


@dataclass(frozen=True)
class Configuration:
    """What both files say, put together.

    :ivar groups: the groups that this process runs, with their options.
    :ivar problems: those of both files and of the two together.
    :ivar runnable: whether the service can start: at least one group, and no error in the
        service file. Rejected rows do not stop the others.
    :ivar shard: which part of the groups is this process's; None = all are.
    :ivar others: the groups that other processes run.
    """

    groupsFile: GroupsFile
    serviceFile: ServiceFile
    groups: tuple[GroupConfig, ...]
    problems: tuple[Problem, ...]
    runnable: bool
    shard: Shard | None = None
    others: tuple[GroupConfig, ...] = ()

    @property
    def journalDirectory(self) -> Path:
        """Where this process's journal is."""
        return self.own(self.serviceFile.settings.journalDirectory)

    def own(self, path: Path) -> Path:
        """The name of a file or folder that this process needs for itself."""
        return path if self.shard is None else self.shard.own(path)


def configure(
    groupsFile: GroupsFile, serviceFile: ServiceFile, shard: Shard | None = None
) -> Configuration:
    """Put two files together that have been read.

    :param shard: for which part of the groups; None = for all.
    """
    if shard is not None:
        serviceFile = forShard(serviceFile, shard)
    groups, problems = applyOptions(groupsFile, serviceFile)
    problems = (*problems, *portProblems(groups, serviceFile))
    others: tuple[GroupConfig, ...] = ()
    if shard is not None and groups:
        others = tuple(group for group in groups if not shard.owns(group.id))
        groups = tuple(group for group in groups if shard.owns(group.id))
        problems = (*problems, *shardProblems(serviceFile, shard, len(groups)))
    runnable = bool(groups) and not hasErrors((*serviceFile.problems, *problems))
    everything = (*groupsFile.problems, *serviceFile.problems, *problems)
    return Configuration(groupsFile, serviceFile, groups, everything, runnable, shard, others)


def loadConfiguration(
    groupsPath: str,
    servicePath: str | None,
    base: str | os.PathLike[str],
    amend: Callable[[GroupsFile], GroupsFile] = lambda groups: groups,
    shard: Shard | None = None,
) -> Configuration:
    """Read both files; raises nothing, what is wrong stands in the problems.

    :param base: absolute path of the directory from which relative paths count.
    :param amend: what the command line changes in the groups file's settings.
    :param shard: for which part of the groups; None = for all.
    """
    service = noServiceFile(base) if servicePath is None else readServiceFile(servicePath, base)
    return configure(amend(readGroups(groupsPath, base)), service, shard)
