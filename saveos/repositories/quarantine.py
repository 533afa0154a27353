"""Checkpoints: what a repository was at a commit, kept as hard links, and the way back to one.

Sound because Borg never changes a finished segment: it writes new ones and unlinks old ones. What it does change are
`config` and `nonce`, which are copied, and `index`, `hints` and `integrity`, which it replaces by new files.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from saveos.errors import StorageError
from saveos.repositories.evidence import sync

if TYPE_CHECKING:
    from collections.abc import Iterator

    from saveos.config import Settings

MAKING = ".making"
NEXT = ".next"  # beside a repository: what it becomes
COPIED = ("config", "README", "transactions")
LINKED = ("index", "hints", "integrity")
NONCE_BYTES = 8
NONCE_MARGIN = 1 << 40  # AES-CTR: what was encrypted after a copy was made used nonces that nobody here knows of


def place(settings: Settings, tenant_id: str, agent_id: str, checkpoint_id: str) -> Path:
    """Return where a checkpoint lies."""
    return settings.quarantine / tenant_id / agent_id / checkpoint_id


def make(repository: Path, checkpoint: Path, moment: int) -> None:
    """Keep what a repository was at a commit, the last one or one before it. May be done while a host writes.

    Raises StorageError: a file system without hard links, a full disk.
    """
    if checkpoint.exists():
        return
    making = checkpoint.with_name(checkpoint.name + MAKING)
    shutil.rmtree(making, ignore_errors=True)
    try:
        making.mkdir(parents=True, mode=0o700)
        _link_segments(repository, making, moment)
        _take_the_rest(repository, making, moment)
        sync(making)
        making.rename(checkpoint)
        sync(checkpoint.parent)
    except OSError as error:
        shutil.rmtree(making, ignore_errors=True)
        raise StorageError(f"A checkpoint of the repository cannot be kept: {error.strerror or error}.") from error


def own_bytes(checkpoint: Path) -> int:
    """Return what a checkpoint holds that is nowhere else, on disk."""
    found = 0
    for status in _statuses(checkpoint):
        found += status.st_size if status.st_nlink == 1 else 0
    return found


def held_bytes(folder: Path, repository: Path) -> int:
    """Return what all checkpoints of a repository hold that it does not hold itself; what they share counts once."""
    own = {(status.st_dev, status.st_ino) for status in _statuses(repository)}
    found = {(status.st_dev, status.st_ino): status.st_size for status in _statuses(folder)}
    return sum(size for key, size in found.items() if key not in own)


def known_in(folder: Path) -> set[str]:
    """Return the ids of the checkpoints of which something is in the folder of a repository's."""
    with contextlib.suppress(FileNotFoundError):
        return {path.name.removesuffix(MAKING) for path in folder.iterdir()}
    return set()


def remove(checkpoint: Path) -> None:
    """Let go of a checkpoint, finished or not; cut off, it is no checkpoint any more."""
    going = checkpoint.with_name(checkpoint.name + MAKING)
    shutil.rmtree(going, ignore_errors=True)
    with contextlib.suppress(FileNotFoundError):
        checkpoint.rename(going)
    shutil.rmtree(going, ignore_errors=True)


def prepare(repository: Path, checkpoint: Path) -> Path:
    """Build beside a repository what it is to become, with a nonce that was never used. Raises StorageError.

    Nobody may write to the repository from here until `swap` is done, or it is given up.
    """
    following = _following(repository)
    try:
        give_up(repository)
        following.parent.mkdir(parents=True, exist_ok=True, mode=0o700)  # all of it may be lost
        following.mkdir(mode=0o700)
        for path in _files(checkpoint):
            target = following / path.relative_to(checkpoint)
            target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            if path.name in (*COPIED, "nonce"):
                shutil.copy2(path, target)
            else:
                os.link(path, target)
        nonces = [nonce for folder in (repository, checkpoint) if (nonce := _nonce(folder)) is not None]
        if nonces:
            (following / "nonce").write_text(max(nonces).to_bytes(NONCE_BYTES, "big").hex())
        sync(following)
    except OSError as error:
        raise StorageError(f"The repository cannot be rolled back: {error.strerror or error}.") from error
    return following


def give_up(repository: Path) -> None:
    """Remove what was prepared."""
    shutil.rmtree(_following(repository), ignore_errors=True)


def swap(repository: Path, spare: Path) -> None:
    """Put what was prepared in the place of a repository; what stood there becomes the checkpoint `spare`.

    Done again after a kill at any step, it ends the same. Raises StorageError.
    """
    following = _following(repository)
    try:
        if not spare.exists():
            os.sync()  # the copies and links, before anything points to them
            spare.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with contextlib.suppress(FileNotFoundError):  # nothing stands there any more
                repository.rename(spare)
            sync(spare.parent)
        if following.exists():
            following.rename(repository)
            sync(repository.parent)
        for path in spare.glob("lock.*"):
            _delete(path)
    except OSError as error:
        raise StorageError(f"The repository cannot be rolled back: {error.strerror or error}.") from error


def keep_fresh(folder: Path, reserved: int | None = None) -> None:
    """Let no nonce be used again that was used after a copy was made, of which `reserved` had been by then.

    None: what its own file says.
    """
    known = (_nonce(folder) or 0) if reserved is None else reserved
    (folder / "nonce").write_text((known + NONCE_MARGIN).to_bytes(NONCE_BYTES, "big").hex())


def _following(repository: Path) -> Path:
    return repository.with_name(repository.name + NEXT)


def _nonce(folder: Path) -> int | None:
    try:
        return int((folder / "nonce").read_text().strip(), 16)
    except (OSError, ValueError):
        return None


def _link_segments(repository: Path, making: Path, moment: int) -> None:
    for folder in sorted((repository / "data").glob("[0-9]*"), key=lambda path: int(path.name)):
        numbers = sorted(int(path.name) for path in folder.iterdir() if path.name.isdigit())
        if numbers and numbers[0] > moment:
            continue
        into = making / "data" / folder.name
        into.mkdir(parents=True, mode=0o700)
        for number in numbers:
            if number <= moment:
                os.link(folder / str(number), into / str(number))
        sync(into)
    (making / "data").mkdir(exist_ok=True, mode=0o700)
    sync(making / "data")


def _take_the_rest(repository: Path, making: Path, moment: int) -> None:
    """Copy what changes in place; take the index, which Borg makes anew without it, if it is that of the commit."""
    for name in (*COPIED, "nonce"):
        with contextlib.suppress(FileNotFoundError):
            shutil.copy2(repository / name, making / name)
    names = [f"{name}.{moment}" for name in LINKED]
    try:
        for name in names:
            os.link(repository / name, making / name)
    except FileNotFoundError:
        for name in names:
            (making / name).unlink(missing_ok=True)


def _files(folder: Path) -> Iterator[Path]:
    """Give all files. Raises OSError: a folder that cannot be read is not an empty one."""
    for parent, _folders, names in os.walk(folder, onerror=_fail):
        for name in names:
            yield Path(parent, name)


def _fail(error: OSError) -> None:
    raise error


def _statuses(folder: Path) -> Iterator[os.stat_result]:
    """Measure all files that are there still."""
    for parent, _folders, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                yield Path(parent, name).lstat()


def _delete(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
