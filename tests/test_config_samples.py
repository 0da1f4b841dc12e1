"""The samples in etc/: they load, and the service file's shows every key with its default."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from itertools import takewhile
from pathlib import Path
from typing import get_type_hints

from mm2ss.config.groups_csv import parseGroups, readGroups
from mm2ss.config.load import configure
from mm2ss.config.schema import OPTIONS, Key, OptionSettings, Section
from mm2ss.config.service_file import SERVICE, noServiceFile, parseServiceFile, readServiceFile
from mm2ss.config.service_settings import NOT_BUILT, ServiceSettings
from mm2ss.config.settings import snakeCase

ROOT = Path(__file__).parent.parent
ETC = ROOT / "etc"
DOCS = ROOT / "docs"
#: A comment that is words, not a key that stands at its default.
WORDS = re.compile(r" *# ")


def keysOf(section: Section, path: str = "") -> Iterator[tuple[str, object]]:
    """Dotted keys and defaults of a section."""
    for name, item in section.items.items():
        if isinstance(item, Section):
            yield from keysOf(item, f"{path}{name}.")
        else:
            yield path + name, item.default


def test_groupsSample() -> None:
    """etc/groups.csv loads without a problem."""
    file = readGroups(ETC / "groups.csv")
    assert [group.id for group in file.groups] == [111, 222]
    assert file.problems == () and [each.id for each in file.afterEnd] == ["444"]


def test_samplesTogether() -> None:
    """Both samples together give no problem."""
    configuration = configure(readGroups(ETC / "groups.csv"), readServiceFile("mm2ss.yaml", ETC))
    assert configuration.problems == () and len(configuration.groups) == 2
    assert [group.retain for group in configuration.groups] == [0, 300]


def test_groupsSampleRowsLoad() -> None:
    """The rows of etc/groups.csv that are commented out or stand after the ! row are right, too."""
    text = (ETC / "groups.csv").read_text("utf-8")
    everything = re.sub(r"(?m)^#(?=333|nogui|\w+,)", "", text).replace("! A row", "# A row")
    file = parseGroups(everything.encode(), "g.csv")
    assert [group.id for group in file.groups] == [111, 222, 333, 444]
    assert file.problems == () and file.nogui and file.ntpInterval == 900
    assert file.groups[0].rtu == file.groups[3].rtu


def test_serviceSampleAsItIs() -> None:
    """etc/mm2ss.yaml sets nothing before somebody takes a # away."""
    file = readServiceFile("mm2ss.yaml", ETC)
    assert file.problems == () and file.notBuilt == ()
    assert file.settings == noServiceFile(ETC).settings
    assert not file.defaults.settings and not file.groups


def test_serviceSampleShowsEveryKey() -> None:
    """Without the #, etc/mm2ss.yaml sets every key of the schema, each to its default."""
    text = (ETC / "mm2ss.yaml").read_text("utf-8")
    file = parseServiceFile(re.sub(r"(?m)^( *)#(?=\w)", r"\1", text).encode(), "s.yaml", "/base")
    assert file.problems == ()
    assert {key: each.value for key, each in file.defaults.settings.items()} == dict(
        keysOf(OPTIONS)
    )
    assert file.settings == noServiceFile("/base").settings
    assert set(file.lines) == {key for key, _ in keysOf(SERVICE)}


def rangesOf(cls: type[object], path: str = "") -> Iterator[tuple[str, float, float]]:
    """Dotted keys and ranges of the numbers that a section takes."""
    hints = get_type_hints(cls)
    for each in fields(cls):  # type: ignore[arg-type]  # all sections are dataclasses
        key = path + str(each.metadata.get("key", snakeCase(each.name)))
        if "high" in each.metadata:
            yield key, each.metadata["low"], each.metadata["high"]
        elif is_dataclass(hints[each.name]):
            yield from rangesOf(hints[each.name], f"{key}.")


def commentAbove(lines: list[str], number: int) -> str:
    """The nearest comment of words above a line, which counts from 1."""
    above = takewhile(lambda line: not WORDS.match(line), reversed(lines[: number - 1]))
    place = number - 1 - len(list(above))
    words = takewhile(WORDS.match, reversed(lines[:place]))
    return " ".join(reversed(list(words)))


def test_serviceSampleTellsRanges() -> None:
    """The comment above each number of etc/mm2ss.yaml says how small and how large it may be."""
    lines = (ETC / "mm2ss.yaml").read_text("utf-8").splitlines()
    text = "\n".join(re.sub(r"^( *)#(?=\w)", r"\1", line) for line in lines)
    file = parseServiceFile(text.encode(), "s.yaml", "/base")
    where = {**file.lines, **{key: each.line for key, each in file.defaults.settings.items()}}
    ranges = [*rangesOf(OptionSettings), *rangesOf(ServiceSettings)]
    assert len(ranges) > 25
    for key, low, high in ranges:
        comment = commentAbove(lines, where[key])
        assert f"{high:g}" in comment or f"{high:.0f}" in comment, (key, high, comment)
        assert f"{low:g}" in comment or "up to" in comment, (key, low, comment)


def test_everyKeyIsUsed() -> None:
    """What the service file can set is read by the program, outside of the configuration's own
    package; but for sections that are said not to be built."""
    sources = [*(ROOT / "mm2ss").glob("*.py")]
    for layer in ("relay", "services", "iec104"):
        sources += (ROOT / "mm2ss" / layer).glob("*.py")
    read = set(re.findall(r"\.([A-Za-z0-9]+)\b", "\n".join(p.read_text("utf-8") for p in sources)))
    read |= {"retainMax", "stateDirectory"}  # set a row's limit; hold the folders of others
    for section, names in ((OPTIONS, ()), (SERVICE, NOT_BUILT)):
        for name, item in section.items.items():
            if name not in names:
                assert set(fieldsOf(item)) <= read, name


def fieldsOf(item: Section | Key) -> Iterator[str]:
    """The fields that a section, or a key, fills."""
    if isinstance(item, Key):
        yield item.field
    else:
        for each in item.items.values():
            yield from fieldsOf(each)


def test_serviceSampleExample() -> None:
    """The example of one group's options in etc/mm2ss.yaml is right."""
    text = (ETC / "mm2ss.yaml").read_text("utf-8")
    file = parseServiceFile(re.sub(r"(?m)^  # (?=111| )", "  ", text).encode(), "s", "/base")
    assert file.problems == () and set(file.groups[111].settings) >= {"oa_mode", "rtu.k"}


def test_documentationNamesEveryKey() -> None:
    """docs/configuration.md describes every key of the service file."""
    text = (DOCS / "configuration.md").read_text("utf-8")
    for key, _ in (*keysOf(OPTIONS), *keysOf(SERVICE)):
        assert f"`{key.rpartition('.')[2]}`" in text, key
