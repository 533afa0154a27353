"""Ids that sort by time and say what they name: `agt_01j9…`."""

from __future__ import annotations

import secrets
import time

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32: no i, l, o, u
_LENGTH = 22  # 48 bits of milliseconds and 62 random ones


def new_id(prefix: str) -> str:
    """Return `prefix_` and 22 characters: milliseconds since 1970, then randomness."""
    number = (int(time.time() * 1000) << 62) | secrets.randbits(62)
    digits = []
    for _ in range(_LENGTH):
        number, digit = divmod(number, 32)
        digits.append(_ALPHABET[digit])
    return f"{prefix}_{''.join(reversed(digits))}"
