"""Decoys in the folders that are backed up: nobody has a reason to change them, so whatever does is up to no good.

Only where a policy asks for them. Where each lies and what it holds is kept in the agent's state.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path

import msgspec

from saveos.agent.settings import write_private

STATE_NAME = "canaries.json"
FOLDERS_LIMIT = 20
AWAY_LIMIT = 200
NAMES = ("00-saveos-canary.docx", "zz-saveos-canary.txt")  # what walks a folder in order meets one of them early
CONTENT = (
    b"This file was put here by SaveOS, the backup of this computer. Nobody needs to open or change it.\n"
    b"When it changes or disappears, SaveOS warns that something may be tampering with the files around it.\n"
    b"To be rid of it, switch decoy files off in the backup policy.\n"
)
DIGEST = hashlib.sha256(CONTENT).hexdigest()


class Placed(msgspec.Struct, frozen=True, kw_only=True):
    """The decoys that lie on this host, by their paths. `away`: those whose folder went with them, as a disk does.

    `archive`: the one of which was last told that `count` decoys were looked at, and `lost` of them were not as laid.
    """

    paths: tuple[str, ...] = ()
    away: tuple[str, ...] = ()
    archive: str = ""
    count: int = 0
    lost: int = 0


def place(state: Path, sources: list[str], *, is_wanted: bool) -> None:
    """Lay decoys where some are missing that were never there, or take all away. What cannot be written is left out.

    One that is known and gone is not laid again here: `look` has to find that first.
    """
    known = _known(state)
    away = tuple(path for path in known.away if not _is_folder(Path(path).parent))
    back = [path for path in known.away if path not in away and os.path.lexists(path)]  # else its folder is a new one
    if not is_wanted:
        for path in (*known.paths, *back):
            if _is_whole(Path(path)):
                with contextlib.suppress(OSError):
                    Path(path).unlink()
        _keep(state, msgspec.structs.replace(known, paths=(), away=away))
        return
    paths = [*known.paths, *back]
    for folder in sources[:FOLDERS_LIMIT]:
        if not _is_folder(Path(folder)):
            continue
        for name in NAMES:
            path = os.path.join(folder, name)  # noqa: PTH118 - the path as it is told to Borg
            if path not in paths and _write(Path(path)):
                paths.append(path)
    _keep(state, msgspec.structs.replace(known, paths=tuple(paths), away=away))


def look(state: Path, archive: str) -> tuple[int, int]:
    """Return how many decoys there are and how many of them were changed or taken; those are forgotten and laid anew.

    One whose folder is gone went with it, and does not count until that is back. Asked once more about the same
    archive, as when its report was lost, it returns the same.
    """
    known = _known(state)
    if known.archive == archive:
        return known.count, known.lost
    if not known.paths:
        return 0, 0
    here = [path for path in known.paths if _is_folder(Path(path).parent)]
    whole = [path for path in here if _is_whole(Path(path))]
    away = (*known.away, *(path for path in known.paths if path not in here))[-AWAY_LIMIT:]
    count, lost = len(here), len(here) - len(whole)
    _keep(state, Placed(paths=tuple(whole), away=away, archive=archive, count=count, lost=lost))
    return count, lost


def _write(path: Path) -> bool:
    """Lay one, unless something of that name is there already: then return whether it is a decoy of ours."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0), 0o644)
    except FileExistsError:
        return _is_whole(path)
    except OSError:
        return False
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(CONTENT)
    except OSError:
        with contextlib.suppress(OSError):
            path.unlink()
        return False
    return True


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir() and not path.is_symlink()
    except OSError:
        return False


def _is_whole(path: Path) -> bool:
    try:
        if path.is_symlink() or not path.is_file() or path.stat().st_size != len(CONTENT):
            return False
        return hashlib.sha256(path.read_bytes()).hexdigest() == DIGEST
    except OSError:
        return False


def _known(state: Path) -> Placed:
    try:
        return msgspec.json.decode((state / STATE_NAME).read_bytes(), type=Placed)
    except (OSError, msgspec.MsgspecError):
        return Placed()


def _keep(state: Path, placed: Placed) -> None:
    if placed == _known(state):
        return
    with contextlib.suppress(OSError):
        write_private(state / STATE_NAME, msgspec.json.encode(placed))
