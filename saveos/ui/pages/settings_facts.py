"""The parts of /settings that only tell: the certificate, the limits and where they come from, licences."""

from __future__ import annotations

from typing import TYPE_CHECKING

from saveos import about, config
from saveos.config import Origin
from saveos.ui import components
from saveos.ui.grid import Cell, Column, Grid, Row

if TYPE_CHECKING:
    from saveos.standing import Names
    from saveos.ui.frame import Visit
    from saveos.ui.words import Words

ORIGINS = {
    Origin.FLAG: "settings.by_flag",
    Origin.ENVIRONMENT: "settings.by_environment",
    Origin.FILE: "settings.by_file",
    Origin.DEFAULT: "settings.by_default",
}
BYTES, HOURS, DAYS, SECONDS = "bytes", "hours", "days", "seconds"
LIMITS = {
    "address": ("settings.limit_address", ""),
    "port": ("settings.limit_port", ""),
    "writers": ("settings.limit_writers", ""),
    "reserve_bytes": ("settings.limit_reserve", BYTES),
    "session_hours": ("settings.limit_session", HOURS),
    "provisioning_hours": ("settings.limit_provisioning", HOURS),
    "heartbeat_seconds": ("settings.limit_heartbeat", SECONDS),
    "lease_seconds": ("settings.limit_lease", SECONDS),
    "agent_certificate_days": ("settings.limit_agent_certificate", DAYS),
    "server_certificate_days": ("settings.limit_server_certificate", DAYS),
    "log_level": ("settings.limit_log", ""),
}
SPANS = {HOURS: 3600, DAYS: 86400, SECONDS: 1}


def fixed(visit: Visit, name: str) -> str:
    """Say that a setting is fixed, and by what."""
    if visit.parts.standing.origins.of_setting(name) is Origin.FLAG:
        return visit.say("settings.fixed_by_flag")
    return visit.say("settings.fixed_by_environment", variable=config.variable_of(name))


def draw_certificate(visit: Visit, names: Names) -> None:
    """Draw whom the certificate names, for how long, and what to compare."""
    say, words = visit.say, visit.words
    certificate = names.certificate
    with components.element("dl", "pairs wide-facts"):
        components.text("dt", say("settings.certificate_names"))
        components.text("dd", ", ".join(certificate.names), "mono")
        components.text("dt", say("settings.valid"))
        span = say("settings.span", since=words.exact(certificate.issued_at), until=words.exact(certificate.expires_at))
        components.text("dd", span, "num")
        components.text("dt", say("settings.root"))
        with components.element("dd"), components.element("div", "command"):
            shown = components.text("code", names.root_fingerprint, tabindex="0")
            components.copy_button(say("action.copy"), shown, lambda: visit.notify(say("action.copied")))
    components.text("p", say("settings.root_more"), "muted")
    components.link(say("settings.root_download"), "/download/root.pem", "button", download="saveos-root.pem")


def draw_limits(visit: Visit) -> None:
    """Draw the settings that hold from one start to the next, and who set them."""
    say = visit.say
    with components.element("section"):
        components.text("h2", say("settings.limits"))
        file = str(visit.parts.standing.origins.file)
        components.text("p", say("settings.limits_lead", file=file), "muted whole")
        columns = [
            Column("what", say("settings.what")),
            Column("value", say("settings.value"), "num"),
            Column("origin", say("settings.origin"), "message-cell"),
        ]
        Grid(say("settings.limits"), columns).show([_limit(visit, name) for name in LIMITS])


def draw_about(visit: Visit) -> None:
    """Draw versions and licences."""
    say, made = visit.say, about.made_of()
    with components.element("section"):
        components.text("h2", say("settings.about"))
        with components.element("dl", "pairs wide-facts"):
            for name, value in (
                ("SaveOS", made.version),
                ("BorgBackup", made.borg),
                ("Python", made.python),
                ("OpenSSL", made.openssl),
                ("SQLite", made.sqlite),
            ):
                components.text("dt", name)
                components.text("dd", value, "num")
            components.text("dt", say("settings.licence"))
            with components.element("dd"):
                components.link(made.licence, "/assets/AGPL-3.0.txt")
        with components.element("details"):
            components.text("summary", visit.words.count("settings.packages", len(made.packages)))
            columns = [
                Column("name", say("settings.package")),
                Column("version", say("settings.version"), "num"),
                Column("licence", say("settings.licence")),
            ]
            rows = [
                Row(
                    id=package.name,
                    cells={
                        "name": Cell(text=package.name),
                        "version": Cell(text=package.version),
                        "licence": Cell(text=package.licence or say("settings.licence_unsaid")),
                    },
                )
                for package in made.packages
            ]
            Grid(say("settings.about"), columns).show(rows)


def _limit(visit: Visit, name: str) -> Row:
    key, unit = LIMITS[name]
    value = visit.parts.standing.port if name == "port" else getattr(visit.parts.settings, name)
    words = visit.words
    shown = str(value)
    if unit == BYTES:
        shown = words.size(value)
    elif unit:
        shown = _span(words, value * SPANS[unit])
    origin = words.say(ORIGINS[visit.parts.standing.origins.of_setting(name)])
    return Row(
        id=name,
        cells={"what": Cell(text=words.say(key), sub=name), "value": Cell(text=shown), "origin": Cell(text=origin)},
    )


def _span(words: Words, seconds: float) -> str:
    """Return a span in its largest whole unit: 90 days, 12 hours, 25 s."""
    for size, key in ((86400, "time.span_day"), (3600, "time.span_hour"), (60, "time.span_minute")):
        if seconds and seconds % size == 0:
            return words.count(key, int(seconds // size))
    return words.duration(seconds)
