"""YAML text -> a plain tree of texts with line numbers, without YAML's surprises.

Nothing is converted here: ``on``, ``010`` and ``1:30`` stay what is written, and the reader of a
key says what it takes. Anchors, aliases, merge keys, tags and several documents are refused, so a
small file is never a large tree.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import yaml

#: Deepest nesting; a service file needs four levels. The parser's own bookkeeping grows with it.
MAX_DEPTH = 16


@dataclass(frozen=True)
class Scalar:
    """One value or key as it is written; ``plain`` when it stands without quotes."""

    text: str
    plain: bool
    line: int

    @property
    def isNull(self) -> bool:
        """Whether nothing is written (or YAML's words for nothing)."""
        return self.plain and self.text in ("", "~", "null", "Null", "NULL")


@dataclass(frozen=True)
class Sequence:
    """A list."""

    items: tuple[Node, ...]
    line: int


@dataclass(frozen=True)
class Mapping:
    """Keys with their values in file order; a key that is written twice is in it twice."""

    entries: tuple[tuple[Node, Node], ...]
    line: int


Node = Scalar | Sequence | Mapping


class TreeError(Exception):
    """The text is no YAML, or uses what is refused; ``line`` counts from 1."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(reason)
        self.line = line
        self.reason = reason


def readTree(text: str) -> Node | None:
    """The tree of a YAML text, or None when it holds nothing.

    :raises TreeError: for anything that is not one such document.
    """
    try:
        # SafeLoader, and only its parser: no tag is resolved and no object is made.
        return _document(_checked(yaml.parse(text, Loader=yaml.SafeLoader)))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        reason = _plainly(error.problem or "this is no YAML")
        raise TreeError(mark.line + 1 if mark else 1, reason) from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise TreeError(line, "holds a character that YAML does not allow") from None
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        raise TreeError(1, f"this is no YAML: {error}") from None


def _plainly(problem: str) -> str:
    if "'\\t'" in problem:
        return "a tab stands where only spaces may; indent with spaces"
    return f"this is no YAML: {problem}"


def _checked(events: Iterator[yaml.Event]) -> Iterator[yaml.Event]:
    """The events as they come, as long as nothing in them is refused."""
    depth = documents = 0
    for event in events:
        line = _lineOf(event)
        if getattr(event, "anchor", None) is not None:
            raise TreeError(line, "anchors (&) and aliases (*) are not used here; write it out")
        if getattr(event, "tag", None) is not None:
            raise TreeError(line, "tags (!) are not used here; write the value alone")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        elif isinstance(event, yaml.DocumentStartEvent):
            documents += 1
        if depth > MAX_DEPTH:
            raise TreeError(line, f"is nested deeper than {MAX_DEPTH} levels")
        if documents > 1:
            raise TreeError(line, "a second document begins here (---); only one is read")
        yield event


def _lineOf(event: yaml.Event) -> int:
    return event.start_mark.line + 1 if event.start_mark else 1


def _document(events: Iterator[yaml.Event]) -> Node | None:
    root: Node | None = None
    for event in events:
        if isinstance(event, yaml.NodeEvent):
            root = _node(event, events)
    return root


def _node(event: yaml.Event, events: Iterator[yaml.Event]) -> Node:
    """The node that begins with ``event``; takes what belongs to it from ``events``."""
    line = _lineOf(event)
    if isinstance(event, yaml.ScalarEvent):
        return Scalar(event.value, event.style is None, line)
    parts = []
    for part in events:
        if isinstance(part, yaml.CollectionEndEvent):
            break
        parts.append(_node(part, events))
    if isinstance(event, yaml.SequenceStartEvent):
        return Sequence(tuple(parts), line)
    return Mapping(tuple(zip(parts[::2], parts[1::2], strict=True)), line)
