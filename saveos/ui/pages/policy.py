"""/policies/{id} and /policies/new: the editor. What is typed stays a draft until it is saved."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nicegui import Client, ui

from saveos.errors import Conflict, InvalidRequest, NotFound
from saveos.identity.principals import Permission
from saveos.policies import editing
from saveos.ui import components, frame
from saveos.ui.pages.policy_draft import Draft
from saveos.ui.pages.policy_form import Form
from saveos.ui.pages.policy_preview import Preview
from saveos.ui.pages.policy_trial import Trial

if TYPE_CHECKING:
    from saveos.errors import SaveOSError
    from saveos.policies.model import Use
    from saveos.ui.frame import Board, Visit

WARN = "window.onbeforeunload = (event) => event.preventDefault()"
FREE = "window.onbeforeunload = null"
TO_PROBLEM = """setTimeout(() => {
  const found = document.querySelector(".page [aria-invalid]") ?? document.querySelector(".field-error:not(:empty)");
  found?.scrollIntoView({block: "center"});
  found?.focus?.();
}, 50)"""


def register(board: Board) -> None:
    """Make the page known."""

    @ui.page("/policies/{policy_id}")
    async def page(client: Client, policy_id: str) -> None:
        await frame.open_page(board, client, lambda visit: PolicyPage(visit, "" if policy_id == "new" else policy_id))


class PolicyPage(frame.Page):
    """The editor of one person; a viewer sees the same and can change nothing."""

    title, section = "policy.title", "policies"
    missing = "policy.missing"

    def __init__(self, visit: Visit, policy_id: str) -> None:
        """Edit the policy of that id; an empty one is a new policy."""
        super().__init__(visit)
        self._id = policy_id
        self._use: Use | None = None
        self._is_warning = False
        self.may_edit = visit.principal.may(Permission.POLICIES)

    async def prepare(self) -> None:
        """Read the policy. Raises NotFound; for a viewer there is no new one."""
        if self._id:
            self._use = await self.visit.ask(editing.get, self._id)
        elif not self.may_edit:
            message = "There is no such policy."
            raise NotFound(message)
        self._draft = Draft(self._use.policy if self._use else None)
        self._preview = Preview(self.visit, self._id)
        self._trial = Trial(self.visit, self._preview)

    def draw(self) -> None:
        """Draw the draft."""
        say, words = self.visit.say, self.visit.words
        name = self._use.policy.name if self._use else say("policy.new")
        self.visit.rename(name)
        components.link(f"← {say('policy.back')}", "/policies", "back")
        with components.element("div", "lead"), components.element("div"):
            self._heading = components.text("h1", name)
            facts = []
            if self._use:
                facts = [words.count("agents.count", self._use.agents_count)]
                facts += [say("policies.is_default")] if self._use.policy.is_default else []
            components.text("p", words.listing(facts) or say("policy.new_lead"), "muted")
        place = components.element("fieldset", "editor")
        if not self.may_edit:
            place.props["disabled"] = True
            place.classes("read-only")
        with place:
            self._form = Form(self.visit, self._draft, self._preview, self._trial, self._changed)
        if self.may_edit:
            self._draw_bar()
            self._show_change()

    async def refresh(self) -> None:
        """Show what the live host and the time of day change."""
        await self._form.refresh()

    def _draw_bar(self) -> None:
        say = self.visit.say
        self._bar = components.element("div", "save-bar")
        with self._bar:
            self._standing = components.text("p", "", "muted", role="status")
            self._discard = components.button(say("policy.discard"), self.visit.doing(self._give_up))
            label = say("policy.save") if self._id else say("policy.create")
            self._save_button = components.button(label, self.visit.doing(self._save), "primary")

    def _changed(self) -> None:
        self._show_change()
        self._form.show()

    def _show_change(self) -> None:
        is_changed = self._draft.is_changed
        self._standing.show(self.visit.say("policy.unsaved") if is_changed else "")
        components.dress(self._bar, "save-bar changed" if is_changed else "save-bar")
        components.put(self._discard, "disabled", None if is_changed else True)
        components.put(self._save_button, "disabled", None if is_changed else True)
        if is_changed != self._is_warning:
            self._is_warning = is_changed
            with self.visit.client:
                ui.run_javascript(WARN if is_changed else FREE)

    async def _give_up(self) -> None:
        if self._id:
            self._use = await self.visit.ask(editing.get, self._id)
        self._draft = Draft(self._use.policy if self._use else None)
        await self._draw_anew()

    async def _save(self) -> None:
        self._draft.tidy()
        self._form.forget_problems()
        kept = self._draft.retention
        if kept is None or self._draft.is_dayless or self._draft.unreadable:
            self._form.point_out_unreadable()
            self._show_problem()
            return
        try:
            if self._id:
                policy = await self.visit.change(editing.update, self._id, self._draft.terms(kept))
            else:
                policy = await self.visit.change(editing.create, self._draft.terms(kept))
        except (InvalidRequest, Conflict) as error:
            self._refused(error)
            return
        self._id = policy.id
        self._use = await self.visit.ask(editing.get, policy.id)
        self._draft = Draft(policy)
        self.visit.stand_at(f"/policies/{policy.id}")
        await self._draw_anew()
        self.visit.notify(self.visit.say("policy.saved", name=policy.name))

    def _refused(self, error: SaveOSError) -> None:
        if not self._form.point_out(error):
            raise error
        self._show_problem()

    def _show_problem(self) -> None:
        with self.visit.client:
            ui.run_javascript(TO_PROBLEM)

    async def _draw_anew(self) -> None:
        if self.visit.frame is not None:
            self.visit.frame.draw()
        await self.refresh()
