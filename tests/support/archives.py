"""Archives made of items by hand, through Borg's own library, and our restore of them without an appliance."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from saveos.agent.engine_extract import Extracted, Plan
from saveos.protocol import Chosen, ReadForm, ReadHead, ReadOrder, entry_path
from tests.support.agent import stock_borg

PASSPHRASE = "of a test"
FILE, FOLDER, LINK = stat.S_IFREG | 0o644, stat.S_IFDIR | 0o755, stat.S_IFLNK | 0o777
MOMENT = 1_600_000_000_000_000_000

# Runs in a process of its own: Borg keeps its passphrase and its folders in the environment.
MAKE = """
import datetime, json, sys
from borg.logger import setup_logging
from borg.archive import Archive
from borg.cache import Cache
from borg.helpers import Manifest, StableDict
from borg.item import Item
from borg.repository import Repository

setup_logging()
path, name, items = json.loads(sys.stdin.read())
with Repository(path, exclusive=True) as repository:
    manifest, key = Manifest.load(repository, (Manifest.Operation.WRITE,))
    with Cache(repository, key, manifest, lock_wait=1) as cache:
        archive = Archive(repository, key, manifest, name, cache=cache, create=True)
        for said in items:
            content, is_lost = said.pop("content", None), said.pop("is_lost", False)
            for what in ("path", "source"):
                if what in said:
                    said[what] = bytes.fromhex(said[what]).decode("utf-8", "surrogateescape")
            if "xattrs" in said:
                pairs = said["xattrs"].items()
                said["xattrs"] = StableDict({name.encode(): bytes.fromhex(value) for name, value in pairs})
            item = Item(internal_dict={}, user=None, group=None, atime=said["mtime"], ctime=said["mtime"], **said)
            if content is not None:
                data = content.encode()
                item.chunks = [cache.add_chunk(key.id_hash(data), data, archive.stats)] if data else []
                item.size = len(data)
            if is_lost:  # as `borg check --repair` leaves it
                item.chunks_healthy, zeros = item.chunks, bytes(item.size)
                item.chunks = [cache.add_chunk(key.id_hash(zeros), zeros, archive.stats)]
            archive.add_item(item)
        archive.save()
"""


LOSE = """
import sys
from borg.logger import setup_logging
from borg.helpers import Manifest
from borg.repository import Repository

setup_logging()
with Repository(sys.argv[1], exclusive=True) as repository:
    manifest, key = Manifest.load(repository, (Manifest.Operation.WRITE,))
    repository.delete(key.id_hash(sys.stdin.buffer.read()))
    repository.commit(compact=False)
"""


def item(path: str | bytes, mode: int = FILE, content: str | None = None, **more: Any) -> dict[str, Any]:
    """Return an item of an archive; a regular file has content. `is_lost`: the repository has zeros for it by now."""
    if "source" in more:
        more["source"] = os.fsencode(more["source"]).hex()
    if stat.S_ISREG(mode) and content is None and "source" not in more:
        content = "from the archive"
    found = {"path": os.fsencode(path).hex(), "mode": mode, "uid": os.getuid(), "gid": os.getgid(), "mtime": MOMENT}
    return found | ({} if content is None else {"content": content}) | more


@dataclass(frozen=True)
class Read:
    """What a reading said: exit code, head, body."""

    code: int
    head: ReadHead
    body: bytes


@dataclass
class Store:
    """A repository in a folder."""

    folder: Path
    names: set[str] = field(default_factory=set)

    @classmethod
    def made(cls, folder: Path) -> Store:
        """Make it."""
        store = cls(folder)
        folder.mkdir()
        done = stock_borg(store.repository, PASSPHRASE, store.home, "init", "-e", "repokey-blake2")
        assert done.returncode == 0, done.stderr
        return store

    @property
    def repository(self) -> Path:
        """Where it lies."""
        return self.folder / "repository"

    @property
    def home(self) -> Path:
        """Where Borg keeps its own things."""
        return self.folder / "home"

    def craft(self, name: str, *items: dict[str, Any]) -> None:
        """Make an archive of these items, however odd they are."""
        self.names.add(name)
        told = json.dumps([str(self.repository), name, items])
        self._run([sys.executable, "-c", MAKE], told.encode())

    def lose(self, content: bytes) -> None:
        """Lose the chunk that has this content."""
        self._run([sys.executable, "-c", LOSE, str(self.repository)], content)

    def back_up(self, name: str, *words: str | bytes, folder: Path) -> None:
        """Make an archive as `borg create` does."""
        done = stock_borg(self.repository, PASSPHRASE, self.home, "create", f"::{name}", "--", *words, folder=folder)
        assert done.returncode == 0, done.stderr

    def unlock(self) -> None:
        """Take the locks away that a killed Borg left."""
        stock_borg(self.repository, PASSPHRASE, self.home, "break-lock")

    def start(self, name: str, target: Path, **plan: Any) -> subprocess.Popen[bytes]:
        """Start a restore and leave it running."""
        made = Plan(target=entry_path(os.fsencode(target)), **plan)
        words = [sys.executable, "-m", "saveos.agent", "borg", "restore", "--log-json", f"::{name}"]
        process = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=self._environment()
        )
        assert process.stdin is not None
        process.stdin.write(msgspec.json.encode(made))
        process.stdin.close()
        return process

    def restore(self, name: str, target: Path | None, *entries: bytes, **plan: Any) -> Extracted:
        """Restore by the agent's engine, and return what it says."""
        where = entry_path(os.fsencode(target)) if target is not None else None
        made = Plan(entries=tuple(map(entry_path, entries)), target=where, **plan)
        done = self._run(
            [sys.executable, "-m", "saveos.agent", "borg", "restore", "--log-json", f"::{name}"],
            msgspec.json.encode(made),
        )
        return msgspec.json.decode(done.stdout, type=Extracted)

    def read(
        self,
        name: str,
        *paths: bytes,
        form: ReadForm = ReadForm.FILE,
        place: int | None = None,
        is_far: bool = False,
    ) -> Read:
        """Read by the agent's program. `is_far`: through Borg's own server, as through the tunnel."""
        chosen = tuple(Chosen(path=entry_path(path), place=place) for path in paths)
        order = msgspec.json.encode(ReadOrder(archive=name, chosen=chosen, form=form))
        words = [sys.executable, "-m", "saveos.agent", "read"]
        environment = self._environment()
        if is_far:
            (shell := self.folder / "rsh").write_text('#!/bin/sh\nshift\nexec "$@"\n')
            shell.chmod(0o755)
            borg = str(Path(sys.executable).with_name("borg"))
            environment |= {
                "BORG_REPO": f"ssh://host{self.repository}",
                "BORG_RSH": str(shell),
                "BORG_REMOTE_PATH": borg,
            }
        done = subprocess.run(words, input=order, env=environment, capture_output=True, timeout=60, check=False)
        head, _newline, body = done.stdout.partition(b"\n")
        return Read(done.returncode, msgspec.json.decode(head, type=ReadHead), body)

    def _run(self, words: list[str], told: bytes) -> subprocess.CompletedProcess[bytes]:
        environment = self._environment()
        done = subprocess.run(words, input=told, env=environment, capture_output=True, timeout=60, check=False)
        assert done.returncode == 0, (done.stdout[-2000:], done.stderr[-5000:])
        return done

    def _environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("BORG_")}
        return kept | {
            "BORG_REPO": str(self.repository),
            "BORG_PASSPHRASE": PASSPHRASE,
            "BORG_BASE_DIR": str(self.home),
            "BORG_SELFTEST": "disabled",
            "LC_ALL": "C.UTF-8",
        }
