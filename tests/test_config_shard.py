"""Which groups are whose when several processes share one file, and what differs between them."""

from __future__ import annotations

from pathlib import Path

import pytest

from mm2ss.config.check import exitStatus, report
from mm2ss.config.groups_csv import parseGroups
from mm2ss.config.lasting import lastingChanges
from mm2ss.config.load import Configuration, configure
from mm2ss.config.service_file import noServiceFile, parseServiceFile
from mm2ss.config.shard import MAX_SHARDS, Shard, parseShard

ROWS = "\n".join(f"{n},A,{2400 + n},1,,,,,,,,,,,rtu:1," for n in range(1, 41))


def configured(shard: str = "", service: str = "", rows: str = ROWS) -> Configuration:
    """What a process with this part would run."""
    file = parseServiceFile(service.encode(), "s.yaml", "/b") if service else noServiceFile("/b")
    groups = parseGroups(rows.encode(), "g.csv")
    return configure(groups, file, parseShard(shard) if shard else None)


@pytest.mark.parametrize("count", [1, 2, 3, 7, MAX_SHARDS])
def test_eachGroupIsOnesOnly(count: int) -> None:
    """Whatever the number of processes, each group is one process's, and of one only."""
    shards = [Shard(index, count) for index in range(1, count + 1)]
    for group in (0, 1, 111, 2**32 - 1, *range(500)):
        assert sum(shard.owns(group) for shard in shards) == 1


@pytest.mark.parametrize("step", [1, 2, 10, 64, 1000])
def test_evenlyWhateverTheNumbersAre(step: int) -> None:
    """2 000 groups are shared out evenly, also where their numbers have a pattern."""
    for count in (2, 4):
        share = sum(Shard(1, count).owns(number * step) for number in range(2000))
        assert abs(share - 2000 / count) < 150


def test_forEver() -> None:
    """Which group is whose must not change with a version of the program: journals depend on it."""
    first = [0, 3, 6, 7, 8, 11, 14, 15, 17, 18]
    assert [number for number in range(20) if Shard(1, 2).owns(number)] == first


def test_otherRowsMoveNoGroup() -> None:
    """Rows that come and go, or change places, leave the others where they are."""
    before = {group.id for group in configured("2/3").groups}
    rows = ROWS.splitlines()
    after = {group.id for group in configured("2/3", rows="\n".join(rows[:4:-1])).groups}
    assert after == {number for number in before if number > 5}


@pytest.mark.parametrize("text", ["", "2", "0/2", "3/2", "1/0", f"1/{MAX_SHARDS + 1}", "1/2/3"])
@pytest.mark.parametrize("around", ["{}", "-{}", "{}x", "٢{}"])
def test_whatIsNoShard(text: str, around: str) -> None:
    """What is not I/N with 1 <= I <= N is refused, with a reason that repeats it."""
    wrong = around.format(text)
    with pytest.raises(ValueError, match=r"I/N|processes|process is"):
        parseShard(wrong)


def test_whatEachHasForItself() -> None:
    """Ports count on from those of the file, names end with the shard's index whatever the number
    of shards, and the first one keeps the clock."""
    service = "metrics: {enabled: true, port: 9104}\nmanhole: {port: 8222}\n"
    first, third = configured("1/3", service), configured("3/4", service)
    assert (first.serviceFile.settings.metrics.port, first.serviceFile.settings.ntp.enabled) == (
        9104,
        True,
    )
    settings = third.serviceFile.settings
    assert (settings.metrics.port, settings.manhole.port, settings.ntp.enabled) == (
        9106,
        8224,
        False,
    )
    assert third.journalDirectory == Path("/b/state/journal-3")
    assert third.own(Path("audit.jsonl")) == Path("audit-3.jsonl")
    assert configured().journalDirectory == Path("/b/state/journal")
    assert lastingChanges(third, configured("3/4", service)) == []


def test_groupsAreSharedOut() -> None:
    """Each runs its own groups with their options, and knows those of the others."""
    parts = [configured(f"{index}/3", "groups: {7: {ack_mode: immediate}}") for index in (1, 2, 3)]
    assert sorted(group.id for part in parts for group in part.groups) == list(range(1, 41))
    for part in parts:
        assert len(part.groups) + len(part.others) == 40
        assert part.runnable and exitStatus(part) == 0


def test_aPortBeyondTheLast() -> None:
    """A port that counts on beyond 65535 is an error; of a service that is off it is none."""
    (problem,) = configured("2/2", "metrics: {enabled: true, port: 65535}").problems
    assert problem.column == "metrics.port" and problem.line == 1 and "65535" in problem.reason
    assert not configured("2/2", "metrics: {port: 65535}").problems


def test_aGroupHasTheNextPort() -> None:
    """A port that another shard's group has is found, too."""
    problems = configured("2/2", "metrics: {enabled: true, port: 2400}").problems
    assert [(each.column, each.value) for each in problems] == [("metrics.port", "2401")]


def test_noGroupIsLeft() -> None:
    """A process for which no group is left cannot run, and says so."""
    alone = ROWS.splitlines()[0]
    parts = [configured(f"{index}/2", rows=alone) for index in (1, 2)]
    assert sorted(part.runnable for part in parts) == [False, True]
    (idle,) = (part for part in parts if not part.runnable)
    assert "no group is left" in str(idle.problems[-1])


def test_report() -> None:
    """--check shows the part, its groups only, and its journal."""
    part = configured("2/4")
    text = report(part)
    others = len(part.others)
    assert f"Shard:        2/4; {others} groups of the file run in other processes\n" in text
    assert "Journal:      /b/state/journal-2\n" in text
    assert f"{len(part.groups)} groups would run:" in text
    assert f"{len(part.groups)} RTUs" in text
