"""Names for what a restore has not finished, and their end where it was killed before it gave the final ones."""

from __future__ import annotations

import contextlib
import os
import re
import secrets

PREFIX = ".saveos-restoring-"
_OURS = re.compile(re.escape(PREFIX) + "[0-9a-f]{16}")


def temporary_name() -> str:
    """Return a name that nothing has."""
    return PREFIX + secrets.token_hex(8)


def sweep(folder: int) -> None:
    """Remove what a killed restore left in an open folder: no other Borg of this host runs. A folder is none of it."""
    with contextlib.suppress(OSError):
        listed = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=folder)
        try:
            with os.scandir(listed) as entries:
                names = [entry.name for entry in entries if _OURS.fullmatch(entry.name)]
        finally:
            os.close(listed)
        for name in names:
            with contextlib.suppress(OSError):
                os.unlink(name, dir_fd=folder)
