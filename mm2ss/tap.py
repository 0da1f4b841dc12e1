"""The composition root: the command line, and the services that it makes.

Here the parts meet: the configuration becomes one `GroupService` per row, beside them the event
logs, the audit trail, the journal and the clock, all under the one service that twistd runs.
"""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from twisted.application.service import IService, MultiService
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger, LogLevel
from twisted.python import usage

from mm2ss import __version__
from mm2ss.config.check import exitStatus, report
from mm2ss.config.groups_csv import GroupsFile
from mm2ss.config.load import Configuration, loadConfiguration
from mm2ss.config.model import GroupConfig
from mm2ss.config.problems import Problem, Severity
from mm2ss.config.service_settings import NTP_INTERVAL
from mm2ss.relay.group import GroupService
from mm2ss.relay.journal import GroupJournal, JournalService
from mm2ss.relay.journalapi import GroupKey, Hold
from mm2ss.services.audit import AuditService
from mm2ss.services.eventlog import EventLogService
from mm2ss.services.ntp import NtpService
from mm2ss.services.systemclock import systemClock


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
            print(report(configuration), end="")
            raise SystemExit(exitStatus(configuration))

    def load(self) -> Configuration:
        """Read both files; what is wrong stands in the result."""
        return loadConfiguration(self["ini"], self["config"], os.getcwd(), self._amend)

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
    return _demo(reactor) if options["demo"] else _relay(options, reactor)


def _demo(reactor: Any) -> IService:
    from mm2ss.simulator import demoGroups, demoRtu  # not loaded where RTUs are real

    groups = [GroupService(config, reactor) for config in demoGroups()]
    service = RelayService(groups)
    service.addBeside(demoRtu(reactor))
    return service


def _relay(options: Options, reactor: Any) -> IService:
    configuration = options.load()
    problems = configuration.problems
    if not configuration.runnable:
        *others, last = problems
        for problem in others:
            print(problem, file=sys.stderr)
        raise SystemExit(f"mm2ss cannot run: {last}")
    if problems:
        print(f"mm2ss: {len(problems)} problems in the files; --check lists them", file=sys.stderr)
    log = configuration.serviceFile.log
    logs = str(log.directory), log.rotateSize, log.keep, reactor, time.time
    logged = {group.id: group.name for group in configuration.groups if group.logEvents}
    audit = AuditService(*logs, partial(deferToThreadPool, reactor, reactor.getThreadPool()))
    folder = configuration.serviceFile.settings.journalDirectory
    journal = JournalService(str(folder), reactor, time.time)
    groups = [
        GroupService(
            config,
            reactor,
            audit=audit,
            wallTime=time.time,
            journal=_safeCopy(journal, config),
        )
        for config in configuration.groups
    ]
    if all(group.portProblem() for group in groups):  # the first that is free ends the search
        why = "; ".join(group.portProblem() for group in groups[:3])
        raise SystemExit(f"mm2ss cannot run: {why}")
    service = RelayService(groups, problems)
    service.addBeside(EventLogService(logged, *logs, level=log.level))
    service.addBeside(audit)
    ntp = configuration.serviceFile.settings.ntp
    servers = configuration.groupsFile.ntpServers
    if servers and ntp.enabled:
        interval = configuration.groupsFile.ntpInterval or NTP_INTERVAL
        service.addBeside(NtpService(servers, interval, ntp, reactor, systemClock()))
    if any(group.options.journalled for group in configuration.groups):
        service.addBeside(journal)
    return service


def _safeCopy(journal: JournalService, config: GroupConfig) -> GroupJournal | None:
    """A group's part of the journal, if it has one."""
    if not config.options.journalled:
        return None
    options = config.options
    hold = Hold(options.holdMax.frames, options.holdMax.octets, options.holdAge)
    return journal.open(GroupKey(config.id, config.commonAddress, config.name), hold)


class RelayService(MultiService):
    """All groups, and what stands beside them: that starts before them and stops after them.

    :param groups: what is to run.
    :param problems: what was wrong in the files; said in the log at the start.
    """

    _log = Logger()

    def __init__(self, groups: Iterable[GroupService], problems: Sequence[Problem] = ()) -> None:
        MultiService.__init__(self)
        self._problems = problems
        self._beside = MultiService()
        self._beside.setServiceParent(self)
        self._groups = MultiService()
        self._groups.setServiceParent(self)
        for group in groups:
            IService(group).setServiceParent(self._groups)

    def addBeside(self, service: IService) -> None:
        """Add a service that the groups need around them."""
        service.setServiceParent(self._beside)

    def startService(self) -> None:
        """Say what runs, then start it."""
        count = len(list(self._groups))
        self._log.info("mm2ss {version}: {count} groups", version=__version__, count=count)
        for problem in self._problems:
            level = LogLevel.error if problem.severity is Severity.ERROR else LogLevel.warn
            self._log.emit(level, "{problem}", problem=problem)
        MultiService.startService(self)

    def stopService(self) -> Deferred[Any]:
        """Stop the groups, all at once, and what stands beside them when they are done."""
        self.running = False
        stop: Callable[[], Any] = self._groups.stopService
        return maybeDeferred(stop).addBoth(lambda _: self._beside.stopService())
