"""What a host backs up when its policy names nothing: what cannot be installed again."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

LINUX = ("/etc", "/home", "/root", "/srv", "/opt", "/usr/local", "/var")
MACOS = ("/Users", "/Library", "/usr/local", "/opt", "/private/etc")
ALWAYS_EXCLUDED = {
    "linux": (
        "/var/cache",
        "/var/tmp",  # noqa: S108 - named to be left out
        "/var/run",
        "/var/lock",
        "/var/lib/apt/lists",
        "/var/lib/docker/overlay2",
        "/var/lib/containerd",
        "/var/lib/containers/storage/overlay",
        "/var/lib/saveos",
        "/var/lib/saveos-agent",
        "sh:/home/*/.cache",
        "/root/.cache",
        "sh:**/.local/share/Trash",
    ),
    "darwin": ("sh:/Users/*/Library/Caches", "sh:/Users/*/.Trash", "/Library/Caches"),
    "win32": (),
}


def defaults() -> tuple[str, ...]:
    """Return the default set of this platform and user."""
    if sys.platform == "win32":
        return (str(Path(os.environ.get("SYSTEMDRIVE", "C:") + "\\") / "Users"),)
    if os.geteuid() != 0:
        return (str(Path.home()),)
    return MACOS if sys.platform == "darwin" else LINUX


def chosen(sources: Sequence[str], excludes: Sequence[str], state: Path) -> tuple[list[str], list[str], list[str]]:
    """Return what a backup takes, what it leaves out, and which of the sources do not exist on this host.

    Without sources it is the default set, of which no host has everything.
    """
    wanted = list(sources) or list(defaults())
    paths = [path for path in wanted if os.path.lexists(path)]
    left_out = [*excludes, *(own_state(state) if sources else (*own_state(state), *excluded(state)))]
    return paths, left_out, [path for path in sources if path not in paths]


def excluded(state: Path) -> tuple[str, ...]:
    """Return the patterns left out of the default set, and our own state always."""
    own_caches = str(Path.home() / ".cache")
    return (*ALWAYS_EXCLUDED.get(sys.platform, ()), own_caches, *own_state(state))


def own_state(state: Path) -> tuple[str, ...]:
    """Return the patterns that keep our changing state, and the key to it, out of every archive."""
    return (f"pp:{state.parent}",)
