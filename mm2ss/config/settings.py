"""How a dataclass field says what the service file may write for it.

The loader derives keys, types and defaults from the dataclasses; what a type cannot say (the
range, a key that is not the field's name) stands in the field's metadata, made by `limits` and
`named`.
"""

from __future__ import annotations

import re


def limits(low: float, high: float) -> dict[str, float]:
    """Metadata of a number from ``low`` to ``high``."""
    return {"low": low, "high": high}


def named(key: str) -> dict[str, str]:
    """Metadata of a field whose key is not its name in snake_case."""
    return {"key": key}


def snakeCase(name: str) -> str:
    """``ledgerMax`` as ``ledger_max``."""
    return re.sub(r"([A-Z])", r"_\1", name).lower()
