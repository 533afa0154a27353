"""An alert in words: what it is, its evidence, and what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from saveos import clock
from saveos.alerts.model import AlertKind
from saveos.protocol import MachineClass
from saveos.snapshots.anomaly import Sign
from saveos.ui import damage_words, upkeep_words

if TYPE_CHECKING:
    from collections.abc import Mapping

    from saveos.alerts.model import Alert
    from saveos.ui.words import Words

HOUR_SECONDS = 3600
TITLES = {
    AlertKind.HOSTILE: "alert.hostile",
    AlertKind.UNUSUAL: "alert.unusual",
    AlertKind.DAMAGE: "alert.damage",
    AlertKind.UNPROVEN: "alert.unproven",
    AlertKind.OFFSITE: "alert.offsite",
    AlertKind.OVERDUE: "alert.overdue",
    AlertKind.QUOTA: "alert.quota",
    AlertKind.DISK_FULL: "alert.disk_full",
    AlertKind.SELF_BACKUP: "alert.self_backup",
    AlertKind.RECOVERED: "alert.recovered",
}
ADVICE = {
    AlertKind.HOSTILE: "alert.hostile_do",
    AlertKind.UNUSUAL: "alert.unusual_do",
    AlertKind.DAMAGE: "alert.damage_do",
    AlertKind.UNPROVEN: "alert.unproven_do",
    AlertKind.OFFSITE: "alert.offsite_do",
    AlertKind.OVERDUE: "alert.overdue_do",
    AlertKind.QUOTA: "alert.quota_do",
    AlertKind.DISK_FULL: "alert.disk_full_do",
    AlertKind.SELF_BACKUP: "alert.self_backup_do",
    AlertKind.RECOVERED: "alert.recovered_do",
}
LIMITS = {  # by whether it is the hard one
    ("alert.quota", True): "alert.quota_hard",
    ("alert.quota", False): "alert.quota_soft",
    ("alert.quota_do", True): "alert.quota_do",
    ("alert.quota_do", False): "alert.quota_soft_do",
}
MACHINES = {
    MachineClass.SERVER: "alert.server",
    MachineClass.WORKSTATION: "alert.workstation",
    MachineClass.LAPTOP: "alert.laptop",
}
COUNTED = {
    Sign.CANARY: "alert.canary",
    Sign.BROKEN: "alert.sign_broken",
    Sign.RENAMED: "alert.sign_renamed",
}
SHARED = {
    Sign.NOISE: "alert.sign_noise",
    Sign.CHANGED: "alert.sign_changed",
    Sign.NEW_DATA: "alert.sign_new_data",
    Sign.VANISHED: "alert.sign_vanished",
}
FACTS = {"limit_bytes": "alert.fact_limit", "used_bytes": "alert.fact_used", "free_bytes": "alert.fact_free"}
SMALL_SHARE = 0.1  # below it a percentage has decimals


def title(words: Words, alert: Alert) -> str:
    """Say what it is."""
    return words.say(_of_limit(alert, TITLES[alert.kind]))


def whose(words: Words, alert: Alert) -> str:
    """Say which host it is about, or that it is about the appliance."""
    return alert.hostname or words.say("alert.appliance")


def advice(words: Words, alert: Alert) -> str:
    """Say what to do."""
    return words.say(_of_limit(alert, ADVICE[alert.kind]))


def _of_limit(alert: Alert, key: str) -> str:
    """Return the sentence on the very limit that is reached, where one is."""
    is_hard = alert.evidence.get("is_hard")
    if alert.kind is not AlertKind.QUOTA or not isinstance(is_hard, bool):
        return key
    return LIMITS[key, is_hard]


def evidence(words: Words, alert: Alert) -> list[str]:
    """Say what was found, sentence by sentence. Evidence of other versions may hold anything, and lack anything."""
    known = {
        AlertKind.UNUSUAL: _unusual,
        AlertKind.OFFSITE: _offsite,
        AlertKind.OVERDUE: _overdue,
        AlertKind.HOSTILE: _hostile,
        AlertKind.DAMAGE: damage_words.damage,
        AlertKind.UNPROVEN: _unproven,
        AlertKind.SELF_BACKUP: _self_backup,
        AlertKind.RECOVERED: _recovered,
    }
    teller = known.get(alert.kind, _plain)
    lines = [line for line in teller(words, alert.evidence) if line]
    return lines or _plain(words, alert.evidence)


def _unusual(words: Words, told: Mapping[str, Any]) -> list[str]:
    lines = [_finding(words, finding) for finding in told.get("findings", [])]
    entropy = float(told.get("entropy", 0))
    snapshots = int(told.get("snapshots", 0))
    return [
        *lines,
        words.say("alert.entropy", bits=words.number(entropy, 1)) if entropy else "",
        words.say("alert.held" if told.get("held") else "alert.nothing_held"),
        words.count("alert.suspect", snapshots) if snapshots else "",
    ]


def _finding(words: Words, finding: Mapping[str, Any]) -> str:
    sign = finding.get("sign", "")
    if sign in COUNTED:
        return words.count(COUNTED[sign], int(finding.get("count", 0)))
    if sign in SHARED:
        usual = share(words, float(finding.get("usual") or 0))
        return words.say(SHARED[sign], share=share(words, float(finding.get("value", 0))), usual=usual)
    return ""


def share(words: Words, fraction: float) -> str:
    """Return 0 to 1 as 31 %, and a little of it as 0.4 %."""
    if 0 < fraction < SMALL_SHARE:
        return words.percent(0.0).replace("0", words.number(fraction * 100, 1))
    return words.percent(fraction)


def _overdue(words: Words, told: Mapping[str, Any]) -> list[str]:
    said = str(told.get("machine_class", ""))
    machine = MachineClass(said) if said in MachineClass.__members__.values() else MachineClass.SERVER
    span = words.duration(float(told.get("limit_hours", 0)) * HOUR_SECONDS)
    due, last, seen = (_moment(words, told, name) for name in ("due_at", "last_backup_at", "seen_at"))
    return [
        words.say("alert.due", machine=words.say(MACHINES[machine]), span=span, when=due) if due else "",
        words.say("alert.last_backup", when=last) if last else words.say("alert.never"),
        words.say("alert.seen", when=seen) if seen else words.say("alert.unheard"),
    ]


def _offsite(words: Words, told: Mapping[str, Any]) -> list[str]:
    damaged, code = int(told.get("damaged", 0)), str(told.get("error_code", ""))
    behind, newest = (_moment(words, told, name) for name in ("behind_since", "snapshot_at"))
    return [
        words.count("offsite.damaged", damaged) if damaged else "",
        words.problem(code, str(told.get("error_message", ""))) if code else "",
        words.say("offsite.behind_since", when=behind) if behind else "",
        words.say("offsite.copied_until", when=newest) if newest else words.say("offsite.nothing_copied"),
    ]


def _hostile(words: Words, told: Mapping[str, Any]) -> list[str]:
    return upkeep_words.findings(words, told.get("findings", {}))


def _unproven(words: Words, told: Mapping[str, Any]) -> list[str]:
    if told.get("reason") == "not-genuine":
        return [words.problem("drill-not-genuine", "")]
    bad, compared = int(told.get("mismatches", 0)), int(told.get("compared", 0))
    differ = words.count("proof.differ", bad, all=words.number(compared)) + "." if bad else ""
    generation = int(told.get("copy", 0) or 0)
    of_copy = words.say("alert.of_copy", number=words.number(generation)) if generation else ""
    return [differ, of_copy, *damage_words.concerned(words, told)]


def _self_backup(words: Words, told: Mapping[str, Any]) -> list[str]:
    newest, reason = _moment(words, told, "made_at"), str(told.get("reason", ""))
    return [
        words.say("alert.self_newest", when=newest) if newest else words.say("self.none"),
        words.say("self.failed", why=words.problem(str(told.get("code", "")), reason)) if reason else "",
    ]


def _recovered(words: Words, told: Mapping[str, Any]) -> list[str]:
    return [words.say("alert.recovered_from", when=_moment(words, told, "made_at"))]


def _plain(words: Words, told: Mapping[str, Any]) -> list[str]:
    """Name values as they are called: sizes, moments and texts; what has parts is left to the interface of programs."""
    lines = []
    for name, value in told.items():
        if isinstance(value, bool) or not isinstance(value, (int, float, str)) or value == "" or name == "scope":
            continue
        if name in FACTS:
            lines.append(words.say(FACTS[name], size=words.size(float(value))))
            continue
        if name.endswith("_bytes"):
            value = words.size(float(value))  # noqa: PLW2901 - the same value, said in words
        elif name.endswith("_at"):
            value = _moment(words, told, name) or value  # noqa: PLW2901
        lines.append(words.say("alert.fact", name=name.removesuffix("_bytes").replace("_", " "), value=value))
    return lines


def _moment(words: Words, told: Mapping[str, Any], name: str) -> str:
    try:
        return words.exact(clock.from_text(str(told.get(name, ""))))
    except ValueError:
        return ""
