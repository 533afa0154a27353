"""Backups by our own engine into a repository in a folder, with what the guard counts; and trees to be harmed."""

# ruff: noqa: S311 - dice of a test

from __future__ import annotations

import json
import os
import random
import resource
import subprocess
import sys
import zipfile
from dataclasses import dataclass, field
from io import BytesIO
from typing import TYPE_CHECKING, Any

from saveos.agent import guard
from saveos.agent.engine_listing import VARIABLE
from saveos.agent.settings import Home
from saveos.protocol import ArchiveFacts, GuardFacts

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PASSPHRASE = "of a test"
UNGUARDED = (
    "import sys; from saveos.agent import engine, engine_guard; engine_guard.install = lambda *_: None;"
    " sys.exit(engine.main(sys.argv[1:]))"
)
WORDS = b"invoice summer meeting budget total project contract dear regards customer order delivery report".split()


@dataclass
class LocalHost:
    """A host without an appliance: its repository lies in a folder."""

    folder: Path
    archives: list[ArchiveFacts] = field(default_factory=list)
    cpu_seconds: float = 0.0  # of the last backup

    def __post_init__(self) -> None:
        """Make the repository."""
        self.home = Home(self.folder / "agent" / "config.json")
        self.home.prepare()
        self._run("init", "--encryption", "repokey-blake2")

    def back_up(self, *paths: Path, is_guarded: bool = True) -> ArchiveFacts:
        """Make the next archive and return its facts, as the agent would report them. Not guarded: to compare with."""
        name = f"archive-{len(self.archives)}"
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        options = ["--json", "--files-cache", "ctime,size,inode", "--compression", "lz4"]
        done = self._run("create", *options, f"::{name}", *map(str, paths), is_guarded=is_guarded)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        self.cpu_seconds = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
        archive: dict[str, Any] = json.loads(done)["archive"]
        sources = tuple(map(str, paths))
        facts = ArchiveFacts(
            name=name,
            archive_id=archive["id"],
            files_count=archive["stats"]["nfiles"],
            original_bytes=archive["stats"]["original_size"],
            compressed_bytes=archive["stats"]["compressed_size"],
            added_bytes=max(0, archive["stats"]["deduplicated_size"]),
            sources=sources,
            guard=guard.facts_of(self.home, name, sources) if is_guarded else None,
        )
        self.archives.append(facts)
        return facts

    def guarded(self, *paths: Path) -> GuardFacts:
        """Make the next archive and return what the guard counted."""
        facts = self.back_up(*paths).guard
        assert facts is not None
        return facts

    def _run(self, *words: str, is_guarded: bool = True) -> str:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("BORG_")}
        more = {
            "BORG_REPO": str(self.folder / "repository"),
            "BORG_PASSPHRASE": PASSPHRASE,
            "BORG_BASE_DIR": str(self.home.borg),
            "BORG_SELFTEST": "disabled",
        }
        more |= {VARIABLE: str(self.home.listings)}
        start = ["-m", "saveos.agent", "borg"] if is_guarded else ["-c", UNGUARDED]
        command = [sys.executable, *start, *words]
        done = subprocess.run(command, env=kept | more, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stdout


def text(dice: random.Random, size: int) -> bytes:
    """Return words."""
    return (b" ".join(dice.choices(WORDS, k=size // 7 + 1)) + b"\n")[:size]


def office(dice: random.Random, size: int) -> bytes:
    """Return a packed document: noise behind its mark."""
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("[Content_Types].xml", text(dice, 600))
        file.writestr("word/document.xml", text(dice, 4 * size))
    return buffer.getvalue()


def picture(dice: random.Random, size: int) -> bytes:
    """Return what a camera writes, near enough: a mark, a header, noise."""
    return b"\xff\xd8\xff\xe1\0\x18Exif\0\0II*\0" + bytes(200) + dice.randbytes(size)


KINDS = (("txt", text), ("docx", office), ("csv", text), ("jpg", picture), ("py", text), ("conf", text))


def make_tree(folder: Path, count: int, seed: int = 1, *, size: int = 1500, in_folder: int = 200) -> list[Path]:
    """Make so many small files of several kinds and return them in order."""
    dice = random.Random(seed)
    documents = [office(dice, size) for _ in range(20)]
    made = []
    for number in range(count):
        place = folder / f"folder {number // in_folder:04d}"
        if number % in_folder == 0:
            place.mkdir(parents=True)
        ending, content = KINDS[number % len(KINDS)]
        data = dice.choice(documents) + number.to_bytes(4, "big") if ending == "docx" else content(dice, size)
        path = place / f"file {number:06d}.{ending}"
        path.write_bytes(data)
        made.append(path)
    return made


def encrypted(paths: list[Path], share: float, seed: int = 2) -> Iterator[Path]:
    """Give a fair share of some files after their content has become noise."""
    dice = random.Random(seed)
    for path in dice.sample(paths, int(len(paths) * share)):
        path.write_bytes(dice.randbytes(path.stat().st_size))
        yield path
