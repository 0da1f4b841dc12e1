"""Originator addresses: given, kept, and rested before another master gets them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mm2ss.relay.slots import QUARANTINE, Slots


def test_lowestFirst() -> None:
    """Masters get 1, 2, 3 and so on; 0 is no slot."""
    slots = Slots()
    assert [slots.take(0) for _ in range(3)] == [1, 2, 3]


def test_R22_slotRestsForAMinute() -> None:
    """A slot is not given again before its master has been gone for 60 s."""
    slots = Slots()
    assert slots.take(0) == 1
    slots.giveBack(1, 10)
    assert slots.take(10 + QUARANTINE - 0.01) == 2
    assert slots.take(10 + QUARANTINE) == 1


def test_R22_slotWithOpenRequestsRestsLonger() -> None:
    """A slot for which the RTU may still answer somebody is not given to another."""
    slots = Slots()
    assert slots.take(0) == 1
    slots.giveBack(1, 0)
    assert slots.take(100, pending={1}) == 2
    assert slots.take(100, pending={1}) == 3
    assert slots.take(100) == 1


def test_whenAllRestTheLongestRestedIsTaken() -> None:
    """With none out of quarantine, the one whose master left first and has nothing pending."""
    slots = Slots()
    for _ in range(255):
        slots.take(0)
    for number, slot in enumerate((9, 7, 8)):
        slots.giveBack(slot, number)
    assert slots.take(5, pending={9}) == 7
    assert slots.take(5, pending={9}) == 8
    assert slots.take(5, pending={9}) == 9


def test_allInUse() -> None:
    """The 256th master at a time is an error of ours: a group has at most 255."""
    slots = Slots()
    assert [slots.take(0) for _ in range(255)] == list(range(1, 256))
    with pytest.raises(ValueError, match="255"):
        slots.take(1000)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 300), st.floats(0, 50)), max_size=300))
def test_noSlotForTwo(steps: list[tuple[bool, int, float]]) -> None:
    """However masters come and go: a slot is 1-255, and never two masters' at a time."""
    slots = Slots()
    used: list[int] = []
    now = 0.0
    for come, which, pause in steps:
        now += pause
        if come and len(used) < 255:
            slot = slots.take(now)
            assert 1 <= slot <= 255 and slot not in used
            used.append(slot)
        elif used:
            slots.giveBack(used.pop(which % len(used)), now)
