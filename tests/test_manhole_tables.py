"""What the shell prints fits into the window."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from mm2ss.services.tables import UNBOUNDED, Column, Facts, Table, factsOf, shown, window

COLUMNS = (Column("id"), Column("name", 6), Column("transfer"), Column("why", 5))
ROWS = [(1, "North-West station", "started", ""), (20, "South", "not connected", "disk is full")]


def test_aTable() -> None:
    """Columns stand under their titles, numbers to the right, nothing is a dash."""
    assert Table(COLUMNS, ROWS).render(UNBOUNDED) == (
        "id  name                transfer       why\n"
        "--  ------------------  -------------  ------------\n"
        " 1  North-West station  started        -\n"
        "20  South               not connected  disk is full"
    )
    assert Table(COLUMNS, []).render(80) == "(none)"


def test_aNarrowTable() -> None:
    """Too wide, texts are cut first, the most important first; then columns are left out."""
    assert Table(COLUMNS, ROWS).render(42) == (
        "id  name       transfer       why\n"
        "--  ---------  -------------  ------------\n"
        " 1  North-We…  started        -\n"
        "20  South      not connected  disk is full"
    )
    assert Table(COLUMNS, ROWS).render(20) == (
        "id  name\n--  ------\n 1  North…\n20  South\n(no room for: transfer, why)"
    )


CELLS = st.one_of(st.integers(), st.text(max_size=30), st.booleans(), st.none(), st.floats())


@given(st.lists(st.tuples(*[CELLS] * 4), min_size=1, max_size=5), st.integers(1, 120))
def test_tablesFit(rows: list[tuple[object, ...]], width: int) -> None:
    """Whatever is in it, a table has a line for each row and keeps within the window, unless one
    column alone is wider; no line holds a control character."""
    lines = Table([Column(f"c{n}", 3 * (n % 2)) for n in range(4)], rows).render(width).split("\n")
    hasNote = lines[-1].startswith("(no room for: ")
    table = lines[:-1] if hasNote else lines
    assert len(table) == len(rows) + 2
    assert all(line.isprintable() for line in table)
    columns = len(table[1].split())
    assert columns + lines[-1].count("c") * hasNote == 4
    assert columns == 1 or max(map(len, table)) <= width


def test_facts() -> None:
    """Long values are folded beside their names."""
    assert Facts({"a": 1, "long one": "x " * 12}).render(30) == (
        "a         1\nlong one  x x x x x x x x x x\n          x x"
    )
    with window(30):
        assert repr(Facts({"long one": "x " * 12})).count("\n") == 1
    assert repr(Facts({})) == "(nothing)"


@dataclass(frozen=True)
class Figures:
    """Some figures."""

    sentFrames: int
    isFull: bool
    reasons: dict[str, int]
    delay: float
    peers: tuple[str, ...]


def test_figuresInWords() -> None:
    """Names of fields become words; values of all kinds stay in one line."""
    figures = Figures(3, True, {"FILTER": 2}, 0.25, ("a", "b"))
    assert list(factsOf(figures)) == ["sent frames", "is full", "reasons", "delay", "peers"]
    assert shown(figures) == (
        "sent frames 3, is full yes, reasons FILTER: 2, delay 0.25, peers a, b"
    )
    assert shown("\x1b[2J\n") == "?[2J?"
