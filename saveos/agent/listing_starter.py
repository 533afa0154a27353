"""Starts, beside the daemon, the process that hands listings over; at most one."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from typing import TYPE_CHECKING

from saveos.agent.borg import plain_environment
from saveos.agent.settings import own_command

if TYPE_CHECKING:
    from saveos.agent.settings import Home

AGAIN_SECONDS = 30.0  # after one that failed; what is wanted is not urgent
STOP_SECONDS = 5.0


class ListingSender:
    """The process, if one runs."""

    def __init__(self, home: Home) -> None:
        """Start none yet."""
        self._home = home
        self._process: subprocess.Popen[bytes] | None = None
        self._not_before = 0.0

    def start(self) -> None:
        """Start one, unless one runs or the last one failed just now."""
        if self._process is not None:
            code = self._process.poll()
            if code is None:
                return
            self._process = None
            if code:
                self._not_before = time.monotonic() + AGAIN_SECONDS
        if time.monotonic() < self._not_before:
            return
        with contextlib.suppress(OSError):
            self._process = subprocess.Popen(
                own_command("listings", str(self._home.config)),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env=plain_environment(self._home),
                start_new_session=True,
            )

    def stop(self) -> None:
        """End it: the next one begins where this one was."""
        process, self._process = self._process, None
        if process is None or process.poll() is not None:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
