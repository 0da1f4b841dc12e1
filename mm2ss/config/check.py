"""The text of ``--check``: what would run, what it may need at worst, and every problem."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import fields
from enum import Enum
from typing import Any

from mm2ss.config.load import Configuration
from mm2ss.config.model import AckMode, GroupConfig, GroupOptions, OriginatorMode
from mm2ss.config.parameters import LinkParameters
from mm2ss.config.problems import Severity, counted, hasErrors, printable
from mm2ss.config.schema import OPTIONS, Key

_DELIMITERS = {",": "a comma", ";": "a semicolon", "\t": "a tab"}

#: Listening ports of a group without ``listen``: one for IPv4 and one for IPv6.
EVERY_ADDRESS = 2


def exitStatus(configuration: Configuration) -> int:
    """0 when nothing is wrong but for warnings; 1 when a row, a file or an option is refused."""
    return int(hasErrors(configuration.problems) or not configuration.runnable)


def report(configuration: Configuration) -> str:
    """What the service would do with this configuration, for people; no network is touched."""
    parts = (
        _files(configuration),
        _groups(configuration.groups),
        _options(configuration.groups),
        _afterEnd(configuration),
        _services(configuration),
        _worstCase(configuration.groups),
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
    title = f"{counted(len(groups), 'group')} would run:"
    return [title, *_table([head, *map(_cells, groups)])]


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
    found: dict[str, list[str]] = {}
    for group in groups:
        text = ", ".join(_differences(group.options))
        if text:
            found.setdefault(text, []).append(str(group.id))
    lines = [f"  {', '.join(ids)}: {text}" for text, ids in found.items()]
    if any(group.options.ackMode is AckMode.IMMEDIATE for group in groups):
        note = (
            "Note: ack_mode is immediate. RTUs are acknowledged before a master has acknowledged:"
            " what waits",
            "in the relay is lost when the relay stops.",
        )
        lines = [*lines, *([""] if lines else []), *note]
    return ["Options other than the defaults:", *lines] if found else lines


def _differences(options: GroupOptions) -> Iterator[str]:
    keys = {item.field: name for name, item in OPTIONS.items.items() if isinstance(item, Key)}
    standard = GroupOptions()
    for each in fields(options):
        value = getattr(options, each.name)
        if value != getattr(standard, each.name):
            yield f"{keys[each.name]} {written(value)}"


def written(value: Any) -> str:
    """A value as the service file writes it."""
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, OriginatorMode):
        return f"fixed:{value.address}" if value.kind == "fixed" else value.kind
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


def _services(configuration: Configuration) -> list[str]:
    """What is asked for though this version does not have it."""
    file = configuration.groupsFile
    asked = [f"  {name} (service file)" for name in configuration.serviceFile.notBuilt]
    if file.ntpServers or file.ntpInterval is not None:
        servers = ", ".join(file.ntpServers) or "no server"
        asked.append(f"  time updates: {servers}, every {file.ntpInterval or 900} s")
    if file.nogui:
        asked.append("  nogui: there is no console to switch off")
    return ["Read and checked, but not yet built:", *asked] if asked else []


def _worstCase(groups: Sequence[GroupConfig]) -> list[str]:
    if not groups:
        return []
    ports = sum(len(group.options.listen) or EVERY_ADDRESS for group in groups)
    masters = sum(group.maxMasters for group in groups)
    logs = sum(group.logEvents for group in groups)
    memory = sum(group.options.ledgerMax for group in groups)
    return [
        "At worst the groups need:",
        f"  file descriptors: {ports + len(groups) + masters + logs} "
        f"({counted(ports, 'port')}, {counted(len(groups), 'RTU')}, {counted(masters, 'master')}, "
        f"{counted(logs, 'log')})",
        f"  memory for waiting frames: {memory / 1048576:g} MiB (ledger_max of each group)",
    ]


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
