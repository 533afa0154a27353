"""Make a report for an auditor: gathered from the tables, signed by a key that exists for this one report."""

from __future__ import annotations

import base64
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, TypeVar

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec

from saveos import __version__, clock
from saveos.agents import table as agents
from saveos.audit.record import record
from saveos.certificates.issuance import sign_report
from saveos.database.identifiers import new_id
from saveos.errors import InvalidRequest, NotFound
from saveos.identity.principals import Permission
from saveos.proofs import damages, report_html, table, table_drills, table_reports
from saveos.proofs.report_model import (
    HTML_CONTEXT,
    Report,
    ReportDamage,
    ReportDrill,
    ReportHost,
    SignedReport,
)
from saveos.proofs.signatures import HASH
from saveos.proofs.verification import TRAILER

if TYPE_CHECKING:
    import sqlite3

    from saveos.agents.model import Agent
    from saveos.certificates.authority import Authority
    from saveos.database.connection import Database
    from saveos.identity.principals import Principal
    from saveos.proofs.model import Check, Damage, Drill
    from saveos.protocol import TenantId

T = TypeVar("T")
KEY_LIFE = timedelta(days=1)
LONGEST = timedelta(days=3 * 366)
ROWS_LIMIT = 50_000  # of a kind
HOSTS_LIMIT = 10_000


class ReportTooLarge(InvalidRequest):
    """More than one report holds."""

    code = "report-too-large"


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """Which time, of which host; an empty `agent_id`: of all hosts."""

    since: datetime
    until: datetime
    agent_id: str = ""


def make_json(database: Database, authority: Authority, principal: Principal, asked: Asked) -> bytes:
    """Return a report as JSON. Raises NotFound, InvalidRequest."""
    principal.require(Permission.READ)
    signed, _key = _make(database, authority, principal, asked)
    return msgspec.json.encode(signed)


def make_html(
    database: Database, authority: Authority, principal: Principal, asked: Asked, language: str = "en"
) -> bytes:
    """Return a report as a page to print, in both languages; this one is shown first. Raises as `make_json`."""
    principal.require(Permission.READ)
    signed, key = _make(database, authority, principal, asked)
    page = report_html.render(signed, language).encode()
    signature = base64.b64encode(key.sign(HTML_CONTEXT + page, HASH))
    return page + TRAILER % signature


def _make(
    database: Database, authority: Authority, principal: Principal, asked: Asked
) -> tuple[SignedReport, ec.EllipticCurvePrivateKey]:
    if not timedelta() < asked.until - asked.since <= LONGEST:
        raise InvalidRequest(
            "A report is about a time that ends after it begins, of three years at most.", field="since"
        )
    report = gather(database.read, principal, authority.fingerprint, asked)
    key = ec.generate_private_key(ec.SECP256R1())
    chain = sign_report(authority, key.public_key(), principal.tenant_id, KEY_LIFE)
    text = msgspec.json.encode(report).decode()
    unsigned = SignedReport(report=text, signature="", chain=chain)
    signature = base64.b64encode(key.sign(unsigned.signed_bytes(), HASH)).decode()
    database.write(
        lambda connection: record(
            connection,
            tenant_id=principal.tenant_id,
            actor=principal.label,
            action="report-made",
            target=report.id,
            since=clock.to_text(asked.since),
            until=clock.to_text(asked.until),
        )
    )
    return SignedReport(report=text, signature=signature, chain=chain), key


def gather(connection: sqlite3.Connection, principal: Principal, fingerprint: str, asked: Asked) -> Report:
    """Return what is known. Raises NotFound, ReportTooLarge."""
    tenant, since, until, agent_id = principal.tenant_id, asked.since, asked.until, asked.agent_id
    if agent_id and agents.get(connection, agent_id, tenant) is None:
        raise NotFound("There is no such agent.")
    hosts = _hosts(connection, tenant, agent_id)  # first: a drill that ends meanwhile is one more than they know of
    drills = _few(table_drills.between(connection, tenant, since, until, agent_id))
    return Report(
        id=new_id("rpt"),
        made_at=clock.now(),
        made_by=principal.label,
        appliance_version=__version__,
        root_fingerprint=fingerprint,
        tenant_id=tenant,
        tenant_name=table_reports.tenant_name(connection, tenant),
        since=since,
        until=until,
        only_agent_id=agent_id,
        hosts=hosts,
        snapshots=_few(table_reports.snapshots(connection, tenant, since, until, agent_id, ROWS_LIMIT + 1)),
        drills=[_drill(drill) for drill in drills],
        passes=_few(table.passes(connection, tenant, since, until, agent_id)),
        damages=[_damage(each) for each in _few(table.damages(connection, tenant, since, until, agent_id))],
        alerts=_few(table_reports.alerts(connection, tenant, since, until, agent_id, ROWS_LIMIT + 1)),
        certificates={drill.thumbprint: drill.chain_pem for drill in drills},
    )


def _few(rows: list[T]) -> list[T]:
    if len(rows) > ROWS_LIMIT:
        raise ReportTooLarge("That is more than one report holds: ask for a shorter time, or for one host.")
    return rows


def _hosts(connection: sqlite3.Connection, tenant_id: TenantId, agent_id: str) -> list[ReportHost]:
    checks = table.checks_of(connection, tenant_id)
    good, damaged = table_reports.good_counts(connection, tenant_id), table.open_counts(connection, tenant_id)
    found = agents.find(connection, tenant_id, limit=HOSTS_LIMIT)
    return [
        _host(agent, checks.get(agent.id), good.get(agent.id, 0), damaged.get(agent.id, 0))
        for agent in found
        if agent_id in ("", agent.id)
    ]


def _host(agent: Agent, check: Check | None, good_count: int, damages_count: int) -> ReportHost:
    return ReportHost(
        agent_id=agent.id,
        hostname=agent.hostname,
        platform=agent.platform.value,
        state=agent.state.value,
        enrolled_at=agent.enrolled_at,
        last_backup_at=agent.last_backup_at,
        proven_at=agent.proven_at,
        proof=agent.proof_at(clock.now()).value,
        checked_at=check.checked_at if check else None,
        verified_at=check.verified_at if check else None,
        snapshots_count=agent.snapshots_count,
        good_count=good_count,
        damages_count=damages_count,
    )


def _drill(drill: Drill) -> ReportDrill:
    return ReportDrill(
        id=drill.id,
        agent_id=drill.agent_id,
        job_id=drill.job_id,
        received_at=drill.received_at,
        nonce=drill.nonce,
        statement=drill.statement_text,
        signature=drill.signature,
        thumbprint=drill.thumbprint,
    )


def _damage(damage: Damage) -> ReportDamage:
    archives = damages.located_of([damage])
    return ReportDamage(
        agent_id=damage.agent_id,
        place=damage.place,
        what=damage.what,
        found_by=damage.found_by.value,
        found_at=damage.found_at,
        cleared_at=damage.cleared_at,
        archives=tuple(archive.name for archive in archives),
        files=tuple(dict.fromkeys(path for archive in archives for path in archive.files))[: damages.NAMED],
    )
