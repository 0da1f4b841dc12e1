"""The composition root: the command line, and the services that it makes.

Here the parts meet: the configuration becomes one `GroupService` per row, beside them the event
logs, the audit trail, the journal and the clock, all under the one service that twistd runs.
"""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from twisted.application.service import IService, MultiService
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger, LogLevel
from twisted.python import usage

from mm2ss import __version__
from mm2ss.config.check import exitStatus, report
from mm2ss.config.groups_csv import GroupsFile
from mm2ss.config.load import Configuration, loadConfiguration
from mm2ss.config.model import GroupConfig
from mm2ss.config.problems import Problem, Severity
from mm2ss.config.service_settings import NTP_INTERVAL, TraceSettings
from mm2ss.config.shard import parseShard
from mm2ss.config.worst_case import shortage
from mm2ss.iec104.core import CORE
from mm2ss.iec104.loop import Loop
from mm2ss.relay.audit import Audit
from mm2ss.relay.fleet import Fleet
from mm2ss.relay.group import GroupService
from mm2ss.relay.journal import JournalError, JournalService
from mm2ss.relay.journalneighbours import Neighbours
from mm2ss.relay.pacing import Pacer
from mm2ss.relay.safecopies import SafeCopies, keyOf
from mm2ss.relay.snapshot import Changes
from mm2ss.relay.trace import Traces
from mm2ss.services.audit import FILE_NAME, AuditService
from mm2ss.services.descriptors import allowed, takeAll
from mm2ss.services.eventlog import EventLogService
from mm2ss.services.memory import MemoryService
from mm2ss.services.metrics import MetricsService
from mm2ss.services.ntp import NtpService
from mm2ss.services.processmetrics import Sources
from mm2ss.services.reload import CannotApply, ReloadService
from mm2ss.services.stopsignals import StopSignals
from mm2ss.services.systemclock import systemClock
from mm2ss.services.systemd import SystemdService, takeSupervisor
from mm2ss.services.tracefiles import TraceFiles
from mm2ss.services.turns import orderTurns


class Options(usage.Options):
    """The command line behind ``twistd mm2ss``."""

    longdesc = (
        "Many IEC 60870-5-104 masters share one RTU. Each row of the CSV file is a group: one RTU,"
        " and a port for its masters. MIND WHERE -n STANDS: 'twistd -n mm2ss' MEANS FOREGROUND,"
        " 'twistd mm2ss -n' MEANS NO CONSOLE (and goes to the background)."
    )

    optParameters = (
        (
            "ini",
            "i",
            "iec104mm2ss.csv",
            "The groups: a CSV file. Relative paths count from where the command was started.",
        ),
        ("config", None, None, "The service file (YAML): what the CSV has no place for."),
        (
            "ntp_update_every_sec",
            "t",
            None,
            "Seconds between two NTP updates; goes before the file's.",
            int,
        ),
        (
            "shard",
            None,
            None,
            "I/N, as in 2/4: run the second part of the groups, of four. Each of the four processes"
            " is started with the same files.",
            parseShard,
        ),
    )
    optFlags = (
        ("nogui", "n", "No console. (It is not built yet: there is none.)"),
        ("service", "c", "For the Windows service host only. (It is not built yet.)"),
        (
            "check",
            None,
            "Read everything, print what would run and every problem, touch no network, and exit"
            " with status 0 if nothing is wrong.",
        ),
        ("demo", None, "Run with a built-in RTU and without any file."),
    )
    compData = usage.Completions(
        optActions={
            "ini": usage.CompleteFiles("*.csv", descr="groups"),
            "config": usage.CompleteFiles("*.yaml", descr="service file"),
        }
    )

    def __init__(self) -> None:
        usage.Options.__init__(self)
        self["ntp_server"] = []
        #: From where relative paths count, also at a reload: twistd changes its folder.
        self._base = os.getcwd()

    def opt_ntp_server(self, server: str) -> None:
        """An NTP server, tried after the file's; repeatable."""
        self["ntp_server"].append(server)

    opt_s = opt_ntp_server
    opt_h = usage.Options.opt_help

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        """Parse the command line. (usage by itself takes ``--ntp-server`` only.)"""
        words = sys.argv[1:] if options is None else options
        words = [re.sub("^--ntp_server(?==|$)", "--ntp-server", word) for word in words]
        usage.Options.parseOptions(self, words)

    def postOptions(self) -> None:
        """Do what needs no service: refuse what cannot be, and ``--check``."""
        if self["service"]:
            raise SystemExit("mm2ss: -c/--service is for the Windows service host, not for twistd")
        interval = self["ntp_update_every_sec"]
        if interval is not None and interval < 1:
            raise usage.UsageError(f"-t/--ntp_update_every_sec is {interval}, not 1 or more")
        if self["check"]:
            configuration = self.load()
            print(report(configuration, allowed()), end="")
            raise SystemExit(exitStatus(configuration))

    def load(self) -> Configuration:
        """Read both files; what is wrong stands in the result."""
        return loadConfiguration(
            self["ini"], self["config"], self._base, self._amend, self["shard"]
        )

    def _amend(self, groups: GroupsFile) -> GroupsFile:
        """The settings of the groups file, with what the command line adds or changes."""
        interval = self["ntp_update_every_sec"]
        return replace(
            groups,
            nogui=groups.nogui or bool(self["nogui"]),
            ntpServers=(*groups.ntpServers, *self["ntp_server"]),
            ntpInterval=groups.ntpInterval if interval is None else interval,
        )


def makeService(options: Options) -> IService:
    """Make what twistd runs; reads the files, opens nothing.

    :raises SystemExit: with one clear line when there is nothing that can run.
    """
    from twisted.internet import reactor

    # Every timer of the program is monotonic: Twisted's reactors schedule by the wall clock, and
    # a clock that is stepped by an hour would freeze all timers or fire them at once.
    setattr(reactor, "seconds", time.monotonic)  # noqa: B010  # mypy forbids to assign a method
    loop = Loop(reactor, orderTurns(reactor))
    return _demo(reactor, loop) if options["demo"] else _relay(options, reactor, loop)


def _demo(reactor: Any, loop: Loop) -> IService:
    from mm2ss.simulator import demoGroups, demoRtu  # not loaded where RTUs are real

    fleet = Fleet(demoGroups(), partial(GroupService, reactor=reactor, loop=loop))
    service = RelayService(fleet, loop)
    service.addBeside(demoRtu(reactor))
    return service


def _runnable(options: Options) -> Configuration:
    """What the files say; ends the program when that cannot run."""
    configuration = options.load()
    problems = configuration.problems
    if not configuration.runnable:
        *others, last = problems
        for problem in others:
            print(problem, file=sys.stderr)
        raise SystemExit(f"mm2ss cannot run: {last}")
    if problems:
        print(f"mm2ss: {len(problems)} problems in the files; --check lists them", file=sys.stderr)
    return configuration


def _relay(options: Options, reactor: Any, loop: Loop) -> IService:
    configuration = _runnable(options)
    settings, log = configuration.serviceFile.settings, configuration.serviceFile.log
    logs = str(log.directory), log.rotateSize, log.keep, reactor, time.time
    inThread = partial(deferToThreadPool, reactor, reactor.getThreadPool())
    trail = configuration.own(Path(FILE_NAME)).name
    audit = AuditService(*logs, inThread, name=trail)
    eventLog = EventLogService({}, *logs, level=log.level)
    neighbours = _neighbours(configuration)
    folder = str(configuration.journalDirectory)
    copies = SafeCopies(partial(JournalService, folder, reactor, time.time, neighbours=neighbours))
    traceFiles = _traceFiles(settings.trace, reactor)
    traces = Traces(reactor.seconds, time.time, traceFiles)
    maker = GroupMaker(reactor, loop, audit, eventLog, copies, traces)
    fleet = Fleet(configuration.groups, maker.make, maker.release)
    why = (neighbours.problem() if copies.needed else "") or fleet.portProblem()
    if why:
        raise SystemExit(f"mm2ss cannot run: {why}")
    scarce = shortage(configuration.groups, allowed())
    service = RelayService(fleet, loop, configuration.problems, scarce)
    service.addBeside(StopSignals(reactor))
    memory = MemoryService(reactor)
    service.addBeside(memory)
    apply = partial(_apply, fleet, copies, memory)
    reload = ReloadService(configuration, options.load, apply, reactor, inThread)
    _addSupervisor(service, fleet, reload, reactor)
    for each in (reload, eventLog, audit, traceFiles, copies):
        service.addBeside(each)
    clock = _clockKeeper(configuration, reactor)
    if clock is not None:
        service.addBeside(clock)
    if settings.metrics.enabled:
        sources = Sources(time.time(), audit, eventLog, clock, copies.figures)
        service.addBeside(MetricsService(fleet, sources, settings.metrics, reactor))
    if settings.manhole.enabled:
        service.addBeside(_manhole(configuration, fleet, clock, copies, reactor))
    return service


def _neighbours(configuration: Configuration) -> Neighbours:
    """The journals of the other processes, if the groups are shared out to several."""
    keys = map(keyOf, configuration.others)
    others = [key for key in keys if key is not None]
    return Neighbours(str(configuration.journalDirectory), str(configuration.shard or ""), others)


def _addSupervisor(
    service: RelayService, fleet: Fleet, reload: ReloadService, reactor: Any
) -> None:
    """Tell systemd how things stand, if it watches over us."""
    supervisor = takeSupervisor(os.environ)
    if supervisor is not None:
        systemd = SystemdService(supervisor, fleet.standings, reactor)
        reload.begun, reload.ended = systemd.reloading, systemd.reloaded
        service.addBeside(systemd)


def _clockKeeper(configuration: Configuration, reactor: Any) -> NtpService | None:
    """What keeps the system clock, if there are time servers."""
    ntp = configuration.serviceFile.settings.ntp
    servers = configuration.groupsFile.ntpServers
    if not servers or not ntp.enabled:
        return None
    interval = configuration.groupsFile.ntpInterval or NTP_INTERVAL
    return NtpService(servers, interval, ntp, reactor, systemClock())


def _manhole(
    configuration: Configuration,
    fleet: Fleet,
    clock: NtpService | None,
    copies: SafeCopies,
    reactor: Any,
) -> IService:
    """The shell; its half a second of imports is only for those who want it."""
    from mm2ss.services.inspection import Inspected
    from mm2ss.services.manhole import ManholeService

    status = (lambda: clock.status) if clock is not None else None
    inspected = Inspected(fleet, reactor.seconds, status, copies.figures)
    settings = configuration.serviceFile.settings
    folder = str(configuration.own(settings.manholeDirectory))
    return ManholeService(settings.manhole, folder, inspected, reactor)


def _traceFiles(settings: TraceSettings, reactor: Any) -> TraceFiles:
    """Where the groups' traces are written."""
    inThread = partial(deferToThreadPool, reactor, reactor.getThreadPool())
    folder = str(settings.directory)
    return TraceFiles(folder, settings.keep, settings.enabled, time.time, inThread)


def _apply(
    fleet: Fleet, copies: SafeCopies, memory: MemoryService, wanted: Configuration
) -> Deferred[Changes]:
    """Make the groups those of a configuration."""
    try:
        copies.prepare(wanted.groups)
    except JournalError as error:
        raise CannotApply(str(error)) from error

    def applied(changes: Changes) -> Changes:
        if changes.changed or changes.added or changes.removed:
            memory.settleSoon()
        return changes

    return fleet.apply(wanted.groups).addCallback(applied)


class GroupMaker:
    """Makes groups, and gives each its part of the services beside them.

    :param loop: what all their connections share.
    :param copies: the groups' parts of the journal.
    """

    def __init__(
        self,
        reactor: Any,
        loop: Loop,
        audit: Audit,
        eventLog: EventLogService,
        copies: SafeCopies,
        traces: Traces,
    ) -> None:
        self._reactor = reactor
        self._audit = audit
        self._eventLog = eventLog
        self._copies = copies
        self._traces = traces
        self._pacer = Pacer(reactor)
        self._loop = loop

    def make(self, config: GroupConfig) -> GroupService:
        """A group, which is not started."""
        if config.logEvents:
            self._eventLog.open(config.id, config.name)
        return GroupService(
            config,
            self._reactor,
            audit=self._audit,
            wallTime=time.time,
            journal=self._copies.open(config),
            trace=self._traces.of(config.id, config.name),
            pacer=self._pacer,
            loop=self._loop,
        )

    def release(self, old: GroupConfig, new: GroupConfig | None) -> Deferred[None]:
        """Take back what a group that has stopped was given, but for what its successor needs."""
        if new is None or not new.logEvents or new.name != old.name:
            self._eventLog.close(old.id)
        return self._copies.release(old, new)


class RelayService(MultiService):
    """All groups, and what stands beside them: that starts before them and stops after them.

    :param fleet: what is to run.
    :param loop: what all its connections share.
    :param problems: what was wrong in the files; said in the log at the start.
    :param scarce: what the system does not allow that may be needed, likewise; empty = nothing.
    """

    _log = Logger()

    def __init__(
        self, fleet: Fleet, loop: Loop, problems: Sequence[Problem] = (), scarce: str = ""
    ) -> None:
        MultiService.__init__(self)
        self._problems = problems
        self._scarce = scarce
        self._beside = MultiService()
        self._beside.setServiceParent(self)
        self._fleet = fleet
        self._loop = loop
        IService(fleet).setServiceParent(self)

    def addBeside(self, service: IService) -> None:
        """Add a service that the groups need around them."""
        service.setServiceParent(self._beside)

    def startService(self) -> None:
        """Say what runs, then start it."""
        count = len(self._fleet.numbers)
        text = "mm2ss {version}: {count} groups, {core} core"
        self._log.info(text, version=__version__, count=count, core=CORE)
        for problem in self._problems:
            level = LogLevel.error if problem.severity is Severity.ERROR else LogLevel.warn
            self._log.emit(level, "{problem}", problem=problem)
        takeAll()
        if self._scarce:
            self._log.warn("{scarce}", scarce=self._scarce)
        MultiService.startService(self)

    def stopService(self) -> Deferred[Any]:
        """Stop the groups, all at once, and what stands beside them when they are done."""
        self.running = False
        stopped = self._fleet.stopService()
        stopped.addBoth(lambda _: self._loop.settle())  # the audit trail may have to be told yet
        return stopped.addBoth(lambda _: self._beside.stopService())
