"""A connection between its transport and its link: writes, the one timer, and the ways it ends."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.error import ConnectionDone, ConnectionLost

from mm2ss.config.parameters import LinkParameters
from mm2ss.iec104.apci import CloseCause, encodeI, encodeS
from mm2ss.iec104.conduit import UNREAD_MAX
from mm2ss.iec104.link import (
    Acknowledged,
    Drained,
    Link,
    LinkEvent,
    Received,
    Role,
    Started,
    State,
)
from mm2ss.iec104.protocol import CLOSE_TIME, LinkFactory, LinkProtocol, addressText
from tests.fakes import FakeReactor, FakeTransport, VirtualClock
from tests.peers import FakeMaster, FakeRtu, RecordingOwner
from tests.stations import (
    DEFAULTS,
    MOMENT,
    STARTDT_ACT,
    STARTDT_CON,
    TESTFR_ACT,
    TESTFR_CON,
    asdu,
    asdus,
)


class Bench:
    """A `LinkProtocol` with its owner, transport and clock."""

    def __init__(
        self,
        role: Role = Role.CONTROLLED,
        parameters: LinkParameters = DEFAULTS,
        idleTime: float = 0,
    ) -> None:
        self.clock = VirtualClock()
        self.owner = RecordingOwner()
        self.transport = FakeTransport(self.clock)
        self.factory = LinkFactory(
            lambda now: Link(role, parameters, now, idleTime), self.owner, self.clock
        )
        connection = self.factory.buildProtocol(None)
        assert connection is not None
        self.connection = connection

    @classmethod
    def started(cls, *args: Any, **options: Any) -> Bench:
        """A connection of either role on which data transfer is started."""
        bench = cls(*args, **options)
        bench.connect()
        if bench.connection.link.role is Role.CONTROLLING:
            bench.connection.start()
            bench.receive(STARTDT_CON)
        else:
            bench.receive(STARTDT_ACT)
        bench.owner.events.clear()
        bench.transport.clear()
        return bench

    def connect(self) -> None:
        self.transport.connect(self.connection)
        if not self.transport.disconnecting:
            self.conduit = self.connection.conduit

    def receive(self, *octets: bytes) -> None:
        self.transport.receive(b"".join(octets))

    def assertOver(self, *causes: CloseCause) -> None:
        """The owner was told once, the transport is gone, nothing is pending."""
        self.clock.run(0)
        assert self.owner.causes == [*causes]
        assert not self.transport.connected
        assert self.clock.getDelayedCalls() == []


# -- up ----------------------------------------------------------------------------------------


def test_connectionMade() -> None:
    """The owner gets a stopped link; Nagle is off, keep-alive is on, the peer has a name."""
    bench = Bench()
    bench.connect()
    assert bench.owner.ups == [bench.connection]
    assert bench.connection.link.state is State.STOPPED
    assert bench.transport.noDelay and bench.transport.keepAlive
    assert bench.connection.peer == "192.0.2.1:49152"
    assert bench.transport.writes == []
    assert bench.transport.reading


def test_aConnectionThatNeverSaysAnythingIsTested() -> None:
    """The timer runs from the beginning: TESTFR act at t3, closed at t1 after it."""
    bench = Bench()
    bench.connect()
    bench.clock.run(20)
    assert bench.transport.frames() == ["TESTFR act"]
    bench.clock.run(15)
    bench.assertOver(CloseCause.T1_TESTFR)


def test_theOwnerMayStartInLinkUp() -> None:
    """STARTDT act goes out at once when the owner starts a connection that has just come up."""
    bench = Bench(Role.CONTROLLING)
    bench.owner.onUp = LinkProtocol.start
    bench.connect()
    assert bench.transport.frames() == ["STARTDT act"]
    bench.clock.run(15)
    bench.assertOver(CloseCause.T1_STARTDT)


def test_theOwnerMayRefuseInLinkUp() -> None:
    """A connection closed in linkUp leaves no timer behind, and nothing is read from it."""
    bench = Bench()
    bench.owner.onUp = lambda connection: connection.close(CloseCause.POLICY, "not you")
    bench.connect()
    assert len(bench.clock.getDelayedCalls()) == 2  # the close itself, and its limit
    bench.receive(STARTDT_ACT)
    assert bench.owner.downs == [(CloseCause.POLICY, "not you")]
    bench.assertOver(CloseCause.POLICY)
    assert bench.transport.writes == []


# -- octets ------------------------------------------------------------------------------------


def test_oneWritePerBatch() -> None:
    """However many frames a send or a chunk leads to, they are one write."""
    bench = Bench.started()
    bench.connection.send(asdus(12))
    assert len(bench.transport.writes) == 1
    assert bench.transport.frames() == [f"I {n}/0" for n in range(12)]
    bench.receive(*(encodeI(n, 12, asdu(n)) for n in range(8)), TESTFR_ACT, TESTFR_ACT)
    assert len(bench.transport.writes) == 1
    assert bench.transport.frames() == ["TESTFR con", "TESTFR con", "S 8"]
    assert bench.connection.conduit.window == 12


def test_repliesOfTheOwnerGoInTheSameWrite() -> None:
    """What the owner sends from within linkEvents goes with the link's own replies, in order."""
    bench = Bench.started()
    bench.owner.onEvents = lambda connection, events: connection.send([asdu(1), asdu(2)])
    bench.receive(TESTFR_ACT, encodeI(0, 0, asdu(0)))
    assert len(bench.transport.writes) == 1
    assert bench.transport.frames() == ["TESTFR con", "I 0/1", "I 1/1"]


def test_nothingToSayIsNoWrite() -> None:
    """A chunk that needs no reply leads to no write, and half a frame to no event."""
    bench = Bench.started()
    bench.receive(encodeI(0, 0, asdu(0)))
    bench.receive(TESTFR_ACT[:3])
    assert bench.transport.writes == []
    assert bench.owner.events == [Received([asdu(0)])]


def test_octetsAreCounted() -> None:
    """octetsIn and octetsOut are what went through the transport."""
    bench = Bench.started()
    assert (bench.conduit.octetsIn, bench.conduit.octetsOut) == (6, 6)
    bench.receive(TESTFR_ACT, b"\x68")
    assert (bench.conduit.octetsIn, bench.conduit.octetsOut) == (13, 12)


def test_sendBeyondTheWindow() -> None:
    """More than the window is the owner's mistake; nothing is written."""
    bench = Bench.started()
    with pytest.raises(ValueError, match="13 ASDUs"):
        bench.connection.send(asdus(13))
    assert bench.transport.writes == []


def test_holdAndRelease() -> None:
    """While held, nothing is acknowledged; afterwards all that came is, within t2."""
    bench = Bench.started(Role.CONTROLLING)
    bench.conduit.hold(True, bench.clock.seconds())
    bench.conduit.hold(True, bench.clock.seconds())
    bench.receive(*(encodeI(n, 0, asdu(n)) for n in range(5)))
    bench.clock.run(12)
    bench.connection.send([asdu(0)])
    assert bench.transport.frames() == ["I 0/0"]
    bench.receive(encodeS(1))
    bench.conduit.hold(False, bench.clock.seconds())
    bench.conduit.hold(False, bench.clock.seconds())
    assert bench.transport.frames() == []
    bench.clock.run(10)
    assert bench.transport.frames() == ["S 5"]
    bench.conduit.hold(True, bench.clock.seconds())
    bench.receive(*(encodeI(n, 1, asdu(n)) for n in range(5, 13)))
    bench.conduit.hold(False, bench.clock.seconds())
    assert bench.transport.frames() == ["S 13"]


def test_pause() -> None:
    """A paused connection does not read; what waits is read afterwards."""
    bench = Bench.started()
    bench.conduit.pause(True)
    bench.receive(TESTFR_ACT)
    assert bench.transport.frames() == []
    bench.conduit.pause(False)
    assert bench.transport.frames() == ["TESTFR con"]
    bench.connection.close(CloseCause.SHUTDOWN)
    bench.conduit.pause(True)
    bench.conduit.pause(False)
    assert not bench.transport.reading
    bench.assertOver(CloseCause.SHUTDOWN)


# -- the one timer -----------------------------------------------------------------------------


def test_oneTimerThatIsRearmedLazily() -> None:
    """Traffic that moves the deadline away leaves the pending call alone; it re-arms itself."""
    bench = Bench.started()
    (call,) = bench.clock.getDelayedCalls()
    assert call.getTime() == 20
    for second in range(1, 16):
        bench.clock.run(1)
        bench.connection.send([asdu(0)])
        bench.receive(encodeS(second))
        if second == 1:  # set forward once, by t1 of the first I frame
            (call,) = bench.clock.getDelayedCalls()
        assert bench.clock.getDelayedCalls() == [call]
        assert call.getTime() == 16
    bench.transport.clear()
    bench.clock.run(20 - MOMENT)
    assert not call.active()
    assert len(bench.clock.getDelayedCalls()) == 1
    assert bench.transport.frames() == []
    bench.clock.run(MOMENT)
    assert bench.transport.frames() == ["TESTFR act"]
    assert len(bench.clock.getDelayedCalls()) == 1


def test_anEarlierDeadlineMovesTheTimer() -> None:
    """A deadline that comes nearer is kept: t2 after a received I frame, with t3 pending."""
    bench = Bench.started()
    bench.clock.run(1)
    bench.receive(encodeI(0, 0, asdu(0)))
    (call,) = bench.clock.getDelayedCalls()
    assert call.getTime() == 11
    bench.clock.run(10 - MOMENT)
    assert bench.transport.frames() == []
    bench.clock.run(MOMENT)
    assert bench.transport.frames() == ["S 1"]


def test_sendingSetsTheTimer() -> None:
    """t1 of what the owner sends is kept though no octet arrives."""
    bench = Bench.started(parameters=LinkParameters(t1=11, t3=100))
    bench.clock.run(1)
    bench.connection.send([asdu(0)])
    bench.clock.run(11 - MOMENT)
    assert bench.transport.connected
    bench.clock.run(MOMENT)
    bench.assertOver(CloseCause.T1_I_FRAME)


def test_T10_aTimerFiresByTheClockItWasGiven() -> None:
    """A process that was suspended for an hour serves all that was due, in one wake-up."""
    bench = Bench.started()
    bench.receive(encodeI(0, 0, asdu(0)))
    bench.clock.advance(3600)
    assert bench.transport.frames() == ["S 1", "TESTFR act"]
    (call,) = bench.clock.getDelayedCalls()
    assert call.getTime() == 3615


def test_aTestThatIsAnsweredWakesOnce() -> None:
    """At rest a connection is woken every t3, to be tested; not again for the test's t1."""
    bench = Bench.started()
    wakes = []
    wake = bench.connection._alarm._wake

    def counting() -> None:
        wakes.append(bench.clock.seconds())
        wake()

    bench.connection._alarm._wake = counting
    for _ in range(5):
        bench.clock.run(20)
        bench.receive(TESTFR_CON)
    assert wakes == [20, 40, 60, 80, 100]
    assert bench.transport.frames() == ["TESTFR act"] * 5


@pytest.mark.parametrize("start", [0.1, 1234567.89, 3.3e9])
def test_roundingDoesNotSpin(start: float) -> None:
    """The timer never fires over and over at one moment, whatever the clock's magnitude."""
    bench = Bench(parameters=LinkParameters(t1=15.1, t2=0.7 + 0.4, t3=20.3))
    bench.clock.advance(start)
    bench.connect()
    bench.receive(STARTDT_ACT, encodeI(0, 0, asdu(0)))
    wakes = 0
    wake = bench.connection._alarm._wake

    def counting() -> None:
        nonlocal wakes
        wakes += 1
        wake()

    bench.connection._alarm._wake = counting
    bench.clock.run(100)
    assert 3 <= wakes <= 6
    bench.assertOver(CloseCause.T1_TESTFR)


# -- a peer that does not read -----------------------------------------------------------------


def fill(bench: Bench) -> None:
    """The peer stops reading, and the write buffer is full: legitimately, of I frames."""
    bench.transport.stall()
    while bench.transport.buffered <= bench.transport.bufferSize:
        bench.connection.send([bytes(249)] * min(50, bench.connection.conduit.window))


def test_aPeerThatFloodsAndNeverReadsIsClosed() -> None:
    """TESTFR act without end and no reading: closed with a bounded buffer."""
    bench = Bench.started()
    bench.transport.stall()
    chunk = TESTFR_ACT * 1000
    chunks = 0
    while bench.owner.connection:
        bench.receive(chunk)
        chunks += 1
        assert chunks < 1000, "the buffer grows for ever"
    limit = bench.transport.bufferSize + UNREAD_MAX + 2 * len(chunk)
    assert len(bench.transport.value()) <= limit
    assert bench.transport.aborted
    assert bench.owner.downs[0][1].endswith("octets of replies not read")
    bench.assertOver(CloseCause.TOO_SLOW)


def test_aFloodBehindTheOwnersFramesIsCountedToo() -> None:
    """Replies count also where the owner answers every chunk with I frames of its own."""
    bench = Bench.started()
    bench.transport.stall()
    bench.owner.onEvents = lambda connection, events: connection.send([bytes(249)])
    for chunk in range(1000):
        if not bench.owner.connection:
            break
        bench.receive(encodeI(chunk, chunk, asdu(0)), TESTFR_ACT * 1000)
    bench.assertOver(CloseCause.TOO_SLOW)


def test_aCongestedPeerWithManyIFramesInFlightIsKept() -> None:
    """I frames up to k, however many octets, are no reason to close; reading clears the count."""
    bench = Bench.started(parameters=LinkParameters(k=32767, w=8))
    fill(bench)
    for _ in range(10):
        bench.connection.send([bytes(249)] * 100)
        bench.receive(TESTFR_ACT)
    assert bench.transport.buffered > 4 * UNREAD_MAX
    assert bench.owner.connection
    half = UNREAD_MAX // len(TESTFR_ACT) - 50
    bench.receive(TESTFR_ACT * half)
    bench.transport.stall(False)
    bench.transport.clear()
    fill(bench)
    bench.receive(TESTFR_ACT * half)
    assert bench.owner.connection
    bench.receive(TESTFR_ACT * 100)
    bench.assertOver(CloseCause.TOO_SLOW)


def test_repliesToAReadingPeerAreNotCounted() -> None:
    """A peer that reads may ask as often as it likes."""
    bench = Bench.started()
    for _ in range(100):
        bench.receive(TESTFR_ACT * 1000)
    assert bench.owner.connection
    assert len(bench.transport.frames()) == 100_000


# -- the end -----------------------------------------------------------------------------------


ORDERLY = [
    *(CloseCause.POLICY, CloseCause.REPLACED, CloseCause.RTU_LOST, CloseCause.RESTART),
    *(CloseCause.SHUTDOWN, CloseCause.BAD_ASDU),
]


@pytest.mark.parametrize("cause", ORDERLY)
def test_orderlyClose(cause: CloseCause) -> None:
    """What is written still goes; the owner is told at once, and once."""
    bench = Bench.started()
    bench.connection.send([asdu(0)])
    bench.connection.close(cause, "because")
    assert bench.owner.downs == [(cause, "because")]
    assert bench.transport.disconnecting and not bench.transport.aborted
    assert bench.connection.link.state is State.CLOSED
    bench.connection.close(CloseCause.SHUTDOWN, "again")
    assert bench.transport.frames() == ["I 0/0"]
    bench.assertOver(cause)


@pytest.mark.parametrize("cause", ORDERLY)
def test_orderlyCloseIsCutAfterCloseTime(cause: CloseCause) -> None:
    """A peer that does not take the rest is cut after CLOSE_TIME."""
    bench = Bench.started(parameters=LinkParameters(k=1000))
    fill(bench)
    bench.connection.close(cause)
    bench.clock.run(CLOSE_TIME - MOMENT)
    assert bench.owner.causes == [cause]
    assert len(bench.clock.getDelayedCalls()) == 1
    bench.clock.run(MOMENT)
    assert bench.transport.aborted
    bench.assertOver(cause)


def test_orderlyCloseOfAFullBufferThatIsTaken() -> None:
    """A full write buffer that the peer takes within CLOSE_TIME ends in an orderly close."""
    bench = Bench.started(parameters=LinkParameters(k=1000))
    fill(bench)
    bench.connection.close(CloseCause.SHUTDOWN)
    bench.clock.run(1)
    bench.transport.stall(False)
    bench.assertOver(CloseCause.SHUTDOWN)
    assert not bench.transport.aborted


@pytest.mark.parametrize(
    ("role", "cause"),
    [
        (Role.CONTROLLED, CloseCause.T1_I_FRAME),
        (Role.CONTROLLED, CloseCause.T1_TESTFR),
        (Role.CONTROLLED, CloseCause.IDLE),
        (Role.CONTROLLED, CloseCause.TOO_SLOW),
        (Role.CONTROLLING, CloseCause.T1_STARTDT),
        (Role.CONTROLLING, CloseCause.T1_STOPDT),
    ],
)
def test_aDeadPeerIsCutAtOnce(role: Role, cause: CloseCause) -> None:
    """Where the peer is not there any more nothing is waited for: the connection is aborted."""
    bench = Bench(role, idleTime=17 if cause is CloseCause.IDLE else 0)
    bench.connect()
    if role is Role.CONTROLLING:
        bench.connection.start()
        if cause is CloseCause.T1_STOPDT:
            bench.receive(STARTDT_CON)
            bench.connection.stop()
    else:
        bench.receive(STARTDT_ACT)
        if cause is CloseCause.T1_I_FRAME:
            bench.connection.send([asdu(0)])
    if cause is CloseCause.TOO_SLOW:
        bench.connection.close(cause)
    else:
        bench.clock.run(40)
    assert bench.transport.aborted
    bench.assertOver(cause)


@pytest.mark.parametrize(
    ("octets", "cause"),
    [
        (b"\x67", CloseCause.BAD_START),
        (b"\x68\x00", CloseCause.BAD_LENGTH),
        (b"\x68\x04\x0f\x00\x00\x00", CloseCause.UNKNOWN_U),
        (encodeI(5, 0, asdu(0)), CloseCause.NS_MISMATCH),
        (encodeS(5), CloseCause.NR_OUT_OF_WINDOW),
    ],
)
def test_aProtocolErrorClosesInOrder(octets: bytes, cause: CloseCause) -> None:
    """What came before is delivered and answered, then the connection is closed in order."""
    bench = Bench.started()
    bench.receive(encodeI(0, 0, asdu(0)), TESTFR_ACT, octets)
    assert bench.owner.events == [Received([asdu(0)])]
    assert bench.transport.frames() == ["TESTFR con"]
    assert bench.transport.disconnecting and not bench.transport.aborted
    bench.assertOver(cause)


def test_dataWhileStoppedCloses() -> None:
    """The link's own cause reaches the owner, with the octets for the log."""
    bench = Bench()
    bench.connect()
    bench.receive(encodeI(0, 0, asdu(7)))
    ((cause, detail),) = bench.owner.downs
    assert cause is CloseCause.DATA_WHILE_STOPPED
    assert "68 0e 00 00 00 00 01 01" in detail
    bench.assertOver(cause)


@pytest.mark.parametrize(
    ("reason", "cause"),
    [
        (ConnectionDone(), CloseCause.PEER_CLOSED),
        (ConnectionLost("gone"), CloseCause.PEER_RESET),
        (OSError("TLS or what else"), CloseCause.PEER_RESET),
    ],
)
def test_lossOfTheConnection(reason: Exception, cause: CloseCause) -> None:
    """The peer's FIN and a broken connection are told apart."""
    bench = Bench.started()
    bench.connection.send([asdu(0)])
    bench.transport.lose(reason)
    assert (bench.owner.downs[0][1] == "") == (cause is CloseCause.PEER_CLOSED)
    bench.assertOver(cause)


def test_theFirstCauseWins() -> None:
    """A connection that breaks while it is being closed keeps the cause it was closed for."""
    bench = Bench.started()
    bench.connection.close(CloseCause.REPLACED)
    bench.transport.lose(ConnectionLost())
    bench.assertOver(CloseCause.REPLACED)


@pytest.mark.parametrize("cause", [CloseCause.POLICY, CloseCause.TOO_SLOW])
def test_dataAfterCloseIsIgnored(cause: CloseCause) -> None:
    """Octets that still come after close are not looked at."""
    bench = Bench.started()
    bench.connection.close(cause)
    before = bench.conduit.octetsIn
    bench.connection.dataReceived(TESTFR_ACT + b"\x67")
    assert bench.conduit.octetsIn == before
    assert bench.transport.writes == []
    bench.assertOver(cause)


@pytest.mark.parametrize("bad", [b"", b"\x67"])
def test_theOwnerMayCloseInLinkEvents(bad: bytes) -> None:
    """Closed from within linkEvents: that cause is told, once, and no event follows."""
    bench = Bench.started()
    bench.owner.onEvents = lambda connection, events: connection.close(CloseCause.BAD_ASDU)
    bench.receive(encodeI(0, 0, asdu(0)), bad)
    assert bench.owner.events == [Received([asdu(0)])]
    bench.receive(encodeI(1, 0, asdu(1)))
    bench.assertOver(CloseCause.BAD_ASDU)


def test_theOwnerMaySendAndThenCloseInLinkEvents() -> None:
    """What the owner sends before it closes in order still goes out."""
    bench = Bench.started()

    def sendAndClose(connection: LinkProtocol, events: list[LinkEvent]) -> None:
        connection.send([asdu(9)])
        connection.close(CloseCause.POLICY)

    bench.owner.onEvents = sendAndClose
    bench.receive(encodeI(0, 0, asdu(0)))
    assert bench.transport.frames() == ["I 0/1"]
    bench.assertOver(CloseCause.POLICY)


def test_aTransportThatReportsTheLossAtOnce() -> None:
    """No timer stays behind where loseConnection calls connectionLost before it returns."""
    bench = Bench.started()
    bench.transport.loseConnection = bench.transport.lose  # type: ignore[method-assign]  # replaced by the test
    bench.connection.close(CloseCause.SHUTDOWN)
    bench.assertOver(CloseCause.SHUTDOWN)


def test_whenLost() -> None:
    """whenLost fires when TCP is gone, not when the close began, and at once afterwards."""
    bench = Bench.started()
    lost: list[object] = []
    bench.connection.whenLost().addCallback(lost.append)
    bench.connection.close(CloseCause.SHUTDOWN)
    assert lost == []
    bench.assertOver(CloseCause.SHUTDOWN)
    assert lost == [None]
    bench.connection.whenLost().addCallback(lost.append)
    assert lost == [None, None]


# -- addresses ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "text"),
    [
        (IPv4Address("TCP", "192.0.2.7", 2404), "192.0.2.7:2404"),
        (IPv6Address("TCP", "2001:db8::7", 2404), "[2001:db8::7]:2404"),
        (IPv6Address("TCP", "::ffff:192.0.2.7", 2404), "192.0.2.7:2404"),
        (IPv6Address("TCP", "::ffff:c0a8:1", 2404), "[::ffff:c0a8:1]:2404"),
        (IPv6Address("TCP", "fe80::1%eth0.100", 1), "[fe80::1%eth0.100]:1"),
        (UNIXAddress(None), str(UNIXAddress(None))),
    ],
)
def test_addressText(address: object, text: str) -> None:
    """IPv6 in brackets; an IPv4 peer of an IPv6 socket is shown as IPv4."""
    assert addressText(address) == text


# -- two of them, over a network that is not there ---------------------------------------------


def test_masterAndRtu() -> None:
    """Two connections talk to each other: start, data both ways, stop, close; nothing is left."""
    reactor = FakeReactor(latency=0.05)
    rtu = FakeRtu(reactor)
    master = FakeMaster(reactor, 2404, host=rtu.host)
    rtu.reply = lambda received: [received, received]
    rtu.listen()
    master.onUp = LinkProtocol.start
    master.connect()
    reactor.run(1)
    assert rtu.started and master.started
    assert rtu.link.role is Role.CONTROLLED and master.link.role is Role.CONTROLLING
    master.send(*asdus(100))
    reactor.run(5)
    assert rtu.received == asdus(100)
    assert master.received == [each for each in asdus(100) for _ in range(2)]
    assert master.heard[0] == "STARTDT con"
    reactor.run(3600)
    master.stop()
    reactor.run(1)
    assert master.link.state is rtu.link.state is State.STOPPED
    master.leave()
    rtu.stopListening()
    reactor.run(1)
    assert (master.causes, rtu.causes) == ([CloseCause.SHUTDOWN], [CloseCause.PEER_CLOSED])
    assert master.count(Started) == rtu.count(Started) == 1
    assert reactor.getDelayedCalls() == []


def test_aFrozenMasterIsClosedByT1() -> None:
    """A peer that stops reading does not acknowledge, and is cut when t1 is over."""
    reactor = FakeReactor()
    rtu = FakeRtu(reactor)
    master = FakeMaster(reactor, 2404, host=rtu.host)
    rtu.listen()
    master.onUp = LinkProtocol.start
    master.connect()
    reactor.run(1)
    master.freeze()
    rtu.send(*asdus(20))
    assert (rtu.link.outstanding, rtu.link.window) == (12, 0)
    reactor.run(16)
    assert rtu.causes == [CloseCause.T1_I_FRAME]
    assert rtu.count(Acknowledged) == 0
    assert master.received == []


def test_refusedAndSilentHosts() -> None:
    """The network that is not there refuses and times out like a real one."""
    reactor = FakeReactor()
    master = FakeMaster(reactor, 2404, host="198.51.100.9")
    master.connect()
    reactor.run(1)
    reactor.silent.add("198.51.100.9")
    master.connect()
    reactor.run(30)
    assert [type(failure).__name__ for failure in master.failures] == [
        *("ConnectionRefusedError", "TimeoutError")
    ]
    assert reactor.getDelayedCalls() == []


def test_aFullWriteBufferClosesTheWindow() -> None:
    """While the transport's buffer is full nothing is sent; when it has drained the owner hears."""
    clock = VirtualClock()
    owner = RecordingOwner()
    wide = LinkParameters(k=32767, w=1)
    connection = LinkProtocol(lambda now: Link(Role.CONTROLLED, wide, now), owner, clock)
    transport = FakeTransport(clock)
    transport.connect(connection)
    transport.receive(STARTDT_ACT)
    transport.stall()
    while connection.conduit.window:
        connection.send(asdus(500))
    assert transport.buffered < 2 * transport.bufferSize
    transport.stall(False)
    assert owner.count(Drained) == 1
    connection.send(asdus(1))
    connection.close(CloseCause.SHUTDOWN)
    clock.run(5)
    assert clock.getDelayedCalls() == []


def test_aLateTimerLetsTheSocketGoFirst() -> None:
    """After a long pause of the process, what arrived meanwhile counts before time-outs do."""
    clock = VirtualClock()
    owner = RecordingOwner()
    connection = LinkProtocol(lambda now: Link(Role.CONTROLLED, DEFAULTS, now), owner, clock)
    transport = FakeTransport(clock)
    transport.connect(connection)
    transport.receive(STARTDT_ACT)
    connection.send(asdus(1))
    clock.callLater(16, transport.receive, encodeS(1))
    clock.advance(20)  # the process did not run; reactors serve timers first, in their order
    assert owner.downs == []
    connection.close(CloseCause.SHUTDOWN)
    clock.run(5)
