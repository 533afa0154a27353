"""/policies: every policy in a few words; make, duplicate, make default, delete."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nicegui import Client, ui

from saveos.identity.principals import Permission
from saveos.policies import editing
from saveos.ui import components, frame, policy_words
from saveos.ui.grid import Act, Cell, Column, Grid, Row

if TYPE_CHECKING:
    from saveos.policies.model import Use
    from saveos.ui.frame import Board, Visit

DUPLICATE, DEFAULT, DELETE = "duplicate", "default", "delete"


def register(board: Board) -> None:
    """Make the page known."""

    @ui.page("/policies")
    async def page(client: Client) -> None:
        await frame.open_page(board, client, PoliciesPage)


class PoliciesPage(frame.Page):
    """The page of one reader."""

    title, section = "policies.title", "policies"

    def __init__(self, visit: Visit) -> None:
        """Know of none yet."""
        super().__init__(visit)
        self._uses: list[Use] = []

    def draw(self) -> None:
        """Draw the grid, and what asks before something is gone."""
        say = self.visit.say
        with components.element("div", "lead"):
            with components.element("div"):
                components.text("h1", say("policies.title"))
                components.text("p", say("policies.lead"), "muted")
            if self.visit.principal.may(Permission.POLICIES):
                components.link(say("policies.new"), "/policies/new", "button primary")
        columns = [
            Column("name", say("policies.name"), "policy-name"),
            Column("what", say("policies.what"), "policy-what"),
            Column("when", say("policies.when"), "policy-when"),
            Column("hosts", say("policies.hosts"), "num"),
            Column("acts", say("overview.actions"), "actions"),
        ]
        self._grid = Grid(say("policies.title"), columns, kind="policies", on_act=self.visit.doing(self._act))
        self._dialog, self._question = components.dialog(say("policies.delete_title"), say("action.close"))

    async def refresh(self) -> None:
        """Show the policies as they are."""
        self._uses = await self.visit.ask(editing.find)
        self._grid.show([self._row(use) for use in self._uses])

    def _row(self, use: Use) -> Row:
        words, policy = self.visit.words, use.policy
        return Row(
            id=policy.id,
            name=policy.name,
            cells={
                "name": Cell(
                    text=policy.name,
                    href=f"/policies/{policy.id}",
                    sub=words.say("policies.is_default") if policy.is_default else "",
                ),
                "what": Cell(
                    text=policy_words.sources(words, policy.sources),
                    sub=words.count("policies.excludes", len(policy.excludes)) if policy.excludes else "",
                ),
                "when": Cell(
                    text=policy_words.schedule(words, policy.schedule),
                    sub=words.say("policies.keeps", what=policy_words.retention(words, policy.retention)),
                ),
                "hosts": Cell(text=words.number(use.agents_count)),
                "acts": Cell(acts=self._acts(use)),
            },
        )

    def _acts(self, use: Use) -> tuple[Act, ...]:
        say, name = self.visit.say, use.policy.name
        if not self.visit.principal.may(Permission.POLICIES):
            return ()
        label = say("policies.duplicate")
        acts = [Act(id=DUPLICATE, label=label, aria=f"{label}: {name}", classes="quiet")]
        if not use.policy.is_default:
            label = say("policies.make_default")
            acts.append(Act(id=DEFAULT, label=label, aria=f"{label}: {name}", classes="quiet"))
            label = say("policies.delete")
            acts.append(Act(id=DELETE, label=label, aria=f"{label}: {name}", classes="quiet danger"))
        return tuple(acts)

    async def _act(self, policy_id: str, act: str) -> None:
        if act == DUPLICATE:
            twin = await self.visit.ask(editing.duplicate, policy_id)
            self.visit.notify(self.visit.say("policies.duplicated", name=twin.name))
        elif act == DEFAULT:
            policy = await self.visit.ask(editing.make_default, policy_id)
            self.visit.notify(self.visit.say("policies.default_now", name=policy.name))
        elif act == DELETE:
            self._ask_delete(next(use for use in self._uses if use.policy.id == policy_id))
        await self.refresh()

    def _ask_delete(self, use: Use) -> None:
        say, words, policy = self.visit.say, self.visit.words, use.policy

        async def delete() -> None:
            await self.visit.change(editing.delete, policy.id)
            self._dialog.close()
            self.visit.notify(say("policies.deleted", name=policy.name))
            await self.refresh()

        self._question.clear()
        with self._question:
            components.text("p", policy.name, "strong")
            if use.agents_count:
                components.text("p", words.count("policies.in_use", use.agents_count))
            else:
                components.text("p", say("policies.delete_more"))
            with components.element("div", "dialog-actions"):
                components.button(say("action.cancel"), self._dialog.close)
                if not use.agents_count:
                    components.button(say("policies.delete"), self.visit.doing(delete), "primary danger")
        self._dialog.open()
