"""What the process that verifies says: light, as the daemon reads it without Borg."""

from __future__ import annotations

import msgspec

from saveos.protocol import VerifyFacts


class SaidOfVerify(msgspec.Struct, frozen=True, kw_only=True):
    """How far it is; the last line has `facts`, or says why there are none."""

    objects_count: int = 0
    read_bytes: int = 0
    facts: VerifyFacts | None = None
    error_code: str = ""
    message: str = ""
