"""What broke a connection, found afterwards: the file of a running relay, as tshark shows it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.interop.harness import Relay, Scene, row
from tests.interop.rawstations import RawStation
from tests.interop.waiting import RTU_IP, waitFor
from tests.test_pcapng import read, tshark

pytestmark = pytest.mark.smoke

EVENT = "68 0e 00 00 00 00 01 01 03 00 20 00 64 00 00 01"


def files(relay: Relay) -> list[Path]:
    """The trace files, the oldest first."""
    return sorted((relay.folder / "trace").glob("*.pcapng"))


def test_garbage(scene: Scene) -> None:
    """A master that turns to garbage leaves a file with the frames of both legs before it."""
    port, rtuPort = scene.port(), scene.port()
    listener = scene.rawRtu(rtuPort)
    relay = scene.relay(row(1, port, f"{RTU_IP}:{rtuPort}"))
    rtu = scene.raw(listener.accept())
    relay.waitOpen(port)
    master = scene.raw(RawStation.started(port))
    rtu.expect("68 04 07 00 00 00")
    rtu.send("68 04 0b 00 00 00", EVENT)
    master.expect("68 0e 02 00 00 00" + EVENT[17:])
    master.send("68 04 01 00 04 00", "de ad be ef")
    master.ending()

    relay.waitLogged("start octet is not 0x68: [de ad be ef], 0 of 5 masters cause=BAD_START")
    relay.waitLogged("trace written to ")
    (path,) = files(relay)
    assert path.name.startswith("1-RTU_1-") and path.name.endswith("-BAD_START.pcapng")
    assert str(path) in relay.eventLog()
    packets = read(path.read_bytes()).packets
    assert packets[-1].data.hex() == "deadbeef" or packets[-2].data.hex() == "deadbeef"

    rows = tshark(path, "frame.interface_name", "iec60870_asdu.typeid", only="iec60870_asdu")
    legs = [(name.split()[0], kind) for name, kind in rows]
    assert legs == [("master", "70"), ("RTU", "1"), ("master", "1")]
    # STARTDT on both legs, M_EI, the event twice, S frames of master and relay.
    assert len(tshark(path, "frame.number", only="iec60870_104")) >= 8
    times = [float(time) for (time,) in tshark(path, "frame.time_epoch")]
    assert times == sorted(times)
    assert abs(path.stat().st_mtime - times[-1]) < 10, "times are of the wall clock"


def test_settings(scene: Scene) -> None:
    """The service file says where, how many, and whether."""
    port, rtuPort = scene.port(), scene.port()
    listener = scene.rawRtu(rtuPort)
    service = "trace:\n  directory: elsewhere\n  enabled: false\n"
    relay = scene.relay(row(1, port, f"{RTU_IP}:{rtuPort}"), service=service)
    scene.raw(listener.accept())
    relay.waitOpen(port)
    master = scene.raw(RawStation.connect(port))
    master.send("de ad be ef")
    master.ending()
    relay.waitLogged("cause=BAD_START")
    assert relay.stop()
    assert not (relay.folder / "trace").exists()
    assert not (relay.folder / "elsewhere").exists()
    assert "trace written" not in relay.eventLog()


def test_causes(scene: Scene) -> None:
    """Each end of a connection, and each attempt in vain, has its cause in the event log."""
    port, rtuPort = scene.port(), scene.port()
    relay = scene.relay(row(1, port, f"{RTU_IP}:{rtuPort}", max_conn=1, t1=1))
    relay.waitLogged("cause=REFUSED")
    listener = scene.rawRtu(rtuPort)
    rtu = scene.raw(listener.accept())
    relay.waitOpen(port)
    master = scene.raw(RawStation.connect(port))
    relay.waitLogged("connected, 1 of 1 masters")
    scene.raw(RawStation.connect(port)).ending()
    relay.waitLogged("1 of 1 masters are connected already cause=MAX_MASTERS")
    master.close()
    relay.waitLogged("cause=PEER_CLOSED")
    scene.raw(RawStation.started(port)).send("68 04 01 00 02 00")
    relay.waitLogged("STARTDT not confirmed within t1 cause=T1_STARTDT")  # the RTU says nothing
    relay.waitLogged("cause=RTU_LOST")
    waitFor(lambda: len(files(relay)) == 1, "the trace file is there")
    assert files(relay)[0].name.endswith("-T1_STARTDT.pcapng")
    rtu.close()
