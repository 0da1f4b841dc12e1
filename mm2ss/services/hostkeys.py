"""The SSH host keys: made when they are missing, refused when others could have read them."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Callable

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from twisted.conch.ssh.keys import FingerprintFormats, Key

#: Each kind of key and how one is made. Ed25519 is what every client of the last ten years takes;
#: ECDSA is for those that may use nothing but what NIST has approved.
MAKERS: dict[str, Callable[[], Key]] = {
    "ed25519": lambda: Key(Ed25519PrivateKey.generate()),
    "ecdsa": lambda: Key(generate_private_key(SECP256R1())),
}


class HostKeyError(Exception):
    """A host key cannot be used or made; the text names the file and says why."""


def hostKeys(folder: str) -> tuple[list[Key], list[str]]:
    """The host keys in a folder, which is made (0700) as they are (0600) when it is missing.

    :param folder: its absolute path.
    :return: the keys, and the files that were made.
    :raises HostKeyError: a key cannot be read, or used, or made.
    """
    keys, made = [], []
    for kind, make in MAKERS.items():
        path = os.path.join(folder, f"ssh_host_{kind}_key")
        try:
            if not os.path.lexists(path):
                os.makedirs(folder, mode=0o700, exist_ok=True)
                _write(path, make().toString("openssh"))
                made.append(path)
            keys.append(_read(path))
        except OSError as error:
            raise HostKeyError(f"the host key {path}: {error.strerror}") from error
    return keys, made


def fingerprint(key: Key) -> str:
    """A key as ``ssh-keygen -l`` and the logs of sshd show it."""
    return f"SHA256:{key.fingerprint(FingerprintFormats.SHA256_BASE64).rstrip('=')}"


def _read(path: str) -> Key:
    with open(path, "rb") as file:
        mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
        data = file.read()
    if sys.platform != "win32" and mode & 0o077:
        raise HostKeyError(
            f"the host key {path} has mode {mode:04o}: others may have read it. Delete it, and a"
            " new one is made; or chmod 600, if you know that nobody has"
        )
    try:
        key: Key = Key.fromString(data)
    except Exception as error:  # damaged keys fail in many ways, deep in the parsers
        raise HostKeyError(
            f"the host key {path} cannot be understood ({type(error).__name__}). Put it back from"
            " a copy, or delete it, and a new one is made"
        ) from error
    if key.isPublic():
        raise HostKeyError(f"the host key {path} is a public key, not a private one")
    return key


def _write(path: str, data: bytes) -> None:
    """Make a file with mode 0600 that is there as a whole or not at all."""
    new = f"{path}.new"
    try:
        os.unlink(new)  # left by a process that died
    except FileNotFoundError:
        pass
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(new, path)
