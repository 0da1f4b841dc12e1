"""Whose the one file transfer of an RTU is."""

from __future__ import annotations

from mm2ss.relay.files import FILE_TIME, FileSession
from tests.groups import request

A, B = "A", "B"


def file(typeId: int = 122, address: int = 7, last: int = 1, originator: int = 0) -> bytes:
    """An ASDU of a file transfer: select (122), section (125), acknowledgement (124) …"""
    content = bytes((1, 0, 1, last)) if typeId != 125 else bytes((1, 0, 1, 0))
    return request(typeId, address, content, cause=13, originator=originator)


def test_fileFramesBelongToWhoTransfers() -> None:
    """File frames belong to who transfers the file, also when nobody else has begun since."""
    session: FileSession[str] = FileSession()
    now = 0.0
    assert session.claim(A, file(originator=5), now)
    for _ in range(3):
        now += FILE_TIME - 1
        assert session.answered(file(125), now) == (A, 5)
        assert not session.claim(B, file(), now)
    assert session.answered(file(125, address=8), now) is None
    now += FILE_TIME + 1
    assert not session.busy(now)
    assert session.claim(B, file(), now)
    assert session.answered(file(125), now) == (B, 0)


def test_aTransferEnds() -> None:
    """Acknowledging, deactivating and deleting the file end it, and so does a refusal."""
    for end in (file(124, last=1), file(124, last=2), file(122, last=3), file(122, last=4)):
        session: FileSession[str] = FileSession()
        session.claim(A, file(), 0)
        session.claim(A, end, 1)
        assert session.claim(B, file(), 2)
    session = FileSession()
    session.claim(A, file(), 0)
    refusal = bytearray(file())
    refusal[2] |= 0x40
    assert session.answered(bytes(refusal), 1) == (A, 0)
    assert session.claim(B, file(), 2)


def test_sectionsDoNotEndATransfer() -> None:
    """Acknowledging a section is not the end."""
    session: FileSession[str] = FileSession()
    session.claim(A, file(), 0)
    session.claim(A, file(124, last=3), 1)
    assert not session.claim(B, file(), 2)


def test_aDeadOwnersTransferIsDeactivated() -> None:
    """What the owner transfers when it goes is deactivated at the RTU, and belongs to nobody."""
    session: FileSession[str] = FileSession()
    session.claim(A, file(), 0)
    assert session.abandon(B, 1) is None
    assert session.abandon(A, 1) == request(122, 7, bytes((1, 0, 0, 3)), cause=13)
    assert session.answered(file(125), 2) is None
    assert session.claim(B, file(), 2)
