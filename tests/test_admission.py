"""Who may connect: every rule and policy, in their order, for IPv4 and IPv6."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest

from mm2ss.config.model import Address, SameAddress
from mm2ss.relay.admission import Admit, Policy, Refuse, RefuseReason, Replace, plain

FOUR = {"a": "192.0.2.1", "b": "192.0.2.2", "far": "203.0.113.9", "rtu": "198.51.100.1"}
SIX = {"a": "2001:db8::1", "b": "2001:db8::2", "far": "2001:db8:9::9", "rtu": "2001:db8:1::1"}
NEAR = (ip_network("192.0.2.0/24"), ip_network("2001:db8::/64"))

both = pytest.mark.parametrize("names", [FOUR, SIX], ids=["IPv4", "IPv6"])


def decide(
    names: dict[str, str],
    peer: str,
    connected: str = "",
    policy: SameAddress = SameAddress.ALL,
    most: int = 5,
    filtered: bool = True,
    rtu: str | None = "rtu",
) -> object:
    """The decision on a peer, with masters connected from the addresses of these names."""
    there = [(plain(names[name]), f"{name}{place}") for place, name in enumerate(connected)]
    rtuAddress = plain(names[rtu]) if rtu else None
    return Policy(NEAR if filtered else (), policy, most).decide(
        plain(names[peer]), rtuAddress, there
    )


@both
def test_everyoneWithoutAFilter(names: dict[str, str]) -> None:
    """An empty filter means everyone."""
    assert decide(names, "far", filtered=False) == Admit()


@both
def test_filter(names: dict[str, str]) -> None:
    """With a filter only its networks may connect."""
    assert decide(names, "a") == Admit()
    assert decide(names, "far") == Refuse(RefuseReason.FILTER)


@both
def test_addressOfTheRtu(names: dict[str, str]) -> None:
    """The address that the RTU is connected at is refused, filter or not."""
    assert decide(names, "a", rtu="a") == Refuse(RefuseReason.RTU_ADDRESS)
    assert decide(names, "a", rtu="a", filtered=False) == Refuse(RefuseReason.RTU_ADDRESS)
    assert decide(names, "a", rtu=None) == Admit()


@both
@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (SameAddress.ALL, Admit()),
        (
            SameAddress.OLD,
            Refuse(RefuseReason.SAME_ADDRESS),
        ),
        (SameAddress.NEW, Replace(("a0", "a2"))),
    ],
)
def test_sameAddress(names: dict[str, str], policy: SameAddress, expected: object) -> None:
    """A further connection from an address: accepted, refused, or in place of all the old ones."""
    assert decide(names, "a", "aba", policy) == expected


@both
@pytest.mark.parametrize("policy", SameAddress)
def test_sameAddressConcernsNoOtherAddress(names: dict[str, str], policy: SameAddress) -> None:
    """The policy for one address leaves other addresses alone."""
    assert decide(names, "b", "aa", policy) == Admit()


@both
def test_mostMasters(names: dict[str, str]) -> None:
    """Never more masters than configured; a replacement takes the old one's place."""
    full = Refuse(RefuseReason.MAX_MASTERS, "2 of 2 masters are connected already")
    assert decide(names, "b", "a", most=2) == Admit()
    assert decide(names, "b", "aa", most=2) == full
    assert decide(names, "b", "aa", SameAddress.NEW, most=2) == full
    assert decide(names, "a", "ab", SameAddress.NEW, most=2) == Replace(("a0",))
    assert decide(names, "a", "ab", SameAddress.ALL, most=2) == full


def test_orderOfTheRules() -> None:
    """The first rule that refuses gives the reason: RTU, filter, same address, number."""
    names = {**FOUR, "f": FOUR["far"]}
    reasons = [
        decide(names, "f", "f", SameAddress.OLD, most=1, rtu="f"),
        decide(names, "f", "f", SameAddress.OLD, most=1),
        decide(FOUR, "a", "a", SameAddress.OLD, most=1),
        decide(FOUR, "b", "a", SameAddress.OLD, most=1),
    ]
    assert reasons == [
        Refuse(RefuseReason.RTU_ADDRESS),
        Refuse(RefuseReason.FILTER),
        Refuse(RefuseReason.SAME_ADDRESS),
        Refuse(RefuseReason.MAX_MASTERS, "1 of 1 masters are connected already"),
    ]


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("::FFFF:c000:201", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1"),
        ("::1", "::1"),
    ],
)
def test_plainAddress(text: str, address: str) -> None:
    """An IPv4-mapped IPv6 address is its IPv4 address; a zone is no part of an address."""
    expected: Address = ip_address(address)
    assert plain(text) == expected


@pytest.mark.parametrize("text", ["", "rtu.example", "192.0.2", "192.0.2.1:80"])
def test_noAddress(text: str) -> None:
    """What is no IP address is an error."""
    with pytest.raises(ValueError):
        plain(text)


def test_mappedAddressIsInAnIPv4Filter() -> None:
    """A dual-stack socket's IPv4-mapped peer is judged by the IPv4 filter and known again."""
    policy = Policy(NEAR, SameAddress.OLD, 5)
    peer = plain("::ffff:192.0.2.1")
    assert policy.decide(peer, None, []) == Admit()
    assert isinstance(policy.decide(peer, None, [(plain("192.0.2.1"), 0)]), Refuse)
    assert isinstance(policy.decide(peer, plain("192.0.2.1"), []), Refuse)
