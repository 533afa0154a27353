"""One job as cells of a grid: what it is, how it stands, and what it will do next."""

from __future__ import annotations

from typing import TYPE_CHECKING

from saveos.identity.principals import Permission
from saveos.jobs.model import ENDED, State
from saveos.snapshots import again
from saveos.ui import host_cells
from saveos.ui.components_work import NAMES, STATES
from saveos.ui.grid import Act, Cell, Row, moment

if TYPE_CHECKING:
    from saveos.identity.principals import Principal
    from saveos.jobs.model import Job, JobProgress
    from saveos.snapshots.fleet import Host
    from saveos.ui.words import Words

MOODS = {State.FAILED: "bad", State.WARNED: "warn", State.DONE: "good", State.CANCELLED: "muted"}
RETRY = "retry"
NOTHING = "\N{EN DASH}"


def row(words: Words, principal: Principal, job: Job, progress: JobProgress | None, host: Host | None) -> Row:
    """Return a job as a row: what, host, state, asked, took, acts. `host`: as it stands now, if it is one's job."""
    return Row(
        id=job.id,
        classes="job",
        cells={
            "what": Cell(text=words.say(NAMES[job.kind]), href=f"/jobs/{job.id}"),
            "host": Cell(text=job.hostname or words.say("jobs.appliance"), href=_host_page(job)),
            "state": state(words, principal, job, progress, host),
            "asked": moment(words, job.requested_at, sub=who(words, job)),
            "took": Cell(text=took(words, job)),
            "acts": Cell(acts=acts(words, principal, job)),
        },
    )


def state(words: Words, principal: Principal, job: Job, progress: JobProgress | None, host: Host | None) -> Cell:
    """Return how a job stands: a bar while it has not ended, then its result and why."""
    if job.state not in ENDED:
        return Cell(
            work=host_cells.work(
                words,
                job,
                progress,
                job.hostname or words.say("jobs.appliance"),
                may_cancel=principal.may(Permission.BACK_UP),
                is_online=host is None or host.is_online,
                is_busy=host is not None and host.job is not None and host.job.id != job.id,
            )
        )
    is_told = bool(job.message) and job.state is not State.DONE
    return Cell(
        text=words.say(STATES[job.state]),
        mood=MOODS[job.state],
        sub=words.problem(job.error_code, job.message, job.error_facts) if is_told else "",
    )


def acts(words: Words, principal: Principal, job: Job) -> tuple[Act, ...]:
    """Return what can be done with a job that has ended."""
    if not again.may_retry(principal, job):
        return ()
    label = words.say("jobs.retry")
    named = words.listing([words.say(NAMES[job.kind]), job.hostname or ""])
    return (Act(id=RETRY, label=label, aria=f"{label}: {named}"),)


def who(words: Words, job: Job) -> str:
    """Say who asked for it."""
    kind, _, name = job.requested_by.partition(":")
    if kind == "user":
        return name
    if kind == "agent":
        return words.say("jobs.by_host")
    return words.say("jobs.by_schedule" if name == "schedule" else "jobs.by_appliance")


def took(words: Words, job: Job) -> str:
    """Say how long it took, or has taken so far."""
    if job.started_at is None or job.ended_at is None:
        return NOTHING
    return words.duration((job.ended_at - job.started_at).total_seconds())


def _host_page(job: Job) -> str:
    return f"/agents/{job.agent_id}" if job.agent_id else ""
