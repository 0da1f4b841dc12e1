"""Commands, qualifiers and file elements: the information elements of the control direction.

Field names are those of 60870-5-101 7.2.6, whose clause each class names. `se` is S/E, True to
select, False to execute; `qu` and `ql` are 0 where nothing is said.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from mm2ss.iec104.bitfields import Element, bits, named


def _command(state: str, qu: int, se: bool) -> str:
    """Return a command's text: 'on', 'off QU 1 select'."""
    return state + (f" QU {qu}" if qu else "") + (" select" if se else "")


@dataclass(frozen=True)
class SCO(Element):
    """Single command (7.2.6.15) with qualifier of command (7.2.6.26)."""

    scs: bool = bits(1)
    reserved: bool = bits(1)
    qu: int = bits(5)
    se: bool = bits(1)

    @property
    def value(self) -> bool:
        return self.scs

    def text(self) -> str:
        return _command("on" if self.scs else "off", self.qu, self.se)


@dataclass(frozen=True)
class DCO(Element):
    """Double command (7.2.6.16); `dcs` 1 off, 2 on, 0 and 3 not permitted."""

    dcs: int = bits(2)
    qu: int = bits(5)
    se: bool = bits(1)

    @property
    def value(self) -> int:
        return self.dcs

    def text(self) -> str:
        return _command(named({1: "off", 2: "on"}, self.dcs, "DCS"), self.qu, self.se)


@dataclass(frozen=True)
class RCO(Element):
    """Regulating step command (7.2.6.17); `rcs` 1 lower, 2 higher, 0 and 3 not permitted."""

    rcs: int = bits(2)
    qu: int = bits(5)
    se: bool = bits(1)

    @property
    def value(self) -> int:
        return self.rcs

    def text(self) -> str:
        return _command(named({1: "lower", 2: "higher"}, self.rcs, "RCS"), self.qu, self.se)


@dataclass(frozen=True)
class QOS(Element):
    """Qualifier of set-point command (7.2.6.39)."""

    ql: int = bits(7)
    se: bool = bits(1)

    def text(self) -> str:
        words = [f"QL {self.ql}"] if self.ql else []
        return " ".join([*words, "select"] if self.se else words)


@dataclass(frozen=True)
class FBP(Element):
    """Fixed test bit pattern, 0x55AA (7.2.6.14)."""

    pattern: int = bits(16)

    def text(self) -> str:
        return f"pattern 0x{self.pattern:04x}"


@dataclass(frozen=True)
class TSC(Element):
    """Test sequence counter of C_TS_TA_1 (60870-5-104 8.8)."""

    counter: int = bits(16)

    def text(self) -> str:
        return f"counter {self.counter}"


_COI: Final = {0: "local power on", 1: "local manual reset", 2: "remote reset"}


@dataclass(frozen=True)
class COI(Element):
    """Cause of initialization (7.2.6.21)."""

    coi: int = bits(7)
    afterChange: bool = bits(1)
    """BS1: initialization after change of local parameters."""

    def text(self) -> str:
        text = named(_COI, self.coi, "COI")
        return f"{text} with changed parameters" if self.afterChange else text


_QOI: Final = {20: "station", **{20 + group: f"group {group}" for group in range(1, 17)}}


@dataclass(frozen=True)
class QOI(Element):
    """Qualifier of interrogation: 20 station, 21-36 groups 1-16 (7.2.6.22)."""

    qoi: int = bits(8)

    def text(self) -> str:
        return named(_QOI, self.qoi, "QOI")


_RQT: Final = {1: "group 1", 2: "group 2", 3: "group 3", 4: "group 4", 5: "general"}
_FRZ: Final = ("read", "freeze", "freeze with reset", "reset")


@dataclass(frozen=True)
class QCC(Element):
    """Qualifier of counter interrogation: request and freeze (7.2.6.23)."""

    rqt: int = bits(6)
    frz: int = bits(2)

    def text(self) -> str:
        return f"{named(_RQT, self.rqt, 'RQT')} {_FRZ[self.frz & 3]}"


_KPA: Final = {1: "threshold", 2: "smoothing", 3: "low limit", 4: "high limit"}


@dataclass(frozen=True)
class QPM(Element):
    """Qualifier of parameter of measured values (7.2.6.24)."""

    kpa: int = bits(6)
    lpc: bool = bits(1)
    pop: bool = bits(1)

    def text(self) -> str:
        flags = ((self.lpc, "changed locally"), (self.pop, "not in operation"))
        words = [named(_KPA, self.kpa, "KPA")]
        return " ".join(words + [word for flag, word in flags if flag])


_QPA: Final = {1: "parameters loaded", 2: "parameter of the object", 3: "transmission"}


@dataclass(frozen=True)
class QPA(Element):
    """Qualifier of parameter activation (7.2.6.25)."""

    qpa: int = bits(8)

    def text(self) -> str:
        return named(_QPA, self.qpa, "QPA")


_QRP: Final = {1: "general reset", 2: "reset of buffered events"}


@dataclass(frozen=True)
class QRP(Element):
    """Qualifier of reset process (7.2.6.27)."""

    qrp: int = bits(8)

    def text(self) -> str:
        return named(_QRP, self.qrp, "QRP")


@dataclass(frozen=True)
class FRQ(Element):
    """File ready qualifier (7.2.6.28)."""

    code: int = bits(7)
    negative: bool = bits(1)

    def text(self) -> str:
        return "file not ready" if self.negative else "file ready"


@dataclass(frozen=True)
class SRQ(Element):
    """Section ready qualifier (7.2.6.29)."""

    code: int = bits(7)
    notReady: bool = bits(1)

    def text(self) -> str:
        return "section not ready" if self.notReady else "section ready"


_SCQ: Final = {
    0: "call directory",
    1: "select file",
    2: "call file",
    3: "deactivate file",
    4: "delete file",
    5: "select section",
    6: "call section",
    7: "deactivate section",
}
_LSQ: Final = {
    1: "file complete",
    2: "file deactivated",
    3: "section complete",
    4: "section deactivated",
}
_AFQ: Final = {
    1: "file accepted",
    2: "file rejected",
    3: "section accepted",
    4: "section rejected",
}


@dataclass(frozen=True)
class SCQ(Element):
    """Select and call qualifier (7.2.6.30); `error` says why, where it is refused."""

    code: int = bits(4)
    error: int = bits(4)

    def text(self) -> str:
        return named(_SCQ, self.code, "SCQ") + (f" error {self.error}" if self.error else "")


@dataclass(frozen=True)
class LSQ(Element):
    """Last section or segment qualifier (7.2.6.31)."""

    code: int = bits(8)

    def text(self) -> str:
        return named(_LSQ, self.code, "LSQ")


@dataclass(frozen=True)
class AFQ(Element):
    """Acknowledge file or section qualifier (7.2.6.32)."""

    code: int = bits(4)
    error: int = bits(4)

    def text(self) -> str:
        return named(_AFQ, self.code, "AFQ") + (f" error {self.error}" if self.error else "")
