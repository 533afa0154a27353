"""Jobs that check a repository on the disk: a process reads, each part that it says is kept at once.

Stopped or killed, whether it or the appliance, the next job goes on behind the last part that was kept.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import msgspec

from saveos.errors import EngineError, RepositoryMissing, SaveOSError
from saveos.proofs import checks
from saveos.repositories.checking_words import Order, Said
from saveos.repositories.table import repository_path

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterator

    from saveos.config import Settings
    from saveos.database.connection import Database
    from saveos.jobs.model import Job
    from saveos.proofs.model import Check
    from saveos.protocol import AgentId
    from saveos.worker.queue import Running

LOOK_SECONDS = 0.5
STEPS = 20  # lines in the log of a pass


class Stopped(SaveOSError):
    """Somebody cancelled it, or the appliance ends."""

    code = "cancelled"


def check_repository(settings: Settings, database: Database) -> Callable[[Running], str]:
    """Return the handler of CHECK jobs."""

    def handle(running: Running) -> str:
        job = running.job
        after, known = database.write(lambda connection: checks.begin(connection, _agent(job), job.tenant_id))
        path = repository_path(settings, job.tenant_id, _agent(job))
        ended: Check | None = None
        step = -1
        for said in _said(Order(path=str(path), after=after, known=known), running):
            if said.error:
                database.write(lambda connection: checks.note_missing(connection, _agent(job), job.tenant_id))
                raise RepositoryMissing("The repository is not there.")
            check = database.write(_advance(job, said))
            ended = check if said.is_end else None
            now = max(0, said.segment) * STEPS // max(1, said.last)
            if said.damages or now != step:
                step = now
                running.say(_line(said), phase="checking", done=max(0, said.segment), total=max(1, said.last))
        if ended is None:
            raise EngineError("The check was interrupted: it goes on from there.")
        return f"Read {ended.objects_count} objects, {ended.read_bytes} bytes."

    return handle


def _agent(job: Job) -> AgentId:
    if job.agent_id is None:
        raise RepositoryMissing("The check is of no host's repository.")
    return job.agent_id


def _advance(job: Job, said: Said) -> Callable[[sqlite3.Connection], Check]:
    return lambda connection: checks.advance(connection, _agent(job), job.tenant_id, said)


def _line(said: Said) -> str:
    if not said.damages:
        return f"Segment {said.segment} of {said.last} is read."
    places = ", ".join(f"{found.place} ({found.what})" for found in said.damages[:10])
    more = f" and {len(said.damages) - 10} more" if len(said.damages) > 10 else ""  # noqa: PLR2004 - named above
    return f"Damaged, in segment {said.damages[0].segment}: {places}{more}."


def _said(order: Order, running: Running) -> Iterator[Said]:
    """Give what the process says until it ends. Raises Stopped, EngineError."""
    process = subprocess.Popen(
        [sys.executable, "-m", "saveos.repositories.checking"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    watch = threading.Thread(target=_end_when_cancelled, args=(process, running), daemon=True)
    watch.start()
    assert process.stdin is not None  # noqa: S101 - asked for
    assert process.stdout is not None  # noqa: S101
    try:
        with contextlib.suppress(BrokenPipeError), process.stdin as stdin:
            stdin.write(msgspec.json.encode(order))
        for line in process.stdout:
            yield msgspec.json.decode(line, type=Said)
        code = process.wait()
        if running.is_cancelled.is_set():
            raise Stopped("The check was stopped: it goes on from there.")
        if code:
            assert process.stderr is not None  # noqa: S101
            last = process.stderr.read()[-1000:].decode(errors="replace").strip()
            raise EngineError(f"The process that checks ended with {code}: {last}")
    finally:
        process.kill()
        process.wait()


def _end_when_cancelled(process: subprocess.Popen[bytes], running: Running) -> None:
    while process.poll() is None:
        if running.is_cancelled.wait(LOOK_SECONDS):
            process.kill()
            return
