"""Run PyInstaller on a recipe: watched, at low priority, and ended when nobody wants it any more."""

from __future__ import annotations

import contextlib
import os
import queue
import re
import signal
import subprocess
import sys
from collections import deque
from threading import Thread
from typing import IO, TYPE_CHECKING

from saveos.errors import BuildError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NICENESS = 10
POLL_SECONDS = 0.2
GRACE_SECONDS = 5
LINES_IN_ERROR = 15
LINES_PER_STRIPPING = 16
# PyInstaller says nothing for long while it packs: it would work on for as long after the appliance was killed.
_PYINSTALLER = (
    "import runpy, signal; from saveos.agent import privacy; privacy.end_with_parent(signal.SIGKILL);"
    " runpy.run_module('PyInstaller', run_name='__main__', alter_sys=True)"
)

# How far a build is when PyInstaller begins a line so; shares of the time measured on two cores.
_MILESTONES = (
    ("PyInstaller: ", 1),
    ("Running Analysis", 4),
    ("Processing standard module hook 'hook-heapq", 8),
    ("Processing standard module hook 'hook-pickle", 18),
    ("Caching module dependency graph", 32),
    ("Processing standard module hook 'hook-platform", 36),
    ("Processing standard module hook 'hook-cryptography", 48),
    ("Analyzing hidden import", 60),
    ("Processing module hooks", 64),
    ("Looking for dynamic libraries", 67),
    ("Building PYZ", 71),
    ("Building PKG", 75),
    ("Building EXE", 97),
    ("Build complete", 100),
)
_PREFIX = re.compile(r"^\d+ (?:INFO|WARNING|ERROR): ")


def freeze(recipe: Path, work: Path, on_line: Callable[[str], None], is_cancelled: Callable[[], bool]) -> Path:
    """Build `agent.spec` of the folder `recipe` inside the folder `work` and return the executable.

    Raises BuildError, with PyInstaller's last lines, or when `is_cancelled` says so.
    """
    process = _start(recipe, work)
    lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    reader = Thread(target=_read, args=(process.stdout, lines), name="freeze-log", daemon=True)
    reader.start()
    last: deque[str] = deque(maxlen=LINES_IN_ERROR)
    try:
        _follow(lines, last, on_line, is_cancelled)
        code = process.wait()
    finally:
        _end(process)
        reader.join(GRACE_SECONDS)
    executable = work / "dist" / "saveos-agent"
    if code != 0 or not executable.is_file():
        message = "PyInstaller failed: " + "\n".join(last)
        raise BuildError(message, returncode=code)
    return executable


def _start(recipe: Path, work: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", _PYINSTALLER, "--noconfirm", "--clean", str(recipe / "agent.spec")]
    command += ["--distpath", str(work / "dist"), "--workpath", str(work / "work")]
    # PyInstaller's own cache stays inside too: two users never share one, and nothing is left behind.
    environment = {**os.environ, "PYINSTALLER_CONFIG_DIR": str(work / "config"), "PYTHONHASHSEED": "0"}
    process = subprocess.Popen(
        command,
        cwd=work,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    with contextlib.suppress(ProcessLookupError):
        os.setpriority(os.PRIO_PROCESS, process.pid, NICENESS)
    return process


def _read(source: IO[str] | None, lines: queue.SimpleQueue[str | None]) -> None:
    if source is not None:
        with source:
            for line in source:
                lines.put(line.rstrip())
    lines.put(None)


def _follow(
    lines: queue.SimpleQueue[str | None],
    last: deque[str],
    on_line: Callable[[str], None],
    is_cancelled: Callable[[], bool],
) -> None:
    """Pass on each line until the last one."""
    percent = stripped = 0
    while True:
        if is_cancelled():
            message = "The build was cancelled."
            raise BuildError(message)
        try:
            line = lines.get(timeout=POLL_SECONDS)
        except queue.Empty:
            continue
        if line is None:
            return
        last.append(line)
        text = _PREFIX.sub("", line)
        if text.startswith("Executing: strip"):  # one per library: they would bury the rest
            stripped += 1
            percent = max(percent, min(95, 75 + stripped // 4))
            text = "Stripping libraries"
            if stripped % LINES_PER_STRIPPING:
                continue
        percent = max([percent, *(share for start, share in _MILESTONES if text.startswith(start))])
        on_line(f"{percent} % {text}")


def _end(process: subprocess.Popen[str]) -> None:
    """End the whole group, politely first. Safe when it has ended already."""
    if process.poll() is not None:
        return
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(GRACE_SECONDS)
            return
