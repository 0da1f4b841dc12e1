"""The Manhole with the real OpenSSH client: logins, terminals, scripts, and what they do."""

from __future__ import annotations

import contextlib
import re
import socket
import stat
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.interop.harness import IMMEDIATE, Relay, Scene, row
from tests.interop.rawstations import RawStation
from tests.interop.sshclient import KEYGEN, SSH, SshClient, SshTerminal, makeKey
from tests.interop.waiting import PATIENCE, RTU_IP, listening, waitFor

pytestmark = pytest.mark.skipif(
    SSH is None or KEYGEN is None, reason="no OpenSSH client here (apt-get install openssh-client)"
)

PROMPT = ">>> "
EVENT = "68 0e 00 00 00 00 01 01 03 00 20 00 64 00 00 01"
STARTDT_ACT, STARTDT_CON = "68 04 07 00 00 00", "68 04 0b 00 00 00"


@dataclass
class House:
    """A relay with two groups and a Manhole, and who may come in."""

    scene: Scene
    port: int
    groupPort: int
    rtuPort: int
    settings: str = ""

    @property
    def folder(self) -> Path:
        return self.scene.folder

    def client(self, key: str = "ed25519") -> SshClient:
        """ssh with one of the keys."""
        return SshClient(self.folder, self.port, self.folder / key)

    def terminal(self, width: int = 80, *command: str) -> SshTerminal:
        """A session on a terminal."""
        terminal = self.client().terminal(width, command)
        self.scene.cleanUp(terminal.close)
        self.scene.reportOn("terminal", terminal.report)
        return terminal

    def relay(self, folder: str = "relay") -> Relay:
        """Start the relay and wait until its Manhole is open."""
        service = (
            f"{IMMEDIATE}  listen: 127.0.0.1\n"
            f"state_directory: {self.folder}/state\n"
            f"manhole:\n  enabled: true\n  port: {self.port}\n"
            f"  authorized_keys: {self.folder}/authorized_keys\n{self.settings}"
        )
        rows = [
            row(1, self.groupPort, f"{RTU_IP}:{self.rtuPort}", sys_name="North"),
            row(2, self.scene.port(), f"127.0.0.3:{self.rtuPort}", sys_name="South"),
        ]
        relay = self.scene.relay(*rows, service=service)
        waitFor(lambda: listening(self.port), "the Manhole is open")
        return relay


@pytest.fixture
def house(scene: Scene) -> House:
    """A house with one key that fits."""
    line = makeKey(scene.folder / "ed25519", "ed25519")
    authorize(scene.folder, line)
    return House(scene, scene.port(), scene.port(), scene.port())


def authorize(folder: Path, *lines: str) -> None:
    """Write the file of those who may log in."""
    path = folder / "authorized_keys"
    path.write_text("".join(lines))
    path.chmod(0o600)


@pytest.mark.smoke
def test_whoMayLogIn(house: House) -> None:
    """ed25519, ecdsa and rsa keys log in; a stranger's, a restricted and a removed one do not."""
    kinds = {"ed25519": (), "ecdsa": ("-b", "384"), "rsa": ("-b", "2048")}
    lines = [(house.folder / "ed25519.pub").read_text()]
    lines += [makeKey(house.folder / kind, kind, *kinds[kind]) for kind in ("ecdsa", "rsa")]
    restricted = makeKey(house.folder / "restricted", "ed25519")
    makeKey(house.folder / "stranger", "ed25519")
    authorize(house.folder, *lines, f'from="192.0.2.1" {restricted}', "ssh-rsa nonsense\n")
    relay = house.relay()
    for kind in kinds:
        done = house.client(kind).run("groups")
        assert (done.returncode, done.stderr) == (0, ""), kind
        assert "North" in done.stdout
    for name in ("restricted", "stranger"):
        done = house.client(name).run("groups")
        assert done.returncode == 255 and "Permission denied" in done.stderr
    authorize(house.folder, *lines[1:])
    assert house.client().run("groups").returncode == 255

    log = relay.log
    for kind in kinds:
        who = rf"tester at 127.0.0.1:\d+ with SHA256:\S+ {kind}@test"
        assert re.search(rf"Manhole: {who} logged in", log)
    assert log.count("logged out") == 3
    assert log.count("(tester) is refused: its key SHA256:") == 3
    assert f"{house.folder}/authorized_keys, line 4: options before the key" in log
    assert f"{house.folder}/authorized_keys, line 5: the key is damaged" in log


@pytest.mark.smoke
def test_terminal(house: House) -> None:
    """A table fits into the window, also after a resize; Ctrl-C and Ctrl-D do what they do."""
    house.relay()
    terminal = house.terminal(120)
    terminal.expect(PROMPT)
    terminal.type("groups\r")
    wide = terminal.expect("South")
    terminal.expect(PROMPT)
    assert "keeping" in wide and "no room for" not in wide

    terminal.resize(44)

    def narrow() -> str:
        """The table, once the client has told the new width."""
        terminal.type("groups\r")
        terminal.expect("groups\r\n")
        table = terminal.expect(PROMPT)
        return table if "no room for: " in table else ""

    rows = waitFor(narrow, "a narrow table").splitlines()[:4]
    assert "South" in rows[3] and all(len(line) <= 44 for line in rows)

    terminal.type("gro\t(9)\r")  # completed to group
    terminal.expect("group")
    terminal.expect("There is no group 9; there are: 1, 2")
    terminal.expect(PROMPT)
    terminal.type("for i in range(2):\r    print('row', i)\r\r")
    terminal.expect("row 0\r\nrow 1\r\n")
    terminal.expect(PROMPT)
    terminal.type("nonsense\x03")
    terminal.expect("^C")
    terminal.expect(PROMPT)
    terminal.type("\x1b[A\x01\x05\x1bz\xc3\xa4\x15")  # up, home, end, what means nothing, cut
    terminal.type("6*7\r")
    terminal.expect("\n42")
    terminal.expect(PROMPT)
    terminal.type("\x04")
    assert terminal.ending() == 0


def test_exit(house: House) -> None:
    """exit() ends a session with its status; the end of the input, and of a command, too."""
    house.relay()
    terminal = house.terminal()
    terminal.expect(PROMPT)
    terminal.type("exit(7)\r")
    assert terminal.ending() == 7
    terminal = house.terminal(44, "groups")
    terminal.expect("(no room for: ")
    assert terminal.ending() == 0
    done = house.client().run(options=["-tt"], stdin="print('a' + 'b')\r\x04")
    assert done.returncode == 0 and "ab" in done.stdout


@pytest.mark.smoke
def test_scripts(house: House) -> None:
    """Commands and scripts give their output, their errors apart, and an exit status."""
    relay = house.relay()
    client = house.client()

    def run(*command: str, stdin: str = "") -> tuple[int, str, str]:
        done = client.run(*command, stdin=stdin)
        return done.returncode, done.stdout, done.stderr

    status, output, errors = run("status()")
    assert (status, errors) == (0, "") and re.search(r"(?m)^RTU not connected +1, 2$", output)
    assert run("group(2).name; 2") == (0, "'South'\n2\n", "")
    assert run(stdin="for i in range(2):\n    print(i)\nlen(groups)\n") == (0, "0\n1\n2\n", "")
    assert run("group('x')") == (1, "", "There is no group 'x'; there are: 1, 2\n")
    assert run("print(1); 1/0")[:2] == (1, "1\n")
    assert "NameError" in run("grup(1)")[2]
    assert run("group(")[0] == 2
    assert run("exit(3)") == (3, "", "")
    assert "leaves:" not in relay.log


def test_aLotOfOutput(house: House) -> None:
    """What no window takes at once is ended, and the relay goes on."""
    house.relay()
    done = house.client().run("for i in range(10**9): print(i)")
    assert done.returncode == 1 and done.stderr.startswith("(ended here")
    assert done.stdout.startswith("0\n1\n")
    assert house.client().run("len(groups)").stdout == "2\n"


def test_commandsActOnRealPeers(house: House) -> None:
    """disconnect closes the master that is named; restart takes the group down and up again."""
    listener = house.scene.rawRtu(house.rtuPort)
    relay = house.relay()
    rtu = house.scene.raw(listener.accept())
    waitFor(lambda: listening(house.groupPort), "the group's port is open")
    masters = [house.scene.raw(RawStation.started(house.groupPort)) for _ in range(2)]
    rtu.expect(STARTDT_ACT)
    rtu.send(STARTDT_CON)
    client = house.client()
    table = client.run("group(1).masters").stdout
    peers = re.findall(r"(?m)^127\.0\.0\.1:\d+", table)
    assert len(peers) == 2

    assert client.run("group(1).disconnect('192.0.2.9')").returncode == 1
    done = client.run(f"group(1).disconnect('{peers[0]}')")
    assert (done.returncode, done.stdout) == (0, "1 master disconnected\n")
    assert masters[0].ending() == "FIN"
    assert client.run("len(group(1).masters)").stdout == "1\n"

    restarting = client.start("group(1).restart()")
    house.scene.cleanUp(restarting.kill)
    rtu.expect("68 04 13 00 00 00")
    rtu.send("68 04 23 00 00 00")
    assert (rtu.ending(), masters[1].ending()) == ("FIN", "FIN")
    output, errors = restarting.communicate(timeout=PATIENCE)
    assert (output, errors, restarting.returncode) == (b"group 1 is restarted\n", b"", 0)
    again = house.scene.raw(listener.accept())
    waitFor(lambda: client.run("group(1).rtu").stdout != "''\n", "the RTU is connected")
    again.close()
    relay.waitLogged("restarted by tester at 127.0.0.1:")
    relay.waitLogged(f"1 master disconnected ({peers[0]}) by tester")


def test_trace(house: House) -> None:
    """trace() shows frames in words until Ctrl-C; save() writes a file and says where."""
    listener = house.scene.rawRtu(house.rtuPort)
    house.relay()
    rtu = house.scene.raw(listener.accept())
    waitFor(lambda: listening(house.groupPort), "the group's port is open")
    terminal = house.terminal(160)
    terminal.expect(PROMPT)
    terminal.type("trace(1)\r2+3\r")  # what is typed meanwhile has its turn afterwards
    terminal.expect("trace(1)\r\n")
    master = house.scene.raw(RawStation.started(house.groupPort))
    rtu.expect(STARTDT_ACT)
    rtu.send(STARTDT_CON, EVENT)
    terminal.expect("M_SP_NA_1")
    terminal.type("\x03")
    terminal.expect("^C")
    terminal.expect(PROMPT)
    master.close()
    done = house.client().run("trace(1).save()")
    assert done.returncode == 0
    assert Path(done.stdout.strip()).read_bytes().startswith(b"\x0a\x0d\x0d\x0a")
    terminal.type("\x04")
    assert terminal.ending() == 0


def test_hostKeysStay(house: House) -> None:
    """Host keys are 0600 in a folder 0700, and the same after a restart."""
    relay = house.relay()
    assert house.client().run("1").returncode == 0
    folder = house.folder / "state" / "manhole"
    keys = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert set(keys) == {"ssh_host_ed25519_key", "ssh_host_ecdsa_key"}
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    relay.stop()
    relay.folder.rename(house.folder / "before")
    relay.folder = house.folder / "before"
    house.relay()
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == keys
    assert house.client().run("1").returncode == 0  # known_hosts agrees


def test_bounds(house: House) -> None:
    """One session too many is refused; an idle one is closed; there are no tunnels."""
    house.settings = "  idle_timeout: 6\n  max_sessions: 1\n"  # a client may take a while
    relay = house.relay()
    done = house.client().run(options=["-W", "127.0.0.1:1"])
    assert done.returncode == 255 and "forwarding failed" in done.stderr
    terminal = house.terminal()
    terminal.expect(PROMPT)
    done = house.client().run("1")
    assert done.returncode == 255
    assert terminal.ending() == 255
    assert house.client().run("1").returncode == 0
    assert "finds all sessions taken" in relay.log and "was idle for too long" in relay.log


def test_strangers(house: House) -> None:
    """What is not SSH, and what leaves at once, is a line in the log and nothing else."""
    relay = house.relay()
    hello, kexinit = b"SSH-2.0-x\r\n", b"\0\0\0\x0c\4\x14" + bytes(10)
    for data in (b"", b"GET / HTTP/1.0\r\n\r\n", b"SSH-1.5-x\r\n", hello + kexinit):
        with socket.create_connection(("127.0.0.1", house.port), PATIENCE) as stranger:
            stranger.sendall(data)
            stranger.shutdown(socket.SHUT_WR)
            with contextlib.suppress(ConnectionResetError):
                while stranger.recv(4096):
                    pass
    waitFor(lambda: relay.log.count("left without a login") == 3, "three have left")
    assert relay.log.count("sent what is not SSH") == 1
    assert house.client().run("1").returncode == 0


def test_endsWithTheRelay(house: House) -> None:
    """A relay that stops says so to those who are in, and does not wait for them."""
    relay = house.relay()
    terminal = house.terminal()
    terminal.expect(PROMPT)
    relay.stop()
    assert terminal.ending() == 255
    assert "the relay stops" in terminal.report()
