"""How a host's key is sealed and opened: HPKE (RFC 9180), X25519, ChaCha20-Poly1305, the same for every reader."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING

import msgspec
from cryptography.hazmat.primitives import hpke

from saveos.protocol import ESCROW_INFO, EscrowContents

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

SUITE = hpke.Suite(hpke.KEM.X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.CHACHA20_POLY1305)
_OVERHEAD = 32 + 16  # encapsulated key and tag


def as_text(public_key: bytes) -> str:
    """Return a public key as it travels."""
    return base64.b64encode(public_key).decode()


def is_plausible(sealed: str) -> bool:
    """Return whether this may be something sealed: nobody but the key's owner can tell more."""
    try:
        return len(base64.b64decode(sealed, validate=True)) > _OVERHEAD
    except (binascii.Error, ValueError):
        return False


def open_with(private_key: X25519PrivateKey, sealed: str, agent_id: str) -> EscrowContents:
    """Open a host's sealed key. Raises InvalidTag, ValueError, msgspec.DecodeError when it is not this key's."""
    opened = SUITE.decrypt(base64.b64decode(sealed), private_key, ESCROW_INFO + agent_id.encode())
    return msgspec.json.decode(opened, type=EscrowContents)
