"""The service file: keys, types and ranges; every problem with its line; no YAML surprises."""

from __future__ import annotations

import time
from dataclasses import fields
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path

import pytest

from mm2ss.config.model import (
    AckMode,
    ClockSync,
    CounterReset,
    EndOfInitialization,
    GroupOptions,
    InterrogatedData,
    OriginatorEcho,
    OriginatorMode,
    ResetProcess,
)
from mm2ss.config.options import LEGS
from mm2ss.config.problems import Severity
from mm2ss.config.schema import OPTIONS, Section
from mm2ss.config.service_file import (
    MAX_FILE,
    ServiceFile,
    noServiceFile,
    parseServiceFile,
    readServiceFile,
)
from mm2ss.config.service_settings import LogLevel

BASE = "/base"


def parse(text: str) -> ServiceFile:
    return parseServiceFile(text.encode(), "s.yaml", BASE)


def optionOf(key: str, value: str) -> object:
    """What a key under ``defaults`` is read as."""
    file = parse(f"defaults:\n  {key}: {value}\n")
    assert file.problems == ()
    return file.defaults.settings[key].value


def complaintOf(text: str) -> tuple[int | None, str, str]:
    """Line, key and reason of the only problem."""
    (problem,) = parse(text).problems
    assert problem.severity is Severity.ERROR and problem.file == "s.yaml"
    return problem.line, problem.column, problem.reason


@pytest.mark.parametrize(
    "text", ["", "\n", "# nothing\n", "---\n", "~\n", "{}\n", "\ufeff", "log:\n"]
)
def test_nothing(text: str) -> None:
    """An empty file, and an empty section, mean the defaults."""
    file = parse(text)
    assert file.problems == () and file.notBuilt == ()
    assert file.settings == noServiceFile(BASE).settings
    assert file.defaults.settings == {} and file.groups == {}


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("ack_mode", "through", AckMode.THROUGH),
        ("ack_mode", "immediate", AckMode.IMMEDIATE),
        ("ack_mode", '"immediate"', AckMode.IMMEDIATE),
        ("journal", "true", True),
        ("journal", "false", False),
        ("hold_age", "0", 0),
        ("hold_age", "86400.5", 86400.5),
        ("retain_max", "0", 0),
        ("retain_max", "604800", 604800),
        ("interrogated_data", "requester", InterrogatedData.REQUESTER),
        ("end_of_initialization", "announce", EndOfInitialization.ANNOUNCE),
        ("gi_wait", "1", 1),
        ("gi_wait", "600", 600),
        ("counter_reset", "pass", CounterReset.PASS),
        ("counter_reset", "first_master", CounterReset.FIRST_MASTER),
        ("counter_reset", "deny", CounterReset.DENY),
        ("clock_sync", "pass", ClockSync()),
        ("clock_sync", "deny", ClockSync("deny")),
        ("clock_sync", "only:10.1.1.7", ClockSync("only", IPv4Address("10.1.1.7"))),
        ("clock_sync", "only:::ffff:10.1.1.7", ClockSync("only", IPv4Address("10.1.1.7"))),
        ("clock_sync", "'only: fd00::7'", ClockSync("only", IPv6Address("fd00::7"))),
        ("reset_process", "default", ResetProcess.DEFAULT),
        ("reset_process", "pass", ResetProcess.PASS),
        ("reset_process", "deny", ResetProcess.DENY),
        ("oa_mode", "slot", OriginatorMode()),
        ("oa_mode", "keep", OriginatorMode("keep")),
        ("oa_mode", "fixed:0", OriginatorMode("fixed", 0)),
        ("oa_mode", "fixed:255", OriginatorMode("fixed", 255)),
        # YAML reads these two as true and false; here they are words.
        ("oa_echo", "yes", OriginatorEcho.YES),
        ("oa_echo", "no", OriginatorEcho.NO),
        ("oa_echo", "'No'", OriginatorEcho.NO),
        ("oa_echo", "auto", OriginatorEcho.AUTO),
        ("ledger_max", "65536", 65536),
        ("stop_delay", "0", 0),
        ("stop_delay", "2.5", 2.5),
        ("stop_delay", "60", 60),
        ("select_timeout", "300", 300),
        ("listen", "[]", ()),
        ("listen", "127.0.0.1", (ip_address("127.0.0.1"),)),
        ("listen", '[127.0.0.1, "::1"]', (ip_address("127.0.0.1"), ip_address("::1"))),
        ("listen", "\n  - fd00::1\n  - 10.0.0.1", (ip_address("fd00::1"), ip_address("10.0.0.1"))),
        ("listen", "['::ffff:10.0.0.1']", (ip_address("10.0.0.1"),)),
    ],
)
def test_options(key: str, text: str, value: object) -> None:
    """Every option takes the values that its description promises."""
    assert optionOf(key, text) == value


@pytest.mark.parametrize(
    ("key", "text", "reason"),
    [
        ("ack_mode", "fast", "not known; through, immediate are possible"),
        ("journal", "yes", "true or false"),
        ("hold_age", "-1", "not in 0-315360000"),
        ("hold_age", "1d", "no unit"),
        ("retain_max", "604801", "not in 0-604800"),
        ("hold_max", "1000", "keys with values are needed"),
        ("hold_max", "[1000]", "keys with values are needed"),
        ("ack_mode", "", "has no value"),
        ("ack_mode", "[immediate]", "is a list"),
        ("interrogated_data", "true", "all, requester are possible"),
        ("gi_wait", "0.5", "not in 1-600"),
        ("counter_reset", "first", "pass, first_master, deny are possible"),
        ("clock_sync", "only", "is not pass, deny or only:ADDRESS"),
        ("clock_sync", "'only:'", "the address is missing"),
        ("clock_sync", "only:10.1.1.0/24", "no IPv4 or IPv6 address"),
        ("clock_sync", "10.1.1.7", "is not pass, deny or only:ADDRESS"),
        ("reset_process", "", "has no value"),
        ("reset_process", "none", "default, pass, deny are possible"),
        ("oa_mode", "fixed:256", "fixed:n with n 0-255"),
        ("oa_mode", "{fixed: 3}", "is a group of keys"),
        ("oa_mode", "fixed", "fixed:n"),
        ("oa_echo", "true", "auto, yes, no are possible"),
        ("ledger_max", "65535", "not in 65536-1073741824"),
        ("ledger_max", "4 MiB", "no unit"),
        ("ledger_max", "100000.5", "whole number"),
        ("ledger_max", "0x100000", "plain decimal"),
        ("ledger_max", "1_000_000", "plain decimal"),
        ("ledger_max", "9" * 5000, "plain decimal"),
        ("stop_delay", "61", "not in 0-60"),
        ("stop_delay", "-1", "not in 0-60"),
        ("stop_delay", "'5'", "without quotes"),
        ("stop_delay", "010", "leading zero"),
        ("stop_delay", "0:30", "plain decimal"),
        ("stop_delay", "1e1", "plain decimal"),
        ("stop_delay", ".inf", "plain decimal"),
        ("stop_delay", ".nan", "plain decimal"),
        ("stop_delay", "true", "plain decimal"),
        ("stop_delay", "~", "has no value"),
        ("select_timeout", "0", "not in 1-300"),
        ("listen", "localhost", "no IPv4 or IPv6"),
        ("listen", "[10.0.0.1, 10.0.0.1]", "twice"),
        ("listen", "[10.0.0.0/8]", "no IPv4 or IPv6"),
        ("listen", "[[10.0.0.1]]", "is a list"),
        ("listen", "{a: b}", "a group of keys"),
        ("listen", "", "has no value"),
    ],
)
def test_wrongOptions(key: str, text: str, reason: str) -> None:
    """A wrong type or value is an error with line, dotted key and reason."""
    line, column, said = complaintOf(f"# first\ndefaults:\n  {key}: {text}\n")
    assert (line, column) == (3, f"defaults.{key}") and reason in said


def test_clockSyncAllows() -> None:
    """Whose clock synchronisations pass."""
    only, other = IPv4Address("10.1.1.7"), IPv4Address("10.1.1.8")
    assert ClockSync().allows(other)
    assert not ClockSync("deny").allows(only)
    assert ClockSync("only", only).allows(only) and not ClockSync("only", only).allows(other)


def test_twoWaysToWriteFixed() -> None:
    """``fixed: 3`` on the line of its key is no YAML, and is said to be so with its line."""
    assert complaintOf("defaults:\n  oa_mode: fixed: 3\n")[0] == 2


@pytest.mark.parametrize(
    ("text", "value"), [("true", True), ("True", True), ("false", False), ("FALSE", False)]
)
def test_truth(text: str, value: bool) -> None:
    """true and false are the only truths."""
    file = parse(f"metrics: {{enabled: {text}}}\n")
    assert file.problems == () and file.settings.metrics.enabled is value


@pytest.mark.parametrize("text", ["yes", "on", "off", "y", "1", "'true'", "~", "[true]"])
def test_noTruth(text: str) -> None:
    """YAML's other words for true and false are errors: somebody else may read them otherwise."""
    line, column, reason = complaintOf(f"metrics:\n  enabled: {text}\n")
    assert (line, column) == (2, "metrics.enabled") and "true or false" in reason


@pytest.mark.parametrize(
    ("text", "line", "column", "hint"),
    [
        ("defaults:\n  ledgermax: 1\n", 2, "defaults.ledgermax", "did you mean ledger_max?"),
        ("defaults:\n  rtu: {k: 1, tl: 5}\n", 2, "defaults.rtu.tl", "did you mean t"),
        ("groups:\n  1:\n    oa-mode: keep\n", 3, "groups.1.oa-mode", "did you mean oa_mode?"),
        ("defaults:\n  masters: {t0: 5}\n", 2, "defaults.masters.t0", "did you mean t"),
        ("defalts:\n", 1, "defalts", "did you mean defaults?"),
        ("Log:\n", 1, "Log", "did you mean log?"),
        ("stop_delay: 5\n", 1, "stop_delay", "under defaults or groups"),
        ("log:\n  zzz: 1\n", 2, "log.zzz", "known here: directory, keep, level, rotate_size"),
        ("on: 1\n", 1, "on", "not known"),
        ("5: 1\n", 1, "5", "not known"),
        ("~: 1\n", 1, "~", "not known"),
        ("log: {<<: {keep: 3}}\n", 1, "log.<<", "merge keys"),
    ],
)
def test_unknownKeys(text: str, line: int, column: str, hint: str) -> None:
    """An unknown key is an error that names the nearest known one."""
    said = complaintOf(text)
    assert said[:2] == (line, column) and hint in said[2]


@pytest.mark.parametrize(
    ("text", "line", "column"),
    [
        ("log:\n  keep: 3\n  keep: 3\n", 3, "log.keep"),
        ("log:\nlog:\n", 2, "log"),
        ("groups:\n  1:\n  1:\n", 3, "groups.1"),
        ("groups:\n  1:\n  01:\n", 3, "groups.01"),
        ("groups:\n  1:\n  '1':\n", 3, "groups.1"),
    ],
)
def test_keysTwice(text: str, line: int, column: str) -> None:
    """A key that stands twice is an error that names both lines."""
    said = complaintOf(text)
    assert said[:2] == (line, column) and f"first on line {line - 1}" in said[2]


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("- a\n", 1, "keys with values"),
        ("just text\n", 1, "keys with values"),
        ("groups: [1, 2]\n", 1, "keys with values"),
        ("log: 5\n", 1, "keys with values"),
        ("? [a]\n: b\n", 1, "one word"),
        ("groups:\n  abc:\n", 2, "no group id"),
        ("groups:\n  -1:\n", 2, "no group id"),
        ("log:\n\tkeep: 3\n", 2, "tab"),
        ("log: [\n", 2, "no YAML"),
        ("log: *x\n", 1, "aliases"),
        ("log: &x {keep: 3}\n", 1, "aliases"),
        ("log: !!map {keep: 3}\n", 1, "tags"),
        ("log: {keep: !!python/object/apply:os.system [ls]}\n", 1, "tags"),
        ("log:\n---\nlog:\n", 2, "second document"),
        ("log:\n  keep: '\x07'\n", 2, "does not allow"),
        ('log: {directory: "\\U99999999"}\n', 1, "no YAML"),
        ("%YAML 1." + "9" * 5000 + "\n---\n", 1, "no YAML"),
        ("[" * 100_000, 1, "deeper"),
        ("a:\n" + "".join(" " * n + "a:\n" for n in range(1, 40)), 17, "deeper"),
        ("{a: " * 1000, 1, "deeper"),
    ],
)
def test_structure(text: str, line: int, reason: str) -> None:
    """What is no such file at all is told with its line, whatever YAML would make of it."""
    said = complaintOf(text)
    assert said[0] == line and reason in said[2]


def test_aliasBomb() -> None:
    """A small file never becomes a large tree."""
    lines = ["a0: &a0 [x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    assert "aliases" in complaintOf("\n".join(lines))[2]


def test_notUtf8() -> None:
    """The file is UTF-8; the first line that is not is named."""
    (problem,) = parseServiceFile(b"# a\nlog: {directory: Z\xfcrich}\n", "s.yaml", BASE).problems
    assert (problem.line, problem.reason) == (2, "is not UTF-8 text")


def test_everyProblem() -> None:
    """All problems are listed, in file order, and what is right is read."""
    file = parse(
        "tls: {enabled: true}\n"
        "groups:\n  111:\n    rtu:\n      t1: 300\n      k: 4\n    rtu: {}\n"
        "defaults:\n  stop_delay: 5\n  oops: 1\n  hold_age: x\n"
        "log: {keep: none, level: info}\n"
    )
    assert [(each.line, each.column) for each in file.problems] == [
        (1, "tls.enabled"),
        (5, "groups.111.rtu.t1"),
        (7, "groups.111.rtu"),
        (10, "defaults.oops"),
        (11, "defaults.hold_age"),
        (12, "log.keep"),
    ]
    assert file.defaults.settings["stop_delay"].value == 5
    assert file.groups[111].settings["rtu.k"].value == 4
    assert str(file.problems[1]) == "s.yaml:5: error: groups.111.rtu.t1 '300': is not in 1-255"


def test_legs() -> None:
    """Parameters per connection: numbers in range, or null for the row's."""
    file = parse("defaults:\n  rtu: {k: 4, w: 2, t0: 5, t1: 15, t2: 0.5, t3: ~}\n  masters:\n")
    (problem,) = file.problems
    assert (problem.column, problem.value) == ("defaults.rtu.t2", "0.5")
    values = {key: each.value for key, each in file.defaults.settings.items()}
    assert values == {"rtu.k": 4, "rtu.w": 2, "rtu.t0": 5, "rtu.t1": 15, "rtu.t3": None}


@pytest.mark.parametrize(
    ("text", "column", "reason"),
    [
        ("{frames: 0}", ".frames", "not in 1-100000000"),
        ("{octets: 65535}", ".octets", "not in 65536-1099511627776"),
        ("{octets: 64 MiB}", ".octets", "no unit"),
        ("{frames: 1.5}", ".frames", "whole number"),
        ("{frames: ~}", ".frames", "has no value"),
        ("{age: 1}", ".age", "known here: frames, octets"),
    ],
)
def test_wrongHoldMax(text: str, column: str, reason: str) -> None:
    """The bounds of the journal are whole numbers in range, under their two names."""
    said = complaintOf(f"groups:\n  1:\n    hold_max: {text}\n")
    assert said[:2] == (3, f"groups.1.hold_max{column}") and reason in said[2]


def test_services() -> None:
    """Sections for services of later versions are checked, and named as not built."""
    file = parse("ntp: {enabled: false, timeout: 0.5}\nmanhole:\nconsole: {listen: '::1'}\n")
    assert file.problems == ()
    assert file.notBuilt == ("console",)
    assert complaintOf("console: {port: 0}\n")[1] == "console.port"


def test_ntp() -> None:
    """The bounds of the time service, and their ranges."""
    file = parse("ntp: {max_offset: 0, max_round_trip: 2.5, fight: true}\n")
    ntp = file.settings.ntp
    assert (ntp.maxOffset, ntp.maxRoundTrip, ntp.fight) == (0, 2.5, True) and not file.problems
    for wrong in ("max_offset: -1", "max_round_trip: 0", "max_round_trip: 61", "fight: 1"):
        assert complaintOf(f"ntp: {{{wrong}}}\n")[1] == "ntp." + wrong.partition(":")[0]


def test_tlsIsNotPretended() -> None:
    """Encryption that would not take place is an error, its other keys are not."""
    assert "would not be encrypted" in complaintOf("tls: {enabled: true}\n")[2]
    file = parse("tls: {enabled: false, key: a.pem}\n")
    assert file.problems == () and file.notBuilt == ("tls",)


def test_paths() -> None:
    """Relative paths, and the defaults, count from the base; absolute ones stay."""
    base = Path(BASE)
    assert noServiceFile(BASE).log.directory == base / "log"
    file = parse("log: {directory: a/b, level: error}\ntls: {key: /k.pem, certificate: ~}\n")
    assert (file.log.directory, file.log.level) == (base / "a/b", LogLevel.ERROR)
    assert (file.settings.tls.key, file.settings.tls.certificate) == (Path("/k.pem"), None)
    assert file.settings.stateDirectory == base / "state"
    assert file.settings.journalDirectory == base / "state/journal"
    settings = parse("state_directory: /var/lib/mm2ss\n").settings
    assert settings.journalDirectory == Path("/var/lib/mm2ss/journal")


@pytest.mark.parametrize("text", ["", "''", "' '", "5", "true", "on", "1.5", "[a]", '"a\\nb"'])
def test_wrongPaths(text: str) -> None:
    """A path is text, and what YAML would not read as text needs quotes."""
    assert complaintOf(f"log: {{directory: {text}}}\n")[1] == "log.directory"


def test_readServiceFile(tmp_path: Path) -> None:
    """The file's own path counts from the base; one that cannot be read is a problem."""
    (tmp_path / "s.yaml").write_text("log: {keep: 3}\n", "utf-8")
    assert readServiceFile("s.yaml", tmp_path).log.keep == 3
    for path in ("none.yaml", ".", "a\0b"):
        file = readServiceFile(path, tmp_path)
        assert file.settings == noServiceFile(tmp_path).settings
        assert "cannot be read" in str(file.problems[0])


def test_size() -> None:
    """The file's size is bounded, and a file of that size is read in bounded time."""
    assert "larger" in parseServiceFile(b"#" * (MAX_FILE + 1), "s", BASE).problems[0].reason
    text = "groups:\n" + "".join(f"  {n}: {{rtu: {{k: 4, w: 2}}}}\n" for n in range(2000))
    started = time.perf_counter()
    file = parse(text)
    assert len(file.groups) == 2000 and not file.problems
    assert time.perf_counter() - started < 30


def test_schemaCoversTheModel() -> None:
    """Every group option of the model has its key, with the model's default."""
    items = {item.field: item for key, item in OPTIONS.items.items() if key not in LEGS}
    standard = GroupOptions()
    assert set(items) == {each.name for each in fields(GroupOptions)}
    for name, item in items.items():
        default = item.cls() if isinstance(item, Section) else item.default
        assert default == getattr(standard, name)
