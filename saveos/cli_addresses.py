"""Edge: `saveos address`: where hosts look for the appliance, which of them know it, and moving house."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from saveos.agents import moving
from saveos.cli_catalogue import Shown
from saveos.errors import NotFound

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from saveos.agents.moving import Addresses
    from saveos.identity.principals import Principal
    from saveos.stores import Stores


def add(group: Callable[..., Any], verb: Callable[..., Any]) -> None:
    """Add the commands."""
    words = group("address", "where hosts look for the appliance")
    verb(words, "list", "list the addresses that hosts know, and the hosts that do not know them yet", _list)
    added = verb(words, "add", "let hosts know a further address, of a new machine for example", _add)
    added.add_argument("address", metavar="HOST:PORT")
    removed = verb(words, "remove", "let hosts forget a further address", _remove)
    removed.add_argument("address", metavar="HOST:PORT")
    moved = verb(words, "moved", "send hosts to another place, and give out no work here any more", _moved)
    moved.add_argument("address", metavar="HOST:PORT")
    verb(words, "here", "serve hosts here again, also those that followed another state of this appliance", _here)


def _list(stores: Stores, principal: Principal, _parsed: argparse.Namespace) -> Shown:
    return _shown(moving.show(stores.database, principal))


def _add(stores: Stores, principal: Principal, parsed: argparse.Namespace) -> Shown:
    further = moving.show(stores.database, principal).further
    return _shown(moving.change(stores.database, principal, [*further, parsed.address]))


def _remove(stores: Stores, principal: Principal, parsed: argparse.Namespace) -> Shown:
    further = moving.show(stores.database, principal).further
    kept = [address for address in further if address != parsed.address.strip().lower()]
    if len(kept) == len(further):
        raise NotFound(f"{parsed.address} is not among the further addresses.")
    return _shown(moving.change(stores.database, principal, kept))


def _moved(stores: Stores, principal: Principal, parsed: argparse.Namespace) -> Shown:
    return _shown(moving.mark_moved(stores.database, principal, parsed.address))


def _here(stores: Stores, principal: Principal, _parsed: argparse.Namespace) -> Shown:
    return _shown(moving.serve_here(stores.database, principal))


def _shown(found: Addresses) -> Shown:
    lines = [f"{address}{'' if address in found.own else '  further'}" for address in found.addresses]
    lines.append(f"{found.holders_count} of {found.hosts_count} hosts know this list.")
    lines += [f"  not yet: {host.hostname} ({host.agent_id})" for host in found.waiting]
    if found.moved_to:
        lines.append(f"This appliance has moved to {found.moved_to}: it gives out no work. Undo: saveos address here")
    if found.ahead_count:
        lines.append(
            f"{found.ahead_count} hosts hold a later list than this appliance and get no work here: another one serves"
            " them, or this is an older state of it. If it is to serve them: saveos address here"
        )
    return Shown(msgspec.to_builtins(found), lines)
