"""What the shell says of real groups, and does to them."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet.defer import Deferred, fail, succeed

from mm2ss.services.completion import commonStart, completions
from mm2ss.services.groupviews import Trace, Tracing
from mm2ss.services.inspection import Desk, Inspected, duration
from mm2ss.services.interpreter import Leave, Mistake
from mm2ss.services.tables import window
from tests.fleets import FleetWorld, config
from tests.groups import event
from tests.manholes import logged


class ShellWorld(FleetWorld):
    """A fleet, and the names that the shell has for it."""

    def __init__(self, *numbers: int) -> None:
        FleetWorld.__init__(self, *(config(number, name=f"RTU {number}") for number in numbers))
        inspected = Inspected(self.fleet, self.reactor.seconds, lambda: "Time is right", self._held)
        self.names = Desk(inspected, "somebody", self.reactor.seconds()).namespace()

    def _held(self) -> Any:
        return self.copies.figures()

    def ask(self, source: str, width: int = 200) -> str:
        """What an expression prints."""
        with window(width):
            return repr(eval(source, self.names))


def test_status() -> None:
    """The process in a few lines: who is up, what is kept, what the clock does."""
    world = ShellWorld(1, 2, 7)  # there is no RTU 7
    world.master(1)
    world.rtus[1].send(event(1), event(2))
    world.run(100)
    facts = world.names["status"]().facts
    assert facts["version"].startswith("mm2ss ")
    assert facts["uptime"] == "0 d 00:01:40"
    assert (facts["groups"], facts["RTU not connected"]) == ("3, RTU connected: 2", "7")
    assert (facts["masters"], facts["events unsettled"]) == ("1", 0)
    assert (facts["time"], facts["memory"][-3:]) == ("Time is right", "MiB")
    assert facts["journal"].startswith("0 events held, ")
    world.finish()


def test_statusOfLittle() -> None:
    """Without time servers and journal it says so."""
    world = ShellWorld(1)
    facts = Desk(Inspected(world.fleet, world.reactor.seconds), "somebody", 0.0).status().facts
    assert facts["time"] == "no time server is configured"
    assert (facts["journal"], facts["RTU not connected"]) == ("there is none", "none")
    world.finish()


def test_groups() -> None:
    """All groups in a table, those that are down in another."""
    world = ShellWorld(1, 7)
    table = world.ask("groups").splitlines()
    titles = "id name RTU transfer masters port unsettled received keeping"
    assert " ".join(table[0].split()) == titles
    assert " ".join(table[2].split()) == "1 RTU 1 198.51.100.1:2404 stopped 0 2401 0 0 -"
    assert " ".join(table[3].split()) == "7 RTU 7 - not connected 0 2407 0 0 -"
    assert [line.split() for line in world.ask("groups.down").splitlines()[2:]] == [
        table[3].split()
    ]
    assert world.ask("[each.id for each in groups], len(groups)") == "([1, 7], 2)"
    assert max(map(len, world.ask("groups", 50).splitlines())) <= 60
    world.finish()


def test_group() -> None:
    """One group by number or name: its figures in words, its masters in a table."""
    world = ShellWorld(1)
    master = world.master(1)
    world.rtus[1].send(event(1), event(2))
    world.run(12)  # until the master acknowledges
    text = world.ask("group('RTU 1')")
    for line in ("group +1 RTU 1", "port +2401, open", "received +2", "line to the RTU +connec"):
        assert re.search(f"(?m)^{line}", text), line
    assert world.ask("group(1).received, groups[1].settled") == "(2, 2)"
    assert world.ask("group(1).masters").splitlines()[2].split()[:4] == [
        str(world.fleet.snapshot(1).masters[0].peer),
        "yes",
        "3",
        "3",
    ]
    assert "common address  32" in world.ask("group(1).config")
    assert master.connected
    world.finish()


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("group(9)", "There is no group 9; there are: 1, 2"),
        ("group('x')", "There is no group 'x'; there are: 1, 2"),
        ("trace(9)", "There is no group 9; there are: 1, 2"),
        ("group(1).nonsense", "A group has no nonsense; there are: ambiguous, "),
        ("group(1).disconnect('192.0.2.7')", "No master 192.0.2.7 is connected; there are: none"),
    ],
)
def test_mistakes(source: str, says: str) -> None:
    """What does not exist is answered with what does."""
    world = ShellWorld(1, 2)
    with pytest.raises(Mistake) as raised:
        world.ask(source)
    assert str(raised.value).startswith(says)
    assert not hasattr(world.names["group"](1), "nonsense")
    world.finish()


def test_manyGroups() -> None:
    """A list of numbers ends with how many more there are."""
    world = ShellWorld(*range(10, 40))
    with pytest.raises(Mistake, match=r"there are: 10, 11, .*, 29 and 10 more$"):
        world.ask("group(9)")
    world.finish()


def test_twoOfOneName() -> None:
    """A name that two groups have is answered with their numbers."""
    world = ShellWorld(1, 2)
    world.apply(config(1, name="Twin"), config(2, name="Twin"))
    with pytest.raises(Mistake, match="more than one group 'Twin': 1, 2"):
        world.ask("group('Twin')")
    world.finish()


def test_disconnect() -> None:
    """Closes one master or all at an address, and the log says who did it."""
    world = ShellWorld(1)
    first, second, third = (world.master(1, f"192.0.2.{n}") for n in (1, 1, 2))
    one = world.fleet.snapshot(1).masters[0].peer
    with logged() as log:
        assert world.ask(f"group(1).disconnect({one!r})") == "1 master disconnected"
    assert f"1 master disconnected ({one}) by somebody" in log.lines
    world.run()
    assert [each.connected for each in (first, second, third)] == [False, True, True]
    assert world.ask("group(1).disconnect('192.0.2.1')") == "1 master disconnected"
    world.run()
    assert [each.connected for each in (second, third)] == [False, True]
    world.finish()


def test_restart() -> None:
    """Takes the group down and up again; prints when that is done. A group that a reload removes
    meanwhile is known no more."""
    world = ShellWorld(1, 2)
    master = world.master(1)
    group = world.names["group"](1)
    assert [repr(each) for each in world.ended(group.restart())] == ["group 1 is restarted"]
    world.run()
    assert not master.connected and len(world.rtus[1].ups) == 2
    world.apply(config(2, name="RTU 2"))
    for ask in (group.restart, lambda: group.masters, group.trace):
        with pytest.raises(Mistake, match="There is no group 1 any more"):
            ask()
    world.finish()


def test_trace() -> None:
    """Followed, a trace tells each frame until it is stopped."""
    world = ShellWorld(1)
    lines: list[str] = []
    stop = world.names["trace"](1).follow(lines.append)
    world.master(1)
    world.rtus[1].send(event(1))
    world.run()
    assert any("M_SP_NA_1" in line for line in lines)
    stop()
    count = len(lines)
    world.rtus[1].send(event(2))
    world.run()
    assert len(lines) == count
    with pytest.raises(Mistake, match="no folder"):
        world.names["trace"](1).save()
    world.finish()


class Saved(Trace):
    """A trace whose file is there, or cannot be written."""

    def __init__(self, result: Deferred[str]) -> None:
        self._result = result

    def follow(self, follower: Callable[[str], object]) -> Callable[[], None]:
        raise AssertionError("nobody here follows a trace that is saved")

    def save(self) -> Deferred[str]:
        return self._result


def test_savedTrace() -> None:
    """save() gives the path, or says why there is none."""
    results: list[Any] = []
    Tracing(Saved(succeed("/trace/1.pcapng"))).save().addBoth(results.append)
    Tracing(Saved(fail(OSError(28, "No space left")))).save().addBoth(results.append)
    assert repr(results[0]) == "/trace/1.pcapng"
    assert results[1].check(Mistake) and "No space left" in str(results[1].value)


def test_helpAndLeave() -> None:
    """help() is a page or what Python knows; exit() leaves."""
    world = ShellWorld(1)
    assert "group(111).disconnect" in world.ask("help()")
    assert "Stop the group in order" in world.ask("help(group(1).restart)")
    for name in ("exit", "quit"):
        with pytest.raises(Leave):
            world.ask(f"{name}()")
    assert duration(90061) == "1 d 01:01:01"
    world.finish()


def test_helpNamesWhatThereIs() -> None:
    """Every name of the namespace, and everything that a group can do, stands in help()."""
    world = ShellWorld(1)
    page = world.ask("help()")
    for name in {*world.names} - {"__name__", "__builtins__", "quit"}:
        assert name in page, name
    for name in ("masters", "config", "disconnect", "restart"):
        assert f"group(111).{name}" in page
    world.finish()


def test_completion() -> None:
    """Tab completes names, also behind a group; nothing else is evaluated for it."""
    world = ShellWorld(1)
    names = world.names

    def after(line: str) -> tuple[str, list[str]]:
        return completions(line, names)

    assert after("st") == ("st", ["status"])
    assert after("print(gr") == ("gr", ["group", "groups"])
    assert commonStart(["group", "groups"]) == "group" and commonStart([]) == ""
    assert after("group(1).ma") == ("ma", ["masterCloses", "masters"])
    assert after("group(1).restart.__fu") == ("__fu", ["__func__"])
    assert after("groups.d") == ("d", ["down"])
    assert after("group(9).ma") == ("ma", []) and after("nothing.x") == ("x", [])
    assert after("exit().st") == ("", []) and after("1 + ") == ("", [])
    assert "_fleet" not in after("groups.")[1] and "down" in after("groups.")[1]
    world.finish()
