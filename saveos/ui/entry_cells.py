"""One entry of a snapshot as cells of a grid: a file, a folder, or what else lay on the host's disk."""

from __future__ import annotations

from typing import TYPE_CHECKING

from saveos.snapshots.catalogue_model import Change, ItemKind
from saveos.ui import names
from saveos.ui.grid import Act, Cell, Column, Row

if TYPE_CHECKING:
    from saveos.snapshots.catalogue_model import Entry
    from saveos.ui.words import Words

KINDS = {
    ItemKind.LINK: "entry.link",
    ItemKind.HARD_LINK: "entry.hard_link",
    ItemKind.FIFO: "entry.pipe",
    ItemKind.DEVICE: "entry.device",
}
CHANGES = {
    Change.NEW: ("entry.new", "good"),
    Change.CHANGED: ("entry.changed", "warn"),
    Change.GONE: ("entry.gone", "bad"),
}
FILES = (ItemKind.FILE, ItemKind.HARD_LINK)  # both have content
OPEN, DOWNLOAD, VERSIONS = "open", "download", "versions"


def columns(words: Words) -> list[Column]:
    """Return the columns of a folder."""
    return [
        Column("name", words.say("entry.name"), "name-cell"),
        Column("size", words.say("entry.size"), "num"),
        Column("modified", words.say("entry.modified"), "num"),
        Column("change", words.say("entry.change")),
        Column("acts", words.say("overview.actions"), "actions"),
    ]


def row_id(path: str, said: Change) -> str:
    """Return what a row is known by: the path, and for what is gone another one, as a folder may stand in its place."""
    return f"/{path}" if said is Change.GONE else path


def row(words: Words, entry: Entry, *, may_restore: bool, within: str = "") -> Row:
    """Return an entry as a row. `within`: the ticked folder that it lies in; then, or gone, it has no box."""
    name, is_gone = names.short(entry.name), entry.change is Change.GONE
    can_tick = may_restore and not within and not is_gone
    kind = words.say(KINDS[entry.kind]) if entry.kind in KINDS else ""
    chosen = words.say("files.within", folder=names.short(names.last(within))) if within else ""
    return Row(
        id=row_id(entry.path, entry.change),
        name=name if can_tick else "",
        classes=f"entry is-{entry.kind.value}{' gone' if is_gone else ''}",
        cells={
            "name": Cell(
                text=name,
                act=OPEN if entry.kind is ItemKind.FOLDER and not is_gone else "",
                sub=words.listing([kind, chosen]),
            ),
            "size": size(words, entry),
            "modified": Cell(text=words.exact(entry.modified_at) if entry.modified_at else ""),
            "change": change(words, entry.change),
            "acts": Cell(acts=acts(words, entry.kind, name, may_restore=may_restore) if not is_gone else ()),
        },
    )


def size(words: Words, entry: Entry) -> Cell:
    """Say how large a file is, or all that a folder holds."""
    if entry.kind is ItemKind.FOLDER:
        count = words.count("entry.files", entry.files_count) if entry.files_count is not None else ""
        return Cell(text=words.size(entry.size_bytes), sub=count)
    return Cell(text=words.size(entry.size_bytes) if entry.kind in FILES else "")


def change(words: Words, said: Change) -> Cell:
    """Say how an entry differs from the moment that it is compared with."""
    if said not in CHANGES:
        return Cell()
    sentence, mood = CHANGES[said]
    return Cell(text=words.say(sentence), mood=mood)


def acts(words: Words, kind: ItemKind, name: str, *, may_restore: bool) -> tuple[Act, ...]:
    """Return what can be done with one file at once."""
    if kind not in FILES:
        return ()
    download, versions = words.say("entry.download"), words.say("entry.versions")
    shown = Act(id=VERSIONS, label=versions, aria=f"{versions} {name}", classes="quiet")
    if not may_restore:
        return (shown,)
    return (Act(id=DOWNLOAD, label=download, aria=f"{download} {name}"), shown)
