"""The time service in virtual time, before fake servers and a fake clock."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import pytest
from twisted.logger import ILogObserver, LogEvent, LogLevel, formatEvent, globalLogPublisher
from zope.interface import implementer

from mm2ss.config.service_settings import NtpSettings
from mm2ss.services.ntp import NO_PRIVILEGE, TRYING, NtpService
from mm2ss.services.ntpdecision import Kiss
from tests.ntpservers import NOW, FakeClock, FakeReactor, answer, honest

A, B, C = "192.0.2.1", "192.0.2.2", "2001:db8::3"


@implementer(ILogObserver)
class Scene:
    """A service, its network and its clock."""

    def __init__(self) -> None:
        self.reactor = FakeReactor()
        self.clock = FakeClock(self.reactor)
        self.said: list[str] = []
        self.service: NtpService | None = None

    def start(self, *servers: str, interval: float = 900, **settings: Any) -> NtpService:
        """Start to ask these."""
        self.service = NtpService(
            servers, interval, NtpSettings(**settings), self.reactor, self.clock
        )
        self.service.startService()
        return self.service

    def end(self) -> None:
        """Stop it; nothing is left over."""
        assert self.service is not None
        stopped = self.service.stopService()
        self.reactor.run(0)
        assert stopped is not None and stopped.called
        self.reactor.run(self.reactor.latency)  # what is still on the network
        assert self.reactor.getDelayedCalls() == [] and self.reactor.open == []
        self.service = None

    def __call__(self, event: LogEvent) -> None:
        """Keep what the service says above debug."""
        ours = event.get("log_namespace", "").startswith("mm2ss.services.ntp")
        if ours and event["log_level"] is not LogLevel.debug:
            self.said.append(formatEvent(event))


@pytest.fixture
def scene() -> Iterator[Scene]:
    """A scene that is cleared up, and looked at for what is left over."""
    made = Scene()
    globalLogPublisher.addObserver(made)
    yield made
    globalLogPublisher.removeObserver(made)
    if made.service is not None:
        made.end()


def test_update(scene: Scene) -> None:
    """The first server that answers sets the clock; the next round comes an interval later."""
    scene.clock.error = -0.2
    scene.reactor.servers[A] = honest(stratum=3)
    service = scene.start(A, B)
    assert service.status == TRYING
    scene.reactor.run(1)
    assert service.status.startswith("Time updated at: 20") and service.status.endswith(f"from {A}")
    assert scene.clock.calls == [("slew", 0.2)] and scene.reactor.asked == [(0, A, 123)]
    state = service.snapshot()
    assert (state.server, state.address, state.stratum, state.slews) == (A, A, 3, 1)
    assert state.offset == pytest.approx(0.2, abs=1e-4) and state.privileged is True
    assert state.updatedAt == pytest.approx(NOW, abs=1) and state.complaints == ()
    scene.reactor.run(898)
    assert scene.reactor.hosts == [A]
    scene.reactor.run(2)
    assert scene.reactor.hosts == [A, A]


@pytest.mark.parametrize("error", [-3600.0, 3600.0, 7.0])
def test_step(scene: Scene, error: float) -> None:
    """A large offset is stepped, and the log says so."""
    scene.clock.error = error
    scene.reactor.servers[A] = honest()
    service = scene.start(A)
    scene.reactor.run(1)
    assert scene.clock.calls == [("step", -error)] and service.snapshot().steps == 1
    assert len(scene.said) == 1 and f"{-error:.3f}"[:5] in scene.said[0] and "step" in scene.said[0]
    scene.reactor.run(1000)
    assert scene.clock.calls == [("step", -error), ("slew", 0)]


def test_order(scene: Scene) -> None:
    """Servers are tried in order until one answers: silence, no way, no name, refusal."""
    scene.reactor.servers[B] = honest(leap=3)
    scene.reactor.servers[C] = honest()
    scene.reactor.noWay.add("192.0.2.9")
    scene.reactor.names["time.example"] = ()
    service = scene.start(A, "192.0.2.9", "time.example", B, C)
    scene.reactor.run(4)
    assert scene.reactor.hosts == [A, "192.0.2.9", B, C]
    assert service.status.endswith(f"from {C}")
    assert dict(service.snapshot().complaints) == {
        A: "no answer within 3 s",
        "192.0.2.9": "cannot be asked: Network is unreachable",
        "time.example": "its name is not found",
        B: "it is not synchronised",
    }
    said = len(scene.said)
    scene.reactor.run(900)
    assert len(scene.said) == said, "said once, not in every round"
    scene.reactor.servers[A] = honest()
    scene.reactor.run(1000)
    assert f"NTP server {A} can be used again" in scene.said


def test_names(scene: Scene) -> None:
    """A name's addresses are tried in their order, IPv6 among them; a silent resolver ends."""
    scene.reactor.names = {"pool.example": [A, C], "slow.example": None}
    scene.reactor.servers[C] = honest()
    service = scene.start("slow.example", "pool.example")
    scene.reactor.run(3.5)
    assert scene.reactor.hosts == [A]
    scene.reactor.run(3)
    assert service.status.endswith("from pool.example") and service.snapshot().address == C


def test_noIpv6(scene: Scene) -> None:
    """A machine without IPv6 goes on to the next server."""
    scene.reactor.families = {4}
    scene.reactor.servers = {A: honest(), C: honest()}
    service = scene.start(C, A)
    scene.reactor.run(1)
    assert service.status.endswith(f"from {A}")
    assert "no socket" in dict(service.snapshot().complaints)[C]


def test_nobodyAnswers(scene: Scene) -> None:
    """After a round without an answer the next one comes soon, then later and later."""
    service = scene.start(A, interval=100)
    scene.reactor.run(420)
    assert [time for time, _, _ in scene.reactor.asked] == [0, 19, 54, 121, 224, 327]
    assert service.status == TRYING and scene.clock.calls == []
    assert scene.said == [f"NTP server {A} is not used: no answer within 3 s"]


def test_statusGoesBackToTrying(scene: Scene) -> None:
    """When no server answers any more, the status says so, and an answer mends it."""
    scene.reactor.servers[A] = honest()
    service = scene.start(A)
    scene.reactor.run(1)
    del scene.reactor.servers[A]
    scene.reactor.run(904)
    assert service.status == TRYING
    scene.reactor.servers[A] = honest()
    scene.reactor.run(20)
    assert service.status.endswith(f"from {A}")


def test_forgeries(scene: Scene) -> None:
    """What does not echo our question is ignored, and the true answer behind it is taken."""

    def server(question: bytes, now: float) -> Sequence[bytes]:
        forged = answer(bytes(48), NOW + now + 5000)
        return [forged, b"", question, forged[:40], *honest()(question, now)]

    scene.reactor.servers[A] = server
    service = scene.start(A)
    scene.reactor.run(1)
    assert service.status.endswith(f"from {A}") and scene.clock.calls == [("slew", 0)]


@pytest.mark.parametrize("source", [(B, 123), (A, 124), ("nonsense", 123)])
def test_anotherSource(scene: Scene, source: tuple[str, int]) -> None:
    """An answer from another address or port is none."""
    scene.reactor.servers[A] = honest()
    scene.reactor.source = source
    scene.start(A)
    scene.reactor.run(2)
    assert scene.clock.calls == []


def test_tooLate(scene: Scene) -> None:
    """A slow way makes the time too uncertain to be used."""
    scene.reactor.servers[A] = honest()
    scene.reactor.latency = 1.5
    service = scene.start(A)
    scene.reactor.run(2)
    assert scene.clock.calls == [] and "more than 1 s" in service.snapshot().complaints[0][1]


def test_implausible(scene: Scene) -> None:
    """A server that is days away is not believed, and the next one is asked."""
    scene.reactor.servers[A] = lambda question, now: [answer(question, NOW + now + 1e6)]
    scene.reactor.servers[B] = honest()
    scene.start(A, B)
    scene.reactor.run(1)
    assert scene.reactor.hosts == [A, B] and scene.clock.calls == [("slew", 0)]


def test_implausibleButAllowed(scene: Scene) -> None:
    """With ``max_offset: 0`` it is."""
    scene.clock.error = -NOW
    scene.reactor.servers[A] = honest()
    scene.start(A, maxOffset=0)
    scene.reactor.run(1)
    assert [how for how, _ in scene.clock.calls] == ["step"]
    assert scene.clock.error == pytest.approx(0, abs=0.01)


def test_clockSetMeanwhile(scene: Scene) -> None:
    """When somebody sets the clock while the answer is under way, it is not used."""
    scene.reactor.servers[A] = honest()
    service = scene.start(A)
    scene.clock.error = 60
    scene.reactor.run(1)
    assert scene.clock.calls == [] and "set by somebody" in service.snapshot().complaints[0][1]


@pytest.mark.parametrize("kiss", [Kiss.DENY, Kiss.RSTR])
def test_denied(scene: Scene, kiss: Kiss) -> None:
    """A server that denies is not asked again before the next start; others are."""
    scene.reactor.servers[A] = honest(stratum=0, leap=3, reference=kiss.value.encode())
    scene.reactor.servers[B] = honest()
    service = scene.start(A, B)
    scene.reactor.run(10000)
    assert scene.reactor.hosts.count(A) == 1 and scene.reactor.hosts.count(B) > 10
    assert kiss.value in service.snapshot().complaints[0][1]
    scene.end()
    scene.start(A)
    assert scene.reactor.hosts.count(A) == 2


def test_rate(scene: Scene) -> None:
    """A server that says RATE is asked half as often, and half of that when it says it again."""
    scene.reactor.servers[A] = honest(stratum=0, leap=3, reference=b"RATE")
    scene.start(A, interval=100)
    scene.reactor.run(650)
    gaps = [round(time) for time, _, _ in scene.reactor.asked]
    assert len(gaps) == 3 and gaps[1] >= 200 and gaps[2] - gaps[1] >= 400
    scene.reactor.servers[A] = honest()
    scene.reactor.run(2500)
    later = [time for time, _, _ in scene.reactor.asked][3:]
    assert later and all(two - one >= 800 for one, two in pairwise(later))


def test_noPrivilege(scene: Scene) -> None:
    """Without privilege it says so once and goes on to measure; its status stays."""
    scene.clock.error = -2
    scene.clock.fault = PermissionError(1, "Operation not permitted")
    scene.reactor.servers[A] = honest()
    service = scene.start(A)
    scene.reactor.run(5000)
    assert service.status == NO_PRIVILEGE == "No admin privilege, cannot update time."
    assert len(scene.reactor.hosts) > 3
    assert [line for line in scene.said if NO_PRIVILEGE in line] == scene.said[:1] == scene.said
    state = service.snapshot()
    assert state.privileged is False and state.offset == pytest.approx(2, abs=1e-3)
    del scene.reactor.servers[A]
    scene.reactor.run(1000)
    assert service.status == NO_PRIVILEGE


@pytest.mark.parametrize("fault", [OSError(22, "Invalid argument"), OverflowError("too large")])
def test_clockRefuses(scene: Scene, fault: Exception) -> None:
    """A system that does not take the time is said once; the next round tries again."""
    scene.clock.fault = fault
    scene.reactor.servers[A] = honest()
    service = scene.start(A)
    scene.reactor.run(2000)
    assert service.status == TRYING and len(scene.said) == 1 and "cannot be set" in scene.said[0]
    scene.clock.fault = None
    scene.reactor.run(1000)
    assert service.status.endswith(f"from {A}")


def test_ownFault(scene: Scene, loggedFailures: list[LogEvent]) -> None:
    """A fault of our own is logged with its traceback, and does not end the service."""
    scene.clock.fault = RuntimeError("a bug")
    scene.reactor.servers[A] = honest()
    service = scene.start(A)
    scene.reactor.run(1)
    assert len(loggedFailures) == 1
    loggedFailures.clear()
    scene.clock.fault = None
    scene.reactor.run(900)
    assert service.status.endswith(f"from {A}")


def test_kept(scene: Scene) -> None:
    """While another program keeps the clock it is left alone; said once, and taken up after."""
    scene.reactor.servers[A] = honest()
    scene.clock.kernel, scene.clock.running = True, [""] * 200 + ["chronyd"]
    service = scene.start(A)
    scene.reactor.run(5000)
    assert service.status == "Time is kept by chronyd, not updated here."
    assert scene.reactor.asked == [] and len(scene.said) == 1 and "chronyd" in scene.said[0]
    assert service.snapshot().keeper == "chronyd"
    scene.clock.kernel, scene.clock.running = False, []
    scene.reactor.run(601)
    assert service.status.endswith(f"from {A}") and service.snapshot().keeper == ""


def test_keptInVain(scene: Scene) -> None:
    """A timesyncd that finds no server gets ten minutes, then we set the clock."""
    scene.reactor.servers[A] = honest()
    scene.clock.running = ["systemd-timesyncd"]
    service = scene.start(A)
    scene.reactor.run(599)
    assert "systemd-timesyncd" in service.status and scene.clock.calls == []
    scene.reactor.run(2)
    assert service.status.endswith(f"from {A}")
    scene.clock.kernel = True
    scene.reactor.run(900)
    assert "systemd-timesyncd" in service.status


def test_fight(scene: Scene) -> None:
    """``fight: true`` sets the clock whoever keeps it."""
    scene.reactor.servers[A] = honest()
    scene.clock.kernel, scene.clock.running = True, ["ntpd"]
    service = scene.start(A, fight=True)
    scene.reactor.run(1)
    assert service.status.endswith(f"from {A}")


@pytest.mark.parametrize("after", [0, 0.005, 2.9, 3.1, 17])
def test_stop(scene: Scene, after: float) -> None:
    """It can be stopped at any moment: asleep, looking a name up, waiting for an answer."""
    scene.reactor.names["slow.example"] = None
    scene.start(A, "slow.example")
    scene.reactor.run(after)
    scene.end()


def test_stopWhileLookingForPrograms(scene: Scene) -> None:
    """Also while it looks at the processes."""
    scene.clock.running = [""] * 1000
    scene.start(A)
    scene.end()
    assert scene.reactor.asked == []


def test_stopWithoutStart() -> None:
    """What was not started is stopped at once."""
    reactor = FakeReactor()
    service = NtpService([A], 900, NtpSettings(), reactor, FakeClock(reactor))
    assert service.stopService() is None


def test_manyRestraints(scene: Scene) -> None:
    """A pool with ever new addresses that deny does not fill the memory."""
    kiss = honest(stratum=0, leap=3, reference=b"DENY")
    addresses = [f"198.51.{n // 250}.{n % 250}" for n in range(400)]
    scene.reactor.servers = dict.fromkeys(addresses, kiss)
    service = scene.start("pool.example", interval=1)
    for n in range(0, 400, 4):
        scene.reactor.names["pool.example"] = addresses[n : n + 4]
        scene.reactor.run(1.2)
    assert len(service._restraints) == 256
