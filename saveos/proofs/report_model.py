"""A report for an auditor: what it tells, and how it is signed.

A JSON file is the encoding of a SignedReport, byte for byte. An HTML file carries the same within, and ends with a
comment that signs all bytes before it, so that what a reader sees is what was signed.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from saveos.proofs.model import Pass

FORMAT = "saveos-report"
VERSION = 1
JSON_CONTEXT = b"saveos report v1\n"  # stands before what is signed: the chain, a NUL byte, the report
HTML_CONTEXT = b"saveos report page v1\n"  # stands before all bytes of the page but its last comment


class ReportHost(msgspec.Struct, frozen=True, kw_only=True):
    """One host at the end of the time. `snapshots_count`: all there are, `good_count`: those without damage."""

    agent_id: str
    hostname: str
    platform: str
    state: str
    enrolled_at: datetime
    last_backup_at: datetime | None
    proven_at: datetime | None
    proof: str
    checked_at: datetime | None
    verified_at: datetime | None
    snapshots_count: int
    good_count: int
    damages_count: int


class ReportSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """A snapshot that was made in the time."""

    id: str
    agent_id: str
    archive: str
    archive_id: str
    started_at: datetime
    files_count: int
    original_bytes: int
    warnings_count: int
    standing: str


class ReportDrill(msgspec.Struct, frozen=True, kw_only=True):
    """A drill, with its host's own words and signature. `nonce` is the appliance's; `thumbprint`: in `certificates`."""

    id: str
    agent_id: str
    job_id: str
    received_at: datetime
    nonce: str
    statement: str
    signature: str
    thumbprint: str


class ReportDamage(msgspec.Struct, frozen=True, kw_only=True):
    """Something that was damaged in the time. `archives`, `files`: what needs it, as far as its host told."""

    agent_id: str
    place: str
    what: str
    found_by: str
    found_at: datetime
    cleared_at: datetime | None
    archives: tuple[str, ...]
    files: tuple[str, ...]


class ReportAlert(msgspec.Struct, frozen=True, kw_only=True):
    """An alert that was open in the time."""

    kind: str
    agent_id: str | None
    opened_at: datetime
    cleared_at: datetime | None
    cleared_by: str
    evidence: dict[str, Any]


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """Everything of a tenant, or of one host, in a time. `certificates`: chains by the SHA-256 of their leaf."""

    format: str = FORMAT
    version: int = VERSION
    id: str
    made_at: datetime
    made_by: str
    appliance_version: str
    root_fingerprint: str
    tenant_id: str
    tenant_name: str
    since: datetime
    until: datetime
    only_agent_id: str
    hosts: list[ReportHost]
    snapshots: list[ReportSnapshot]
    drills: list[ReportDrill]
    passes: list[Pass]
    damages: list[ReportDamage]
    alerts: list[ReportAlert]
    certificates: dict[str, str]


class SignedReport(msgspec.Struct, frozen=True, kw_only=True):
    """`report`: the JSON of a Report as it was signed. `signature`: DER, base64. `chain`: leaf, then intermediate."""

    report: str
    signature: str
    chain: str

    def signed_bytes(self) -> bytes:
        """Return what the signature is over."""
        return JSON_CONTEXT + self.chain.encode() + b"\0" + self.report.encode()
