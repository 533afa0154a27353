"""Names of files as a person sees them: whatever bytes a host put into them, they look like what they are.

Source: Unicode TR 36 § 3 and TR 55, on characters that turn the direction of text or cannot be seen.
"""

from __future__ import annotations

import re
from urllib.parse import urlencode

from saveos.ui.host_paths import Crumb

_UNSEEN = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e0fff]"
)
_LONGEST = 255


def shown(name: str) -> str:
    """Return a name, or a path, with everything visible that would hide or turn what stands beside it.

    What is shown is not what is asked for: the entry path stays as it is.
    """
    return _UNSEEN.sub(lambda found: f"\\u{{{ord(found[0]):x}}}", name)


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
