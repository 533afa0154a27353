"""One entry of a snapshot as cells of a grid: a file, a folder, or what else lay on the host's disk."""

from __future__ import annotations

from typing import TYPE_CHECKING

from saveos.protocol import EntryKind
from saveos.ui import names
from saveos.ui.grid import Act, Cell, Column, Row

if TYPE_CHECKING:
    from saveos.snapshots.catalogue import Entry
    from saveos.ui.words import Words

KINDS = {EntryKind.FOLDER: "entry.folder", EntryKind.LINK: "entry.link", EntryKind.OTHER: "entry.other"}
CHANGES = {"new": ("entry.new", "good"), "changed": ("entry.changed", "warn"), "gone": ("entry.gone", "bad")}
OPEN, DOWNLOAD, VERSIONS = "open", "download", "versions"


def columns(words: Words) -> list[Column]:
    """Return the columns of a folder."""
    return [
        Column("name", words.say("entry.name"), "name-cell"),
        Column("change", words.say("entry.change")),
        Column("size", words.say("entry.size"), "num"),
        Column("modified", words.say("entry.modified"), "num"),
        Column("acts", words.say("overview.actions"), "actions"),
    ]


def row(words: Words, entry: Entry, *, may_restore: bool) -> Row:
    """Return an entry as a row; what is gone cannot be ticked."""
    name = names.short(entry.name)
    is_gone = entry.change == "gone"
    return Row(
        id=entry.path,
        name="" if is_gone or not may_restore else name,
        classes=f"entry {entry.kind.value}{' gone' if is_gone else ''}",
        cells={
            "name": Cell(
                text=name,
                act=OPEN if entry.kind is EntryKind.FOLDER and not is_gone else "",
                sub=words.say(KINDS[entry.kind]) if entry.kind in (EntryKind.LINK, EntryKind.OTHER) else "",
            ),
            "change": change(words, entry.change),
            "size": Cell(text=words.size(entry.size_bytes) if entry.kind is EntryKind.FILE else ""),
            "modified": Cell(text=words.exact(entry.modified_at) if entry.modified_at else ""),
            "acts": Cell(acts=_acts(words, entry, name, may_restore=may_restore and not is_gone)),
        },
    )


def change(words: Words, said: str) -> Cell:
    """Say how an entry differs from the moment that it is compared with."""
    if said not in CHANGES:
        return Cell()
    sentence, mood = CHANGES[said]
    return Cell(text=words.say(sentence), mood=mood)


def _acts(words: Words, entry: Entry, name: str, *, may_restore: bool) -> tuple[Act, ...]:
    if entry.kind is not EntryKind.FILE:
        return ()
    download, versions = words.say("entry.download"), words.say("entry.versions")
    shown = Act(id=VERSIONS, label=versions, aria=f"{versions} {name}", classes="quiet")
    if not may_restore:
        return (shown,)
    return (Act(id=DOWNLOAD, label=download, aria=f"{download} {name}"), shown)
