"""/snapshots/{id}: one moment of one host, and the way to get its files back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nicegui import Client, ui

from saveos.identity.principals import Permission
from saveos.snapshots import guarding, listing
from saveos.snapshots.model import Standing
from saveos.ui import components, frame, guard_numbers, snapshot_cells
from saveos.ui.facts import Facts
from saveos.ui.pages import restore
from saveos.ui.pages.snapshot_holds import Holds

if TYPE_CHECKING:
    from saveos.ui.frame import Board, Visit


def register(board: Board) -> None:
    """Make the page known."""

    @ui.page("/snapshots/{snapshot_id}")
    async def page(client: Client, snapshot_id: str) -> None:
        await frame.open_page(board, client, lambda visit: SnapshotPage(visit, snapshot_id))


class SnapshotPage(frame.Page):
    """The page of one reader about one snapshot."""

    title, section, missing = "snapshots.one", "snapshots", "snapshots.missing"

    def __init__(self, visit: Visit, snapshot_id: str) -> None:
        """Nothing is drawn until it is known that there is such a snapshot."""
        super().__init__(visit)
        self._id = snapshot_id

    async def prepare(self) -> None:
        """Read it. Raises NotFound."""
        self._snapshot = await self.visit.ask(listing.get, self._id)
        self._known = await self.visit.ask(guarding.of_snapshot, self._id)

    def draw(self) -> None:
        """Draw what it is, which does not change, and what keeps it."""
        say, words, snapshot = self.visit.say, self.visit.words, self._snapshot
        when = words.exact(snapshot.started_at)
        self._restore = restore.Dialog(self.visit)
        self.visit.rename(f"{snapshot.hostname}, {when}")
        components.link(f"← {say('snapshots.title')}", "/snapshots", "back")
        with components.element("div", "lead"):
            with components.element("div"):
                components.text("h1", f"{snapshot.hostname}, {when}")
                state = snapshot_cells.state(words, snapshot)
                components.text("p", state.text, f"state {state.mood}")
            with components.element("div", "row"):
                components.link(say("jobs.to_host"), f"/agents/{snapshot.agent_id}", "button")
                components.link(say("snapshots.to_job"), f"/jobs/{snapshot.job_id}", "button")
                components.link(say("changes.open"), f"/snapshots/{snapshot.id}/changes", "button")
                components.link(say("files.open"), f"/snapshots/{snapshot.id}/files", "button")
                if self.visit.principal.may(Permission.RESTORE) and snapshot.standing is not Standing.LOST:
                    opener = lambda: self._restore.open(snapshot, snapshot.hostname)  # noqa: E731 - bound to this page
                    components.button(say("snapshot.restore"), opener, "primary")
        if snapshot.standing is Standing.LOST:
            components.text("p", say("protection.lost_more"), "notice bad", role="note")
        changed = snapshot_cells.changed(words, snapshot)
        Facts(self.visit).show(
            {
                "snapshot.kind": words.say(snapshot_cells.KINDS[snapshot.kind]),
                "snapshot.files": words.listing([words.number(snapshot.files_count), changed]),
                "snapshot.size": words.size(snapshot.original_bytes),
                "snapshots.compressed": words.size(snapshot.compressed_bytes),
                "snapshot.added_column": f"+{words.size(snapshot.added_bytes)}",
                "snapshot.duration": words.duration(snapshot.duration_seconds),
                "agents.policy": snapshot.policy_name or "",
                "snapshots.sources": ", ".join(snapshot.sources),
                "snapshots.archive": snapshot.archive,
            }
        )
        if self._known is not None:
            components.text("h2", say("guard.title"))
            Facts(self.visit).show(guard_numbers.facts(words, self._known))
        self._holds = Holds(self.visit, snapshot.id)

    async def refresh(self) -> None:
        """Show what keeps it."""
        await self._holds.refresh()
