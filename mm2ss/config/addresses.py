"""RTU hosts and masters' filters as people write them -> values, or a reason in words.

Whatever is doubtful in a filter is refused, never guessed: a guess could let in somebody whom
the writer wanted out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from mm2ss.config.model import Address, Host, Network

_LABEL = r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)"
_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*\.?")
#: A name that ends so is an address to the system's resolver ("10.1", "0x7f000001").
_NUMERIC_END = re.compile(r"(?:.*\.)?(?:[0-9]+|0[xX][0-9A-Fa-f]*)\.?")
_BRACKETED = re.compile(r"\[([^\[\]]*)\](?::(.*))?")
_PREFIX = re.compile(r"0|[1-9][0-9]{0,2}")
_PORT = re.compile(r"[0-9]{1,5}")
_ZONE = re.compile(r"[A-Za-z0-9_.-]{1,15}")


def normalised(address: Address) -> Address:
    """The IPv4 address of an IPv4-mapped IPv6 address; any other address as it is."""
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def isWithin(address: Address, networks: Iterable[Network]) -> bool:
    """Whether an address (IPv4-mapped ones as IPv4) is in one of some networks."""
    return any(address in network for network in networks)


def parseAddress(text: str) -> Address:
    """One IPv4 or IPv6 address, IPv4-mapped ones as IPv4.

    :raises ValueError: with the reason, when ``text`` is anything else (a name, a zone, octets
        with leading zeros, which some programs read as octal).
    """
    return normalised(_anyAddress(text))


def _anyAddress(text: str) -> Address:
    """One address as it is written, without a zone."""
    if "%" in text:
        raise ValueError("an address with a zone (%) is not possible here")
    try:
        return ip_address(text)
    except ValueError:
        raise ValueError(_whyNoAddress(text)) from None


def _whyNoAddress(text: str) -> str:
    """The likeliest reason why ``text`` is no address."""
    if not text:
        return "the address is missing"
    if "*" in text or "-" in text:
        return "ranges and wildcards are not possible; write a network such as 10.1.1.0/24"
    if text.startswith("[") or re.fullmatch(r"[0-9.]+:[0-9]*", text):
        return "an address without brackets and without a port is needed here"
    if re.search(r"[,\s]", text):
        return "this is no address; entries are separated by ;"
    if re.fullmatch(r"[0-9]+(\.[0-9]+){3}", text):
        return "no IPv4 address: four numbers 0-255 without leading zeros are needed"
    return "no IPv4 or IPv6 address"


def parseNetwork(text: str) -> Network:
    """One address or network: ``10.1.1.7``, ``10.1.1.0/24``, ``10.1.1.0/255.255.255.0``, IPv6.

    An IPv4-mapped IPv6 address or network becomes the IPv4 one.

    :raises ValueError: with the reason. A network with bits set behind its prefix
        (``10.1.1.7/24``) is refused: one address or 256 may have been meant.
    """
    host, slash, prefix = text.partition("/")
    address = _anyAddress(host.strip())
    length = _prefixLength(prefix.strip(), address) if slash else address.max_prefixlen
    behind = int(address) & ((1 << (address.max_prefixlen - length)) - 1)
    if behind:
        start = type(address)(int(address) - behind)
        raise ValueError(
            f"bits are set behind the prefix; write {start}/{length} for the network "
            f"or {address} for the one address"
        )
    if isinstance(address, IPv4Address):
        return IPv4Network((int(address), length))
    if address.ipv4_mapped is not None:
        # The prefix is 96 or longer: a shorter one would have left mapped bits behind it.
        return IPv4Network((int(address.ipv4_mapped), length - 96))
    return IPv6Network((int(address), length))


def _prefixLength(text: str, address: Address) -> int:
    """The number of leading bits that ``/text`` fixes, from a prefix length or an IPv4 mask."""
    if _PREFIX.fullmatch(text) and int(text) <= address.max_prefixlen:
        return int(text)
    if address.version == 4 and re.fullmatch(r"[0-9.]+", text) and "." in text:
        try:
            hostBits = int(IPv4Address(text)) ^ 0xFFFFFFFF
        except ValueError:
            raise ValueError(f"/{text} is no network mask") from None
        if hostBits & (hostBits + 1) == 0:
            return 32 - hostBits.bit_length()
        raise ValueError(f"/{text} is no network mask (a wildcard mask is not possible)")
    raise ValueError(f"/{text} is no prefix length 0-{address.max_prefixlen}")


def parseFilter(text: str) -> tuple[tuple[Network, ...], tuple[tuple[str, str], ...]]:
    """The networks of a ``;``-separated list, and its wrong entries with their reasons.

    An empty ``text`` gives nothing of both. One that holds separators only is wrong: it is not
    empty, and taking it as empty would let everybody in.
    """
    networks: list[Network] = []
    wrong: list[tuple[str, str]] = []
    for entry in _entries(text):
        try:
            networks.append(parseNetwork(entry))
        except ValueError as error:
            wrong.append((entry, str(error)))
    if text.strip() and not networks and not wrong:
        wrong.append((text.strip(), "holds no address; only an empty cell means everyone"))
    return tuple(networks), tuple(wrong)


def parseHosts(text: str) -> tuple[tuple[Host, ...], tuple[tuple[str, str], ...]]:
    """The hosts of a ``;``-separated list, and the entries that are none with their reasons."""
    hosts: list[Host] = []
    wrong: list[tuple[str, str]] = []
    for entry in _entries(text):
        try:
            hosts.append(parseHost(entry))
        except ValueError as error:
            wrong.append((entry, str(error)))
    return tuple(hosts), tuple(wrong)


def _entries(text: str) -> list[str]:
    """The entries of a ``;``-separated list, without blanks and without empty ones."""
    return [entry.strip() for entry in text.split(";") if entry.strip()]


def parseHost(text: str) -> Host:
    """``ip:port``, ``name:port`` or ``[ipv6]:port``; an IPv4-mapped address becomes IPv4.

    :raises ValueError: with the reason.
    """
    bracketed = _BRACKETED.fullmatch(text)
    if bracketed:
        host, port = _ipv6Host(bracketed[1]), bracketed[2]
        return Host(host, _port(port or "", text))
    if "/" in text:
        raise ValueError("this is a network; a host and its port are needed, such as 10.1.1.7:2404")
    host, colon, port = text.rpartition(":")
    if not colon:
        raise ValueError(f"no port; write {text}:2404" if _isHost(text) else "no host with a port")
    if ":" in host:
        raise ValueError("an IPv6 address needs brackets before its port, such as [fd00::7]:2404")
    return Host(_plainHost(host.strip()), _port(port.strip(), text))


def _isHost(text: str) -> bool:
    try:
        return bool(_plainHost(text))
    except ValueError:
        return False


def _port(text: str, entry: str) -> int:
    if not text:
        raise ValueError(f"no port; write {entry.rstrip(':')}:2404")
    if not _PORT.fullmatch(text) or not 1 <= int(text) <= 65535:
        raise ValueError(f"port {text!r} is not a whole number 1-65535")
    return int(text)


def _ipv6Host(text: str) -> str:
    """The text of an IPv6 address between brackets; a link-local one may have a zone."""
    bare, percent, zone = text.strip().partition("%")
    try:
        address = normalised(IPv6Address(bare))
    except ValueError:
        raise ValueError("no IPv6 address between the brackets") from None
    if percent and not (address.is_link_local and _ZONE.fullmatch(zone)):
        raise ValueError("only a link-local IPv6 address has a zone (%)")
    return _connectable(address) + percent + zone


def _plainHost(text: str) -> str:
    """The text of an IPv4 address or of a host name."""
    if not text:
        raise ValueError("no host before the port")
    if not _NAME.fullmatch(text) or len(text) > 253:
        raise ValueError("no host name: letters a-z, digits, - and . are possible")
    if not _NUMERIC_END.fullmatch(text):
        return text
    try:
        address = IPv4Address(text)
    except ValueError:
        raise ValueError("neither an IPv4 address nor a host name") from None
    return _connectable(address)


def _connectable(address: Address) -> str:
    """``address`` as text.

    :raises ValueError: when it is not the address of one host.
    """
    if address.is_unspecified or address.is_multicast or str(address) == "255.255.255.255":
        raise ValueError(f"{address} is not the address of one host")
    return str(address)
