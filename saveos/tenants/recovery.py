"""The tenant's recovery key: its private half exists only as the code shown once at set-up.

The code is 32 key bytes and 3 bytes of their SHA-256 in base 32: 56 characters in 8 groups of 7.
"""

from __future__ import annotations

import base64
import hashlib
import secrets

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from saveos.errors import InvalidRequest
from saveos.tenants.model import Check

_GROUP = 7
_CHECK = 3
_KEY = 32
_SALT = 16
ROUNDS = 600_000  # as the browser does it


def create() -> tuple[str, bytes]:
    """Return a new recovery code and the 32 bytes of its public key."""
    private = X25519PrivateKey.generate()
    raw = private.private_bytes_raw()
    text = base64.b32encode(raw + _check(raw)).decode()
    code = "-".join(text[start : start + _GROUP] for start in range(0, len(text), _GROUP))
    return code, private.public_key().public_bytes_raw()


def check_of(code: str) -> Check:
    """Return by what two groups of the code, taken by chance, will be recognised."""
    groups = code.split("-")
    first, second = sorted(secrets.SystemRandom().sample(range(1, len(groups) + 1), 2))
    salt = secrets.token_bytes(_SALT)
    proof = hashlib.pbkdf2_hmac("sha256", f"{groups[first - 1]}-{groups[second - 1]}".encode(), salt, ROUNDS)
    return Check(
        groups=(first, second),
        salt=base64.b64encode(salt).decode(),
        proof_hash=base64.b64encode(hashlib.sha256(proof).digest()).decode(),
    )


def private_key(code: str) -> X25519PrivateKey:
    """Return the key of a typed code; spaces, dashes and case do not matter.

    Raises InvalidRequest when the checksum says that it was mistyped.
    """
    try:
        raw = base64.b32decode("".join(code.split()).replace("-", "").upper())
    except ValueError:
        raw = b""
    if len(raw) != _KEY + _CHECK or _check(raw[:_KEY]) != raw[_KEY:]:
        message = "The recovery code is mistyped: its check characters do not fit."
        raise InvalidRequest(message, field="recovery_code")
    return X25519PrivateKey.from_private_bytes(raw[:_KEY])


def _check(raw: bytes) -> bytes:
    return hashlib.sha256(b"saveos recovery code" + raw).digest()[:_CHECK]
