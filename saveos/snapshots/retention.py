"""Which snapshots of a host are to be removed? Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from saveos.policies import retention as rules

if TYPE_CHECKING:
    from collections.abc import Sequence
    from collections.abc import Set as AbstractSet
    from datetime import datetime, tzinfo

    from saveos.policies.model import Retention
    from saveos.protocol import SnapshotId
    from saveos.snapshots.model import Snapshot


def to_remove(
    snapshots: Sequence[Snapshot], held: AbstractSet[SnapshotId], retention: Retention, zone: tzinfo, now: datetime
) -> list[Snapshot]:
    """Return the snapshots that no rule and no hold keeps, newest first; the newest one is never among them."""
    del now
    good = sorted(snapshots, key=lambda snapshot: (snapshot.started_at, snapshot.id), reverse=True)
    kept = rules.snapshots_to_keep([snapshot.started_at for snapshot in good], retention, zone)
    return [
        snapshot
        for position, snapshot in enumerate(good)
        if position > 0 and position not in kept and snapshot.id not in held
    ]
