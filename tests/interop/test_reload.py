"""SIGHUP to a real relay: what the files change is changed, and nothing else is touched."""

from __future__ import annotations

import os
import re
import signal
from collections import Counter

import pytest

from tests.interop.harness import RTU_IP, Relay, Scene, row
from tests.interop.rawstations import RawStation
from tests.interop.rtufarm import RtuFarm
from tests.interop.test_daemon import alive, daemonize
from tests.interop.waiting import PATIENCE, listening, waitFor

STARTDT_ACT, STARTDT_CON = "68 04 07 00 00 00", "68 04 0b 00 00 00"
STOPDT_ACT, STOPDT_CON = "68 04 13 00 00 00", "68 04 23 00 00 00"


def event(sent: int, value: int) -> str:
    """A single point with a send sequence number (and 0 received)."""
    return f"68 0e {2 * sent:02x} 00 00 00 01 01 03 00 20 00 64 00 00 {value:02x}"


def acknowledgement(count: int) -> str:
    """An S frame."""
    return f"68 04 01 00 {2 * count:02x} 00"


def reload(relay: Relay, *rows: str, service: str | None = None) -> str:
    """Write the files anew and send SIGHUP; the log's last line about it."""
    before = relay.log.count("eloaded")
    (relay.folder / "groups.csv").write_text("\n".join(rows) + "\n", "utf-8")
    if service is not None:
        (relay.folder / "service.yaml").write_text(service)
    os.kill(relay.pid, signal.SIGHUP)
    waitFor(lambda: relay.log.count("eloaded") > before, "the relay has reloaded, or not")
    return next(line for line in reversed(relay.log.splitlines()) if "eloaded" in line)


def started(rtu: RawStation, port: int) -> RawStation:
    """A master of a group whose RTU is connected; the RTU sends from now on."""
    waitFor(lambda: listening(port), f"port {port} is open")
    master = RawStation.started(port)
    rtu.expect(STARTDT_ACT)
    rtu.send(STARTDT_CON)
    return master


@pytest.mark.smoke
def test_changedAddedRemovedAndUnchanged(scene: Scene) -> None:
    """The unchanged group's sequence numbers go on; the changed one loses no event; two groups
    swap their ports; the event logs follow."""
    ports = [scene.port() for _ in range(4)]
    rtuPorts = [scene.port() for _ in range(4)]
    listeners = [scene.rawRtu(port) for port in rtuPorts]

    def group(number: int, port: int, **columns: object) -> str:
        return row(number, port, f"{RTU_IP}:{rtuPorts[number - 1]}", **columns)

    relay = scene.relay(*(group(number, ports[number - 1]) for number in (1, 2, 3)))
    rtus = [scene.raw(listeners[number].accept()) for number in range(3)]
    masters = [scene.raw(started(rtus[n], ports[n])) for n in range(3)]
    for number in range(3):
        rtus[number].send(event(0, 1))
        masters[number].expect(event(1, 1))
    masters[0].send(acknowledgement(2))
    rtus[0].expect(acknowledgement(1))

    rows = [
        group(1, ports[0]),
        group(2, ports[2], logevents="N"),
        group(4, ports[1], sys_name="NEW"),
    ]
    relay.tolerated.add("#error")  # events of group 3 are set aside
    (relay.folder / "groups.csv").write_text("\n".join(rows) + "\n", "utf-8")
    os.kill(relay.pid, signal.SIGHUP)
    for number in (1, 2):
        # Its event is on disk before the RTU is acknowledged: no master had acknowledged it.
        rtus[number].expect(STOPDT_ACT, acknowledgement(1))
        rtus[number].send(STOPDT_CON)
        assert rtus[number].ending() == "FIN"
        assert masters[number].ending() == "FIN"
    waitFor(lambda: "1 unchanged, 1 changed, 1 added, 1 removed" in relay.log, "it has reloaded")

    second, fourth = scene.raw(listeners[1].accept()), scene.raw(listeners[3].accept())
    again, new = scene.raw(started(second, ports[2])), scene.raw(started(fourth, ports[1]))
    again.expect(event(1, 1))
    fourth.send(event(0, 0))
    new.expect(event(1, 0))

    rtus[0].send(event(1, 0))
    masters[0].expect(event(2, 0))
    masters[0].send(acknowledgement(3))
    rtus[0].expect(acknowledgement(2))

    waitFor(lambda: relay.eventLog(4).count("connected, 1 of 5"), "group 4 is logged")
    relay.waitLogged("STOPDT sent to the RTU", number=3)
    relay.waitLogged("stopped\n", number=2)
    assert relay.eventLog(2).endswith("stopped\n")
    (aside,) = (relay.folder / "state" / "journal").glob("events-3-*")
    assert "01010300200064000001" in aside.read_text()


@pytest.mark.smoke
def test_filesWithErrorsChangeNothing(scene: Scene) -> None:
    """Neither the good rows nor the bad ones; the connections stay, the log says where and why."""
    port, other, rtuPort = scene.port(), scene.port(), scene.port()
    listener = scene.rawRtu(rtuPort)
    good = row(1, port, f"{RTU_IP}:{rtuPort}")
    relay = scene.relay(good, service="{}\n")
    rtu = scene.raw(listener.accept())
    master = scene.raw(started(rtu, port))
    changed = row(1, other, f"{RTU_IP}:{rtuPort}")
    relay.tolerated.add("#error")
    refused = "Not reloaded: the files have errors. Nothing was changed."
    assert reload(relay, changed, row(2, 99999, "192.0.2.1")).endswith(refused)
    assert re.search(r"groups\.csv:2: error: port no '99999': ", relay.log)
    assert reload(relay, changed, service="defaults:\n  retain_maximum: 5\n").endswith(refused)
    assert re.search(r"service\.yaml:2: error: defaults\.retain_maximum: .*retain_max", relay.log)
    rtu.send(event(0, 1))
    master.expect(event(1, 1))
    assert not listening(other)

    last = reload(relay, good, service="log:\n  keep: 9\n")
    assert last.endswith("1 unchanged, 0 changed, 0 added, 0 removed")
    assert "These take effect at the next start only: log.keep" in relay.log
    rtu.send(event(1, 0))
    master.expect(event(2, 0))


def test_fiveOfFiveHundred(scene: Scene) -> None:
    """A reload that changes 5 groups of 500 leaves the 495 others' connections alone, at both
    ends; how long it takes is printed."""
    count, changed = 500, range(100, 600, 100)
    rtuPort = scene.port()
    farm = RtuFarm(count, rtuPort)
    scene.cleanUp(farm.close)
    ports = [scene.port() for _ in range(count)]

    def rows(bufsize: int) -> list[str]:
        return [
            row(
                number,
                ports[number - 1],
                f"{farm.addresses[number - 1]}:{rtuPort}",
                bufsize=bufsize if number in changed else 1000,
            )
            for number in range(1, count + 1)
        ]

    relay = scene.relay(*rows(1000))
    waitFor(lambda: relay.log.count("is open for masters") == count, "all ports are open")
    masters = {number: scene.raw(RawStation.started(ports[number - 1])) for number in range(1, 501)}
    waitFor(lambda: relay.log.count("RTU confirmed STARTDT") == count, "all RTUs send")

    last = reload(relay, *rows(999))
    assert last.endswith("495 unchanged, 5 changed, 0 added, 0 removed")
    there = {farm.addresses[number - 1] for number in changed}
    waitFor(lambda: sum(farm.connects.values()) == count + 5, "the 5 are connected again")
    assert farm.losses == Counter(there) == +farm.stops
    assert {address for address in farm.connects if farm.connects[address] > 1} == there
    for number, master in masters.items():
        if number in changed:
            assert master.ending() == "FIN"
        else:
            master.expectNothing()
    print(f"\nReload of {count} groups: {last.partition('Reloaded ')[2]}")


def test_inTheBackground(scene: Scene) -> None:
    """The files count from where it was started, not from where it runs; a signal that comes
    while it stops does not end it."""
    port, rtuPort = scene.port(), scene.port()
    listener = scene.rawRtu(rtuPort)
    hosts = f"{RTU_IP}:{rtuPort}"
    daemon = daemonize(scene, [row(1, port, hosts)])
    rtu = scene.raw(listener.accept())
    master = scene.raw(started(rtu, port))
    (daemon.start / "etc" / "groups.csv").write_text(row(1, port, hosts, bufsize=999))
    (daemon.run / "etc").mkdir()
    (daemon.run / "etc" / "groups.csv").write_text("not this one")
    os.kill(daemon.pid, signal.SIGHUP)
    rtu.expect(STOPDT_ACT)
    rtu.send(STOPDT_CON)
    assert [station.ending() for station in (rtu, master)] == ["FIN"] * 2
    rtu = scene.raw(listener.accept())
    master = scene.raw(started(rtu, port))
    log = daemon.run / "relay.log"
    waitFor(lambda: "0 unchanged, 1 changed" in log.read_text(), "it has reloaded")

    ended = daemon.terminate()
    rtu.expect(STOPDT_ACT)
    os.kill(daemon.pid, signal.SIGHUP)
    waitFor(lambda: "Not reloaded: the service stops" in log.read_text(), "the signal is heard")
    assert alive(daemon.pid)
    rtu.send(STOPDT_CON)
    for station in (rtu, master):
        assert station.ending() == "FIN"
        station.close()
    assert ended(PATIENCE) < 2
    assert not daemon.pidfile.exists()
    assert "Traceback" not in log.read_text()
