"""`saveos drill`, `check`, `report` and `verify-report`: prove that backups can be restored, and show it to others."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from saveos import cli_days, cli_wait, clock
from saveos.agents import enrolment
from saveos.cli_catalogue import Shown, printed
from saveos.errors import InvalidRequest
from saveos.proofs import checks, drills, report, verification
from saveos.proofs.verification import Level
from saveos.protocol import ExitCode

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from saveos.config import Settings
    from saveos.identity.principals import Principal
    from saveos.stores import Stores

FILE_LIMIT = 512 * 1024**2
VERIFY_CODES = (
    "Exit codes: 0 genuine, 1 not genuine (nothing in it is to be believed), 2 the file cannot be read,"
    " 3 genuine, and it tells of restores that failed or data that is damaged."
)


def add(commands: Any, verb: Callable[..., Any], by_default: Callable[..., Any]) -> None:
    """Add the commands that need the data folder."""
    drill = verb(commands, "drill", "let a host restore a sample and compare it", by_default(_drill))
    drill.add_argument("agent", help="id or hostname")
    drill.add_argument("--copy", action="store_true", help="out of its newest offsite copy")
    cli_wait.add(drill)
    check = verb(commands, "check", "read a host's repository from the disk next", by_default(_check))
    check.add_argument("agent", help="id or hostname")
    cli_wait.add(check)
    made = verb(commands, "report", "write a signed report for an auditor", by_default(_report))
    made.add_argument(
        "--since", type=cli_days.first, metavar="DAY", help="the first day, YYYY-MM-DD (default: 90 days ago)"
    )
    made.add_argument("--until", type=cli_days.last, metavar="DAY", help="the last day (default: now)")
    made.add_argument("--agent", default="", help="of this host alone: id or hostname")
    made.add_argument("--html", action="store_true", help="a page to print instead of JSON")
    made.add_argument("--language", choices=("en", "fr"), default="en", help="which one the page shows first")
    made.add_argument("--output", type=Path, required=True, help="the file to write")


def add_offline(parser: argparse.ArgumentParser) -> None:
    """Say what is to be verified, and by which root."""
    parser.epilog = VERIFY_CODES
    parser.add_argument("file", type=Path, help="a report, JSON or HTML")
    parser.add_argument("--root", type=Path, required=True, help="the appliance's root certificate, PEM")


def verify_report(_settings: Settings, parsed: argparse.Namespace) -> Shown:
    """Verify a report from the file and the root alone."""
    try:
        if parsed.file.stat().st_size > FILE_LIMIT:
            raise InvalidRequest(f"{parsed.file} is too large for a report.")
        found = verification.verify(parsed.file.read_bytes(), parsed.root.read_text())
    except (OSError, ValueError) as error:
        raise InvalidRequest(f"It cannot be read: {error}.") from error
    levels = {finding.level for finding in found}
    code = ExitCode.ERROR if Level.BAD in levels else ExitCode.WARNINGS if Level.TOLD in levels else ExitCode.DONE
    ending = "NOT GENUINE: nothing in this report is to be believed." if Level.BAD in levels else "Genuine."
    lines = [f"{finding.level.value:<5} {printed(finding.line)}" for finding in found]
    result = {"is_genuine": Level.BAD not in levels, "findings": [msgspec.to_builtins(finding) for finding in found]}
    return Shown(result, [*lines, ending], code)


def _drill(stores: Stores, principal: Principal, parsed: argparse.Namespace) -> Shown:
    agent = enrolment.by_name(stores.database, principal, parsed.agent)
    job = drills.request(stores.database, principal, agent.id, is_of_copy=parsed.copy)
    return cli_wait.asked(stores, principal, job, parsed)


def _check(stores: Stores, principal: Principal, parsed: argparse.Namespace) -> Shown:
    agent = enrolment.by_name(stores.database, principal, parsed.agent)
    job = checks.request(stores.database, principal, agent.id)
    if job is None:
        return Shown({"job": None}, ["Another repository is read just now: this one is the next."])
    return cli_wait.asked(stores, principal, job, parsed)


def _report(stores: Stores, principal: Principal, parsed: argparse.Namespace) -> Shown:
    agent_id = enrolment.by_name(stores.database, principal, parsed.agent).id if parsed.agent else ""
    until = parsed.until or clock.now()
    asked = report.Asked(since=parsed.since or until - timedelta(days=90), until=until, agent_id=agent_id)
    if parsed.html:
        data = report.make_html(stores.database, stores.authority, principal, asked, parsed.language)
    else:
        data = report.make_json(stores.database, stores.authority, principal, asked)
    try:
        parsed.output.write_bytes(data)
    except OSError as error:
        raise InvalidRequest(f"{parsed.output} cannot be written: {error.strerror}.") from error
    hint = f"Verify: saveos verify-report {parsed.output} --root {stores.authority.folder / 'root.pem'}"
    return Shown({"file": str(parsed.output), "bytes": len(data)}, [f"{parsed.output} is written.", hint])
