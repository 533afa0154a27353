"""What the catalogue tells: entries, versions, changes, hits."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated

import msgspec
from msgspec import Meta

from saveos.protocol import AgentId, EntryPath, SnapshotId


class ItemKind(StrEnum):
    """What an entry of a snapshot is."""

    FOLDER = "folder"
    FILE = "file"
    LINK = "link"
    HARD_LINK = "hard-link"  # another name of a file that the snapshot holds too
    FIFO = "fifo"
    DEVICE = "device"


class Change(StrEnum):
    """What became of an entry since the snapshot that it is compared with."""

    NONE = ""
    NEW = "new"
    CHANGED = "changed"  # a folder: something in it, however deep
    GONE = "gone"


class CatalogueState(StrEnum):
    """Whether the catalogue can tell what a snapshot holds."""

    INDEXED = "indexed"
    WAITING = "waiting"  # the host is to send the listing, or it is being brought in
    MISSING = "missing"  # nobody is about to: a rebuild asks the host
    SEALED = "sealed"  # names are not for the appliance's eyes


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """An entry of a folder in a snapshot.

    `size_bytes` and `files_count` of a folder are those of all that is in it, however deep. `place`: about which of the
    archive's metadata chunks the entry begins in; look around it too. An entry that is gone is as it was.
    """

    name: str
    path: EntryPath
    kind: ItemKind
    size_bytes: int
    files_count: int | None = None
    modified_at: datetime | None
    mode: int  # permission bits
    place: int | None = None
    change: Change = Change.NONE


class FolderPage(msgspec.Struct, frozen=True, kw_only=True):
    """Part of a folder: folders first, then by name. `next_after` is the `after` of the next page."""

    entries: tuple[Entry, ...]
    next_after: str | None
    state: CatalogueState


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """How a host's catalogue stands, or what it knows of one snapshot."""

    state: CatalogueState
    entries_count: int = 0  # of the snapshot, or of the newest one
    indexed_count: int = 0  # snapshots of the host
    waiting_count: int = 0
    missing_count: int = 0
    sealed_count: int = 0
    message: str = ""


class Version(msgspec.Struct, frozen=True, kw_only=True):
    """One version of a path: the snapshots from the first to the last have it. `is_present`: the newest one too."""

    first_snapshot_id: SnapshotId
    last_snapshot_id: SnapshotId
    first_at: datetime
    last_at: datetime
    kind: ItemKind
    size_bytes: int
    modified_at: datetime | None
    mode: int
    is_present: bool


class Moment(msgspec.Struct, frozen=True, kw_only=True):
    """A snapshot at which something in a folder changed, with what the folder held then."""

    snapshot_id: SnapshotId
    at: datetime
    files_count: int
    size_bytes: int


class Changed(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a path between two snapshots."""

    path: EntryPath
    kind: ItemKind
    change: Change
    older_bytes: int | None
    newer_bytes: int | None
    modified_at: datetime | None


class ChangesPage(msgspec.Struct, frozen=True, kw_only=True):
    """Part of the changes, each page by path. `next_after` is the `after` of the next one."""

    changes: tuple[Changed, ...]
    next_after: str | None
    state: CatalogueState


class Scope(StrEnum):
    """Which snapshots a search looks into."""

    ALL = "all"
    LATEST = "latest"
    DELETED = "deleted"  # what the newest snapshot does not hold


class SearchQuery(msgspec.Struct, frozen=True, kw_only=True):
    """What is looked for. `text`: part of a name, or of a path if it holds a slash; the whole name if it holds * or ?.

    `at_snapshot_id` bounds the search to that snapshot, and to its host.
    """

    text: Annotated[str, Meta(min_length=1, max_length=500)]
    agent_ids: Annotated[tuple[AgentId, ...], Meta(max_length=1000)] = ()
    kinds: Annotated[tuple[ItemKind, ...], Meta(max_length=10)] = ()
    min_bytes: Annotated[int, Meta(ge=0, le=2**62)] | None = None
    max_bytes: Annotated[int, Meta(ge=0, le=2**62)] | None = None
    modified_since: datetime | None = None
    modified_until: datetime | None = None
    at_snapshot_id: Annotated[str, Meta(max_length=64)] = ""
    scope: Scope = Scope.ALL


class Hit(msgspec.Struct, frozen=True, kw_only=True):
    """A path that was found: its newest version that fits, and the newest snapshot that has it."""

    agent_id: AgentId
    hostname: str
    path: EntryPath
    kind: ItemKind
    size_bytes: int
    modified_at: datetime | None
    newest_snapshot_id: SnapshotId
    newest_at: datetime
    is_in_latest: bool


class SearchPage(msgspec.Struct, frozen=True, kw_only=True):
    """What was found, host by host.

    `is_cut`: there may be more; `next_after` is where it goes on, None when the end was reached.
    """

    hits: tuple[Hit, ...]
    next_after: str | None
    searched_hosts: int
    skipped_hosts: int  # sealed, not indexed, or out of time
    waiting_hosts: int = 0  # of these: their sealed names are being opened
    is_cut: bool
    took_seconds: float


_KINDS = {
    "d": ItemKind.FOLDER,
    "i": ItemKind.FOLDER,
    "f": ItemKind.FILE,
    "l": ItemKind.LINK,
    "h": ItemKind.HARD_LINK,
    "p": ItemKind.FIFO,
    "c": ItemKind.DEVICE,
}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def kind_of(letter: str) -> ItemKind:
    """Return what a catalogue's letter means."""
    return _KINDS[letter]


def letters_of(kinds: tuple[ItemKind, ...]) -> tuple[str, ...]:
    """Return the letters of kinds."""
    return tuple(letter for letter, kind in _KINDS.items() if kind in kinds)


def moment_of(milliseconds: int | None) -> datetime | None:
    """Return a moment, None for what no calendar holds."""
    if milliseconds is None:
        return None
    try:
        return _EPOCH + timedelta(milliseconds=milliseconds)
    except OverflowError:
        return None


def milliseconds_of(moment: datetime) -> int:
    """Return ms since 1970."""
    return (moment - _EPOCH) // timedelta(milliseconds=1)
