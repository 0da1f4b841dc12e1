"""What a connection remembers of its last octets, so that a trace can tell how it ended."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from struct import Struct

from mm2ss.iec104.apci import HEAD_LENGTH, CloseCause, UFunction, encodeU

#: Chunks, in both directions together, that a connection keeps at most. When there are more, the
#: older half goes.
CHUNKS = 32
#: Octets at the end of a chunk that are kept: two of the longest APDUs. With `CHUNKS` it bounds a
#: connection's memory: below 25 kB at the busiest.
KEPT = 512
#: Seconds after which chunks are packed: thousands of connections say nothing but TESTFR, and that
#: seldom. Of TESTFR the last `TESTS` chunks are kept, so that it does not push out the rest.
IDLE = 15.0
TESTS = 4

#: One chunk: monotonic seconds, its whole length (positive = received, negative = sent), its end.
Chunk = tuple[float, int, bytes]

_HEAD = Struct("<diH")
_TESTS_LENGTH = TESTS * (_HEAD.size + HEAD_LENGTH)
_TESTS = frozenset((encodeU(UFunction.TESTFR_ACT), encodeU(UFunction.TESTFR_CON)))


class Tape:
    """The last chunks of one connection.

    :ivar ear: told of each chunk, whole, if somebody follows the connection: its time, its length
        (negative = sent) and its octets.
    """

    __slots__ = ("_isTested", "_packed", "_recent", "ear")

    def __init__(self) -> None:
        self._recent: list[Chunk] = []
        self._isTested = False  # the last `TESTS` that are packed, if so many are, are tests
        self._packed = b""
        self.ear: Callable[[float, int, bytes], None] | None = None

    def add(self, now: float, size: int, octets: bytes) -> None:
        """A chunk passes.

        :param now: monotonic seconds.
        :param size: its length; positive = received, negative = sent.
        """
        if len(octets) > KEPT:
            kept = octets[-KEPT:]
        else:
            # What was received was read into a block of 64 kB, of which the rest was given back.
            # Such small pieces at the beginning of large blocks, if kept, let the heap grow.
            kept = b"".join((octets, b"")) if size > 0 else octets
        recent = self._recent
        recent.append((now, size, kept))
        if len(recent) > CHUNKS:
            del recent[: CHUNKS // 2]
            self._packed = b""
        if self.ear is not None:
            self.ear(now, size, octets)

    def rest(self, now: float) -> None:
        """Take less memory if little has happened lately; called now and then."""
        recent = self._recent
        if not recent or now - recent[0][0] < IDLE:
            return
        if self._isTested and all(map(_isTest, recent)):
            tests = b"".join((self._packed[-_TESTS_LENGTH:], *map(_pack, recent)))
            self._packed = self._packed[:-_TESTS_LENGTH] + tests[-_TESTS_LENGTH:]
        else:
            self._packAll()
        recent.clear()

    def _packAll(self) -> None:
        chunks = self.chunks()
        tests = [number for number, chunk in enumerate(chunks) if _isTest(chunk)]
        dropped = set(tests[:-TESTS])
        kept = [chunk for number, chunk in enumerate(chunks) if number not in dropped]
        self._packed = b"".join(map(_pack, kept[-CHUNKS // 2 :]))
        self._isTested = all(map(_isTest, kept[-TESTS:]))

    def chunks(self) -> tuple[Chunk, ...]:
        """All that is kept, in order."""
        return (*_unpacked(self._packed), *self._recent)


def _isTest(chunk: Chunk) -> bool:
    return chunk[2] in _TESTS


def _pack(chunk: Chunk) -> bytes:
    time, size, octets = chunk
    return _HEAD.pack(time, size, len(octets)) + octets


def _unpacked(packed: bytes) -> Iterator[Chunk]:
    at = 0
    while at < len(packed):
        time, size, length = _HEAD.unpack_from(packed, at)
        at += _HEAD.size + length
        yield time, size, packed[at - length : at]


@dataclass(frozen=True)
class Recording:
    """The last chunks of one connection.

    :ivar leg: ``RTU`` or ``master``: who is at the other end.
    :ivar peer: the other end as ``address:port``.
    :ivar local: the own end as ``address:port``.
    :ivar chunks: in their order, both directions.
    :ivar whole: nothing that came before is missing.
    :ivar cause: why the connection ended; None while it is there.
    :ivar detail: what the cause alone does not tell.
    """

    leg: str
    peer: str
    local: str
    chunks: tuple[Chunk, ...]
    whole: bool
    cause: CloseCause | None = None
    detail: str = ""
