"""What the service file sets for the service as a whole, as frozen values with their defaults."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from ipaddress import IPv4Address
from pathlib import Path

from mm2ss.config.model import Address
from mm2ss.config.settings import limits

LOOPBACK = IPv4Address("127.0.0.1")


class LogLevel(Enum):
    """The least important line that a group's event log keeps."""

    INFO = "info"
    WARN = "warn"
    ERROR = "error"


@dataclass(frozen=True)
class LogSettings:
    """The event logs of the groups.

    :ivar directory: where they are; made when it is missing.
    :ivar rotateSize: octets after which a new file is begun.
    :ivar keep: how many full files are kept for each group.
    """

    directory: Path = Path("log")
    rotateSize: int = field(default=10 * 1024 * 1024, metadata=limits(65536, 1099511627776))
    keep: int = field(default=5, metadata=limits(1, 1000))
    level: LogLevel = LogLevel.INFO


@dataclass(frozen=True)
class TraceSettings:
    """The files with the last frames of a group's connections, for Wireshark.

    :ivar enabled: whether one is written when a connection ends by a fault of the protocol.
    :ivar directory: where they are; made when it is missing.
    :ivar keep: how many are kept for each group.
    """

    enabled: bool = True
    directory: Path = Path("trace")
    keep: int = field(default=10, metadata=limits(1, 1000))


@dataclass(frozen=True)
class NtpSettings:
    """How the system clock is set; servers and interval stand in the CSV file.

    :ivar timeout: seconds to wait for one server's answer.
    :ivar stepThreshold: seconds of offset from which the clock is stepped, not slewed.
    :ivar maxOffset: seconds of offset above which an answer is not believed; 0 = any is.
    :ivar maxRoundTrip: seconds after which an answer is too late to tell the time.
    :ivar fight: set the clock even while another program keeps it.
    """

    enabled: bool = True
    timeout: float = field(default=3, metadata=limits(0.1, 60))
    stepThreshold: float = field(default=0.5, metadata=limits(0, 86400))
    maxOffset: float = field(default=86400, metadata=limits(0, 4294967296))
    maxRoundTrip: float = field(default=1, metadata=limits(0.001, 60))
    fight: bool = False


@dataclass(frozen=True)
class ConsoleSettings:
    """The console, a web page. The CSV's ``nogui`` row and ``-n`` switch it off, too."""

    enabled: bool = True
    listen: Address = LOOPBACK
    port: int = field(default=8104, metadata=limits(1, 65535))
    passwordFile: Path | None = None


@dataclass(frozen=True)
class ManholeSettings:
    """The SSH shell into the running service.

    :ivar authorizedKeys: the public keys that may log in, one a line.
    :ivar idleTimeout: seconds without anything typed or shown, then it is closed; 0 = never.
    :ivar maxSessions: how many may be logged in at a time.
    """

    enabled: bool = False
    listen: Address = LOOPBACK
    port: int = field(default=8222, metadata=limits(1, 65535))
    authorizedKeys: Path = Path("authorized_keys")
    idleTimeout: float = field(default=3600, metadata=limits(0, 604800))
    maxSessions: int = field(default=10, metadata=limits(1, 1000))


@dataclass(frozen=True)
class MetricsSettings:
    """Figures for Prometheus."""

    enabled: bool = False
    listen: Address = LOOPBACK
    port: int = field(default=9104, metadata=limits(1, 65535))


@dataclass(frozen=True)
class TlsSettings:
    """Encryption towards RTUs and masters.

    :ivar authorities: certificates of those who may sign the peers' certificates.
    """

    enabled: bool = False
    certificate: Path | None = None
    key: Path | None = None
    authorities: Path | None = None


@dataclass(frozen=True)
class ServiceSettings:
    """All sections but ``defaults`` and ``groups``.

    :ivar stateDirectory: where the service keeps what must outlive it.
    """

    log: LogSettings = field(default_factory=LogSettings)
    trace: TraceSettings = field(default_factory=TraceSettings)
    ntp: NtpSettings = field(default_factory=NtpSettings)
    console: ConsoleSettings = field(default_factory=ConsoleSettings)
    manhole: ManholeSettings = field(default_factory=ManholeSettings)
    metrics: MetricsSettings = field(default_factory=MetricsSettings)
    tls: TlsSettings = field(default_factory=TlsSettings)
    stateDirectory: Path = Path("state")

    @property
    def journalDirectory(self) -> Path:
        """Where the journal of the groups' events is."""
        return self.stateDirectory / "journal"

    @property
    def manholeDirectory(self) -> Path:
        """Where the host keys of the SSH shell are."""
        return self.stateDirectory / "manhole"


#: Seconds between two updates of the clock, where nothing says otherwise.
NTP_INTERVAL = 900
#: Keys of ServiceSettings whose service does not exist yet: they are checked, and said to be so.
NOT_BUILT = ("console", "tls")
