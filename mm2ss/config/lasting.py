"""What the files say that a running service cannot take over: it takes effect at the next start."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mm2ss.config.load import Configuration
from mm2ss.config.schema import Section
from mm2ss.config.service_file import SERVICE

#: Fields of the groups file that concern the service as a whole, by the names of their rows.
_ROWS = {"nogui": "nogui", "ntp_server": "ntpServers", "ntp_update_every_sec": "ntpInterval"}


def lastingChanges(started: Configuration, wanted: Configuration) -> list[str]:
    """Rows and dotted keys in which two configurations differ that a reload leaves as they are.

    :param started: what the service was started with.
    :param wanted: what the files say now.
    """
    rows = [
        row
        for row, field in _ROWS.items()
        if getattr(started.groupsFile, field) != getattr(wanted.groupsFile, field)
    ]
    settings = started.serviceFile.settings, wanted.serviceFile.settings
    return [*rows, *_differing(SERVICE, *settings)]


def _differing(section: Section, old: Any, new: Any, path: str = "") -> Iterator[str]:
    for name, item in section.items.items():
        before, after = getattr(old, item.field), getattr(new, item.field)
        if isinstance(item, Section):
            yield from _differing(item, before, after, f"{path}{name}.")
        elif before != after:
            yield path + name
