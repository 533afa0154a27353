"""Which of a host's snapshots go now, and what keeps each of the others? Pure: the one place that decides it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from saveos.policies.retention import Rule, snapshots_to_keep
from saveos.snapshots.model import Snapshot, Standing

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from datetime import datetime, tzinfo

    from saveos.policies.model import Retention
    from saveos.protocol import SnapshotId


class Decided(msgspec.Struct, frozen=True, kw_only=True):
    """A snapshot and what keeps it. `rule`: of the retention, if one does; `is_last`: the newest good one."""

    snapshot: Snapshot
    rule: Rule | None = None
    is_held: bool = False
    is_last: bool = False

    @property
    def is_going(self) -> bool:
        """Whether nothing keeps it. What is not good is not the retention's to remove."""
        is_good = self.snapshot.standing is Standing.GOOD
        return is_good and self.rule is None and not self.is_held and not self.is_last


def to_remove(
    snapshots: Iterable[Snapshot], holds: Collection[SnapshotId], retention: Retention, zone: tzinfo, now: datetime
) -> list[Snapshot]:
    """Return the snapshots of one host that its retention removes, newest first. See `decide`."""
    return [decided.snapshot for decided in decide(snapshots, holds, retention, zone, now) if decided.is_going]


def decide(
    snapshots: Iterable[Snapshot], holds: Collection[SnapshotId], retention: Retention, zone: tzinfo, now: datetime
) -> list[Decided]:
    """Return all snapshots of one host, newest first by when they began, each with what keeps it.

    Only good ones count for a rule: what is damaged, suspect or lost neither stands for a period nor is removed.
    What is held counts as if it were not, and stays. The newest good one stays, whatever the rules say.
    `holds`: the snapshots held, from `holds.held_ids` in the same transaction; `zone`: whose days and weeks they are.
    """
    ordered = sorted(snapshots, key=lambda snapshot: (snapshot.started_at, snapshot.id), reverse=True)
    good = [snapshot for snapshot in ordered if snapshot.standing is Standing.GOOD]
    kept = snapshots_to_keep([snapshot.started_at for snapshot in good], retention, zone, now=now)
    rules = {good[position].id: rule for position, rule in kept.items()}
    last = good[0].id if good else None
    return [
        Decided(
            snapshot=snapshot,
            rule=rules.get(snapshot.id),
            is_held=snapshot.id in holds,
            is_last=snapshot.id == last,
        )
        for snapshot in ordered
    ]
