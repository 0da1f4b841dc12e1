"""The configuration as frozen values: what one group and the whole service are to do."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from mm2ss.config.parameters import LinkParameters
from mm2ss.config.settings import limits, named

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


class SameAddress(Enum):
    """What becomes of a further connection from an address that is connected already."""

    ALL = "all"
    OLD = "old"
    NEW = "new"


class AckMode(Enum):
    """When the RTU's I frames are acknowledged.

    THROUGH: when a master has acknowledged them, or when they are safe in the journal.
    IMMEDIATE: by w and t2, as a plain controlling station does.
    """

    THROUGH = "through"
    IMMEDIATE = "immediate"


class InterrogatedData(Enum):
    """Who gets the data of an interrogation (causes 20-36)."""

    ALL = "all"
    REQUESTER = "requester"


class EndOfInitialization(Enum):
    """What becomes of an RTU's end of initialization that comes in mid-session."""

    SWALLOW = "swallow"
    ANNOUNCE = "announce"


class OriginatorEcho(Enum):
    """Whether the RTU returns the originator address of a request: learned, or told."""

    AUTO = "auto"
    YES = "yes"
    NO = "no"


@dataclass(frozen=True)
class OriginatorMode:
    """Which originator address the relay writes into the requests that it forwards.

    ``slot`` writes the master's slot number (1-255), ``fixed`` always ``address`` (0-255),
    ``keep`` leaves what the master wrote.
    """

    kind: str = "slot"
    address: int = 0


class CounterReset(Enum):
    """Whose counter interrogations may freeze or reset the RTU's counters.

    FIRST_MASTER: those of the master that has been connected longest. Plain reading of counters
    is everybody's, always.
    """

    PASS = "pass"
    FIRST_MASTER = "first_master"
    DENY = "deny"


class ResetProcess(Enum):
    """Whether masters may reset the RTU's process (type 105).

    DEFAULT: qualifier 1, the restart, passes; qualifier 2 and others, which throw away events
    that other masters may still need, are refused.
    """

    DEFAULT = "default"
    PASS = "pass"
    DENY = "deny"


@dataclass(frozen=True)
class ClockSync:
    """Whose clock synchronisations (type 103) reach the RTU.

    ``pass`` lets all through, ``only`` those of the master at ``address``, ``deny`` none.
    """

    kind: str = "pass"
    address: Address | None = None

    def allows(self, master: Address) -> bool:
        """Whether a master at this address (IPv4-mapped ones as IPv4) may set the clock."""
        return self.kind == "pass" or (self.kind == "only" and master == self.address)


@dataclass(frozen=True)
class HoldMax:
    """How much one group may keep in the journal; at the bound the RTU keeps its events.

    :ivar frames: how many events.
    :ivar octets: sum of their ASDUs.
    """

    frames: int = field(default=100_000, metadata=limits(1, 100_000_000))
    octets: int = field(default=64 * 1024 * 1024, metadata=limits(65536, 1099511627776))


@dataclass(frozen=True)
class Host:
    """One address of an RTU: a name or an IP address, and a TCP port (1-65535)."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True)
class GroupOptions:
    """What the service file may set for all groups or for one (seconds and octets).

    Ranges stand beside the fields; the service file is read by them.

    :ivar journal: whether events are put on disk before they are acknowledged early.
    :ivar holdAge: seconds after which an event in the journal is given up; 0 = never.
    :ivar retainMax: upper bound of `GroupConfig.retain`; 0 = no bound of its own.
    :ivar ledgerMax: octets that one group's waiting frames may take in memory.
    :ivar stopDelay: seconds between the last master's leaving and STOPDT act, 0-60.
    :ivar selectTimeout: seconds a select holds, 1-300.
    :ivar confirmTimeout: seconds a request waits for its confirmation.
    :ivar terminationTimeout: seconds a confirmed command waits for its termination.
    :ivar commandAgeMax: seconds after which a command that still waits is refused.
    :ivar giWait: seconds an interrogation waits at most while the one before it gets nowhere.
    :ivar listen: addresses on which the group's port listens; empty = every IPv4 and IPv6 address.
    """

    ackMode: AckMode = AckMode.THROUGH
    journal: bool = True
    holdMax: HoldMax = field(default_factory=HoldMax)
    holdAge: float = field(default=0, metadata=limits(0, 315360000))
    retainMax: float = field(default=0, metadata=limits(0, 604800))
    interrogatedData: InterrogatedData = InterrogatedData.ALL
    endOfInitialization: EndOfInitialization = EndOfInitialization.SWALLOW
    originatorMode: OriginatorMode = field(
        default_factory=OriginatorMode, metadata=named("oa_mode")
    )
    originatorEcho: OriginatorEcho = field(default=OriginatorEcho.AUTO, metadata=named("oa_echo"))
    ledgerMax: int = field(default=4 * 1024 * 1024, metadata=limits(65536, 1073741824))
    stopDelay: float = field(default=0, metadata=limits(0, 60))
    selectTimeout: float = field(default=30, metadata=limits(1, 300))
    confirmTimeout: float = field(default=10, metadata=limits(1, 3600))
    terminationTimeout: float = field(default=30, metadata=limits(1, 3600))
    commandAgeMax: float = field(default=10, metadata=limits(1, 3600))
    giWait: float = field(default=30, metadata=limits(1, 600))
    counterReset: CounterReset = CounterReset.PASS
    clockSync: ClockSync = field(default_factory=ClockSync)
    resetProcess: ResetProcess = ResetProcess.DEFAULT
    listen: tuple[Address, ...] = ()

    @property
    def journalled(self) -> bool:
        """Whether these groups use the journal: `AckMode.IMMEDIATE` never does."""
        return self.journal and self.ackMode is AckMode.THROUGH


@dataclass(frozen=True)
class GroupConfig:
    """One RTU and its masters: a row of the CSV with the service file's options for it.

    :ivar id: group number, unique.
    :ivar name: the RTU's or system's name, at most 16 characters.
    :ivar port: TCP port for the masters, unique, 1-65535.
    :ivar commonAddress: the RTU's number, 1-65535.
    :ivar maxMasters: masters at most, 1-255.
    :ivar idleTime: seconds without any APDU after which a connection is closed; 0 = never.
    :ivar bufferSize: frames that may wait for a master that has stopped acknowledging.
    :ivar rtu: parameters of the connection to the RTU.
    :ivar masters: parameters of the masters' connections.
    :ivar filter: networks that masters may come from; empty = all.
    :ivar control: networks whose masters may command; None = all may, empty = nobody may.
    :ivar denyTypes: type ids that no master may send.
    :ivar retain: seconds for which a lost master's place is kept; 0 = not.
    :ivar keepers: networks of the masters whose acknowledgement settles; empty = all.
    """

    id: int
    name: str
    port: int
    commonAddress: int
    hosts: tuple[Host, ...]
    maxMasters: int = 5
    idleTime: float = 60
    bufferSize: int = 1000
    logEvents: bool = True
    sameAddress: SameAddress = SameAddress.ALL
    filter: tuple[Network, ...] = ()
    control: tuple[Network, ...] | None = None
    denyTypes: frozenset[int] = frozenset()
    retain: float = 0
    keepers: tuple[Network, ...] = ()
    rtu: LinkParameters = field(default_factory=LinkParameters)
    masters: LinkParameters = field(default_factory=LinkParameters)
    options: GroupOptions = field(default_factory=GroupOptions)
