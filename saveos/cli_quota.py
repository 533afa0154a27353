"""Edge: `saveos quota`: what hosts may store, and what they do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from saveos import sizes
from saveos.agents import enrolment
from saveos.cli_catalogue import Shown
from saveos.errors import InvalidRequest
from saveos.repositories import quotas
from saveos.repositories.quota_model import LIMIT_BYTES, Quota

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from saveos.identity.principals import Principal
    from saveos.repositories.quota_model import HostUse, TenantUse
    from saveos.stores import Stores

NONE = ("none", "0", "")


def add(verb: Callable[..., Any], group: Any, by_default: Callable[..., Any]) -> None:
    """Add the commands to their group."""
    show = verb(group, "show", "show limits of storage, and what is used", by_default(_show))
    show.add_argument("host", nargs="?", help="id or hostname (default: all hosts)")
    change = verb(group, "set", "set limits of storage", by_default(_set))
    whom = change.add_mutually_exclusive_group(required=True)
    whom.add_argument("host", nargs="?", help="id or hostname")
    whom.add_argument("--all-hosts", action="store_true", help="the limits of all hosts together")
    change.add_argument("--soft", help='from here on somebody is told: "500 GB", "1 TiB", or none')
    change.add_argument("--hard", help="here backups stop")


def _show(stores: Stores, principal: Principal, parsed: argparse.Namespace) -> Shown:
    if parsed.host:
        agent = enrolment.by_name(stores.database, principal, parsed.host)
        found = quotas.of_host(stores.database, principal, agent.id)
        return Shown(msgspec.to_builtins(found), [_line(found.host.hostname, found.host)])
    use = quotas.of_tenant(stores.database, principal)
    lines = [_line("all hosts", use.tenant), *(_line(host.hostname, host) for host in use.hosts)]
    return Shown(msgspec.to_builtins(use), lines)


def _set(stores: Stores, principal: Principal, parsed: argparse.Namespace) -> Shown:
    if parsed.soft is None and parsed.hard is None:
        raise InvalidRequest("Say which limit: --soft, --hard or both.")
    if parsed.all_hosts:
        was: Quota = quotas.of_tenant(stores.database, principal).tenant
        use = quotas.set_tenant(stores.database, principal, _wanted(was, parsed))
        return Shown(msgspec.to_builtins(use.tenant), [_line("all hosts", use.tenant)])
    agent = enrolment.by_name(stores.database, principal, parsed.host)
    was = quotas.of_host(stores.database, principal, agent.id).host
    found = quotas.set_host(stores.database, principal, agent.id, _wanted(was, parsed))
    return Shown(msgspec.to_builtins(found), [_line(found.host.hostname, found.host)])


def _wanted(was: Quota, parsed: argparse.Namespace) -> Quota:
    return Quota(
        soft_bytes=was.soft_bytes if parsed.soft is None else _size(parsed.soft, "soft_bytes"),
        hard_bytes=was.hard_bytes if parsed.hard is None else _size(parsed.hard, "hard_bytes"),
    )


def _size(text: str, field: str) -> int:
    if text.strip().lower() in NONE:
        return 0
    try:
        size = sizes.parse(text) or 0
    except ValueError as error:
        raise InvalidRequest(f"{text!r} is no size. Write for example 500 GB, 1 TiB or none.", field=field) from error
    if size > LIMIT_BYTES:
        raise InvalidRequest(f"{text!r} is more than any disk holds.", field=field)
    return size


def _line(name: str, use: HostUse | TenantUse) -> str:
    soft, hard = (sizes.shown(size) if size else "none" for size in (use.soft_bytes, use.hard_bytes))
    used, held = sizes.shown(use.used_bytes), sizes.shown(use.quarantine_bytes)
    return f"{name:<30}  used {used:>8}  checkpoints {held:>8}  soft {soft:>8}  hard {hard:>8}"
