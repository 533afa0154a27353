"""One host as cells of a grid: is it there, is it safe, what does it do."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from saveos import clock
from saveos.agents.model import KeyMode, Proof
from saveos.alerts.model import AlertKind
from saveos.clock import to_text
from saveos.jobs.model import State
from saveos.protocol import Platform
from saveos.snapshots.fleet import NEEDY, Host, Need
from saveos.ui import alert_words, components_work
from saveos.ui.grid import Act, Cell, Row, Work, moment

if TYPE_CHECKING:
    from saveos.jobs.model import Job, JobProgress
    from saveos.ui.words import Words

PLATFORMS = {Platform.LINUX: "Linux", Platform.WINDOWS: "Windows", Platform.MACOS: "macOS"}
NEEDS = {
    Need.NOTHING: "need.nothing",
    Need.FROZEN: "protection.need",
    Need.STARTING: "need.starting",
    Need.ALERT: "need.alert",
    Need.FAILED: "need.failed",
    Need.LATE: "need.late",
    Need.NEVER: "need.never",
    Need.UNCOPIED: "need.uncopied",
    Need.UNPROVEN: "need.unproven",
    Need.REVOKED: "need.revoked",
}
MOODS = {
    Need.NOTHING: "good",
    Need.FROZEN: "bad",
    Need.STARTING: "calm",
    Need.ALERT: "bad",
    Need.FAILED: "bad",
    Need.LATE: "warn",
    Need.NEVER: "warn",
    Need.UNCOPIED: "warn",
    Need.UNPROVEN: "bad",
    Need.REVOKED: "muted",
}
PROOF_MOODS = {Proof.PROVEN: "", Proof.YOUNG: "", Proof.AGING: "warn", Proof.STALE: "bad"}
PROOFS = {Proof.PROVEN: "", Proof.YOUNG: "", Proof.AGING: "proof.aging", Proof.STALE: "proof.stale"}
NOTHING = "\N{EN DASH}"
BACK_UP, CANCEL = "back-up", "cancel"


def row(words: Words, host: Host, *, may_back_up: bool, has_update: bool = False) -> Row:
    """Return a host as a row: host, state, when, proven, size, acts."""
    name, newest = host.agent.hostname, host.newest
    count = host.agent.snapshots_count
    can_start = may_back_up and host.job is None and host.need is not Need.REVOKED
    label = words.say("action.back_up_now")
    return Row(
        id=host.agent.id,
        name=name if host.need is not Need.REVOKED else "",
        classes="host revoked" if host.need is Need.REVOKED else "host",
        cells={
            "host": Cell(
                text=name,
                sub=facts(words, host, has_update=has_update),
                dot="online" if host.is_online else "offline",
                href=f"/agents/{host.agent.id}",
            ),
            "state": state(words, host, may_cancel=may_back_up),
            "when": moment(
                words,
                newest.started_at if newest else None,
                words.say("overview.never"),
                sub=words.count("overview.snapshots", count) if count else "",
            ),
            "proven": proven(words, host),
            "size": Cell(
                text=words.size(newest.original_bytes) if newest else NOTHING,
                sub=words.say("snapshot.added", size=words.size(newest.added_bytes)) if newest else "",
            ),
            "acts": Cell(acts=(Act(id=BACK_UP, label=label, aria=f"{label}: {name}"),) if can_start else ()),
        },
    )


def proven(words: Words, host: Host) -> Cell:
    """Return when a restore last proved itself: amber when that is long ago, red when it is too long."""
    if host.need is Need.REVOKED or host.newest is None:
        return Cell(text=NOTHING)
    proof, at = host.agent.proof_at(clock.now()), host.agent.proven_at
    if at is None:
        return Cell(text=words.say("proof.not_yet"), mood=PROOF_MOODS[proof])
    sub = words.say(PROOFS[proof]) if PROOFS[proof] else ""
    return Cell(text=words.ago(at), at=to_text(at), title=words.exact(at), mood=PROOF_MOODS[proof], sub=sub)


def last_words(words: Words, host: Host) -> list[str]:
    """Say when a host was last backed up, and when it last proved a restore."""
    if host.newest is None:
        return []
    at = host.agent.proven_at
    proof = words.say("proof.last_at", when=words.ago(at)) if at else words.say("proof.never")
    return [words.say("proof.backup_at", when=words.ago(host.newest.started_at)), proof]


def state(words: Words, host: Host, *, may_cancel: bool) -> Cell:
    """Return the verdict on a host; a job hides it, unless there is something to worry about."""
    is_shown = host.job is None or host.need in NEEDY
    return Cell(
        text=words.say(NEEDS[host.need]) if is_shown else "",
        mood=MOODS[host.need] if is_shown else "",
        sub=why(words, host) if is_shown else "",
        work=work(words, host.job, host.progress, host.agent.hostname, is_online=host.is_online, may_cancel=may_cancel)
        if host.job
        else None,
    )


def why(words: Words, host: Host) -> str:
    """Say more of why a host needs a person."""
    if host.need in (Need.FROZEN, Need.ALERT, Need.UNCOPIED):
        is_frozen = host.need is Need.FROZEN  # which says what its own alert would
        told = [kind for kind in AlertKind if kind in host.alerts and not (is_frozen and kind is AlertKind.HOSTILE)]
        decide = words.say("protection.need_more") if is_frozen else ""
        return words.listing([decide, *(words.say(alert_words.TITLES[kind]) for kind in told)])
    failure = host.failure if host.need is Need.FAILED else None
    return words.problem(failure.error_code, failure.message, failure.error_facts) if failure else ""


def work(
    words: Words,
    job: Job,
    progress: JobProgress | None,
    whose: str,
    *,
    may_cancel: bool,
    is_online: bool = True,
    is_busy: bool = False,
) -> Work:
    """Return a job that waits or runs as a bar with its words and a way to stop it."""
    is_moving = job.state is State.RUNNING
    fraction = progress.fraction if progress and is_moving else None
    can_stop = may_cancel and job.is_stoppable
    cancel = Act(id=CANCEL, label=words.say("action.cancel"), aria=words.say("job.cancel_of", host=whose))
    return Work(
        what=components_work.what(words, job, progress, is_online=is_online, is_busy=is_busy),
        far=components_work.how_far(words, job, progress) if is_moving else "",
        percent=int(fraction * 100) if fraction is not None else None,
        label=words.say("job.progress_of", host=whose),
        is_waiting=not is_moving,
        acts=(cancel,) if can_stop else (),
    )


def short(system: str) -> str:
    """Return a system's name as people say it: "Debian 12" for "Debian GNU/Linux 12 (bookworm)"."""
    return re.sub(r" \(.*\)$", "", system).replace(" GNU/Linux", "")


def facts(words: Words, host: Host, *, has_update: bool = False) -> str:
    """Say whether the host is there, and what it is."""
    agent = host.agent
    if host.need is Need.REVOKED:
        presence = words.say("agent.revoked")
    elif host.is_online:
        presence = words.say("agent.online")
    elif agent.seen_at is None:
        presence = words.say("agent.unheard")
    else:
        presence = words.say("agent.offline", when=words.ago(agent.seen_at))
    newer = words.say("update.available") if has_update else ""
    key = words.say("key.managed_short" if agent.key_mode is KeyMode.MANAGED else "key.sealed_short")
    return words.listing([presence, short(agent.system) or PLATFORMS[agent.platform], agent.agent_version, newer, key])
