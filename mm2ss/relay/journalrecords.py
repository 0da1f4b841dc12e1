"""The records of the journal's files: octets on disk and what they mean.

A file (a *segment*) is a row of records:

    magic (2)  CRC-32 (4)  kind (1)  length of the body (2)  body

All numbers are little endian. The CRC covers all behind it and begins with a seed made of
the segment's number, so a record of another file (an old block that the disk shows again) is not
taken for one of this. A group is named in each record by a *tag*, a hash of its key, so that no
record depends on another one's survival.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum
from hashlib import blake2b
from struct import Struct
from typing import TypeAlias
from zlib import crc32

from mm2ss.relay.journalapi import GroupKey

#: Octets that an ASDU, or a name, may have; far more than 104's 249, and the length's two octets
#: do for the body around it.
MAX_ASDU = 65000
#: Version of the format, in each segment's head.
VERSION = 1

_MAGIC = b"\xa7\x6a"
_FRONT = Struct("<BH")
_CRC = Struct("<2sI")
_PARSE = Struct("<2sIBH")
_OVERHEAD = _PARSE.size
_KIND_AT = _CRC.size
_HEAD = Struct("<8sHQ")
_SIGN = b"mm2ssjnl"
_SYNCED = Struct("<Q")
_CLOSED = Struct("<QQ")
_GROUP = Struct("<8sIH")
_MARK = Struct("<8sQ")
_DATA = Struct("<8sQQ")
_DATA_FRONT = Struct("<BH8sQQ")
#: Octets of a data record beside its ASDU.
DATA_OVERHEAD = _OVERHEAD + _DATA.size


class Kind(IntEnum):
    """What a record says."""

    #: Where the scan found no record.
    DAMAGE = 0
    #: The first record: format and number of the segment.
    HEAD = 1
    #: When this was written, the segment was synced up to an offset.
    SYNCED = 2
    #: An older segment counts up to an offset; nothing behind it was ever acknowledged.
    CLOSED = 3
    #: The key behind a tag, for reports.
    GROUP = 4
    #: All records of a group with a lower number are settled.
    MARK = 5
    #: An event of a group: its number in the group, time (ms since 1970, UTC), the ASDU.
    DATA = 6


#: A record, or a damaged place, in a segment: its kind, its offset, the offset behind it, and its
#: body (of a damaged place all octets). A plain tuple: a start may read a million of them.
Record: TypeAlias = tuple[int, int, int, bytes]

_DATA_KIND = int(Kind.DATA)


def tagOf(key: GroupKey) -> bytes:
    """Eight octets that stand for a group's key."""
    text = f"{key.id}\0{key.commonAddress}\0{key.name}"
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()


class Encoder:
    """Makes the records of one segment."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._seed = _seedOf(number)

    def _record(self, kind: Kind, body: bytes) -> bytes:
        rest = _FRONT.pack(kind, len(body)) + body
        return _CRC.pack(_MAGIC, crc32(rest, self._seed)) + rest

    def head(self) -> bytes:
        """The segment's first record."""
        return self._record(Kind.HEAD, _HEAD.pack(_SIGN, VERSION, self._number))

    def synced(self, offset: int) -> bytes:
        """Everything before the offset is known to be on disk."""
        return self._record(Kind.SYNCED, _SYNCED.pack(offset))

    def closed(self, number: int, length: int) -> bytes:
        """Of an older segment, `length` octets count."""
        return self._record(Kind.CLOSED, _CLOSED.pack(number, length))

    def group(self, tag: bytes, key: GroupKey) -> bytes:
        """The key behind a tag."""
        name = key.name.encode("utf-8", "surrogatepass")
        return self._record(Kind.GROUP, _GROUP.pack(tag, key.id, key.commonAddress) + name)

    def mark(self, tag: bytes, seq: int) -> bytes:
        """All of the group before `seq` is settled."""
        return self._record(Kind.MARK, _MARK.pack(tag, seq))

    def data(self, tag: bytes, seq: int, wall: int, asdu: bytes) -> bytes:
        """One event."""
        # (As `_record` does it, in one step: this one is written a thousand times a second.)
        rest = _DATA_FRONT.pack(_DATA_KIND, _DATA.size + len(asdu), tag, seq, wall) + asdu
        return _CRC.pack(_MAGIC, crc32(rest, self._seed)) + rest


def scan(data: bytes, number: int) -> Iterator[Record]:
    """All records of a segment, and the damaged places between them, in order and without gaps.

    Behind a damaged place it goes on at the next octet that begins a whole, valid record.
    """
    seed = _seedOf(number)
    offset = 0
    while offset < len(data):
        end = _endOf(data, offset, seed)
        if end:
            yield data[offset + _KIND_AT], offset, end, data[offset + _OVERHEAD : end]
        else:
            end = _nextRecord(data, offset + 1, seed)
            yield Kind.DAMAGE, offset, end, data[offset:end]
        offset = end


def parseHead(body: bytes) -> int:
    """The format's version; 0 when it is not ours."""
    if len(body) < _HEAD.size:
        return 0
    sign, version, _ = _HEAD.unpack_from(body)
    return int(version) if sign == _SIGN else 0


def parseSynced(body: bytes) -> int:
    """The offset before which the segment was synced."""
    return int(_SYNCED.unpack_from(body)[0])


def parseClosed(body: bytes) -> tuple[int, int]:
    """Number and length of an older segment."""
    number, length = _CLOSED.unpack_from(body)
    return number, length


def parseGroup(body: bytes) -> tuple[bytes, GroupKey]:
    """Tag and key of a group."""
    tag, identity, commonAddress = _GROUP.unpack_from(body)
    name = body[_GROUP.size :].decode("utf-8", "surrogatepass")
    return tag, GroupKey(identity, commonAddress, name)


def parseMark(body: bytes) -> tuple[bytes, int]:
    """Tag of a group, and the number before which all is settled."""
    tag, seq = _MARK.unpack_from(body)
    return tag, seq


def parseData(body: bytes) -> tuple[bytes, int, int, bytes]:
    """An event: the tag of its group, its number there, its time, the ASDU."""
    tag, seq, wall = _DATA.unpack_from(body)
    return tag, seq, wall, body[_DATA.size :]


def _seedOf(number: int) -> int:
    return crc32(b"mm2ss journal %d" % number)


def _endOf(data: bytes, offset: int, seed: int) -> int:
    """Where the record at an offset ends; 0 if there is no valid one."""
    if offset + _OVERHEAD > len(data):
        return 0
    magic, crc, kind, length = _PARSE.unpack_from(data, offset)
    end: int = offset + _OVERHEAD + length
    if magic != _MAGIC or kind not in _SHORTEST or length < _SHORTEST[kind] or end > len(data):
        return 0
    return end if crc32(data[offset + _KIND_AT : end], seed) == crc else 0


def _nextRecord(data: bytes, offset: int, seed: int) -> int:
    """Offset of the first valid record at or behind an offset; the data's end if there is none."""
    while True:
        offset = data.find(_MAGIC, offset)
        if offset < 0:
            return len(data)
        if _endOf(data, offset, seed):
            return offset
        offset += 1


#: Octets that a body of each kind has at least.
_SHORTEST: dict[int, int] = {
    Kind.HEAD: _HEAD.size,
    Kind.SYNCED: _SYNCED.size,
    Kind.CLOSED: _CLOSED.size,
    Kind.GROUP: _GROUP.size,
    Kind.MARK: _MARK.size,
    Kind.DATA: _DATA.size,
}
