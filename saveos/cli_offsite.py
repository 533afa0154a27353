"""Edge: `saveos offsite`: where copies of repositories go, how they stand, and the way back."""

from __future__ import annotations

import getpass
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from saveos import cli_wait, clock, sizes
from saveos.agents import enrolment
from saveos.cli_catalogue import Shown, printed
from saveos.database.secrets import Secret
from saveos.errors import InvalidRequest, NotFound
from saveos.offsite import costs, orders, stores
from saveos.offsite.model import LockMode, Place, Protection, Rate
from saveos.protocol import ExitCode
from saveos.snapshots import rehydrating
from saveos.stores import endings_of

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from saveos.identity.principals import Principal
    from saveos.offsite.model import OffsiteState, ProbeReport, Store
    from saveos.stores import Stores

VARIABLE = "SAVEOS_S3_SECRET"
NO_STORE = "No store for offsite copies has been chosen: saveos offsite choose ENDPOINT BUCKET."
PROTECTIONS = {
    Protection.LOCK: "It keeps what it is told to until a date: choose --lock.",
    Protection.VERSIONS: "It keeps former versions: who holds the key can still delete them, one by one.",
    Protection.NONE: "It has no lock and no versions: whoever holds the key can delete the copies.",
}


def add(group: Callable[..., Any], verb: Callable[..., Any]) -> None:
    """Add the commands."""
    offsite = group("offsite", "copies of repositories in an S3-compatible store")
    show = verb(offsite, "show", "show the store, and how copies stand", _show)
    show.add_argument("host", nargs="?", help="id or hostname: its generations too")
    choose = verb(offsite, "choose", "choose the store; its secret comes from a prompt", _choose)
    test = verb(offsite, "test", "write, read, lock and delete something there, and say what it can do", _test)
    for parser in (choose, test):
        _add_place(parser, is_needed=parser is choose)
    verb(offsite, "forget", "copy nowhere any more; what lies in the store stays there", _forget)
    verb(offsite, "take-over", "copy to a prefix that another appliance, now gone, holds", _take_over)
    verb(offsite, "costs", "reckon what the copies cost in a month", _costs)
    copy = verb(offsite, "copy", "copy what the store lacks of a host's repository now", _copy)
    verify = verb(offsite, "verify", "look whether a host's copy is what was written", _verify)
    verify.add_argument("--share", type=float, default=1.0, help="of the segments to be read, 0 to 1 (default: all)")
    fetch = verb(offsite, "fetch", "let a host's repository be what a generation of its copy is", _fetch)
    fetch.add_argument("--generation", type=int, help="its number (default: the newest)")
    fetch.add_argument("--hostname", help="the host's name once more: it is this one that is meant")
    for parser in (copy, verify, fetch):
        parser.add_argument("host", help="id or hostname")
        cli_wait.add(parser)


def _add_place(parser: argparse.ArgumentParser, *, is_needed: bool) -> None:
    parser.add_argument("endpoint", nargs=None if is_needed else "?", help="https://host:port")
    parser.add_argument("bucket", nargs=None if is_needed else "?")
    parser.add_argument("--key-id", help="the access key (its secret is asked for)")
    parser.add_argument("--region", default="us-east-1")
    parser.add_argument("--prefix", default="", help="keep all below it")
    parser.add_argument("--virtual-host", action="store_true", help="the bucket's name is part of the host's")
    parser.add_argument("--storage-class", default="", help="of segments, such as STANDARD_IA")
    parser.add_argument("--ca", type=Path, help="certificates that alone are trusted, PEM")
    parser.add_argument("--lock", type=LockMode, choices=list(LockMode), default=LockMode.OFF)
    parser.add_argument("--keep-days", type=int, default=0, help="of generations (default: as checkpoints)")
    parser.add_argument("--limit", default="", help='what may be sent per second: "10 MB"')
    parser.add_argument("--prices", choices=sorted(costs.KNOWN), help="what the store asks for, to reckon costs")
    parser.add_argument("--off", action="store_true", help="know the store, and copy nothing for now")
    parser.epilog = f"The secret comes from {VARIABLE}, else from a prompt, else from a line of standard input."


def _place(parsed: argparse.Namespace) -> Place:
    if not parsed.key_id:
        raise InvalidRequest("Say the access key with --key-id.", field="access_key_id")
    try:
        ca_pem = parsed.ca.read_text() if parsed.ca else ""
        limit = sizes.parse(parsed.limit) or 0
    except (OSError, ValueError) as error:
        raise InvalidRequest(f"It cannot be used: {error}", field="ca_pem" if parsed.ca else "rate") from error
    return Place(
        endpoint=parsed.endpoint,
        bucket=parsed.bucket or "",
        access_key_id=parsed.key_id,
        region=parsed.region,
        prefix=parsed.prefix,
        is_path_style=not parsed.virtual_host,
        storage_class=parsed.storage_class,
        ca_pem=ca_pem,
        lock_mode=parsed.lock,
        keep_days=parsed.keep_days,
        rate=Rate(bytes_per_second=limit),
        prices=costs.KNOWN.get(parsed.prices),
        is_enabled=not parsed.off,
    )


def _secret() -> Secret | None:
    """Return the secret that was said; None: as it was."""
    text = os.environ.get(VARIABLE) or (
        getpass.getpass("Secret of the access key (empty: as it was): ") if sys.stdin.isatty() else sys.stdin.readline()
    )
    return Secret(text.strip()) if text.strip() else None


def _choose(opened: Stores, principal: Principal, parsed: argparse.Namespace) -> Shown:
    store = stores.keep_store(opened.database, opened.settings, principal, _place(parsed), _secret())
    return Shown(msgspec.to_builtins(store), [_store_line(store), "Try it: saveos offsite test"])


def _test(opened: Stores, principal: Principal, parsed: argparse.Namespace) -> Shown:
    if parsed.endpoint:
        place, secret = _place(parsed), _secret()
    else:
        place, secret = _known(opened, principal).place, None
    report = stores.try_place(opened.database, opened.settings, principal, place, secret)
    code = ExitCode.DONE if report.is_usable else ExitCode.ERROR
    result = {"is_usable": report.is_usable, "protection": report.protection.value}
    return Shown(result | msgspec.to_builtins(report), _tried(report), code)


def _tried(report: ProbeReport) -> list[str]:
    steps = [f"{step.name.value:<14} {step.state.value:<12} {printed(step.message)}".rstrip() for step in report.steps]
    if not report.is_usable:
        return [*steps, "Copies cannot be kept there."]
    return [*steps, f"Copies can be kept there. {PROTECTIONS[report.protection]}"]


def _known(opened: Stores, principal: Principal) -> Store:
    store = stores.own_store(opened.database, principal)
    if store is None:
        raise NotFound(NO_STORE)
    return store


def _forget(opened: Stores, principal: Principal, _parsed: argparse.Namespace) -> Shown:
    stores.forget_store(opened.database, principal)
    return Shown({}, ["Copies go nowhere any more. What lies in the store stays there."])


def _take_over(opened: Stores, principal: Principal, _parsed: argparse.Namespace) -> Shown:
    stores.take_over(opened.database, opened.settings, principal)
    return Shown({}, ["The prefix is this appliance's. Another one that still copies there is refused."])


def _show(opened: Stores, principal: Principal, parsed: argparse.Namespace) -> Shown:
    if parsed.host:
        return _show_host(opened, principal, parsed.host)
    store = stores.own_store(opened.database, principal)
    names = {agent.id: agent.hostname for agent in enrolment.find(opened.database, principal)}
    states = orders.of_tenant(opened.database, principal)
    lines = [_line(names.get(agent_id, agent_id), state) for agent_id, state in states.items()]
    result = {"store": msgspec.to_builtins(store), "hosts": [_told(state) for state in states.values()]}
    return Shown(result, [_store_line(store) if store else NO_STORE, *lines])


def _show_host(opened: Stores, principal: Principal, host: str) -> Shown:
    agent = enrolment.by_name(opened.database, principal, host)
    state = orders.of_host(opened.database, principal, agent.id)
    found = orders.generations(opened.database, principal, agent.id)
    lines = [
        f"{one.number:>8}  {one.made_at.astimezone():%Y-%m-%d %H:%M}  {sizes.shown(one.bytes):>8}"
        f"  {one.snapshots_count} snapshots"
        + (f"  locked until {one.locked_until.astimezone():%Y-%m-%d}" if one.locked_until else "")
        for one in found
    ]
    result = _told(state) | {"generations": msgspec.to_builtins(found)}
    return Shown(result, [_line(agent.hostname, state), *lines])


def _told(state: OffsiteState) -> dict[str, Any]:
    now = clock.now()
    health: dict[str, Any] = {"health": state.health(now).value, "lag_seconds": state.lag_seconds(now)}
    return {**health, **msgspec.to_builtins(state)}


def _store_line(store: Store) -> str:
    place = store.place
    off = "" if place.is_enabled else "  (switched off)"
    return f"{place.endpoint}/{place.bucket}/{place.prefix}  lock {place.lock_mode.value}{off}"


def _line(name: str, state: OffsiteState) -> str:
    until = f"{state.snapshot_at.astimezone():%Y-%m-%d %H:%M}" if state.snapshot_at else "nothing"
    why = printed(state.error_message) if state.error_code else ""
    line = f"{name:<30}  {state.health(clock.now()).value:<8}  copied until {until:<16}  {sizes.shown(state.bytes):>8}"
    return f"{line}  {why}".rstrip()


def _costs(opened: Stores, principal: Principal, _parsed: argparse.Namespace) -> Shown:
    found = costs.of_tenant(opened.database, principal)
    lines = [f"{host.hostname:<30}  {sizes.shown(host.bytes):>8}  {_money(found, host.month)}" for host in found.hosts]
    lines.append(f"{'together, a month':<30}  {sizes.shown(found.bytes):>8}  {_money(found, found.month)}")
    lines.append(f"{'to fetch all of it once':<30}  {'':>8}  {_money(found, found.fetch)}")
    return Shown(msgspec.to_builtins(found), lines)


def _money(found: costs.Costs, amount: float | None) -> str:
    return "no prices known" if amount is None or found.prices is None else f"{amount:.2f} {found.prices.currency}"


def _copy(opened: Stores, principal: Principal, parsed: argparse.Namespace) -> Shown:
    agent = enrolment.by_name(opened.database, principal, parsed.host)
    return cli_wait.asked(opened, principal, orders.request_copy(opened.database, principal, agent.id), parsed)


def _verify(opened: Stores, principal: Principal, parsed: argparse.Namespace) -> Shown:
    agent = enrolment.by_name(opened.database, principal, parsed.host)
    job = orders.request_verify(opened.database, principal, agent.id, parsed.share)
    return cli_wait.asked(opened, principal, job, parsed)


def _fetch(opened: Stores, principal: Principal, parsed: argparse.Namespace) -> Shown:
    agent = enrolment.by_name(opened.database, principal, parsed.host)
    number = parsed.generation
    if number is None:
        found = orders.generations(opened.database, principal, agent.id)
        number = found[0].number if found else 0
    typed = parsed.hostname
    if typed is None and sys.stdin.isatty():
        typed = input(f"What stands here becomes a checkpoint. Type {agent.hostname} to confirm: ")
    job = rehydrating.request(opened.database, principal, agent.id, number, typed or "", endings_of(opened))
    return cli_wait.asked(opened, principal, job, parsed)
