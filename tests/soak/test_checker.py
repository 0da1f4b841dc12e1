"""The books of the campaign: each kind of fault is found, and what is allowed is none."""

from __future__ import annotations

import pytest

from tests.soak import events
from tests.soak.checker import Book, Connection, Verdict

WINDOW = 12


class Story:
    """Writes a book: events are made and sent, connections bring and acknowledge them."""

    def __init__(self, produced: int = 0) -> None:
        self.book = Book(WINDOW)
        self.send(produced)

    def send(self, count: int) -> None:
        """New events, sent once."""
        for _ in range(count):
            self.book.sent(self.book.produce())

    def again(self, first: int, last: int) -> None:
        """The RTU sends these again."""
        for number in range(first, last + 1):
            self.book.sent(number)

    def free(self, first: int, last: int) -> None:
        """The RTU is acknowledged these."""
        for number in range(first, last + 1):
            self.book.freed(number)

    def bring(self, connection: Connection, *ranges: tuple[int, int]) -> None:
        """A connection brings these."""
        for first, last in ranges:
            for number in range(first, last + 1):
                connection.received(number)

    def session(self, master: str, *ranges: tuple[int, int]) -> Connection:
        """A master connects, and acknowledges all that it gets."""
        connection = self.book.opened(master)
        self.bring(connection, *ranges)
        connection.acknowledged(len(connection.arrived))
        return connection

    @property
    def verdict(self) -> Verdict:
        return self.book.verdict()


def faults(story: Story) -> dict[str, int]:
    """The faults that are there."""
    return {name: count for name, count in story.verdict.faults.items() if count}


def test_allIsWell() -> None:
    """Every event arrives once, is acknowledged by the master, then to the RTU."""
    story = Story(100)
    story.session("m1", (1, 100))
    story.free(1, 100)
    assert faults(story) == {}
    assert (story.verdict.produced, story.verdict.freed, story.verdict.acknowledged) == (100,) * 3
    assert (story.verdict.early, story.verdict.near, story.verdict.resent) == (0, 0, 0)
    assert story.book.outstanding == 0


def test_lostAndUnseen() -> None:
    """Lost is what nobody acknowledged, whether it arrived somewhere or not."""
    story = Story(10)
    connection = story.book.opened("m1")
    story.bring(connection, (1, 9))
    connection.acknowledged(7)
    story.free(1, 10)
    connection.ended()
    assert story.verdict.lost == [8, 9, 10]
    assert story.verdict.unseen == 1
    assert story.verdict.early == 3
    assert faults(story) == {"lost": 3}


def test_notLostWhenAnotherMasterTakesIt() -> None:
    """What one master did not acknowledge comes again to the next one."""
    story = Story(10)
    connection = story.book.opened("m1")
    story.bring(connection, (1, 10))
    connection.acknowledged(4)
    connection.ended()
    story.session("m2", (5, 10))
    assert faults(story) == {}
    assert story.verdict.near == 0, "m2 never had them"


def test_framesWithoutANumberAreCountedToo() -> None:
    """An acknowledgement counts frames, not events."""
    story = Story(2)
    connection = story.book.opened("m1")
    for number in (0, 1, 0, 2):
        connection.received(number)
    connection.acknowledged(3)
    assert story.verdict.lost == [2]


def test_reordered() -> None:
    """The first appearance of a number must be higher than those before."""
    story = Story(5)
    story.session("m1", (1, 2), (4, 4), (3, 3), (5, 5))
    assert story.verdict.reordered == 1
    assert story.verdict.holes == 1, "3 was missing when 4 came"
    assert "event 3 at m1" in story.verdict.findings[1]


def test_whatTheRtuSendsAgainMustNotComeBehindNewerOnes() -> None:
    """The relay holds 3 and 4; 1 and 2 were settled, but the RTU did not hear of it: a connection
    gets all four in order, or 1 and 2 come out of order."""
    for brought, reordered in (((3, 4), (1, 4)), 2), (((1, 4), (1, 4)), 0):
        story = Story(4)
        connection = story.book.opened("m1")
        story.bring(connection, (1, 4))
        connection.acknowledged(2)
        connection.ended()
        story.again(1, 4)
        story.session("m2", *brought)
        assert faults(story).get("reordered", 0) == reordered


def test_repeatedOnTheSameConnection() -> None:
    """A frame that the RTU sent once comes twice on one connection: the relay doubled it."""
    story = Story(5)
    story.session("m1", (1, 3), (3, 5))
    assert faults(story) == {"far": 1}


def test_repeatedBecauseTheRtuSentItTwice() -> None:
    """The RTU's line was cut: it sends again, and the relay passes on what it gets."""
    story = Story(5)
    story.again(2, 5)
    story.session("m1", (1, 5), (2, 5))
    assert faults(story) == {}
    assert (story.verdict.near, story.verdict.resent) == (4, 4)


def test_repeatedMoreOftenThanSent() -> None:
    """Sent twice, but it came three times on one connection."""
    story = Story(5)
    story.again(2, 5)
    story.session("m1", (1, 5), (2, 5), (5, 5))
    assert faults(story) == {"far": 1}


def test_repeatedNearTheEndOfAConnection() -> None:
    """The last k of a connection may come again: their acknowledgement may not have arrived."""
    story = Story(100)
    story.session("m1", (1, 50)).ended()
    story.session("m1", (50 - WINDOW + 1, 100))
    assert faults(story) == {}
    assert story.verdict.near == WINDOW


@pytest.mark.parametrize("other", ["m1", "m2"])
def test_repeatedFarFromTheEndOfAConnection(other: str) -> None:
    """What comes before the last k must not come again, neither to this master nor to another."""
    story = Story(100)
    story.session("m1", (1, 50)).ended()
    story.session(other, (50 - WINDOW, 100))
    assert faults(story) == {"far": 1}
    assert story.verdict.suspects == [50 - WINDOW]


def test_twoMastersAtOnceGetAllBoth() -> None:
    """It is no repetition when each of two masters gets an event."""
    story = Story(50)
    first, second = story.book.opened("m1"), story.book.opened("m2")
    for number in range(1, 51):
        first.received(number)
        first.acknowledged(number)
        second.received(number)
    assert faults(story) == {}
    assert story.verdict.near == 0


def test_newcomerIsGivenTheTailOfAMasterThatIsThere() -> None:
    """What a connected master acknowledged a moment ago may still count as open at the relay."""
    story = Story(50)
    story.session("m1", (1, 50))
    story.session("m2", (45, 50))
    assert faults(story) == {}
    assert story.verdict.near == 6


def test_newcomerIsGivenWhatWasSettledLongAgo() -> None:
    """A master that starts gets nothing that another one has acknowledged for certain."""
    story = Story(50)
    story.session("m1", (1, 50))
    story.session("m2", (10, 10), (50, 50))
    assert story.verdict.far == 1


def test_repeatedNearTheEndOfTheRtusConnection() -> None:
    """The last k acknowledged to the RTU on a connection may come again when that has ended, for
    the RTU might have sent them again; on one that goes on they may not."""
    story = Story(100)
    story.session("m1", (1, 80)).ended()
    story.free(1, 50)
    story.book.rtuEnded()
    story.free(51, 60)
    story.session("m2", (50 - WINDOW, 51))
    assert story.verdict.near == WINDOW
    assert story.verdict.suspects == [50 - WINDOW, 51]


def test_onlyTheLastOfAConnectionMayComeAgain() -> None:
    """What was settled on a connection comes again to another one: at most its last k."""
    story = Story(50)
    story.session("m1", (1, 50)).ended()
    story.session("m2", (1, 50))
    assert (story.verdict.near, story.verdict.far) == (WINDOW, 38)


def test_hole() -> None:
    """Numbers are skipped in mid-stream."""
    story = Story(10)
    story.session("m1", (1, 4), (7, 10))
    assert story.verdict.holes == 2
    assert faults(story) == {"lost": 2, "holes": 2}


def test_noHoleWhereSomebodyHadTakenIt() -> None:
    """A held event that is followed by new ones: those in between were acknowledged before."""
    story = Story(10)
    story.session("m1", (4, 7)).ended()
    story.session("m2", (1, 3), (8, 10))
    assert faults(story) == {}


def test_startingAgainIsLikeANewConnection() -> None:
    """Between STOPDT and STARTDT another master took some: they are not missing."""
    story = Story(10)
    stopping = story.session("m1", (1, 3))
    story.session("m2", (4, 6))
    stopping.restarted()
    story.bring(stopping, (7, 10))
    stopping.acknowledged(7)
    assert faults(story) == {}


def test_beginningInTheMiddleIsNoHole() -> None:
    """A connection begins where the relay says; what it does not bring is lost or came before."""
    story = Story(10)
    story.session("m1", (1, 5)).ended()
    story.session("m2", (6, 10))
    assert faults(story) == {}


@pytest.mark.parametrize("number", [1, 2, 3, 4, 5, 65535, 65536, events.LAST_NUMBER])
def test_eventsCarryTheirNumber(number: int) -> None:
    """Each kind of event is told by its octets, and any altered octet is found."""
    asdu = events.event(number)
    assert events.numberOf(asdu) == number
    for at in range(1, len(asdu)):
        with pytest.raises(ValueError, match="altered"):
            events.numberOf(asdu[:at] + bytes((asdu[at] ^ 1,)) + asdu[at + 1 :])


def test_otherFramesHaveNoNumber() -> None:
    """Cyclic data, interrogated data, requests."""
    others = (events.cyclic(3), events.interrogated(7), events.command(9), events.interrogation())
    assert [events.numberOf(asdu) for asdu in others] == [0, 0, 0, 0]
