"""The samples in etc/: they load, and the service file's shows every key with its default."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from mm2ss.config.groups_csv import parseGroups, readGroups
from mm2ss.config.load import configure
from mm2ss.config.schema import OPTIONS, Section
from mm2ss.config.service_file import SERVICE, noServiceFile, parseServiceFile, readServiceFile

ETC = Path(__file__).parent.parent / "etc"
DOCS = Path(__file__).parent.parent / "docs"


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
    for key, _ in keysOf(SERVICE):
        assert re.search(rf"(?m)^ *#{key.rpartition('.')[2]}: ", text), key


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
