"""The agent's program at work with a host's opened key, on the repository here: started and ended by a keyholder."""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

from saveos.agent import privacy
from saveos.agent.engine import PARENT_VARIABLE
from saveos.repositories import keyholding
from saveos.repositories.handover import HOST_ID

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from saveos.repositories.keyholding import HostKey


class KeyRun:
    """One run. The main process has the other end of `line`: when it hangs up there, the run is ended."""

    def __init__(self, key: HostKey, words: Sequence[str], descriptors: Sequence[int], folder: Path) -> None:
        """Start it. `descriptors`: its input, its output, the line. Raises OSError."""
        given, output, line = descriptors
        self.line = socket.socket(fileno=os.dup(line))
        reading, writing = os.pipe()
        try:
            os.write(writing, key.passphrase.encode())
            os.close(writing)
            self._process = subprocess.Popen(
                [sys.executable, "-m", "saveos.agent", *words],
                stdin=given,
                stdout=output,
                stderr=line,
                pass_fds=[reading],
                env=_environment(key.path, reading, folder),
                cwd=folder,
                start_new_session=True,
                preexec_fn=functools.partial(privacy.end_with_parent, signal.SIGKILL),  # noqa: PLW1509 - one thread
            )
        except BaseException:
            self.line.close()
            raise
        finally:
            os.close(reading)

    def has_ended(self) -> bool:
        """Return whether it is over."""
        return self._process.poll() is not None

    def kill(self) -> None:
        """End it and all that it started."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def close(self) -> None:
        """Tell the main process how it ended."""
        self.kill()  # what it may have left behind
        with contextlib.suppress(OSError):
            self.line.sendall(keyholding.END_MARK + str(self._process.returncode).encode())
        self.line.close()


def _environment(path: str, passphrase_descriptor: int, folder: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("BORG_")}
    return kept | {
        privacy.VARIABLE: "1",
        PARENT_VARIABLE: str(os.getpid()),
        "LC_ALL": "C.UTF-8",
        "BORG_REPO": path,
        "BORG_PASSPHRASE_FD": str(passphrase_descriptor),
        "BORG_BASE_DIR": str(folder),
        "BORG_HOST_ID": HOST_ID,
        "BORG_EXIT_CODES": "modern",
        "BORG_RELOCATED_REPO_ACCESS_IS_OK": "yes",
        "BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK": "no",
        "BORG_SELFTEST": "disabled",
    }
