"""An appliance's data folder with a real repository, its backups of itself, and what comes back from them."""

from __future__ import annotations

import gzip
import io
import os
import shutil
import sqlite3
import subprocess
import sys
import tarfile
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from saveos import clock, config
from saveos.certificates import authority
from saveos.selfbackup import making, recovering
from saveos.selfbackup.places import Shelf
from saveos.selfbackup.recovering import Wanted
from saveos.selfbackup.sealed import Sealer
from saveos.tenants import recovery
from tests.support.appliance import wait_until
from tests.support.offsite import Copying
from tests.support.processes import alive, descendants

if TYPE_CHECKING:
    from pathlib import Path

    from saveos.offsite.model import Place
    from saveos.selfbackup.making import Made
    from saveos.selfbackup.recovering import Recovered, Source
    from tests.support.appliance import Appliance


@dataclass
class Burning:
    """An appliance that is to be lost. `code`: of its kit."""

    copying: Copying
    folder: Path
    code: str

    @classmethod
    def made(cls, folder: Path, place: Place | None = None) -> Burning:
        copying = Copying.made(folder, place)
        settings = copying.world.settings
        authority.open_authority(settings.authority)
        settings.managed_key.parent.mkdir(exist_ok=True)
        settings.managed_key.write_bytes(bytes(32))
        (settings.folder / "saveos.toml").write_text('names = ["backup.example.org"]\n')
        burning = cls(copying, folder, "")
        burning.use_kit()
        burning.sql("UPDATE repositories SET engine_id = ?", copying.borg_id)
        return burning

    @property
    def data(self) -> Path:
        return self.copying.world.settings.folder

    @property
    def key(self) -> Any:
        return recovery.private_key(self.code)

    @property
    def copies(self) -> list[Path]:
        """Its backups of itself, newest first."""
        return sorted(self.copying.world.settings.self_backups.glob("*.saveos"), reverse=True)

    def use_kit(self) -> str:
        """Let it have another kit; return the code of the former one."""
        former, (self.code, public) = self.code, recovery.create()
        self.sql("UPDATE tenants SET recovery_public_key = ?", public)
        return former

    def sql(self, statement: str, *values: Any) -> None:
        self.copying.world.database.write(lambda connection: connection.execute(statement, values))

    def back_up(self) -> Made:
        settings = self.copying.world.settings
        public = self.key.public_key().public_bytes_raw()
        return making.make(settings, settings.folder / "saveos.toml", public, "apl_former")

    def recover(self, source: Source | None = None, code: str = "", **wanted: Any) -> Recovered:
        """Recover into the folder `back`."""
        where = source or Shelf(self.copying.world.settings.self_backups)
        return recovering.recover(self.back, where, recovery.private_key(code or self.code), Wanted(**wanted), _deaf)

    @property
    def back(self) -> config.Settings:
        """The settings of what comes back."""
        return config.load({"data": str(self.folder / "back")}, {})

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        """Return rows of the database that came back."""
        with closing(sqlite3.connect(self.back.database)) as connection:
            return connection.execute(statement).fetchall()

    def put_forged(self, *members: tuple[tarfile.TarInfo, bytes], name: str = "29991231T000000Z") -> Path:
        """Lay something beside the real ones that anybody may seal who knows the public key."""
        plain = io.BytesIO()
        with gzip.GzipFile(fileobj=plain, mode="wb") as packed, tarfile.open(fileobj=packed, mode="w|") as tar:
            for member, content in members:
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
        return self.put_sealed(plain.getvalue(), name)

    def put_sealed(self, plain: bytes, name: str = "29991231T000000Z") -> Path:
        file = io.BytesIO()
        sealer = Sealer(file, self.key.public_key().public_bytes_raw(), clock.now(), "apl_stranger")
        sealer.write(plain)
        sealer.finish()
        path = self.copying.world.settings.self_backups / f"{name}-{sealer.sha256.hexdigest()[:16]}.saveos"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(file.getvalue())
        return path

    def command(self, *words: str, stdin: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
        """Run the command line on the folder `back`."""
        return subprocess.run(
            [sys.executable, "-m", "saveos", *words, "--data", str(self.folder / "back"), "--json"],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            env=os.environ | environment,
        )


def burn(appliance: Appliance) -> None:
    """Lose an appliance and all that it had, once nobody is left who would write there."""
    assert appliance.process is not None
    pids = descendants(appliance.process.pid)
    appliance.kill()
    wait_until(lambda: not any(map(alive, pids)), 60, "its processes to end")
    shutil.rmtree(appliance.data)


def _deaf(_line: str) -> None:
    """Hear nothing."""


def modes(folder: Path) -> set[str]:
    """Return the modes of all files and folders in a folder, with what they are."""
    found = set()
    for path in (folder, *folder.rglob("*")):
        found.add(f"{'d' if path.is_dir() else 'f'} {path.stat().st_mode & 0o777:o}")
    return found
