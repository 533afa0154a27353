"""`saveos restore`: files of a snapshot back onto its host, or onto another one."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

import msgspec

from saveos.agents import enrolment
from saveos.cli_catalogue import Shown, printed
from saveos.errors import InvalidRequest, NotFound
from saveos.jobs import lifecycle
from saveos.jobs.model import ENDED, GOOD, State
from saveos.protocol import ExitCode, OnConflict, entry_path
from saveos.snapshots import restore

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from saveos.identity.principals import Principal
    from saveos.jobs.model import Job
    from saveos.stores import Stores

LOOK_SECONDS = 0.5
COUNTS = ("new", "identical", "replaced", "skipped", "renamed", "refused", "failed")


def add(commands: Any, verb: Callable[..., Any], by_default: Callable[..., Any]) -> None:
    """Add the command."""
    parser = verb(commands, "restore", "get files of a snapshot back onto a host", by_default(_restore))
    parser.add_argument("snapshot", help="a snapshot's id")
    parser.add_argument("paths", nargs="*", metavar="PATH", help="as the catalogue lists them; all when none is given")
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--target", help="the folder to restore into, on the host")
    where.add_argument("--original", action="store_true", help="to where the files came from")
    parser.add_argument("--onto", metavar="HOST", help="another host: id or hostname")
    parser.add_argument("--on-conflict", type=OnConflict, choices=list(OnConflict), default=OnConflict.OVERWRITE)
    parser.add_argument("--dry-run", action="store_true", help="only say what would change")
    parser.add_argument("--wait", action="store_true", help="wait for the end, and tell what was done")


def _restore(stores: Stores, principal: Principal, parsed: argparse.Namespace) -> Shown:
    onto = enrolment.by_name(stores.database, principal, parsed.onto).id if parsed.onto else ""
    if parsed.target is not None and not parsed.target:
        raise InvalidRequest("Name the folder to restore into.", field="target")
    job = restore.request(
        stores.database,
        principal,
        parsed.snapshot,
        target=parsed.target,
        selected=[entry_path(os.fsencode(path).strip(b"/")) for path in parsed.paths],
        conflict=parsed.on_conflict,
        dry_run=parsed.dry_run,
        onto_agent_id=onto,
    )
    if not parsed.wait:
        return Shown({"job": job.id, "state": job.state.value}, [f"Asked for: {job.id}"])
    return _told(stores, principal, _ended(stores, principal, job))


def _ended(stores: Stores, principal: Principal, job: Job) -> Job:
    while job.state not in ENDED:
        time.sleep(LOOK_SECONDS)
        job = lifecycle.get(stores.database, principal, job.id)
    return job


def _told(stores: Stores, principal: Principal, job: Job) -> Shown:
    result: dict[str, Any] = {"job": job.id, "state": job.state.value, "message": job.message}
    lines = [f"{job.id}: {job.state.value}. {printed(job.message)}"]
    try:
        facts = restore.report(stores.database, principal, job.id)
    except NotFound:
        pass
    else:
        result["report"] = msgspec.to_builtins(facts)
        lines.append(", ".join(f"{count} {name}" for name in COUNTS if (count := getattr(facts, name))) or "nothing")
        lines += [
            f"{entry.what.value:>9}  /{printed(entry.path)}  {printed(entry.detail)}" for entry in facts.differences
        ]
    code = ExitCode.DONE if job.state is State.DONE else ExitCode.WARNINGS if job.state in GOOD else ExitCode.ERROR
    return Shown(result, lines, code)
