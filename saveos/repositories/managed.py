"""The appliance's own key pair, to which hosts in managed mode seal theirs too: the private half in a file, 0600."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

if TYPE_CHECKING:
    from saveos.config import Settings


def public_key(settings: Settings) -> bytes:
    """Return the public half (32 bytes); the pair is made when it is asked for first."""
    public = settings.managed_key.with_suffix(".pub")
    with contextlib.suppress(FileNotFoundError):
        return public.read_bytes()
    settings.managed_key.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        descriptor = os.open(settings.managed_key, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(X25519PrivateKey.generate().private_bytes_raw())
            file.flush()
            os.fsync(file.fileno())
    made = private_key(settings).public_key().public_bytes_raw()
    public.write_bytes(made)
    return made


def private_key(settings: Settings) -> X25519PrivateKey:
    """Return the private half. Raises FileNotFoundError before `public_key` was asked for."""
    return X25519PrivateKey.from_private_bytes(settings.managed_key.read_bytes())
