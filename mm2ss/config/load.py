"""Both files together: the whole configuration, and whether the service can run with it."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

from mm2ss.config.groups_csv import GroupsFile, readGroups
from mm2ss.config.model import GroupConfig
from mm2ss.config.options import applyOptions
from mm2ss.config.ports import portProblems
from mm2ss.config.problems import Problem, hasErrors
from mm2ss.config.service_file import ServiceFile, noServiceFile, readServiceFile


@dataclass(frozen=True)
class Configuration:
    """What both files say, put together.

    :ivar groups: the groups that run, with their options.
    :ivar problems: those of both files and of the two together.
    :ivar runnable: whether the service can start: at least one group, and no error in the
        service file. Rejected rows do not stop the others.
    """

    groupsFile: GroupsFile
    serviceFile: ServiceFile
    groups: tuple[GroupConfig, ...]
    problems: tuple[Problem, ...]
    runnable: bool


def configure(groupsFile: GroupsFile, serviceFile: ServiceFile) -> Configuration:
    """Put two files together that have been read."""
    groups, problems = applyOptions(groupsFile, serviceFile)
    problems = (*problems, *portProblems(groups, serviceFile))
    runnable = bool(groups) and not hasErrors((*serviceFile.problems, *problems))
    everything = (*groupsFile.problems, *serviceFile.problems, *problems)
    return Configuration(groupsFile, serviceFile, groups, everything, runnable)


def loadConfiguration(
    groupsPath: str,
    servicePath: str | None,
    base: str | os.PathLike[str],
    amend: Callable[[GroupsFile], GroupsFile] = lambda groups: groups,
) -> Configuration:
    """Read both files; raises nothing, what is wrong stands in the problems.

    :param base: absolute path of the directory from which relative paths count.
    :param amend: what the command line changes in the groups file's settings.
    """
    service = noServiceFile(base) if servicePath is None else readServiceFile(servicePath, base)
    return configure(amend(readGroups(groupsPath, base)), service)
