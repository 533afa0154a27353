"""/agents/{id}/versions: one file through time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nicegui import Client, ui

from saveos.agents import enrolment
from saveos.identity.principals import Permission
from saveos.snapshots import catalogue, listing
from saveos.snapshots.catalogue_model import CatalogueState
from saveos.ui import components, entry_cells, frame, looking, names
from saveos.ui.downloading import Downloads
from saveos.ui.grid import Act, Cell, Column, Grid, Row
from saveos.ui.looking import look

if TYPE_CHECKING:
    from saveos.snapshots.catalogue_model import Version
    from saveos.ui.frame import Board, Visit

FOLDER = "folder"


def register(board: Board) -> None:
    """Make the page known."""

    @ui.page("/agents/{agent_id}/versions")
    async def page(client: Client, agent_id: str) -> None:
        await frame.open_page(board, client, lambda visit: VersionsPage(visit, agent_id))


class VersionsPage(frame.Page):
    """The page of one reader about one file."""

    title, section, missing = "versions.title", "search", "agent.missing"

    def __init__(self, visit: Visit, agent_id: str) -> None:
        """Look at the file that the address names."""
        super().__init__(visit)
        self._agent_id, self._path = agent_id, visit.client.request.query_params.get("path", "").strip("/")
        self._versions: tuple[Version, ...] = ()
        self._is_shown = False

    async def prepare(self) -> None:
        """Read whose file it is. Raises NotFound."""
        self._agent = await self.visit.ask(enrolment.get, self._agent_id)

    def draw(self) -> None:
        """Draw its name and the empty list."""
        say, name = self.visit.say, names.short(names.last(self._path))
        self.visit.rename(name)
        components.link(f"← {self._agent.hostname}", f"/agents/{self._agent_id}", "back")
        with components.element("div", "lead"), components.element("div"):
            components.text("h1", name, "file-name")
            components.text("p", f"/{names.short(self._path)}", "muted file-name")
            components.text("p", say("versions.lead", host=self._agent.hostname), "muted")
        columns = [
            Column("modified", say("entry.modified"), "when-cell"),
            Column("size", say("entry.size"), "num"),
            Column("held", say("versions.held")),
            Column("acts", say("overview.actions"), "actions"),
        ]
        self._grid = Grid(say("versions.title"), columns, kind="versions", on_act=self.visit.doing(self._act))
        self._downloads = Downloads(self.visit)
        self._none = components.text("p", "", "notice hidden", role="status")
        self._opening = looking.Opening(self.visit, self.refresh)
        self._is_shown = False

    async def refresh(self) -> None:
        """Show the versions once; again only while the names are sealed or being opened."""
        if self._is_shown:
            return
        visit, agent = self.visit, self._agent
        unable = await self._opening.prepare(agent.id)
        self._versions = await look(visit, catalogue.versions, agent.id, self._path)
        state = (await look(visit, catalogue.state, agent_id=agent.id)).state
        is_sealed = state is CatalogueState.SEALED
        self._is_shown = bool(self._versions) or state in (CatalogueState.INDEXED, CatalogueState.MISSING)
        self._opening.offer([agent.id], is_sealed=is_sealed and not unable)
        self._grid.show([self._row(number, version) for number, version in enumerate(self._versions)])
        said = unable or ("" if self._versions else visit.say("versions.none"))
        if is_sealed and not unable:
            said = looking.state(visit.words, state, agent.hostname)
        self._none.show(said)
        components.dress(self._none, "notice" if said else "notice hidden")

    def _row(self, number: int, version: Version) -> Row:
        words, say = self.visit.words, self.visit.say
        first, last = words.exact(version.first_at), words.exact(version.last_at)
        when = words.exact(version.modified_at) if version.modified_at else last
        span = first if version.first_at == version.last_at else say("versions.from_to", first=first, last=last)
        acts = [Act(id=FOLDER, label=say("versions.open"), aria=f"{say('versions.open')} {last}", classes="quiet")]
        if self.visit.principal.may(Permission.RESTORE):
            label = say("entry.download")
            acts.insert(0, Act(id=entry_cells.DOWNLOAD, label=label, aria=f"{label} {when}"))
        return Row(
            id=str(number),
            cells={
                "modified": Cell(text=when),
                "size": Cell(text=words.size(version.size_bytes)),
                "held": Cell(text=span, sub=say("versions.now") if version.is_present else ""),
                "acts": Cell(acts=tuple(acts)),
            },
        )

    async def _act(self, row: str, act: str) -> None:
        version = self._versions[int(row)]
        if act == FOLDER:
            ui.navigate.to(names.files_url(version.last_snapshot_id, names.folder_of(self._path)))
        elif act == entry_cells.DOWNLOAD:
            snapshot = await self.visit.ask(listing.get, version.last_snapshot_id)
            entry = await look(self.visit, catalogue.entry, snapshot.id, self._path)
            await self._downloads.fetch(snapshot, (entry,))
