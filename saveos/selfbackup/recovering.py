"""Rebuilds an appliance in an empty data folder, from a self-backup and the code of the recovery kit.

All is put together in a folder beside it, which gets the name at the end: whole, or not at all.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import msgspec

from saveos.database.connection import connect, immediate
from saveos.errors import Conflict, OtherKit, SelfBackupAltered, StorageError, Unavailable
from saveos.repositories import finding, quarantine
from saveos.repositories import table as repositories
from saveos.repositories.evidence import last_commit, sync
from saveos.selfbackup import places, rebirth, unpacking
from saveos.selfbackup.making import DATABASE
from saveos.selfbackup.rebirth import Inventory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

    from saveos.config import Settings
    from saveos.repositories.finding import FoundRepository
    from saveos.selfbackup.model import Named
    from saveos.selfbackup.places import Found

    Hear = Callable[[str], None]


class Source(Protocol):
    """A folder or a bucket with self-backups."""

    def listing(self) -> list[Found]:
        """Return them, newest first."""

    def fetch(self, found: Found, target: Path) -> None:
        """Bring one to a file. Raises SelfBackupAltered."""


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Which one is taken, and what of repositories is left. `root`: the fingerprint on the kit, if it was typed."""

    at: str = ""
    root: str = ""
    repositories: Path | None = None


class Recovered(msgspec.Struct, frozen=True, kw_only=True):
    """What came back. `passed_over`: newer ones that are not whole; `strange`: repositories of no host here."""

    name: str
    made_at: datetime
    fingerprint: str
    inventory: Inventory
    passed_over: tuple[str, ...] = ()
    strange: tuple[str, ...] = ()


def recover(settings: Settings, source: Source, private: X25519PrivateKey, wanted: Wanted, hear: Hear) -> Recovered:
    """Rebuild the appliance in the data folder.

    Raises Conflict (the folder is not empty), SelfBackupMissing, SelfBackupAltered (none is whole), OtherKit,
    DatabaseDamaged, StorageError, Unavailable.
    """
    os.umask(0o077)  # what is written here is for its owner alone
    require_empty(settings.folder)
    with _room(settings.folder) as making:
        named, passed_over = _fetch(source, private, wanted.at, making, hear)
        authority = unpacking.require_sound(making / "data")
        _require_root(authority.fingerprint, wanted.root)
        found = finding.below(wanted.repositories) if wanted.repositories else []
        inside = msgspec.structs.replace(settings, data=str(making / "data"))
        hear("The database is whole; what was under way is ended.")
        with closing(connect(inside.database)) as connection:
            here, strange = _take_repositories(inside, connection, found, hear)
            with immediate(connection):
                inventory = rebirth.settle(connection, named.made_at, here)
            connection.execute("PRAGMA analysis_limit=1000")
            connection.execute("ANALYZE")  # it serves at once: what was known of its tables may be old
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        _put(making / "data", settings.folder)
    return Recovered(
        name=named.name,
        made_at=named.made_at,
        fingerprint=authority.fingerprint,
        inventory=inventory,
        passed_over=passed_over,
        strange=strange,
    )


def require_empty(folder: Path) -> None:
    """Raise Conflict unless nothing is in the data folder, or it is not there: what is there is never written over."""
    if os.path.ismount(folder):
        raise Conflict(f"{folder} is where a disk is mounted: name a folder below it with --data.")
    if folder.is_symlink() or (folder.exists() and (not folder.is_dir() or any(folder.iterdir()))):
        raise Conflict(
            f"{folder} is not empty: an appliance is recovered into an empty folder. Name another with --data."
        )


@contextlib.contextmanager
def _room(folder: Path) -> Iterator[Path]:
    """Give an empty folder beside the data folder, held by this process; what a killed one left in it goes."""
    making = folder.with_name(f".{folder.name}.recovering")
    try:
        making.mkdir(parents=True, exist_ok=True, mode=0o700)
        making.chmod(0o700)
        descriptor = os.open(making, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError as error:
        raise Unavailable(f"{making} cannot be made: {error.strerror or error}.") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise Conflict("Another recovery into this folder is under way.") from error
        _empty(making)
        yield making
    finally:
        _empty(making)
        with contextlib.suppress(OSError):
            making.rmdir()
        os.close(descriptor)


def _empty(folder: Path) -> None:
    for entry in os.scandir(folder):
        if entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry.path, ignore_errors=True)
        else:
            Path(entry.path).unlink(missing_ok=True)


def _fetch(
    source: Source, private: X25519PrivateKey, at: str, making: Path, hear: Hear
) -> tuple[Named, tuple[str, ...]]:
    """Open the newest whole one; return it and the names of those that are not whole."""
    passed_over: list[str] = []
    candidates = places.choose(source.listing(), at)
    for position, found in enumerate(candidates):
        sealed, target = making / "sealed", making / "data"
        _empty(making)
        target.mkdir(mode=0o700)
        try:
            hear(f"{found.named.name}, {found.bytes} bytes, is fetched and opened.")
            source.fetch(found, sealed)
            unpacking.unpack(sealed, private, target)
        except OtherKit as error:
            raise _other_kit(source, candidates[position + 1 :], private, making) from error
        except SelfBackupAltered as error:
            hear(error.message)
            passed_over.append(found.named.name)
            continue
        sealed.unlink()
        return found.named, tuple(passed_over)
    raise SelfBackupAltered("None of the self-backups there is whole.")


def _other_kit(source: Source, older: Sequence[Found], private: X25519PrivateKey, making: Path) -> OtherKit:
    """Return what to say: perhaps the code is of the kit before, which opens older ones."""
    message = "This recovery code is of another kit than the self-backup was sealed to."
    public = private.public_key().public_bytes_raw()
    for found in older:
        with contextlib.suppress(SelfBackupAltered, StorageError):
            source.fetch(found, making / "sealed")
            if unpacking.is_sealed_to(making / "sealed", public):
                return OtherKit(
                    f"{message} It opens that of {found.named.made_at:%Y-%m-%d %H:%M} UTC: --at {found.named.name}"
                )
    return OtherKit(message)


def _require_root(fingerprint: str, root: str) -> None:
    if root and fingerprint.replace(":", "") != root.replace(":", "").replace(" ", "").upper():
        raise SelfBackupAltered(f"This is another appliance: the fingerprint of its root is {fingerprint}.")


def _take_repositories(
    settings: Settings, connection: object, found: Sequence[FoundRepository], hear: Hear
) -> tuple[set[str], tuple[str, ...]]:
    """Bring the repositories in that are of hosts here, by Borg's id; return whose, and the paths of the others."""
    wanted = {one.engine_id: one for one in repositories.everything(connection) if one.engine_id}  # type: ignore[arg-type]
    here, strange = set[str](), list[str]()
    newest_first = sorted(found, key=lambda one: (one.changed_at is not None, one.changed_at), reverse=True)
    for one in newest_first:
        repository = wanted.get(one.repository_id)
        if repository is None or repository.agent_id in here:
            strange.append(one.path)
            continue
        hear(f"{one.path}, {one.bytes} bytes, is linked or copied.")
        target = repositories.repository_path(settings, repository.tenant_id, repository.agent_id)
        _take(Path(one.path), target)
        here.add(repository.agent_id)
    return here, tuple(strange)


def _take(source: Path, target: Path) -> None:
    """Take a repository as it was at its last commit: by links where that is the same disk, else by a copy.

    It may be older than what its host wrote last, somewhere else: no nonce of then is used again.
    """
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        quarantine.make(source, target, last_commit(source))
    except StorageError:
        shutil.rmtree(target, ignore_errors=True)
        try:
            shutil.copytree(source, target, symlinks=True, ignore=shutil.ignore_patterns("lock.*"))
            os.sync()
        except (OSError, shutil.Error) as error:
            raise Unavailable(f"{source} cannot be copied: {error}.") from error
    quarantine.keep_fresh(target)


def _put(made: Path, folder: Path) -> None:
    """Give it its name: the one step after which it is there."""
    for path in (made / f"{DATABASE}-wal", made / f"{DATABASE}-shm"):
        path.unlink(missing_ok=True)
    try:
        os.sync()
        made.rename(folder)  # over an empty one
        sync(folder.parent)
    except OSError as error:
        raise Unavailable(f"{folder} cannot be made: {error.strerror or error}.") from error
