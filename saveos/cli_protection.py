"""Edge: the command line's part on protection: checkpoints, roll-backs, retention carried out, and letting it go on."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import msgspec

from saveos import cli_wait
from saveos.agents import enrolment
from saveos.cli_catalogue import Shown, printed
from saveos.errors import InvalidRequest
from saveos.repositories import keeping
from saveos.snapshots import checkpoints, pruning, roll_back
from saveos.stores import endings_of

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from saveos.identity.principals import Principal
    from saveos.repositories.model import Checkpoint
    from saveos.snapshots.checkpoints import Protection
    from saveos.snapshots.roll_back import RollBack
    from saveos.stores import Stores


def add(group: Callable[..., Any], verb: Callable[..., Any]) -> None:
    """Add the commands; `group` adds a word before others, `verb` one of them."""
    checkpoint = group("checkpoint", "what repositories were, kept for a while")
    listed = verb(checkpoint, "list", "list a host's checkpoints, and say whether it is frozen", _list)
    listed.add_argument("host", help="id or hostname")
    back = verb(checkpoint, "roll-back", "let a host's repository be what a checkpoint is", _roll_back)
    back.add_argument("host", help="id or hostname")
    back.add_argument("checkpoint", help="a checkpoint's id")
    back.add_argument("--hostname", help="the host's name once more: it is this one that is meant")
    back.add_argument("--dry-run", action="store_true", help="only say what would come back and what would go")
    cli_wait.add(back)
    days = verb(checkpoint, "days", "show or say for how many days checkpoints are kept", _days)
    days.add_argument("days", nargs="?", type=int, help=f"0 to {keeping.DAYS_LIMIT}")
    run = verb(group("retention", "what is no longer kept"), "run", "carry a host's retention out now", _retain)
    run.add_argument("host", help="id or hostname")
    cli_wait.add(run)
    text = "say that what froze a host's repository was meant"
    verb(group("protection", "hosts that are frozen"), "let-go-on", text, _let_go_on).add_argument("host")


def _list(stores: Stores, principal: Principal, parsed: argparse.Namespace) -> Shown:
    agent = enrolment.by_name(stores.database, principal, parsed.host)
    found = checkpoints.of_host(stores.database, principal, agent.id)
    lines = [_line(one) for one in found.checkpoints] or ["No checkpoint is kept."]
    return Shown(msgspec.to_builtins(found), [*lines, *_standing(found)])


def _line(checkpoint: Checkpoint) -> str:
    made, until = (f"{at.astimezone():%Y-%m-%d %H:%M}" for at in (checkpoint.made_at, checkpoint.expires_at))
    return f"{checkpoint.id}  {made}  {checkpoint.why.value:<15}  {checkpoint.own_bytes:>15}  until {until}"


def _standing(found: Protection) -> list[str]:
    """Say what checkpoints hold, and whether the repository is frozen and why."""
    lines = [f"Checkpoints hold {found.quarantine_bytes} bytes; they are kept for {found.quarantine_days} days."]
    if found.frozen_at is not None:
        what = ", ".join(f"{name} {number}" for name, number in found.findings.items())
        lines.append(f"FROZEN since {found.frozen_at.astimezone():%Y-%m-%d %H:%M}: {printed(what)}")
        if found.before_id:
            lines.append(f"What was before: {found.before_id}")
    return lines


def _roll_back(stores: Stores, principal: Principal, parsed: argparse.Namespace) -> Shown:
    agent = enrolment.by_name(stores.database, principal, parsed.host)
    foreseen = roll_back.foresee(stores.database, principal, agent.id, parsed.checkpoint)
    told = _foreseen(foreseen)
    if parsed.dry_run:
        return Shown(msgspec.to_builtins(foreseen), told)
    typed = parsed.hostname
    if typed is None:
        if not sys.stdin.isatty():
            raise InvalidRequest(
                "Name the host once more with --hostname: it is this one that is meant.", field="hostname"
            )
        print("\n".join(told), file=sys.stderr)
        typed = input(f"Type {agent.hostname} to confirm: ")
    endings = endings_of(stores)
    job = checkpoints.request_roll_back(stores.database, principal, agent.id, parsed.checkpoint, typed, endings)
    return cli_wait.asked(stores, principal, job, parsed)


def _foreseen(foreseen: RollBack) -> list[str]:
    lines = [f"The repository becomes what it was on {foreseen.checkpoint.made_at.astimezone():%Y-%m-%d %H:%M}."]
    for change, word in ((foreseen.comes_back, "come back"), (foreseen.goes, "go")):
        lines.append(f"{change.count} snapshots {word}.")
        lines += [f"  {one.id}  {one.started_at.astimezone():%Y-%m-%d %H:%M}" for one in change.snapshots]
    return lines


def _days(stores: Stores, principal: Principal, parsed: argparse.Namespace) -> Shown:
    if parsed.days is not None:
        keeping.choose_days(stores.database, principal, parsed.days)
    days, held = keeping.days(stores.database, principal), keeping.held_bytes(stores.database, principal)
    line = f"Checkpoints are kept for {days} days; they hold {held} bytes."
    return Shown({"quarantine_days": days, "quarantine_bytes": held}, [line])


def _retain(stores: Stores, principal: Principal, parsed: argparse.Namespace) -> Shown:
    agent = enrolment.by_name(stores.database, principal, parsed.host)
    return cli_wait.asked(stores, principal, pruning.request(stores.database, principal, agent.id), parsed)


def _let_go_on(stores: Stores, principal: Principal, parsed: argparse.Namespace) -> Shown:
    agent = enrolment.by_name(stores.database, principal, parsed.host)
    checkpoints.let_go_on(stores.database, principal, agent.id)
    return Shown({"agent": agent.id, "hostname": agent.hostname}, [f"Retention of {agent.hostname} goes on."])
