"""Makes a self-backup: database, authority, keys and settings as they are at this moment, in one sealed file."""

from __future__ import annotations

import gzip
import os
import sqlite3
import tarfile
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from saveos import clock
from saveos.config import FILE_NAME
from saveos.database.connection import connect, copy_whole
from saveos.errors import Unavailable
from saveos.repositories.evidence import sync
from saveos.selfbackup import table
from saveos.selfbackup.model import HASH_LENGTH, Named, State
from saveos.selfbackup.sealed import Sealer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from saveos.config import Settings

PART = ".part"  # unfinished; what is not sealed yet stays in the data folder
DATABASE = "saveos.db"
FOLDERS = ("authority", "keys")
OF_THE_SERVER = ("server.key", "server.pem")  # issued anew
LEVEL = 6


class Made(msgspec.Struct, frozen=True, kw_only=True):
    """A self-backup on this disk. `state`: the counters as it holds them."""

    path: Path
    named: Named
    bytes: int
    sha256: str
    state: State


def make(settings: Settings, settings_file: Path, recipient: bytes, appliance_id: str) -> Made:
    """Make one and keep it in the folder of them; it has its name when it is whole, and on the disk.

    Raises Unavailable (a full disk), DatabaseDamaged: a damaged one would stand before the whole ones.
    """
    folder, made_at = settings.self_backups, clock.now().replace(microsecond=0)
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        copy, unfinished = settings.folder / f"self-backup{PART}", folder / f"sealed{PART}"
        for left in (unfinished, *settings.folder.glob(f"{copy.name}*")):
            left.unlink(missing_ok=True)
        copy.touch(mode=0o600)
        copy_whole(settings.database, copy)
        with closing(connect(copy)) as connection:
            connection.execute("PRAGMA journal_mode=DELETE")
            state = table.state(connection)
        sealer = _seal(settings, settings_file, copy, unfinished, recipient, made_at, appliance_id)
        copy.unlink()
        sha256 = sealer.sha256.hexdigest()
        named = Named(made_at=made_at, sha256=sha256[:HASH_LENGTH])
        path = folder / named.name
        unfinished.rename(path)
        sync(folder)
    except (OSError, sqlite3.Error) as error:
        raise Unavailable(f"The self-backup cannot be written to {folder}: {error}.") from error
    return Made(path=path, named=named, bytes=sealer.count, sha256=sha256, state=state)


def _seal(
    settings: Settings,
    settings_file: Path,
    database: Path,
    target: Path,
    recipient: bytes,
    made_at: datetime,
    appliance_id: str,
) -> Sealer:
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        sealer = Sealer(file, recipient, made_at, appliance_id)
        with (
            gzip.GzipFile(fileobj=sealer, mode="wb", compresslevel=LEVEL, mtime=0, filename="") as packed,
            tarfile.open(fileobj=packed, mode="w|", format=tarfile.GNU_FORMAT) as tar,
        ):
            for name, path in _contents(settings, settings_file, database):
                _add(tar, name, path)
        sealer.finish()
        file.flush()
        os.fsync(file.fileno())
    return sealer


def _contents(settings: Settings, settings_file: Path, database: Path) -> Iterator[tuple[str, Path]]:
    """Give what goes in, by its name there: small things first."""
    if settings_file.exists():
        yield FILE_NAME, settings_file
    for folder in FOLDERS:
        for path in sorted((settings.folder / folder).glob("[!.]*")):
            if path.is_file() and path.name not in OF_THE_SERVER:
                yield f"{folder}/{path.name}", path
    yield DATABASE, database


def _add(tar: tarfile.TarFile, name: str, path: Path) -> None:
    """Add a file without its owner's name and number: it is to be another machine's."""
    with path.open("rb") as file:
        member = tarfile.TarInfo(name)
        member.size, member.mode, member.mtime = os.fstat(file.fileno()).st_size, 0o600, int(path.stat().st_mtime)
        tar.addfile(member, file)
