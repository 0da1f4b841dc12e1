"""A group's trace as a pcapng file, which Wireshark and tshark show as IEC 60870-5-104.

Wireshark knows the protocol by the TCP port 2404, and most of our ports are others. So each packet
is an "exported PDU" (link type 252): it says by itself that the dissector of TCP port 2404 is to
read it, and names the true addresses and ports beside that. Each connection is an interface of the
file. docs/trace.md says how it looks.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_address
from struct import pack

from mm2ss.iec104.apci import closeText
from mm2ss.iec104.stream import Taken, framesOf
from mm2ss.iec104.tape import Recording
from mm2ss.relay.snapshot import TraceSnapshot

_SECTION, _INTERFACE, _PACKET = 0x0A0D0D0A, 1, 6
_BYTE_ORDER = 0x1A2B3C4D
#: LINKTYPE_WIRESHARK_UPPER_PDU.
_LINK_TYPE = 252
#: Options of blocks; the meaning of 2 and 3 depends on the block.
_END, _COMMENT, _APPLICATION, _NAME, _DESCRIPTION, _FLAGS = 0, 1, 4, 2, 3, 2
_INBOUND, _OUTBOUND = 1, 2
#: Tags of an exported PDU.
_TAG_DISSECTOR, _TAG_TABLE, _TAG_VALUE = 12, 14, 32
#: By the octets of the address: IPv4, IPv6.
_TAG_SOURCE = {4: 20, 16: 22}
_TAG_TARGET = {4: 21, 16: 23}
_TAG_PORT_TYPE, _TAG_SOURCE_PORT, _TAG_TARGET_PORT = 24, 25, 26
_PORT_TYPE_TCP = 2
#: The port that dissectors know the protocol by.
_KNOWN_PORT = 2404


def pcapng(trace: TraceSnapshot, toWall: float, application: str) -> bytes:
    """The file.

    :param toWall: what to add to monotonic seconds for seconds since 1970.
    :param application: name and version of the program.
    """
    title = f"group {trace.id} {trace.name}: {trace.why}"
    blocks = [_section(title, application), *map(_interface, trace.recordings)]
    packets = [
        (taken.time, _packet(number, each, taken, comment, toWall))
        for number, each in enumerate(trace.recordings)
        for taken, comment in _commented(each)
    ]
    packets.sort(key=lambda packet: packet[0])
    return b"".join([*blocks, *(octets for _, octets in packets)])


def _commented(recording: Recording) -> Iterable[tuple[Taken, str]]:
    """Each piece with what is to be said of it; the last one says how the connection ended."""
    frames = list(framesOf(recording))
    for taken in frames:
        comments = [] if taken.apdu else ["not an APDU, or not all of one"]
        if taken is frames[-1] and recording.cause:
            comments.append(f"last before: {_state(recording)}")
        yield taken, "; ".join(comments)


def _state(recording: Recording) -> str:
    if recording.cause is None:
        return "connected"
    text = closeText(recording.cause, recording.detail)
    return f"disconnected: {text} cause={recording.cause.name}"


def _section(title: str, application: str) -> bytes:
    head = pack("<IHHq", _BYTE_ORDER, 1, 0, -1)
    return _block(_SECTION, head, {_COMMENT: title.encode(), _APPLICATION: application.encode()})


def _interface(recording: Recording) -> bytes:
    name = f"{recording.leg} {recording.peer}"
    options = {_NAME: name.encode(), _DESCRIPTION: _state(recording).encode()}
    return _block(_INTERFACE, pack("<HHI", _LINK_TYPE, 0, 0), options)


def _packet(number: int, recording: Recording, taken: Taken, comment: str, toWall: float) -> bytes:
    data = _tags(recording, taken) + taken.octets
    time = int((taken.time + toWall) * 1_000_000)
    head = pack("<IIIII", number, time >> 32, time & 0xFFFFFFFF, len(data), len(data))
    options = {_FLAGS: pack("<I", _INBOUND if taken.received else _OUTBOUND)}
    if comment:
        options[_COMMENT] = comment.encode()
    return _block(_PACKET, head + _padded(data), options)


def _tags(recording: Recording, taken: Taken) -> bytes:
    """What the dissector of exported PDUs reads before the octets."""
    if taken.apdu:
        tags = _tag(_TAG_TABLE, b"tcp.port") + _tag(_TAG_VALUE, pack(">I", _KNOWN_PORT))
    else:
        tags = _tag(_TAG_DISSECTOR, b"data")
    ends = [_endOf(recording.peer), _endOf(recording.local)]
    source, target = ends if taken.received else reversed(ends)
    if source and target:
        tags += _tag(_TAG_SOURCE[len(source[0])], source[0])
        tags += _tag(_TAG_TARGET[len(target[0])], target[0])
        tags += _tag(_TAG_PORT_TYPE, pack(">I", _PORT_TYPE_TCP))
        tags += _tag(_TAG_SOURCE_PORT, pack(">I", source[1]))
        tags += _tag(_TAG_TARGET_PORT, pack(">I", target[1]))
    return tags + _tag(_END, b"")


def _endOf(text: str) -> tuple[bytes, int] | None:
    """Address and port of ``address:port``; None when it is something else."""
    host, _, port = text.rpartition(":")
    try:
        return ip_address(host.strip("[]").partition("%")[0]).packed, int(port)
    except ValueError:
        return None


def _tag(number: int, value: bytes) -> bytes:
    value = _padded(value)
    return pack(">HH", number, len(value)) + value


def _block(kind: int, body: bytes, options: dict[int, bytes]) -> bytes:
    for number, value in options.items():
        body += pack("<HH", number, len(value)) + _padded(value)
    body += pack("<HH", _END, 0)
    size = pack("<I", len(body) + 12)
    return pack("<I", kind) + size + body + size


def _padded(octets: bytes) -> bytes:
    return octets + bytes(-len(octets) % 4)
