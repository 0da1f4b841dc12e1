"""Ports that two parts of the configuration want at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from mm2ss.config.model import Address, GroupConfig
from mm2ss.config.problems import Problem, Severity
from mm2ss.config.service_file import ServiceFile
from mm2ss.config.service_settings import NOT_BUILT

#: Sections of the service file that listen, each with keys ``enabled``, ``listen`` and ``port``.
LISTENERS = ("console", "manhole", "metrics")
#: Where groups listen that name no address.
EVERY: tuple[Address, ...] = (IPv4Address("0.0.0.0"), IPv6Address("::"))


@dataclass(frozen=True)
class Listener:
    """Who listens where."""

    name: str
    port: int
    addresses: tuple[Address, ...]

    def meets(self, other: Listener) -> bool:
        """Whether the two cannot both listen."""
        return self.port == other.port and any(
            mine == theirs
            or (mine.version == theirs.version and (mine.is_unspecified or theirs.is_unspecified))
            for mine in self.addresses
            for theirs in other.addresses
        )


def listeners(serviceFile: ServiceFile) -> Iterator[Listener]:
    """The services of the process that are switched on and listen."""
    for section in LISTENERS:
        settings = getattr(serviceFile.settings, section)
        if section not in NOT_BUILT and settings.enabled:
            yield Listener(section, settings.port, (settings.listen,))


def portProblems(groups: Sequence[GroupConfig], serviceFile: ServiceFile) -> Iterator[Problem]:
    """Services of the process that want a port which a group or another service has.

    Groups among each other are not looked at: that is done where their rows are read.
    """
    taken: dict[int, list[Listener]] = {}
    for group in groups:
        listener = Listener(f"group {group.id}", group.port, group.options.listen or EVERY)
        taken.setdefault(group.port, []).append(listener)
    for service in listeners(serviceFile):
        others = taken.setdefault(service.port, [])
        for other in filter(service.meets, others):
            key, lines = f"{service.name}.port", serviceFile.lines
            yield Problem(
                Severity.ERROR,
                serviceFile.source,
                lines.get(key) or lines.get(f"{service.name}.enabled"),
                key,
                str(service.port),
                f"is the port of {other.name}, too; each needs one of its own",
            )
        others.append(service)
