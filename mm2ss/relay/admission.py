"""Who may connect as a master: each group's policy per address."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from ipaddress import ip_address
from typing import Generic, TypeVar

from mm2ss.config.addresses import isWithin, normalised
from mm2ss.config.model import Address, Network, SameAddress

Connection = TypeVar("Connection")


@dataclass(frozen=True)
class Admit:
    """The connection is accepted."""


@dataclass(frozen=True)
class Replace(Generic[Connection]):
    """The connection is accepted and the old ones from its address are closed."""

    old: tuple[Connection, ...]


class RefuseReason(Enum):
    """Why a connection is refused; the name is what logs and figures show."""

    RTU_ADDRESS = "it is the address of the RTU"
    FILTER = "its address is not in the filter"
    SAME_ADDRESS = "its address is connected already, and the old connection is kept"
    MAX_MASTERS = "as many masters as may be are connected already"


@dataclass(frozen=True)
class Refuse:
    """The connection is refused.

    :ivar reason: for programs.
    :ivar text: for people; empty = that of the reason.
    """

    reason: RefuseReason
    text: str = ""

    def __str__(self) -> str:
        return self.text or self.reason.value


@dataclass(frozen=True)
class Policy:
    """Who may connect to one group.

    :ivar filter: networks that masters may come from; empty = all.
    :ivar sameAddress: what becomes of further connections from one address.
    :ivar maxMasters: masters at most, 1-255.
    """

    filter: tuple[Network, ...]
    sameAddress: SameAddress
    maxMasters: int

    def decide(
        self,
        peer: Address,
        rtu: Address | None,
        connected: Sequence[tuple[Address, Connection]],
    ) -> Admit | Replace[Connection] | Refuse:
        """Judge a new connection.

        The rules in their order: not from the RTU's own address; from a network of the filter;
        a further connection from an address as `sameAddress` says; not more than `maxMasters`,
        where one that is replaced makes room.

        :param peer: where it comes from (`plain`).
        :param rtu: the address the RTU is connected at, if it is an IP connection.
        :param connected: the masters that are connected, each with its address.
        """
        if peer == rtu:
            return Refuse(RefuseReason.RTU_ADDRESS)
        if self.filter and not isWithin(peer, self.filter):
            return Refuse(RefuseReason.FILTER)
        old = tuple(connection for address, connection in connected if address == peer)
        if old and self.sameAddress is SameAddress.OLD:
            return Refuse(RefuseReason.SAME_ADDRESS)
        replaced = old if self.sameAddress is SameAddress.NEW else ()
        if len(connected) - len(replaced) >= self.maxMasters:
            text = f"{len(connected)} of {self.maxMasters} masters are connected already"
            return Refuse(RefuseReason.MAX_MASTERS, text)
        return Replace(replaced) if replaced else Admit()


def plain(host: str) -> Address:
    """A peer's IP address from its text, without a zone.

    An IPv4-mapped IPv6 address becomes its IPv4 address.

    :raises ValueError: when the text is not an IP address.
    """
    return normalised(ip_address(host.partition("%")[0]))


def addressOf(peer: object) -> Address:
    """The IP address of a connection's other end, as `plain`.

    :raises ValueError: when it has none.
    """
    return plain(getattr(peer, "host", ""))
