"""What the key Tab makes of the beginning of a name."""

from __future__ import annotations

import re
from typing import Any

#: What can be completed: a dotted name, which may begin with ``group(111)``.
_COMPLETABLE = re.compile(r"((?:group\(\d+\)|[A-Za-z_]\w*)(?:\.[A-Za-z_]\w*)*\.)?([A-Za-z_]\w*)?$")


def completions(line: str, namespace: dict[str, Any]) -> tuple[str, list[str]]:
    """The beginning of a name at the end of a line, and the names that it may become."""
    match = _COMPLETABLE.search(line)
    if match is None or line[: match.start()].endswith("."):
        return "", []
    base, start = match[1], match[2] or ""
    if base is None:
        names = [name for name in namespace if not name.startswith("_")] if start else []
    else:
        try:
            names = dir(eval(base[:-1], namespace))
        except Exception:  # there is no such thing; the line will say so when it is run
            names = []
    hidden = not start.startswith("_")
    return start, sorted(
        name for name in names if name.startswith(start) and not (hidden and name.startswith("_"))
    )


def commonStart(names: list[str]) -> str:
    """What all names begin with."""
    if not names:
        return ""
    first, last = min(names), max(names)
    same = next((i for i, sign in enumerate(first) if last[i] != sign), len(first))
    return first[:same]
