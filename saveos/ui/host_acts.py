"""What the buttons of a host's row do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from saveos.jobs import lifecycle
from saveos.snapshots import backup
from saveos.ui import host_cells

if TYPE_CHECKING:
    from saveos.database.connection import Database
    from saveos.identity.principals import Principal
    from saveos.ui.frame import Visit


async def act(visit: Visit, agent_id: str, pressed: str) -> None:
    """Back the host up, or stop what it does. Raises SaveOSError."""
    if pressed == host_cells.BACK_UP:
        await visit.change(backup.request, agent_id)
    elif pressed == host_cells.CANCEL:

        def cancel(database: Database, principal: Principal) -> None:
            for host in visit.board.hosts(database, principal):
                if host.agent.id == agent_id and host.job is not None:
                    lifecycle.cancel(database, principal, host.job.id, visit.parts.endings)

        await visit.change(cancel)
