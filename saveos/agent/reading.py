"""Reads files out of an archive for a person who waits: a process reads, its output streams to the appliance.

Beside everything else: it takes no lock on the repository and not this host's turn for Borg.
"""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import secrets
import signal
import subprocess
import threading
from typing import TYPE_CHECKING

import msgspec

from saveos.agent.borg import environment, tunnel_settings
from saveos.agent.client import Client
from saveos.agent.failures import Failure
from saveos.agent.settings import own_command, write_private
from saveos.agent.tunnel import ERROR_SUFFIX
from saveos.protocol import Frame, TunnelMode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from saveos.agent.settings import Config, Home
    from saveos.agent.upload import Upload
    from saveos.protocol import Question

log = logging.getLogger("saveos.agent")
LIMIT = 6  # the appliance opens four of one host; one that a person left takes a moment to end
PART_BYTES = 256 * 1024
PARTS_AHEAD = 4
PING_SECONDS = 0.5  # how soon a reader ends when the person has gone


class Readings:
    """Those under way."""

    def __init__(self, home: Home, config: Callable[[], Config]) -> None:
        """`config`: the one in use now."""
        self._home, self._config = home, config
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []

    def take(self, question: Question) -> None:
        """Begin to read; what is one too many is left to run out on the appliance."""
        self._threads = [thread for thread in self._threads if thread.is_alive()]
        if len(self._threads) >= LIMIT:
            log.warning("Too many downloads at once: one is not begun.")
            return
        thread = threading.Thread(target=self._read, args=(question,), name="read", daemon=True)
        self._threads.append(thread)
        thread.start()

    def stop(self, seconds: float) -> None:
        """End them all, and wait a little."""
        self._stopping.set()
        for thread in self._threads:
            thread.join(seconds)

    def _read(self, question: Question) -> None:
        assert question.read is not None  # noqa: S101 - why it came here
        config = self._config()
        client = Client.for_host(self._home, config)
        try:
            with (
                with_key(self._home, config, ["read"], msgspec.json.encode(question.read)) as process,
                contextlib.closing(client.stream(question.question_id)) as upload,
            ):
                _pass_on(process, upload, self._stopping)
        except Failure as failure:
            log.info("A download was broken off: %s", failure)
        except OSError as error:
            log.warning("A download could not be begun: %s", error)


@contextlib.contextmanager
def with_key(home: Home, config: Config, words: Sequence[str], told: bytes = b"") -> Iterator[subprocess.Popen[bytes]]:
    """Run our program with this host's key on its repository; it and its tunnel end with this.

    `told`: what it reads on standard input.
    """
    settings = home.state / f"tunnel-{secrets.token_hex(8)}.json"
    reading, writing = os.pipe()
    try:
        try:
            write_private(settings, msgspec.json.encode(tunnel_settings(home, config, TunnelMode.READ, None)))
            os.write(writing, home.passphrase.read_bytes())
        finally:
            os.close(writing)
        process = subprocess.Popen(
            own_command(*words),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            pass_fds=[reading],
            env=environment(home, settings, reading),
            start_new_session=True,
        )
        try:
            assert process.stdin is not None  # noqa: S101 - asked for
            with contextlib.suppress(OSError), process.stdin as stdin:
                stdin.write(told)
            yield process
        finally:
            _kill(process)
    finally:
        os.close(reading)
        settings.unlink(missing_ok=True)
        settings.with_name(settings.name + ERROR_SUFFIX).unlink(missing_ok=True)


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End it and its tunnel, which is still there when it was killed itself."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    if process.stdout is not None:
        process.stdout.close()


def _pass_on(process: subprocess.Popen[bytes], upload: Upload, stopping: threading.Event) -> None:
    """Send what it says until it has said all or nobody listens any more."""
    parts: queue.Queue[bytes] = queue.Queue(PARTS_AHEAD)
    is_over = threading.Event()
    threading.Thread(target=_hear, args=(process, parts, is_over), name="read-out", daemon=True).start()
    try:
        while not stopping.is_set() and not upload.is_ended():
            try:
                part = parts.get(timeout=PING_SECONDS)
            except queue.Empty:
                upload.write(Frame.PING)
                continue
            if not part:
                code = process.wait()
                upload.write(Frame.EXIT, bytes((code if 0 <= code < 256 else 1,)))  # noqa: PLR2004 - a byte
                upload.finish()
                return
            upload.write(Frame.DATA, part)
    finally:
        is_over.set()


def _hear(process: subprocess.Popen[bytes], parts: queue.Queue[bytes], is_over: threading.Event) -> None:
    """Pass its output on; an empty part is the end."""
    assert process.stdout is not None  # noqa: S101 - asked for
    part = b"-"
    while part and not is_over.is_set():
        try:
            part = os.read(process.stdout.fileno(), PART_BYTES)
        except (OSError, ValueError):
            part = b""
        while not is_over.is_set():
            with contextlib.suppress(queue.Full):
                parts.put(part, timeout=PING_SECONDS)
                break
