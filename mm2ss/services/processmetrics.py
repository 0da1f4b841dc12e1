"""What Prometheus is told of the process and the services around the groups."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from prometheus_client import (
    CollectorRegistry,
    GCCollector,
    Metric,
    PlatformCollector,
    ProcessCollector,
)
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
)
from prometheus_client.registry import Collector

import twisted
from mm2ss import __version__
from mm2ss.iec104.core import CORE
from mm2ss.relay.snapshot import LATENCY_CLASSES, HistogramSnapshot, JournalFigures
from mm2ss.services.audit import AuditService
from mm2ss.services.eventlog import EventLogService
from mm2ss.services.exposition import cumulated
from mm2ss.services.looplag import LoopLag
from mm2ss.services.ntp import NO_PRIVILEGE, TRYING, NtpService, NtpSnapshot

#: How the clock's status is called in the metric.
NTP_STATUSES = ("updated", "no_privilege", "trying", "kept")

Families = Iterator[Metric]


@dataclass(frozen=True)
class Sources:
    """The services that have figures; None = there is no such service.

    :ivar startedAt: when the process was put together, in seconds since 1970.
    :ivar journal: gives the figures of the journal, or None while no group uses it.
    """

    startedAt: float
    audit: AuditService | None = None
    eventLog: EventLogService | None = None
    ntp: NtpService | None = None
    journal: Callable[[], JournalFigures | None] = lambda: None


def processRegistry(sources: Sources, groups: Callable[[], int], lag: LoopLag) -> CollectorRegistry:
    """All that is not a group's: ours, and what the library knows of process and Python.

    :param groups: gives how many groups there are.
    """
    registry = CollectorRegistry()
    registry.register(ServiceCollector(sources, groups, lag))
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    return registry


class ServiceCollector(Collector):
    """Makes the families anew for each scrape, from what the services show."""

    def __init__(self, sources: Sources, groups: Callable[[], int], lag: LoopLag) -> None:
        self._sources = sources
        self._groups = groups
        self._lag = lag

    def collect(self) -> Families:
        """The families of this moment."""
        sources = self._sources
        versions = {
            "version": __version__,
            "python": platform.python_version(),
            "core": CORE,
            "twisted": twisted.__version__,
        }
        yield InfoMetricFamily("mm2ss_build", "What runs.", value=versions)
        text = "When the service was started, in seconds since 1970."
        yield GaugeMetricFamily("mm2ss_start_time_seconds", text, value=sources.startedAt)
        yield GaugeMetricFamily("mm2ss_groups", "Groups.", value=self._groups())
        yield _histogram(
            "mm2ss_event_loop_lag_seconds",
            "Seconds that timers came too late, sampled twice a second.",
            self._lag.snapshot(),
        )
        if sources.audit is not None:
            yield from _audit(sources.audit)
        if sources.eventLog is not None:
            yield from _eventLog(sources.eventLog)
        if sources.ntp is not None:
            yield from _ntp(sources.ntp.snapshot())
        figures = sources.journal()
        if figures is not None:
            yield from _journal(figures)


def _histogram(name: str, text: str, figures: HistogramSnapshot) -> Metric:
    return HistogramMetricFamily(
        name, text, buckets=list(cumulated(figures)), sum_value=figures.total
    )


def _audit(audit: AuditService) -> Families:
    text = "1 while the audit trail cannot be written, or not be kept by the disk."
    yield GaugeMetricFamily("mm2ss_audit_troubled", text, value=audit.troubled)
    text = "Records of the audit trail that wait for its file."
    yield GaugeMetricFamily("mm2ss_audit_waiting_records", text, value=audit.waiting)
    text = "Records of the audit trail that were lost."
    yield CounterMetricFamily("mm2ss_audit_lost_records", text, value=audit.everLost)


def _eventLog(eventLog: EventLogService) -> Families:
    text = "Event logs that cannot be written now."
    yield GaugeMetricFamily("mm2ss_event_logs_troubled", text, value=eventLog.troubled)
    text = "Lines of event logs that were lost."
    yield CounterMetricFamily("mm2ss_event_log_lost_lines", text, value=eventLog.everLost)


def _statusOf(ntp: NtpSnapshot) -> str:
    if ntp.keeper:
        return "kept"
    return {NO_PRIVILEGE: "no_privilege", TRYING: "trying"}.get(ntp.status, "updated")


def _ntp(ntp: NtpSnapshot) -> Families:
    text = "How it stands with the system clock: 1 for what is, 0 for the others."
    statuses = GaugeMetricFamily("mm2ss_ntp_status", text, labels=("status",))
    for status in NTP_STATUSES:
        statuses.add_metric((status,), status == _statusOf(ntp))
    yield statuses
    for name, text, value in (
        ("offset_seconds", "Seconds that the clock was behind the last server.", ntp.offset),
        ("round_trip_seconds", "Seconds of the way to the last server and back.", ntp.delay),
        ("stratum", "Stratum of the last server.", ntp.stratum),
        (
            "updated_timestamp_seconds",
            "When the clock was last set, in seconds since 1970.",
            ntp.updatedAt,
        ),
    ):
        if value is not None:
            yield GaugeMetricFamily(f"mm2ss_ntp_{name}", text, value=value)
    yield CounterMetricFamily("mm2ss_ntp_steps", "Times that the clock was stepped.", ntp.steps)
    yield CounterMetricFamily("mm2ss_ntp_slews", "Times that the clock was slewed.", ntp.slews)


def _journal(journal: JournalFigures) -> Families:
    text = "1 while nothing can be written to the journal."
    yield GaugeMetricFamily("mm2ss_journal_full", text, value=bool(journal.full))
    yield GaugeMetricFamily("mm2ss_journal_files", "Files of the journal.", value=journal.files)
    text = "Bytes of the journal's files."
    yield GaugeMetricFamily("mm2ss_journal_size_bytes", text, value=journal.size)
    text = "Frames and damaged places that were set aside."
    yield GaugeMetricFamily("mm2ss_journal_set_aside", text, value=journal.setAside)
    text = "Frames copied forward, so that old files could be deleted."
    yield CounterMetricFamily("mm2ss_journal_carried_frames", text, value=journal.carried)
    text = "Commits that failed."
    yield CounterMetricFamily("mm2ss_journal_commit_failures", text, value=journal.failures)
    bounds = tuple(milliseconds / 1000 for milliseconds in LATENCY_CLASSES)
    total = journal.meanLatency * journal.commits
    yield _histogram(
        "mm2ss_journal_commit_seconds",
        "Seconds that a commit took, from taking what waited until it was on disk.",
        HistogramSnapshot(bounds, journal.latencies, total),
    )
