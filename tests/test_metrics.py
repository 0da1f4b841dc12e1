"""The page for Prometheus: right, complete, made in small pieces, and as its documents say."""

from __future__ import annotations

import gc
import json
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import pytest
import yaml
from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families
from twisted.internet.defer import Deferred, execute
from twisted.internet.protocol import ClientFactory, Protocol
from twisted.logger import ILogObserver, LogEvent, Logger, LogPublisher, formatEvent
from twisted.python.failure import Failure
from zope.interface import implementer

from mm2ss.config.service_settings import MetricsSettings
from mm2ss.iec104.apci import CloseCause
from mm2ss.relay.audit import Outcome
from mm2ss.relay.snapshot import GroupFigures, GroupSnapshot, JournalFigures
from mm2ss.services import metrics
from mm2ss.services.audit import AuditService
from mm2ss.services.eventlog import EventLogService
from mm2ss.services.groupmetrics import FAMILIES
from mm2ss.services.looplag import PERIOD, LoopLag
from mm2ss.services.metrics import PORT_RETRY, MetricsService
from mm2ss.services.ntp import KEPT, NO_PRIVILEGE, TRYING, NtpService, NtpSnapshot
from mm2ss.services.processmetrics import Sources
from tests.fakes import FakeReactor, FakeTransport
from tests.groups import World, event, request

ROOT = Path(__file__).parent.parent
PORT = 9104
JOURNAL = JournalFigures(
    frames=3,
    octets=60,
    size=4096,
    files=1,
    written=9,
    commits=4,
    failures=1,
    lastLatency=0.004,
    maxLatency=0.02,
    meanLatency=0.01,
    latencies=(0, 1, 0, 2, 1) + (0,) * 8,
    carried=2,
    setAside=0,
    full="",
)


class Groups:
    """Some groups, as the fleet shows them.

    :ivar asked: the numbers of the groups that were looked at.
    :ivar broken: looking at a group fails.
    """

    def __init__(self, *snapshots: GroupSnapshot) -> None:
        self.snapshots = {each.id: each for each in snapshots}
        self.asked: list[int] = []
        self.broken = False

    @property
    def numbers(self) -> list[int]:
        return list(self.snapshots)

    def snapshot(self, number: int) -> GroupSnapshot:
        self.asked.append(number)
        if self.broken:
            raise RuntimeError("broken")
        return self.snapshots[number]


class Ntp:
    """What the metrics see of the time service."""

    def __init__(self, state: NtpSnapshot) -> None:
        self.state = state

    def snapshot(self) -> NtpSnapshot:
        return self.state


@pytest.fixture(scope="module")
def busy() -> Iterator[GroupSnapshot]:
    """A group in which everything happened at least once."""
    with World(filter=(), maxMasters=2) as world:
        world.respond()
        master, leaving = world.master(), world.master()
        world.rtu.send(*(event(number) for number in range(3)))
        master.send(request(45, 100))
        world.run()
        world.master("192.0.2.9", start=False)  # refused: two of two are there
        leaving.leave()
        world.run()
        snapshot = world.group.snapshot()
        yield replace(
            snapshot,
            name='"North"\\1',
            journal=GroupFigures(5, 100, 7, 1, 2, ""),
            rtuCloses={"T1_I_FRAME": 2},
            rtuFailures={"REFUSED": 4},
        )


@pytest.fixture
def sources(tmp_path: Path) -> Sources:
    """All services that have figures; none of them is started."""
    reactor = FakeReactor()
    logs = str(tmp_path), 65536, 2, reactor, lambda: 1e9
    ntp = NtpSnapshot("Time updated at: now from x", "x", "192.0.2.1", 0.25, 0.01, 2, 5.0, 1e9)
    return Sources(
        1e9,
        AuditService(*logs, lambda call: execute(call)),
        EventLogService({1: "TEST"}, *logs),
        cast(NtpService, Ntp(ntp)),
        lambda: JOURNAL,
    )


class Browser(Protocol):
    """One HTTP connection."""

    def __init__(self) -> None:
        self.octets = b""
        self.lost = False

    def dataReceived(self, data: bytes) -> None:
        self.octets += data

    def connectionLost(self, reason: Failure | None = None) -> None:
        self.lost = True

    def ask(self, path: str = "/metrics", method: str = "GET") -> None:
        transport = cast(FakeTransport, self.transport)
        transport.write(f"{method} {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())

    @property
    def status(self) -> int:
        return int(self.octets.split(b" ", 2)[1])

    @property
    def head(self) -> str:
        return self.octets.partition(b"\r\n\r\n")[0].decode().lower()

    @property
    def body(self) -> str:
        return self.octets.partition(b"\r\n\r\n")[2].decode()


class _Browsers(ClientFactory):
    noisy = False
    protocol = Browser


@implementer(ILogObserver)
class Lines:
    """What a service says in twistd's log."""

    def __init__(self, service: MetricsService) -> None:
        self.texts: list[str] = []
        service._log = Logger("metrics", observer=LogPublisher(self))

    def __call__(self, noted: LogEvent) -> None:
        self.texts.append(formatEvent(noted))


class Served:
    """The service on a made-up network."""

    def __init__(self, groups: Groups, sources: Sources) -> None:
        self.reactor = FakeReactor()
        self.groups = groups
        self.service = MetricsService(groups, sources, MetricsSettings(enabled=True), self.reactor)
        self.lines = Lines(self.service)
        self.service.startService()

    def browser(self) -> Browser:
        """A new connection."""
        connector = self.reactor.connectTCP("127.0.0.1", PORT, _Browsers())
        self.reactor.run(0.01)
        assert connector.transport is not None and connector.transport.protocol is not None
        return cast(Browser, connector.transport.protocol)

    def get(self, path: str = "/metrics", method: str = "GET") -> Browser:
        """A whole request."""
        browser = self.browser()
        browser.ask(path, method)
        self.reactor.run(0.1)
        return browser

    def stop(self) -> None:
        """Stop, and see that nothing is left."""
        done: list[object] = []
        stopping: Deferred[Any] = self.service.stopService()
        stopping.addBoth(done.append)
        self.reactor.run(0.1)
        assert len(done) == 1 and not isinstance(done[0], Failure)
        assert self.reactor.getDelayedCalls() == []
        assert not self.reactor.listening(PORT, "127.0.0.1")


@pytest.fixture
def served(busy: GroupSnapshot, sources: Sources) -> Iterator[Served]:
    """The service with one group."""
    served = Served(Groups(busy), sources)
    yield served
    served.stop()


def parse(text: str) -> dict[str, Metric]:
    """The metrics of a page, by the names in their TYPE lines."""
    families = {}
    for family in text_string_to_metric_families(text):
        name = family.name + ("_total" if family.type == "counter" else "")
        assert name not in families, f"{name} stands in two places"
        families[name] = family
    return families


def values(family: Metric) -> dict[tuple[str, ...], float]:
    """The samples of a metric: the labels' values beside group and name, and the number."""
    found = {}
    for sample in family.samples:
        labels = sample.labels
        key = tuple(
            value for label, value in sorted(labels.items()) if label not in ("group", "name")
        )
        assert (sample.name, key) not in found, "no two samples have the same labels"
        found[sample.name, key] = sample.value
    return {key: value for (_, key), value in found.items()}


# -- what the page says ---------------------------------------------------------------------


def test_pageIsWhatTheGroupShows(served: Served, busy: GroupSnapshot) -> None:
    """Prometheus' own parser reads the figures of the snapshot, under their labels."""
    page = parse(served.get().body)
    assert values(page["mm2ss_rtu_up"]) == values(page["mm2ss_rtu_started"]) == {(): 1}
    assert values(page["mm2ss_masters_connected"]) == {(): 1}
    links = busy.links
    assert values(page["mm2ss_link_frames_total"]) == {
        ("received", "rtu"): links.rtu.framesIn,
        ("sent", "rtu"): links.rtu.framesOut,
        ("received", "masters"): links.masters.framesIn,
        ("sent", "masters"): links.masters.framesOut,
    }
    assert values(page["mm2ss_events_received_total"]) == {(): 3}
    assert values(page["mm2ss_masters_refused_total"]) == {("MAX_MASTERS",): 1}
    closes = values(page["mm2ss_link_closes_total"])
    assert closes == {("T1_I_FRAME", "rtu"): 2, ("PEER_CLOSED", "masters"): 1}
    assert values(page["mm2ss_commands_total"])[("terminated",)] == 1
    assert values(page["mm2ss_master_connections"]) == {("192.0.2.1",): 1, ("192.0.2.2",): 0}
    assert values(page["mm2ss_master_bytes_total"])["received", "192.0.2.1"] > 0
    assert values(page["mm2ss_journal_held_frames"]) == {(): 5}
    sample = page["mm2ss_rtu_up"].samples[0]
    assert sample.labels == {"group": "1", "name": '"North"\\1'}


def test_histogramsAreCumulative(served: Served, busy: GroupSnapshot) -> None:
    """The buckets of a histogram rise up to its count, and its sum is the sum."""
    page = parse(served.get().body)
    family = page["mm2ss_delivery_delay_seconds"]
    buckets = [each.value for each in family.samples if each.name.endswith("_bucket")]
    assert buckets == sorted(buckets)
    others = {each.name: each.value for each in family.samples if "_bucket" not in each.name}
    assert others["mm2ss_delivery_delay_seconds_count"] == buckets[-1] == sum(busy.waits.counts)
    assert buckets[-1] > 0
    commits = page["mm2ss_journal_commit_seconds"].samples
    assert [each.value for each in commits if each.labels.get("le") == "0.01"] == [3]
    assert [each.value for each in commits if each.name.endswith("_count")] == [JOURNAL.commits]
    assert [each.value for each in commits if each.name.endswith("_sum")] == [0.04]


def test_groupWithoutJournal(busy: GroupSnapshot, sources: Sources) -> None:
    """What a group, or the process, does not have is not made up."""
    served = Served(Groups(replace(busy, journal=None)), Sources(1e9))
    page = parse(served.get().body)
    assert page["mm2ss_journal_held_frames"].samples == []
    assert "mm2ss_ntp_status" not in page and "mm2ss_journal_full" not in page
    served.stop()


@pytest.mark.parametrize(
    ("state", "status"),
    [
        (NtpSnapshot("Time updated at: 2026-01-01 from x"), "updated"),
        (NtpSnapshot(NO_PRIVILEGE), "no_privilege"),
        (NtpSnapshot(TRYING), "trying"),
        (NtpSnapshot(KEPT.format(keeper="chronyd"), keeper="chronyd"), "kept"),
    ],
)
def test_clockStatus(busy: GroupSnapshot, state: NtpSnapshot, status: str) -> None:
    """Exactly one status of the clock is 1; what is not known yet is left out."""
    served = Served(Groups(busy), Sources(1e9, ntp=cast(NtpService, Ntp(state))))
    page = parse(served.get().body)
    shown = values(page["mm2ss_ntp_status"])
    assert [key for key, value in shown.items() if value] == [(status,)] and len(shown) == 4
    assert "mm2ss_ntp_offset_seconds" not in page
    served.stop()


def test_namesFollowTheCustoms(served: Served) -> None:
    """Prefix, units and _total as Prometheus wants them; each metric has its meaning."""
    text = served.get().body
    for name, family in parse(text).items():
        assert family.documentation, name
        if not name.startswith("mm2ss_"):
            assert name.startswith(("process_", "python_")), name
            continue
        assert re.fullmatch(r"[a-z0-9_]+", name), name
        assert name.endswith("_total") == (family.type == "counter"), name
        if family.type == "histogram":
            assert name.endswith("_seconds"), name
        assert "octet" not in name and "milli" not in name, name
    help_ = [line.split()[2] for line in text.splitlines() if line.startswith("# HELP")]
    assert len(help_) == len(set(help_)), "the lines of one metric stand together"


def test_loopLag() -> None:
    """What comes too late counts with its lateness, what comes in time with 0."""
    clock = FakeReactor()
    lag = LoopLag(clock)
    lag.startService()
    clock.run(2 * PERIOD)
    clock.advance(PERIOD + 0.3)  # as if the process had been busy for so long
    lag.stopService()
    figures = lag.snapshot()
    assert sum(figures.counts) == 3 and figures.counts[0] == 2
    assert abs(figures.total - 0.3) < 1e-9
    assert clock.getDelayedCalls() == []


# -- HTTP -----------------------------------------------------------------------------------


def test_get(served: Served) -> None:
    """The page has Prometheus' type and its length, and the connection stays for the next one."""
    browser = served.get()
    assert browser.status == 200
    assert "content-type: text/plain; version=0.0.4; charset=utf-8" in browser.head
    assert f"content-length: {len(browser.body.encode())}" in browser.head
    browser.octets = b""
    browser.ask()
    served.reactor.run(0.1)
    assert browser.status == 200 and browser.body.endswith("\n") and not browser.lost


def test_head(served: Served) -> None:
    """HEAD gives the type and makes no page."""
    browser = served.get(method="HEAD")
    assert browser.status == 200 and browser.body == ""
    assert "content-type: text/plain" in browser.head
    assert served.groups.asked == []


@pytest.mark.parametrize("path", ["/", "/metrics/", "/metrics/x", "/console", "/../etc/passwd"])
def test_otherPaths(served: Served, path: str) -> None:
    """There is nothing else on the port."""
    browser = served.get(path)
    assert browser.status == 404 and "mm2ss_" not in browser.body


def test_post(served: Served) -> None:
    """Nothing can be changed."""
    assert served.get(method="POST").status == 405


def test_scrapeIsNotLogged(served: Served) -> None:
    """A scrape each few seconds for years leaves no line; the start says where the page is."""
    served.get()
    assert served.lines.texts == ["Metrics are at http://127.0.0.1:9104/metrics"]


def test_manyGroupsInSmallPieces(busy: GroupSnapshot, sources: Sources) -> None:
    """A page of many groups lets others have their turn, and holds each group once."""
    count = 4 * metrics.GROUPS_PER_TURN + 1
    served = Served(Groups(*(replace(busy, id=n) for n in range(count))), sources)
    browser = served.browser()
    turns: list[int] = []

    def other() -> None:
        turns.append(len(served.groups.asked))
        if turns[-1] < count:
            assert len(turns) < count, "the page is not made"
            served.reactor.callLater(0, other)

    browser.ask()
    served.reactor.callLater(0.001, other)  # when the request has arrived
    served.reactor.run(0.1)
    steps = [later - earlier for earlier, later in pairwise(turns)]
    assert max(steps) <= metrics.GROUPS_PER_TURN and len(set(turns)) >= 5
    up = parse(browser.body)["mm2ss_rtu_up"].samples
    assert [sample.labels["group"] for sample in up] == [str(n) for n in range(count)]
    served.stop()


def test_groupThatGoesAway(busy: GroupSnapshot, sources: Sources) -> None:
    """A group that a reload removes while the page is made is left out."""
    served = Served(Groups(busy, replace(busy, id=2)), sources)
    browser = served.browser()
    browser.ask()
    del served.groups.snapshots[1]
    served.reactor.run(0.1)
    assert "group=" in browser.body and 'group="1"' not in browser.body
    served.stop()


def test_scrapesAtTheSameTimeShareAPage(served: Served) -> None:
    """Who asks while a page is made gets that one; who comes later gets a new one."""
    browsers = [served.browser() for _ in range(3)]
    for browser in browsers:
        browser.ask()
    served.reactor.run(0.1)
    assert len({browser.body for browser in browsers}) == 1 and browsers[0].status == 200
    assert served.groups.asked == [1]
    served.get()
    assert served.groups.asked == [1, 1]


def test_connectionsAreBounded(served: Served) -> None:
    """Connections at a time are bounded: the next one is closed."""
    kept = [served.browser() for _ in range(metrics.CONNECTIONS_MAX)]
    served.reactor.run(1)
    assert not any(browser.lost for browser in kept)
    assert served.browser().lost
    kept[0].transport.loseConnection()  # type: ignore[union-attr]  # it is connected
    served.reactor.run(1)
    assert served.get().status == 200


def test_idleConnectionIsClosed(served: Served) -> None:
    """A connection on which nothing is asked ends by itself."""
    browser = served.browser()
    served.reactor.run(metrics.IDLE_TIME + 20)
    assert browser.lost


def test_clientThatGoesAway(served: Served) -> None:
    """Who hangs up while the page is made disturbs nobody."""
    gone, staying = served.browser(), served.browser()
    gone.ask()
    staying.ask()
    served.reactor.run(0.001)
    cast(FakeTransport, gone.transport).abortConnection()
    served.reactor.run(0.1)
    assert gone.lost and staying.status == 200


def test_stopWhileAPageIsMade(busy: GroupSnapshot, sources: Sources) -> None:
    """The service stops cleanly in the middle of a page, and starts again."""
    served = Served(Groups(*(replace(busy, id=n) for n in range(200))), sources)
    browser = served.browser()
    browser.ask()
    served.service._resource._clock.callLater(0.001, served.service.stopService)
    served.reactor.run(1)
    assert browser.lost and served.reactor.getDelayedCalls() == []
    served.service.startService()
    assert served.get().status == 200
    served.stop()


def test_failureIsLoggedAndAnswered(served: Served, loggedFailures: list[LogEvent]) -> None:
    """A fault of ours is status 500 and a traceback in the log; the next scrape is tried anew."""
    served.groups.broken = True
    browser = served.get()
    assert browser.status == 500 and "cannot be made" in browser.body
    assert [str(each["log_failure"].value) for each in loggedFailures] == ["broken"]
    loggedFailures.clear()
    gc.collect()
    served.groups.broken = False
    assert served.get().status == 200


def test_busyPort(busy: GroupSnapshot, sources: Sources) -> None:
    """A port that another instance has is said once, clearly, and taken when it is free."""
    served = Served(Groups(busy), sources)
    other = MetricsService(served.groups, sources, MetricsSettings(enabled=True), served.reactor)
    lines = Lines(other).texts
    other.startService()
    served.reactor.run(3 * PORT_RETRY)
    assert len(lines) == 1
    assert "port 9104 on 127.0.0.1 cannot be used: address already in use" in lines[0]
    assert "Each instance needs a metrics.port of its own" in lines[0]
    served.service.stopService()
    served.reactor.run(PORT_RETRY)
    assert lines[1:] == ["Metrics are at http://127.0.0.1:9104/metrics"]
    assert served.get().status == 200
    served.service = other
    served.stop()


def test_stopWhileThePortIsBusy(busy: GroupSnapshot, sources: Sources) -> None:
    """A service that never got its port stops at once."""
    served = Served(Groups(busy), sources)
    other = MetricsService(served.groups, sources, MetricsSettings(), served.reactor)
    Lines(other)
    other.startService()
    other.stopService()
    served.stop()


# -- what the documents and samples say --------------------------------------------------------


@pytest.fixture
def names(served: Served) -> dict[str, Metric]:
    """The real output, in which everything occurs."""
    page = parse(served.get().body)
    missing = {family.name for family in FAMILIES if not page[family.name].samples}
    assert missing == set(), "the made-up world shows every metric"
    return page


def exposed(page: dict[str, Metric]) -> set[str]:
    """The names that may stand in an expression."""
    return {sample.name for family in page.values() for sample in family.samples}


def test_tableIsComplete(names: dict[str, Metric]) -> None:
    """docs/metrics.md lists each metric with its kind and labels, and none that does not exist."""
    text = (ROOT / "docs" / "metrics.md").read_text()
    rows = re.findall(r"^\| `(mm2ss_\w+)` \| (\w+) \| ([^|]*)\| ([^|]+) \|$", text, re.MULTILINE)
    ours = {name: family for name, family in names.items() if name.startswith("mm2ss_")}
    assert [name for name, *_ in rows] == [*sorted_(rows, ours)]
    for name, kind, labels, _ in rows:
        family = ours[name]
        assert kind == family.type, name
        shown = {label for sample in family.samples for label in sample.labels}
        assert set(re.findall(r"`(\w+)`", labels)) == shown - {"group", "name", "le"}, name


def sorted_(rows: Sequence[tuple[str, ...]], ours: dict[str, Metric]) -> list[str]:
    """The metrics that there are, in the order of the table; what it lacks comes last."""
    listed = [name for name, *_ in rows if name in ours]
    return [*listed, *(name for name in ours if name not in listed)]


def rules() -> list[dict[str, Any]]:
    """The alert rules."""
    loaded = yaml.safe_load((ROOT / "etc/prometheus/mm2ss-rules.yml").read_text())
    return [rule for group in loaded["groups"] for rule in group["rules"]]


def dashboard() -> dict[str, Any]:
    """The Grafana dashboard."""
    loaded: dict[str, Any] = json.loads((ROOT / "etc/grafana/mm2ss.json").read_text())
    return loaded


def expressions() -> list[str]:
    """All expressions of the alert rules and of the dashboard."""
    shown = [
        target["expr"] for panel in dashboard()["panels"] for target in panel.get("targets", [])
    ]
    variables = [each["definition"] for each in dashboard()["templating"]["list"][1:]]
    assert len(shown) > 30 and len(variables) == 2
    return [*(rule["expr"] for rule in rules()), *shown, *variables]


def test_expressionsNameWhatThereIs(names: dict[str, Metric]) -> None:
    """Each metric and each label in an alert or a panel exists in the real output."""
    known = exposed(names)
    labels = {
        label for each in names.values() for sample in each.samples for label in sample.labels
    }
    found = set()
    for expression in expressions():
        for name in re.findall(r"\b(?:mm2ss|process|python)_\w+", expression):
            assert name in known, f"{name} in {expression}"
            found.add(name)
        for inner in re.findall(r"\{([^}]*)\}", expression):
            for label in re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", inner):
                assert label in labels | {"instance", "job"}, f"{label} in {expression}"
    assert len(found) > 25


def test_expressionsNameRealCausesAndResults(names: dict[str, Metric]) -> None:
    """Causes, results and statuses in the alerts are those of the program."""
    possible = {
        "cause": {cause.name for cause in CloseCause},
        "result": {outcome.value for outcome in Outcome},
        "status": {sample.labels["status"] for sample in names["mm2ss_ntp_status"].samples},
    }
    count = 0
    for rule in rules():
        for label, words in re.findall(
            r"(cause|result|status)\s*[=!]~\s*\"([^\"]*)\"", rule["expr"]
        ):
            assert set(words.split("|")) <= possible[label], rule["alert"]
            count += 1
    assert count >= 3


def test_alertsSayWhatToDo() -> None:
    """Each alert has a name of its own, a severity and a summary."""
    names = [rule["alert"] for rule in rules()]
    assert len(set(names)) == len(names) >= 15
    for rule in rules():
        assert rule["labels"]["severity"] in ("page", "ticket"), rule["alert"]
        assert rule["annotations"]["summary"], rule["alert"]


def test_dashboardFitsTogether() -> None:
    """Panels have numbers of their own and do not overlap."""
    panels = dashboard()["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    cells = [
        (x, y)
        for place in (panel["gridPos"] for panel in panels)
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(cells) == len(set(cells)) and max(x for x, _ in cells) < 24


@pytest.mark.parametrize("what", ["rules mm2ss-rules.yml", "config prometheus.yml"])
def test_promtoolAccepts(what: str) -> None:
    """Prometheus' own tool finds nothing wrong with the samples."""
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed")
    command = [promtool, "check", *what.split()]
    result = subprocess.run(
        command, cwd=ROOT / "etc/prometheus", capture_output=True, text=True, timeout=60
    )
    assert result.returncode == 0, result.stdout + result.stderr


def test_promtoolFindsThePageClean(served: Served) -> None:
    """Prometheus' own tool reads the page and finds nothing to complain of in our metrics."""
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed")
    result = subprocess.run(
        [promtool, "check", "metrics"],
        input=served.get().body,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert [line for line in result.stderr.splitlines() if "mm2ss_" in line] == []
