"""Answers what a person asks of this host while it is idle or at work: a thread for each question."""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import signal
import subprocess
import threading
import time
from typing import TYPE_CHECKING

import msgspec

from saveos.agent import sources
from saveos.agent.borg import plain_environment
from saveos.agent.borg_log import printable
from saveos.agent.client import Client
from saveos.agent.engine_excludes import Trial
from saveos.agent.failures import Failure
from saveos.agent.folders import list_folder
from saveos.agent.lending import seal
from saveos.agent.reading import Readings
from saveos.agent.settings import own_command
from saveos.protocol import Answer, ExcludesTried, FolderListing

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from saveos.agent.settings import Config, Home
    from saveos.protocol import ListFolder, Question, TryExcludes

log = logging.getLogger("saveos.agent")
THREADS_LIMIT = 8  # as many as the appliance leaves open; more would be its fault
LOOK_SECONDS = 0.2  # how soon a counting process ends when this agent does
SILENCE_SECONDS = 25.0  # a dead network drive, a pattern that never ends
AGAIN_SECONDS = 2.0
STOP_SECONDS = 2.0
MESSAGE_LENGTH = 4000


class Answers:
    """The questions in hand."""

    def __init__(self, home: Home, config: Callable[[], Config]) -> None:
        """`config`: the one in use now; it changes when the certificate is renewed."""
        self._home, self._config = home, config
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []
        self._readings = Readings(home, config)

    def take(self, questions: Sequence[Question]) -> None:
        """Begin to answer. What is one too many is left to run out on the appliance."""
        for question in questions:
            if question.read is not None:
                self._readings.take(question)
                continue
            self._threads = [thread for thread in self._threads if thread.is_alive()]
            if len(self._threads) >= THREADS_LIMIT:
                log.warning("Too many questions at once: one is not answered.")
                continue
            thread = threading.Thread(target=self._answer, args=(question,), name="answer", daemon=True)
            self._threads.append(thread)
            thread.start()

    def stop(self) -> None:
        """Answer no more: the daemon ends, and waits a little for what counts to end too."""
        self._stopping.set()
        deadline = time.monotonic() + STOP_SECONDS
        self._readings.stop(STOP_SECONDS)
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def _answer(self, question: Question) -> None:
        try:
            client = Client.for_host(self._home, self._config())
            with contextlib.closing(client), contextlib.closing(self._parts(question)) as parts:
                for answer in parts:
                    if self._stopping.is_set() or not client.answer(question.question_id, answer).go_on:
                        return
        except Failure as failure:
            log.info("A question remains unanswered: %s", failure)

    def _parts(self, question: Question) -> Generator[Answer, None, None]:
        """Give the answer so far, again and again; the last one is whole."""
        if question.list_folder is not None:
            yield Answer(folder=self._list(question.list_folder))
        elif question.try_excludes is not None:
            with contextlib.closing(self._try(question.try_excludes)) as counts:
                for tried in counts:
                    yield Answer(excludes=tried)
        elif question.seal_key is not None:
            log.info("The key is asked for by a restore on another host (job %s).", question.seal_key.job_id)
            yield Answer(sealed_key=seal(self._home, self._config(), question.seal_key))

    def _list(self, asked: ListFolder) -> FolderListing:
        try:
            return list_folder(asked, self._stopping)
        except (OSError, ValueError) as error:
            return FolderListing(error="host-error", message=printable(f"On the host: {error}.")[:MESSAGE_LENGTH])

    def _try(self, asked: TryExcludes) -> Generator[ExcludesTried, None, None]:
        paths, excludes, missing = sources.chosen(asked.sources, asked.excludes, self._home.state)
        if any("\0" in pattern for pattern in excludes):
            bad = next(pattern for pattern in excludes if "\0" in pattern)
            yield ExcludesTried(is_final=True, bad_pattern=bad, message="No path holds a zero byte.")
        elif not paths:
            yield ExcludesTried(is_final=True, message="None of these sources exists on this host.")
        else:
            trial = Trial(paths=paths, excludes=excludes, one_file_system=asked.one_file_system)
            said = f"Not on this host: {', '.join(missing)}."[:MESSAGE_LENGTH] if missing else ""
            with contextlib.closing(self._count(trial)) as counts:
                for tried in counts:
                    yield msgspec.structs.replace(tried, message=tried.message or said)

    def _count(self, trial: Trial) -> Generator[ExcludesTried, None, None]:
        """Let a process of its own count; it ends with this, however this ends."""
        try:
            process = subprocess.Popen(
                own_command("try-excludes"),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=plain_environment(self._home),
                start_new_session=True,
            )
        except OSError as error:
            yield ExcludesTried(is_final=True, message=printable(f"On the host: {error}.")[:MESSAGE_LENGTH])
            return
        last = ExcludesTried()
        try:
            for last in _told(process, trial, self._stopping):
                yield last
        finally:
            _kill(process)
        if not last.is_final:
            message = "The host could not finish: a drive does not answer, or a pattern takes too long."
            yield msgspec.structs.replace(last, is_final=True, message=message)


def _told(
    process: subprocess.Popen[bytes], trial: Trial, stopping: threading.Event
) -> Generator[ExcludesTried, None, None]:
    """Give what a counting process says until it ends, is silent for too long, or this agent ends.

    While it is silent its last word comes again, so that we hear whether somebody still waits.
    """
    lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    reader = threading.Thread(target=_converse, args=(process, trial, lines), name="counts", daemon=True)
    reader.start()
    last, silent_seconds, again_seconds = ExcludesTried(), 0.0, AGAIN_SECONDS
    while not stopping.is_set() and silent_seconds < SILENCE_SECONDS:
        try:
            line = lines.get(timeout=LOOK_SECONDS)
        except queue.Empty:
            silent_seconds += LOOK_SECONDS
            if silent_seconds >= again_seconds:
                again_seconds += AGAIN_SECONDS
                yield last
            continue
        if not line:
            return
        silent_seconds, again_seconds = 0.0, AGAIN_SECONDS
        last = msgspec.json.decode(line, type=ExcludesTried)
        yield last


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End a counting process, and its loader if it has one."""
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _converse(process: subprocess.Popen[bytes], trial: Trial, lines: queue.SimpleQueue[bytes]) -> None:
    """Say what is to be counted, and pass each line on; an empty one is the end."""
    assert process.stdin is not None  # noqa: S101 - asked for
    assert process.stdout is not None  # noqa: S101
    with contextlib.suppress(OSError):
        with process.stdin as stdin:
            stdin.write(msgspec.json.encode(trial))
        with process.stdout as stdout:
            for line in stdout:
                lines.put(line)
    lines.put(b"")
