"""Reading the files again while the service runs: when, what is refused, what is said."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred, succeed
from twisted.logger import ILogObserver, LogEvent, Logger, LogLevel, LogPublisher, formatEvent
from zope.interface import implementer

from mm2ss.config.load import Configuration, loadConfiguration
from mm2ss.relay.snapshot import Changes
from mm2ss.services.reload import MAX_NAMED, CannotApply, ReloadService
from tests.fakes import VirtualClock

ROW = "{},RTU {},{},32,5,60,15,10,20,8,12,1000,Y,all,192.0.2.1:2404,\n"


def row(number: int) -> str:
    """A group's row."""
    return ROW.format(number, number, 2400 + number)


@implementer(ILogObserver)
class Said:
    """The lines of the service's log."""

    def __init__(self) -> None:
        self.events: list[LogEvent] = []

    def __call__(self, event: LogEvent) -> None:
        self.events.append(event)

    def lines(self, level: LogLevel) -> list[str]:
        """Those of a level."""
        return [formatEvent(each) for each in self.events if each["log_level"] is level]


class SignalReactor(VirtualClock):
    """Time, calls from signal handlers (in a later turn), and a shutdown."""

    def __init__(self) -> None:
        super().__init__()
        self.triggers: list[Callable[[], object]] = []

    def callFromThread(self, call: Callable[[], object]) -> None:
        """Call in a turn of its own."""
        self.callLater(0, call)

    def addSystemEventTrigger(
        self, phase: str, event: str, call: Callable[[], object]
    ) -> Callable[[], object]:
        """Call when the shutdown begins."""
        assert (phase, event) == ("before", "shutdown")
        self.triggers.append(call)
        return call

    def removeSystemEventTrigger(self, trigger: Callable[[], object]) -> None:
        """Do not."""
        self.triggers.remove(trigger)

    def shutDown(self) -> None:
        """The shutdown begins."""
        triggers, self.triggers = self.triggers, []
        for trigger in triggers:
            trigger()


class ReloadWorld:
    """A `ReloadService` over two files; reading takes a second, applying takes two.

    :ivar applied: the configurations that were applied, as they began to be.
    :ivar hooks: what the service manager is told.
    """

    def __init__(self, folder: Path) -> None:
        self.groups, self.service = folder / "groups.csv", folder / "service.yaml"
        self.groups.write_text(row(1) + row(2))
        self.service.write_text("{}\n")
        self.folder = folder
        self.reactor = SignalReactor()
        self.applied: list[Configuration] = []
        self.hooks: list[str] = []
        self.refusal = ""
        self.fault: Exception | None = None
        self.reload = ReloadService(
            self.load(), self.load, self._apply, self.reactor, self._inThread
        )
        self.reload.begun = lambda: self.hooks.append("begun")
        self.reload.ended = lambda: self.hooks.append("ended")
        self.said = Said()
        self.reload._log = Logger("reload", observer=LogPublisher(self.said))
        self.reload.startService()

    def load(self) -> Configuration:
        """Read the files."""
        return loadConfiguration("groups.csv", "service.yaml", self.folder)

    def _inThread(self, call: Callable[[], Configuration]) -> Deferred[Configuration]:
        done: Deferred[Configuration] = Deferred()
        self.reactor.callLater(1, lambda: done.callback(call()))
        return done

    def _apply(self, wanted: Configuration) -> Deferred[Changes]:
        if self.refusal:
            raise CannotApply(self.refusal)
        if self.fault is not None:
            raise self.fault
        self.applied.append(wanted)
        done: Deferred[Changes] = Deferred()
        self.reactor.callLater(2, done.callback, Changes((1,), (2,), (), ()))
        return done

    def hangUp(self) -> None:
        """The process gets SIGHUP."""
        signal.raise_signal(signal.SIGHUP)
        self.reactor.run(0)

    def run(self, seconds: float = 3.0) -> None:
        """Let time pass."""
        self.reactor.run(seconds)

    def errors(self) -> list[str]:
        """What was said at level error."""
        return self.said.lines(LogLevel.error)

    def stop(self) -> list[Any]:
        """Stop the service; the list has something once that is done."""
        done: list[Any] = []
        self.reload.stopService().addCallback(done.append)
        return done


@pytest.fixture
def world(tmp_path: Path) -> Iterator[ReloadWorld]:
    """A running service; the handler of the signal is as before when it has ended."""
    before = signal.getsignal(signal.SIGHUP)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        world = ReloadWorld(tmp_path)
        yield world
        if world.reload.running:
            assert world.stop() == [None]
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        assert world.reactor.getDelayedCalls() == []
    finally:
        signal.signal(signal.SIGHUP, before)


def test_reload(world: ReloadWorld) -> None:
    """SIGHUP: what stands in the files by then is applied, and the log says in what time."""
    world.groups.write_text(row(1) + row(3))
    world.hangUp()
    assert world.hooks == ["begun"]
    world.run()
    assert [group.id for group in world.applied[0].groups] == [1, 3]
    assert world.said.lines(LogLevel.info)[-1] == (
        "Reloaded in 3.000 s (1.000 s to read the files):"
        " 1 unchanged, 1 changed, 0 added, 0 removed"
    )
    assert world.errors() == world.said.lines(LogLevel.warn) == []
    assert world.hooks == ["begun", "ended"]


MISTAKES = {
    "a bad cell": (row(1) + ROW.format(2, "RTU 2", 99999), "{}\n", "groups.csv:2: error: port no"),
    "a row less": ("", "{}\n", "no group can be loaded"),
    "a wrong key": (row(1), "defaults:\n  stop_delai: 1\n", "service.yaml:2: error: defaults.stop"),
    "bad YAML": (row(1), "defaults: [\n", "service.yaml"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_filesWithErrorsChangeNothing(world: ReloadWorld, mistake: str) -> None:
    """Not one row of them; the log names line, column and reason. A corrected file is taken."""
    groups, service, reason = MISTAKES[mistake]
    world.groups.write_text(groups)
    world.service.write_text(service)
    world.hangUp()
    world.run()
    assert world.applied == []
    assert any(reason in line for line in world.errors()[:-1]), world.errors()
    assert world.errors()[-1] == "Not reloaded: the files have errors. Nothing was changed."
    assert world.hooks == ["begun", "ended"]
    world.groups.write_text(row(1))
    world.service.write_text("{}\n")
    world.hangUp()
    world.run()
    assert len(world.applied) == 1


def test_missingFilesChangeNothing(world: ReloadWorld) -> None:
    """As when an editor has not written them yet."""
    world.groups.unlink()
    world.service.unlink()
    world.hangUp()
    world.run()
    assert world.applied == []
    assert [name in " ".join(world.errors()) for name in ("groups.csv", "service.yaml")] == [
        True
    ] * 2


def test_warningsAreSaid(world: ReloadWorld) -> None:
    """They do not stop a reload, as they do not stop a start."""
    world.groups.write_text(row(1).replace(",60,", ",,"))
    world.service.write_text("groups:\n  77:\n    stop_delay: 1\n")
    world.hangUp()
    world.run()
    assert len(world.applied) == 1
    assert any("groups.77" in line for line in world.said.lines(LogLevel.warn))


def test_manyProblems(world: ReloadWorld) -> None:
    """The log does not name thousands of them; errors come first."""
    world.groups.write_text("".join(ROW.format(n, n, "x") for n in range(MAX_NAMED + 20)))
    world.hangUp()
    world.run()
    assert len(world.errors()) == MAX_NAMED + 1
    assert "more problems; --check lists them all" in world.said.lines(LogLevel.warn)[-1]


def test_whatTakesEffectLater(world: ReloadWorld) -> None:
    """What a running service cannot take over is named, by its keys and rows."""
    world.groups.write_text("nogui\nntp_server,192.0.2.7\n" + row(1))
    world.service.write_text("log:\n  keep: 7\nntp:\n  timeout: 4\nstate_directory: elsewhere\n")
    world.hangUp()
    world.run()
    (line,) = world.said.lines(LogLevel.warn)
    assert line == (
        "These take effect at the next start only:"
        " nogui, ntp_server, log.keep, ntp.timeout, state_directory"
    )
    world.service.write_text("log:\n  keep: 5\n")
    world.groups.write_text(row(1))
    world.hangUp()
    world.run()
    assert len(world.said.lines(LogLevel.warn)) == 1


def test_oneAtATime(world: ReloadWorld) -> None:
    """What asks during a reload causes one more, after it, with the files as they are then."""
    world.hangUp()
    world.run(2)
    for _ in range(3):
        world.hangUp()
    world.groups.write_text(row(7))
    assert len(world.applied) == 1
    world.run(1)
    assert world.hooks == ["begun", "ended", "begun"]
    world.run(3)
    assert [[group.id for group in each.groups] for each in world.applied] == [[1, 2], [7]]
    assert world.hooks == ["begun", "ended"] * 2


def test_notAppliable(world: ReloadWorld) -> None:
    """What cannot be done now is refused as a whole, with its reason."""
    world.refusal = "the journal's folder cannot be used"
    world.hangUp()
    world.run()
    assert world.errors() == [f"Not reloaded: {world.refusal}. Nothing was changed."]
    assert world.hooks == ["begun", "ended"]


def test_aFaultIsLogged(world: ReloadWorld) -> None:
    """And the next reload is possible."""
    world.fault = RuntimeError("ours")
    world.hangUp()
    world.run()
    (event,) = [each for each in world.said.events if "log_failure" in each]
    assert "ours" in str(event["log_failure"])
    world.fault = None
    world.hangUp()
    world.run()
    assert len(world.applied) == 1


def test_notWhileStopping(world: ReloadWorld) -> None:
    """The signal is heard until the very end, lest it kills, and ignored."""
    world.reactor.shutDown()
    world.hangUp()
    world.run()
    assert (world.applied, world.hooks) == ([], [])
    assert world.said.lines(LogLevel.info) == ["Not reloaded: the service stops"]


def test_aShutdownWhileTheFilesAreRead(world: ReloadWorld) -> None:
    """They are not applied; the stop waits for the end of the reading."""
    world.hangUp()
    world.reactor.shutDown()
    stopped = world.stop()
    assert stopped == []
    world.run()
    assert (stopped, world.applied) == ([None], [])


def test_theStopWaitsForWhatIsApplied(world: ReloadWorld) -> None:
    """It is done when the reload is, and what came meanwhile is forgotten."""
    world.hangUp()
    world.run(2)
    world.hangUp()
    stopped = world.stop()
    assert stopped == []
    world.run(10)
    assert (stopped, len(world.applied)) == ([None], 1)
    assert world.reactor.triggers == []


def test_withoutTheSignal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system has no SIGHUP, a reload can still be asked for."""
    monkeypatch.delattr(signal, "SIGHUP")
    world = ReloadWorld(tmp_path)
    world.reload._apply = lambda wanted: succeed(Changes((1, 2), (), (), ()))
    world.reload.reload()
    world.run()
    assert world.said.lines(LogLevel.info)[-1].endswith("0 removed")
    assert world.stop() == [None]
