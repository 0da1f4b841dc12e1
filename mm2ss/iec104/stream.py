"""Recorded octets cut into APDUs, though their beginning, or some between, may be missing.

A connection that is alive is cut by `apci.FrameBuffer`, which ends at the first fault. Here the
fault is what somebody wants to see: octets that are no APDU are given as they are, and where a
record begins in the middle of an APDU the next one is found.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from mm2ss.iec104.apci import HEAD_LENGTH, MAX_LENGTH, Apdu, FrameBuffer
from mm2ss.iec104.tape import Recording

#: One piece of a stream: an APDU and its octets, or None and octets that are none.
Piece = tuple[Apdu | None, bytes]


class Cutter:
    """Cuts one direction of one connection.

    :param aligned: the first chunk begins with an APDU, as that of a new connection does.
    """

    def __init__(self, aligned: bool) -> None:
        self._aligned = aligned
        self._rest = b""

    def feed(self, octets: bytes, missing: int = 0) -> list[Piece]:
        """Take a chunk; return the pieces that it completes, in order; never raises.

        :param missing: octets that stood before it and were not kept.
        """
        pieces = self.end() if missing else []
        if missing:
            self._aligned = False
        data = self._rest + octets
        self._rest = b""
        if not self._aligned:
            skipped = _beginning(data)
            if skipped:
                pieces.append((None, data[:skipped]))
            data = data[skipped:]
            self._aligned = bool(data)
        buffer = FrameBuffer()
        at = 0
        for apdu in buffer.feed(data):
            end = at + HEAD_LENGTH + len(apdu[2])
            pieces.append((apdu, data[at:end]))
            at = end
        self._rest = data[at:]
        if buffer.fault:
            pieces += self.end()
            self._aligned = False
        return pieces

    def end(self) -> list[Piece]:
        """What is unfinished, if anything."""
        rest, self._rest = self._rest, b""
        return [(None, rest)] if rest else []


def _beginning(data: bytes) -> int:
    """Where the first APDU begins: from there on, one follows the other as far as possible."""
    best, most = len(data), 0
    for at in range(min(len(data), MAX_LENGTH + 2)):
        buffer = FrameBuffer()
        cut = sum(HEAD_LENGTH + len(apdu[2]) for apdu in buffer.feed(data[at:]))
        if cut and not buffer.fault:
            return at
        if cut > most:
            best, most = at, cut
    return best


@dataclass(frozen=True)
class Taken:
    """One APDU of a recording, or octets that are none.

    :ivar time: monotonic seconds of the chunk that completed it.
    :ivar received: whether it came from the peer.
    :ivar apdu: the APDU; None when the octets are none, or not all of one.
    :ivar octets: as they were on the line.
    """

    time: float
    received: bool
    apdu: Apdu | None
    octets: bytes


def framesOf(recording: Recording) -> Iterator[Taken]:
    """The APDUs of a recording in the order of their completion; never raises."""
    cutters = {True: Cutter(recording.whole), False: Cutter(recording.whole)}
    time = 0.0
    for time, size, octets in recording.chunks:
        received = size > 0
        missing = abs(size) - len(octets)
        for apdu, piece in cutters[received].feed(octets, missing):
            yield Taken(time, received, apdu, piece)
    for received, cutter in cutters.items():
        for apdu, piece in cutter.end():
            yield Taken(time, received, apdu, piece)
