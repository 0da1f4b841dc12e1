"""The import rules of the house, read from the source itself; a broken one fails the build.

Imports point one way (``LAYERS``), pure modules know neither Twisted nor a clock (``PURE``), and
only the two composition roots know the reactor. docs/development.md says why.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

#: What each part of mm2ss may import besides itself. ``tap`` and ``windows`` put all together.
LAYERS: dict[str, frozenset[str]] = {
    "config": frozenset(),
    "iec104": frozenset({"config"}),
    "relay": frozenset({"iec104", "config"}),
    "services": frozenset({"relay", "iec104", "config"}),
    "console": frozenset({"relay", "iec104", "config"}),
    "simulator": frozenset({"relay", "iec104", "config"}),
    "tap": frozenset({"services", "console", "simulator", "relay", "iec104", "config"}),
    "windows": frozenset({"tap", "services", "console", "simulator", "relay", "iec104", "config"}),
}

#: All that the services and the console may know of a group: how it stands, and what the audit
#: trail says of its commands.
SNAPSHOT = "mm2ss.relay.snapshot"
AUDIT = "mm2ss.relay.audit"
SEE_SNAPSHOTS_ONLY = frozenset({"services", "console"})

#: The packages whose modules are pure (no Twisted, no I/O, no clock), and in each the few that are
#: not: they connect the pure ones to sockets, files and time. A new one is a decision, made here.
PURE: dict[str, frozenset[str]] = {
    "mm2ss.config": frozenset(),
    "mm2ss.iec104": frozenset(
        f"mm2ss.iec104.{name}" for name in ("alarm", "loop", "protocol", "wire")
    ),
    "mm2ss.relay": frozenset(
        f"mm2ss.relay.{name}"
        for name in (
            "diskfiles",
            "endpoints",
            "fleet",
            "group",
            "journal",
            "journalwriter",
            "journalneighbours",
            "masterport",
            "pacing",
            "safecopies",
            "timers",
        )
    ),
}

#: What a pure module must not import: Twisted, clocks, and other ways to I/O and threads.
IMPURE = frozenset(
    {"twisted", "time", "sched", "socket", "ssl", "select", "selectors", "asyncio", "signal"}
    | {"threading", "_thread", "multiprocessing", "concurrent", "subprocess"}
)
#: Readings of the wall clock in ``datetime``, whose types are welcome everywhere.
CLOCK_READINGS = frozenset({"now", "utcnow", "today"})

REACTOR = "twisted.internet.reactor"
MAY_IMPORT_REACTOR = frozenset({"mm2ss.tap", "mm2ss.windows"})

#: Lines a module may have; one that is longer stands in LONG with its reason.
MAX_LINES = 400
LONG: dict[str, str] = {
    "mm2ss.iec104.link": "one state machine: its states share all their data",
    "mm2ss.relay.requests": "one table of requests, and the rules that find an answer's owner",
}


@dataclass(frozen=True)
class Module:
    """One source file: its dotted name, whether it is a package's ``__init__``, its text."""

    name: str
    source: str
    isPackage: bool = False

    @property
    def tree(self) -> ast.Module:
        return ast.parse(self.source, self.name)

    @property
    def layer(self) -> str:
        """The part of mm2ss that the module belongs to; "" for ``mm2ss/__init__``."""
        return layerOf(self.name)

    @property
    def isPure(self) -> bool:
        return isPure(self.name)


def layerOf(name: str) -> str:
    """``mm2ss.relay.group`` -> ``relay``."""
    return name.partition(".")[2].partition(".")[0]


def isPure(name: str) -> bool:
    """Whether the named module is one of the pure ones (all import ``mm2ss/__init__``)."""
    return name == "mm2ss" or any(
        isWithin(name, package) and name not in others for package, others in PURE.items()
    )


def takesFromPure(name: str) -> bool:
    """Whether an imported full name is a pure module of ours or something in one.

    What is taken from a package (``mm2ss.relay.name``) must itself be pure, whatever the package
    is; names that ``mm2ss/__init__`` itself defines, as ``__version__``, are.
    """
    module = ".".join(name.split(".")[:3])
    return isPure(module) or (name.count(".") == 1 and layerOf(name) not in LAYERS)


def imports(module: Module) -> Iterator[tuple[int, str]]:
    """Line and full name of all that a module imports, wherever in it: also in functions, under
    TYPE_CHECKING, and by ``import_module("...")`` and Twisted's ``namedAny("...")``.

    ``from package import name`` gives ``package.name``, whatever the name turns out to be.
    """
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            base = absolute(module, node)
            for alias in node.names:
                yield node.lineno, f"{base}.{alias.name}"
        elif isinstance(node, ast.Call) and node.args:
            function = node.func
            called = function.attr if isinstance(function, ast.Attribute) else ""
            called = function.id if isinstance(function, ast.Name) else called
            argument = node.args[0]
            if called in {"__import__", "import_module", "namedAny", "namedModule"} and isinstance(
                argument, ast.Constant
            ):
                yield node.lineno, str(argument.value)


def absolute(module: Module, node: ast.ImportFrom) -> str:
    """The package that a ``from ... import`` takes from, with leading dots resolved."""
    if not node.level:
        return node.module or ""
    parts = module.name.split(".")
    parts = parts[: len(parts) - node.level + module.isPackage]
    return ".".join([*parts, node.module] if node.module else parts)


def isWithin(name: str, package: str) -> bool:
    """Whether a full name is the package or something in it."""
    return name == package or name.startswith(package + ".")


# Each rule takes a module and gives (line, complaint) for each place that breaks it.


def importsPointOneWay(module: Module) -> Iterator[tuple[int, str]]:
    if module.layer and module.layer not in LAYERS:
        yield 1, f"{module.layer} stands in no layer: give it its place in LAYERS"
        return
    allowed = LAYERS.get(module.layer, frozenset())
    for line, name in imports(module):
        target = layerOf(name) if isWithin(name, "mm2ss") else ""
        if target in LAYERS and target != module.layer and target not in allowed:
            yield line, f"imports {name}: {module.layer or 'mm2ss'} may not know {target}"


def groupsAreSeenThroughSnapshots(module: Module) -> Iterator[tuple[int, str]]:
    if module.layer in SEE_SNAPSHOTS_ONLY:
        for line, name in imports(module):
            known = isWithin(name, SNAPSHOT) or isWithin(name, AUDIT)
            if isWithin(name, "mm2ss.relay") and not known:
                yield line, f"imports {name}: of a group, {module.layer} knows {SNAPSHOT} only"


def onlyRootsImportTheReactor(module: Module) -> Iterator[tuple[int, str]]:
    if module.name not in MAY_IMPORT_REACTOR:
        for line, name in imports(module):
            if isWithin(name, REACTOR):
                yield line, "imports the reactor: be told it (or use twisted.internet.task.react)"


def pureModulesAreDeaf(module: Module) -> Iterator[tuple[int, str]]:
    if not module.isPure:
        return
    for line, name in imports(module):
        if name.partition(".")[0] in IMPURE:
            yield line, f"imports {name}, but is pure (what is not stands in PURE)"
        elif isWithin(name, "mm2ss") and not takesFromPure(name):
            yield line, f"imports {name}, which is not pure, but is pure itself"


def pureModulesReadNoClock(module: Module) -> Iterator[tuple[int, str]]:
    if not module.isPure:
        return
    # The names under which the module knows datetime's classes, also by "as".
    classes = {"datetime", "date"}
    for node in ast.walk(module.tree):
        if isinstance(node, ast.ImportFrom) and node.module == "datetime":
            classes |= {alias.asname for alias in node.names if alias.asname}
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Attribute) and node.attr in CLOCK_READINGS:
            of = node.value
            base = of.attr if isinstance(of, ast.Attribute) else getattr(of, "id", "")
            if base in classes:
                yield node.lineno, f"reads the clock ({base}.{node.attr}), but is pure"


def modulesSayWhatTheyAre(module: Module) -> Iterator[tuple[int, str]]:
    if not ast.get_docstring(module.tree):
        yield 1, "has no docstring"


def modulesAreShort(module: Module) -> Iterator[tuple[int, str]]:
    lines = len(module.source.splitlines())
    if lines > MAX_LINES and module.name not in LONG:
        yield MAX_LINES, f"has {lines} lines (at most {MAX_LINES}, or a reason in LONG)"


Rule = Callable[[Module], Iterator[tuple[int, str]]]
RULES: tuple[Rule, ...] = (
    importsPointOneWay,
    groupsAreSeenThroughSnapshots,
    onlyRootsImportTheReactor,
    pureModulesAreDeaf,
    pureModulesReadNoClock,
    modulesSayWhatTheyAre,
    modulesAreShort,
)


def ourModules() -> list[Module]:
    """All modules of mm2ss in this checkout."""
    modules = []
    for path in sorted((ROOT / "mm2ss").rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        isPackage = parts[-1] == "__init__"
        name = ".".join(parts[:-1] if isPackage else parts)
        modules.append(Module(name, path.read_text(encoding="utf-8"), isPackage))
    return modules


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: str(rule.__name__))
def test_house(rule: Rule) -> None:
    """No module of mm2ss breaks the rule."""
    complaints = [
        f"{module.name}:{line}: {complaint}"
        for module in ourModules()
        for line, complaint in rule(module)
    ]
    assert not complaints, "\n" + "\n".join(complaints)


def test_reads_the_real_tree() -> None:
    """The rules above looked at the modules that are there, not at an empty folder."""
    names = {module.name for module in ourModules()}
    assert {"mm2ss", "mm2ss.iec104", "mm2ss.config.parameters"} <= names


def test_plugin_knows_only_service_makers() -> None:
    """twistd imports the plugin for every command, so it brings neither mm2ss nor a reactor."""
    path = ROOT / "twisted" / "plugins" / "mm2ss_plugin.py"
    plugin = Module("twisted.plugins.mm2ss_plugin", path.read_text(encoding="utf-8"))
    found = {name for _, name in imports(plugin)}
    assert found == {"twisted.application.service.ServiceMaker"}


def test_long_modules_are_still_long() -> None:
    """An exception from the length rule goes when the module has become short."""
    lengths = {module.name: len(module.source.splitlines()) for module in ourModules()}
    assert [name for name in LONG if lengths.get(name, 0) <= MAX_LINES] == []


BAD: list[tuple[Rule, str, str]] = [
    (importsPointOneWay, "mm2ss.iec104.link", "import mm2ss.relay.group"),
    (importsPointOneWay, "mm2ss.iec104.link", "from ..relay.ledger import Ledger"),
    (importsPointOneWay, "mm2ss.config.csvfile", "from mm2ss.iec104.asdu import TYPES"),
    (importsPointOneWay, "mm2ss.relay.group", "from mm2ss import tap"),
    (importsPointOneWay, "mm2ss.relay.group", "def f():\n    from mm2ss.services import ntp"),
    (importsPointOneWay, "mm2ss.services.ntp", "from mm2ss.console import page"),
    (
        importsPointOneWay,
        "mm2ss.simulator.demo",
        "import importlib\nimportlib.import_module('mm2ss.tap')",
    ),
    (importsPointOneWay, "mm2ss.tap", "import mm2ss.windows"),
    (importsPointOneWay, "mm2ss", "from mm2ss import tap"),
    (importsPointOneWay, "mm2ss.newcomer.module", ""),
    (groupsAreSeenThroughSnapshots, "mm2ss.console.page", "from mm2ss.relay.group import Group"),
    (groupsAreSeenThroughSnapshots, "mm2ss.services.metrics", "from ..relay import ledger"),
    (groupsAreSeenThroughSnapshots, "mm2ss.services.metrics", "import mm2ss.relay"),
    (onlyRootsImportTheReactor, "mm2ss.relay.group", "from twisted.internet import reactor"),
    (onlyRootsImportTheReactor, "mm2ss.relay.group", "import twisted.internet.reactor as r"),
    (
        onlyRootsImportTheReactor,
        "mm2ss.simulator.demo",
        "def f():\n    from twisted.internet import reactor",
    ),
    (
        onlyRootsImportTheReactor,
        "mm2ss.relay.group",
        "from twisted.internet.reactor import callLater",
    ),
    (pureModulesAreDeaf, "mm2ss.iec104.link", "from twisted.internet.defer import Deferred"),
    (pureModulesAreDeaf, "mm2ss.iec104.apci", "from time import monotonic"),
    (pureModulesAreDeaf, "mm2ss.config.csvfile", "import socket"),
    (pureModulesAreDeaf, "mm2ss.relay.ledger", "def f():\n    import threading"),
    (pureModulesAreDeaf, "mm2ss.relay.requests", "from mm2ss.relay.group import Group"),
    (pureModulesAreDeaf, "mm2ss.relay.routing", "from mm2ss.relay import group"),
    (pureModulesAreDeaf, "mm2ss.iec104.newcomer", "import twisted"),
    (pureModulesAreDeaf, "mm2ss.iec104.link", "from mm2ss.iec104.protocol import LinkProtocol"),
    (pureModulesAreDeaf, "mm2ss.iec104", "from mm2ss.iec104.protocol import LinkProtocol"),
    (
        pureModulesReadNoClock,
        "mm2ss.iec104.elements",
        "from datetime import datetime\ndatetime.now()",
    ),
    (
        pureModulesReadNoClock,
        "mm2ss.iec104.elements",
        "import datetime as d\nx = d.datetime.utcnow",
    ),
    (pureModulesReadNoClock, "mm2ss.config.model", "from datetime import date as D\nD.today()"),
    (modulesSayWhatTheyAre, "mm2ss.relay.group", "x = 1"),
    (modulesAreShort, "mm2ss.relay.group", "\n" * (MAX_LINES + 1)),
]


@pytest.mark.parametrize(("rule", "name", "source"), BAD)
def test_bad_module_is_found(rule: Rule, name: str, source: str) -> None:
    """Each rule does find what breaks it."""
    isPackage = name.count(".") < 2 and name not in MAY_IMPORT_REACTOR
    assert list(rule(Module(name, source, isPackage)))


GOOD: list[tuple[str, str]] = [
    ("mm2ss.tap", "from twisted.internet import reactor\nfrom mm2ss.relay.group import Group"),
    ("mm2ss.windows", "def f():\n    from twisted.internet import reactor\n    import mm2ss.tap"),
    ("mm2ss.services.metrics", "from mm2ss.relay import snapshot\nfrom mm2ss import __version__"),
    ("mm2ss.console.page", "from mm2ss.relay.snapshot import GroupSnapshot\nimport time"),
    ("mm2ss.services.audit", "from mm2ss.relay.audit import AuditEntry"),
    ("mm2ss.simulator.demo", "from twisted.internet.task import react\nimport mm2ss.iec104.link"),
    (
        "mm2ss.relay.group",
        "from mm2ss.iec104.protocol import LinkProtocol\nfrom mm2ss.config import model",
    ),
    ("mm2ss.relay.requests", "from mm2ss.iec104 import asdu\nfrom mm2ss.iec104.asdu import Asdu"),
    ("mm2ss.iec104.link", "from mm2ss.config.parameters import LinkParameters\nimport mm2ss"),
    ("mm2ss.iec104.protocol", "import time\nfrom twisted.internet import protocol"),
    ("mm2ss.config.csvfile", "from . import model\nfrom .model import GroupConfig\nimport csv"),
    ("mm2ss.iec104.elements", "from datetime import datetime\ndef f(t: datetime, now): return now"),
]


@pytest.mark.parametrize(("name", "source"), GOOD)
def test_good_module_is_left_alone(name: str, source: str) -> None:
    """What the house allows is no complaint."""
    module = Module(name, f'"""A module."""\n{source}')
    assert [complaint for rule in RULES for complaint in rule(module)] == []
