"""c104 stations, each in a process of its own (`c104peer`), as the tests see them."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, TypeVar

from tests.interop.points import MARKER
from tests.interop.waiting import MASTER_IP, PATIENCE, ROOT, end, listening, waitFor

T = TypeVar("T")

TESTFR_ACT = bytes.fromhex("680443000000")
TESTFR_CON = bytes.fromhex("680483000000")
STARTDT_ACT = bytes.fromhex("680407000000")
STARTDT_CON = bytes.fromhex("68040b000000")
STOPDT_ACT = bytes.fromhex("680413000000")
STOPDT_CON = bytes.fromhex("680423000000")


@dataclass(frozen=True)
class Frame:
    """An APDU that a station sent or received.

    :ivar time: monotonic second, the same clock in all processes.
    """

    time: float
    sent: bool
    octets: bytes

    @property
    def asdu(self) -> bytes:
        """What an I frame carries; empty for other frames."""
        return self.octets[6:]


class Station:
    """A c104 station in a process of its own.

    :param folder: for its standard error.
    :param role: rtu or master.
    :param ip: where the RTU listens, or where the master connects to.
    :param parameters: k, w, t0, t1, t2, t3 where c104's own are not wanted.
    """

    def __init__(self, folder: Path, role: str, ip: str, port: int, **parameters: int) -> None:
        options = {"role": role, "ip": ip, "port": port, "parameters": parameters}
        self.role = role
        self.port = port
        self._errors = folder / f"{role}-{time.monotonic_ns()}.err"
        with self._errors.open("wb") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.interop.c104peer", json.dumps(options)],
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
            )
        self._events: list[dict[str, Any]] = []
        self._replies: dict[int, dict[str, Any]] = {}
        self._requests = 0
        self._changed = threading.Condition()
        self._ended = False
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _stream(self, stream: IO[bytes] | None) -> IO[bytes]:
        assert stream is not None
        return stream

    def _read(self) -> None:
        for line in self._stream(self._process.stdout):
            if not line.startswith(b'{"event"'):
                continue  # c104 itself may print
            event = json.loads(line)
            with self._changed:
                if event["event"] == "reply":
                    self._replies[event["id"]] = event
                else:
                    self._events.append(event)
                self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    # -- what it is told ----------------------------------------------------------------

    def begin(self, do: str, **arguments: object) -> Callable[[], Any]:
        """Let it do something; what is returned waits for the result."""
        self._requests += 1
        number = self._requests
        line = json.dumps({"id": number, "do": do, **arguments}) + "\n"
        stream = self._stream(self._process.stdin)
        try:
            stream.write(line.encode())
            stream.flush()
        except BrokenPipeError:
            raise AssertionError(self._whyEnded()) from None

        def result() -> Any:
            reply = self.wait(lambda: self._replies.pop(number, None), f"reply to {do}")
            assert "error" not in reply, reply["error"]
            return reply["result"]

        return result

    def do(self, do: str, **arguments: object) -> Any:
        """Let it do something and wait for the result."""
        return self.begin(do, **arguments)()

    # -- what it saw --------------------------------------------------------------------

    def wait(self, condition: Callable[[], T | None], what: str, seconds: float = PATIENCE) -> T:
        """The first true result of a condition on what it saw.

        :raises AssertionError: when there is none in time, or the station's process has ended.
        """
        deadline = time.monotonic() + seconds
        with self._changed:
            while not (result := condition()):
                assert not self._ended, self._whyEnded()
                rest = deadline - time.monotonic()
                assert rest > 0, f"not within {seconds:g} s at the {self.role}: {what}"
                self._changed.wait(rest)
            return result

    def _whyEnded(self) -> str:
        status = end(self._process)
        return f"the {self.role}'s process ended with {status}: {self._errors.read_text()}"

    def events(self, name: str) -> list[dict[str, Any]]:
        """The events of one name."""
        return [event for event in tuple(self._events) if event["event"] == name]

    def frames(self, sent: bool) -> list[Frame]:
        """The frames that it sent, or that it received."""
        return [
            Frame(event["time"], sent, bytes.fromhex(event["octets"]))
            for event in self.events("frame")
            if event["sent"] is sent
        ]

    def asdus(self, sent: bool) -> list[bytes]:
        """The ASDUs that it sent, or that it received."""
        return [frame.asdu for frame in self.frames(sent) if frame.asdu]

    def waitFrame(self, octets: bytes, sent: bool, times: int = 1) -> Frame:
        """Wait for a whole frame; the last of so many."""

        def found() -> Frame | None:
            same = [frame for frame in self.frames(sent) if frame.octets == octets]
            return same[times - 1] if len(same) >= times else None

        return self.wait(found, f"{times} times {octets.hex(' ')}")

    def waitAsdu(self, objects: bytes, sent: bool) -> None:
        """Wait for an ASDU by its objects, which are all behind its header."""
        self.wait(
            lambda: any(asdu[6:] == objects for asdu in self.asdus(sent)),
            f"an ASDU with {objects.hex(' ')}",
        )

    def report(self) -> str:
        """What it saw, for the report of a test that failed."""
        events = "\n".join(json.dumps(event) for event in tuple(self._events)[-60:])
        return f"{events}\n{self._errors.read_text()}"

    # -- its end ------------------------------------------------------------------------

    def kill(self) -> None:
        """End it without any good-bye; the kernel closes its connections."""
        self._process.kill()
        self.close()

    def freeze(self) -> None:
        """Let it do nothing at all any more, its connections stay."""
        os.kill(self._process.pid, signal.SIGSTOP)

    def close(self) -> None:
        """End the process."""
        with contextlib.suppress(BrokenPipeError):
            self._stream(self._process.stdin).close()
        self._process.kill()
        end(self._process)
        self._reader.join(PATIENCE)
        self._stream(self._process.stdout).close()


class Rtu104(Station):
    """A c104 controlled station."""

    def __init__(self, folder: Path, ip: str, port: int, **parameters: int) -> None:
        super().__init__(folder, "rtu", ip, port, **parameters)
        self._markers = 0

    def waitReady(self) -> Rtu104:
        """Wait until it listens."""
        self.wait(lambda: self.events("ready"), "it is ready")
        waitFor(lambda: listening(self.port), f"port {self.port} of the RTU is open")
        return self

    def waitStarted(self, times: int = 1) -> None:
        """Wait until it has confirmed STARTDT (so often)."""
        self.waitFrame(STARTDT_CON, sent=True, times=times)

    def mark(self, masters: Sequence[Master104]) -> None:
        """Send a value and wait until all masters have it: all that went before is there too."""
        self._markers += 1
        self.do("send", address=MARKER, value=float(self._markers))
        marker = bytes([MARKER, 0, 0]) + struct.pack("<f", self._markers) + b"\0"
        self.waitAsdu(marker, sent=True)
        for master in masters:
            master.waitAsdu(marker, sent=False)


class Master104(Station):
    """A c104 controlling station."""

    def __init__(self, folder: Path, port: int, **parameters: int) -> None:
        super().__init__(folder, "master", MASTER_IP, port, **parameters)

    def connect(self) -> Master104:
        """Connect and start data transfer. The port must be open already: after a refusal c104
        waits for long."""
        self.do("connect")
        self._waitState("OPEN_MUTED")
        assert self.do("start")
        self._waitState("OPEN")
        return self

    def _waitState(self, state: str) -> None:
        self.wait(
            lambda: any(event["state"] == state for event in self.events("state")),
            f"its connection is {state}",
        )

    def waitClosed(self, seconds: float = PATIENCE) -> float:
        """Wait until the connection is lost; the second when it was."""

        def closed() -> float | None:
            states = self.events("state")
            lost = states and states[-1]["state"].startswith("CLOSED")
            return float(states[-1]["time"]) if lost else None

        return self.wait(closed, "the connection is closed", seconds)

    def waitValue(self, address: int, value: object) -> float:
        """Wait until a point was received with a value; the second when it was."""

        def received() -> float | None:
            for event in self.events("value"):
                if event["address"] == address and event["value"] == value:
                    return float(event["time"])
            return None

        return self.wait(received, f"point {address} has the value {value}")
