"""What the groups may need at worst, and that the figures are those of the relay."""

from __future__ import annotations

from pathlib import Path

import pytest

from mm2ss.config import worst_case
from mm2ss.config.model import AckMode, GroupConfig, GroupOptions, HoldMax, Host
from mm2ss.config.worst_case import worstCase
from mm2ss.iec104 import apci
from mm2ss.relay import journalrecords, journalstate, journalstore

MIB = 1024 * 1024


def lines(*options: GroupOptions) -> list[str]:
    """The report for groups with these options and one master each."""
    groups = [
        GroupConfig(number, "A", 2404 + number, 1, (Host("rtu", 1),), maxMasters=1, options=each)
        for number, each in enumerate(options)
    ]
    return list(worstCase(groups, Path("/j")))


def test_asTheJournalDoes() -> None:
    """The figures are those by which the journal works."""
    assert worst_case.DISK_OVERHEAD == journalrecords.DATA_OVERHEAD
    assert worst_case.SPARE == journalstate.SPARE_SEGMENTS * journalstore.SEGMENT_SIZE
    assert worst_case.MAX_ASDU == worst_case.MAX_FRAME - 6 == apci.MAX_ASDU


def test_defaults() -> None:
    """With the defaults the number of frames is what bounds the journal."""
    assert lines(GroupOptions()) == [
        "At worst the groups need:",
        "  file descriptors: 30 (2 ports, 1 RTU, 1 master, 6 for journal, audit trail and event "
        "logs, 20 for the process)",
        "  memory: 50.6 MiB (4.0 MiB ledger_max, 46.6 MiB events in the journal, 0.0 MiB on the "
        "way to masters)",
        "  disk: 85.8 MiB for the journal in /j (hold_max of each group)",
    ]


@pytest.mark.parametrize(
    "without", [GroupOptions(journal=False), GroupOptions(ackMode=AckMode.IMMEDIATE)]
)
def test_withoutJournal(without: GroupOptions) -> None:
    """Groups without the journal need nothing for it; one with it is enough for its files."""
    report = lines(without, without)
    assert "3 for audit trail and event logs" in report[1]
    assert report[2].startswith("  memory: 8.0 MiB (8.0 MiB ledger_max, 0.0 MiB on")
    assert len(report) == 3
    assert "6 for journal" in lines(without, GroupOptions())[1]
    assert lines(without, GroupOptions())[3] == lines(GroupOptions())[3]


def test_bounds() -> None:
    """Whichever bound is reached first counts: many small events fit into the octets."""
    many = HoldMax(frames=100_000_000, octets=10 * MIB)
    few = HoldMax(frames=1000, octets=10 * MIB)
    assert "250.0 MiB events in the journal" in lines(GroupOptions(holdMax=many))[2]
    assert "118.0 MiB for the journal" in lines(GroupOptions(holdMax=many))[3]
    assert "0.5 MiB events in the journal" in lines(GroupOptions(holdMax=few))[2]


def test_noGroup() -> None:
    """Nothing is said where nothing runs."""
    assert lines() == []
