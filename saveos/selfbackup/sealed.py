"""A self-backup as a file: sealed to the recovery key, in chunks that show when one is altered, moved or missing.

A line that names the format, a line of JSON that says when it was made and holds the sealed key, then chunks of 64 KiB:
ChaCha20-Poly1305 under a counter whose last byte says whether it is the last one. Source: STREAM, Hoang, Reyhanitabar,
Rogaway and Vizár, "Online Authenticated-Encryption and its Nonce-Reuse Misuse-Resistance" (2015), as in age
(age-encryption.org/v1, "Payload"). The two lines take part in the key, so that they cannot be altered either.
"""

from __future__ import annotations

import base64
import hashlib
import io
import os
from datetime import datetime
from typing import IO, TYPE_CHECKING

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from saveos.errors import OtherKit, SelfBackupAltered
from saveos.protocol import Wire
from saveos.repositories.sealing import SUITE, as_text

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

MAGIC = b"saveos-self-backup-1\n"
INFO = b"saveos self-backup v1"
CHUNK = 64 * 1024
TAG = 16
KEY_BYTES, SALT_BYTES, COUNTER_BYTES = 32, 16, 11
HEAD_LIMIT = 4096
STRANGE = "This is no self-backup, or one of a newer SaveOS."


class Head(Wire, frozen=True, kw_only=True):
    """What anybody may read. `recipient`: the recovery key's public half; `sealed`: the file's key (HPKE); base64."""

    made_at: datetime
    appliance_id: str
    recipient: str
    sealed: str
    salt: str


class Sealer(io.RawIOBase):
    """Takes plain bytes and writes them sealed. Whole once it is closed well; `sha256` and `count` are of the file."""

    def __init__(self, file: IO[bytes], recipient: bytes, made_at: datetime, appliance_id: str) -> None:
        """Write the head."""
        super().__init__()
        self._file, self._held, self._number = file, bytearray(), 0
        self.sha256, self.count = hashlib.sha256(), 0
        key, salt = os.urandom(KEY_BYTES), os.urandom(SALT_BYTES)
        sealed = SUITE.encrypt(key, X25519PublicKey.from_public_bytes(recipient), INFO)
        head = Head(
            made_at=made_at,
            appliance_id=appliance_id,
            recipient=as_text(recipient),
            sealed=base64.b64encode(sealed).decode(),
            salt=base64.b64encode(salt).decode(),
        )
        lines = MAGIC + msgspec.json.encode(head) + b"\n"
        self._cipher = _cipher(key, salt, lines)
        self._put(lines)

    def writable(self) -> bool:
        """Say so."""
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]
        """Seal what fills chunks; the last one waits, as only the end tells that it is the last."""
        self._held += data
        while len(self._held) > CHUNK:
            self._seal(bytes(self._held[:CHUNK]), is_last=False)
            del self._held[:CHUNK]
        return len(data)

    def finish(self) -> None:
        """Seal the last chunk: without it nobody takes the file for whole."""
        self._seal(bytes(self._held), is_last=True)
        self._held.clear()

    def _seal(self, chunk: bytes, *, is_last: bool) -> None:
        self._put(self._cipher.encrypt(_nonce(self._number, is_last=is_last), chunk, None))
        self._number += 1

    def _put(self, data: bytes) -> None:
        self._file.write(data)
        self.sha256.update(data)
        self.count += len(data)


class Opener(io.RawIOBase):
    """Gives the plain bytes of a sealed file. Raises SelfBackupAltered where it is not what was written."""

    def __init__(self, file: IO[bytes], private: X25519PrivateKey) -> None:
        """Open the head. Raises OtherKit, SelfBackupAltered."""
        super().__init__()
        self.head, lines = _head(file)
        if self.head.recipient != as_text(private.public_key().public_bytes_raw()):
            raise OtherKit("This recovery code is of another kit than the self-backup was sealed to.")
        try:
            key = SUITE.decrypt(base64.b64decode(self.head.sealed), private, INFO)
            self._cipher = _cipher(key, base64.b64decode(self.head.salt), lines)
        except (InvalidTag, ValueError) as error:
            raise _altered() from error
        self._file, self._number = file, 0
        self._next: bytes | None = file.read(CHUNK + TAG)
        self._held = b""

    def readable(self) -> bool:
        """Say so."""
        return True

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
        """Give what there is, at the end nothing: then the last chunk was the last one."""
        if not self._held and self._next is not None:
            self._held = self._open()
        count = min(len(buffer), len(self._held))
        buffer[:count], self._held = self._held[:count], self._held[count:]
        return count

    def _open(self) -> bytes:
        sealed, following = self._next, self._file.read(CHUNK + TAG)
        try:
            opened = self._cipher.decrypt(_nonce(self._number, is_last=not following), sealed or b"", None)
        except (InvalidTag, ValueError) as error:
            raise _altered() from error
        self._number += 1
        self._next = following or None
        return opened


def head_of(file: IO[bytes]) -> Head:
    """Read what a file says of itself, which nothing proves yet. Raises SelfBackupAltered."""
    return _head(file)[0]


def _head(file: IO[bytes]) -> tuple[Head, bytes]:
    magic, line = file.readline(len(MAGIC)), file.readline(HEAD_LIMIT)
    try:
        head = msgspec.json.decode(line, type=Head)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise SelfBackupAltered(STRANGE) from error
    if magic != MAGIC or not line.endswith(b"\n"):
        raise SelfBackupAltered(STRANGE)
    return head, magic + line


def _cipher(key: bytes, salt: bytes, lines: bytes) -> ChaCha20Poly1305:
    info = INFO + hashlib.sha256(lines).digest()
    return ChaCha20Poly1305(HKDF(algorithm=hashes.SHA256(), length=KEY_BYTES, salt=salt, info=info).derive(key))


def _nonce(number: int, *, is_last: bool) -> bytes:
    return number.to_bytes(COUNTER_BYTES, "big") + bytes([is_last])


def _altered() -> SelfBackupAltered:
    return SelfBackupAltered("The self-backup is not what was written: altered, or cut off.")
