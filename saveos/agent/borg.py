"""The one place on a host that starts Borg."""

from __future__ import annotations

import contextlib
import os
import secrets
import shlex
import shutil
import signal
import subprocess
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from saveos.agent import locks
from saveos.agent.borg_log import Log, Outcome
from saveos.agent.engine import PARENT_VARIABLE
from saveos.agent.engine_listing import VARIABLE as LISTINGS_VARIABLE
from saveos.agent.failures import Failure
from saveos.agent.noted import VARIABLE as NOTED_VARIABLE
from saveos.agent.settings import own_command, write_private
from saveos.agent.tunnel import ERROR_SUFFIX, VARIABLE, TunnelSettings
from saveos.protocol import TunnelRefusal

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from saveos.agent.settings import Config, Home
    from saveos.protocol import JobId, TunnelMode

URL = "ssh://appliance/./repository"
LOCK_WAIT_SECONDS = 300
TURN_SECONDS = 0.2
WAITING = "waiting_for_turn"  # an event of ours among Borg's
AGAIN_SECONDS = 5.0
KILL_SECONDS = 20.0


class Lent(msgspec.Struct, frozen=True):
    """Another host's repository: its passphrase, and a folder for what Borg keeps about it meanwhile."""

    passphrase: bytes
    folder: Path

    def environment(self) -> dict[str, str]:
        """Return what is other for Borg."""
        return {"BORG_BASE_DIR": str(self.folder)}

    def __repr__(self) -> str:
        return "Lent(***)"


class Run:
    """One running Borg."""

    def __init__(  # noqa: PLR0913 - all of it is one start
        self,
        home: Home,
        config: Config,
        arguments: Sequence[str | bytes],
        *,
        mode: TunnelMode,
        job_id: JobId | None = None,
        told: bytes | None = None,
        lent: Lent | None = None,
        on_event: Callable[[dict[str, Any]], None] | None = None,
        cancelled: threading.Event | None = None,
    ) -> None:
        """Start it when no other runs on this host. Raises Failure `cancelled` when that is not worth waiting for.

        `told`: what it reads on stdin. `lent`: another host's repository instead of our own.
        `on_event` hears each line of its JSON log, in the thread of `wait`; before that WAITING, if it has to wait.
        """
        self._settings = home.state / f"tunnel-{secrets.token_hex(8)}.json"
        self._failure = self._settings.with_name(self._settings.name + ERROR_SUFFIX)
        self._on_event = on_event or (lambda _event: None)
        self._is_stopped = False
        turn = _wait_for_turn(home, self._on_event, cancelled or threading.Event())
        reading, writing = os.pipe()
        try:
            write_private(self._settings, msgspec.json.encode(tunnel_settings(home, config, mode, job_id)))
            os.write(writing, lent.passphrase if lent else home.passphrase.read_bytes())
            os.close(writing)
            with tempfile.TemporaryFile(dir=home.state) as plan:
                plan.write(told or b"")
                plan.seek(0)
                self._process = subprocess.Popen(
                    [*own_command("borg"), *arguments],
                    stdin=plan,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    pass_fds=[reading, turn],
                    env=environment(home, self._settings, reading) | (lent.environment() if lent else {}),
                    start_new_session=True,
                )
        except BaseException:
            self._settings.unlink(missing_ok=True)
            raise
        finally:
            os.close(reading)
            os.close(turn)  # Borg holds it from here on

    def wait(self) -> Outcome:
        """Follow it to its end."""
        output: list[bytes] = []
        assert self._process.stdout is not None  # noqa: S101 - asked for above
        assert self._process.stderr is not None  # noqa: S101
        stdout = self._process.stdout
        reader = threading.Thread(target=lambda: output.append(stdout.read()), daemon=True)
        reader.start()
        log = Log()
        try:
            for raw in self._process.stderr:
                event = log.take(raw.decode("utf-8", "surrogateescape"))
                if event is not None:
                    self._on_event(event)
            return_code = self._process.wait()
            reader.join()
            log.refusal = self._refusal()
        finally:
            self._settings.unlink(missing_ok=True)
            self._failure.unlink(missing_ok=True)
        text = b"".join(output).decode("utf-8", "surrogateescape")
        return log.outcome(return_code, text, is_stopped=self._is_stopped)

    def stop(self) -> None:
        """Interrupt it as Ctrl-C would; again, then kill it, when that does not help.

        At the first interrupt Borg keeps what it has, but a backup goes on to the end of the file in hand. At the
        second it drops everything and goes.
        """
        if self._is_stopped:
            return
        self._is_stopped = True
        self._signal(signal.SIGINT)
        for seconds, number in ((AGAIN_SECONDS, signal.SIGINT), (KILL_SECONDS, signal.SIGKILL)):
            timer = threading.Timer(seconds, self._signal, (number,))
            timer.daemon = True
            timer.start()

    def _refusal(self) -> TunnelRefusal | None:
        """Return why the tunnel ended, in its own words: Borg does not always pass them on."""
        try:
            return msgspec.json.decode(self._failure.read_bytes(), type=TunnelRefusal)
        except (OSError, msgspec.MsgspecError):
            return None

    def _signal(self, number: signal.Signals) -> None:
        if self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, number)


def tunnel_settings(home: Home, config: Config, mode: TunnelMode, job_id: JobId | None) -> TunnelSettings:
    """Return what the tunnel needs to know."""
    credentials = home.credentials(config.credentials)
    return TunnelSettings(
        addresses=home.order(config),
        root_certificate_path=str(home.root),
        certificate_path=str(credentials / "agent.pem"),
        key_path=str(credentials / "agent.key"),
        token_path=str(credentials / "token"),
        mode=mode,
        job_id=job_id,
    )


def plain_environment(home: Home) -> dict[str, str]:
    """Return our environment without anything that steers Borg, but for where it keeps its own things."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("BORG_")}
    locale = kept.get("LC_ALL") or kept.get("LC_CTYPE") or kept.get("LANG") or ""
    if "utf" not in locale.lower():
        kept |= {"LC_ALL": "C.UTF-8"}
    return kept | {PARENT_VARIABLE: str(os.getpid()), "BORG_BASE_DIR": str(home.borg)}


def environment(home: Home, settings: Path, passphrase_descriptor: int) -> dict[str, str]:
    """Return Borg's environment: no secret in it."""
    return plain_environment(home) | {
        VARIABLE: str(settings),
        "BORG_REPO": URL,
        "BORG_RSH": shlex.join(own_command("tunnel")),
        "BORG_PASSPHRASE_FD": str(passphrase_descriptor),
        "BORG_EXIT_CODES": "modern",
        "BORG_RELOCATED_REPO_ACCESS_IS_OK": "yes",
        "BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK": "no",
        "BORG_SELFTEST": "disabled",
        LISTINGS_VARIABLE: str(home.listings),
        NOTED_VARIABLE: str(home.noted),
    }


def _wait_for_turn(home: Home, on_event: Callable[[dict[str, Any]], None], cancelled: threading.Event) -> int:
    """Return, once no Borg of this host runs, the lock that the next one holds for as long as it lives.

    An orphan whose agent was killed counts too. What locks Borg's caches still show then are nobody's; Borg itself
    would believe in one whose process id another program has got since the host was restarted.
    """
    turn = locks.try_take(home.writer_lock)
    if turn is None:
        on_event({"type": WAITING})
    while turn is None:
        if cancelled.wait(TURN_SECONDS):
            raise Failure("cancelled", "Cancelled before it began.")
        turn = locks.try_take(home.writer_lock)
    for left in home.borg.glob(".cache/borg/*/lock.*"):
        if left.is_dir():
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.unlink(missing_ok=True)
    return turn
