"""Which executable a platform's agent starts from: shipped ready-made, or built here from agent_build/.

A base built here is named by the hash of everything that goes into it, so that a change of the agent, of Borg or of
Python makes a new one by itself. A frozen appliance cannot run PyInstaller: it only looks for ready-made ones.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform as machine
import shutil
import sys
import tempfile
import time
from contextlib import contextmanager
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import saveos
from saveos.errors import BuildError, PlatformUnavailable
from saveos.installers import freezing
from saveos.protocol import Platform

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from saveos.config import Settings

PACKAGE = Path(saveos.__file__).parent
RECIPE = PACKAGE.parent / "agent_build"
READY_MADE = Path(__file__).parent / "ready"
CONTENTS = ("borgbackup", "cryptography", "msgpack", "msgspec", "pyinstaller")
KEPT = 2
LOCK_POLL_SECONDS = 0.2
HASH_DIGITS = 16


def find(settings: Settings, platform: Platform) -> Path | None:
    """Return the executable to stamp for a platform, if there is one."""
    if can_build(platform):
        path = settings.bases / name_of(platform)
        return path if path.is_file() else None
    ready = [path for folder in (READY_MADE, settings.bases) for path in _newest_first(folder, platform)]
    return ready[0] if ready else None


def digest(path: Path) -> str:
    """Return the SHA-256 of an executable; of an unchanged file it is read once."""
    facts = path.stat()
    return _digest(path, facts.st_size, facts.st_mtime_ns, facts.st_ino)


@lru_cache(maxsize=16)
def _digest(path: Path, _size: int, _modified: int, _inode: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_available(settings: Settings, platform: Platform) -> bool:
    """Return whether this appliance has, or can make, the executable of a platform."""
    return can_build(platform) or find(settings, platform) is not None


def can_build(platform: Platform) -> bool:
    """Return whether this appliance can make the platform's executable itself: its own system, from source."""
    return (
        platform is Platform.LINUX and sys.platform == "linux" and not getattr(sys, "frozen", False) and RECIPE.is_dir()
    )


def require_buildable(platform: Platform) -> None:
    """Raise PlatformUnavailable with a sentence for a person when the executable can neither be found nor made here."""
    if not can_build(platform):
        message = f"This appliance has no agent for {platform.value}, and cannot build one: only its own system's."
        raise PlatformUnavailable(message, platform=platform.value)
    if not (shutil.which("objdump") and shutil.which("strip")):
        message = "Building the agent needs objdump and strip: install the package binutils on the appliance."
        raise PlatformUnavailable(message, platform=platform.value)


def build(
    settings: Settings, platform: Platform, on_line: Callable[[str], None], is_cancelled: Callable[[], bool]
) -> Path:
    """Build the platform's executable, about 30 s, and return it; return at once what another builder just made.

    `on_line` gets "NN % what is being done"; `is_cancelled` is asked several times a second and ends the build.
    Raises PlatformUnavailable (not possible here) and BuildError (failed, with the last lines, or cancelled).
    """
    require_buildable(platform)
    settings.bases.mkdir(parents=True, exist_ok=True)
    with _turn(settings.bases, is_cancelled):
        if (made := find(settings, platform)) is not None:
            return made
        path = settings.bases / name_of(platform)
        for left in settings.bases.glob("building-*"):
            shutil.rmtree(left, ignore_errors=True)
        with tempfile.TemporaryDirectory(prefix="building-", dir=settings.bases) as work:
            freezing.freeze(RECIPE, Path(work), on_line, is_cancelled).replace(path)
        for old in _newest_first(settings.bases, platform)[KEPT:]:
            old.unlink(missing_ok=True)
        return path


@contextmanager
def _turn(folder: Path, is_cancelled: Callable[[], bool]) -> Iterator[None]:
    """Wait until no other process builds; the lock goes with the process that holds it."""
    with (folder / "lock").open("wb") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if is_cancelled():
                    message = "The build was cancelled."
                    raise BuildError(message) from None
                time.sleep(LOCK_POLL_SECONDS)
            else:
                break
        yield


def name_of(platform: Platform) -> str:
    """Return the file name of the base that this appliance would build now."""
    return f"saveos-agent-{platform.value}-{machine.machine()}-{content_hash()}"


def content_hash() -> str:
    """Return the hash of all that goes into the executable."""
    whole = hashlib.sha256()
    for path in _sources():
        whole.update(f"{path.relative_to(path.parents[1])}\0{path.stat().st_size}\0".encode())
        whole.update(path.read_bytes())
    versions = {name: metadata.version(name) for name in CONTENTS}
    whole.update(f"{versions} {sys.version} {machine.machine()} {os.confstr('CS_GNU_LIBC_VERSION')}".encode())
    return whole.hexdigest()[:HASH_DIGITS]


def _sources() -> list[Path]:
    recipe = [path for path in RECIPE.rglob("*") if path.is_file() and path.suffix != ".pyc"]
    shared = [PACKAGE / "__init__.py", PACKAGE / "protocol.py"]
    return sorted([*recipe, *shared, *(PACKAGE / "agent").rglob("*.py")])


def _newest_first(folder: Path, platform: Platform) -> list[Path]:
    found = folder.glob(f"saveos-agent-{platform.value}-*")
    return sorted(found, key=lambda path: path.stat().st_mtime, reverse=True)
