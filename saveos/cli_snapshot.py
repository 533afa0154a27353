"""Edge: the command line's part on what keeps snapshots: pins, legal holds, and what retention would remove."""

from __future__ import annotations

import getpass
import sys
from typing import TYPE_CHECKING, Any

import msgspec

from saveos import cli_days
from saveos.agents import enrolment
from saveos.cli_catalogue import Shown
from saveos.errors import NotAuthenticated
from saveos.identity import sessions
from saveos.identity.sessions import Visitor
from saveos.snapshots import dry_run, hold_release, holds
from saveos.snapshots.model import HoldKind, Standing

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from saveos.identity.principals import Principal
    from saveos.snapshots.model import Hold
    from saveos.snapshots.retention import Decided
    from saveos.stores import Stores

MINUTE_HOURS = 1 / 60  # how long a password given here opens a session, which is ended at once
KINDS = {HoldKind.PIN: "pin", HoldKind.LEGAL: "legal hold", HoldKind.ANOMALY: "hold after an anomaly"}


def add(group: Callable[..., Any], verb: Callable[..., Any]) -> None:
    """Add the commands; `group` adds a word before others, `verb` one of them."""
    snapshot = group("snapshot", "what keeps snapshots")
    pin = verb(snapshot, "pin", "keep a snapshot until it is unpinned", _pin)
    pin.add_argument("snapshot", help="a snapshot's id")
    pin.add_argument("--reason", default="")
    verb(snapshot, "unpin", "leave a snapshot to its retention again", _unpin).add_argument("snapshot")
    hold = verb(snapshot, "hold", "place a legal hold", _hold)
    hold.add_argument("snapshot", help="a snapshot's id")
    hold.add_argument("--reason", required=True)
    until = "the last day, as 2027-01-31, or a moment, as 2027-01-31T12:00Z (default: none)"
    hold.add_argument("--until", metavar="TIME", type=cli_days.end, help=until)
    release = verb(snapshot, "release", "end a hold; a legal one needs two administrators", _release)
    release.add_argument("snapshot", help="a snapshot's id")
    release.add_argument("hold", help="a hold's id")
    release.add_argument("--as", dest="email", help="the administrator who asks or agrees; the password is on stdin")
    step = release.add_mutually_exclusive_group()
    step.add_argument("--confirm", action="store_true", help="agree with the other administrator who asked")
    step.add_argument("--withdraw", action="store_true", help="take back that it should end")
    verb(snapshot, "holds", "list a snapshot's holds", _holds).add_argument("snapshot", help="a snapshot's id")
    kept = group("retention", "what is no longer kept")
    told = verb(kept, "show", "show what a host's retention would remove now", _retention)
    told.add_argument("host", help="id or hostname")


def _pin(stores: Stores, principal: Principal, parsed: argparse.Namespace) -> Shown:
    return _shown(holds.pin(stores.database, principal, parsed.snapshot, parsed.reason))


def _unpin(stores: Stores, principal: Principal, parsed: argparse.Namespace) -> Shown:
    return _shown(hold_release.unpin(stores.database, principal, parsed.snapshot))


def _hold(stores: Stores, principal: Principal, parsed: argparse.Namespace) -> Shown:
    return _shown(holds.place(stores.database, principal, parsed.snapshot, parsed.reason, parsed.until))


def _release(stores: Stores, principal: Principal, parsed: argparse.Namespace) -> Shown:
    step = hold_release.confirm if parsed.confirm else hold_release.release
    step = hold_release.withdraw if parsed.withdraw else step
    who = _person(stores, parsed.email) if parsed.email else principal
    return _shown(step(stores.database, who, parsed.snapshot, parsed.hold))


def _person(stores: Stores, email: str) -> Principal:
    """Return who proves by the password on standard input to be that person. Raises NotAuthenticated, TooMany."""
    is_typed = sys.stdin.isatty()
    password = getpass.getpass(f"Password of {email}: ") if is_typed else sys.stdin.readline().rstrip("\n")
    if not password:
        message = "The password comes on standard input."
        raise NotAuthenticated(message)
    visitor = Visitor(address="command line")
    who, _token = sessions.sign_in(stores.database, email, password, visitor, hours=MINUTE_HOURS)
    sessions.sign_out(stores.database, who)
    return who


def _holds(stores: Stores, principal: Principal, parsed: argparse.Namespace) -> Shown:
    found = holds.of_snapshot(stores.database, principal, parsed.snapshot)
    return Shown(msgspec.to_builtins(found), [_line(hold) for hold in found] or ["Nothing holds it."])


def _retention(stores: Stores, principal: Principal, parsed: argparse.Namespace) -> Shown:
    agent = enrolment.by_name(stores.database, principal, parsed.host)
    told = dry_run.look(stores.database, principal, agent.id)
    lines = [
        f"{'goes' if each.is_going else 'stays':<6} {each.snapshot.started_at.astimezone():%Y-%m-%d %H:%M}"
        f"  {each.snapshot.id}  {_why(each)}".rstrip()
        for each in told.items
    ]
    lines.append(f"{told.going_count} of {len(told.items)} would go by the policy {told.policy_name}.")
    items = [
        {
            "snapshot_id": each.snapshot.id,
            "started_at": each.snapshot.started_at.isoformat(),
            "is_going": each.is_going,
            "rule": each.rule,
            "holds": told.holds.get(each.snapshot.id, ()),
            "standing": each.snapshot.standing,
        }
        for each in told.items
    ]
    result = {"agent_id": agent.id, "policy_id": told.policy_id, "going_count": told.going_count, "items": items}
    return Shown(result, lines)


def _why(decided: Decided) -> str:
    """Say what keeps a snapshot."""
    standing = decided.snapshot.standing
    return ", ".join(
        [
            *([decided.rule.value] if decided.rule else []),
            *(["held"] if decided.is_held else []),
            *(["the newest"] if decided.is_last else []),
            *([standing.value] if standing is not Standing.GOOD else []),
        ]
    )


def _shown(hold: Hold) -> Shown:
    return Shown(msgspec.to_builtins(hold), [_line(hold)])


def _line(hold: Hold) -> str:
    end = f", until {hold.until.astimezone():%Y-%m-%d %H:%M}" if hold.until else ""
    said = f"{hold.id}  {KINDS[hold.kind]} by {hold.placed_by}{end}"
    if hold.released_at:
        said += f", released by {hold.released_by}"
    elif hold.release_asked_at:
        said += f", {hold.release_asked_by} asks for its end: another administrator has to confirm"
    return f"{said}: {hold.reason}" if hold.reason else said
