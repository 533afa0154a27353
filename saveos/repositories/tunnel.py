"""The tunnel's process: imports Borg once and forks a child for each connection that the main process hands over.

It has one thread and opens nothing secret but the server's key. It ends when the main process does.
"""

from __future__ import annotations

import gc
import logging
import os
import signal
import socket
import ssl
import sys
from pathlib import Path
from typing import NoReturn

import msgspec

from saveos.logging import JsonLines
from saveos.repositories.handover import HOST_ID, Options

log = logging.getLogger("saveos.tunnel")


class Context:
    """The TLS context of all children; read again when a file behind it has changed."""

    def __init__(self, options: Options) -> None:
        """Load the files."""
        self._options = options
        self._stamp = self._times()
        self._context = self._load()

    def current(self) -> ssl.SSLContext:
        """Return a context with the newest certificate; the old one while the new files do not fit together."""
        try:
            stamp = self._times()
            if stamp != self._stamp:
                self._context, self._stamp = self._load(), stamp
        except (OSError, ssl.SSLError) as error:
            log.warning("The server's certificate cannot be read again: %s", error)
        return self._context

    def _times(self) -> tuple[int, ...]:
        options = self._options
        return tuple(
            Path(path).stat().st_mtime_ns for path in (options.certificate_path, options.key_path, options.trust_path)
        )

    def _load(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.num_tickets = 0
        context.load_cert_chain(self._options.certificate_path, self._options.key_path)
        context.verify_mode = ssl.CERT_REQUIRED
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        context.load_verify_locations(cafile=self._options.trust_path)
        return context


def main(argv: list[str]) -> int:
    """Run until the main process is gone. Arguments: the descriptor that leads to it, `Options` as JSON."""
    channel = socket.socket(fileno=int(argv[0]))
    options = msgspec.json.decode(argv[1], type=Options)
    _log_to_stderr()
    _prepare(options)
    context = Context(options)
    gc.collect()
    gc.freeze()  # the children share these pages for as long as nobody counts in them
    while True:
        try:
            _message, descriptors, _flags, _address = socket.recv_fds(channel, 1, 2)
        except InterruptedError:
            continue
        if not _message:
            return 0
        if len(descriptors) == 2:  # noqa: PLR2004 - the client's connection and the way back to the main process
            _fork(channel, descriptors, context.current(), options)
        for descriptor in descriptors:
            os.close(descriptor)


def _fork(channel: socket.socket, descriptors: list[int], context: ssl.SSLContext, options: Options) -> None:
    try:
        pid = os.fork()
    except OSError as error:
        log.error("No process for a connection: %s", error)  # noqa: TRY400 - the reason says all
        return
    if not pid:
        channel.close()
        _visit(descriptors, context, options)


def _visit(descriptors: list[int], context: ssl.SSLContext, options: Options) -> NoReturn:
    """Live the child's life and never return: no handler or clean-up of the parent's may run here."""
    from saveos.repositories.visit import Visit  # noqa: PLC0415 - imported already; needs Borg's environment

    code = 1
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        client, control = (socket.socket(fileno=descriptor) for descriptor in descriptors)
        Visit(client, control, context, options).run()
        code = 0
    except Exception:
        log.exception("A session failed.")
    finally:
        os._exit(code)


def _prepare(options: Options) -> None:
    """Set the environment, then import Borg, which reads it while it is imported."""
    for name in [name for name in os.environ if name.startswith("BORG_")]:
        del os.environ[name]
    os.environ["BORG_BASE_DIR"] = options.borg_home
    os.environ["BORG_HOST_ID"] = HOST_ID
    os.umask(0o077)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the children: they bury themselves
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    from saveos.repositories import locks, visit  # noqa: F401, PLC0415 - see above

    locks.adopt()


def _log_to_stderr() -> None:
    """Keep our own lines apart from Borg's, which travel to the agent."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    logger = logging.getLogger("saveos")
    logger.handlers = [handler]
    logger.propagate = False
    logger.setLevel(logging.INFO)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
