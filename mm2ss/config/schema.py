"""Dataclasses -> the keys that the service file may hold, and the values that each key takes."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import MISSING, Field, dataclass, field, fields, is_dataclass
from enum import Enum
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from types import NoneType
from typing import Any, get_args, get_type_hints

from mm2ss.config.addresses import parseAddress
from mm2ss.config.model import ClockSync, GroupOptions, OriginatorMode
from mm2ss.config.parameters import MAX_WINDOW
from mm2ss.config.settings import limits, snakeCase
from mm2ss.config.yaml_tree import Node, Scalar, Sequence


@dataclass(frozen=True)
class MastersSettings:
    """Parameters of the masters' connections; None = what the group's row says."""

    k: int | None = field(default=None, metadata=limits(1, MAX_WINDOW))
    w: int | None = field(default=None, metadata=limits(1, MAX_WINDOW))
    t1: float | None = field(default=None, metadata=limits(1, 255))
    t2: float | None = field(default=None, metadata=limits(1, 255))
    t3: float | None = field(default=None, metadata=limits(1, 172800))


@dataclass(frozen=True)
class RtuSettings(MastersSettings):
    """Parameters of the connection to the RTU; t0 is how long one connect may take."""

    t0: float | None = field(default=None, metadata=limits(1, 255))


@dataclass(frozen=True)
class OptionSettings(GroupOptions):
    """What stands under ``defaults`` and under one group."""

    rtu: RtuSettings = field(default_factory=RtuSettings)
    masters: MastersSettings = field(default_factory=MastersSettings)


#: Dataclasses that the file writes as one word.
_WORDY = (OriginatorMode, ClockSync)

_NUMBER = re.compile(r"-?(0|[1-9][0-9]{0,17})(\.[0-9]{1,9})?")
#: What YAML readers take for something else than text when it stands without quotes.
_NO_TEXT = re.compile(r"true|false|yes|no|on|off|[-+]?[0-9][0-9_.:,eE+-]*", re.IGNORECASE)


@dataclass(frozen=True)
class Key:
    """One key that takes a value.

    :ivar field: the dataclass field that it sets.
    :ivar default: what holds without it.
    :ivar parse: node -> value; raises ValueError with the reason.
    """

    field: str
    default: Any
    parse: Callable[[Node], Any]


@dataclass(frozen=True)
class Section:
    """A mapping of keys and further sections by name, and the dataclass that it fills."""

    field: str
    cls: type[Any]
    items: dict[str, Key | Section]


def sectionOf(cls: type[Any], name: str = "") -> Section:
    """The section that a dataclass describes, to be kept in the field ``name`` of another one."""
    hints = get_type_hints(cls)
    items: dict[str, Key | Section] = {}
    for each in fields(cls):
        key = each.metadata.get("key", snakeCase(each.name))
        hint = hints[each.name]
        if isinstance(hint, type) and is_dataclass(hint) and hint not in _WORDY:
            items[key] = sectionOf(hint, each.name)
        else:
            items[key] = Key(each.name, _defaultOf(each), _parserOf(hint, each))
    return Section(name, cls, items)


def _defaultOf(each: Field[Any]) -> Any:
    return each.default if each.default_factory is MISSING else each.default_factory()


def _parserOf(hint: Any, each: Field[Any]) -> Callable[[Node], Any]:
    """What reads a value of the type ``hint``; None is taken where the type has it."""
    kinds = set(get_args(hint) or (hint,))
    optional = NoneType in kinds
    kinds -= {NoneType}
    low, high = each.metadata.get("low", 0), each.metadata.get("high", 0)
    if kinds == {IPv4Address, IPv6Address}:
        return _address
    if isinstance(hint, type) and issubclass(hint, Enum):
        return lambda node: _word(node, hint)
    for kind, parse in (
        (bool, _truth),
        (int, lambda node: _whole(node, low, high)),
        (float, lambda node: _number(node, low, high)),
        (Path, _path),
        (OriginatorMode, _originatorMode),
        (ClockSync, _clockSync),
    ):
        if kinds == {kind}:
            return _orNothing(parse) if optional else parse
    return _addresses


def _orNothing(parse: Callable[[Node], Any]) -> Callable[[Node], Any]:
    return lambda node: None if isinstance(node, Scalar) and node.isNull else parse(node)


def _scalar(node: Node, wanted: str) -> Scalar:
    if not isinstance(node, Scalar):
        kind = "a list" if isinstance(node, Sequence) else "a group of keys"
        raise ValueError(f"is {kind}; {wanted} is needed here")
    if node.isNull:
        raise ValueError(f"has no value; {wanted} is needed here")
    return node


def _truth(node: Node) -> bool:
    scalar = _scalar(node, "true or false")
    if not scalar.plain or scalar.text.lower() not in ("true", "false"):
        raise ValueError("is not true or false (without quotes)")
    return scalar.text.lower() == "true"


def _number(node: Node, low: float, high: float) -> float:
    scalar = _scalar(node, "a number")
    if not scalar.plain:
        raise ValueError("is text; write the number without quotes")
    if not _NUMBER.fullmatch(scalar.text):
        raise ValueError("is not a number in plain decimal digits (no unit, no leading zero)")
    value = float(scalar.text)
    if not low <= value <= high:
        raise ValueError(f"is not in {low}-{high}")
    return int(value) if value.is_integer() else value


def _whole(node: Node, low: float, high: float) -> int:
    value = _number(node, low, high)
    if not isinstance(value, int):
        raise ValueError("is not a whole number")
    return value


def _word(node: Node, words: type[Enum]) -> Enum:
    """One of the words of an enum. YAML's yes and no are words here, never true and false."""
    text = _scalar(node, "a word").text.lower()
    known = [str(each.value) for each in words]
    if text in known:
        return words(text)
    raise ValueError(f"is not known; {', '.join(known)} are possible")


def _path(node: Node) -> Path:
    scalar = _scalar(node, "a path")
    if not scalar.text.strip() or not scalar.text.isprintable():
        raise ValueError("is not a path")
    if scalar.plain and _NO_TEXT.fullmatch(scalar.text):
        raise ValueError("is no text; put the path in quotes if it is meant so")
    return Path(scalar.text)


def _address(node: Node) -> IPv4Address | IPv6Address:
    return parseAddress(_scalar(node, "an address").text)


def _addresses(node: Node) -> tuple[IPv4Address | IPv6Address, ...]:
    """A list of addresses, or one alone."""
    found: list[IPv4Address | IPv6Address] = []
    for item in node.items if isinstance(node, Sequence) else (node,):
        text = _scalar(item, "an address").text
        try:
            address = parseAddress(text)
        except ValueError as error:
            raise ValueError(f"'{text}': {error}") from None
        if address in found:
            raise ValueError(f"'{text}' stands in the list twice")
        found.append(address)
    return tuple(found)


def _originatorMode(node: Node) -> OriginatorMode:
    text = _scalar(node, "slot, keep or fixed:n").text
    if text in ("slot", "keep"):
        return OriginatorMode(text)
    match = re.fullmatch(r"fixed:(0|[1-9][0-9]{0,2})", text)
    if match is None or int(match[1]) > 255:
        raise ValueError("is not slot, keep or fixed:n with n 0-255")
    return OriginatorMode("fixed", int(match[1]))


def _clockSync(node: Node) -> ClockSync:
    text = _scalar(node, "pass, deny or only:ADDRESS").text
    if text in ("pass", "deny"):
        return ClockSync(text)
    only, colon, address = text.partition(":")
    if only != "only" or not colon:
        raise ValueError("is not pass, deny or only:ADDRESS")
    return ClockSync("only", parseAddress(address.strip()))


#: What stands under ``defaults`` and under each group.
OPTIONS = sectionOf(OptionSettings)
