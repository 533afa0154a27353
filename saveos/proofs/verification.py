"""Is a report genuine? Decided from the file and the root certificate alone: no database, no network.

Findings say what was looked at, one line each. The appliance holds the authority: who has that could make certificates
of hosts, and with them drills. What it cannot do is change a statement that a host's key signed.
"""

from __future__ import annotations

import json
import re
from enum import StrEnum
from typing import TYPE_CHECKING

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from saveos.certificates.issuance import REPORT_URI
from saveos.proofs import signatures
from saveos.proofs.report_model import FORMAT, HTML_CONTEXT, VERSION, Report, SignedReport
from saveos.proofs.signatures import NotGenuine
from saveos.protocol import DrillStatement, SignedDrill

if TYPE_CHECKING:
    from collections.abc import Iterator

    from saveos.proofs.report_model import ReportDrill, ReportHost

TRAILER = b"<!--saveos-signature:%b-->\n"
BEGIN, END = b'<script type="application/json" id="saveos-report">', b"</script>"
_PAGE = re.compile(rb"(?s)(<!doctype html>.*</html>\n)<!--saveos-signature:([A-Za-z0-9+/]+=*)-->\n")


class Level(StrEnum):
    """What a finding means."""

    GOOD = "ok"
    TOLD = "note"  # genuine, and it tells of something that went wrong
    BAD = "bad"  # not genuine: nothing in it is to be believed


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One line."""

    level: Level
    line: str


def verify(data: bytes, root_pem: str) -> list[Finding]:
    """Return what was found about a file. It is genuine if none of the findings is BAD.

    Raises ValueError for a root that is no certificate.
    """
    root = x509.load_pem_x509_certificate(root_pem.encode())
    try:
        report = opened(data, root_pem)
    except NotGenuine as error:
        return [Finding(level=Level.BAD, line=error.message)]
    found = [
        _good(f"signed on {report.made_at:%Y-%m-%d %H:%M} UTC for {report.tenant_name} ({report.tenant_id})"),
        _good(f"root certificate SHA-256 {root.fingerprint(hashes.SHA256()).hex(':').upper()}"),
        _good(f"{len(report.hosts)} hosts, {len(report.snapshots)} snapshots, {len(report.drills)} drills"),
    ]
    return [*found, *_drills(report, root_pem), *_hosts(report), *_told(report)]


def opened(data: bytes, root_pem: str) -> Report:
    """Return what a file holds, once its signature and its certificate are proven. Raises NotGenuine."""
    page = _PAGE.fullmatch(data)
    is_page = data[:15].lower().startswith(b"<!doctype html")
    if is_page and page is None:
        raise NotGenuine("The page does not end as a report does.")
    try:
        signed = msgspec.json.decode(_embedded(page[1]) if page else data, type=SignedReport)
        report = msgspec.json.decode(signed.report, type=Report)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise NotGenuine(f"This is no report: {error}.") from error
    if not page and msgspec.json.encode(signed) != data:
        raise NotGenuine("The file is not written as it was signed.")
    if (report.format, report.version) != (FORMAT, VERSION):
        raise NotGenuine(f"This is a report of another version: {report.version}.")
    leaf, others = signatures.chain_of(signed.chain)
    signatures.require_report_chain(leaf, others, root_pem, report.made_at)
    if f"{REPORT_URI}{report.tenant_id}" not in signatures.uris_of(leaf):
        raise NotGenuine("The report was signed for another tenant.")
    signatures.verify(leaf, signed.signature, signed.signed_bytes())
    if page:
        signatures.verify(leaf, page[2].decode(), HTML_CONTEXT + page[1])
    return report


def embed(signed: SignedReport) -> str:
    """Return a signed report as it stands within a page."""
    return msgspec.json.encode(signed).decode().replace("<", "\\u003c")


def _embedded(page: bytes) -> bytes:
    if page.count(BEGIN) != 1:
        raise NotGenuine("The page does not hold one report.")
    return page.split(BEGIN, 1)[1].split(END, 1)[0]


def _drills(report: Report, root_pem: str) -> Iterator[Finding]:
    hosts = {host.agent_id: host for host in report.hosts}
    for drill in report.drills:
        try:
            yield _drill(drill, hosts.get(drill.agent_id), report, root_pem)
        except NotGenuine as error:
            yield Finding(level=Level.BAD, line=f"drill {drill.id} of {drill.agent_id}: {error.message}")


def _drill(drill: ReportDrill, host: ReportHost | None, report: Report, root_pem: str) -> Finding:
    if host is None:
        raise NotGenuine("The report names no such host.")
    signed = SignedDrill(
        statement=drill.statement, signature=drill.signature, certificate=report.certificates.get(drill.thumbprint, "")
    )
    statement, leaf = signatures.verify_drill(signed, root_pem, drill.received_at)
    told = (statement.agent_id, statement.hostname, statement.job_id, statement.nonce)
    if told != (host.agent_id, host.hostname, drill.job_id, drill.nonce):
        raise NotGenuine(f"It is about {statement.hostname} ({statement.agent_id}), or answers another order.")
    if leaf.fingerprint(hashes.SHA256()).hex() != drill.thumbprint:
        raise NotGenuine("It is filed under another certificate.")
    when = f"drill of {host.hostname} on {drill.received_at:%Y-%m-%d %H:%M} UTC"
    if statement.copy_generation:
        when += f", out of generation {statement.copy_generation} of its offsite copy"
    count = max(statement.mismatches_count, len(statement.mismatches))
    if count:
        names = ", ".join(json.dumps(entry.path) for entry in statement.mismatches[:5] if entry.path)
        return Finding(
            level=Level.TOLD, line=f"{when}: {count} of {statement.files_count} files differ {names}".rstrip()
        )
    if not statement.files_count:
        return _good(f"{when}: nothing could be compared, signed by the host")
    return _good(f"{when}: {statement.files_count} files came back as they were, signed by the host")


def _hosts(report: Report) -> Iterator[Finding]:
    """Hold each host's last proven restore against the drills."""
    for host in report.hosts:
        if host.proven_at is None or not report.since <= host.proven_at < report.until:
            continue
        own = (drill for drill in report.drills if drill.agent_id == host.agent_id)
        if not any(drill.received_at == host.proven_at and _is_proof(drill) for drill in own):
            line = f"{host.hostname} is said to have proven a restore on {host.proven_at}, but no drill shows it"
            yield Finding(level=Level.BAD, line=line)


def _is_proof(drill: ReportDrill) -> bool:
    try:
        said = msgspec.json.decode(drill.statement, type=DrillStatement)
    except msgspec.MsgspecError:
        return False
    is_good = said.files_count > 0 and not said.mismatches_count and not said.mismatches
    return is_good and not said.copy_generation  # that one says nothing of the repository itself


def _told(report: Report) -> Iterator[Finding]:
    names = {host.agent_id: host.hostname for host in report.hosts}
    for damage in report.damages:
        if damage.cleared_at is None:
            files = ", ".join(map(json.dumps, damage.files[:5]))
            line = f"damage of {names.get(damage.agent_id, damage.agent_id)}: {damage.place} ({damage.what}) {files}"
            yield Finding(level=Level.TOLD, line=line.rstrip())
    for host in report.hosts:
        if host.proof == "stale" and host.state != "revoked":
            yield Finding(level=Level.TOLD, line=f"{host.hostname} has not proven a restore for more than 30 days")


def _good(line: str) -> Finding:
    return Finding(level=Level.GOOD, line=line)
