"""A report as a page to print: self-contained, in both languages, with the signed JSON within."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

import msgspec

from saveos.locale import LANGUAGES, sentence
from saveos.proofs.report_model import Report
from saveos.proofs.verification import BEGIN, END, embed
from saveos.protocol import DrillStatement
from saveos.visible import shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from saveos.proofs.model import Pass
    from saveos.proofs.report_model import (
        ReportAlert,
        ReportDamage,
        ReportDrill,
        ReportHost,
        ReportSnapshot,
        SignedReport,
    )

NOTHING = "\N{EN DASH}"
NAMED = 5
THOUSAND = 1000
STYLE = """
:root{color-scheme:light dark;background:#fff;color:#16202a}
body{font:15px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem}
h1{font-size:1.6rem}h2{font-size:1.15rem;margin-top:2rem}
table{border-collapse:collapse;width:100%;min-width:46rem;font-size:.9em}
th,td{text-align:left;padding:.3em .6em;border-bottom:1px solid #8886;vertical-align:top}
.scroll{overflow-x:auto}.bad{font-weight:600;color:#b3261e}.good{color:#1b6e33}.warn{color:#8a5300}
@media(prefers-color-scheme:dark){:root{background:#14181c;color:#e6ebef}.bad{color:#ffb4ab}.good{color:#86d993}.warn{color:#f5bd6f}}
code{font-size:.85em;overflow-wrap:anywhere}
#in-en:checked~div [lang=fr],#in-fr:checked~div [lang=en]{display:none}
@media print{:root{color-scheme:light;background:#fff;color:#000}.bad,.good,.warn{color:#000}}
@media print{input,input+label{display:none}body{margin:0;max-width:none}}
@media print{tr{break-inside:avoid}table{min-width:0}}
"""
STANDINGS = {"suspect": "hold.suspect", "damaged": "hold.damaged", "lost": "hold.lost"}
ALERT_KINDS = {
    "hostile-changes": "alert.hostile",
    "unusual-changes": "alert.unusual",
    "damage": "alert.damage",
    "restore-failed": "alert.unproven",
    "overdue": "alert.overdue",
    "quota": "alert.quota",
    "disk-full": "alert.disk_full",
}
MOODS = {"proven": "good", "young": "", "aging": "warn", "stale": "bad"}


def render(signed: SignedReport, language: str) -> str:
    """Return the page, without the comment that signs it. `language`: which one is shown first."""
    report = msgspec.json.decode(signed.report, type=Report)
    choices = "".join(
        f'<input type="radio" name="language" id="in-{code}"{" checked" if code == _known(language) else ""}>'
        f'<label for="in-{code}" lang="{code}">{escape(sentence(code, "report.language"))}</label>\n'
        for code in LANGUAGES
    )
    title = f"SaveOS {NOTHING} {escape(report.tenant_name)} {NOTHING} {report.since:%Y-%m-%d} {report.until:%Y-%m-%d}"
    return (
        f'<!doctype html>\n<html lang="{_known(language)}">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n{choices}<div>\n{_body(report)}</div>\n</main>\n"
        f"{BEGIN.decode()}{embed(signed)}{END.decode()}\n</body>\n</html>\n"
    )


def _known(language: str) -> str:
    return language if language in LANGUAGES else LANGUAGES[0]


def _body(report: Report) -> str:
    live = [host for host in report.hosts if host.state != "revoked"]
    proven = sum(host.proof == "proven" for host in live)
    names = {host.agent_id: host.hostname for host in report.hosts}
    parts = [
        f"<h1>{_both('report.title', tenant=report.tenant_name)}</h1>",
        f"<p>{_both('report.span', since=_moment(report.since), until=_moment(report.until))}</p>",
        f"<p>{_both('report.made', when=_moment(report.made_at), who=report.made_by)}</p>",
        f"<p><strong>{_both('report.sum', proven=proven, hosts=len(live))}</strong></p>",
        _section("report.hosts", HOSTS, map(_host, report.hosts)),
        _section("report.drills", DRILLS, map(_drill, report.drills)),
        _section("report.checks", CHECKS, (_pass(names, done) for done in report.passes)),
        _section("report.damages", DAMAGES, (_damage(names, damage) for damage in report.damages)),
        _section("report.alerts", ALERTS, (_alert(names, alert) for alert in report.alerts)),
        _section("report.snapshots", SNAPSHOTS, (_snapshot(names, each) for each in report.snapshots)),
        f"<h2>{_both('report.verify')}</h2><p>{_both('report.verify_more')}</p>",
        "<p><code>saveos verify-report FILE --root root.pem</code></p>",
        f"<p>{_both('report.root')} <code>{escape(report.root_fingerprint)}</code></p>",
    ]
    return "\n".join(parts) + "\n"


HOSTS = ("report.host", "report.last_backup", "report.last_proven", "report.checked", "report.verified", "report.good")
DRILLS = (
    "report.host",
    "report.when",
    "report.compared",
    "report.size",
    "report.took",
    "report.result",
    "report.certificate",
)
CHECKS = ("report.host", "report.kind", "report.when", "report.objects", "report.size", "report.damaged")
DAMAGES = ("report.host", "report.found", "report.where", "report.files", "report.cleared")
ALERTS = ("report.host", "report.what", "report.opened", "report.cleared")
SNAPSHOTS = ("report.host", "report.when", "report.archive", "report.files", "report.size", "report.standing")


def _host(host: ReportHost) -> Sequence[str]:
    mood = MOODS.get(host.proof, "")
    count = f"{host.good_count} / {host.snapshots_count}"
    return (
        escape(host.hostname) + (f" ({_both('report.revoked')})" if host.state == "revoked" else ""),
        _moment(host.last_backup_at),
        f'<span class="{mood}">{_moment(host.proven_at)}</span>',
        _moment(host.checked_at),
        _moment(host.verified_at),
        f'<span class="bad">{count}</span>' if host.damages_count else count,
    )


def _drill(drill: ReportDrill) -> Sequence[str]:
    said = msgspec.json.decode(drill.statement, type=DrillStatement)
    bad = max(said.mismatches_count, len(said.mismatches))
    named = ", ".join(f"{_name(entry.path)} ({escape(entry.what)})" for entry in said.mismatches[:NAMED])
    return (
        escape(said.hostname)
        + (f" {_both('report.of_copy', count=said.copy_generation)}" * bool(said.copy_generation)),
        _moment(drill.received_at),
        str(said.files_count),
        _size(said.original_bytes),
        f"{said.restore_seconds:.1f} s",
        f'<span class="bad">{_both("report.differ", count=bad)}</span> {named}'
        if bad
        else f'<span class="good">{_both("report.came_back")}</span>'
        if said.files_count
        else _both("report.nothing"),
        f"<code>{escape(drill.thumbprint[:16])}</code>",
    )


def _pass(names: dict[str, str], done: Pass) -> Sequence[str]:
    return (
        _named(names, done.agent_id),
        _both("report.on_disk" if done.kind == "check" else "report.decrypted"),
        _moment(done.ended_at),
        str(done.objects_count),
        _size(done.read_bytes),
        f'<span class="bad">{done.damages_count}</span>' if done.damages_count else "0",
    )


def _damage(names: dict[str, str], damage: ReportDamage) -> Sequence[str]:
    return (
        _named(names, damage.agent_id),
        _moment(damage.found_at),
        f"<code>{escape(damage.place)}</code> ({escape(damage.what)})",
        ", ".join(map(_name, damage.files or damage.archives)) or NOTHING,
        _moment(damage.cleared_at),
    )


def _alert(names: dict[str, str], alert: ReportAlert) -> Sequence[str]:
    return (
        _named(names, alert.agent_id or ""),
        _both(ALERT_KINDS[alert.kind]) if alert.kind in ALERT_KINDS else escape(alert.kind),
        _moment(alert.opened_at),
        _moment(alert.cleared_at) + (f" ({escape(alert.cleared_by)})" if alert.cleared_by else ""),
    )


def _snapshot(names: dict[str, str], snapshot: ReportSnapshot) -> Sequence[str]:
    bad, standing = snapshot.standing != "good", STANDINGS.get(snapshot.standing, "")
    return (
        _named(names, snapshot.agent_id),
        _moment(snapshot.started_at),
        f"<code>{escape(snapshot.archive)}</code>",
        str(snapshot.files_count),
        _size(snapshot.original_bytes),
        f'<span class="bad">{_both(standing) if standing else escape(snapshot.standing)}</span>'
        if bad
        else _both("report.sound"),
    )


def _section(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    body = "\n".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    head = "".join(f'<th scope="col">{_both(column)}</th>' for column in columns)
    table = f'<div class="scroll"><table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody></table></div>'
    none = f"<p>{_both('report.none')}</p>"
    return f"<h2>{_both(title)}</h2>\n{table if body else none}"


def _both(key: str, **values: object) -> str:
    """Return a sentence in each language; the style shows one of them."""
    return "".join(f'<span lang="{code}">{escape(sentence(code, key, **values))}</span>' for code in LANGUAGES)


def _name(path: str) -> str:
    """Return what a host chose, visible whatever is in it."""
    return escape(shown(path))


def _named(names: dict[str, str], agent_id: str) -> str:
    return escape(names.get(agent_id, agent_id)) or NOTHING


def _moment(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC" if moment else NOTHING


def _size(count: float) -> str:
    """Return bytes in decimal units, which both languages read: B, kB, MB."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if count < THOUSAND:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= THOUSAND
    return f"{count:.1f} PB"
