"""The parameters of one connection never contradict each other."""

from __future__ import annotations

import pytest

from mm2ss.config.parameters import LinkParameters


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"t1": 10, "t2": 10}, "t2"),
        ({"t2": 15}, "t2"),
        ({"t2": 16}, "t2"),
        ({"w": 13}, "w"),
        ({"k": 7}, "w"),
        ({"k": 0}, "k"),
        ({"k": 32768}, "k"),
        ({"w": 0}, "w"),
        ({"t0": 0.5}, "t0"),
        ({"t0": 256}, "t0"),
        ({"t1": 256}, "t1"),
        ({"t2": 0}, "t2"),
        ({"t3": 172801}, "t3"),
    ],
)
def test_T11_linkParametersAreRefused(values: dict[str, float], reason: str) -> None:
    """t2 >= t1, w > k or a value out of range is a ValueError that names it."""
    with pytest.raises(ValueError, match=f"^{reason} "):
        LinkParameters(**values)  # type: ignore[arg-type]  # wrong on purpose


def test_limitsAreInclusive() -> None:
    """The ends of the ranges are possible, and w may be k."""
    assert LinkParameters(k=32767, w=32767, t0=255, t1=255, t2=254, t3=172800).w == 32767
    assert LinkParameters(k=1, w=1, t0=1, t1=2, t2=1, t3=1).k == 1
