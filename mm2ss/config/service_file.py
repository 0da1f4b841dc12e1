"""The service file (YAML) -> frozen settings, and every problem with its line and key."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from mm2ss.config.problems import Problem, Severity
from mm2ss.config.schema import OPTIONS, Key, Section, sectionOf
from mm2ss.config.service_settings import NOT_BUILT, LogSettings, ServiceSettings
from mm2ss.config.yaml_tree import Mapping as Tree
from mm2ss.config.yaml_tree import Node, Scalar, TreeError, readTree

#: Largest file, in octets: options of their own for some thousands of groups.
MAX_FILE = 1024 * 1024

SERVICE = sectionOf(ServiceSettings)

_ID = re.compile(r"[0-9]{1,10}")


@dataclass(frozen=True)
class Setting:
    """One value that the file sets, with the line and the full dotted key where it stands."""

    value: Any
    line: int
    key: str


@dataclass(frozen=True)
class Layer:
    """What ``defaults`` or one group sets, by key: ``stop_delay``, ``rtu.t1``."""

    line: int = 0
    settings: Mapping[str, Setting] = field(default_factory=dict)


@dataclass(frozen=True)
class ServiceFile:
    """What a service file says.

    :ivar source: the file as the user named it; empty when there is none.
    :ivar settings: the settings of the service, all paths absolute.
    :ivar defaults: options for every group.
    :ivar groups: options for one group, by its id.
    :ivar lines: where the settings of the service stand, by their dotted keys.
    :ivar notBuilt: what the file sets though this version does not have it.
    :ivar problems: everything that is wrong, in file order.
    """

    source: str
    settings: ServiceSettings
    defaults: Layer = Layer()
    groups: Mapping[int, Layer] = field(default_factory=dict)
    lines: Mapping[str, int] = field(default_factory=dict)
    notBuilt: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()

    @property
    def log(self) -> LogSettings:
        """The settings of the event logs."""
        return self.settings.log


def noServiceFile(base: str | os.PathLike[str]) -> ServiceFile:
    """What holds without a service file: the defaults, with paths counted from ``base``."""
    return ServiceFile("", _build(SERVICE, {}, "", Path(base)))


def readServiceFile(path: str | os.PathLike[str], base: str | os.PathLike[str]) -> ServiceFile:
    """Read the service file at ``path``; one that cannot be read is a problem, not an exception.

    :param base: absolute path of the directory from which relative paths count, also ``path``.
    """
    source = os.fspath(path)
    try:
        with open(os.path.join(base, path), "rb") as file:
            data = file.read(MAX_FILE + 1)
    except (OSError, ValueError) as error:
        reason = f"cannot be read: {getattr(error, 'strerror', None) or error}"
        return _Loader(source, Path(base)).failed(None, reason)
    return parseServiceFile(data, source, base)


def parseServiceFile(data: bytes, source: str, base: str | os.PathLike[str]) -> ServiceFile:
    """Read the octets of a service file that the problems call ``source``; raises nothing."""
    loader = _Loader(source, Path(base))
    if len(data) > MAX_FILE:
        return loader.failed(None, f"is larger than {MAX_FILE} octets")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        return loader.failed(line, "is not UTF-8 text")
    try:
        return loader.load(readTree(text))
    except TreeError as error:
        return loader.failed(error.line, error.reason)


class _Loader:
    """The state of one reading."""

    def __init__(self, source: str, base: Path) -> None:
        self._source = source
        self._base = base
        self._problems: list[Problem] = []

    def failed(self, line: int | None, reason: str) -> ServiceFile:
        """A file of which nothing can be used."""
        self._error(line, "", None, reason)
        settings = noServiceFile(self._base).settings
        return ServiceFile(self._source, settings, problems=tuple(self._problems))

    def load(self, root: Node | None) -> ServiceFile:
        """Read the whole tree, however much of it is wrong."""
        settings: dict[str, Setting] = {}
        defaults = Layer()
        groups: dict[int, Layer] = {}
        for name, key, node in self._entries(root, ""):
            if name == "defaults":
                defaults = self._layer(key.line, node, "defaults.")
            elif name == "groups":
                groups = self._groups(node)
            elif name in SERVICE.items:
                self._item(SERVICE.items[name], name, node, key.line, "", settings)
            else:
                self._unknown(key, "", [*SERVICE.items, "defaults", "groups"])
        self._refuseTls(settings)
        self._problems.sort(key=lambda problem: problem.line or 0)
        notBuilt = [name for name in NOT_BUILT if any(_isUnder(key, name) for key in settings)]
        return ServiceFile(
            self._source,
            _build(SERVICE, settings, "", self._base),
            defaults,
            groups,
            {key: setting.line for key, setting in settings.items()},
            tuple(notBuilt),
            tuple(self._problems),
        )

    def _refuseTls(self, settings: Mapping[str, Setting]) -> None:
        """Encryption that was asked for is never left out silently."""
        enabled = settings.get("tls.enabled")
        if enabled is not None and enabled.value:
            reason = "TLS is not in this version; connections would not be encrypted"
            self._error(enabled.line, enabled.key, "true", reason)

    def _groups(self, root: Node) -> dict[int, Layer]:
        groups: dict[int, Layer] = {}
        for name, key, node in self._entries(root, "groups."):
            if not _ID.fullmatch(name):
                self._error(key.line, f"groups.{name}", None, "this is no group id (a number)")
            elif int(name) in groups:
                first = groups[int(name)].line
                self._error(
                    key.line, f"groups.{name}", None, f"stands twice, first on line {first}"
                )
            else:
                groups[int(name)] = self._layer(key.line, node, f"groups.{name}.")
        return groups

    def _layer(self, line: int, node: Node, prefix: str) -> Layer:
        settings: dict[str, Setting] = {}
        self._section(OPTIONS, node, prefix, "", settings)
        return Layer(line, settings)

    def _section(
        self, section: Section, node: Node, prefix: str, path: str, into: dict[str, Setting]
    ) -> None:
        for name, key, value in self._entries(node, prefix + path):
            if name in section.items:
                item = section.items[name]
                self._item(item, path + name, value, key.line, prefix, into)
            else:
                self._unknown(key, prefix + path, list(section.items))

    def _item(
        self,
        item: Key | Section,
        path: str,
        node: Node,
        line: int,
        prefix: str,
        into: dict[str, Setting],
    ) -> None:
        """A key with its value, or a section; ``path`` is its place below ``prefix``."""
        if isinstance(item, Section):
            self._section(item, node, prefix, f"{path}.", into)
            return
        try:
            into[path] = Setting(item.parse(node), line, prefix + path)
        except ValueError as error:
            shown = node.text if isinstance(node, Scalar) and not node.isNull else None
            self._error(node.line if shown else line, prefix + path, shown, str(error))

    def _entries(self, node: Node | None, prefix: str) -> Iterator[tuple[str, Scalar, Node]]:
        """Names, key nodes and values of a mapping, each name once; nothing for nothing."""
        if node is None or (isinstance(node, Scalar) and node.isNull):
            return
        if not isinstance(node, Tree):
            shown = node.text if isinstance(node, Scalar) else None
            self._error(node.line, prefix.rstrip("."), shown, "keys with values are needed here")
            return
        seen: dict[str, int] = {}
        for key, value in node.entries:
            if not isinstance(key, Scalar):
                self._error(key.line, prefix.rstrip("."), None, "a key must be one word")
            elif key.text in seen:
                reason = f"stands twice, first on line {seen[key.text]}"
                self._error(key.line, prefix + key.text, None, reason)
            else:
                seen[key.text] = key.line
                yield key.text, key, value

    def _unknown(self, key: Scalar, prefix: str, known: list[str]) -> None:
        name = key.text
        near = get_close_matches(name.lower().replace("-", "_"), known, n=1, cutoff=0.5)
        if name == "<<" and key.plain:
            reason = "merge keys are not used here; write the keys out"
        elif not prefix and name in OPTIONS.items:
            reason = "stands in the wrong place; options of groups go under defaults or groups"
        elif near:
            reason = f"this key is not known; did you mean {near[0]}?"
        else:
            reason = f"this key is not known; known here: {', '.join(sorted(known))}"
        self._error(key.line, prefix + name, None, reason)

    def _error(self, line: int | None, key: str, value: str | None, reason: str) -> None:
        self._problems.append(Problem(Severity.ERROR, self._source, line, key, value, reason))


def _isUnder(key: str, name: str) -> bool:
    return key == name or key.startswith(f"{name}.")


def _build(section: Section, settings: Mapping[str, Setting], path: str, base: Path) -> Any:
    """The dataclass of ``section`` with what the file sets, paths counted from ``base``."""
    values: dict[str, Any] = {}
    for name, item in section.items.items():
        if isinstance(item, Section):
            values[item.field] = _build(item, settings, f"{path}{name}.", base)
        else:
            setting = settings.get(path + name)
            value = item.default if setting is None else setting.value
            values[item.field] = base / value if isinstance(value, Path) else value
    return section.cls(**values)
