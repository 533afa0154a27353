"""The daemon: heartbeat → job → run → report, until told to stop; questions are answered beside it."""

from __future__ import annotations

import contextlib
import logging
import os
import random
import shutil
import signal
import threading
from typing import TYPE_CHECKING

from saveos.agent import drills, enrol, lifeline, locks, pruning, succession, system, wake
from saveos.agent.addresses import Whereabouts
from saveos.agent.answers import Answers
from saveos.agent.failures import Failure, Refused
from saveos.agent.listing_starter import ListingSender
from saveos.agent.reports import send_kept, send_or_keep
from saveos.agent.succession import Succession
from saveos.agent.work import Work
from saveos.protocol import ExitCode, JobReport, Outcome

if TYPE_CHECKING:
    from saveos.agent.client import Client
    from saveos.agent.settings import Config, Home
    from saveos.agent.update import Successor
    from saveos.protocol import HeartbeatAnswer, JobId

log = logging.getLogger("saveos.agent")
SHORTEST_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 1.0, 60.0  # of a long poll, whatever the appliance says
FIRST_BACK_OFF_SECONDS = 1.0
LONGEST_BACK_OFF_SECONDS = 60.0
REVOKED_SECONDS = 3600.0


class _StopListeningError(BaseException):
    """Raised by a signal in the middle of a wait for work."""


class Daemon:
    """One daemon for one configuration."""

    def __init__(self, home: Home, config: Config) -> None:
        """Serve an enrolled host."""
        self._home, self._config = home, config
        self._stopping = threading.Event()
        self._is_listening = False
        self._work: Work | None = None
        self._answers = Answers(home, lambda: self._config)
        self._listings = ListingSender(home)
        self._succession = Succession(home)
        self._whereabouts = Whereabouts(home)
        self._back_off = FIRST_BACK_OFF_SECONDS
        self._wait_seconds = config.heartbeat_seconds

    def run(self) -> int:
        """Serve until SIGTERM or SIGINT. Raises Failure when another daemon does already."""
        if locks.try_take(self._home.daemon_lock) is None:
            raise Failure("already-running", "A daemon serves this configuration already.")
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        lifeline.hold_to_loader()
        self._succession.begin()
        lifeline.sweep()
        for leftover in self._home.state.glob("tunnel-*.json"):
            leftover.unlink(missing_ok=True)
        for leftover in self._home.state.glob("lent-*"):
            shutil.rmtree(leftover, ignore_errors=True)
        for leftover in self._home.state.glob(f"{drills.SCRATCH}*"):
            shutil.rmtree(leftover, ignore_errors=True)
        log.info("Serving %s as %s.", self._config.hostname, self._config.agent_id)
        with contextlib.suppress(_StopListeningError), self._succession.guarding():
            while not self._stopping.is_set():
                self._turn()
        self._answers.stop()
        self._listings.stop()
        return int(ExitCode.DONE)

    def stop(self) -> None:
        """End soon: an interrupted job goes back to the appliance, which gives it out again."""
        self._stopping.set()
        if self._work is not None:
            self._work.abandon()

    def _on_signal(self, *_: object) -> None:
        """Stop; out of a wait for work at once, as nothing is lost by it."""
        self.stop()
        if self._is_listening:
            raise _StopListeningError

    def _listen(self, client: Client) -> HeartbeatAnswer:
        self._is_listening = True
        try:
            wait = self._bounded_wait()
            # On probation we still do the update, and want an answer at once.
            job_id = self._succession.job_id
            serial = self._home.known().serial if self._config.learns_addresses else 0
            return client.heartbeat(system.heartbeat(job_id, 0.0 if job_id else wait, serial))
        except Refused:
            self._whereabouts.refused(client)
            raise
        finally:
            self._is_listening = False

    def _bounded_wait(self) -> float:
        return min(max(self._wait_seconds, SHORTEST_WAIT_SECONDS), LONGEST_WAIT_SECONDS)

    def _turn(self) -> None:
        client = self._whereabouts.client(self._config)
        try:
            is_told = send_kept(self._home, self._config)
            if not is_told:
                log.warning("Reports of ended jobs wait until the appliance takes them.")
            while not self._stopping.is_set():
                answer = self._listen(client)
                self._back_off = FIRST_BACK_OFF_SECONDS
                self._wait_seconds = answer.next_seconds
                is_confirmed = self._succession.confirm()
                is_elsewhere = self._whereabouts.heard(self._config, client, answer)
                if self._follow(answer) or is_confirmed or is_elsewhere:
                    return
                if self._succession.job_id:  # it could not be confirmed, and until then an answer comes at once
                    self._stopping.wait(self._bounded_wait())
        except Failure as failure:
            self._rest(failure)
        finally:
            client.close()

    def _follow(self, answer: HeartbeatAnswer) -> bool:  # noqa: PLR0911 - one for each thing that it may want
        """Do what the appliance wants; return whether the connection is to be opened anew."""
        pruning.follow_generation(self._home, answer.generation)
        self._answers.take(answer.questions)
        if answer.listing_wanted:
            self._listings.start()
        if answer.renew:
            self._config = enrol.renew(self._home, self._config)
            log.info("The certificate has been renewed.")
            return True
        if answer.escrow_wanted:
            recovery = next((one.public_key for one in answer.seals if one.purpose == enrol.RECOVERY), "")
            self._config = enrol.protect(self._home, self._config, recovery)
            log.info("The repository is ready; its key is sealed.")
            return True
        if answer.seals and answer.assignment is None:
            self._config = enrol.seal(self._home, self._config, answer.seals)
            for one in answer.seals:
                log.warning("The key is sealed to %s too, as the appliance asked (%s).", one.public_key, one.purpose)
            return True
        if answer.assignment is None:
            return False
        log.info("Job %s (%s) begins.", answer.assignment.job_id, answer.assignment.kind)
        self._work = Work(self._home, self._config, answer.assignment, hear=self._answers.take)
        if self._stopping.is_set():
            return True
        report = self._work.perform()
        work, self._work = self._work, None
        if report.archive is not None:
            self._listings.start()
        if work.successor is not None:
            self._hand_over(work.successor, answer.assignment.job_id)
            return True
        log.info("Job %s ended: %s. %s", answer.assignment.job_id, report.outcome, report.message)
        return True

    def _hand_over(self, successor: Successor, job_id: JobId) -> None:
        """Become the successor. Returns only when that cannot be, or we are told to end: then the job is given anew."""
        if self._stopping.is_set():
            os.close(successor.turn)
            return
        self._answers.stop()
        log.info("Version %s takes over.", successor.order.version)
        try:
            succession.hand_over(self._home, successor.path, successor.order, job_id)
        except OSError as error:
            message = f"The executable could not be replaced: {error}."
            report = JobReport(outcome=Outcome.FAILED, error_code="update-failed", message=message)
            send_or_keep(self._home, self._config, job_id, report)
            os.close(successor.turn)
            self._answers = Answers(self._home, lambda: self._config)

    def _rest(self, failure: Failure) -> None:
        """Wait before the next try: longer each time, never all hosts at once."""
        if failure.code == "certificate-revoked":
            log.error("%s", failure)
            seconds = REVOKED_SECONDS
        else:
            log.warning("%s Trying again in about %.0f s.", failure, self._back_off)
            seconds = self._back_off
            self._back_off = min(self._back_off * 2, LONGEST_BACK_OFF_SECONDS)
        if wake.wait(self._stopping, seconds * random.uniform(0.5, 1.5)):  # noqa: S311 - no secret
            log.info("This machine has slept. Trying again now.")
            self._back_off = FIRST_BACK_OFF_SECONDS
