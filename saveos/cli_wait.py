"""What the command line says of a job that it asked for: at once, or with --wait at its end."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from saveos.cli_catalogue import Shown, printed
from saveos.jobs import lifecycle
from saveos.jobs.model import ENDED, State
from saveos.protocol import ExitCode

if TYPE_CHECKING:
    import argparse

    from saveos.identity.principals import Principal
    from saveos.jobs.model import Job
    from saveos.stores import Stores

LOOK_SECONDS = 0.5
CODES = {State.DONE: ExitCode.DONE, State.WARNED: ExitCode.WARNINGS}


def add(parser: argparse.ArgumentParser) -> None:
    """Let a command wait."""
    parser.add_argument("--wait", action="store_true", help="wait for the job's end, and tell what was done")


def asked(stores: Stores, principal: Principal, job: Job, parsed: argparse.Namespace) -> Shown:
    """Tell of the job. It is done by the serving appliance."""
    while parsed.wait and job.state not in ENDED:
        time.sleep(LOOK_SECONDS)
        job = lifecycle.get(stores.database, principal, job.id)
    result = {"job": job.id, "state": job.state.value, "message": job.message, "error_code": job.error_code}
    if job.state not in ENDED:
        return Shown(result, [f"Asked for: {job.id}"])
    return Shown(result, [f"{job.state.value}: {printed(job.message)}"], CODES.get(job.state, ExitCode.ERROR))
