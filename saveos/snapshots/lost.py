"""Snapshots whose archive is gone from the repository: nothing comes out of them before it is rolled back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from saveos.errors import Conflict
from saveos.snapshots.model import Standing

if TYPE_CHECKING:
    from saveos.snapshots.model import Snapshot


def require_present(snapshot: Snapshot) -> None:
    """Raise Conflict for a snapshot that is lost."""
    if snapshot.standing is Standing.LOST:
        raise Conflict("This snapshot's archive is gone from the repository: roll the repository back first.")
