"""CSV rows and the service file's options -> the groups as they will run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from mm2ss.config.early_ack import atRisk, whyTooShort
from mm2ss.config.groups_csv import GroupsFile
from mm2ss.config.model import AckMode, GroupConfig
from mm2ss.config.parameters import LinkParameters
from mm2ss.config.problems import Problem, Severity, hasErrors
from mm2ss.config.schema import OPTIONS, Key, Section
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
    unsafe: dict[Setting, list[GroupConfig]] = {}
    for group, line in zip(groupsFile.groups, groupsFile.lines, strict=True):
        merged = _Merge(group, serviceFile)
        if not hasErrors(merged.problems):
            merged.checkTimes(groupsFile.source, line)
            groups.append(merged.group)
            if merged.withoutJournal:
                unsafe.setdefault(merged.withoutJournal, []).append(merged.group)
        problems.extend(merged.problems)
    problems.extend(_unsafe(serviceFile.source, setting, each) for setting, each in unsafe.items())
    return tuple(groups), tuple(problems)


def _unsafe(source: str, setting: Setting, groups: Sequence[GroupConfig]) -> Problem:
    """What ``journal: false`` means for the groups that it concerns."""
    frames, more = (max(figures) for figures in zip(*map(atRisk, groups), strict=True))
    reason = (
        "what is acknowledged to an RTU before a master has acknowledged it is lost by a crash: "
        f"up to {frames} frames of a group as a rule, and {more} more while its last master leaves"
    )
    return Problem(Severity.WARNING, source, setting.line, setting.key, "false", reason)


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
            options = self._set(group.options, OPTIONS, "")
            self.group = replace(group, rtu=rtu, masters=masters, options=options)
            self._checkBuffer()
            self._limitRetain()

    @property
    def withoutJournal(self) -> Setting | None:
        """What switched the journal off that the group would need."""
        options = self.group.options
        needed = options.ackMode is AckMode.THROUGH and not options.journal
        return self._settings["journal"] if needed else None

    def _set(self, options: Any, section: Section, path: str) -> Any:
        """A dataclass of options with what the service file sets of it."""
        values: dict[str, Any] = {}
        for name, item in section.items.items():
            if isinstance(item, Key):
                if path + name in self._settings:
                    values[item.field] = self._settings[path + name].value
            elif name not in LEGS:
                inner = getattr(options, item.field)
                values[item.field] = self._set(inner, item, f"{path}{name}.")
        return replace(options, **values)

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
        follows = leg == "rtu" and "w" not in values
        if follows:
            # An RTU with a small window, told by its k alone: it is acknowledged earlier, too.
            merged["w"] = min(merged["w"], merged["k"])
        wrong = False
        if merged["t2"] >= merged["t1"]:
            reason = f"t2 ({merged['t2']:g}) is not shorter than t1 ({merged['t1']:g}); set both"
            wrong = self._note(Severity.ERROR, (f"{leg}.t2", f"{leg}.t1"), reason)
        if merged["w"] > merged["k"]:
            reason = f"w ({merged['w']}) is larger than k ({merged['k']}); set both"
            wrong = self._note(Severity.ERROR, (f"{leg}.w", f"{leg}.k"), reason)
        if wrong:
            return row
        self._warn(leg, merged, follows)
        return LinkParameters(**merged)

    def _warn(self, leg: str, merged: Mapping[str, float], follows: bool) -> None:
        """Say what will work badly; a w that ``follows`` k is nobody's mistake."""
        if 3 * merged["w"] > 2 * merged["k"] and not follows:
            reason = f"w ({merged['w']}) is larger than 2/3 of k ({merged['k']})"
            self._note(Severity.WARNING, (f"{leg}.w", f"{leg}.k"), reason)
        idle = self._row.idleTime
        if idle and idle <= merged["t3"] + merged["t1"]:
            reason = f"t3 + t1 ({merged['t3'] + merged['t1']}) is not less than idletime ({idle})"
            self._note(Severity.WARNING, (f"{leg}.t3", f"{leg}.t1"), reason)

    def _checkBuffer(self) -> None:
        k, size = self.group.masters.k, self.group.bufferSize
        if k > size:
            reason = f"k ({k}) is larger than the bufsize ({size}) of the row"
            self._note(Severity.ERROR, ("masters.k",), reason)

    def _limitRetain(self) -> None:
        limit, seconds = self.group.options.retainMax, self.group.retain
        if limit and seconds > limit:
            reason = f"retain ({seconds:g}) of the row is more than retain_max; {limit:g} is used"
            self._note(Severity.WARNING, ("retain_max",), reason)
            self.group = replace(self.group, retain=limit)

    def checkTimes(self, source: str, line: int) -> None:
        """Warn where the RTU cannot wait for the masters' acknowledgement.

        :param source: the file of the row.
        :param line: the row's line in it.
        """
        reason = whyTooShort(self.group)
        if reason and not self._note(Severity.WARNING, ("rtu.t1", "masters.t2"), reason):
            self.problems.append(Problem(Severity.WARNING, source, line, "t1", None, reason))

    def _note(self, severity: Severity, keys: tuple[str, ...], reason: str) -> bool:
        """Complain at the first of ``keys`` that the file sets; not where it sets none of them."""
        for key in keys:
            setting = self._settings.get(key)
            if setting is not None and setting.value is not None:
                reason = f"group {self._row.id}: {reason}"
                self.problems.append(
                    Problem(severity, self._source, setting.line, setting.key, None, reason)
                )
                return True
        return False
