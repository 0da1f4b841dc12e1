"""The text of ``--check``: what would run, what it may need at worst, and every problem."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import Enum
from typing import Any

from mm2ss.config.early_ack import remarks
from mm2ss.config.load import Configuration
from mm2ss.config.model import (
    AckMode,
    ClockSync,
    GroupConfig,
    GroupOptions,
    Host,
    OriginatorMode,
)
from mm2ss.config.options import LEGS
from mm2ss.config.parameters import LinkParameters
from mm2ss.config.ports import listeners
from mm2ss.config.problems import Severity, counted, hasErrors, printable
from mm2ss.config.schema import OPTIONS, Key, Section
from mm2ss.config.service_settings import NTP_INTERVAL
from mm2ss.config.worst_case import worstCase

_DELIMITERS = {",": "a comma", ";": "a semicolon", "\t": "a tab"}


def exitStatus(configuration: Configuration) -> int:
    """0 when nothing is wrong but for warnings; 1 when a row, a file or an option is refused."""
    return int(hasErrors(configuration.problems) or not configuration.runnable)


def report(configuration: Configuration, allowed: int | None = None) -> str:
    """What the service would do with this configuration, for people; no network is touched.

    :param allowed: file descriptors that the process may have; None = as many as it wants.
    """
    parts = (
        _files(configuration),
        _groups(configuration.groups),
        _options(configuration.groups),
        _remarks(configuration.groups),
        _afterEnd(configuration),
        _time(configuration),
        _listeners(configuration),
        _services(configuration),
        worstCase(configuration.groups, configuration.journalDirectory, allowed),
        _problems(configuration),
        [_result(configuration)],
    )
    return "\n\n".join("\n".join(map(printable, part)) for part in map(list, parts) if part) + "\n"


def _files(configuration: Configuration) -> Iterator[str]:
    file, service = configuration.groupsFile, configuration.serviceFile
    how = f" ({file.encoding}, cells separated by {_DELIMITERS[file.delimiter]})"
    yield f"Groups file:  {file.source}{how if file.encoding else ''}"
    yield f"Service file: {service.source or 'none; every option has its default'}"
    yield f"Event logs:   {service.log.directory}"
    if any(group.options.journalled for group in configuration.groups):
        yield f"Journal:      {configuration.journalDirectory}"
    if configuration.shard is not None:
        others = counted(len(configuration.others), "group")
        yield f"Shard:        {configuration.shard}; {others} of the file run in other processes"


def _groups(groups: Sequence[GroupConfig]) -> list[str]:
    if not groups:
        return ["No group would run."]
    head = (
        "group",
        "system",
        "port",
        "RTU no",
        "max conn",
        "idle s",
        "RTU t0/t1/t2/t3 k/w",
        "masters t1/t2/t3 k/w",
        "bufsize",
        "log",
        "same ip",
        "hosts",
        "filter",
    )
    rows = [head, *map(_cells, groups)]
    for name, cell, empty in _NAMED:
        column = [cell(group) for group in groups]
        if any(text != empty for text in column):
            rows = [(*row, text) for row, text in zip(rows, [name, *column], strict=True)]
    return [f"{counted(len(groups), 'group')} would run:", *_table(rows)]


def _cells(group: GroupConfig) -> tuple[str, ...]:
    return (
        str(group.id),
        group.name,
        str(group.port),
        str(group.commonAddress),
        str(group.maxMasters),
        f"{group.idleTime:g}" if group.idleTime else "off",
        _timers(group.rtu, "t0", "t1", "t2", "t3"),
        _timers(group.masters, "t1", "t2", "t3"),
        str(group.bufferSize),
        "yes" if group.logEvents else "no",
        group.sameAddress.value,
        ";".join(map(str, group.hosts)),
        ";".join(map(_network, group.filter)) or "everyone",
    )


def _control(group: GroupConfig) -> str:
    if group.control is None:
        return "everyone"
    return ";".join(map(_network, group.control)) or "nobody"


def _denyTypes(group: GroupConfig) -> str:
    return ";".join(map(str, sorted(group.denyTypes))) or "-"


def _keepers(group: GroupConfig) -> str:
    return ";".join(map(_network, group.keepers)) or "everyone"


def _retain(group: GroupConfig) -> str:
    return f"{group.retain:g}" if group.retain else "off"


#: Columns that are shown when some row uses them: title, cell, and what an empty cell means.
_NAMED: tuple[tuple[str, Callable[[GroupConfig], str], str], ...] = (
    ("control", _control, "everyone"),
    ("deny types", _denyTypes, "-"),
    ("keepers", _keepers, "everyone"),
    ("retain s", _retain, "off"),
)


def _timers(link: LinkParameters, *names: str) -> str:
    return "/".join(f"{getattr(link, name):g}" for name in names) + f" {link.k}/{link.w}"


def _network(network: Any) -> str:
    """A network as people write it: one address without its prefix length."""
    alone = network.num_addresses == 1
    return str(network.network_address if alone else network)


def _table(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  " + "  ".join(map(str.ljust, row, widths)).rstrip()


def _options(groups: Sequence[GroupConfig]) -> list[str]:
    """Options that are not the default, groups with the same ones together."""
    standard = GroupOptions()
    texts = (", ".join(_differences(group.options, standard, OPTIONS)) for group in groups)
    lines = _together((group, text) for group, text in zip(groups, texts, strict=True) if text)
    title = ["Options other than the defaults:"] if lines else []
    if any(group.options.ackMode is AckMode.IMMEDIATE for group in groups):
        note = (
            "Note: ack_mode is immediate. RTUs are acknowledged before a master has acknowledged:"
            " what waits",
            "in the relay is lost when the relay stops.",
        )
        lines = [*lines, *([""] if lines else []), *note]
    return [*title, *lines]


def _remarks(groups: Sequence[GroupConfig]) -> list[str]:
    lines = _together((group, text) for group in groups for text in remarks(group))
    return ["To be known:", *lines] if lines else []


def _together(texts: Iterable[tuple[GroupConfig, str]]) -> list[str]:
    """A line for each text, with the groups that it is said of."""
    found: dict[str, list[str]] = {}
    for group, text in texts:
        found.setdefault(text, []).append(str(group.id))
    return [f"  {', '.join(ids)}: {text}" for text, ids in found.items()]


def _differences(options: Any, standard: Any, section: Section, path: str = "") -> Iterator[str]:
    """What is not the default, as key and value."""
    for name, item in section.items.items():
        if name in LEGS:
            continue
        value, usual = getattr(options, item.field), getattr(standard, item.field)
        if isinstance(item, Key):
            if value != usual:
                yield f"{path}{name} {written(value)}"
        else:
            yield from _differences(value, usual, item, f"{path}{name}.")


def written(value: Any) -> str:
    """A value as the service file writes it."""
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, OriginatorMode):
        return f"fixed:{value.address}" if value.kind == "fixed" else value.kind
    if isinstance(value, ClockSync):
        return f"only:{value.address}" if value.kind == "only" else value.kind
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return f"[{', '.join(map(str, value))}]"
    return "null" if value is None else str(value)


def _afterEnd(configuration: Configuration) -> list[str]:
    file = configuration.groupsFile
    if not file.afterEnd:
        return []
    return [
        f"Not loaded, after the ! row (line {file.endLine}):",
        *(f"  {row}" for row in file.afterEnd),
    ]


def _time(configuration: Configuration) -> list[str]:
    """By which servers the system clock is set, if there are any."""
    file = configuration.groupsFile
    if not file.ntpServers:
        return []
    enabled = configuration.serviceFile.settings.ntp.enabled
    shard = configuration.shard
    off = "left to the first shard" if shard and shard.index > 1 else "off in the service file"
    when = f"every {file.ntpInterval or NTP_INTERVAL} s" if enabled else off
    return [f"Time updates: {', '.join(file.ntpServers)}, {when}"]


def _listeners(configuration: Configuration) -> list[str]:
    """Services of the process that would listen beside the groups."""
    lines = [
        f"  {listener.name} at {Host(str(listener.addresses[0]), listener.port)}"
        for listener in listeners(configuration.serviceFile)
    ]
    return ["Services that would listen:", *lines] if lines else []


def _services(configuration: Configuration) -> list[str]:
    """What is asked for though this version does not have it."""
    file = configuration.groupsFile
    asked = [f"  {name} (service file)" for name in configuration.serviceFile.notBuilt]
    if file.nogui:
        asked.append("  nogui: there is no console to switch off")
    return ["Read and checked, but not yet built:", *asked] if asked else []


def _problems(configuration: Configuration) -> list[str]:
    problems = configuration.problems
    if not problems:
        return ["No problems."]
    errors = sum(problem.severity is Severity.ERROR for problem in problems)
    counts = f"{counted(errors, 'error')}, {counted(len(problems) - errors, 'warning')}:"
    return [counts, *(f"  {problem}" for problem in problems)]


def _result(configuration: Configuration) -> str:
    if not configuration.runnable:
        return "Result: the service would not start."
    rejected = len(configuration.groupsFile.rejected)
    if rejected:
        return f"Result: the service would run without {rejected} of its groups."
    return "Result: the service would run."
