"""What would rolling a repository back to a checkpoint change? Said before anybody does it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from saveos import clock
from saveos.agents import table as agents
from saveos.errors import NotFound
from saveos.identity.principals import Permission, Principal
from saveos.repositories import table_checkpoints
from saveos.repositories.model import Checkpoint, CheckpointState
from saveos.snapshots import table_roll_back
from saveos.snapshots.model import Snapshot

if TYPE_CHECKING:
    from collections.abc import Sequence

    from saveos.database.connection import Database

LISTED = 100


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """Snapshots that go, or that come back: how many, and the newest hundred of them, newest first."""

    count: int
    snapshots: tuple[Snapshot, ...]


class RollBack(msgspec.Struct, frozen=True, kw_only=True):
    """What a roll-back to a checkpoint would change. What goes is kept: it becomes a checkpoint itself."""

    checkpoint: Checkpoint
    goes: Change
    comes_back: Change


def foresee(database: Database, principal: Principal, agent_id: str, checkpoint_id: str) -> RollBack:
    """Return what a roll-back would change. Raises NotFound."""
    principal.require(Permission.READ)
    connection = database.read
    agent = agents.get(connection, agent_id, principal.tenant_id)
    checkpoint = table_checkpoints.get(connection, checkpoint_id) if agent else None
    if agent is None or checkpoint is None or checkpoint.agent_id != agent.id:
        raise NotFound("There is no such checkpoint.")
    if checkpoint.state is not CheckpointState.MADE:
        raise NotFound("There is no such checkpoint.")
    moment = clock.to_text(checkpoint.made_at)
    away = table_roll_back.away_at(connection, agent.id, moment)
    back = table_roll_back.to_come_back(connection, agent.id, moment)
    return RollBack(
        checkpoint=checkpoint,
        goes=_change(table_roll_back.to_go(connection, agent.id, moment, away)),
        comes_back=_change([snapshot for snapshot in back if snapshot.archive_id not in away]),
    )


def _change(snapshots: Sequence[Snapshot]) -> Change:
    return Change(count=len(snapshots), snapshots=tuple(snapshots[:LISTED]))
