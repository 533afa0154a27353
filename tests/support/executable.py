"""The agent's real executable for tests, built once per contents and kept beside the clean root."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from saveos import config
from saveos.installers import bases
from saveos.protocol import Platform

if TYPE_CHECKING:
    from saveos.config import Settings


def cache() -> Path:
    """Return the folder that keeps what is slow to make."""
    folder = Path(os.environ.get("SAVEOS_TEST_CACHE") or Path.home() / ".cache" / "saveos-tests")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def ready_base() -> Path:
    """Return the unstamped executable of the present sources; builds it, about 25 s, unless it is there."""
    settings = config.load({"data": str(cache())}, {})
    return bases.build(settings, Platform.LINUX, lambda _line: None, lambda: False)


def seed(settings: Settings) -> Path:
    """Give an appliance the executable, as if it had built it; for tests about something else."""
    base = ready_base()
    settings.bases.mkdir(parents=True, exist_ok=True, mode=0o700)
    placed = settings.bases / base.name
    placed.write_bytes(base.read_bytes())
    placed.chmod(0o700)
    return placed
