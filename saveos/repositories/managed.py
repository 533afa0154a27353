"""The appliance's own key pair, to which hosts in managed mode seal theirs too: the private half in a file, 0600."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

if TYPE_CHECKING:
    from saveos.config import Settings

SIZE = 32


def public_key(settings: Settings) -> bytes:
    """Return the public half (32 bytes); the pair is made when it is asked for first. By any thread.

    The private half appears as a whole or not at all, and once; the public one is made again when it is not whole.
    """
    public = settings.managed_key.with_suffix(".pub")
    with contextlib.suppress(FileNotFoundError):
        if len(found := public.read_bytes()) == SIZE:
            return found
    settings.managed_key.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not settings.managed_key.exists():
        made = _written(settings.managed_key.parent, X25519PrivateKey.generate().private_bytes_raw())
        with contextlib.suppress(FileExistsError):  # another thread was first
            os.link(made, settings.managed_key)
        made.unlink()
    raw = private_key(settings).public_key().public_bytes_raw()
    _written(public.parent, raw).replace(public)
    return raw


def private_key(settings: Settings) -> X25519PrivateKey:
    """Return the private half. Raises FileNotFoundError before `public_key` was asked for."""
    return X25519PrivateKey.from_private_bytes(settings.managed_key.read_bytes())


def _written(folder: Path, content: bytes) -> Path:
    """Write a file for its owner alone, under a name of its own, and on the disk when this returns."""
    descriptor, name = tempfile.mkstemp(dir=folder, prefix=".new-")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        Path(name).unlink()
        raise
    return Path(name)
