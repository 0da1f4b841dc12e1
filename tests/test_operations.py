"""docs/operations.md: the words that it quotes are the program's, and what it names exists."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pytest

from mm2ss.config.schema import OPTIONS, Section
from mm2ss.config.service_file import SERVICE

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "operations.md").read_text("utf-8")
#: What twistd says, not we.
TWISTD = "twisted.scripts._twistd_unix"
#: Metrics of the client library.
FOREIGN = {"process_open_fds"}


def symptoms() -> Iterator[list[str]]:
    """The rows of the tables of symptoms, as their cells."""
    for line in PAGE.partition("## Symptoms")[2].splitlines():
        if line.startswith("| ") and not line.startswith("| symptom"):
            yield [cell.strip() for cell in line.strip("|").split(" | ")]


def quoted() -> list[str]:
    """All that stands in code style in the columns that say where a symptom shows."""
    return sorted({span for row in symptoms() for span in re.findall(r"`([^`]+)`", row[1])})


@cache
def source() -> tuple[tuple[str, ...], frozenset[str], frozenset[str]]:
    """Of the program: its texts with what differs as U+0000, its names, its enums' members."""
    texts: list[str] = []
    names: set[str] = set()
    members: set[str] = set()
    spec = find_spec(TWISTD)
    assert spec is not None and spec.origin is not None
    for path in (*(ROOT / "mm2ss").rglob("*.py"), Path(spec.origin)):
        tree = ast.parse(path.read_text("utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.JoinedStr):
                parts = [v.value if isinstance(v, ast.Constant) else "\0" for v in node.values]
                texts.append("".join(map(str, parts)))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                texts.append(re.sub(r"\{[^}]*\}", "\0", node.value))
            elif isinstance(node, ast.ClassDef):
                assigned = [each for each in node.body if isinstance(each, ast.Assign)]
                members |= {t.id for a in assigned for t in a.targets if isinstance(t, ast.Name)}
                fields = [each for each in node.body if isinstance(each, ast.AnnAssign)]
                names |= {each.target.id for each in fields if isinstance(each.target, ast.Name)}
            elif isinstance(node, ast.FunctionDef):
                names.add(node.name)
        for node in ast.walk(tree):  # docstrings are not said by anybody
            if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)):
                said = ast.get_docstring(node, clean=False)
                if said is not None:
                    texts.remove(re.sub(r"\{[^}]*\}", "\0", said))
    return tuple(texts), frozenset(names), frozenset(members)


def isKnown(span: str) -> bool:
    """Whether the program says this, or has a metric, a cause or a name like this."""
    texts, names, members = source()
    if span in FOREIGN or span == "journalctl":
        return True
    if metric := re.fullmatch(r"(mm2ss_\w+?)(_total)?(\{(\w+)=\"([^\"]+)\"\})?", span):
        name, total, _, label, value = metric.groups()
        isThere = name in texts or name + (total or "") in texts or isNtp(name, texts)
        return isThere and (label is None or (label in texts and value in members | {*texts}))
    if span.startswith("cause="):
        return span.removeprefix("cause=") in members
    if call := re.fullmatch(r"(\w+)\(111\)(\.(\w+))?", span):
        return call[1] in names and (call[3] is None or call[3] in names)
    pieces = [piece for piece in span.split("…") if piece.strip(" (")]
    return any(saysInOrder(text, pieces) for text in texts)


def isNtp(name: str, texts: tuple[str, ...]) -> bool:
    """Whether it is one of the metrics whose names are put together."""
    return name.startswith("mm2ss_ntp_") and name.removeprefix("mm2ss_ntp_") in texts


def saysInOrder(text: str, pieces: list[str]) -> bool:
    """Whether a text has the pieces, one after the other."""
    place = 0
    for piece in pieces:
        place = text.find(piece, place)
        if place < 0:
            return False
        place += len(piece)
    return True


def test_tablesAreRead() -> None:
    """The rows are complete, and they are many."""
    rows = list(symptoms())
    assert len([row for row in rows if len(row) == 4]) > 50
    assert [row for row in rows if len(row) != 4 and not set(row[0]) <= set("-|")] == []


@pytest.mark.parametrize("span", quoted())
def test_quotedWordsAreTheProgrammes(span: str) -> None:
    """What an operator is told to look for is what the program says, word for word."""
    assert isKnown(span), span


@pytest.mark.parametrize(
    "span",
    [
        "RTU not amused: …",
        "cause=T9",
        "mm2ss_nothing",
        'mm2ss_rtu_up{reason="UNHEARD"}',
        "group(111).unheard",
        "frames wait … RTU not reached",
    ],
)
def test_otherWordsAreFound(span: str) -> None:
    """Words that the program does not say do not pass."""
    assert not isKnown(span)


def keysOf(section: Section) -> Iterator[str]:
    """The names of all keys."""
    for name, item in section.items.items():
        yield name
        if isinstance(item, Section):
            yield from keysOf(item)


def test_remediesNameOptions() -> None:
    """Options that the page advises to change are there."""
    known = {*keysOf(OPTIONS), *keysOf(SERVICE), "t1", "t3", "w", "k"}
    columns = {"bufsize", "control", "deny types", "filter", "hosts", "idletime", "max conn"}
    columns |= {"retain", "same ip", "keepers", "ntp_server"}
    advised = {
        span for row in symptoms() for cell in row[2:] for span in re.findall(r"`([a-z_ ]+)`", cell)
    }
    values = {"all", "new", "old", "mm2ss"}
    assert advised - known - columns - values == set()


def test_filesExist() -> None:
    """The page names the units and drop-ins of etc/systemd, all of them and no others."""
    named = set(re.findall(r"^\| `([\w@.-]+)` \| ", PAGE, re.MULTILINE))
    assert named == {path.name for path in (ROOT / "etc" / "systemd").iterdir()}


def test_linksLead() -> None:
    """Links lead to files of this tree."""
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", PAGE):
        assert (ROOT / "docs" / target).exists(), target
