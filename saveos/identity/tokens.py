"""Tokens: a readable prefix kept in clear, a secret of which only the SHA-256 is kept.

The idea is headscale's pre-auth key: `saveos_<kind>_<prefix>_<secret>`. The secret has 256 random bits, so a fast
hash is enough.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from enum import StrEnum

import msgspec

from saveos.errors import NotAuthenticated

_SHAPE = re.compile(r"saveos_([a-z]+)_([0-9a-f]{12})_([A-Za-z0-9-]{20,64})")


class TokenKind(StrEnum):
    """What a token opens."""

    ENROL = "enrol"
    AGENT = "agent"
    API = "api"
    SETUP = "setup"
    SESSION = "session"


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """A token as text (show it once), and what is stored of it."""

    text: str
    prefix: str
    secret_hash: str

    def __repr__(self) -> str:
        return f"Token(prefix={self.prefix!r})"


def create(kind: TokenKind) -> Token:
    """Return a new random token."""
    secret = secrets.token_urlsafe(32).replace("_", "-")
    prefix = secrets.token_hex(6)
    return Token(text=f"saveos_{kind.value}_{prefix}_{secret}", prefix=prefix, secret_hash=_digest(secret))


def parse(kind: TokenKind, text: str) -> Token:
    """Take a presented token apart. Raises NotAuthenticated when it is not of this kind or shape."""
    match = _SHAPE.fullmatch(text)
    if match is None or match[1] != kind.value:
        message = "This is not a token for this purpose."
        raise NotAuthenticated(message)
    return Token(text=text, prefix=match[2], secret_hash=_digest(match[3]))


def is_same(presented_hash: str, stored_hash: str) -> bool:
    """Compare two hashes in constant time."""
    return hmac.compare_digest(presented_hash, stored_hash)


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
