"""Opens a self-backup into a folder. Whoever knows the public key may have sealed it: only what is ours is taken."""

from __future__ import annotations

import gzip
import io
import os
import re
import shutil
import sqlite3
import tarfile
import zlib
from contextlib import closing
from typing import IO, TYPE_CHECKING

from saveos.certificates import authority as authorities
from saveos.database.connection import connect, require_whole
from saveos.database.migrations import migrate
from saveos.errors import CertificateError, DatabaseDamaged, SelfBackupAltered, Unavailable
from saveos.repositories.sealing import as_text
from saveos.selfbackup.making import DATABASE
from saveos.selfbackup.sealed import Opener, head_of

if TYPE_CHECKING:
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

    from saveos.certificates.authority import Authority
    from saveos.selfbackup.sealed import Head

CHUNK = 1 << 20
NAMES = re.compile(r"saveos\.db|saveos\.toml|(authority|keys)/[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}")
COUNT_LIMIT = 1000


def unpack(sealed: Path, private: X25519PrivateKey, folder: Path) -> Head:
    """Open a sealed file into an empty folder. Raises OtherKit, SelfBackupAltered, Unavailable (no room)."""
    try:
        with sealed.open("rb") as file:
            opener = Opener(file, private)
            plain = io.BufferedReader(opener, CHUNK)  # type: ignore[type-var] # a buffer of our own kind
            with gzip.GzipFile(fileobj=plain) as packed, tarfile.open(fileobj=packed, mode="r|", errorlevel=2) as tar:
                _take(tar, folder)
                while packed.read(CHUNK):
                    pass  # to its end: only the last chunk says that it is whole
            return opener.head
    except (tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise SelfBackupAltered("The self-backup does not hold what one of ours does.") from error
    except OSError as error:
        raise Unavailable(f"The self-backup cannot be unpacked: {error.strerror or error}.") from error


def is_sealed_to(sealed: Path, public_key: bytes) -> bool:
    """Return whether a file says that it was sealed to this recovery key. Raises SelfBackupAltered."""
    with sealed.open("rb") as file:
        return head_of(file).recipient == as_text(public_key)


def require_sound(folder: Path) -> Authority:
    """See that what was unpacked is an appliance, and bring its database to today's schema.

    The root's key has to be that of its certificate: who has neither cannot pass off another appliance as this one.
    Raises SelfBackupAltered, DatabaseDamaged, CertificateError, Unavailable (it is of a newer SaveOS).
    """
    database, trust = folder / DATABASE, folder / "authority" / "trust.pem"
    if not database.is_file() or not trust.is_file():
        raise SelfBackupAltered("The self-backup lacks the database, or the authority.")
    try:
        with closing(connect(database)) as connection:
            require_whole(connection)
            if connection.execute("PRAGMA foreign_key_check").fetchone() is not None:
                raise DatabaseDamaged("The database is damaged: rows are missing that others name.")
        migrate(database)
    except sqlite3.Error as error:
        raise DatabaseDamaged(f"The database is damaged: {error}.") from error
    authority = authorities.open_authority(folder / "authority")
    for signer in (authority.root, authority.intermediate):
        if signer.key.public_key() != signer.certificate.public_key():
            raise CertificateError("The authority's key is not that of its certificate: this is no appliance of ours.")
    return authority


def _take(tar: tarfile.TarFile, folder: Path) -> None:
    free = shutil.disk_usage(folder).free
    for count, member in enumerate(tar):
        if count > COUNT_LIMIT or not member.isreg() or not NAMES.fullmatch(member.name) or member.size < 0:
            raise SelfBackupAltered("The self-backup holds something that is none of ours.")
        free -= member.size
        if free < 0:
            raise Unavailable("There is not enough room on the disk for what the self-backup holds.")
        source, target = tar.extractfile(member), folder / member.name
        if source is None:
            raise SelfBackupAltered("The self-backup holds something that is none of ours.")
        target.parent.mkdir(exist_ok=True, mode=0o700)
        _write(source, target)


def _write(source: IO[bytes], target: Path) -> None:
    try:
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise SelfBackupAltered("The self-backup holds something twice.") from error
    with os.fdopen(descriptor, "wb") as file:
        shutil.copyfileobj(source, file, CHUNK)
        file.flush()
        os.fsync(file.fileno())
