"""The folders of the live host, to choose what is backed up."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from saveos.agents import questions
from saveos.agents.model import QuestionState
from saveos.errors import Conflict, InvalidRequest, TooMany
from saveos.protocol import EntryKind, FolderEntry, FolderListing, ListFolder, Platform
from saveos.ui import components, host_paths
from saveos.ui.folder_list import FolderList, FolderRow

if TYPE_CHECKING:
    from collections.abc import Callable

    from saveos.snapshots.fleet import Host
    from saveos.ui.frame import Visit
    from saveos.ui.pages.policy_draft import Draft
    from saveos.ui.pages.policy_preview import Preview

LOOK_SECONDS = 0.15
OPEN = (QuestionState.WAITING, QuestionState.ANSWERING)
ERRORS = {
    "not-found": "browser.not_found",
    "not-permitted": "browser.not_permitted",
    "not-a-folder": "browser.not_a_folder",
    "host-error": "browser.host_error",
}


class Browser:
    """A dialog; what is ticked in it becomes the draft's sources."""

    def __init__(self, visit: Visit, draft: Draft, preview: Preview, on_picked: Callable[[], None]) -> None:
        """Draw it closed."""
        self._visit, self._draft, self._preview, self._on_picked = visit, draft, preview, on_picked
        self._host: Host | None = None
        self._path = ""
        self._entries: tuple[FolderEntry, ...] = ()
        self._chosen: list[str] = []
        self._round = 0  # of asking: an older one gives way
        say = visit.say
        self._dialog, body = components.dialog(say("browser.title"), say("action.close"))
        self._dialog.on_value_change(self._on_toggle)
        with body:
            self._crumbs = components.element("nav", "crumbs", aria_label=say("browser.way"))
            self._state = components.text("p", "", "muted", role="status")
            opened = visit.doing(self._open_entry)
            self._list = FolderList(say("browser.entries"), say("browser.tick"), opened, self._tick)
            self._count = components.text("p", "", "sub", aria_live="polite")
            with components.element("div", "dialog-actions"):
                components.button(say("action.cancel"), self._dialog.close)
                components.button(say("browser.use"), self._use, "primary")

    def draw_button(self) -> None:
        """Draw the button that opens it."""
        self._button = components.button("", self._visit.doing(self._open), "small")
        self.show()

    def show(self) -> None:
        """Name the host on the button; without one there is none."""
        host = self._preview.host
        self._button.show(self._visit.say("browser.open", host=host.agent.hostname) if host else "")
        components.dress(self._button, "button small" if host else "button small hidden")

    @property
    def _is_windows(self) -> bool:
        return self._host is not None and self._host.agent.platform is Platform.WINDOWS

    async def _open(self) -> None:
        self._host = self._preview.host
        if self._host is None:
            return
        self._chosen = [entry.strip() for entry in self._draft.sources if entry.strip()]
        self._show_count()
        self._dialog.open()
        await self._go("" if self._is_windows else "/")

    async def _open_entry(self, position: int) -> None:
        await self._go(self._path_of(self._entries[position]))

    async def _go(self, path: str) -> None:
        if self._host is None:
            return
        self._round += 1
        own_round, agent = self._round, self._host.agent
        self._state.show(self._visit.say("browser.asking", host=agent.hostname))
        try:
            question = await self._visit.ask(questions.ask, agent.id, ListFolder(path=path))
        except (Conflict, TooMany, InvalidRequest) as error:
            self._state.show(self._visit.words.problem(error.code, error.message))
            return
        while own_round == self._round and not self._dialog.is_deleted:
            asked = await self._visit.ask(questions.answer_of, question)
            if asked.state not in OPEN:
                if own_round == self._round and not self._dialog.is_deleted:
                    self._show(path, asked.answer.folder if asked.answer else None)
                return
            await asyncio.sleep(LOOK_SECONDS)
        await self._visit.ask(questions.withdraw, question)

    def _show(self, path: str, listing: FolderListing | None) -> None:
        say, host = self._visit.say, self._host.agent.hostname if self._host else ""
        if listing is None:
            self._state.show(say("browser.silent", host=host))
            return
        if listing.error:
            self._state.show(say(ERRORS.get(listing.error, "browser.host_error"), path=path or "/"))
            return
        self._path, self._entries = path, listing.entries
        said = "" if listing.entries else say("browser.empty")
        self._state.show(say("browser.cut") if listing.is_cut else said)
        self._draw_crumbs(host)
        self._show_rows()

    def _draw_crumbs(self, host: str) -> None:
        go = self._visit.doing(self._go)
        way = host_paths.crumbs(self._path, is_windows=self._is_windows)
        start = host_paths.Crumb(host, "" if self._is_windows else "/")
        self._crumbs.clear()
        with self._crumbs, components.element("ol"):
            for number, crumb in enumerate([start, *way]):
                with components.element("li"):
                    button = components.button(crumb.name, lambda path=crumb.path: go(path), "quiet small")
                    if number == len(way):
                        button.props["aria-current"] = "page"

    def _show_rows(self) -> None:
        self._list.show(self._path or "/", [self._row(entry) for entry in self._entries])

    def _row(self, entry: FolderEntry) -> FolderRow:
        path, words = self._path_of(entry), self._visit.words
        is_within = any(host_paths.is_within(path, chosen) for chosen in self._chosen)
        kinds = {EntryKind.LINK: words.say("browser.link"), EntryKind.OTHER: words.say("browser.other")}
        size = words.size(entry.size_bytes) if entry.kind is EntryKind.FILE else ""
        return FolderRow(
            name=entry.name,
            sub=kinds.get(entry.kind, size),
            mark="within" if is_within else "chosen" if path in self._chosen else "",
            is_folder=entry.kind is EntryKind.FOLDER,
        )

    def _tick(self, position: int, is_on: bool) -> None:  # noqa: FBT001 - as the browser says it
        path = self._path_of(self._entries[position])
        # what a chosen folder holds is chosen with it
        self._chosen = [other for other in self._chosen if other != path and not host_paths.is_within(other, path)]
        if is_on:
            self._chosen.append(path)
        self._show_rows()
        self._show_count()

    def _show_count(self) -> None:
        self._count.show(self._visit.words.count("browser.chosen", len(self._chosen)))

    def _use(self) -> None:
        self._dialog.close()
        self._draft.sources[:] = self._chosen
        self._on_picked()

    def _path_of(self, entry: FolderEntry) -> str:
        return host_paths.join(self._path, entry.name, is_windows=self._is_windows)

    def _on_toggle(self) -> None:
        if not self._dialog.value:
            self._round += 1
