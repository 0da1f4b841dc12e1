"""The life of a group: when its port is open, and when the RTU sends.

::

    connecting --rtuUp--> idle --wanted--> starting --started--> transferring
                           ^                                          |
                           +------stopped----- stopping <--unwanted---+

and from anywhere back to connecting when the RTU's connection is lost; `finish` takes an RTU that
sends to stopping first. STARTDT act and STOPDT
act are never outstanding together: who changes his mind waits for the confirmation first.
"""

from __future__ import annotations

from typing import Protocol

from automat import TypeMachineBuilder, pep614


class Actions(Protocol):
    """What the life cycle does to the group."""

    def openPort(self) -> None:
        """Let masters connect."""

    def closePort(self) -> None:
        """Refuse masters, and disconnect those that are there."""

    def startTransfer(self) -> None:
        """Send STARTDT act to the RTU."""

    def transferStarted(self) -> None:
        """The RTU confirmed: requests may be sent to it."""

    def stopTransfer(self) -> None:
        """Send STOPDT act to the RTU."""

    def review(self) -> None:
        """Say `wanted` or `unwanted` again, as the masters now are."""

    def finished(self) -> None:
        """Nothing more will come from the RTU; the group may be taken down."""


class LifeCycle(Protocol):
    """What happens in the life of a group."""

    def rtuUp(self) -> None:
        """The RTU's TCP connection is there."""

    def rtuLost(self) -> None:
        """The RTU's TCP connection is gone."""

    def wanted(self) -> None:
        """At least one master has data transfer started."""

    def unwanted(self) -> None:
        """No master has data transfer started."""

    def started(self) -> None:
        """The RTU confirmed STARTDT."""

    def stopped(self) -> None:
        """The RTU confirmed STOPDT."""

    def finish(self) -> None:
        """The group is to be taken down, the RTU first stopped if it sends."""


_builder = TypeMachineBuilder(LifeCycle, Actions)  # type: ignore[type-abstract]  # handed through
_connecting = _builder.state("connecting")
_idle = _builder.state("idle")
_starting = _builder.state("starting")
_transferring = _builder.state("transferring")
_stopping = _builder.state("stopping")
_finishingStart = _builder.state("finishing, once started")
_finishing = _builder.state("finishing")
_finished = _builder.state("finished")


@pep614(_connecting.upon(LifeCycle.rtuUp).to(_idle))
def _connected(_life: LifeCycle, actions: Actions) -> None:
    actions.openPort()


@pep614(_idle.upon(LifeCycle.wanted).to(_starting))
def _start(_life: LifeCycle, actions: Actions) -> None:
    actions.startTransfer()


@pep614(_starting.upon(LifeCycle.started).to(_transferring))
def _started(_life: LifeCycle, actions: Actions) -> None:
    actions.transferStarted()
    actions.review()


@pep614(_transferring.upon(LifeCycle.unwanted).to(_stopping))
def _stop(_life: LifeCycle, actions: Actions) -> None:
    actions.stopTransfer()


@pep614(_stopping.upon(LifeCycle.stopped).to(_idle))
def _stopped(_life: LifeCycle, actions: Actions) -> None:
    actions.review()


for _state in (_idle, _starting, _transferring, _stopping):

    @pep614(_state.upon(LifeCycle.rtuLost).to(_connecting))
    def _lost(_life: LifeCycle, actions: Actions) -> None:
        actions.closePort()


@pep614(_transferring.upon(LifeCycle.finish).to(_finishing))
def _finishTransfer(_life: LifeCycle, actions: Actions) -> None:
    actions.stopTransfer()


@pep614(_finishingStart.upon(LifeCycle.started).to(_finishing))
def _finishStart(_life: LifeCycle, actions: Actions) -> None:
    actions.stopTransfer()


_starting.upon(LifeCycle.finish).to(_finishingStart).returns(None)
_stopping.upon(LifeCycle.finish).to(_finishing).returns(None)

for _state in (_connecting, _idle):

    @pep614(_state.upon(LifeCycle.finish).to(_finished))
    def _finishAtOnce(_life: LifeCycle, actions: Actions) -> None:
        actions.finished()


for _state, _end in (
    (_finishing, LifeCycle.stopped),
    (_finishing, LifeCycle.rtuLost),
    (_finishingStart, LifeCycle.rtuLost),
):

    @pep614(_state.upon(_end).to(_finished))
    def _finish(_life: LifeCycle, actions: Actions) -> None:
        actions.finished()


# What changes nothing.
for _state, _inputs in (
    (_connecting, (LifeCycle.wanted, LifeCycle.unwanted)),
    (_idle, (LifeCycle.unwanted,)),
    (_starting, (LifeCycle.wanted, LifeCycle.unwanted)),
    (_transferring, (LifeCycle.wanted,)),
    (_stopping, (LifeCycle.wanted, LifeCycle.unwanted)),
    (_finishingStart, (LifeCycle.wanted, LifeCycle.unwanted, LifeCycle.finish)),
    (_finishing, (LifeCycle.wanted, LifeCycle.unwanted, LifeCycle.finish)),
    (
        _finished,
        (
            LifeCycle.wanted,
            LifeCycle.unwanted,
            LifeCycle.finish,
            LifeCycle.rtuLost,
            LifeCycle.started,
            LifeCycle.stopped,
        ),
    ),
):
    for _input in _inputs:
        _state.upon(_input).loop().returns(None)

#: Makes the life cycle of one group from its actions.
lifeCycle = _builder.build()
