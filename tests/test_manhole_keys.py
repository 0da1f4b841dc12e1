"""Host keys and authorized keys: files that nobody else may read or write."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from twisted.conch.ssh.keys import Key

from mm2ss.services import authorizedkeys
from mm2ss.services.authorizedkeys import AuthorizedKeys, parseLine
from mm2ss.services.hostkeys import HostKeyError, fingerprint, hostKeys
from tests.manholes import logged

KEYS = {
    "ed25519": Key(ed25519.Ed25519PrivateKey.generate()),
    "ecdsa": Key(ec.generate_private_key(ec.SECP521R1())),
    "rsa": Key(rsa.generate_private_key(65537, 2048)),
    "short": Key(rsa.generate_private_key(65537, 1024)),
}


def line(name: str, comment: str = "") -> bytes:
    """A key's line in the file."""
    text: bytes = KEYS[name].public().toString("openssh")
    return b" ".join(text.split()[:2]) + f" {comment}\n".encode() * bool(comment)


# -- host keys ------------------------------------------------------------------------------


def mode(path: Path) -> int:
    """Who may do what."""
    return stat.S_IMODE(path.stat().st_mode)


def test_hostKeysAreMadeOnce(tmp_path: Path) -> None:
    """The first start makes them, 0600 in a folder 0700 whatever the umask; the next reads them."""
    folder = tmp_path / "state" / "manhole"
    before = os.umask(0)
    try:
        keys, made = hostKeys(str(folder))
    finally:
        os.umask(before)
    assert [key.sshType() for key in keys] == [b"ssh-ed25519", b"ecdsa-sha2-nistp256"]
    assert made == [str(path) for path in sorted(folder.iterdir(), reverse=True)]
    assert (mode(folder), {mode(path) for path in folder.iterdir()}) == (0o700, {0o600})
    assert hostKeys(str(folder)) == (keys, [])
    assert fingerprint(keys[0]).startswith("SHA256:") and len(fingerprint(keys[0])) == 50


def test_anUnfinishedHostKey(tmp_path: Path) -> None:
    """What a start that was killed has left is made anew."""
    (tmp_path / "ssh_host_ed25519_key.new").write_bytes(b"half")
    keys, made = hostKeys(str(tmp_path))
    assert len(keys) == len(made) == len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize(
    "data", [b"", b"nonsense", bytes(64), b"-----BEGIN OPENSSH PRIVATE KEY-----\n"]
)
def test_aDamagedHostKey(tmp_path: Path, data: bytes) -> None:
    """It is named, with what to do; it is not replaced, for clients would cry wolf."""
    hostKeys(str(tmp_path))
    path = tmp_path / "ssh_host_ecdsa_key"
    path.write_bytes(data)
    with pytest.raises(HostKeyError, match=f"{path} cannot be understood .* delete it"):
        hostKeys(str(tmp_path))
    assert path.read_bytes() == data


def test_whatIsNoHostKey(tmp_path: Path) -> None:
    """A public key, a key that others may read, a folder: each is said."""
    path = tmp_path / "ssh_host_ed25519_key"
    path.mkdir()
    with pytest.raises(HostKeyError, match=f"{path}: Is a directory"):
        hostKeys(str(tmp_path))
    path.rmdir()
    path.write_bytes(line("ed25519"))
    path.chmod(0o600)
    with pytest.raises(HostKeyError, match="is a public key"):
        hostKeys(str(tmp_path))
    path.chmod(0o640)
    with pytest.raises(HostKeyError, match="has mode 0640: others may have read it"):
        hostKeys(str(tmp_path))
    path.unlink()
    path.symlink_to(tmp_path / "nowhere")
    with pytest.raises(HostKeyError, match="No such file"):
        hostKeys(str(tmp_path))


def test_noPlaceForHostKeys(tmp_path: Path) -> None:
    """A folder that cannot be made is said."""
    (tmp_path / "state").write_bytes(b"")
    with pytest.raises(HostKeyError, match="ssh_host_ed25519_key: Not a directory"):
        hostKeys(str(tmp_path / "state" / "manhole"))


# -- authorized keys ------------------------------------------------------------------------


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The file."""
    path = tmp_path / "authorized_keys"
    path.touch(0o600)
    return path


def warnings(keys: AuthorizedKeys) -> list[str]:
    """What reading the file warns of."""
    with logged() as log:
        keys.read()
    return log.lines


def test_linesThatCount(path: Path) -> None:
    """Keys of three kinds; comments and empty lines are nothing; the file is read each time."""
    keys = AuthorizedKeys(str(path))
    assert keys.getAuthorizedKeys(b"root") == [] and warnings(keys) == []
    path.write_bytes(
        b"# ours\r\n\n  " + line("ed25519", "jo@desk ü") + line("ecdsa", "x") + line("rsa")
    )
    found = keys.getAuthorizedKeys(b"anybody")
    assert found == [KEYS[name].public() for name in ("ed25519", "ecdsa", "rsa")]
    assert keys.commentOf(found[0]) == "jo@desk ü"
    assert keys.commentOf(found[2]) == "" == keys.commentOf(KEYS["short"].public())
    path.write_bytes(line("rsa"))
    assert len(keys.getAuthorizedKeys(b"anybody")) == 1 and warnings(keys) == []


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b'from="10.0.0.1" ' + line("ed25519"), "options before the key"),
        (b'no-pty,command="x y" ' + line("rsa"), "options before the key"),
        (b"cert-authority " + line("ecdsa"), "options before the key"),
        (line("short"), "the RSA key has 1024 bits"),
        (b"ssh-ed25519", "the key is missing"),
        (b"ssh-ed25519 AAAA*", "the key is damaged"),
        (line("ed25519")[:-9], "the key is damaged"),
        (b"ssh-rsa " + line("ed25519").split()[1], "the key is not what the line says"),
        (b"ssh-dss AAAA", "no key of a kind that can be used"),
        (b"sk-ssh-ed25519@openssh.com AAAA", "no key of a kind that can be used"),
        (b"\xff\xfe nonsense", "no key of a kind that can be used"),
    ],
    ids=range(11),  # the keys are new in each process that runs tests
)
def test_linesThatDoNot(path: Path, text: bytes, reason: str) -> None:
    """They are named with their number and the reason; the lines around them count."""
    with pytest.raises(ValueError, match=reason):
        parseLine(text.strip())
    path.write_bytes(line("ed25519", "a") + text.strip() + b"\n" + line("ecdsa", "b"))
    keys = AuthorizedKeys(str(path))
    assert len(keys.getAuthorizedKeys(b"root")) == 2
    (warning,) = warnings(keys)
    assert f"{path}, line 2: " in warning and reason in warning


@pytest.mark.parametrize("bits", [0o620, 0o602, 0o666])
def test_aFileThatOthersMayWrite(path: Path, bits: int) -> None:
    """No key of it counts."""
    path.write_bytes(line("ed25519"))
    path.chmod(bits)
    keys = AuthorizedKeys(str(path))
    assert keys.getAuthorizedKeys(b"root") == []
    assert "others can add keys" in warnings(keys)[0]


def test_aFileOfSomebodyElse(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No key of it counts, unless it is root's."""
    path.write_bytes(line("ed25519"))
    keys = AuthorizedKeys(str(path))
    owner = path.stat().st_uid
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    found = keys.getAuthorizedKeys(b"root")
    if owner == 0:
        assert len(found) == 1
        os.chown(path, 12345, -1)
    assert keys.getAuthorizedKeys(b"root") == []
    assert "belongs to another user" in warnings(keys)[0]


def test_noFile(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a file nobody may log in, nor with one that is far too large; the log says why."""
    monkeypatch.setattr(authorizedkeys, "MAX_FILE", 100)
    path.write_bytes(line("ed25519") + bytes(100))
    keys = AuthorizedKeys(str(path))
    assert keys.getAuthorizedKeys(b"root") == []
    assert "is larger than 100 octets" in warnings(keys)[0]
    path.unlink()
    assert keys.getAuthorizedKeys(b"root") == []
    assert "No such file" in warnings(keys)[0]
