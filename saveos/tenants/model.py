"""A tenant's recovery kit."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated

import msgspec
from msgspec import Meta

Group = Annotated[int, Meta(ge=1, le=8)]
Base64 = Annotated[str, Meta(min_length=1, max_length=64)]


class MadeBy(StrEnum):
    """Where a recovery code was born."""

    BROWSER = "browser"  # the appliance has never seen it
    APPLIANCE = "appliance"  # shown once, and forgotten


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """How two groups of a code are recognised: SHA-256 of PBKDF2-HMAC-SHA256("GROUP-GROUP", salt, 600,000, 32 bytes).

    70 of the key's 256 bits, stretched: the appliance keeps this, and hears only the PBKDF2's result.
    """

    groups: tuple[Group, Group]  # counted from 1
    salt: Base64
    proof_hash: Base64


class Kit(msgspec.Struct, frozen=True, kw_only=True):
    """The tenant's recovery kit. `groups`, `salt`: what to type to confirm it; none for a kit of an older SaveOS."""

    public_key: str  # X25519, 32 bytes, base64
    made_at: datetime | None
    made_by: MadeBy
    confirmed_at: datetime | None
    groups: tuple[int, ...] = ()
    salt: str = ""
