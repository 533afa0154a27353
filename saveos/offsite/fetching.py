"""Brings a generation back from the store, into a folder that a roll-back can go back to.

What still lies on the disk and is what the manifest says is linked, not fetched; what was fetched by a run that was cut
off is kept. The folder gets its name when all of it is there: whole, or not at all.
"""

from __future__ import annotations

import configparser
import contextlib
import hashlib
import os
from typing import TYPE_CHECKING

import msgspec

from saveos.database.identifiers import new_id
from saveos.errors import ObjectAltered, ObjectMissing, StorageError
from saveos.offsite import hands, layout, segments
from saveos.repositories import quarantine
from saveos.repositories.evidence import sync

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from saveos.offsite.desk import Desk
    from saveos.offsite.layout import Manifest, Part

SEGMENTS_PER_FOLDER = 1000  # Borg's, when a repository does not say


class Fetched(msgspec.Struct, frozen=True, kw_only=True):
    """What it took."""

    fetched_bytes: int
    linked_bytes: int


def fetch(desk: Desk, manifest: Manifest, local: Path, place: Path) -> Fetched:
    """Put the repository of a generation together at `place`; `local` is what is left of it here, if anything is.

    Raises StorageError (ObjectMissing, ObjectAltered: the generation is not whole), Stopped.
    """
    if place.exists():
        return Fetched(fetched_bytes=0, linked_bytes=0)
    making = place.with_name(place.name + quarantine.MAKING)
    try:
        making.mkdir(parents=True, exist_ok=True, mode=0o700)
        done = _segments(desk, manifest, local, making)
        write_rest(manifest, making)
        os.sync()  # the segments, before the folder has its name
        making.rename(place)
        sync(place.parent)
    except OSError as error:
        raise StorageError(f"The copy cannot be fetched: {error.strerror or error}.") from error
    return done


def _segments(desk: Desk, manifest: Manifest, local: Path, making: Path) -> Fetched:
    name_of = namer(manifest)
    wanted = {name_of(part) for part in manifest.segments}
    for path in (making / "data").glob("*/*"):
        if f"data/{path.parent.name}/{path.name}" not in wanted:
            path.unlink()  # unfinished
    (making / "data").mkdir(exist_ok=True, mode=0o700)

    def work(part: Part) -> tuple[int, int]:
        name = name_of(part)
        (making / name).parent.mkdir(exist_ok=True, mode=0o700)
        if _is_there(making / name, part):
            return part.bytes, 0
        if _is_same(desk, local / name, part):
            with contextlib.suppress(FileExistsError):
                os.link(local / name, making / name)
            return part.bytes, 0
        fetch_part(desk, part, making / name)
        return 0, part.bytes

    size, linked, fetched = sum(part.bytes for part in manifest.segments), 0, 0
    for one, other in hands.each(work, manifest.segments, desk.is_cancelled):
        linked, fetched = linked + one, fetched + other
        desk.hear("fetching", (linked + fetched) * 1000 // max(1, size))
    return Fetched(fetched_bytes=fetched, linked_bytes=linked)


def namer(manifest: Manifest) -> Callable[[Part], str]:
    """Return what tells where a segment lies in a repository."""
    per_folder = _segments_per_folder(manifest.config)
    return lambda part: f"data/{part.number // per_folder}/{part.number}"


def _is_there(path: Path, part: Part) -> bool:
    """Return whether a former run brought it: a file gets its name once it was hashed."""
    with contextlib.suppress(FileNotFoundError):
        return path.stat().st_size == part.bytes
    return False


def _is_same(desk: Desk, path: Path, part: Part) -> bool:
    """Return whether a file of the local repository is this segment; one that cannot be read is not."""
    try:
        return path.stat().st_size == part.bytes and segments.digest(str(path), desk.is_cancelled) == part.sha256
    except OSError:
        return False


def fetch_part(desk: Desk, part: Part, target: Path) -> None:
    """Fetch a segment by its version; where that is gone, as it was sent again, what is there under its name."""
    key = layout.below(desk.folder, part.key)
    try:
        _fetch_version(desk, key, part.version_id, part, target)
    except (ObjectMissing, ObjectAltered):
        if not part.version_id:
            raise
        _fetch_version(desk, key, "", part, target)


def _fetch_version(desk: Desk, key: str, version_id: str, part: Part, target: Path) -> None:
    unfinished = target.with_name(f"{target.name}.{new_id('get')}.part")  # a hand that was left behind has its own
    digest, size = hashlib.sha256(), 0
    with open(unfinished, "xb", opener=_for_owner) as file:
        for piece in desk.bucket.read(key, version_id):
            size += len(piece)
            if size > part.bytes:
                break  # what somebody put there may be endless
            digest.update(piece)
            file.write(piece)
        file.flush()
        os.fsync(file.fileno())  # a name says that it is there, to the run after a power cut too
    if size != part.bytes or digest.hexdigest() != part.sha256:
        unfinished.unlink()
        raise ObjectAltered(f"Segment {part.number} in the store is not what was written.", key=part.key)
    unfinished.rename(target)


def write_rest(manifest: Manifest, making: Path) -> None:
    """Write the files of a repository that are no segments; what is unfinished goes. Raises OSError."""
    for name, text in (("config", manifest.config), ("README", manifest.readme)):
        (making / name).write_text(text, encoding="utf-8")
    if manifest.nonce:
        quarantine.keep_fresh(making, int(manifest.nonce, 16))
    for path in making.rglob("*.part"):
        path.unlink()
    sync(making)


def _segments_per_folder(config: str) -> int:
    parser = configparser.ConfigParser(interpolation=None)
    with contextlib.suppress(configparser.Error, ValueError):
        parser.read_string(config)
        return max(1, parser.getint("repository", "segments_per_dir", fallback=SEGMENTS_PER_FOLDER))
    return SEGMENTS_PER_FOLDER


def _for_owner(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
