"""Names of files on a page: visible whatever bytes a host put into them, in a line, and where they lead."""

from __future__ import annotations

from urllib.parse import urlencode

from saveos.ui.host_paths import Crumb
from saveos.visible import shown

_LONGEST = 255


def short(name: str) -> str:
    """Return as much of a visible name as fits a line: a long one loses its middle."""
    visible = shown(name)
    if len(visible) <= _LONGEST:
        return visible
    half = _LONGEST // 2
    return f"{visible[:half]}…{visible[-half:]}"


def last(path: str) -> str:
    """Return the name of an entry."""
    return path.rpartition("/")[2]


def folder_of(path: str) -> str:
    """Return the folder that an entry lies in; "" is the root."""
    return path.rpartition("/")[0]


def crumbs(path: str) -> list[Crumb]:
    """Return the folders from below the root down to this entry path."""
    found: list[Crumb] = []
    for name in path.split("/"):
        if name:
            above = f"{found[-1].path}/" if found else ""
            found.append(Crumb(short(name), above + name))
    return found


def files_url(snapshot_id: str, path: str) -> str:
    """Return where a folder is looked at as of a snapshot."""
    return f"/snapshots/{snapshot_id}/files?{urlencode({'path': path})}" if path else f"/snapshots/{snapshot_id}/files"


def versions_url(agent_id: str, path: str) -> str:
    """Return where the versions of a file are listed."""
    return f"/agents/{agent_id}/versions?{urlencode({'path': path})}"
