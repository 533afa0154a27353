"""The main process's handle of the tunnel's process: started, handed connections, started again when it dies."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from saveos.repositories.handover import Options

log = logging.getLogger("saveos.sessions")

RESTART_SECONDS = 0.5
STOP_SECONDS = 5.0
HAND_OVER_SECONDS = 30.0


class Zygote:
    """Keeps one tunnel's process alive. Sessions outlive it: their children go on when it dies."""

    def __init__(self, options: Options) -> None:
        """Keep what it is started with."""
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: socket.socket | None = None
        self._keeper: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """Its process id."""
        return self._process.pid if self._process else None

    async def start(self) -> None:
        """Start it; connections handed over before it is ready wait in the socket."""
        self._spawn()
        self._keeper = asyncio.create_task(self._keep())

    async def stop(self) -> None:
        """Hang up, which ends it; kill it if it does not go."""
        if self._keeper:
            self._keeper.cancel()
        process, self._process = self._process, None
        self._hang_up()
        if process:
            await asyncio.to_thread(_bury, process)

    async def hand_over(self, client: socket.socket, control: socket.socket) -> None:
        """Give it a connection and the way back to us. Raises OSError when it stays away."""
        deadline = asyncio.get_running_loop().time() + HAND_OVER_SECONDS
        while True:
            try:
                if self._channel is not None:
                    socket.send_fds(self._channel, [b"+"], [client.fileno(), control.fileno()])
                    return
            except BlockingIOError:
                pass  # it is busy importing; its queue is full
            except OSError:
                self._hang_up()  # it has just died
            if asyncio.get_running_loop().time() > deadline:
                message = "the tunnel's process does not answer"
                raise OSError(message)
            await asyncio.sleep(0.05)

    async def _keep(self) -> None:
        while True:
            process = self._process
            if process is not None:
                code = await asyncio.to_thread(process.wait)
                log.error("The tunnel's process ended (%s); starting it again.", code)
                self._hang_up()
            await asyncio.sleep(RESTART_SECONDS)
            with contextlib.suppress(OSError):
                self._spawn()

    def _spawn(self) -> None:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)  # noqa: FBT003 - its only argument
        words = [sys.executable, "-m", "saveos.repositories.tunnel", str(theirs.fileno())]
        with theirs:
            self._process = subprocess.Popen(
                [*words, msgspec.json.encode(self._options).decode()],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C is for the main process, which ends the sessions in order
                env={**os.environ, "PYTHONHASHSEED": "random"},
            )
        self._channel = ours

    def _hang_up(self) -> None:
        if self._channel is not None:
            self._channel.close()
            self._channel = None


def _bury(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
