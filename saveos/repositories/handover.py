"""What the main process and the tunnel's process say to each other; light, so that either may import it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from saveos.protocol import PING_SECONDS, SILENCE_SECONDS, AgentId, Confidential, TunnelMode, TunnelRefusal, Wire

HOST_ID = "saveos-appliance"  # in Borg's locks: the same for ever, so that those of a dead process are known as such


class Options(Wire, frozen=True, kw_only=True):
    """What the tunnel's process is started with; no secret, it stands in argv."""

    certificate_path: str  # the server's certificate and the intermediate
    key_path: str
    trust_path: str  # root and intermediate, to verify agents against
    borg_home: str
    ping_seconds: float = PING_SECONDS
    silence_seconds: float = SILENCE_SECONDS


class Opening(Confidential, frozen=True, kw_only=True):
    """Child to main: who is at the other end and what it wants."""

    serial: str  # hex, lower case, no leading zeros
    thumbprint: str  # SHA-256 of the certificate's DER, hex, lower case
    token: str
    mode: TunnelMode
    job_id: str | None
    pid: int


class Grant(Wire, frozen=True, kw_only=True):
    """What a session gets: one repository, and whether it may be created and its key saved."""

    agent_id: AgentId
    path: Path
    may_create: bool = False
    room_bytes: int | None = None  # how much it may add; None: as much as it likes
    stored_bytes: int = 0  # what was there when it began
    is_pruning: bool = False  # it deletes what it was told to: no limit stops that
    evidence: Path | None = None  # the folder for what the session does to snapshots
    job_id: str = ""  # the running job of this host that stands behind the session
    settled_segment: int = -1  # what lies up to here belongs to snapshots
    archive_ids: tuple[str, ...] = ()  # of the good snapshots, hex


class Growth(Wire, frozen=True, kw_only=True):
    """Child to main, every second: how much of what a session wrote is there, committed or not."""

    added_bytes: int


class Verdict(Wire, frozen=True, kw_only=True):
    """Main to child, one a line: go on with this, or stop for that reason (also in the middle of a session)."""

    grant: Grant | None = None
    refusal: TunnelRefusal | None = None


def to_line(message: Wire) -> bytes:
    """Return a message as it travels."""
    return msgspec.json.encode(message, enc_hook=str) + b"\n"


def to_verdict(line: bytes) -> Verdict:
    """Read a verdict. Raises msgspec.DecodeError."""
    return msgspec.json.decode(line, type=Verdict, dec_hook=_to_path)


def _to_path(_kind: type, value: Any) -> Path:
    return Path(value)
