"""One IEC 60870-5-104 connection without its socket: windows, numbers, start and stop, timers.

The same class serves both roles: the *controlling* station (the relay towards the RTU) and the
*controlled* station (the relay towards a master). It is given octets and the time, and it gives
back octets and events; it never reads a clock and never waits. The owner calls

* `Link.receive` with each chunk that arrives,
* `Link.send` with the ASDUs to be sent, never more than `Link.window`,
* `Link.wake` when `Link.deadline` has come,

and after each call writes `Link.takeOutput()`.

Frames are counted from 0 for the life of the connection and never wrap; only the last 15 bits
travel (`apci.unwrap` brings them back).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from math import inf

from mm2ss.config.parameters import LinkParameters
from mm2ss.iec104.apci import (
    HEAD_LENGTH,
    S_HEAD,
    Apdu,
    CloseCause,
    FrameBuffer,
    ProtocolError,
    UFunction,
    decodeRun,
    encodeRun,
    encodeS,
    encodeU,
    unwrap,
)


class Role(Enum):
    """Which station this end of the connection is."""

    CONTROLLING = "controlling station"
    CONTROLLED = "controlled station"


class State(Enum):
    """Data transfer states (subclause 5.3 of the standard), seen from this end."""

    STOPPED = "stopped"
    PENDING_STARTED = "waiting for STARTDT con"
    STARTED = "started"
    UNCONFIRMED_STOPPED = "stopping, own frames unacknowledged"
    PENDING_STOPPED = "waiting for STOPDT con"
    CLOSED = "closed"


@dataclass(frozen=True)
class Received:
    """I frames arrived: their ASDUs in order."""

    asdus: list[bytes]


@dataclass(frozen=True)
class Acknowledged:
    """The peer acknowledged own I frames: the first `count` of this connection."""

    count: int


@dataclass(frozen=True)
class Started:
    """Data transfer started (again, where a pending stop was taken back)."""


@dataclass(frozen=True)
class StopRequested:
    """The controlling station sent STOPDT act; nothing more is sent to it until it starts."""


@dataclass(frozen=True)
class Stopped:
    """Data transfer stopped and this was confirmed."""


@dataclass(frozen=True)
class RoundTrip:
    """The peer confirmed TESTFR after so many seconds."""

    seconds: float


@dataclass(frozen=True)
class Ignored:
    """A frame without meaning here was passed over; for the log."""

    what: str


@dataclass(frozen=True)
class Drained:
    """What the transport could not take at once is gone: there is room to send again.

    A `Link` knows no transport; this comes from who has one.
    """


@dataclass(frozen=True)
class Closed:
    """The connection is to be closed by this end, now."""

    cause: CloseCause
    detail: str


LinkEvent = (
    Received
    | Acknowledged
    | Started
    | StopRequested
    | Stopped
    | RoundTrip
    | Ignored
    | Drained
    | Closed
)

_U_NAMES = {
    int(function): function.name.replace("_ACT", " act").replace("_CON", " con")
    for function in UFunction
}
#: What connections at rest say, cut.
_TESTS: dict[bytes, Apdu] = {
    encodeU(function): (int(function), 0, b"")
    for function in (UFunction.TESTFR_ACT, UFunction.TESTFR_CON)
}
# The states that are asked for at every chunk; up to Python 3.11 an enumeration takes as long as a
# call to find a member.
_TRANSFER = State.STARTED
_OVER = State.CLOSED
DRAINED = Drained()
_STARTED = Started()
_STOP_REQUESTED = StopRequested()
_STOPPED = Stopped()


class Link:
    """One connection; see the module's text for its use.

    :param role: which station this end is.
    :param parameters: windows and timers of this end.
    :param now: monotonic seconds.
    :param idleTime: seconds without any APDU after which the connection is closed; 0 = never.
    :param releaseDelay: seconds an acknowledgement may wait for more or for an I frame to carry
        it; by default t2.
    :ivar window: how many I frames may be sent now: 0 unless started, at most k.
    :ivar output: what `takeOutput` would give, in pieces.
    :ivar soonest: `wake` need not be called before; never later than `deadline`, and cheaper.
    :ivar proven: how many received I frames the peer knows to be acknowledged, as its answers to
        TESTFR act and STOPDT act have shown.
    :ivar confirmed: how many sent I frames the peer has acknowledged.
    :ivar released: how many received I frames may be acknowledged; see `release`.
    :ivar automatic: whether received I frames may be acknowledged as soon as they are received.
        When False, only what `release` names is acknowledged, in S frames and in I frames alike.
    """

    def __init__(
        self,
        role: Role,
        parameters: LinkParameters,
        now: float,
        idleTime: float = 0,
        releaseDelay: float | None = None,
    ) -> None:
        self.role = role
        self.parameters = parameters
        self.state = State.STOPPED
        self.window = 0
        self.automatic = True
        self._buffer = FrameBuffer()
        self.output: list[bytes] = []
        self._idleTime = idleTime or inf
        self._releaseDelay = parameters.t2 if releaseDelay is None else releaseDelay
        # Sending: V(S), how many of them are acknowledged, and when each unacknowledged batch
        # was sent (running count after it, time). At most k batches.
        self._sent = 0
        self.confirmed = 0
        # (A list: an empty deque costs 760 octets, and most connections rest.)
        self._batches: list[tuple[int, float]] = []
        # Receiving: V(R), how much of it may be acknowledged, and the last N(R) sent.
        self._received = 0
        self.released = 0
        self._acknowledged = 0
        self._tested = 0  # acknowledged when TESTFR act was sent
        self.proven = 0
        # Timers: the moment each expires; inf = not running.
        self._lastArrival = now
        self._acknowledgeBy = inf  # t2 and releaseDelay
        self._confirmBy = inf  # t1 of STARTDT act and STOPDT act
        self._testBy = inf  # t1 of TESTFR act
        self.soonest = self.deadline

    # -- what the owner may look at ---------------------------------------------------------

    @property
    def sent(self) -> int:
        """I frames sent on this connection."""
        return self._sent

    @property
    def received(self) -> int:
        """I frames received on this connection."""
        return self._received

    @property
    def outstanding(self) -> int:
        """Own I frames that the peer has not acknowledged, 0-k."""
        return self._sent - self.confirmed

    @property
    def deadline(self) -> float:
        """When `wake` must be called at the latest; inf once closed."""
        if self.state is _OVER:
            return inf
        quiet = self._lastArrival + min(
            self._idleTime, self.parameters.t3 if self._testBy == inf else inf
        )
        frames = self._batches[0][1] + self.parameters.t1 if self._batches else inf
        return min(quiet, frames, self._acknowledgeBy, self._confirmBy, self._testBy)

    def takeOutput(self) -> bytes:
        """The octets to be written now; empty when there is nothing."""
        if not self.output:
            return b""
        data = b"".join(self.output)
        self.output.clear()
        return data

    # -- what the owner does ----------------------------------------------------------------

    def start(self, now: float) -> None:
        """Send STARTDT act (controlling station, stopped)."""
        self._require(Role.CONTROLLING, State.STOPPED)
        self.output.append(encodeU(UFunction.STARTDT_ACT))
        self._confirmBy = now + self.parameters.t1
        self._expect(self._confirmBy)
        self._become(State.PENDING_STARTED)

    def stop(self, now: float) -> None:
        """Acknowledge what may be acknowledged, send STOPDT act (controlling station, started).

        I frames may still arrive until the stop is confirmed, and are acknowledged at once: a
        controlled station does not confirm before all its frames are acknowledged.
        """
        self._require(Role.CONTROLLING, _TRANSFER)
        self._acknowledgeNow()
        self.output.append(encodeU(UFunction.STOPDT_ACT))
        self._confirmBy = now + self.parameters.t1
        self._expect(self._confirmBy)
        self._become(State.UNCONFIRMED_STOPPED if self._batches else State.PENDING_STOPPED)

    def send(self, asdus: Sequence[bytes], now: float) -> None:
        """Send each ASDU in an I frame of its own.

        :raises ValueError: when there are more than `window`, or one has a wrong length (0, or
            more than 249 octets); nothing is sent then.
        """
        count = len(asdus)
        if count > self.window:
            raise ValueError(f"{count} ASDUs for a window of {self.window}")
        if not count:
            return
        number = self._sent
        released = self.released
        self.output.append(encodeRun(number, released, asdus))
        self.window -= count
        self._sent = number = number + count
        batches = self._batches
        if not batches:
            self._expect(now + self.parameters.t1)
        batches.append((number, now))
        self._acknowledged = released
        self._acknowledgeBy = inf

    def release(self, count: int, now: float) -> None:
        """Allow the acknowledgement of the first `count` I frames received (never less again).

        An S frame is sent when w of them wait, else after the release delay unless an I frame
        carries the number before.

        :raises ValueError: when so many were not received.
        """
        if count > self._received:
            raise ValueError(f"released {count} of {self._received} received frames")
        if count <= self.released or self.state is _OVER:
            return
        self.released = count
        if count - self._acknowledged >= self.parameters.w or self._stopping:
            self._acknowledgeNow()
        elif self._acknowledgeBy == inf:
            self._acknowledgeBy = now + self._releaseDelay
            self._expect(self._acknowledgeBy)

    def shut(self) -> None:
        """The connection is gone or is being closed: nothing is sent or expected any more."""
        self._become(_OVER)
        self.soonest = inf
        self.output.clear()

    # -- what arrives -----------------------------------------------------------------------

    def receive(self, data: bytes, now: float) -> list[LinkEvent]:
        """Take a chunk of octets; return what happened, in order.

        What came before a protocol error is still delivered; the error ends the list with
        `Closed`, and everything after it is ignored.
        """
        events: list[LinkEvent] = []
        if self.state is _OVER:
            return events
        if len(data) == HEAD_LENGTH and data in _TESTS and not self._buffer.rest:
            self._lastArrival = now
            self._receiveU(_TESTS[data], now, events)
            return events
        before = self.confirmed
        if self.state is _TRANSFER:
            data = self._receiveUsual(self._buffer.join(data), now, events)
        if data:
            try:
                self._receiveAny(self._buffer.feed(data), now, events)
            except ProtocolError as error:
                events.append(self._close(error.cause, str(error)))
        if self.confirmed != before:
            events.insert(0, Acknowledged(self.confirmed))
        if self.automatic and self.released != self._received:
            self.release(self._received, now)
        return events

    def receiveRun(self, data: bytes, now: float) -> tuple[bytes, ...]:
        """Take a chunk that is I frames of one length in transfer, whole ones: most of what an RTU
        sends; return their ASDUs. What they acknowledge is then in `confirmed`. Any other chunk:
        take nothing, return an empty tuple, and have it go to `receive`.
        """
        if self.state is not _TRANSFER or self._buffer.rest:
            return ()
        asdus, used = self._takeRun(data, now, len(data))
        if used and self.automatic:
            self.release(self._received, now)
        return asdus

    def receiveS(self, data: bytes, now: float) -> int:
        """Take a chunk that is one S frame in transfer and acknowledges something, which is most of
        what masters send; return what `Acknowledged` says. Any other chunk: take nothing, return
        -1, and have it go to `receive`.
        """
        if len(data) != HEAD_LENGTH or not data.startswith(S_HEAD):
            return -1
        if self.state is not _TRANSFER or self._buffer.rest:
            return -1
        count = unwrap(self.confirmed, (data[4] | data[5] << 8) >> 1)
        if not self.confirmed < count <= self._sent:
            return -1
        self._lastArrival = now
        self._confirmTo(count)
        return count

    def wake(self, now: float) -> list[LinkEvent]:
        """See which timers have expired and act on them."""
        if self.state is _OVER:
            return []
        parameters = self.parameters
        if self._batches and now >= self._batches[0][1] + parameters.t1:
            return [self._close(CloseCause.T1_I_FRAME, f"{self.outstanding} unacknowledged")]
        if now >= self._confirmBy:
            starting = self.state is State.PENDING_STARTED
            return [self._close(CloseCause.T1_STARTDT if starting else CloseCause.T1_STOPDT)]
        if now >= self._testBy:
            return [self._close(CloseCause.T1_TESTFR)]
        if now >= self._lastArrival + self._idleTime:
            return [self._close(CloseCause.IDLE, f"{self._idleTime:g} s")]
        if now >= self._acknowledgeBy:
            self._acknowledgeNow()
        if self._testBy == inf and now >= self._lastArrival + parameters.t3:
            self.output.append(encodeU(UFunction.TESTFR_ACT))
            self._testBy = now + parameters.t1
            self._tested = self._acknowledged
        self.soonest = self.deadline
        return []

    def _receiveUsual(self, data: bytes, now: float, events: list[LinkEvent]) -> bytes:
        """Act on what a busy RTU sends in transfer: I frames of one length.

        :returns: what is left for `_receiveAny`, which can do all this, too, but frame by frame.
        """
        asdus, used = self._takeRun(data, now)
        if used:
            events.append(Received(list(asdus)))
        return data[used:]

    def _takeRun(self, data: bytes, now: float, least: int = 1) -> tuple[tuple[bytes, ...], int]:
        """Take the I frames of one length that a chunk begins with.

        :param least: octets that they must have.
        :returns: their ASDUs, and how many octets they had; 0 when nothing was taken.
        """
        run = decodeRun(data, self._received)
        if run is None:
            return (), 0
        number, asdus, used = run
        count = unwrap(self.confirmed, number)
        if used < least or count > self._sent:
            return (), 0
        self._lastArrival = now
        if count != self.confirmed:
            self._confirmTo(count)
        self._received += len(asdus)
        return asdus, used

    def _receiveAny(self, apdus: list[Apdu], now: float, events: list[LinkEvent]) -> None:
        """Act on each APDU; consecutive ASDUs become one event.

        :raises ProtocolError: at the first one that is wrong.
        """
        if apdus:
            self._lastArrival = now
        batch = events[-1].asdus if events and isinstance(events[-1], Received) else None
        for apdu in apdus:
            first, _, asdu = apdu
            if not first & 1:
                if not self._mayReceiveData():
                    raise self._error(CloseCause.DATA_WHILE_STOPPED, apdu)
                if first >> 1 != self._received & 0x7FFF:
                    raise self._error(CloseCause.NS_MISMATCH, apdu)
                stopped = self._confirm(apdu)
                self._received += 1
                if batch is None:
                    batch = []
                    events.append(Received(batch))
                batch.append(asdu)
            elif first & 2:
                batch = None
                stopped = False
                self._receiveU(apdu, now, events)
            else:
                if self.role is Role.CONTROLLED and self.state is State.STOPPED:
                    raise self._error(CloseCause.DATA_WHILE_STOPPED, apdu)
                stopped = self._confirm(apdu)
            if stopped:
                batch = None
                events.append(_STOPPED)
        if self._buffer.fault:
            raise self._buffer.fault

    def _mayReceiveData(self) -> bool:
        """A controlling station also takes what was under way when it sent STOPDT act."""
        if self.state is _TRANSFER:
            return True
        return self._stopping and self.role is Role.CONTROLLING

    def _confirm(self, apdu: Apdu) -> bool:
        """Take the N(R) of an I or S frame; return whether it completed a stop."""
        count = unwrap(self.confirmed, apdu[1] >> 1)
        if count == self.confirmed:
            return False
        if count > self._sent:
            raise self._error(CloseCause.NR_OUT_OF_WINDOW, apdu)
        self._confirmTo(count)
        if self._batches or self.state is not State.UNCONFIRMED_STOPPED:
            return False
        if self.role is Role.CONTROLLING:
            self._become(State.PENDING_STOPPED)
            return False
        self.output.append(encodeU(UFunction.STOPDT_CON))
        self._become(State.STOPPED)
        return True

    def _confirmTo(self, count: int) -> None:
        """The first `count` frames are acknowledged by the peer."""
        if self.state is _TRANSFER:
            self.window += count - self.confirmed
        self.confirmed = count
        batches = self._batches
        while batches and batches[0][0] <= count:
            batches.pop(0)

    def _receiveU(self, apdu: Apdu, now: float, events: list[LinkEvent]) -> None:
        """Act on a U frame."""
        code = apdu[0] & 0xFF
        if code == UFunction.TESTFR_ACT:
            self.output.append(encodeU(UFunction.TESTFR_CON))
        elif code == UFunction.TESTFR_CON:
            if self._testBy == inf:
                events.append(Ignored("TESTFR con that was not asked for"))
            else:
                events.append(RoundTrip(now - self._testBy + self.parameters.t1))
                self.proven = self._tested
            self._testBy = inf
            self.soonest = self.deadline
        elif code == UFunction.STARTDT_ACT and self.role is Role.CONTROLLED:
            self.output.append(encodeU(UFunction.STARTDT_CON))
            if self.state is _TRANSFER:
                events.append(Ignored("STARTDT act while started (confirmed again)"))
            else:
                self._become(_TRANSFER)
                events.append(_STARTED)
        elif code == UFunction.STOPDT_ACT and self.role is Role.CONTROLLED:
            self._receiveStop(events)
        elif code == UFunction.STARTDT_CON and self.state is State.PENDING_STARTED:
            self._confirmBy = inf
            self._become(_TRANSFER)
            events.append(_STARTED)
        elif code == UFunction.STOPDT_CON and self._stopping and self.role is Role.CONTROLLING:
            self._confirmBy = inf
            self._become(State.STOPPED)
            self.proven = self._acknowledged  # it waits for that before it confirms
            events.append(_STOPPED)
        elif code in _U_NAMES:
            events.append(Ignored(f"{_U_NAMES[code]} while {self.state.value}"))
        else:
            raise self._error(CloseCause.UNKNOWN_U, apdu)

    def _receiveStop(self, events: list[LinkEvent]) -> None:
        """STOPDT act from the controlling station (subclause 5.3, states of the server)."""
        if self.state is _TRANSFER:
            self.released = self._received
            self._acknowledgeNow()
            events.append(_STOP_REQUESTED)
            if self._batches:
                self._become(State.UNCONFIRMED_STOPPED)
                return
            self._become(State.STOPPED)
            events.append(_STOPPED)
        elif self.state is State.UNCONFIRMED_STOPPED:
            events.append(Ignored("STOPDT act while one is pending"))
            return
        self.output.append(encodeU(UFunction.STOPDT_CON))

    # -- helpers ----------------------------------------------------------------------------

    @property
    def _stopping(self) -> bool:
        return self.state is State.UNCONFIRMED_STOPPED or self.state is State.PENDING_STOPPED

    def _become(self, state: State) -> None:
        self.state = state
        self.window = self.parameters.k - self.outstanding if state is _TRANSFER else 0

    def _expect(self, moment: float) -> None:
        """A timer was started."""
        if moment < self.soonest:
            self.soonest = moment

    def _acknowledgeNow(self) -> None:
        """Send an S frame if any released frame is not acknowledged yet."""
        self._acknowledgeBy = inf
        if self.released != self._acknowledged:
            self._acknowledged = self.released
            self.output.append(encodeS(self.released))

    def _close(self, cause: CloseCause, detail: str = "") -> Closed:
        self._become(_OVER)
        return Closed(cause, detail)

    def _error(self, cause: CloseCause, apdu: Apdu) -> ProtocolError:
        """A protocol error that shows the frame and what was expected."""
        first, second, asdu = apdu
        octets = bytes((0x68, len(asdu) + 4)) + first.to_bytes(2, "little")
        return ProtocolError(cause, octets + second.to_bytes(2, "little") + asdu)

    def _require(self, role: Role, state: State) -> None:
        if self.role is not role or self.state is not state:
            raise ValueError(f"not for a {self.role.value} that is {self.state.value}")
