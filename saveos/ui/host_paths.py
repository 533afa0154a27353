"""Paths of a host, as its own system writes them. The appliance's system is another one."""

from __future__ import annotations

import msgspec


class Crumb(msgspec.Struct, frozen=True):
    """A folder on the way down to another one."""

    name: str
    path: str


def join(folder: str, name: str, *, is_windows: bool) -> str:
    """Return the path of an entry; below the root of Windows lie its drives."""
    if is_windows and not folder:
        return name
    separator = "\\" if is_windows else "/"
    return folder.rstrip(separator) + separator + name


def crumbs(path: str, *, is_windows: bool) -> list[Crumb]:
    """Return the folders from below the root down to this one."""
    separator, start = ("\\", "") if is_windows else ("/", "/")
    found: list[Crumb] = []
    folder = start
    for name in path.split(separator):
        if name:
            folder = join(folder, name, is_windows=is_windows)
            is_drive = is_windows and not found
            found.append(Crumb(name, folder + separator if is_drive else folder))
    return found


def is_within(path: str, folder: str) -> bool:
    """Return whether a path lies below a folder; a folder does not lie below itself."""
    separator = "/" if folder.startswith("/") else "\\"
    start = folder if folder.endswith(separator) else folder + separator
    return path.startswith(start) and path != folder
