"""Columns that hold a secret: sealed under a key file of the appliance, each bound to the row that it stands in.

Whoever has the database alone reads nothing, and a sealed value that is moved to another row does not open there.
"""

from __future__ import annotations

import contextlib
import hmac
import os
import tempfile
from pathlib import Path

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from saveos.errors import Unavailable

VERSION = b"\x01"  # AES-256-GCM: this byte, 12 bytes nonce, ciphertext with its tag
KEY_BYTES = 32
NONCE_BYTES = 12


class Secret(msgspec.Struct, frozen=True):
    """A text that is never shown."""

    value: str

    def __repr__(self) -> str:
        return "***"


def seal(key_file: Path, secret: Secret, row: str) -> bytes:
    """Seal a secret for the row of this id; the key is made when it is needed first."""
    nonce = os.urandom(NONCE_BYTES)
    sealed = AESGCM(_key(key_file)).encrypt(nonce, secret.value.encode(), VERSION + row.encode())
    return VERSION + nonce + sealed


def unseal(key_file: Path, sealed: bytes, row: str) -> Secret:
    """Open what was sealed for this row. Raises Unavailable: the key is gone or another, or the bytes are."""
    nonce, text = sealed[1 : 1 + NONCE_BYTES], sealed[1 + NONCE_BYTES :]
    try:
        opened = AESGCM(key_file.read_bytes()).decrypt(nonce, text, sealed[:1] + row.encode())
    except (OSError, ValueError, InvalidTag) as error:
        raise Unavailable("A secret in the database cannot be opened: its key file is missing or another.") from error
    return Secret(opened.decode())


def mac(key_file: Path, content: bytes, purpose: bytes) -> str:
    """Return what shows that a content is this appliance's: HMAC-SHA256 (RFC 2104) by a key of its own per purpose."""
    key = hmac.digest(_key(key_file), purpose, "sha256")
    return hmac.digest(key, content, "sha256").hex()


def _key(path: Path) -> bytes:
    """Return the key; it appears as a whole or not at all, and once."""
    if not path.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".new-")  # for its owner alone
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(os.urandom(KEY_BYTES))
                file.flush()
                os.fsync(file.fileno())
            with contextlib.suppress(FileExistsError):  # another thread was first
                os.link(name, path)
        finally:
            Path(name).unlink()
    return path.read_bytes()
