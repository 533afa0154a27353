"""Where the agent keeps its things, and what provisioning gave it.

One folder holds all: config.json (which also names the credentials in use, so that replacing this one file switches
them), addresses.json (where the appliance is by now), root.pem, credentials/N/{agent.key,agent.pem,token}, passphrase,
and state/ for Borg's caches and our spool.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from saveos.protocol import STAMP_MAGIC, AgentId, Stamp

if TYPE_CHECKING:
    from typing import BinaryIO

_LENGTH = 8
_LARGEST_STAMP = 1 << 20


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """What an enrolled host knows. `is_sealed`: the appliance holds the sealed key; backups may begin."""

    addresses: tuple[str, ...]
    agent_id: AgentId
    hostname: str
    tenant_name: str = ""
    recovery_public_key: str
    credentials: str = "1"
    is_sealed: bool = False
    heartbeat_seconds: float = 30.0
    takes_updates: bool = True  # an administrator of the host may say no
    keeps_key: bool = False  # never lent, not even sealed to another host: see `lending`
    learns_addresses: bool = True  # an administrator of the host may say no: then `addresses` are all


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """What the appliance told of where it is, and which address answered last. See `addresses`."""

    told: tuple[str, ...] = ()
    serial: int = 0
    at: str = ""


class Home:
    """The paths below one configuration folder."""

    def __init__(self, config: Path) -> None:
        """`config`: the path of config.json."""
        self.config = config
        self.folder = config.parent
        self.root = self.folder / "root.pem"
        self.addresses = self.folder / "addresses.json"
        self.passphrase = self.folder / "passphrase"
        self.state = self.folder / "state"
        self.borg = self.state / "borg"
        self.reports = self.state / "reports"
        self.listings = self.state / "listings"
        self.noted = self.state / "noted"
        self.listings_lock = self.state / "listings.lock"
        self.update = self.state / "update.json"
        self.writer_lock = self.state / "writer.lock"
        self.daemon_lock = self.state / "daemon.lock"

    def credentials(self, name: str) -> Path:
        """Return the folder of a key, its certificate and its token."""
        return self.folder / "credentials" / name

    def prepare(self) -> None:
        """Make the folders, for their owner alone."""
        for folder in (self.folder, self.state, self.borg, self.reports, self.listings, self.noted):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with contextlib.suppress(OSError):
            self.folder.chmod(0o700)

    def load(self) -> Config | None:
        """Return the configuration, or None before enrolment. Raises OSError, msgspec.DecodeError."""
        try:
            return msgspec.json.decode(self.config.read_bytes(), type=Config)
        except FileNotFoundError:
            return None

    def known(self) -> Known:
        """Return what we were told of where the appliance is; nothing, if that cannot be read."""
        try:
            return msgspec.json.decode(self.addresses.read_bytes(), type=Known)
        except (OSError, msgspec.MsgspecError):
            return Known()

    def order(self, config: Config) -> tuple[str, ...]:
        """Return the addresses to try: the one that answered last, the appliance's list, those of the enrolment."""
        if not config.learns_addresses:
            return config.addresses
        known = self.known()
        return tuple(dict.fromkeys(address for address in (known.at, *known.told, *config.addresses) if address))

    def save(self, config: Config) -> None:
        """Replace the configuration as a whole."""
        write_private(self.config, msgspec.json.format(msgspec.json.encode(config), indent=2))


def default_config() -> Path:
    """Return where the platform keeps the configuration."""
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "SaveOS" / "config.json"
    if sys.platform == "win32":
        return Path(os.environ.get("APPDATA") or Path.home() / "AppData" / "Roaming") / "SaveOS" / "config.json"
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "saveos" / "config.json"


def write_private(path: Path, content: bytes) -> None:
    """Write a file for its owner alone, whole or not at all, and on the disk when this returns."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{time.monotonic_ns()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def stamp_size(file: BinaryIO) -> int:
    """Return how many bytes at the end of an executable are its stamp: payload, length, magic; 0: there is none."""
    size = file.seek(0, os.SEEK_END)
    foot = _LENGTH + len(STAMP_MAGIC)
    if size <= foot:
        return 0
    file.seek(size - foot)
    tail = file.read()
    length = int.from_bytes(tail[:_LENGTH], "big")
    is_whole = tail.endswith(STAMP_MAGIC) and length <= min(_LARGEST_STAMP, size - foot)
    return length + foot if is_whole else 0


def read_stamp(path: Path) -> Stamp | None:
    """Return the stamp at the end of an executable, or the stamp that a JSON file is; None when there is none."""
    with path.open("rb") as file:
        if size := stamp_size(file):
            file.seek(-size, os.SEEK_END)
            return msgspec.json.decode(file.read(size - _LENGTH - len(STAMP_MAGIC)), type=Stamp)
        if file.seek(0, os.SEEK_END) > _LARGEST_STAMP:
            return None
        file.seek(0)
        try:
            return msgspec.json.decode(file.read(), type=Stamp)
        except msgspec.MsgspecError:
            return None


def is_frozen() -> bool:
    """Return whether this is the executable that PyInstaller made."""
    return bool(getattr(sys, "frozen", False))


def own_command(*arguments: str) -> list[str]:
    """Return the command that runs this agent with arguments."""
    start = [sys.executable] if is_frozen() else [sys.executable, "-m", "saveos.agent"]
    return [*start, *arguments]
