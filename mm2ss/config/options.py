"""CSV rows and the service file's options -> the groups as they will run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace

from mm2ss.config.groups_csv import GroupsFile
from mm2ss.config.model import GroupConfig, GroupOptions
from mm2ss.config.parameters import LinkParameters
from mm2ss.config.problems import Problem, Severity, hasErrors
from mm2ss.config.schema import OPTIONS, Key
from mm2ss.config.service_file import ServiceFile, Setting

LEGS = ("rtu", "masters")


def applyOptions(
    groupsFile: GroupsFile, serviceFile: ServiceFile
) -> tuple[tuple[GroupConfig, ...], tuple[Problem, ...]]:
    """The groups of the CSV file with their options, and what is wrong with the options.

    What a group's own section sets comes before ``defaults``, and that before the row. A group
    whose options contradict each other is an error and is left out.
    """
    problems = _strangers(groupsFile, serviceFile)
    groups = []
    for group in groupsFile.groups:
        merged = _Merge(group, serviceFile)
        problems.extend(merged.problems)
        if not hasErrors(merged.problems):
            groups.append(merged.group)
    return tuple(groups), tuple(problems)


def _strangers(groupsFile: GroupsFile, serviceFile: ServiceFile) -> list[Problem]:
    """Options for groups that are not there."""
    loaded = {group.id for group in groupsFile.groups}
    rejected = {int(each) for each in groupsFile.rejected if len(each) <= 10}
    after = {int(each.id) for each in groupsFile.afterEnd if len(each.id) <= 10}
    problems = []
    for number, layer in serviceFile.groups.items():
        if number in loaded:
            continue
        if number in rejected:
            reason = f"the row of this group in {groupsFile.source} is rejected"
        elif number in after:
            reason = f"the row of this group in {groupsFile.source} stands after the ! row"
        else:
            reason = f"there is no group with this id in {groupsFile.source}"
        problems.append(
            Problem(
                Severity.WARNING, serviceFile.source, layer.line, f"groups.{number}", None, reason
            )
        )
    return problems


class _Merge:
    """One group with its options."""

    def __init__(self, group: GroupConfig, serviceFile: ServiceFile) -> None:
        self.problems: list[Problem] = []
        self._source = serviceFile.source
        self._row = group
        own = serviceFile.groups.get(group.id)
        self._settings: Mapping[str, Setting] = {
            **serviceFile.defaults.settings,
            **(own.settings if own else {}),
        }
        self.group = group
        if self._settings:
            rtu = self._leg("rtu", group.rtu)
            masters = self._leg("masters", group.masters)
            self.group = replace(group, rtu=rtu, masters=masters, options=self._options())
            self._checkBuffer()

    def _options(self) -> GroupOptions:
        values = {
            item.field: self._settings[name].value
            for name, item in OPTIONS.items.items()
            if isinstance(item, Key) and name in self._settings
        }
        return replace(self._row.options, **values)

    def _leg(self, leg: str, row: LinkParameters) -> LinkParameters:
        """The row's parameters with the ones that the service file sets for this leg."""
        values = {
            name.partition(".")[2]: setting.value
            for name, setting in self._settings.items()
            if name.startswith(f"{leg}.") and setting.value is not None
        }
        if not values:
            return row
        merged = {**asdict(row), **values}
        wrong = False
        if merged["t2"] >= merged["t1"]:
            reason = f"t2 ({merged['t2']}) is not shorter than t1 ({merged['t1']}); set both"
            wrong = self._note(Severity.ERROR, leg, ("t2", "t1"), reason)
        if merged["w"] > merged["k"]:
            reason = f"w ({merged['w']}) is larger than k ({merged['k']}); set both"
            wrong = self._note(Severity.ERROR, leg, ("w", "k"), reason)
        if wrong:
            return row
        self._warn(leg, merged)
        return LinkParameters(**merged)

    def _warn(self, leg: str, merged: Mapping[str, float]) -> None:
        if 3 * merged["w"] > 2 * merged["k"]:
            reason = f"w ({merged['w']}) is larger than 2/3 of k ({merged['k']})"
            self._note(Severity.WARNING, leg, ("w", "k"), reason)
        idle = self._row.idleTime
        if idle and idle <= merged["t3"] + merged["t1"]:
            reason = f"t3 + t1 ({merged['t3'] + merged['t1']}) is not less than idletime ({idle})"
            self._note(Severity.WARNING, leg, ("t3", "t1"), reason)

    def _checkBuffer(self) -> None:
        k, size = self.group.masters.k, self.group.bufferSize
        if k > size:
            reason = f"k ({k}) is larger than the bufsize ({size}) of the row"
            self._note(Severity.ERROR, "masters", ("k",), reason)

    def _note(self, severity: Severity, leg: str, names: tuple[str, ...], reason: str) -> bool:
        """Complain at the first of ``names`` that the file sets; not where it sets none of them."""
        for name in names:
            setting = self._settings.get(f"{leg}.{name}")
            if setting is not None and setting.value is not None:
                reason = f"group {self._row.id}: {reason}"
                self.problems.append(
                    Problem(severity, self._source, setting.line, setting.key, None, reason)
                )
                return True
        return False
