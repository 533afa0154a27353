"""The process that holds opened keys, for minutes: the recovery code and passphrases are in no other one's memory.

It makes a key pair, to which the person's browser seals the recovery code; opens the keys of the chosen hosts; and runs
Borg on their repositories with them. It ends at its deadline or when the main process is gone: its death is the wiping.
"""

from __future__ import annotations

import base64
import contextlib
import os
import selectors
import shutil
import signal
import socket
import struct
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from saveos.agent import privacy
from saveos.errors import InvalidRequest
from saveos.repositories import keyholding, sealing
from saveos.repositories.keyholder_run import KeyRun
from saveos.repositories.keyholding import CODE_INFO, CODE_SUITE, Hello, HostKey, Open, Opened, Order, Start, Started
from saveos.tenants import recovery

if TYPE_CHECKING:
    from saveos.protocol import AgentId, Wire

OFFER_SECONDS = 120.0  # to type the code in
GLANCE_SECONDS = 5.0  # the clock is looked at so often: a machine may have slept meanwhile
RUNS = 16  # at once


class Keyholder:
    """One unlock, from the offer to its end."""

    def __init__(self, channel: socket.socket, unlock_id: str, folder: Path) -> None:
        """`folder`: for Borg's own files, this process's alone."""
        self._channel, self._unlock_id, self._folder = channel, unlock_id, folder
        self._private = X25519PrivateKey.generate()
        self._keys: dict[AgentId, HostKey] = {}
        self._runs: list[KeyRun] = []
        self._deadline = _now() + OFFER_SECONDS
        self._is_over = False
        self._selector = selectors.DefaultSelector()

    def hold(self) -> None:
        """Live until the deadline or the main process's end."""
        woken, waker = socket.socketpair()
        for end in (woken, waker):
            end.setblocking(False)  # noqa: FBT003 - its only argument
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(waker.fileno(), warn_on_full_buffer=False)
        self._selector.register(self._channel, selectors.EVENT_READ, self._hear)
        self._selector.register(woken, selectors.EVENT_READ, lambda: self._bury(woken))
        self._say(Hello(public_key=_text(self._private.public_key().public_bytes_raw())))
        try:
            while not self._is_over and (left := self._deadline - _now()) > 0:
                for key, _events in self._selector.select(min(left, GLANCE_SECONDS)):
                    key.data()
        finally:
            for run in self._runs:
                run.kill()

    def _hear(self) -> None:
        order, descriptors = self._receive()
        if order is None:
            self._is_over = True
        elif order.open is not None:
            self._say(self._open(order.open))
        elif order.start is not None:
            self._say(self._start(order.start, descriptors))
        for descriptor in descriptors:
            os.close(descriptor)

    def _open(self, order: Open) -> Opened:
        try:
            private = self._key_of(order)
        except InvalidRequest:
            return Opened(error="mistyped")
        except (InvalidTag, ValueError, OSError):
            return Opened(error="unreadable")
        public = _text(private.public_key().public_bytes_raw())
        for host in order.hosts:
            for seal in host.seals:
                if seal.public_key != public:
                    continue
                with contextlib.suppress(InvalidTag, ValueError, msgspec.DecodeError):
                    contents = sealing.open_with(private, seal.sealed, host.agent_id)
                    self._keys[host.agent_id] = HostKey(path=host.path, passphrase=contents.passphrase)
        if self._keys:
            self._deadline = _now() + order.seconds
        return Opened(public_key=public, agent_ids=tuple(self._keys))

    def _key_of(self, order: Open) -> X25519PrivateKey:
        if order.key_path:
            return X25519PrivateKey.from_private_bytes(Path(order.key_path).read_bytes())
        sealed = base64.b64decode(order.sealed_code, validate=True)
        opened = CODE_SUITE.decrypt(sealed, self._private, CODE_INFO + self._unlock_id.encode())
        return recovery.private_key(opened.decode())

    def _start(self, order: Start, descriptors: list[int]) -> Started:
        key = self._keys.get(order.agent_id)
        if key is None or len(descriptors) != keyholding.DESCRIPTORS:
            return Started(error="locked")
        if len(self._runs) >= RUNS:
            return Started(error="busy")
        try:
            run = KeyRun(key, order.words, descriptors, self._folder)
        except OSError as error:
            return Started(error=str(error))
        self._runs.append(run)
        self._selector.register(run.line, selectors.EVENT_READ, lambda: self._hung_up(run))
        return Started()

    def _hung_up(self, run: KeyRun) -> None:
        """End a run: nothing is ever said over its line, so the main process has let go of it."""
        if run not in self._runs:  # it ended by itself, and was buried for an event of the same look
            return
        self._selector.unregister(run.line)
        run.kill()

    def _bury(self, woken: socket.socket) -> None:
        with contextlib.suppress(BlockingIOError):
            while woken.recv(64):
                pass
        for run in [run for run in self._runs if run.has_ended()]:
            with contextlib.suppress(KeyError):
                self._selector.unregister(run.line)
            self._runs.remove(run)
            run.close()

    def _say(self, message: Wire) -> None:
        raw = msgspec.json.encode(message)
        try:
            self._channel.sendall(keyholding.HEADER.pack(len(raw)) + raw)
        except OSError:
            self._is_over = True

    def _receive(self) -> tuple[Order | None, list[int]]:
        """Return an order with its descriptors; no order when the main process has hung up or talks nonsense."""
        descriptors: list[int] = []
        try:
            header, descriptors, _flags, _address = socket.recv_fds(
                self._channel, keyholding.HEADER.size, keyholding.DESCRIPTORS
            )
            (size,) = keyholding.HEADER.unpack(header)
            if size <= keyholding.LARGEST:
                return msgspec.json.decode(_exactly(self._channel, size), type=Order), descriptors
        except (OSError, EOFError, struct.error, msgspec.MsgspecError):
            pass
        return None, descriptors


def main(argv: list[str]) -> NoReturn:
    """Hold. Arguments: the descriptor that leads to the main process, the unlock's id, a folder of ours to make."""
    privacy.hide()
    folder = Path(argv[2])
    folder.mkdir(mode=0o700)
    try:
        Keyholder(socket.socket(fileno=int(argv[0])), argv[1], folder).hold()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os._exit(0)


def _exactly(channel: socket.socket, size: int) -> bytes:
    parts = bytearray()
    while len(parts) < size:
        part = channel.recv(min(size - len(parts), 1 << 20))
        if not part:
            raise EOFError
        parts += part
    return bytes(parts)


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def _now() -> float:
    """Return seconds of a clock that goes on while the machine sleeps, and that nobody sets."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


if __name__ == "__main__":
    main(sys.argv[1:])
