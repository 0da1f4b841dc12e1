"""The result of a campaign as a table, as JSON, and as an exit status."""

from __future__ import annotations

import dataclasses
from collections import Counter
from dataclasses import dataclass
from typing import Any

from tests.soak.checker import Verdict
from tests.soak.settings import Settings

#: Events named in the report at most.
_NAMED = 20


@dataclass(frozen=True)
class GroupResult:
    """What came of one group.

    :ivar drained: whether at the end the RTU was acknowledged all and all had been acknowledged.
    :ivar twice: commands that the RTU got more than once.
    :ivar rtu: figures of the RTU.
    :ivar masters: figures of its masters.
    :ivar problems: where the relay broke the protocol.
    :ivar traces: what happened to events that were lost or found wrong, by number.
    """

    name: str
    verdict: Verdict
    drained: bool
    twice: int
    rtu: Counter[str]
    masters: Counter[str]
    problems: list[str]
    traces: dict[int, list[str]]


@dataclass(frozen=True)
class Report:
    """What came of a campaign."""

    settings: Settings
    seconds: float
    drainSeconds: float
    chaos: Counter[str]
    groups: list[GroupResult]
    relayProblems: list[str]
    complaints: list[str]
    starts: int

    @property
    def faults(self) -> dict[str, int]:
        """All that must be 0."""
        faults: Counter[str] = Counter()
        for group in self.groups:
            faults.update(group.verdict.faults)
            faults["commands twice"] += group.twice
            faults["not drained"] += not group.drained
            faults["protocol"] += len(group.problems)
        faults["relay"] += len(self.relayProblems)
        faults["relay log"] += len(self.complaints)
        return dict(faults)

    @property
    def good(self) -> bool:
        """Whether nothing was lost and nothing else was wrong."""
        return not any(self.faults.values())

    def total(self, name: str) -> int:
        """A figure of the verdicts, of all groups."""
        values = [getattr(group.verdict, name) for group in self.groups]
        return sum(len(value) if isinstance(value, list) else value for value in values)

    def table(self) -> str:
        """For the eye."""
        settings = self.settings
        chaos = dict(self.chaos)
        rtu, masters = self._sums()
        cuts = sum(count for name, count in rtu.items() if name.startswith("cut"))
        faults = self.faults
        journal = "with" if settings.journal and settings.through else "without"
        lines = [
            f"kill campaign: ack_mode {settings.ackMode}, {journal} journal,"
            f" {settings.groups} groups, {settings.masters} masters each, seed {settings.seed}",
            f"{self.seconds:.0f} s, of which {self.drainSeconds:.1f} s to drain at the end",
            "",
            *_rows(
                ("relay killed", chaos.pop("kills", 0)),
                *((f"  {name[5:]}", chaos.pop(name)) for name in sorted(chaos) if "kill " in name),
                *((f"relay {name}", chaos.get(name, 0)) for name in ("restarts", "pauses")),
                *((f"relay {name}", chaos[name]) for name in sorted(chaos) if "process" in name),
                ("RTU lines cut", cuts),
                *((f"  {name[4:]}", rtu[name]) for name in sorted(rtu) if name[:4] == "cut "),
                ("RTU connections", rtu["connections"]),
                *((f"  RTU {name}", rtu[name]) for name in sorted(rtu) if name[:4] == "gave"),
                ("all masters away", chaos.get("deserted", 0)),
                ("all masters stall", chaos.get("stalled", 0)),
                *((name, masters[name]) for name in sorted(masters)),
            ),
            "",
            *_rows(
                ("events produced", self.total("produced")),
                ("acknowledged to the RTU", self.total("freed")),
                ("  before any master did", self.total("early")),
                ("sent again by the RTU", self.total("resent")),
                ("acknowledged by a master", self.total("acknowledged")),
                ("delivered to masters", self.total("delivered")),
                ("repeated near a change", self.total("near")),
            ),
            "",
            "must be 0:",
            *_rows(
                ("lost", faults.pop("lost")),
                ("  of these, seen by nobody", self.total("unseen")),
                ("repeated elsewhere", faults.pop("far")),
                ("reordered", faults.pop("reordered")),
                ("missing in a stream", faults.pop("holes")),
                *faults.items(),
            ),
        ]
        return "\n".join([*lines, *self._details(), "", "GOOD" if self.good else "BAD"])

    def json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "good": self.good,
            "faults": self.faults,
            "seconds": round(self.seconds, 1),
            "drainSeconds": round(self.drainSeconds, 1),
            "starts": self.starts,
            "settings": dataclasses.asdict(self.settings),
            "chaos": dict(self.chaos),
            "relayProblems": self.relayProblems,
            "complaints": self.complaints[:_NAMED],
            "groups": [self._groupJson(group) for group in self.groups],
        }

    def _groupJson(self, group: GroupResult) -> dict[str, Any]:
        verdict = dataclasses.asdict(group.verdict)
        verdict["lost"] = len(group.verdict.lost)
        verdict["lostNumbers"] = group.verdict.lost[:1000]
        return {
            "name": group.name,
            "verdict": verdict,
            "drained": group.drained,
            "commandsTwice": group.twice,
            "rtu": dict(group.rtu),
            "masters": dict(group.masters),
            "problems": group.problems[:_NAMED],
            "traces": group.traces,
        }

    def _sums(self) -> tuple[Counter[str], Counter[str]]:
        rtu: Counter[str] = Counter()
        masters: Counter[str] = Counter()
        for group in self.groups:
            rtu += group.rtu
            masters += group.masters
        return rtu, masters

    def _details(self) -> list[str]:
        """What is known about each fault."""
        lines: list[str] = []
        for group in self.groups:
            lost = group.verdict.lost
            if lost:
                more = " ..." if len(lost) > _NAMED else ""
                lines += ["", f"{group.name} lost: {', '.join(map(str, lost[:_NAMED]))}{more}"]
            lines += [f"{group.name} {text}" for text in group.verdict.findings]
            lines += [f"{group.name} {text}" for text in group.problems[:_NAMED]]
            for number, trace in group.traces.items():
                lines += ["", f"{group.name}: about event {number}", *trace]
        return [*lines, *self.relayProblems, *self.complaints[:_NAMED]]


def _rows(*rows: tuple[str, int]) -> list[str]:
    return [f"  {name:<58}{count:>9}" for name, count in rows]
