"""Borg inside the agent's executable, made quicker over the tunnel where it wastes time for each small chunk."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import inspect
import os
import signal
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from saveos.agent import engine_guard, engine_listing
from saveos.agent import noted as noted_files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

PARENT_VARIABLE = "SAVEOS_PARENT"  # process id of the agent that started Borg: Borg ends with it
PARENT_SECONDS = 1.0
BORG_VERSION = "1.4.5"  # the only one that the changes below are known to fit
RESTORE = "restore"  # in the place of Borg's own word `extract`: with a plan on stdin
UNKNOWN_VERSION = 2
BATCH_BYTES = 256 * 1024
PRELOAD_COUNT = 64
READ_BYTES = 1024**2


def main(argv: Sequence[str]) -> int:
    """Run Borg with these arguments in this process and return its exit code.

    `restore` needs the one version that `engine_extract` drives: another would restore without its guards.
    """
    import borg  # noqa: PLC0415 - a third of a second, and only here
    from borg import archive, archiver, remote  # noqa: PLC0415

    if borg.__version__ == BORG_VERSION:
        quicken(remote)
        count_changes(archiver.Archiver, archive.Statistics)
        if listings := os.environ.get(engine_listing.VARIABLE):
            engine_listing.install(archive, archiver, Path(listings))
            engine_guard.install(archive, archiver, Path(listings).parent)
        if (noted := os.environ.get(noted_files.VARIABLE)) and argv[:1] == ["create"]:
            from saveos.agent import engine_noting  # noqa: PLC0415 - only for a backup

            engine_noting.install(archive, Path(noted))
    if argv[:1] == [RESTORE]:
        from saveos.agent import engine_extract  # noqa: PLC0415 - and what it needs, only for this

        if borg.__version__ != BORG_VERSION:
            sys.stderr.write(f"A restore needs Borg {BORG_VERSION}, not {borg.__version__}.\n")
            return UNKNOWN_VERSION
        engine_extract.change_extract(archiver, engine_extract.read_plan())
        argv = ["extract", *argv[1:]]
    parent = os.environ.get(PARENT_VARIABLE, "")
    if parent.isdigit():
        threading.Thread(target=end_with, args=(int(parent),), daemon=True).start()
    sys.argv = ["borg", *argv]
    archive.sys = _PrintableSys()
    try:
        archiver.main()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0


def quicken(remote: Any) -> None:
    """Change Borg's client: signatures are worked out once, chunks travel in batches.

    Borg 1.4 inspects a signature for each call, and writes each chunk and each request on its own: a select, a write
    and a wake-up of the tunnel for every few hundred bytes. Order and meaning stay: a batch leaves before anything
    that waits for an answer, and all sending and receiving is still done by Borg's own `call_many`.
    """
    remote.inspect = SimpleNamespace(signature=functools.lru_cache(None)(inspect.signature))
    repository = remote.RemoteRepository
    repository.call_many = _call_many(repository.call_many, remote)
    repository.put = _put(repository.put, remote)
    repository.async_response = _async_response(repository.async_response)
    remote.os = _ReusingOs(remote.BUFSIZE)
    _keep_memory()


def count_changes(archiver: Any, statistics: Any) -> None:
    """Let `borg create --json` say how many files were new and how many had changed.

    Borg tells the status of each file to whoever asks for a list, which would be a line for every file.
    """
    seen = {"A": 0, "M": 0}  # borg-create(1), "Item flags"
    told, as_dict = archiver.print_file_status, statistics.as_dict

    def print_file_status(self: Any, status: str, path: str) -> Any:
        if status in seen:
            seen[status] += 1
        return told(self, status, path)

    def counted(self: Any) -> dict[str, Any]:
        return {**as_dict(self), "saveos_new_files": seen["A"], "saveos_changed_files": seen["M"]}

    archiver.print_file_status, statistics.as_dict = print_file_status, counted


class _PrintableSys:
    """The module `sys`, but for the words that Borg keeps in an archive: it fails on those that are no UTF-8."""

    def __getattr__(self, name: str) -> Any:
        return getattr(sys, name)

    @property
    def argv(self) -> list[str]:
        """What was asked, with escapes."""
        return [word.encode("utf-8", "backslashreplace").decode() for word in sys.argv]


class _ReusingOs:
    """The module `os`, but for Borg's large reads, which each ask for 10 MiB of fresh memory to fill a part of it."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._view = memoryview(bytearray(READ_BYTES))

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def read(self, descriptor: int, size: int) -> bytes | memoryview:
        """Return what is there; the next large read overwrites it."""
        if size != self._size:
            return os.read(descriptor, size)
        return self._view[: os.readv(descriptor, [self._view])]


def _keep_memory() -> None:
    """Keep freed chunks instead of giving them back to the system, which zeroes each page when it comes again."""
    with contextlib.suppress(OSError, AttributeError):
        library = ctypes.CDLL(None)
        library.mallopt(-3, 32 * 1024**2)  # M_MMAP_THRESHOLD
        library.mallopt(-1, 64 * 1024**2)  # M_TRIM_THRESHOLD


def _put(original: Callable[..., Any], remote: Any) -> Callable[..., Any]:
    """Keep small chunks until they are worth a journey."""

    def put(self: Any, id: bytes, data: bytes, wait: bool = True) -> Any:  # noqa: A002, FBT001, FBT002 - Borg's names
        batch = self.__dict__.setdefault("saveos_batch", [])
        self.saveos_batch_bytes = self.__dict__.get("saveos_batch_bytes", 0) + len(data)
        if wait or not self.dictFormat or self.saveos_batch_bytes >= BATCH_BYTES:
            return original(self, id, data, wait=wait)  # sends the batch, then this
        self.msgid += 1
        self.ignore_responses.add(self.msgid)
        arguments = {"id": id, "data": data}
        batch.append(remote.msgpack.packb({remote.MSGID: self.msgid, remote.MSG: "put", remote.ARGS: arguments}))
        return None

    return put


def _call_many(original: Callable[..., Any], remote: Any) -> Callable[..., Any]:
    """Let what was kept leave first, ask for chunks that will be wanted soon in one go, and take one that has come.

    Borg asks the system whether there is more to read or write for each chunk, although the answer lies there.
    """

    def call_many(self: Any, cmd: str, calls: Any, **how: Any) -> Iterator[Any]:
        _queue(self)
        if self.preload_ids and not self.to_send and self.dictFormat:
            _request_ahead(self, remote)
        if (
            how.get("is_preloaded")
            and not self.to_send
            and (answer := _answer_at_hand(self, calls, remote)) is not None
        ):
            return iter((answer,))
        return original(self, cmd, calls, **how)  # type: ignore[no-any-return]

    return call_many


def _async_response(original: Callable[..., Any]) -> Callable[..., Any]:
    """Look for answers that came; without any there is nothing to send for."""

    def async_response(self: Any, wait: bool = True) -> Any:  # noqa: FBT001, FBT002 - Borg's signature
        if not wait and not self.async_responses:
            return None
        return original(self, wait=wait)

    return async_response


def _queue(repository: Any) -> None:
    batch = repository.__dict__.get("saveos_batch")
    if batch:
        repository.to_send.push_back(b"".join(batch))
        batch.clear()
    repository.saveos_batch_bytes = 0


def _request_ahead(repository: Any, remote: Any) -> None:
    ids = repository.preload_ids[:PRELOAD_COUNT]
    del repository.preload_ids[:PRELOAD_COUNT]
    messages = []
    for chunk in ids:
        repository.msgid += 1
        repository.chunkid_to_msgids.setdefault(chunk, []).append(repository.msgid)
        arguments = {"id": chunk}
        messages.append(
            remote.msgpack.packb({remote.MSGID: repository.msgid, remote.MSG: "get", remote.ARGS: arguments})
        )
    repository.to_send.push_back(b"".join(messages))


def _answer_at_hand(repository: Any, calls: Any, remote: Any) -> bytes | None:
    """Return the one chunk that is wanted if it was asked for ahead and has come whole."""
    if len(calls) != 1:
        return None
    chunk = calls[0]["id"]
    asked = repository.chunkid_to_msgids.get(chunk)
    answer = repository.responses.get(asked[0]) if asked else None
    if answer is None or remote.RESULT not in answer:
        return None
    del repository.responses[asked.pop(0)]
    if not asked:
        del repository.chunkid_to_msgids[chunk]
    data: bytes = answer[remote.RESULT]
    return data


def end_with(parent: int) -> None:
    """Wait for the parent's death and stop Borg in order: an orphan would hold the repository for nobody."""
    try:
        while True:
            time.sleep(PARENT_SECONDS)
            os.kill(parent, 0)
    except OSError:
        os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
