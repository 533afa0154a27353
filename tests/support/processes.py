"""The processes of this machine, by what they were started with and by whom."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True)
class Process:
    """One process. What cannot be read of it is empty."""

    pid: int
    parent: int
    words: tuple[str, ...]
    environment: bytes


def processes() -> Iterator[Process]:
    """Return the processes that live; those that wait to be buried do not."""
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            state, parent = (folder / "stat").read_bytes().rpartition(b")")[2].split()[:2]
            if state in (b"Z", b"X"):
                continue
            words = (folder / "cmdline").read_bytes().decode(errors="replace").split("\0")[:-1]
            environment = (folder / "environ").read_bytes()
        except OSError:
            continue
        yield Process(int(folder.name), int(parent), tuple(words), environment)


def alive(pid: int) -> bool:
    """Return whether a process lives."""
    return any(process.pid == pid for process in processes())


def children(pid: int, *words: str) -> list[int]:
    """Return the children of a process that were started with these words."""
    return [process.pid for process in processes() if process.parent == pid and set(words) <= set(process.words)]


def descendants(pid: int) -> list[int]:
    """Return everything below a process."""
    below = children(pid)
    return below + [deeper for child in below for deeper in descendants(child)]
