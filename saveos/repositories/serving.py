"""Borg's repository behind its RPC, filtered: one repository, append-only, no way to take its key or lock away.

Speaks the protocol of `borg serve` 1.4 (borg/remote.py) over frames. Nothing is looked up by a name that the client
sends: a method exists if it is in the table below.
"""

from __future__ import annotations

import contextlib
import errno
import io
import logging
import shutil
from typing import TYPE_CHECKING, Any

import msgpack
from borg import logger as borg_logging
from borg import repository as borg_repository
from borg.constants import LIST_SCAN_LIMIT, MAX_OBJECT_SIZE
from borg.helpers import Error, format_file_size
from borg.remote import BORG_VERSION, InvalidRPCMethod, PathNotAllowed
from borg.repository import Repository

from saveos.agent.engine_committed import Unsettled
from saveos.agent.engine_distant import repository_in
from saveos.protocol import Frame, TunnelMode
from saveos.repositories.evidence import Counter
from saveos.repositories.guarded import Guarded

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from saveos.repositories.handover import Grant
    from saveos.repositories.wire import Wire

log = logging.getLogger("saveos.tunnel")

SEGMENT_BYTES = 64 * 1024**2  # an object that S3 takes in one piece, and little to copy again after a compaction
LOCK_MARGIN_SECONDS = 15  # a lock's holder is gone after its silence; wait a little longer than that
QUEUE_BYTES = 2 * 1024**2  # of answers waiting to be sent; no request is handled meanwhile
STREAM_BYTES = MAX_OBJECT_SIZE + 8 * 1024**2  # one message and what has come behind it
FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
HIDDEN = "repository"  # what an agent reads in place of a path of the appliance

# Argument names by method; what else a client says is left out. `put` and `delete` are asynchronous on the client.
_READ = {
    b"__len__": (),
    b"get": ("id",),
    b"list": ("limit", "marker"),
    b"scan": ("limit", "marker"),
    b"load_key": (),
    b"rollback": (),
}
_WRITE = {
    b"put": ("id", "data"),
    b"delete": ("id",),
    b"commit": ("compact", "threshold", "cleanup_commits"),
    b"get_free_nonce": (),
    b"commit_nonce_reservation": ("next_unreserved", "start_nonce"),
    b"check": ("repair", "max_duration"),
}
_CREATE = {b"save_key": ("keydata",)}
_CHANGING = frozenset({b"put", b"delete", b"commit", b"commit_nonce_reservation"})


class ProtocolBroken(Exception):
    """What came is not Borg's RPC."""


class FrameStream(io.TextIOBase):
    """Standard error of Borg's server: travels to Borg's client, without paths of the appliance."""

    def __init__(self, wire: Wire, path: Path) -> None:
        """Write to the wire, hiding the path."""
        self._wire = wire
        self._path = str(path)

    def write(self, text: str) -> int:
        """Queue the text as it is; Borg's client puts lines together."""
        self._wire.send(Frame.STDERR, text.replace(self._path, HIDDEN).encode(errors="replace"))
        return len(text)


class Service:
    """One session: answers until the client has said all."""

    def __init__(self, wire: Wire, grant: Grant, mode: TunnelMode, lock_seconds: float) -> None:
        """Serve what is granted. `lock_seconds`: how long to wait for other sessions at least."""
        self._wire = wire
        self._grant = grant
        self._is_writing = mode is TunnelMode.WRITE
        self._lock_seconds = lock_seconds
        self._repository: Any = None
        self._counter = Counter(grant.evidence, grant.job_id, grant.settled_segment, grant.archive_ids)
        self._failure: Exception | None = None  # of a change; the transaction is lost, only a rollback clears it
        self._methods: dict[bytes, tuple[Callable[..., Any], tuple[tuple[bytes, str], ...]]] = {}
        self._offer(self._open, b"open", ("create", "lock_wait", "exclusive"))
        self._pack = msgpack.Packer(use_bin_type=False, autoreset=True).pack

    def serve(self) -> None:
        """Answer requests in their order. Raises PeerGone, ProtocolBroken."""
        wire = self._wire
        unpacker = msgpack.Unpacker(
            use_list=False, raw=True, strict_map_key=False, max_buffer_size=STREAM_BYTES,
            max_str_len=MAX_OBJECT_SIZE, max_bin_len=MAX_OBJECT_SIZE, max_array_len=16, max_map_len=16, max_ext_len=0,
        )  # fmt: skip
        while True:
            data = wire.take()
            if not data:
                if wire.is_finished:
                    return
                wire.pump()
                continue
            try:
                unpacker.feed(data)
                for message in unpacker:
                    wire.answer(self._handle(message))
                    if wire.queued_bytes > QUEUE_BYTES:
                        wire.drain(QUEUE_BYTES // 2)
            except (ValueError, msgpack.UnpackException, msgpack.BufferFull) as error:
                raise ProtocolBroken(type(error).__name__) from error

    def close(self) -> None:
        """Drop what is not committed and release the lock."""
        repository, self._repository = self._repository, None
        if repository is None:
            return
        try:
            if isinstance(repository, Guarded) and repository.is_changing:
                repository.give_back()
            self._roll_back(repository)
        finally:
            repository.close()

    @property
    def added_bytes(self) -> int:
        """How much of what the session wrote is there. From any thread."""
        repository = self._repository
        return repository.added_bytes if isinstance(repository, Guarded) else 0

    def _handle(self, message: Any) -> bytes:
        if isinstance(message, tuple):
            return self._greet(message)
        try:
            number, method, arguments = message[b"i"], message[b"m"], message[b"a"]
            if not (isinstance(number, int) and isinstance(method, bytes) and isinstance(arguments, dict)):
                raise ProtocolBroken("types")
        except (KeyError, TypeError, IndexError) as error:
            raise ProtocolBroken("shape") from error
        try:
            result = self._call(method, arguments)
        except Exception as error:  # noqa: BLE001 - travels to the client, who raises it again
            return bytes(self._pack(self._failed(number, error)))
        return bytes(self._pack({b"i": number, b"r": result}))

    def _call(self, method: bytes, arguments: dict[bytes, Any]) -> Any:
        found = self._methods.get(method)
        if found is None:
            raise InvalidRPCMethod(method[:64].decode(errors="replace"))
        if method not in _CHANGING:
            call, names = found
            return call(**{name: arguments[key] for key, name in names if key in arguments})
        if self._failure is not None:
            raise self._failure
        call, names = found
        try:
            return call(**{name: arguments[key] for key, name in names if key in arguments})
        except OSError as error:
            self._failure = self._disk_failure(error)
            raise self._failure from error
        except Repository.StorageQuotaExceeded as error:
            log.warning("The session's room is used up; its transaction is dropped.")
            self._failure = error
            with contextlib.suppress(OSError):  # the disk may be full besides
                self._repository.note_refused()
            self._repository.give_back()
            raise

    def _disk_failure(self, error: OSError) -> Exception:
        """Give back what the transaction took, at once: on a full disk even a lock cannot be written."""
        if error.errno not in FULL:
            return error
        log.error("The disk is full; the session's transaction is dropped.")
        self._repository.give_back()
        free = shutil.disk_usage(self._grant.path).free
        return Repository.InsufficientFreeSpaceError("more", format_file_size(free))  # type: ignore[no-any-return]

    def _greet(self, message: tuple[Any, ...]) -> bytes:
        """Answer a client's first request: the only one in the form of Borg 1.0, by position."""
        try:
            _one, number, method, (facts,) = message
        except ValueError as error:
            raise ProtocolBroken("shape") from error
        if method != b"negotiate" or not isinstance(facts, dict):
            raise ProtocolBroken("client too old")
        return bytes(self._pack((1, number, None, {"server_version": BORG_VERSION})))

    def _open(self, create: object = False, lock_wait: float | None = None, exclusive: object = None) -> bytes:  # noqa: FBT002 - Borg's signature
        """Open the granted repository, whatever path the client named; never writable past the end.

        Who reads sees the last commit and takes no lock: a backup of hours does not keep anybody from their files.
        """
        if self._repository is not None:
            raise InvalidRPCMethod("open")
        path, is_new = self._grant.path, bool(create)
        if is_new:
            if not (self._grant.may_create and self._is_writing):
                raise PathNotAllowed(HIDDEN)
            _make_room(path)
        seconds = max(float(lock_wait or 0), self._lock_seconds)
        repository = None if self._is_writing else _committed(path)
        if repository is None:
            # None lets Borg take the exclusive lock when reading has to replay a commit that a crash cut off.
            repository = Guarded(
                str(path), self._counter, self._grant.room_bytes, create=is_new, append_only=not is_new,
                exclusive=bool(exclusive) if self._is_writing else None, lock_wait=seconds,
            )  # fmt: skip
            repository.__enter__()
        self._repository = repository
        self._offer_repository(repository)
        return bytes(repository.id)

    def _offer_repository(self, repository: Any) -> None:
        own = {b"rollback": self._rollback, b"list": self._list, b"scan": self._scan, b"check": self._check}
        table = dict(_READ)
        if self._is_writing:
            table |= _WRITE | (_CREATE if self._grant.may_create else {})
        for method, names in table.items():
            self._offer(own.get(method) or getattr(repository, method.decode()), method, names)

    def _offer(self, call: Callable[..., Any], method: bytes, names: tuple[str, ...]) -> None:
        self._methods[method] = (call, tuple((name.encode(), name) for name in names))

    def _rollback(self) -> None:
        self._roll_back(self._repository)

    def _roll_back(self, repository: Any) -> None:
        self._failure = None
        repository.rollback()

    def _list(self, limit: int | None = None, marker: bytes | None = None) -> Any:
        return self._repository.list(limit=min(limit or LIST_SCAN_LIMIT, LIST_SCAN_LIMIT), marker=marker)

    def _scan(self, limit: int | None = None, marker: bytes | None = None) -> Any:
        return self._repository.scan(limit=min(limit or LIST_SCAN_LIMIT, LIST_SCAN_LIMIT), marker=marker)

    def _check(self, repair: object = False, max_duration: int = 0) -> Any:  # noqa: FBT002 - Borg's signature
        if repair:
            raise InvalidRPCMethod("check --repair")
        return self._repository.check(max_duration=max_duration)

    def _failed(self, number: int, error: Exception) -> dict[bytes, Any]:
        """Return an error as Borg's client expects it: its class by name, no trace, no path of ours."""
        if isinstance(error, Error):
            text, arguments = str(error.get_message()), error.args
        else:
            log.error("A request failed.", exc_info=error)
            text, arguments = f"{type(error).__name__}: {error}", ()
        short = self._hide(text)
        return {
            b"i": number,
            b"exception_class": type(error).__name__,
            b"exception_args": [self._hide(value) for value in arguments],
            b"exception_full": [short],
            b"exception_short": [short],
            b"exception_trace": False,
            b"sysinfo": "",
        }

    def _hide(self, value: Any) -> Any:
        if isinstance(value, str):
            return value.replace(str(self._grant.path), HIDDEN)
        return value if isinstance(value, (bytes, int)) else None


def prepare_borg(wire: Wire, path: Path) -> None:
    """Set Borg up for one session: segment size of new repositories, log lines as JSON to the client."""
    import sys  # noqa: PLC0415 - its stderr is replaced here and nowhere else

    borg_repository.DEFAULT_MAX_SEGMENT_SIZE = SEGMENT_BYTES
    sys.stderr = FrameStream(wire, path)
    borg_logging.setup_logging(is_serve=True, json=True, level="warning", env_var=None)
    logging.getLogger("borg.output.progress").setLevel("INFO")  # the client decides whether to show it


def _committed(path: Path) -> Any:
    """Return the last commit, None when it is to be replayed first: Borg does that, under its lock."""
    with contextlib.suppress(Unsettled):
        return repository_in(path)
    return None


def _make_room(path: Path) -> None:
    """Make the parent folder, and clear away what a creation left that was cut off before its first commit."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if path.is_dir() and not any(path.glob("index.*")):
        shutil.rmtree(path)
