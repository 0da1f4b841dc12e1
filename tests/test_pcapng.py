"""Trace files, as an own reader of the format sees them, and as tshark does."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from struct import unpack_from

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mm2ss.iec104.apci import CloseCause, encodeI, encodeS
from mm2ss.iec104.tape import Chunk, Recording
from mm2ss.relay.snapshot import TraceSnapshot
from mm2ss.services.pcapng import pcapng
from tests.stations import STARTDT_ACT, STARTDT_CON, TESTFR_ACT, asdu

#: Monotonic second 100 of the tests is this second since 1970.
BEGAN = 1_800_000_000.25
TO_WALL = BEGAN - 100
I_FRAME = encodeI(3, 1, asdu(1))

RTU = Recording(
    "RTU",
    "192.0.2.1:2413",
    "192.0.2.254:40001",
    (
        (100.0, -6, STARTDT_ACT),
        (100.5, 6 + len(I_FRAME), STARTDT_CON + I_FRAME),
        (102.0, -6, encodeS(4)),
    ),
    whole=True,
)
MASTER = Recording(
    "master",
    "[2001:db8::7]:40002",
    "[2001:db8::1]:2407",
    ((101.0, 6, TESTFR_ACT), (101.5, 14, b"GET / HTTP/1.0")),
    whole=True,
    cause=CloseCause.BAD_START,
    detail="[47 45 54]",
)


def trace(*recordings: Recording, name: str = "RTU-ABB") -> TraceSnapshot:
    """A trace of group 111."""
    why = "192.0.2.7:40002: start octet is not 0x68"
    return TraceSnapshot(111, name, why, CloseCause.BAD_START, "-", 102.0, recordings)


# -- a reader of its own, after the format's description -----------------------------------------


@dataclass
class Packet:
    """An enhanced packet block with the exported PDU taken apart."""

    interface: int
    time: float
    tags: dict[int, bytes]
    data: bytes
    options: dict[int, bytes]


@dataclass
class File:
    """A section."""

    options: dict[int, bytes] = field(default_factory=dict)
    interfaces: list[dict[int, bytes]] = field(default_factory=list)
    packets: list[Packet] = field(default_factory=list)


def readOptions(data: bytes) -> dict[int, bytes]:
    """Options up to the end of them, each padded to four octets."""
    options: dict[int, bytes] = {}
    at = 0
    while True:
        code, length = unpack_from("<HH", data, at)
        if code == 0:
            assert length == 0 and at + 4 == len(data)
            return options
        assert code not in options
        options[code] = data[at + 4 : at + 4 + length]
        at += 4 + (length + 3) // 4 * 4


def readTags(data: bytes) -> tuple[dict[int, bytes], bytes]:
    """The tags of an exported PDU, and what follows them."""
    tags: dict[int, bytes] = {}
    at = 0
    while True:
        code, length = unpack_from(">HH", data, at)
        at += 4
        if code == 0:
            assert length == 0
            return tags, data[at:]
        tags[code] = data[at : at + length]
        at += length


def read(data: bytes) -> File:
    """All blocks; each must be whole and say its length twice."""
    file = File()
    at = 0
    while at < len(data):
        kind, length = unpack_from("<II", data, at)
        assert length % 4 == 0 and unpack_from("<I", data, at + length - 4) == (length,)
        body = data[at + 8 : at + length - 4]
        if kind == 0x0A0D0D0A:
            assert at == 0
            assert unpack_from("<IHHq", body) == (0x1A2B3C4D, 1, 0, -1)
            file.options = readOptions(body[16:])
        elif kind == 1:
            assert not file.packets, "interfaces come before packets"
            assert unpack_from("<HHI", body) == (252, 0, 0)
            file.interfaces.append(readOptions(body[8:]))
        else:
            assert kind == 6
            interface, high, low, captured, original = unpack_from("<IIIII", body)
            assert captured == original
            tags, content = readTags(body[20 : 20 + captured])
            options = readOptions(body[20 + (captured + 3) // 4 * 4 :])
            time = (high << 32 | low) / 1e6
            file.packets.append(Packet(interface, time, tags, content, options))
        at += length
    return file


# -- what it sees ----------------------------------------------------------------------------


def test_section() -> None:
    """The file says which group it is, why it was written, and by what."""
    file = read(pcapng(trace(), TO_WALL, "mm2ss 1.0"))
    why = "group 111 RTU-ABB: 192.0.2.7:40002: start octet is not 0x68"
    assert file == File({1: why.encode(), 4: b"mm2ss 1.0"})


def test_interfaces() -> None:
    """Each connection is an interface with its leg and peer, and how it ended."""
    file = read(pcapng(trace(RTU, MASTER), TO_WALL, ""))
    ended = b"disconnected: start octet is not 0x68: [47 45 54] cause=BAD_START"
    assert file.interfaces == [
        {2: b"RTU 192.0.2.1:2413", 3: b"connected"},
        {2: b"master [2001:db8::7]:40002", 3: ended},
    ]


def test_packets() -> None:
    """Each APDU is a packet in the order of time, with its direction and the wall clock's time."""
    packets = read(pcapng(trace(RTU, MASTER), TO_WALL, "")).packets
    assert [
        (each.interface, each.data, each.time - BEGAN, each.options[2][0]) for each in packets
    ] == [
        (0, STARTDT_ACT, 0.0, 2),
        (0, STARTDT_CON, 0.5, 1),
        (0, I_FRAME, 0.5, 1),
        (1, TESTFR_ACT, 1.0, 1),
        (1, b"GET / HTTP/1.0", 1.5, 1),
        (0, encodeS(4), 2.0, 2),
    ]
    assert [each.options[1] for each in packets if 1 in each.options] == [
        b"not an APDU, or not all of one; last before: disconnected: start octet is not 0x68:"
        b" [47 45 54] cause=BAD_START"
    ]


def test_dissector() -> None:
    """APDUs are for the dissector of TCP port 2404, other octets for none."""
    packets = read(pcapng(trace(MASTER), TO_WALL, "")).packets
    test, garbage = packets
    assert test.tags[14].rstrip(b"\0") == b"tcp.port"
    assert unpack_from(">I", test.tags[32]) == (2404,)
    assert garbage.tags[12] == b"data" and 14 not in garbage.tags


def test_addresses() -> None:
    """Addresses and ports are the true ones, from who sent to who received."""
    sent, received, *_ = read(pcapng(trace(RTU), TO_WALL, "")).packets
    peer, own = ip_address("192.0.2.1").packed, ip_address("192.0.2.254").packed
    ports = [unpack_from(">I", sent.tags[tag])[0] for tag in (24, 25, 26)]
    assert (sent.tags[20], sent.tags[21], ports) == (own, peer, [2, 40001, 2413])
    ports = [unpack_from(">I", received.tags[tag])[0] for tag in (24, 25, 26)]
    assert (received.tags[20], received.tags[21], ports) == (peer, own, [2, 2413, 40001])
    six, *_ = read(pcapng(trace(MASTER), TO_WALL, "")).packets
    assert six.tags[22] == ip_address("2001:db8::7").packed
    assert six.tags[23] == ip_address("2001:db8::1").packed


def test_unknownAddress() -> None:
    """A connection without IP addresses is written without them."""
    odd = Recording("RTU", "-", "-", RTU.chunks, whole=True)
    assert all(20 not in each.tags for each in read(pcapng(trace(odd), TO_WALL, "")).packets)


chunks = st.lists(
    st.tuples(st.floats(0, 1e6), st.sampled_from([1, -1]), st.binary(min_size=1), st.booleans())
)


@given(chunks, st.booleans(), st.text())
def test_anyOctets(parts: list[tuple[float, int, bytes, bool]], isWhole: bool, name: str) -> None:
    """Whatever the connection said, the file is well formed and no octet is lost."""
    taken: tuple[Chunk, ...] = tuple(
        (time, sign * (len(octets) + 1000 * cut), octets) for time, sign, octets, cut in parts
    )
    record = Recording("RTU", RTU.peer, RTU.local, taken, isWhole)
    file = read(pcapng(trace(record, name=name), TO_WALL, ""))
    written = sorted(b"".join(each.data for each in file.packets))
    assert written == sorted(b"".join(octets for _, _, octets in taken))


# -- what tshark sees ------------------------------------------------------------------------


def tshark(path: Path, *fields: str, only: str = "") -> list[list[str]]:
    """Some fields of all packets; each occurrence of a field once."""
    program = shutil.which("tshark")
    if program is None:
        pytest.skip("tshark is not installed")
    command: list[str | Path] = [program, "-r", path, "-T", "fields", "-Y", only]
    for name in fields:
        command += ["-e", name]
    shown = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    return [line.split("\t") for line in shown.stdout.splitlines()]


def test_tshark(tmp_path: Path) -> None:
    """tshark shows each APDU as IEC 60870-5-104 without being told the port."""
    path = tmp_path / "trace.pcapng"
    path.write_bytes(pcapng(trace(RTU, MASTER), TO_WALL, "mm2ss 1.0"))
    fields = (
        "frame.interface_name",
        "iec60870_104.apdulen",
        "iec60870_asdu.typeid",
        "frame.time_epoch",
        "_ws.expert.severity",
    )
    rows = tshark(path, *fields, only="iec60870_104")
    rtu, master = "RTU 192.0.2.1:2413", "master [2001:db8::7]:40002"
    assert [row[:3] for row in rows] == [
        [rtu, "4", ""],
        [rtu, "4", ""],
        [rtu, str(len(I_FRAME) - 2), "1"],
        [master, "4", ""],
        [rtu, "4", ""],
    ]
    assert float(rows[0][3]) == BEGAN
    assert not any(row[4] for row in rows), "an expert complains"
    shown = tshark(path, "frame.comment", "data.data", only="frame.comment")
    assert len(shown) == 1 and "cause=BAD_START" in shown[0][0]
    assert shown[0][1] == b"GET / HTTP/1.0".hex()
