"""Whole trees, compared: type, mode, owner, mtime, content, xattr (with ACL), links, sparseness."""

from __future__ import annotations

import hashlib
import os
import stat
from collections import Counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

CHUNK = 1 << 20
SPARSE_SLACK = 1 << 23  # Borg skips whole chunks of zeros: an island of data comes back with its chunk, up to 8 MiB


def describe(root: Path) -> dict[bytes, dict[str, Any]]:
    """Return what every entry below the root is, by its path as bytes."""
    top = os.fsencode(root)
    entries: dict[bytes, dict[str, Any]] = {}
    groups: dict[tuple[int, int], bytes] = {}
    for folder, folders, files in os.walk(top):
        for name in [b"", *sorted(folders), *sorted(files)] if folder == top else [*sorted(folders), *sorted(files)]:
            path = os.path.join(folder, name) if name else folder
            entries[os.path.relpath(path, top)] = _entry(path, groups, top)
    _forget_links_to_elsewhere(entries)
    return entries


def differences(expected: Path, actual: Path, *, ignore: frozenset[str] = frozenset()) -> list[str]:
    """Return a line for each way in which two trees differ; sparseness counts when the copy lost its holes."""
    first, second = describe(expected), describe(actual)
    lines = [f"missing: {path!r}" for path in sorted(first.keys() - second.keys())]
    lines += [f"extra: {path!r}" for path in sorted(second.keys() - first.keys())]
    for path in sorted(first.keys() & second.keys()):
        one, two = first[path], second[path]
        for key in one.keys() | two.keys():
            if key in ignore or key == "allocated":
                continue
            if one.get(key) != two.get(key):
                lines.append(f"{path!r}: {key} {one.get(key)!r} became {two.get(key)!r}")
        if two.get("allocated", 0) > one.get("allocated", 0) + SPARSE_SLACK + one.get("size", 0) // 50:
            lines.append(f"{path!r}: takes {two['allocated']} bytes instead of {one['allocated']}: its holes are gone")
    return lines


def _forget_links_to_elsewhere(entries: dict[bytes, dict[str, Any]]) -> None:
    """Keep hard links among the entries; one to a file outside the tree cannot come back with it."""
    members = Counter(entry["linked with"] for entry in entries.values() if "linked with" in entry)
    for entry in entries.values():
        if members.get(entry.get("linked with"), 0) == 1:
            del entry["linked with"]


def _entry(path: bytes, groups: dict[tuple[int, int], bytes], top: bytes) -> dict[str, Any]:
    status = os.lstat(path)
    entry: dict[str, Any] = {
        "type": stat.S_IFMT(status.st_mode),
        "mode": stat.S_IMODE(status.st_mode),
        "owner": (status.st_uid, status.st_gid),
        "mtime": status.st_mtime_ns,
        "xattr": {name: os.getxattr(path, name, follow_symlinks=False) for name in _xattrs(path)},
    }
    if stat.S_ISLNK(status.st_mode):
        entry["target"] = os.readlink(path)
    if stat.S_ISREG(status.st_mode):
        entry |= {"size": status.st_size, "content": _digest(path), "allocated": status.st_blocks * 512}
        if status.st_nlink > 1:
            entry["linked with"] = groups.setdefault((status.st_dev, status.st_ino), os.path.relpath(path, top))
    if stat.S_ISCHR(status.st_mode) or stat.S_ISBLK(status.st_mode):
        entry["device"] = status.st_rdev
    return entry


def _xattrs(path: bytes) -> list[str]:
    try:
        return sorted(os.listxattr(path, follow_symlinks=False))
    except OSError:
        return []


def _digest(path: bytes) -> str:
    digest = hashlib.blake2b(digest_size=16)
    with open(path, "rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
