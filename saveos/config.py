"""Settings of the appliance and every path in its data folder.

A value comes from the command line, else from `SAVEOS_*`, else from saveos.toml, else from here.
"""

from __future__ import annotations

import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from msgspec import Meta

from saveos.errors import InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Mapping

FILE_NAME = "saveos.toml"
SYSTEM_FILE = Path("/etc/saveos") / FILE_NAME


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything a person may set; the README's table is checked against this struct."""

    data: str
    address: str = "0.0.0.0"  # noqa: S104 - an appliance is there to be reached
    port: Annotated[int, Meta(ge=0, le=65535)] = 8000
    names: tuple[str, ...] = ()
    language: Annotated[str, Meta(pattern="^(en|fr)$")] = "en"
    log_level: Annotated[str, Meta(pattern="^(debug|info|warning|error)$")] = "info"
    heartbeat_seconds: Annotated[float, Meta(ge=1, le=60)] = 25.0
    lease_seconds: Annotated[float, Meta(ge=5, le=86400)] = 120.0
    writers: Annotated[int, Meta(ge=1, le=1000)] = 8
    reserve_bytes: Annotated[int, Meta(ge=0)] = 256 * 1024**2
    provisioning_hours: Annotated[float, Meta(gt=0, le=8760)] = 24.0
    session_hours: Annotated[float, Meta(gt=0, le=8760)] = 12.0
    agent_certificate_days: Annotated[float, Meta(gt=0, le=3650)] = 90.0
    server_certificate_days: Annotated[float, Meta(gt=0, le=825)] = 397.0
    self_backup_folder: str = ""

    @property
    def folder(self) -> Path:
        """The data folder."""
        return Path(self.data)

    @property
    def database(self) -> Path:
        """The truth."""
        return self.folder / "saveos.db"

    @property
    def queue(self) -> Path:
        """Huey's file; losing it loses nothing."""
        return self.folder / "queue.db"

    @property
    def authority(self) -> Path:
        """Keys and certificates of the appliance's own authority (0700)."""
        return self.folder / "authority"

    @property
    def quarantine(self) -> Path:
        """Checkpoints of repositories, as hard links: on the same file system as these."""
        return self.repositories / ".quarantine"

    @property
    def evidence(self) -> Path:
        """What sessions of hosts did to their repositories, until it is judged."""
        return self.folder / "evidence"

    @property
    def managed_key(self) -> Path:
        """What opens the keys of the hosts in managed mode; whoever steals it and the database reads their backups."""
        return self.folder / "keys" / "managed.key"

    @property
    def column_key(self) -> Path:
        """What opens the sealed columns of the database."""
        return self.folder / "keys" / "columns.key"

    @property
    def offsite(self) -> Path:
        """What offsite copies are made of, as hard links: on the same file system as the repositories."""
        return self.repositories / ".offsite"

    @property
    def offsite_reading(self) -> Path:
        """What is needed at once of the copies that are read now; made anew with each start."""
        return self.folder / "offsite-reading"

    @property
    def self_backups(self) -> Path:
        """Where the appliance's backups of itself lie; best on another disk."""
        return Path(self.self_backup_folder) if self.self_backup_folder else self.folder / "self"

    @property
    def repositories(self) -> Path:
        """One Borg repository per agent: `<tenant id>/<agent id>`."""
        return self.folder / "repositories"

    @property
    def catalogues(self) -> Path:
        """What the snapshots hold, one file per agent: `<tenant id>/<agent id>.db`. It can be made anew."""
        return self.folder / "catalogues"

    @property
    def bases(self) -> Path:
        """Agent executables ready to be stamped, by content hash."""
        return self.folder / "bases"

    @property
    def borg_home(self) -> Path:
        """BORG_BASE_DIR of the appliance's own Borg processes."""
        return self.folder / "borg"

    @property
    def lock(self) -> Path:
        """Held by the one serving process."""
        return self.folder / "saveos.lock"


def default_folder() -> Path:
    """Return where the platform keeps such data: /var/lib for root, the user's data folder otherwise."""
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "SaveOS" / "appliance"
    if os.geteuid() == 0:
        return Path("/var/lib/saveos")
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "saveos"


class Origin(StrEnum):
    """Where a setting's value comes from."""

    FLAG = "flag"
    ENVIRONMENT = "environment"
    FILE = "file"
    DEFAULT = "default"


class Origins(msgspec.Struct, frozen=True, kw_only=True):
    """Where the values come from, by name, and the settings file: the one that was read, else the one to make."""

    file: Path
    of: dict[str, Origin] = {}

    def of_setting(self, name: str) -> Origin:
        """Return where a setting's value comes from."""
        return self.of.get(name, Origin.DEFAULT)

    def is_fixed(self, name: str) -> bool:
        """Return whether the file has no say in a setting."""
        return self.of_setting(name) in (Origin.FLAG, Origin.ENVIRONMENT)


def load(flags: Mapping[str, Any], environment: Mapping[str, str], file: Path | None = None) -> Settings:
    """Merge file, environment and flags (None is "not said") and return the settings.

    Raises InvalidRequest for an unreadable file, an unknown name or a value out of its range, naming it.
    """
    return load_with_origins(flags, environment, file)[0]


def load_with_origins(
    flags: Mapping[str, Any], environment: Mapping[str, str], file: Path | None = None
) -> tuple[Settings, Origins]:
    """As `load`; also tell where each value comes from."""
    said = {name: value for name, value in flags.items() if value is not None}
    from_environment = {
        name: environment[variable]
        for name in Settings.__struct_fields__
        if (variable := variable_of(name)) in environment
    }
    folder = Path(said.get("data") or from_environment.get("data") or default_folder()).expanduser().absolute()
    used, from_file = _read(file, folder)
    merged: dict[str, Any] = {"data": str(folder), **from_file, **from_environment, **said}
    merged["data"] = str(Path(merged["data"]).expanduser().absolute())
    if isinstance(merged.get("names"), str):
        merged["names"] = [name.strip() for name in merged["names"].split(",") if name.strip()]
    try:
        settings = msgspec.convert(merged, Settings, strict=False)
    except msgspec.ValidationError as error:
        message = f"A setting is wrong: {error}."
        raise InvalidRequest(message) from error
    of = {
        **dict.fromkeys(from_file, Origin.FILE),
        **dict.fromkeys(from_environment, Origin.ENVIRONMENT),
        **dict.fromkeys(said, Origin.FLAG),
    }
    return settings, Origins(file=used or settings.folder / FILE_NAME, of=of)


def variable_of(name: str) -> str:
    """Return the environment variable of a setting."""
    return f"SAVEOS_{name.upper()}"


def _read(file: Path | None, folder: Path) -> tuple[Path | None, dict[str, Any]]:
    candidates = [file] if file else [folder / FILE_NAME, SYSTEM_FILE]
    for candidate in candidates:
        try:
            return candidate, msgspec.toml.decode(candidate.read_bytes(), type=dict[str, Any])
        except FileNotFoundError:
            continue
        except (OSError, msgspec.DecodeError) as error:
            message = f"{candidate} cannot be read: {error}."
            raise InvalidRequest(message) from error
    if file:
        message = f"{file} does not exist."
        raise InvalidRequest(message)
    return None, {}
