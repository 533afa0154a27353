"""Names of files as a person sees them: whatever bytes a host put into them, they look like what they are.

Source: Unicode TR 36 § 3 and TR 55, on characters that turn the direction of text or cannot be seen.
"""

from __future__ import annotations

import unicodedata
from urllib.parse import urlencode

from saveos.ui.host_paths import Crumb

_UNSEEN = frozenset({"Cc", "Cf", "Zl", "Zp"})  # controls, marks of direction, breaks of line and paragraph
_BLANK = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")  # letters that are drawn as nothing
_LONGEST = 255


def shown(name: str) -> str:
    """Return a name, or a path, with everything visible that would hide or turn what stands beside it.

    What is shown is not what is asked for: the entry path stays as it is.
    """
    if name.isascii() and name.isprintable():
        return name
    return "".join(f"\\u{{{ord(sign):x}}}" if _is_hidden(sign) else sign for sign in name)


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


def _is_hidden(sign: str) -> bool:
    return sign in _BLANK or unicodedata.category(sign) in _UNSEEN
