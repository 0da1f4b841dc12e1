"""What a master that only watches may send, and what nobody may."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address, ip_network

import pytest

from mm2ss.config.model import GroupConfig, Host, Network
from mm2ss.iec104.asdu import TYPES, Verdict, admitControl, buildAsdu, typeName
from mm2ss.relay.admission import plain
from mm2ss.relay.rights import Rights, controls, rightsOf

CONFIG = GroupConfig(1, "RTU", 2404, 32, (Host("rtu", 2404),))
WATCHER = Rights(control=False)

#: Every type that a master may send at all, without those whose content decides.
COMMANDS = (*range(45, 52), *range(58, 65))
CHANGES = (*COMMANDS, 103, 105, 106, *range(110, 114), 120, 121, 123, 125, 128, 200, 255)
LOOKS = (100, 102, 104, 107, 124, 127)


def request(typeId: int, content: bytes | None = None, cause: int = 6, test: bool = False) -> bytes:
    """A well-formed request; its content is zero unless given."""
    info = TYPES.get(typeId)
    length = 4 if info is None or info.objectLength is None else info.objectLength
    content = bytes(length) if content is None else content
    asdu = buildAsdu(typeId, cause, 32, b"\1\0\0" + content, test=test)
    assert admitControl(asdu).verdict is Verdict.FORWARD
    return asdu


def networks(*texts: str) -> tuple[Network, ...]:
    return tuple(map(ip_network, texts))


def test_everyTypeIsInATable() -> None:
    """The tables here and the two types whose content decides are all that masters may send."""
    known = {*CHANGES, *LOOKS, 101, 122}
    for typeId in range(128):
        info = TYPES.get(typeId)
        length = 4 if info is None or info.objectLength is None else info.objectLength
        asdu = buildAsdu(typeId, 6, 32, b"\1\0\0" + bytes(length))
        forwarded = admitControl(asdu).verdict is Verdict.FORWARD
        assert forwarded == (typeId in known), typeName(typeId)


@pytest.mark.parametrize("test", [False, True])
@pytest.mark.parametrize("cause", [5, 6, 8, 13])
@pytest.mark.parametrize("typeId", CHANGES)
def test_watcherMayNotChange(typeId: int, cause: int, test: bool) -> None:
    """Commands, set points, clock, reset, parameters, file writes, private types; any cause."""
    asdu = request(typeId, cause=cause, test=test)
    assert controls(asdu)
    assert WATCHER.refusal(asdu) == "this master may not control"
    assert Rights().refusal(asdu) == ""


@pytest.mark.parametrize("cause", [5, 6, 8, 13])
@pytest.mark.parametrize("typeId", LOOKS)
def test_watcherMayLook(typeId: int, cause: int) -> None:
    """Interrogation, reading, test commands, the query of a log, acknowledging what was read."""
    asdu = request(typeId, cause=cause)
    assert not controls(asdu)
    assert WATCHER.refusal(asdu) == Rights().refusal(asdu) == ""


@pytest.mark.parametrize("select", [0x00, 0x80])
@pytest.mark.parametrize("typeId", sorted({*COMMANDS} - {51, 64}))
def test_selectIsACommand(typeId: int, select: int) -> None:
    """A select arms the RTU and blocks others: it needs the right to command, too."""
    info = TYPES[typeId]
    assert info.objectLength is not None and info.qualifierOffset is not None
    content = bytearray(info.objectLength)
    content[info.qualifierOffset] = select
    assert WATCHER.refusal(request(typeId, bytes(content)))


@pytest.mark.parametrize("rqt", [0, 1, 4, 5, 6, 63])
@pytest.mark.parametrize(("freeze", "refused"), [(0, False), (1, True), (2, True), (3, True)])
def test_counters(rqt: int, freeze: int, refused: bool) -> None:
    """Counters may be read by all; freezing and resetting them changes what others get."""
    asdu = request(101, bytes((freeze << 6 | rqt,)))
    assert bool(WATCHER.refusal(asdu)) == refused == controls(asdu)
    assert not Rights().refusal(asdu)


@pytest.mark.parametrize("error", [0, 1, 15])
@pytest.mark.parametrize("code", range(16))
def test_files(code: int, error: int) -> None:
    """Directory and transfer of files pass; deleting, reserved and private codes do not."""
    asdu = request(122, bytes((1, 0, 0, error << 4 | code)), cause=13)
    assert bool(WATCHER.refusal(asdu)) == (code == 4 or code > 7)
    assert not Rights().refusal(asdu)


@pytest.mark.parametrize("typeId", [*CHANGES, *LOOKS, 101, 122])
def test_deniedTypes(typeId: int) -> None:
    """A denied type is refused for everyone, also one that only looks; the others pass."""
    for control in (True, False):
        rights = Rights(control, frozenset({typeId}))
        assert rights.refusal(request(typeId)) == f"{typeName(typeId)} is denied in this group"
    other = 45 if typeId != 45 else 46
    assert Rights(True, frozenset({typeId})).refusal(request(other)) == ""


@pytest.mark.parametrize(
    ("control", "address", "may"),
    [
        (None, "10.1.1.7", True),
        ((), "10.1.1.7", False),
        (("10.1.1.7",), "10.1.1.7", True),
        (("10.1.1.7",), "10.1.1.8", False),
        (("10.1.2.0/24", "10.1.1.0/24"), "10.1.1.8", True),
        (("10.1.1.0/24",), "::ffff:10.1.1.8", True),
        (("fd00::/8",), "fd00::7", True),
        (("fd00::/8",), "10.1.1.7", False),
        (("0.0.0.0/0",), "fd00::7", False),
        (("::/0",), "10.1.1.7", False),
        (("::/0",), "::ffff:10.1.1.7", False),
        (("fe80::/10",), "fe80::7%eth0", True),
    ],
)
def test_rightsOf(control: tuple[str, ...] | None, address: str, may: bool) -> None:
    """Who may command is decided by the address alone, as the filter decides who may connect."""
    allowed = None if control is None else networks(*control)
    config = replace(CONFIG, control=allowed, denyTypes=frozenset({105}))
    assert rightsOf(config, plain(address)) == Rights(may, frozenset({105}))


def test_everybodyMayEverything() -> None:
    """Without the two columns nothing is restricted."""
    assert rightsOf(CONFIG, ip_address("10.1.1.7")) == Rights() == Rights(True, frozenset())
