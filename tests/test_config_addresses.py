"""Hosts and filters: what is taken, what is refused, and that nothing admits more than it says."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mm2ss.config.addresses import parseAddress, parseFilter, parseHost, parseHosts, parseNetwork
from mm2ss.config.model import Host


@pytest.mark.parametrize(
    ("text", "network"),
    [
        ("10.1.1.7", "10.1.1.7/32"),
        ("10.1.1.0/24", "10.1.1.0/24"),
        (" 10.1.1.0 / 24 ", "10.1.1.0/24"),
        ("10.1.1.0/255.255.255.0", "10.1.1.0/24"),
        ("10.1.1.7/255.255.255.255", "10.1.1.7/32"),
        ("0.0.0.0/0", "0.0.0.0/0"),
        ("0.0.0.0/0.0.0.0", "0.0.0.0/0"),
        ("fd00::7", "fd00::7/128"),
        ("FD00::/8", "fd00::/8"),
        ("::/0", "::/0"),
        ("::1", "::1/128"),
        ("::ffff:10.1.1.7", "10.1.1.7/32"),
        ("::ffff:10.1.1.0/120", "10.1.1.0/24"),
        ("::ffff:0:0/96", "0.0.0.0/0"),
        ("::ffff:a01:107/128", "10.1.1.7/32"),
    ],
)
def test_networks(text: str, network: str) -> None:
    """Addresses and networks of both kinds; IPv4-mapped ones are IPv4."""
    assert parseNetwork(text) == ip_network(network)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        # One address or 256? Neither is guessed, both are offered.
        ("10.1.1.7/24", "10.1.1.0/24 for the network or 10.1.1.7 for the one"),
        ("10.1.1.7/0", "behind the prefix"),
        ("fd00::7/64", "fd00::/64"),
        ("::ffff:10.1.1.7/120", "behind the prefix"),
        ("::ffff:0:0/95", "behind the prefix"),
        ("10.1.1.0/33", "prefix length 0-32"),
        ("fd00::/129", "prefix length 0-128"),
        ("10.1.1.0/", "prefix length"),
        ("10.1.1.0/-1", "prefix length"),
        ("10.1.1.0/024", "prefix length"),
        ("10.1.1.0/24/24", "prefix length"),
        ("10.1.1.0/２４", "prefix length"),
        ("10.1.1.0/0.0.0.255", "wildcard mask"),
        ("10.1.1.0/255.0.255.0", "mask"),
        ("10.1.1.0/255.255.255", "mask"),
        ("fd00::/ffff::", "prefix length"),
        ("010.1.1.7", "leading zeros"),
        ("10.1.1.256", "IPv4"),
        ("10.1.1", "no IPv4 or IPv6"),
        ("167837959", "no IPv4 or IPv6"),
        ("0x0a010107", "no IPv4 or IPv6"),
        ("１０.1.1.7", "no IPv4 or IPv6"),
        ("10.1.1.*", "wildcards"),
        ("10.1.1.1-10.1.1.9", "ranges"),
        ("10.1.1.7:2404", "without a port"),
        ("[fd00::7]:2404", "without a port"),
        ("[fd00::7]", "without brackets"),
        ("10.1.1.7,10.1.1.8", "separated by ;"),
        ("10.1.1.7 10.1.1.8", "separated by ;"),
        ("fe80::1%eth0", "zone"),
        ("scada.example", "no IPv4 or IPv6"),
        ("all", "no IPv4 or IPv6"),
        ("/24", "missing"),
        ("!10.1.1.7", "no IPv4 or IPv6"),
    ],
)
def test_wrongNetworks(text: str, reason: str) -> None:
    """Whatever is doubtful is refused with its reason."""
    with pytest.raises(ValueError, match=reason):
        parseNetwork(text)


@given(st.integers(0, 2**32 - 1), st.integers(0, 32), st.booleans())
def test_networkNeverAdmitsMore(number: int, length: int, mapped: bool) -> None:
    """A network holds the addresses with its leading bits, none besides, or is refused."""
    address = IPv4Address(number)
    text = f"::ffff:{address}/{96 + length}" if mapped else f"{address}/{length}"
    try:
        network = parseNetwork(text)
    except ValueError:
        assert number & ((1 << (32 - length)) - 1)
    else:
        assert (network.network_address, network.prefixlen) == (address, length)


@given(st.text(alphabet="0123456789abcdef.:/%;[] fF*-", max_size=50))
def test_filterTextNeverWidens(text: str) -> None:
    """No text but a blank one means everyone, and each entry is taken as written or is wrong."""
    networks, wrong = parseFilter(text)
    assert bool(text.strip()) == bool(networks or wrong)
    entries = [entry for entry in text.split(";") if entry.strip()]
    assert len(networks) + len(wrong) == max(len(entries), bool(text.strip()))


@given(st.ip_addresses())
def test_everyAddressIsANetworkOfItself(address: IPv4Address | IPv6Address) -> None:
    """An address without a prefix admits itself only."""
    network = parseNetwork(str(address))
    assert network.num_addresses == 1
    assert network.network_address == parseAddress(str(address))


@pytest.mark.parametrize("text", [";", " ; ;", ";;"])
def test_separatorsOnly(text: str) -> None:
    """Separators without an address are wrong: they are not the empty cell that admits all."""
    networks, wrong = parseFilter(text)
    assert not networks and "no address" in wrong[0][1]


def test_filterReportsEveryWrongEntry() -> None:
    """All wrong entries are told at once."""
    networks, wrong = parseFilter("10.1.1.1;x;10.1.1.0/24;;y;")
    assert [str(network) for network in networks] == ["10.1.1.1/32", "10.1.1.0/24"]
    assert [entry for entry, _ in wrong] == ["x", "y"]


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("192.168.1.1:2404", Host("192.168.1.1", 2404)),
        ("192.168.1.1 : 2404", Host("192.168.1.1", 2404)),
        ("rtu-1.example.com:65535", Host("rtu-1.example.com", 65535)),
        ("RTU_1:1", Host("RTU_1", 1)),
        ("rtu.:2404", Host("rtu.", 2404)),
        ("1rtu:2404", Host("1rtu", 2404)),
        ("[fd00::7]:2404", Host("fd00::7", 2404)),
        ("[FD00:0::7]:2404", Host("fd00::7", 2404)),
        ("[fe80::1%eth0]:2404", Host("fe80::1%eth0", 2404)),
        ("[::ffff:10.0.0.1]:2404", Host("10.0.0.1", 2404)),
    ],
)
def test_hosts(text: str, host: Host) -> None:
    """Address or name, and a port."""
    assert parseHost(text) == host


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("192.168.1.16", "write 192.168.1.16:2404"),
        ("rtu", "write rtu:2404"),
        ("[fd00::7]", r"write \[fd00::7\]:2404"),
        ("[fd00::7]:", "no port"),
        ("rtu:", "write rtu:2404"),
        (":2404", "no host"),
        ("10.1.1.0/24", "network"),
        ("10.1.1.0/24:2404", "network"),
        ("fd00::7:2404", "brackets"),
        ("rtu:0", "1-65535"),
        ("rtu:65536", "1-65535"),
        ("rtu:x", "1-65535"),
        ("rtu:+1", "1-65535"),
        ("rtu:２４", "1-65535"),
        ("10.1.1.256:2404", "neither"),
        ("010.1.1.1:2404", "neither"),
        ("10.1:2404", "neither"),
        ("0x7f000001:2404", "neither"),
        ("rtu.1:2404", "neither"),
        ("a b:2404", "no host name"),
        ("-a:2404", "no host name"),
        ("a..b:2404", "no host name"),
        ("zürich:2404", "no host name"),
        ("a" * 64 + ":2404", "no host name"),
        ("a." * 127 + "a:2404", "no host name"),
        ("[10.1.1.1]:2404", "no IPv6"),
        ("[fd00::7%eth0]:2404", "link-local"),
        ("[fe80::1%]:2404", "link-local"),
        ("0.0.0.0:2404", "one host"),
        ("[::]:2404", "one host"),
        ("224.0.0.1:2404", "one host"),
        ("255.255.255.255:2404", "one host"),
        ("", "no host"),
    ],
)
def test_wrongHosts(text: str, reason: str) -> None:
    """What cannot be connected to is refused with its reason."""
    with pytest.raises(ValueError, match=reason):
        parseHost(text)


def test_hostLists() -> None:
    """Hosts keep their order; empty entries are nothing."""
    hosts, wrong = parseHosts("b:2;;a:1; x ;")
    assert [str(host) for host in hosts] == ["b:2", "a:1"]
    assert [entry for entry, _ in wrong] == ["x"]


@given(st.text(max_size=40))
def test_hostTextIsTakenOrRefused(text: str) -> None:
    """A host comes out with a port in range, or a reason."""
    try:
        host = parseHost(text)
    except ValueError as error:
        assert str(error)
    else:
        assert host.host and 1 <= host.port <= 65535


def test_parseAddress() -> None:
    """One address, never a network or a zone."""
    assert parseAddress("::ffff:10.0.0.1") == ip_address("10.0.0.1")
    for text in ("10.0.0.0/8", "fe80::1%eth0", ""):
        with pytest.raises(ValueError, match=r"\w"):
            parseAddress(text)
