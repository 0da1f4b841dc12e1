"""The journal's records: what is written is read, whatever happens to what stands beside it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mm2ss.relay.journalapi import GroupKey
from mm2ss.relay.journalrecords import (
    DATA_OVERHEAD,
    VERSION,
    Encoder,
    Kind,
    parseClosed,
    parseData,
    parseGroup,
    parseHead,
    parseMark,
    parseSynced,
    scan,
    tagOf,
)

KEY = GroupKey(7, 12, "RTU-ABB")
TAG = tagOf(KEY)
KEYS = st.builds(GroupKey, st.integers(0, 2**32 - 1), st.integers(0, 65535), st.text(max_size=300))


@given(KEYS, st.integers(0, 2**64 - 1), st.integers(0, 2**63), st.binary(max_size=300))
def test_allKindsAreReadAsWritten(key: GroupKey, seq: int, wall: int, asdu: bytes) -> None:
    """Each kind of record gives back what was put into it."""
    encoder = Encoder(3)
    tag = tagOf(key)
    parts = [
        encoder.head(),
        encoder.synced(seq),
        encoder.closed(2, seq),
        encoder.group(tag, key),
        encoder.mark(tag, seq),
        encoder.data(tag, seq, wall, asdu),
    ]
    records = list(scan(b"".join(parts), 3))
    assert [kind for kind, *_ in records] == list(Kind)[1:]
    head, synced, closed, group, mark, data = (record[3] for record in records)
    assert parseHead(head) == VERSION
    assert parseSynced(synced) == seq
    assert parseClosed(closed) == (2, seq)
    assert parseGroup(group) == (tag, key)
    assert parseMark(mark) == (tag, seq)
    assert parseData(data) == (tag, seq, wall, asdu)
    assert len(parts[-1]) == DATA_OVERHEAD + len(asdu)


@given(
    st.lists(st.binary(max_size=60), min_size=1, max_size=20),
    st.integers(0, 2000),
    st.binary(min_size=1, max_size=80),
)
def test_damageCostsOnlyWhatItHits(asdus: list[bytes], start: int, harm: bytes) -> None:
    """Records beside the damaged octets are found, unmodified, and no other ones."""
    encoder = Encoder(3)
    parts = [encoder.data(TAG, seq, 0, asdu) for seq, asdu in enumerate(asdus)]
    whole = b"".join(parts)
    start %= len(whole)
    harmed = (whole[:start] + harm + whole[start + len(harm) :])[: len(whole)]
    found = {}
    end = 0
    for kind, begin, after, body in scan(harmed, 3):
        assert begin == end
        end = after
        if kind != Kind.DAMAGE:
            tag, seq, _, asdu = parseData(body)
            assert tag == TAG
            found[seq] = asdu
    assert end == len(harmed)
    offset = 0
    for seq, part in enumerate(parts):
        untouched = harmed[offset : offset + len(part)] == part
        assert (found.pop(seq, None) == asdus[seq]) is untouched
        offset += len(part)
    assert not found


@given(st.binary(max_size=2000))
def test_garbageHoldsNoRecords(garbage: bytes) -> None:
    """Whatever a file holds, it is read without a fault, and nothing is found in it."""
    assert all(kind == Kind.DAMAGE for kind, *_ in scan(garbage, 1))


def test_aRecordOfAnotherSegmentIsNone() -> None:
    """An old block of a deleted file that appears in a new one is not taken for its content."""
    record = Encoder(1).data(TAG, 5, 0, b"old")
    assert [kind for kind, *_ in scan(record, 2)] == [Kind.DAMAGE]


def test_aRecordWithinAnEventIsNotSeen() -> None:
    """What an RTU puts into its events is never taken for a record."""
    inner = Encoder(1).data(TAG, 5, 0, b"fake")
    outer = Encoder(1).data(TAG, 4, 0, inner)
    assert [parseData(body)[3] for *_, body in scan(outer, 1)] == [inner]


def test_tagsDifferInEachPartOfTheKey() -> None:
    """Number, RTU number and name make the tag."""
    keys = [KEY, GroupKey(8, 12, "RTU-ABB"), GroupKey(7, 13, "RTU-ABB"), GroupKey(7, 12, "RTU")]
    assert len({tagOf(key) for key in keys}) == 4
