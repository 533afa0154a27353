"""/api/v1/search, and what snapshots hold: folders, changes, versions, the state of the catalogue."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import msgspec
from litestar import Controller, get, post, put
from litestar.di import Provide
from litestar.params import Parameter

from saveos.api.problems import documented
from saveos.api.snapshots import IdPath, aware
from saveos.identity.principals import Principal
from saveos.parts import Parts
from saveos.protocol import AgentId
from saveos.snapshots import catalogue, catalogue_changes, catalogue_search, names, rebuilding
from saveos.snapshots.catalogue_model import (
    ChangesPage,
    FolderPage,
    ItemKind,
    Moment,
    Scope,
    SearchPage,
    SearchQuery,
    Standing,
    Version,
)
from saveos.snapshots.names import Names

EntryParameter = Annotated[
    str,
    Parameter(
        max_length=4096,
        description='As in a listing: no leading slash, "" is the root; a backslash is doubled, a byte that is no UTF-8'
        " is a backslash, x and two hexadecimal digits",
    ),
]
AfterParameter = Annotated[str, Parameter(max_length=2048, description="`next_after` of the page before")]


class Versions(msgspec.Struct, frozen=True, kw_only=True):
    """Every version of a path, newest first."""

    items: tuple[Version, ...]


class Timeline(msgspec.Struct, frozen=True, kw_only=True):
    """The snapshots at which a folder changed, oldest first."""

    items: tuple[Moment, ...]


class Rebuild(msgspec.Struct, frozen=True, kw_only=True):
    """How many listings the host is asked for."""

    wanted_count: int


class NamesChoice(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the appliance may read the names of files, or keeps them sealed."""

    names: Names


def provide_query(  # noqa: PLR0913, PLR0917 - each is a filter of the address
    text: Annotated[str, Parameter(min_length=1, max_length=500, description="Part of a name; * and ? stand for any")],
    agent_id: Annotated[list[str] | None, Parameter(max_items=1000, description="Only these hosts")] = None,
    kind: Annotated[list[ItemKind] | None, Parameter(max_items=10)] = None,
    min_bytes: Annotated[int | None, Parameter(ge=0, le=2**62)] = None,
    max_bytes: Annotated[int | None, Parameter(ge=0, le=2**62)] = None,
    modified_since: datetime | None = None,
    modified_until: datetime | None = None,
    snapshot_id: Annotated[str, Parameter(max_length=64, description="Only what this snapshot holds")] = "",
    among: Annotated[
        Scope, Parameter(query="scope", description="Also what is deleted, only that, or none of it")
    ] = Scope.ALL,
) -> SearchQuery:
    """Return what a request looks for."""
    return SearchQuery(
        text=text,
        agent_ids=tuple(map(AgentId, agent_id or ())),
        kinds=tuple(kind or ()),
        min_bytes=min_bytes,
        max_bytes=max_bytes,
        modified_since=aware(modified_since),
        modified_until=aware(modified_until),
        at_snapshot_id=snapshot_id,
        scope=among,
    )


class Catalogue(Controller):
    """Look into snapshots."""

    path = "/api/v1"
    tags = ("catalogue",)

    @get(
        "/search",
        summary="Search files on all hosts",
        sync_to_thread=True,
        responses=documented(),
        dependencies={"wanted": Provide(provide_query, sync_to_thread=False)},
    )
    def search(
        self,
        wanted: SearchQuery,
        principal: Principal,
        parts: Parts,
        limit: Annotated[int, Parameter(ge=1, le=1000)] = 100,
        after: AfterParameter = "",
    ) -> SearchPage:
        """Find files and folders by part of their name, host by host; ends after five seconds with what it has."""
        parts.unsealing.prepare_search(principal, wanted)
        return catalogue_search.search(parts.database, parts.settings, principal, wanted, limit=limit, after=after)

    @get(
        "/snapshots/{snapshot_id:str}/files",
        summary="List a folder of a snapshot",
        sync_to_thread=True,
        responses=documented(),
    )
    def folder(
        self,
        snapshot_id: IdPath,
        principal: Principal,
        parts: Parts,
        path: EntryParameter = "",
        after: AfterParameter = "",
        limit: Annotated[int, Parameter(ge=1, le=2000)] = 200,
        compare: Annotated[str, Parameter(max_length=64, description="Id of another snapshot of the host")] = "",
    ) -> FolderPage:
        """List what a folder holds: folders first, then by name. `state` says whether the catalogue knows it yet."""
        snapshot = catalogue.known_snapshot(parts.database, principal, snapshot_id)
        parts.unsealing.prepare(principal, [snapshot.agent_id])
        return catalogue.folder(
            parts.database, parts.settings, principal, snapshot_id, path, after=after, limit=limit, compare=compare
        )

    @get(
        "/snapshots/{snapshot_id:str}/changes",
        summary="List changes between two snapshots",
        sync_to_thread=True,
        responses=documented(),
    )
    def changes(
        self,
        snapshot_id: IdPath,
        since: Annotated[str, Parameter(max_length=64, description="Id of another snapshot of the host")],
        principal: Principal,
        parts: Parts,
        path: EntryParameter = "",
        after: AfterParameter = "",
        limit: Annotated[int, Parameter(ge=1, le=2000)] = 500,
    ) -> ChangesPage:
        """List what is new, changed or gone since another snapshot of the same host."""
        snapshot = catalogue.known_snapshot(parts.database, principal, snapshot_id)
        parts.unsealing.prepare(principal, [snapshot.agent_id])
        return catalogue_changes.changes(
            parts.database, parts.settings, principal, since, snapshot_id, path=path, after=after, limit=limit
        )

    @get(
        "/agents/{agent_id:str}/versions",
        summary="List versions of a file",
        sync_to_thread=True,
        responses=documented(),
    )
    def versions(self, agent_id: IdPath, path: EntryParameter, principal: Principal, parts: Parts) -> Versions:
        """List every version of a path that the host's snapshots hold."""
        parts.unsealing.prepare(principal, [AgentId(agent_id)])
        return Versions(items=catalogue.versions(parts.database, parts.settings, principal, agent_id, path))

    @get(
        "/agents/{agent_id:str}/timeline",
        summary="List when a folder changed",
        sync_to_thread=True,
        responses=documented(),
    )
    def timeline(self, agent_id: IdPath, principal: Principal, parts: Parts, path: EntryParameter = "") -> Timeline:
        """List the snapshots at which anything in a folder changed, however deep."""
        parts.unsealing.prepare(principal, [AgentId(agent_id)])
        return Timeline(items=catalogue.timeline(parts.database, parts.settings, principal, agent_id, path))

    @get(
        "/agents/{agent_id:str}/catalogue",
        summary="Show a host's catalogue",
        sync_to_thread=True,
        responses=documented(),
    )
    def state(self, agent_id: IdPath, principal: Principal, parts: Parts) -> Standing:
        """Show how many snapshots of a host the catalogue knows."""
        return catalogue.state(parts.database, parts.settings, principal, agent_id=agent_id)

    @post(
        "/agents/{agent_id:str}/catalogue",
        summary="Rebuild a host's catalogue",
        status_code=202,
        sync_to_thread=True,
        responses=documented(),
    )
    def rebuild(self, agent_id: IdPath, principal: Principal, parts: Parts) -> Rebuild:
        """Forget what the catalogue knows of a host and ask the host for the listing of each snapshot."""
        return Rebuild(wanted_count=rebuilding.rebuild(parts.database, parts.settings, principal, agent_id))

    @get("/names", summary="Show who reads names", sync_to_thread=True, responses=documented())
    def show_names(self, principal: Principal, parts: Parts) -> NamesChoice:
        """Show whether the appliance may read the names of files."""
        return NamesChoice(names=names.get(parts.database, principal))

    @put("/names", summary="Choose who reads names", sync_to_thread=True, responses=documented())
    def choose_names(self, data: NamesChoice, principal: Principal, parts: Parts) -> NamesChoice:
        """Let the appliance read names, or seal them: then browsing and search need the host's key."""
        names.choose(parts.database, parts.settings, principal, data.names)
        return data
