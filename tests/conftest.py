"""What holds for all tests: hypothesis profiles, marks by folder, no error logged unseen."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

HERE = Path(__file__).parent

# No deadline: a shared machine may take a second for what normally takes a millisecond.
# The ordinary run is derandomized, so that a red build means a change and not a new seed;
# finding new examples is the work of `make fuzz`.
# So many examples as let `make test` end in a few minutes on two cores.
settings.register_profile("default", deadline=None, derandomize=True, max_examples=25)
settings.register_profile(
    "fuzz",
    deadline=None,
    derandomize=False,
    max_examples=int(os.environ.get("FUZZ_EXAMPLES", "1000")),
    suppress_health_check=[HealthCheck.too_slow],
    print_blob=True,
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark all of tests/interop and tests/bench; interop tests share one xdist process,
    for they use real time and two cores are few."""
    for item in items:
        if HERE / "interop" in item.path.parents:
            item.add_marker(pytest.mark.interop)
            item.add_marker(pytest.mark.xdist_group("interop"))
        elif HERE / "bench" in item.path.parents:
            item.add_marker(pytest.mark.bench)
            item.add_marker(pytest.mark.xdist_group("interop"))


@implementer(ILogObserver)
class FailureCollector:
    """Keeps the events that carry a failure."""

    def __init__(self) -> None:
        self.events: list[LogEvent] = []

    def __call__(self, event: LogEvent) -> None:
        if event.get("log_failure") is not None:
            self.events.append(event)


@pytest.fixture(autouse=True)
def loggedFailures(request: pytest.FixtureRequest) -> Iterator[list[LogEvent]]:
    """The failures that were logged during the test; one that is left in the list fails it.

    A test that provokes one asks for this fixture, looks at the list and clears it.
    (Trial's test cases do the same by themselves, with ``flushLoggedErrors``.)
    """
    collector = FailureCollector()
    globalLogPublisher.addObserver(collector)
    yield collector.events
    globalLogPublisher.removeObserver(collector)
    if collector.events and not isinstance(request.instance, SynchronousTestCase):
        failures = "; ".join(str(event["log_failure"]) for event in collector.events)
        pytest.fail(f"logged: {failures}")
