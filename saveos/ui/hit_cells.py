"""What was found, as rows of a grid."""

from __future__ import annotations

from typing import TYPE_CHECKING

from saveos.ui import entry_cells, names
from saveos.ui.grid import Cell, Column, Row, moment

if TYPE_CHECKING:
    from saveos.snapshots.catalogue_model import Hit
    from saveos.ui.words import Words

FOLDER = "folder"


def columns(words: Words) -> list[Column]:
    """Return the columns of what was found."""
    return [
        Column("name", words.say("entry.name"), "name-cell"),
        Column("host", words.say("overview.host"), "hit-host"),
        Column("size", words.say("entry.size"), "num"),
        Column("modified", words.say("entry.modified"), "num"),
        Column("held", words.say("search.held"), "num"),
        Column("acts", words.say("overview.actions"), "actions"),
    ]


def key(hit: Hit) -> str:
    """Return what a row is known by."""
    return f"{hit.newest_snapshot_id}/{hit.path}"


def row(words: Words, hit: Hit, *, may_restore: bool, may_tick: bool) -> Row:
    """Return a hit as a row."""
    name = names.short(names.last(hit.path))
    return Row(
        id=key(hit),
        name=f"{name}, {hit.hostname}" if may_tick else "",
        classes=f"entry is-{hit.kind.value}",
        cells={
            "name": Cell(text=name, sub=f"/{names.short(names.folder_of(hit.path))}", act=FOLDER),
            "host": Cell(text=hit.hostname, href=f"/agents/{hit.agent_id}"),
            "size": Cell(text=words.size(hit.size_bytes) if hit.kind in entry_cells.FILES else ""),
            "modified": Cell(text=words.exact(hit.modified_at) if hit.modified_at else ""),
            "held": Cell(text=words.say("search.in_latest"), mood="good")
            if hit.is_in_latest
            else moment(words, hit.newest_at, sub=words.say("search.last_held")),
            "acts": Cell(acts=entry_cells.acts(words, hit.kind, name, may_restore=may_restore)),
        },
    )
