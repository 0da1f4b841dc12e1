"""What a group lets its masters ask, beyond the form of an ASDU."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any, cast

import pytest

from mm2ss.config.model import ClockSync, CounterReset, GroupOptions, ResetProcess
from mm2ss.iec104.asdu import Cause
from mm2ss.relay.clocks import offsetOf
from mm2ss.relay.ledger import Ledger
from mm2ss.relay.master import Master, Outlet
from mm2ss.relay.policies import Policies, refusalCause
from mm2ss.relay.rights import Rights
from tests.groups import interrogation, read, request

#: 2026-11-22 10:00:00 UTC.
NOW = 1795341600.0


def asker(
    address: str | int = "192.0.2.1", rights: Rights | None = None, started: bool = True
) -> Master:
    """A master; policies do not look at its connection."""
    master = Master(cast(Outlet, None), ip_address(address), rights or Rights(), Ledger())
    master.started = started
    return master


def policies(**options: Any) -> Policies:
    """The rules of a group."""
    return Policies(GroupOptions(**options), lambda: NOW)


def refused(rules: Policies, asdu: bytes, asking: Master | None = None, *others: Master) -> bool:
    """Whether a request is refused to a master, which started behind others."""
    asking = asking or asker()
    return bool(rules.refusal(asking, [*others, asking], asdu))


def clock(hour: int, second: float = 0.0, month: int = 11) -> bytes:
    """A clock synchronisation to 2026-11-22, so many hours and seconds after midnight."""
    octets = int(second * 1000).to_bytes(2, "little") + bytes((0, hour, 22, month, 26))
    return request(103, 0, octets)


@pytest.mark.parametrize(
    ("policy", "qualifier", "expected"),
    [
        (ResetProcess.DEFAULT, 1, False),
        (ResetProcess.DEFAULT, 2, True),
        (ResetProcess.DEFAULT, 0, True),
        (ResetProcess.DEFAULT, 200, True),
        (ResetProcess.PASS, 2, False),
        (ResetProcess.DENY, 1, True),
    ],
)
def test_resetProcess(policy: ResetProcess, qualifier: int, expected: bool) -> None:
    """By default only the restart passes: what else there is takes events from others."""
    rules = policies(resetProcess=policy)
    assert refused(rules, request(105, 0, bytes((qualifier,)))) is expected


@pytest.mark.parametrize("octet", [0x45, 0x85, 0xC5])
def test_C08_counterReset(octet: int) -> None:
    """Freezing and resetting: everybody's, the first started master's, or nobody's."""
    asdu, first, second = request(101, 0, bytes((octet,))), asker(), asker()
    gone = asker(started=False)
    rules = policies()
    assert not refused(rules, asdu, second, first)
    rules = policies(counterReset=CounterReset.FIRST_MASTER)
    assert refused(rules, asdu, second, first)
    assert not refused(rules, asdu, second, gone)
    rules = policies(counterReset=CounterReset.DENY)
    assert refused(rules, asdu, first)
    assert not refused(rules, request(101, 0, b"\x05"), first)


def test_C10_clockSync() -> None:
    """The clock is everybody's, one master's, or nobody's; other requests are not touched."""
    one, other = asker(), asker("192.0.2.2")
    only = policies(clockSync=ClockSync("only", one.address))
    assert not refused(only, clock(10), one) and refused(only, clock(10), other)
    assert refused(policies(clockSync=ClockSync("deny")), clock(10), one)
    assert not refused(policies(clockSync=ClockSync("deny")), interrogation(), one)


def test_rightsComeFirst() -> None:
    """Who may not control is refused whatever the policy."""
    watcher = asker(rights=Rights(control=False, deniedTypes=frozenset((102,))))
    rules = policies()
    for asdu in (request(), clock(10), read(1)):
        assert refused(rules, asdu, watcher)
    assert not refused(rules, interrogation(), watcher)


def test_C10_theNoteOnAClock() -> None:
    """Offset and base are told; a disagreement of more than a second is a warning."""
    rules = policies()
    one, other = (asker(address) for address in ("192.0.2.1", "192.0.2.2"))
    text, warn = rules.clockNote(one, clock(10))
    assert "+0.000 s" in text and not warn
    text, warn = rules.clockNote(other, clock(10, 0.9))
    assert "+0.900 s" in text and not warn
    text, warn = rules.clockNote(other, clock(10, 3.5))
    assert warn and "192.0.2.1 by +3.500 s" in text
    text, warn = rules.clockNote(other, clock(10, month=13))
    assert warn and "invalid" in text
    text, warn = rules.clockNote(one, clock(10, 3.5))
    assert not warn, "its own earlier clock does not count"


def test_clocksAreBounded() -> None:
    """However many addresses set the clock, the last ones are remembered."""
    rules = policies()
    for number in range(1000):
        rules.clockNote(asker(0x0A000000 + number), clock(10))
    assert len(rules._clocks) == 255


def test_offsetNamesItsBase() -> None:
    """A time is compared with local time and with UTC, and the nearer one is named."""
    found = offsetOf(clock(10, 1.5)[9:], NOW)
    assert found is not None and found[0] == 1.5 and found[1] in ("UTC", "local time")
    assert offsetOf(bytes((0, 0, 0, 10, 31, 2, 26)), NOW) is None
    assert offsetOf(bytes((0, 0, 0x80, 10, 22, 11, 26)), NOW) is None, "said to be invalid"


@pytest.mark.parametrize(
    ("asdu", "cause"),
    [
        (request(), 7),
        (request(cause=Cause.DEACTIVATION), 9),
        (interrogation(cause=Cause.DEACTIVATION), 9),
        (request(122, 1, cause=Cause.FILE_TRANSFER), 13),
        (read(1), 7),
    ],
)
def test_refusalCause(asdu: bytes, cause: int) -> None:
    """A refusal is a negative confirmation, of a deactivation its own; of files cause 13."""
    assert refusalCause(asdu) == cause
