"""Decides whether a session of the tunnel may open a repository, and which one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING

from saveos.agents import credentials
from saveos.agents import table as agents
from saveos.agents.enrolment import note_refusal
from saveos.errors import NotAllowed, NotFound, RepositoryLocked, SaveOSError
from saveos.jobs import table as jobs
from saveos.jobs.model import State
from saveos.protocol import AgentId, JobId, Kind, TunnelMode
from saveos.repositories import table
from saveos.repositories.model import RepositoryState
from saveos.repositories.sessions import Grant
from saveos.repositories.table import repository_path

if TYPE_CHECKING:
    import sqlite3

    from saveos.agents.model import AgentIdentity
    from saveos.config import Settings
    from saveos.database.connection import Database
    from saveos.jobs.model import Job

Copies = Callable[[AgentId, int], Awaitable[Path]]
UPKEEP_SECONDS = 30
WRITING = (Kind.BACKUP, Kind.PRUNE)


class Access:
    """Decides for the registry of sessions."""

    def __init__(self, settings: Settings, database: Database, copies: Copies | None = None) -> None:
        """Keep where repositories lie and who has one. `copies`: opens a generation of an offsite copy to be read."""
        self._settings = settings
        self._copies = copies
        self._database = database

    async def authorise(self, serial: str, thumbprint: str, token: str, mode: TunnelMode, job_id: str | None) -> Grant:
        """Return which repository the holder of certificate and token gets.

        It may be created and its key saved only until the sealed key is here. Raises NotAuthenticated, NotFound;
        refusals go to the audit log.
        """
        peer = credentials.Peer(serial=serial, thumbprint=thumbprint)
        try:
            agent = credentials.authenticate(self._database, peer, token)
        except SaveOSError as error:
            note_refusal(self._database, "tunnel-refused", error.code, "", serial)
            raise
        owner = _lent(self._database.read, agent, mode, job_id) or agent.agent_id
        repository = table.of_agent(self._database.read, owner)
        if repository is None:
            message = "This agent has no repository."
            raise NotFound(message)
        if repository.away_at is not None:
            message = "This repository is only in the offsite copy: it is fetched before it is used."
            raise RepositoryLocked(message, retry_seconds=UPKEEP_SECONDS)
        path = repository_path(self._settings, agent.tenant_id, owner)
        if mode is not TunnelMode.WRITE:
            number = _copy_generation(self._database.read, agent, job_id)
            if number and self._copies is not None:
                path = await self._copies(agent.agent_id, number)
            return Grant(agent_id=owner, path=path)
        if repository.upkeep_job:
            message = "The appliance works on this repository itself for a while."
            raise RepositoryLocked(message, retry_seconds=UPKEEP_SECONDS)
        ordered = _ordered(self._database.read, agent, job_id)
        if ordered is None and repository.state is not RepositoryState.NEW:
            message = "Nothing is to be written now: no running job of this host asks for it."
            raise NotAllowed(message)
        return Grant(
            agent_id=owner,
            path=path,
            may_create=repository.state is RepositoryState.NEW and owner == agent.agent_id,
            evidence=self._settings.evidence / owner,
            job_id=ordered.id if ordered else "",
            is_pruning=ordered is not None and ordered.kind is Kind.PRUNE,
            settled_segment=repository.settled_segment,
            archive_ids=table.archive_ids(self._database.read, owner),
        )


def lender_of(job: Job | None, borrower: AgentId) -> AgentId | None:
    """Return whose repository a host's job reads when that is another host's."""
    if job is None or job.agent_id != borrower or job.kind is not Kind.RESTORE:
        return None
    lender = job.order["restore"].get("lender")
    return AgentId(lender["agent_id"]) if lender else None


def _copy_generation(connection: sqlite3.Connection, agent: AgentIdentity, job_id: str | None) -> int:
    """Return the generation of its copy that a host's running drill is to read; 0: none."""
    job = jobs.get(connection, JobId(job_id), agent.tenant_id) if job_id else None
    if job is None or job.agent_id != agent.agent_id or job.kind is not Kind.OFFSITE_DRILL:
        return 0
    if job.state is not State.RUNNING:
        message = "The copy is lent for reading while the drill runs."
        raise NotAllowed(message)
    return int(job.order["drill"]["copy_generation"])


def _ordered(connection: sqlite3.Connection, agent: AgentIdentity, job_id: str | None) -> Job | None:
    """Return the job that a session is for, if this host has such a one running."""
    job = jobs.get(connection, JobId(job_id), agent.tenant_id) if job_id else None
    is_own = job is not None and job.agent_id == agent.agent_id and job.kind in WRITING
    return job if job is not None and is_own and job.state is State.RUNNING else None


def _lent(connection: sqlite3.Connection, agent: AgentIdentity, mode: TunnelMode, job_id: str | None) -> AgentId | None:
    """Return whose repository a restore from another host reads. Raises NotAllowed once it does not run any more."""
    job = jobs.get(connection, JobId(job_id), agent.tenant_id) if job_id else None
    owner = lender_of(job, agent.agent_id)
    if job is None or owner is None:
        return None
    lender = agents.get(connection, owner, agent.tenant_id)
    if mode is not TunnelMode.READ or job.state is not State.RUNNING or lender is None:
        message = "Another host's repository is lent for reading, while the restore runs."
        raise NotAllowed(message)
    return owner
