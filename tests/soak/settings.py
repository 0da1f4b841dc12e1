"""The parameters of a campaign, and what the relay is told for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mm2ss.config.parameters import LinkParameters
from tests.interop.harness import row
from tests.interop.waiting import RTU_IP
from tests.soak.events import STATION

#: So many groups at most have event logs.
LOGGED_GROUPS = 50
#: All that waits for a timer happens often.
SHORT_TIMES = LinkParameters(k=12, w=8, t1=4, t2=1, t3=3)


@dataclass(frozen=True)
class Settings:
    """What a campaign is to be.

    :ivar seed: of all its chances; the timing of processes and sockets is not in it.
    :ivar kills: after so many it ends.
    :ivar seconds: after so many it ends, whatever was done; 0 = when the kills are done.
    :ivar groups: how many RTUs.
    :ivar masters: how many each of them has, at most.
    :ivar shards: how many processes share the groups out, at most; the number changes with kills.
    :ivar ackMode: the relay's ack_mode.
    :ivar journal: whether the relay has its journal (with ``through`` only).
    :ivar rate: events a second of each RTU, more or less.
    :ivar pace: what pauses, of the chaos and of the masters, are multiplied with.
    :ivar options: further lines under ``defaults`` in the service file.
    """

    seed: int
    kills: int = 300
    seconds: float = 0
    groups: int = 1
    masters: int = 3
    shards: int = 1
    ackMode: str = "through"
    journal: bool = True
    rate: float = 150
    pace: float = 0.6
    options: tuple[str, ...] = ()
    rtu: LinkParameters = SHORT_TIMES
    master: LinkParameters = SHORT_TIMES

    @property
    def through(self) -> bool:
        """Whether no event may be lost."""
        return self.ackMode == "through"


def groupRow(number: int, port: int, rtuPort: int, settings: Settings) -> str:
    """The row of a group."""
    rtu = settings.rtu
    return row(
        number,
        port,
        f"{RTU_IP}:{rtuPort}",
        rtu_no=STATION,
        max_conn=30,
        t1=int(rtu.t1),
        t2=int(rtu.t2),
        t3=int(rtu.t3),
        k=rtu.k,
        w=rtu.w,
        logevents="Y" if settings.groups <= LOGGED_GROUPS else "N",
    )


def serviceFile(ackMode: str, journal: bool, more: Sequence[str] = ()) -> str:
    """The service file: how the RTU is acknowledged, and further lines under ``defaults``."""
    lines = ["defaults:", "  listen: [127.0.0.1]", f"  ack_mode: {ackMode}"]
    lines.append(f"  journal: {str(journal and ackMode == 'through').lower()}")
    lines += [f"  {line}" for line in more]
    return "\n".join([*lines, "state_directory: state", ""])
