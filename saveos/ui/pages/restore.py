"""Get files back: what, and where to, said before it begins."""

from __future__ import annotations

from typing import TYPE_CHECKING

from saveos.snapshots import restore
from saveos.ui import components

if TYPE_CHECKING:
    from saveos.snapshots.model import Snapshot
    from saveos.ui.frame import Visit

ALL, SOME = "all", "some"
ORIGINAL, FOLDER = "original", "folder"


class Dialog:
    """One dialog for all snapshots of a page."""

    def __init__(self, visit: Visit) -> None:
        """Draw an empty dialog."""
        self._visit = visit
        self._dialog, self._body = components.dialog(visit.say("restore.title"), visit.say("action.close"))

    def open(self, snapshot: Snapshot, hostname: str) -> None:
        """Ask what to restore from this snapshot."""
        self._snapshot, self._hostname = snapshot, hostname
        self._scope, self._place = ALL, FOLDER
        say, words = self._visit.say, self._visit.words
        self._body.clear()
        with self._body:
            components.text("p", say("restore.from", host=hostname, when=words.exact(snapshot.started_at)), "muted")
            with components.element("fieldset", "choices"):
                components.text("legend", say("restore.what"))
                whole = words.count("restore.all", snapshot.files_count, size=words.size(snapshot.original_bytes))
                components.radios("scope", {ALL: whole, SOME: say("restore.some")}, ALL, self._choose_scope)
            hint = say("restore.paths_hint")
            self._paths = components.Field(say("restore.paths"), tag="textarea", hint=hint, rows=4, spellcheck="false")
            with components.element("fieldset", "choices"):
                components.text("legend", say("restore.where"))
                places = {FOLDER: say("restore.folder"), ORIGINAL: say("restore.original")}
                components.radios("place", places, FOLDER, self._choose_place)
            self._target = components.Field(say("restore.target"), hint=say("restore.target_hint"), spellcheck="false")
            self._warning = components.text("p", "", "notice", aria_live="polite")
            with components.element("div", "dialog-actions"):
                components.button(say("action.cancel"), self._dialog.close)
                self._go = components.button(say("restore.begin"), self._visit.doing(self._begin), "primary")
        self._show()
        self._dialog.open()

    def _choose_scope(self, scope: str) -> None:
        self._scope = scope
        self._show()

    def _choose_place(self, place: str) -> None:
        self._place = place
        self._show()

    def _show(self) -> None:
        say = self._visit.say
        is_original = self._place == ORIGINAL
        components.dress(self._paths.box, "field" if self._scope == SOME else "field hidden")
        components.dress(self._target.box, "field hidden" if is_original else "field")
        sentence = "restore.overwrites" if is_original else "restore.beside"
        self._warning.show(say(sentence, host=self._hostname))
        components.dress(self._warning, "notice bad" if is_original else "notice")
        self._go.show(say("restore.begin_over") if is_original else say("restore.begin"))
        components.dress(self._go, "button primary danger" if is_original else "button primary")

    async def _begin(self) -> None:
        say = self._visit.say
        paths = [line.strip() for line in self._paths.value.splitlines() if line.strip()] if self._scope == SOME else []
        target = self._target.value.strip() if self._place == FOLDER else None
        self._paths.error.show(say("restore.no_paths") if self._scope == SOME and not paths else "")
        self._target.error.show(say("restore.no_target") if target == "" else "")
        if target == "" or (self._scope == SOME and not paths):
            return
        await self._visit.change(restore.request, self._snapshot.id, paths, target)
        self._dialog.close()
        self._visit.notify(say("restore.asked", host=self._hostname))
