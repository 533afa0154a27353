"""Edge: `saveos self-backup`: how the appliance's backups of itself stand, one more now, repositories back at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from saveos import cli_wait
from saveos.cli_catalogue import Shown, printed
from saveos.protocol import ExitCode
from saveos.selfbackup import orders
from saveos.sizes import shown
from saveos.snapshots import rehydrating

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from saveos.identity.principals import Principal
    from saveos.stores import Stores


def add(group: Callable[..., Any], verb: Callable[..., Any]) -> None:
    """Add the commands."""
    own = group("self-backup", "backups of the appliance itself")
    verb(own, "status", "show the newest one, where it lies, and what went wrong", status)
    now = verb(own, "now", "let the serving appliance make one", make)
    cli_wait.add(now)
    verb(own, "fetch", "fetch all repositories back that are only in the offsite copy", fetch)


def status(stores: Stores, principal: Principal, _parsed: argparse.Namespace) -> Shown:
    """Show how they stand."""
    found = orders.standing(stores.database, stores.settings, principal)
    lines = [f"{found.name}, {shown(found.bytes)}" if found.made_at else "There is none yet."]
    lines.append(
        f"In {found.folder}" + (f" and {found.store}" if found.store else "; in no store: it burns with the disk")
    )
    if found.store and found.made_at and found.store_made_at != found.made_at:
        lines.append(f"In the store: {found.store_made_at or 'none'}")
    if not found.has_kit:
        lines.append("There is no recovery kit to seal it to.")
    if found.error_code:
        lines.append(f"The last one failed: {printed(found.error_message)}")
    if found.is_late:
        lines.append("It is older than two days.")
    if found.away_count:
        lines.append(f"{found.away_count} repositories are only in the offsite copy.")
    is_good = found.made_at is not None and found.has_kit and not found.error_code and not found.is_late
    return Shown(msgspec.to_builtins(found), lines, ExitCode.DONE if is_good else ExitCode.WARNINGS)


def make(stores: Stores, principal: Principal, parsed: argparse.Namespace) -> Shown:
    """Ask for one."""
    return cli_wait.asked(stores, principal, orders.request(stores.database, principal), parsed)


def fetch(stores: Stores, principal: Principal, _parsed: argparse.Namespace) -> dict[str, Any]:
    """Ask for all of them."""
    return {"repositories": rehydrating.request_all(stores.database, principal)}
