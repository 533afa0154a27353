"""Get files back: what, where to, and what happens to what is there, said before it begins."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nicegui import ui

from saveos.agents import enrolment
from saveos.agents.model import AgentState
from saveos.errors import OfflineAndSealed
from saveos.identity.principals import Permission
from saveos.protocol import OnConflict
from saveos.snapshots import restore
from saveos.ui import components, unlock

if TYPE_CHECKING:
    from collections.abc import Sequence

    from saveos.snapshots.model import Snapshot
    from saveos.ui.frame import Visit

ALL, SOME = "all", "some"
ORIGINAL, FOLDER = "original", "folder"
HOSTS_LIMIT = 500


class Dialog:
    """One dialog for all snapshots of a page. Where no host lends its key, who may is asked for the recovery code."""

    def __init__(self, visit: Visit) -> None:
        """Draw an empty dialog."""
        self._visit = visit
        self._dialog, self._body = components.dialog(visit.say("restore.title"), visit.say("action.close"))
        self._unlock = unlock.Dialog(visit, self._go_on)
        self._is_trying = False

    def open(
        self,
        snapshot: Snapshot,
        hostname: str,
        selected: Sequence[str] = (),
        *,
        expected_files_count: int = 0,
        expected_bytes: int = 0,
    ) -> None:
        """Ask what to restore from this snapshot.

        `selected`: entries as `protocol.entry_path` writes them, when they are chosen already; `expected_*`: how much
        they are, if that is known.
        """
        self._snapshot, self._hostname, self._selected = snapshot, hostname, tuple(selected)
        self._expected = {"expected_files_count": expected_files_count, "expected_bytes": expected_bytes}
        self._scope, self._place, self._conflict = ALL, FOLDER, OnConflict.OVERWRITE
        say, words = self._visit.say, self._visit.words
        self._body.clear()
        with self._body:
            components.text("p", say("restore.from", host=hostname, when=words.exact(snapshot.started_at)), "muted")
            self._draw_what()
            self._draw_where()
            with components.element("fieldset", "choices"):
                components.text("legend", say("restored.conflict"))
                ways: dict[str, str] = {
                    OnConflict.OVERWRITE: say("restored.overwrite"),
                    OnConflict.SKIP: say("restored.skip"),
                    OnConflict.RENAME: say("restored.rename"),
                }
                components.radios("conflict", ways, OnConflict.OVERWRITE, self._choose_conflict)
            self._lends = components.text("p", "", "muted")
            self._warning = components.text("p", "", "notice", aria_live="polite")
            with components.element("div", "dialog-actions"):
                components.button(say("action.cancel"), self._dialog.close)
                components.button(say("restored.try"), self._visit.doing(self._try))
                self._go = components.button(say("restore.begin"), self._visit.doing(self._begin), "primary")
        self._show()
        self._dialog.open()

    def _draw_what(self) -> None:
        say, words, snapshot = self._visit.say, self._visit.words, self._snapshot
        with components.element("fieldset", "choices"):
            components.text("legend", say("restore.what"))
            if self._selected:
                components.text("p", words.count("restored.selected", len(self._selected)))
            else:
                whole = words.count("restore.all", snapshot.files_count, size=words.size(snapshot.original_bytes))
                components.radios("scope", {ALL: whole, SOME: say("restore.some")}, ALL, self._choose_scope)
        hint = say("restore.paths_hint")
        self._paths = components.Field(say("restore.paths"), tag="textarea", hint=hint, rows=4, spellcheck="false")

    def _draw_where(self) -> None:
        say = self._visit.say
        self._hosts = self._others()
        self._host = components.Select(say("restored.onto"), self._hosts, self._snapshot.agent_id, self._show)
        components.dress(self._host.box, "field" if len(self._hosts) > 1 else "field hidden")
        with components.element("fieldset", "choices"):
            components.text("legend", say("restore.where"))
            places = {FOLDER: say("restore.folder"), ORIGINAL: say("restore.original")}
            components.radios("place", places, FOLDER, self._choose_place)
        self._target = components.Field(say("restore.target"), hint=say("restore.target_hint"), spellcheck="false")

    def _others(self) -> dict[str, str]:
        """Return the hosts to restore onto, the snapshot's own first."""
        found = enrolment.find(self._visit.parts.database, self._visit.principal, limit=HOSTS_LIMIT)
        others = {agent.id: agent.hostname for agent in found if agent.state is AgentState.READY}
        return {self._snapshot.agent_id: self._hostname, **dict(sorted(others.items(), key=lambda pair: pair[1]))}

    def _choose_scope(self, scope: str) -> None:
        self._scope = scope
        self._show()

    def _choose_place(self, place: str) -> None:
        self._place = place
        self._show()

    def _choose_conflict(self, conflict: str) -> None:
        self._conflict = OnConflict(conflict)
        self._show()

    def _show(self) -> None:
        say = self._visit.say
        is_original, is_other = self._place == ORIGINAL, self._host.value != self._snapshot.agent_id
        overwrites = is_original and self._conflict is OnConflict.OVERWRITE
        host = self._hosts[self._host.value]
        components.dress(self._paths.box, "field" if self._scope == SOME else "field hidden")
        components.dress(self._target.box, "field hidden" if is_original else "field")
        if overwrites:
            sentence = "restored.other_original" if is_other else "restore.overwrites"
        else:
            sentence = "restored.beside_other" if is_other else "restore.beside"
        self._warning.show(say(sentence, host=host))
        mood = "notice bad" if overwrites else "notice hidden" if is_original and not is_other else "notice"
        components.dress(self._warning, mood)
        self._lends.show(say("restored.lends", host=self._hostname) if is_other else "")
        self._go.show(say("restore.begin_over") if overwrites else say("restore.begin"))
        components.dress(self._go, "button primary danger" if overwrites else "button primary")

    async def _begin(self) -> None:
        self._is_trying = False
        if await self._ask(dry_run=False):
            self._dialog.close()
            self._visit.notify(self._visit.say("restore.asked", host=self._hosts[self._host.value]))

    async def _try(self) -> None:
        self._is_trying = True
        if job_id := await self._ask(dry_run=True):
            ui.navigate.to(f"/jobs/{job_id}")

    async def _go_on(self) -> None:
        """Do what the key was wanted for."""
        await (self._try() if self._is_trying else self._begin())

    async def _ask(self, *, dry_run: bool) -> str:
        """Ask for it and return the job's id; nothing while something is missing, the key too."""
        say = self._visit.say
        lines = [line.strip() for line in self._paths.value.splitlines() if line.strip()]
        paths = lines if self._scope == SOME else []
        target = self._target.value.strip() if self._place == FOLDER else None
        self._paths.error.show(say("restore.no_paths") if self._scope == SOME and not paths else "")
        self._target.error.show(say("restore.no_target") if target == "" else "")
        if target == "" or (self._scope == SOME and not paths):
            return ""
        try:
            job = await self._visit.change(
                restore.request,
                self._snapshot.id,
                paths,
                target,
                selected=self._selected,
                conflict=self._conflict,
                dry_run=dry_run,
                onto_agent_id=self._host.value,
                unlocks=self._visit.parts.unlocks,
                **self._expected,
            )
        except OfflineAndSealed:
            if not self._visit.principal.may(Permission.KEYS):
                raise
            self._unlock.open((self._snapshot.agent_id,))
            return ""
        return job.id
