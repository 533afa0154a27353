"""Edge: the command line's part on alerts, on changes that were meant, and on what kind of machine a host is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from saveos.agents import enrolment, machines
from saveos.alerts import raising
from saveos.cli_catalogue import Shown
from saveos.proofs import damages
from saveos.protocol import MachineClass
from saveos.snapshots import guarding

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from saveos.identity.principals import Principal
    from saveos.stores import Stores

ITSELF = "itself"


def add(group: Callable[..., Any], agent: Any, verb: Callable[..., Any]) -> None:
    """Add the commands; `agent` is the word before those on hosts, `verb` adds one of them."""
    alert = group("alert", "what a person has to hear of")
    listed = verb(alert, "list", "list the alerts that go on", show)
    listed.add_argument("--agent", help="id or hostname")
    listed.add_argument("--all", action="store_true", help="those that are over too")
    away = verb(alert, "put-away", "end an alert that has been seen to", put_away)
    away.add_argument("alert", help="id")
    said = verb(alert, "meant", "say that a host's unusual changes were meant", meant)
    said.add_argument("agent", help="id or hostname")
    named = verb(agent, "class", "show or say what kind of machine a host is", machine_class)
    named.add_argument("agent", help="id or hostname")
    named.add_argument("machine_class", nargs="?", choices=[*list(MachineClass), ITSELF])


def show(stores: Stores, principal: Principal, parsed: argparse.Namespace) -> Shown:
    """List alerts, newest first."""
    agent = enrolment.by_name(stores.database, principal, parsed.agent) if parsed.agent else None
    found = raising.find(
        stores.database, principal, agent_id=agent.id if agent else "", is_open=not parsed.all, limit=1000
    )
    lines = [
        f"{alert.id}  {alert.kind:<16} {alert.hostname or 'this appliance':<30} since {alert.opened_at:%Y-%m-%d %H:%M}"
        + (f", over {alert.cleared_at:%Y-%m-%d %H:%M}" if alert.cleared_at else "")
        for alert in found
    ]
    return Shown([msgspec.to_builtins(alert) for alert in found], lines or ["No alerts."])


def put_away(stores: Stores, principal: Principal, parsed: argparse.Namespace) -> dict[str, Any]:
    """End an alert by hand."""
    raising.put_away(stores.database, principal, parsed.alert)
    return {"put_away": parsed.alert}


def meant(stores: Stores, principal: Principal, parsed: argparse.Namespace) -> dict[str, Any]:
    """Trust a host's suspect snapshots again."""
    agent = enrolment.by_name(stores.database, principal, parsed.agent)
    count = guarding.say_meant(stores.database, principal, agent.id, damages.tell)
    return {"agent": agent.id, "snapshots": count}


def machine_class(stores: Stores, principal: Principal, parsed: argparse.Namespace) -> dict[str, Any]:
    """Show, or say, what kind of machine a host is."""
    agent = enrolment.by_name(stores.database, principal, parsed.agent)
    if parsed.machine_class is not None:
        chosen = None if parsed.machine_class == ITSELF else MachineClass(parsed.machine_class)
        agent = machines.set_class(stores.database, principal, agent.id, chosen)
    hours = machines.limits(stores.database, principal).of(agent.lives_as)
    return {
        "agent": agent.id,
        "hostname": agent.hostname,
        "machine_class": agent.lives_as.value,
        "says_itself": agent.machine,
        "overdue_after_hours": hours,
    }
