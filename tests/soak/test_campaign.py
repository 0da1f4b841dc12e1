"""A short kill campaign: what `make soak` does for long."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.soak.campaign import Campaign
from tests.soak.report import Report
from tests.soak.settings import Settings

pytestmark = [pytest.mark.interop, pytest.mark.xdist_group("interop")]


def run(settings: Settings, folder: Path) -> Report:
    """Run a campaign; its table is shown when the test fails."""
    report = asyncio.run(Campaign(settings, folder / "relay").run())
    print(report.table())
    return report


@pytest.mark.smoke
def test_nothingIsLostByKills(tmp_path: Path) -> None:
    """The relay is killed ten times; no event is lost, none comes out of order."""
    report = run(Settings(seed=20261122, kills=10, pace=0.15), tmp_path)
    assert report.chaos["kills"] >= 10
    assert report.total("produced") > 500
    assert report.good


def test_nothingIsLostByKillsOfShards(tmp_path: Path) -> None:
    """One, two and three processes share the groups out, and one or all of them are killed: events
    that no master had taken yet go with their groups."""
    settings = Settings(seed=3, kills=14, pace=0.3, groups=6, masters=2, shards=3, rate=40)
    report = run(settings, tmp_path)
    starts = [report.chaos[f"starts as {count} processes"] for count in (1, 2, 3)]
    assert len([count for count in starts if count]) > 1
    assert report.total("produced") > 500
    assert report.good


def test_withoutTheJournalEventsAreLost(tmp_path: Path) -> None:
    """What is acknowledged early and not on disk is gone with the relay: at most that."""
    report = run(Settings(seed=41, kills=25, pace=0.3, journal=False), tmp_path)
    faults = report.faults
    assert 0 < faults.pop("lost") <= report.total("early")
    assert faults.pop("not drained") == 1
    assert not any(faults.values())


def test_immediateAcknowledgementLosesEvents(tmp_path: Path) -> None:
    """The campaign does find losses where there must be some."""
    settings = Settings(seed=7, kills=15, pace=0.4, ackMode="immediate")
    report = run(settings, tmp_path)
    faults = report.faults
    assert faults.pop("lost") > 0
    assert faults.pop("not drained") == 1
    assert report.total("early") > 0
    # It loses events, but it does not reorder or alter those that it brings.
    assert faults["reordered"] == faults["altered"] == faults["far"] == faults["protocol"] == 0
    assert report.groups[0].traces
