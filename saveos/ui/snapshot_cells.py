"""One snapshot as cells of a grid."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from saveos.snapshots.model import HoldKind, SnapshotKind, Standing
from saveos.ui import hold_words
from saveos.ui.grid import Act, Cell, Column, Row

if TYPE_CHECKING:
    from saveos.snapshots.model import ListedSnapshot, Snapshot
    from saveos.ui.words import Words

KINDS = {SnapshotKind.FULL: "snapshot.full", SnapshotKind.INCREMENTAL: "snapshot.incremental"}
RESTORE = "restore"
PIN, UNPIN = "pin", "unpin"


def columns(words: Words, *, with_host: bool) -> list[Column]:
    """Return the columns of a list of snapshots, of one host or of all."""
    host = [Column("host", words.say("overview.host"), "name-cell")] if with_host else []
    return [
        Column("when", words.say("snapshot.when"), "when-cell"),
        *host,
        Column("state", words.say("snapshots.state")),
        Column("files", words.say("snapshot.files"), "num"),
        Column("size", words.say("snapshot.size"), "num"),
        Column("added", words.say("snapshot.added_column"), "num"),
        Column("acts", words.say("overview.actions"), "actions"),
    ]


def row(words: Words, snapshot: ListedSnapshot, *, may_restore: bool, may_pin: bool) -> Row:
    """Return a snapshot as a row."""
    when, restore, files = words.exact(snapshot.started_at), words.say("snapshot.restore"), words.say("files.title")
    acts = [
        Act(id="files", label=files, aria=f"{files} {when}", href=f"/snapshots/{snapshot.id}/files", classes="quiet")
    ]
    if may_pin:
        is_pinned = HoldKind.PIN in snapshot.holds
        label = words.say("hold.unpin" if is_pinned else "hold.pin_it")
        star = "★" if is_pinned else "☆"  # a word would not leave the table its width
        acts.append(Act(id=UNPIN if is_pinned else PIN, label=star, aria=f"{label} {when}", classes="quiet"))
    if may_restore and snapshot.standing is not Standing.LOST:
        acts.append(Act(id=RESTORE, label=restore, aria=f"{restore} {when}"))
    return Row(
        id=snapshot.id,
        classes="snapshot",
        cells={
            "when": Cell(text=when, href=f"/snapshots/{snapshot.id}", sub=words.ago(snapshot.started_at)),
            "state": msgspec.structs.replace(state(words, snapshot), badges=hold_words.badges(words, snapshot.holds)),
            "files": Cell(text=words.number(snapshot.files_count), sub=changed(words, snapshot)),
            "size": Cell(
                text=words.size(snapshot.original_bytes),
                sub=words.say("snapshots.compressed_to", size=words.size(snapshot.compressed_bytes)),
            ),
            "added": Cell(
                text=f"+{words.size(snapshot.added_bytes)}",
                sub=words.say("hold.in_span", span=words.duration(snapshot.duration_seconds)),
            ),
            "acts": Cell(acts=tuple(acts)),
        },
    )


def listed(words: Words, snapshot: ListedSnapshot, *, may_restore: bool, may_pin: bool) -> Row:
    """Return a snapshot of any host as a row."""
    made = row(words, snapshot, may_restore=may_restore, may_pin=may_pin)
    made.cells["host"] = Cell(
        text=snapshot.hostname, href=f"/agents/{snapshot.agent_id}", sub=snapshot.policy_name or ""
    )
    return made


def state(words: Words, snapshot: Snapshot) -> Cell:
    """Say whether it is whole, and whether it was the first."""
    kind = words.say(KINDS[snapshot.kind])
    if snapshot.standing is not Standing.GOOD:
        return Cell(text=words.say(hold_words.STANDINGS[snapshot.standing]), mood="bad", sub=kind)
    if snapshot.warnings_count:
        return Cell(text=words.count("snapshot.warnings", snapshot.warnings_count), mood="warn", sub=kind)
    return Cell(text=words.say("snapshots.good"), mood="good", sub=kind)


def changed(words: Words, snapshot: Snapshot) -> str:
    """Say how many files were new or had changed, if it is known."""
    if snapshot.new_files_count is None or snapshot.changed_files_count is None:
        return ""
    return words.count("snapshots.changed", snapshot.new_files_count + snapshot.changed_files_count)
