"""Passwords: Argon2id (RFC 9106, second recommended option: 64 MiB, 3 passes, 4 lanes)."""

from __future__ import annotations

import base64
import os

from cryptography.exceptions import InvalidKey
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from saveos.errors import InvalidRequest

SHORTEST = 8  # NIST SP 800-63B
LONGEST = 1024
_MEMORY_KIB = 64 * 1024
_PASSES, _LANES, _SALT_BYTES, _HASH_BYTES = 3, 4, 16, 32


def hash_password(password: str) -> str:
    """Return the PHC string of the password. Raises InvalidRequest when it is too short or too long."""
    if not SHORTEST <= len(password) <= LONGEST:
        message = f"A password has {SHORTEST} to {LONGEST} characters."
        raise InvalidRequest(message, field="password")
    kdf = Argon2id(
        salt=os.urandom(_SALT_BYTES),
        length=_HASH_BYTES,
        iterations=_PASSES,
        lanes=_LANES,
        memory_cost=_MEMORY_KIB,
    )
    return kdf.derive_phc_encoded(password.encode())


def is_right(password: str, stored: str) -> bool:
    """Return whether the password belongs to the PHC string."""
    try:
        Argon2id.verify_phc_encoded(password.encode(), stored)
    except InvalidKey:
        return False
    return True


def _random_base64(size: int) -> str:
    return base64.b64encode(os.urandom(size)).decode().rstrip("=")


# Verified against when nobody has that address, so that both answers take as long. No password is known to fit it.
NOBODY = (
    f"$argon2id$v=19$m={_MEMORY_KIB},t={_PASSES},p={_LANES}${_random_base64(_SALT_BYTES)}${_random_base64(_HASH_BYTES)}"
)
