"""Decides whether a session of the tunnel may open a repository, and which one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from saveos.agents import credentials
from saveos.agents.enrolment import note_refusal
from saveos.errors import NotFound, SaveOSError
from saveos.repositories import table
from saveos.repositories.model import RepositoryState
from saveos.repositories.sessions import Grant
from saveos.repositories.table import repository_path

if TYPE_CHECKING:
    from saveos.config import Settings
    from saveos.database.connection import Database
    from saveos.protocol import TunnelMode


class Access:
    """Decides for the registry of sessions."""

    def __init__(self, settings: Settings, database: Database) -> None:
        """Keep where repositories lie and who has one."""
        self._settings = settings
        self._database = database

    async def authorise(self, serial: str, thumbprint: str, token: str, mode: TunnelMode, job_id: str | None) -> Grant:
        """Return which repository the holder of certificate and token gets.

        It may be created and its key saved only until the sealed key is here. Raises NotAuthenticated, NotFound;
        refusals go to the audit log.
        """
        del mode, job_id
        peer = credentials.Peer(serial=serial, thumbprint=thumbprint)
        try:
            agent = credentials.authenticate(self._database, peer, token)
        except SaveOSError as error:
            note_refusal(self._database, "tunnel-refused", error.code, "", serial)
            raise
        repository = table.of_agent(self._database.read, agent.agent_id)
        if repository is None:
            message = "This agent has no repository."
            raise NotFound(message)
        return Grant(
            agent_id=agent.agent_id,
            path=repository_path(self._settings, agent.tenant_id, agent.agent_id),
            may_create=repository.state is RepositoryState.NEW,
        )
