"""Whose a point is: from a select or an execute until it is done, and to nobody else's profit."""

from __future__ import annotations

from math import inf
from typing import Any

import pytest

from mm2ss.iec104.asdu import Cause
from mm2ss.relay.locks import Locks
from tests.groups import request

A, B = "A", "B"
HOLD = 20.0


class Table:
    """`Locks` with time, and with the answers of an RTU."""

    def __init__(self) -> None:
        self.locks: Locks[str] = Locks(HOLD)
        self.now = 0.0

    def select(self, owner: str, **others: Any) -> bytes:
        """A select that goes to the RTU."""
        return self.claim(owner, request(content=bytes((0x81,)), **others))

    def execute(self, owner: str, **others: Any) -> bytes:
        """An execute that goes to the RTU."""
        return self.claim(owner, request(content=bytes((0x01,)), **others))

    def cancel(self, owner: str) -> bytes:
        """A deactivation that goes to the RTU."""
        return self.claim(owner, request(content=bytes((0x81,)), cause=Cause.DEACTIVATION))

    def claim(self, owner: str, asdu: bytes) -> bytes:
        """What goes to the RTU; AssertionError if it may not."""
        assert self.locks.claim(owner, asdu, self.now)
        return asdu

    def may(self, owner: str, select: bool = False, address: int = 100) -> bool:
        """Whether a command would go to the RTU; it takes the point if so."""
        content = bytes((0x81 if select else 0x01,))
        return self.locks.claim(owner, request(address=address, content=content), self.now)

    def confirm(self, owner: str, asdu: bytes) -> None:
        """The RTU confirmed it (an execute: and terminated it)."""
        self.locks.ended(owner, asdu, positive=True, answered=True, now=self.now)

    def refuse(self, owner: str, asdu: bytes) -> None:
        """The RTU refused it."""
        self.locks.ended(owner, asdu, positive=False, answered=True, now=self.now)

    def giveUp(self, owner: str, asdu: bytes) -> None:
        """The RTU did not answer in time."""
        self.locks.ended(owner, asdu, positive=False, answered=False, now=self.now)

    def wait(self, seconds: float) -> None:
        """Time passes; what is due is done at its moment."""
        end = self.now + seconds
        while self.locks.deadline <= end:
            self.now = max(self.now, self.locks.deadline)
            self.locks.purge(self.now)
            assert self.locks.deadline > self.now, "busy loop"
        self.now = end


@pytest.fixture
def table() -> Table:
    """An empty one."""
    return Table()


def test_C03_aSelectExcludesOthers(table: Table) -> None:
    """Neither select nor execute of another passes; other points, stations and owners do."""
    table.select(A)
    assert not table.may(B) and not table.may(B, select=True)
    assert table.may(B, address=101)
    assert table.locks.claim(B, request(station=33), table.now)
    table.execute(A)


def test_C04_aSelectRunsOut(table: Table) -> None:
    """A select holds so long from its confirmation, and no longer."""
    asked = table.select(A)
    table.wait(5)
    table.confirm(A, asked)
    table.wait(HOLD - 0.1)
    assert not table.may(B)
    table.wait(0.1)
    assert len(table.locks) == 0 and table.locks.deadline == inf
    assert table.may(B)


def test_C04_anUnansweredSelectHolds(table: Table) -> None:
    """A select that the RTU has not answered may stand there all the same."""
    asked = table.select(A)
    table.wait(HOLD / 2)
    table.giveUp(A, asked)
    assert not table.may(B)
    table.wait(HOLD / 2)
    assert table.may(B)


def test_R09_aRefusalFrees(table: Table) -> None:
    """The RTU's refusal of the select, or of the execute, frees the point."""
    table.refuse(A, table.select(A))
    assert table.may(B, address=100, select=True)
    table.refuse(A, table.execute(A, address=7))
    assert len(table.locks) == 1


def test_aSecondSelectThatIsRefusedLeavesTheFirst(table: Table) -> None:
    """The RTU refuses to select what is selected already: that is still selected."""
    table.confirm(A, table.select(A))
    table.refuse(A, table.select(A))
    assert not table.may(B)
    table.wait(HOLD)
    assert table.may(B)


def test_C07_executesAreCounted(table: Table) -> None:
    """An owner may send two executes; the point is free when both are done."""
    first, second = table.execute(A), table.execute(A)
    table.confirm(A, first)
    assert not table.may(B)
    table.refuse(A, second)
    assert table.may(B)


def test_anExecuteHasNoDeadlineOfItsOwn(table: Table) -> None:
    """What executes ends with its request, however long that takes."""
    table.confirm(A, table.select(A))
    asked = table.execute(A)
    table.wait(10 * HOLD)
    assert not table.may(B)
    table.confirm(A, asked)
    assert table.may(B)


def test_anUnheardExecuteLeavesTheSelect(table: Table) -> None:
    """No answer to an execute: the select before it may stand still, until it runs out."""
    table.confirm(A, table.select(A))
    table.giveUp(A, table.execute(A))
    assert not table.may(B)
    table.wait(HOLD)
    table.giveUp(B, table.execute(B))
    assert table.may(A), "there was no select"


def test_aSelectDuringAnExecution(table: Table) -> None:
    """The owner's next select is its own still when the execution before it has ended."""
    running = table.execute(A)
    chosen = table.select(A)
    table.confirm(A, running)
    assert not table.may(B)
    table.confirm(A, chosen)
    table.wait(HOLD - 1)
    assert not table.may(B)
    table.wait(1)
    assert table.may(B)


def test_aLateAnswerToAnEarlierSelect(table: Table) -> None:
    """Select and execute at once: the select's refusal does not end what was sent after it."""
    first = table.select(A)
    running = table.execute(A)
    second = table.select(A)
    table.refuse(A, first)
    table.refuse(A, running)
    assert not table.may(B)
    table.refuse(A, second)
    assert table.may(B)


def test_C06_onlyTheOwnerCancels(table: Table) -> None:
    """A deactivation passes for who has the point only; its confirmation frees it."""
    cancel = request(content=bytes((0x81,)), cause=Cause.DEACTIVATION)
    assert not table.locks.claim(A, cancel, 0)
    table.confirm(A, table.select(A))
    assert not table.locks.claim(B, cancel, 0)
    table.confirm(A, table.cancel(A))
    assert table.may(B)


@pytest.mark.parametrize("answered", [True, False])
def test_aCancelThatFailsLeavesTheSelect(table: Table, answered: bool) -> None:
    """An RTU that refuses or ignores deactivations keeps its select, and so does the lock."""
    table.confirm(A, table.select(A))
    asked = table.cancel(A)
    table.refuse(A, asked) if answered else table.giveUp(A, asked)
    assert not table.may(B)
    table.wait(HOLD)
    assert table.may(B)


def test_aSelectBehindACancel(table: Table) -> None:
    """Select, cancel, select at once: the cancel's confirmation leaves the second select."""
    table.confirm(A, table.select(A))
    cancelled = table.cancel(A)
    chosen = table.select(A)
    table.confirm(A, cancelled)
    assert not table.may(B)
    table.confirm(A, chosen)
    assert not table.may(B)


def test_C05_abandon(table: Table) -> None:
    """What a master that leaves has selected is to be deactivated, once, and stays its own."""
    table.confirm(A, table.select(A, address=1))
    table.execute(A, address=2)
    table.confirm(B, table.select(B, address=3))
    (ending,) = table.locks.abandon(A)
    assert ending == request(address=1, content=bytes((0x81,)), cause=Cause.DEACTIVATION)
    assert table.locks.abandon(A) == []
    assert not table.may(B, address=1) and not table.may(B, address=2)
    table.confirm(A, ending)
    assert table.may(B, address=1)


def test_timeTagsMakeNoDifference(table: Table) -> None:
    """A point is one point for commands of all types, with and without a time tag."""
    tagged = request(58, content=bytes((0x81, *bytes(7))))
    table.confirm(A, table.claim(A, tagged))
    assert not table.may(B)
    table.confirm(A, table.execute(A))
    assert table.may(B)


def test_R24_testCommandsTakeNothing(table: Table) -> None:
    """Commands with the T bit neither take a point nor need one, and end nothing."""
    test = request(content=bytes((0x81,)), test=True)
    table.claim(A, test)
    assert len(table.locks) == 0
    table.select(B)
    table.claim(A, test)
    table.refuse(B, test)
    assert not table.may(A)


def test_clear(table: Table) -> None:
    """With the RTU's connection all is gone."""
    table.select(A)
    table.locks.clear()
    assert len(table.locks) == 0 and table.locks.deadline == inf


def test_theDeadlineIsALookUp(table: Table) -> None:
    """The deadline is never later than the earliest, and moves on when it has come."""
    for number in range(100):
        table.confirm(A, table.select(A, address=number))
        table.wait(0.1)
    table.confirm(A, table.execute(A, address=0))
    assert table.locks.deadline <= HOLD + 0.1
    table.wait(HOLD)
    assert len(table.locks) == 0
