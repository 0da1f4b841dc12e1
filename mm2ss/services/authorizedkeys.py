"""The file of the public keys that may log in, one a line as in OpenSSH's ``authorized_keys``."""

from __future__ import annotations

import os
import stat
import sys
from base64 import b64decode
from collections.abc import Iterator
from dataclasses import dataclass

from twisted.conch.checkers import IAuthorizedKeysDB
from twisted.conch.ssh.keys import Key
from twisted.logger import Logger
from zope.interface import implementer

#: Octets of the file; more than a thousand keys.
MAX_FILE = 1024 * 1024
#: What a line may begin with. Everything else is an option (or nonsense).
KINDS = (
    b"ssh-ed25519",
    b"ssh-rsa",
    b"ecdsa-sha2-nistp256",
    b"ecdsa-sha2-nistp384",
    b"ecdsa-sha2-nistp521",
)
#: Bits from which an RSA key is long enough.
MIN_RSA = 2048


@dataclass(frozen=True)
class Authorized:
    """A line that counts: a key, and whose it is."""

    key: Key
    comment: str


@implementer(IAuthorizedKeysDB)
class AuthorizedKeys:
    """The keys in a file, which is read anew at each login.

    A line that cannot be used is left out, with a warning that names it; the others count.

    :param path: absolute.
    """

    _log = Logger()

    def __init__(self, path: str) -> None:
        self._path = path

    def getAuthorizedKeys(self, _user: bytes) -> list[Key]:
        """The keys that may log in, whatever the user calls himself."""
        return [each.key for each in self.read()]

    def commentOf(self, key: Key) -> str:
        """Whose key it is, as far as the file says so."""
        return next((each.comment for each in self.read(warn=False) if each.key == key), "")

    def read(self, warn: bool = True) -> list[Authorized]:
        """What the file says now; nothing when it cannot be read or is not safe.

        :param warn: log what cannot be used.
        """
        found = []
        problems = []
        try:
            for number, line in self._lines():
                try:
                    found.append(parseLine(line))
                except ValueError as error:
                    problems.append(f"{self._path}, line {number}: {error}")
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            problems.append(f"{self._path}: {reason}")
        for problem in problems if warn else ():
            self._log.warn("Manhole: {problem}", problem=problem)
        return found

    def _lines(self) -> Iterator[tuple[int, bytes]]:
        """Number and text of each line that says something."""
        with open(self._path, "rb") as file:
            status = os.fstat(file.fileno())
            _checkSafe(status)
            data = file.read(MAX_FILE + 1)
        if len(data) > MAX_FILE:
            raise ValueError(f"is larger than {MAX_FILE} octets; no key of it counts")
        for number, line in enumerate(data.splitlines(), 1):
            text = line.strip()
            if text and not text.startswith(b"#"):
                yield number, text


def parseLine(line: bytes) -> Authorized:
    """Read a line with a key.

    :raises ValueError: with the reason why it does not count.
    """
    kind, *rest = line.split(None, 2)
    if kind not in KINDS:
        if kind.startswith((b"sk-", b"ssh-dss")) or not any(each in line for each in KINDS):
            raise ValueError("this is no key of a kind that can be used (ed25519, ecdsa, rsa)")
        raise ValueError(
            "options before the key (as from= or command=) are not known here; the line does not"
            " count, so that nobody gets more than it means"
        )
    if not rest:
        raise ValueError("the key is missing")
    try:
        b64decode(rest[0], validate=True)
        key = Key.fromString(b" ".join((kind, rest[0])))
    except Exception as error:  # damaged keys fail in many ways, deep in the parsers
        raise ValueError("the key is damaged") from error
    if not key.isPublic() or key.sshType() != kind:
        raise ValueError("the key is not what the line says")
    if key.type() == "RSA" and key.size() < MIN_RSA:
        raise ValueError(f"the RSA key has {key.size()} bits; at least {MIN_RSA} are needed")
    return Authorized(key, rest[1].decode("utf-8", "replace") if len(rest) > 1 else "")


def _checkSafe(status: os.stat_result) -> None:
    """:raises ValueError: others than the owner could have added a key."""
    if sys.platform != "win32":
        mode = stat.S_IMODE(status.st_mode)
        if mode & 0o022:
            raise ValueError(f"has mode {mode:04o}: others can add keys; no key of it counts")
        if status.st_uid not in (0, os.geteuid()):
            raise ValueError("belongs to another user; no key of it counts")
