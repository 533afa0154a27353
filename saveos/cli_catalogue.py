"""The command line's look into the catalogue: search, ls, versions, catalogue rebuild."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from saveos.agents import enrolment
from saveos.errors import NotFound
from saveos.identity.principals import Principal, system
from saveos.snapshots import backup, catalogue, catalogue_changes, catalogue_search, listing, rebuilding
from saveos.snapshots.catalogue_model import CatalogueState, Scope, SearchQuery
from saveos.tenants import users
from saveos.visible import shown

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from saveos.snapshots.catalogue_model import Changed
    from saveos.stores import Stores

STATES = {
    CatalogueState.WAITING: "The host has not sent the listing of this snapshot yet.",
    CatalogueState.MISSING: "The catalogue lacks this snapshot. Ask its host: saveos catalogue rebuild HOST",
    CatalogueState.SEALED: "The names of this snapshot are sealed: only who holds the host's key reads them.",
}
PRINTED = str.maketrans({chr(code): f"\\x{code:02x}" for code in (*range(32), *range(127, 160))})


class Shown(msgspec.Struct, frozen=True):
    """A command's result: for programs, and as lines for people."""

    result: Any
    lines: list[str]
    code: int = 0


def add(commands: Any, verb: Callable[..., Any]) -> None:
    """Add the commands; `verb` adds one of them."""
    search = verb(commands, "search", "find files of all hosts by part of their name", _search)
    search.add_argument("text", help="part of a name, or all of it with * and ?")
    search.add_argument("--host", action="append", default=[], help="only this host: id or hostname")
    search.add_argument("--scope", type=Scope, choices=list(Scope), default=Scope.ALL)
    search.add_argument("--limit", type=int, default=100)
    search.add_argument("--after", default="", help="next_after of the page before")
    listing = verb(commands, "ls", "list a folder of a snapshot", _list)
    listing.add_argument("snapshot", help="a snapshot's id, or a host for its newest one")
    listing.add_argument("path", nargs="?", default="")
    versions = verb(commands, "versions", "list the versions of a file", _versions)
    versions.add_argument("host", help="id or hostname")
    versions.add_argument("path")
    changed = verb(commands, "changes", "list what changed between two snapshots of a host", _changes)
    changed.add_argument("snapshot", help="the newer one's id")
    changed.add_argument("--since", help="the older one's id (default: the one before)")
    group = commands.add_parser("catalogue", help="what snapshots hold").add_subparsers(
        dest="verb", required=True, metavar="VERB"
    )
    rebuild = verb(group, "rebuild", "ask a host for the listings of all its snapshots", _rebuild)
    rebuild.add_argument("host", help="id or hostname")


def _search(stores: Stores, parsed: argparse.Namespace) -> Shown:
    principal = _principal(stores)
    hosts = tuple(enrolment.by_name(stores.database, principal, name).id for name in parsed.host)
    query = SearchQuery(text=parsed.text, agent_ids=hosts, scope=parsed.scope)
    page = catalogue_search.search(
        stores.database, stores.settings, principal, query, limit=parsed.limit, after=parsed.after
    )
    lines = [
        f"{hit.size_bytes:>15}  {_day(hit.modified_at)}  {hit.newest_snapshot_id}  {hit.hostname}:/{printed(hit.path)}"
        f"{'' if hit.is_in_latest else '  (deleted)'}"
        for hit in page.hits
    ]
    lines.append(f"{len(page.hits)} found on {page.searched_hosts} hosts in {page.took_seconds:.2f} s.")
    if page.skipped_hosts:
        lines.append(f"{page.skipped_hosts} hosts could not be searched.")
    if page.next_after:
        lines.append(f"There may be more: --after {page.next_after}")
    return Shown(msgspec.to_builtins(page), lines)


def _list(stores: Stores, parsed: argparse.Namespace) -> Shown:
    principal = _principal(stores)
    snapshot_id, path = _snapshot(stores, principal, parsed.snapshot), parsed.path.strip("/")
    entries: list[Any] = []
    after: str | None = ""
    while after is not None:
        page = catalogue.folder(
            stores.database, stores.settings, principal, snapshot_id, path, after=after, limit=catalogue.PAGE_LIMIT
        )
        if page.state is not CatalogueState.INDEXED:
            raise NotFound(STATES[page.state])
        entries += page.entries
        after = page.next_after
    lines = [
        f"{entry.mode:04o}  {entry.size_bytes:>15}  {_day(entry.modified_at)}  {printed(entry.name)}"
        f"{'/' if entry.kind == 'folder' else ''}"
        for entry in entries
    ]
    return Shown({"snapshot_id": snapshot_id, "entries": msgspec.to_builtins(entries)}, lines)


def _versions(stores: Stores, parsed: argparse.Namespace) -> Shown:
    principal = _principal(stores)
    agent = enrolment.by_name(stores.database, principal, parsed.host)
    found = catalogue.versions(stores.database, stores.settings, principal, agent.id, parsed.path.strip("/"))
    lines = [
        f"{version.size_bytes:>15}  {_day(version.modified_at)}  {version.first_snapshot_id} to"
        f" {version.last_snapshot_id}{'' if version.is_present else '  (no more)'}"
        for version in found
    ]
    return Shown(msgspec.to_builtins(found), lines or ["No snapshot in the catalogue holds it."])


def _changes(stores: Stores, parsed: argparse.Namespace) -> Shown:
    principal = _principal(stores)
    older = parsed.since or _before(stores, principal, parsed.snapshot)
    found: list[Changed] = []
    after: str | None = ""
    while after is not None:
        page = catalogue_changes.changes(
            stores.database, stores.settings, principal, older, parsed.snapshot, after=after, limit=catalogue.PAGE_LIMIT
        )
        if page.state is not CatalogueState.INDEXED:
            raise NotFound(STATES[page.state])
        found += page.changes
        after = page.next_after
    lines = [f"{changed.change.value:>8}  /{printed(changed.path)}" for changed in found]
    result = {"since": older, "changes": msgspec.to_builtins(found)}
    return Shown(result, lines or ["Nothing changed."])


def _before(stores: Stores, principal: Principal, snapshot_id: str) -> str:
    agent_id = listing.get(stores.database, principal, snapshot_id).agent_id
    older = backup.of_agent(stores.database, principal, agent_id, before=snapshot_id, limit=1)
    if not older:
        raise NotFound("There is no snapshot before this one to compare it with.")
    return older[0].id


def _rebuild(stores: Stores, parsed: argparse.Namespace) -> Shown:
    principal = _principal(stores)
    agent = enrolment.by_name(stores.database, principal, parsed.host)
    count = rebuilding.rebuild(stores.database, stores.settings, principal, agent.id)
    return Shown({"wanted_count": count}, [f"{agent.hostname} is asked for {count} listings."])


def _snapshot(stores: Stores, principal: Principal, name: str) -> str:
    if name.startswith("snp_"):
        return name
    agent = enrolment.by_name(stores.database, principal, name)
    newest = backup.of_agent(stores.database, principal, agent.id, limit=1)
    if not newest:
        raise NotFound(f"{agent.hostname} has no snapshot.")
    return newest[0].id


def _principal(stores: Stores) -> Principal:
    return system(users.default_tenant(stores.database), "command line")


def _day(moment: Any) -> str:
    return f"{moment.astimezone():%Y-%m-%d %H:%M}" if moment else " " * 16


def printed(path: str) -> str:
    """Return a path without what would steer the terminal, or turn or hide what stands beside it there."""
    return shown(path.translate(PRINTED))
