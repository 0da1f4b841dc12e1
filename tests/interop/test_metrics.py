"""The page of a real relay, while events and commands pass between c104 stations."""

from __future__ import annotations

import http.client
from collections.abc import Callable

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.interop.harness import Relay, Scene, row
from tests.interop.points import SELECTED
from tests.interop.rawstations import RawStation
from tests.interop.waiting import RTU_IP, listening, waitFor

#: From where another master comes.
OTHER_IP = "127.0.0.9"
EVENTS = 50


class Page:
    """One scrape: the numbers by metric and labels."""

    def __init__(self, port: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        connection.request("GET", "/metrics", headers={"Accept": "text/plain"})
        answer = connection.getresponse()
        assert answer.status == 200
        assert answer.headers.get_content_type() == "text/plain"
        self.text = answer.read().decode()
        connection.close()
        self.samples = [
            sample
            for family in text_string_to_metric_families(self.text)
            for sample in family.samples
        ]

    def value(self, metric: str, /, **labels: str) -> float:
        """The sum of all samples that have these labels."""
        found = [
            sample.value
            for sample in self.samples
            if sample.name == metric and labels.items() <= sample.labels.items()
        ]
        assert found, f"{metric} {labels}"
        return sum(found)


def waitPage(port: int, condition: Callable[[Page], bool], what: str) -> Page:
    """The first page that is as it should be."""

    def page() -> Page | None:
        scraped = Page(port)
        return scraped if condition(scraped) else None

    found = waitFor(page, what)
    assert found is not None
    return found


@pytest.fixture
def port(scene: Scene) -> int:
    """Where the metrics are."""
    return scene.port()


def service(port: int) -> str:
    """The service file."""
    return f"metrics: {{enabled: true, port: {port}}}\n"


@pytest.mark.smoke
def test_pageSaysWhatThePeersSaw(scene: Scene, port: int) -> None:
    """Frames, octets, commands and states on the page are those that RTU and masters counted."""
    groupPort, rtuPort = scene.port(), scene.port()
    rtu = scene.rtu(rtuPort)
    relay = scene.relay(row(1, groupPort, f"{RTU_IP}:{rtuPort}"), service=service(port))
    relay.waitOpen(groupPort)
    idle = Page(port)
    assert idle.value("mm2ss_rtu_up", group="1", name="RTU 1") == 1
    assert idle.value("mm2ss_rtu_started") == idle.value("mm2ss_masters_connected") == 0

    masters = scene.masters(2, groupPort)
    rtu.waitStarted()
    for number in range(EVENTS):
        rtu.do("send", address=107, value=number / 8, at=1774745999987 + number)
    assert masters[0].do("command", address=next(iter(SELECTED)), value=True, select=True)
    rtu.mark(masters)

    def framesSent() -> int:
        return sum(bool(frame.asdu) for frame in rtu.frames(sent=True))

    page = waitPage(
        port,
        lambda page: (
            page.value("mm2ss_link_frames_total", leg="rtu", direction="received") == framesSent()
            and page.value("mm2ss_commands_total") == 2
            and page.value("mm2ss_event_loop_lag_seconds_count") > 0
        ),
        "all that the RTU sent is on the page",
    )
    received = page.value("mm2ss_link_frames_total", leg="masters", direction="sent")
    waitFor(
        lambda: sum(len(master.asdus(sent=False)) for master in masters) == received,
        f"the masters have {received} frames",
    )
    assert page.value("mm2ss_master_frames_total", direction="sent", peer="127.0.0.1") == received
    asked = len(rtu.asdus(sent=False))
    assert page.value("mm2ss_link_frames_total", leg="rtu", direction="sent") == asked == 2
    results = [line["result"] for line in relay.audited(2)]
    assert results == ["confirmed", "terminated"]  # the select, and its execution
    for result in results:
        assert page.value("mm2ss_commands_total", result=result) == 1
    assert page.value("mm2ss_command_round_trip_seconds_count") == 2
    assert 0 < page.value("mm2ss_command_round_trip_seconds_sum") < 10
    assert page.value("mm2ss_delivery_delay_seconds_count") > 0
    assert page.value("mm2ss_masters_started") == page.value("mm2ss_master_connections") == 2
    octets = sum(len(frame.octets) for frame in rtu.frames(sent=True))
    got = page.value("mm2ss_link_bytes_total", leg="rtu", direction="received")
    assert abs(got - octets) <= 60, "an S or U frame may have passed in between"
    assert page.value("process_open_fds") > 5 and page.value("mm2ss_groups") == 1


def test_lossAndReturnOfTheRtu(scene: Scene, port: int) -> None:
    """Each end of a connection counts by its cause; figures go on when the RTU comes back."""
    groupPort, rtuPort = scene.port(), scene.port()
    listener = scene.rawRtu(rtuPort)
    relay = scene.relay(row(1, groupPort, f"{RTU_IP}:{rtuPort}"), service=service(port))
    rtu = scene.raw(listener.accept())
    relay.waitOpen(groupPort)
    master = scene.raw(RawStation.started(groupPort))
    rtu.expect("68 04 07 00 00 00")
    rtu.send("68 04 0b 00 00 00", "68 0e 00 00 00 00 01 01 03 00 20 00 64 00 00 01")
    master.expect("68 0e 02 00 00 00 01 01 03 00 20 00 64 00 00 01")
    rtu.send("68 0e 08 00 00 00 01 01 03 00 20 00 64 00 00 01")  # N(S) 4 for 1

    lost = waitPage(
        port,
        lambda page: (
            page.value("mm2ss_link_connections_total", leg="rtu") == 1
            and page.value("mm2ss_rtu_up") == 0
        ),
        "the RTU is lost",
    )
    assert lost.value("mm2ss_link_closes_total", leg="rtu", cause="NS_MISMATCH") == 1
    assert lost.value("mm2ss_link_closes_total", leg="masters", cause="RTU_LOST") == 1
    assert lost.value("mm2ss_link_frames_total", leg="rtu", direction="received") == 1
    assert lost.value("mm2ss_port_open") == lost.value("mm2ss_master_connections") == 0

    again = scene.raw(listener.accept())
    relay.waitOpen(groupPort)
    back = waitPage(port, lambda page: page.value("mm2ss_rtu_up") == 1, "the RTU is back")
    assert back.value("mm2ss_link_connections_total", leg="rtu") == 2
    assert back.value("mm2ss_link_frames_total", leg="rtu", direction="received") == 1
    again.close()


def test_refusals(scene: Scene, port: int) -> None:
    """A master that the filter does not let in counts by the reason."""
    groupPort, rtuPort = scene.port(), scene.port()
    scene.rtu(rtuPort)
    config = row(1, groupPort, f"{RTU_IP}:{rtuPort}", filter="127.0.0.1")
    relay = scene.relay(config, service=service(port))
    relay.waitOpen(groupPort)
    for _ in range(3):
        stranger = scene.raw(RawStation.connect(groupPort, OTHER_IP))
        stranger.ending()
    page = waitPage(
        port,
        lambda page: (
            "mm2ss_masters_refused_total{" in page.text
            and page.value("mm2ss_masters_refused_total") >= 3
        ),
        "three refusals",
    )
    assert page.value("mm2ss_masters_refused_total", reason="FILTER") == 3


def test_twoInstancesWantOnePort(scene: Scene, port: int) -> None:
    """The second instance says that the port is taken, and relays nevertheless."""
    ports = [scene.port() for _ in range(4)]
    for rtuPort in ports[2:]:
        scene.rtu(rtuPort)
    first = scene.relay(row(1, ports[0], f"{RTU_IP}:{ports[2]}"), service=service(port))
    first.waitOpen(ports[0])
    waitFor(lambda: listening(port), "the metrics of the first")
    with Relay(
        scene.folder / "second", [row(2, ports[1], f"{RTU_IP}:{ports[3]}")], service(port)
    ) as second:
        second.waitOpen(ports[1])
        text = f"Metrics: port {port} on 127.0.0.1 cannot be used:"
        waitFor(lambda: text in second.log, "the second one's log")
        assert Page(port).value("mm2ss_rtu_up") == 1
        assert 'group="2"' not in Page(port).text
        first.stop()
        waitFor(lambda: listening(port), "the second one takes the port")
        assert 'group="2"' in Page(port).text
