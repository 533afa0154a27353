"""/downloads: name one host or many, get what enrols them, watch them come online; what is still open.

`?provisioning=ID` shows how far one right is, `?batch=ID` those that were made together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nicegui import Client, ui

from saveos.agents import handout, provisioning
from saveos.errors import SaveOSError
from saveos.identity.principals import Permission
from saveos.installers import bases
from saveos.policies import defaults
from saveos.protocol import Platform
from saveos.tenants import users
from saveos.ui import components, frame
from saveos.ui.pages.download_batch import Batch, BatchView
from saveos.ui.pages.download_form import Choices, Form
from saveos.ui.pages.download_list import OpenRights
from saveos.ui.pages.download_steps import Begun, Steps

if TYPE_CHECKING:
    from collections.abc import Sequence

    from saveos.agents.provisioning import Terms
    from saveos.database.connection import Database
    from saveos.identity.principals import Principal
    from saveos.ui.frame import Board, Visit


def register(board: Board) -> None:
    """Make the page known."""

    @ui.page("/downloads")
    async def page(client: Client) -> None:
        await frame.open_page(board, client, DownloadsPage)


class DownloadsPage(frame.Page):
    """The page of one reader. A token that was just made is kept until they leave: it is shown only here."""

    title, section = "downloads.title", "downloads"
    missing = "downloads.missing"

    def __init__(self, visit: Visit) -> None:
        """Show what the address names, else the form."""
        super().__init__(visit)
        asked = visit.client.request.query_params
        self._asked = (asked.get("provisioning", "")[:64], asked.get("batch", "")[:64])
        self._may = visit.principal.may(Permission.PROVISION)
        self._begun: Begun | Batch | None = None
        self._shown: Steps | BatchView | OpenRights | None = None
        self._form = Form(visit, self._begin)

    async def prepare(self) -> None:
        """Read what the address names, or what can be chosen. Raises NotFound."""
        right_id, batch_id = self._asked
        if not self._may:
            return
        if right_id:
            self._begun = await self.visit.ask(self._again, right_id)
        elif batch_id:
            self._begun = await self.visit.ask(self._batch_again, batch_id)
        self._form.choices = await self.visit.ask(self._choices)

    def draw(self) -> None:
        """Draw the form and the list, or how far it is."""
        self._body = components.element("div")
        self._fill()

    def _fill(self) -> None:
        self._body.clear()
        with self._body:
            if not self._may:
                components.text("h1", self.visit.say("downloads.title"))
                components.text("p", self.visit.say("downloads.not_allowed"), "notice")
            elif self._begun is None:
                self._draw_start()
            else:
                components.link(self.visit.say("downloads.back"), "/downloads", "back")
                begun = self._begun
                self._shown = Steps(self.visit, begun) if isinstance(begun, Begun) else BatchView(self.visit, begun)

    def _draw_start(self) -> None:
        say = self.visit.say
        with components.element("div", "lead"), components.element("div"):
            components.text("h1", say("downloads.title"))
            components.text("p", say("downloads.lead"), "muted")
        self._form.draw()
        self._shown = OpenRights(self.visit, self.refresh)

    async def refresh(self) -> None:
        """Show how far it is."""
        if self._shown is not None:
            await self._shown.refresh()

    async def _begin(self, hostnames: Sequence[str], terms: Terms) -> None:
        make = self._provision_one if len(hostnames) == 1 else self._provision_many
        begun = await self.visit.change(make, hostnames, terms)
        self._begun = begun
        if isinstance(begun, Begun):
            self.visit.stand_at("/downloads", provisioning=begun.right.id)
        else:
            self.visit.stand_at("/downloads", batch=begun.id)
        self._fill()
        await self.refresh()

    def _provision_one(
        self, database: Database, principal: Principal, hostnames: Sequence[str], terms: Terms
    ) -> Begun | Batch:
        self._require_base(terms.platform)
        right, token = provisioning.create(
            database, principal, hostnames[0], terms.platform, hours=terms.hours, policy_id=terms.policy_id
        )
        return Begun(right=right, token=token, job_id=self.visit.parts.ensure_base(principal, terms.platform))

    def _provision_many(
        self, database: Database, principal: Principal, hostnames: Sequence[str], terms: Terms
    ) -> Begun | Batch:
        self._require_base(terms.platform)
        made = provisioning.create_many(database, principal, hostnames, terms)
        job_id = self.visit.parts.ensure_base(principal, terms.platform)
        return Batch(id=made[0][0].batch_id, platform=terms.platform, job_id=job_id)

    def _require_base(self, platform: Platform) -> None:
        """Refuse before a right exists that nobody can use."""
        if self.visit.parts.base(platform) is None:
            bases.require_buildable(platform)

    def _again(self, database: Database, principal: Principal, right_id: str) -> Begun:
        right = provisioning.get(database, principal, right_id)
        job_id, problem = self._ensure(principal, right.platform) if handout.is_takable(right) else (None, None)
        return Begun(right=right, job_id=job_id, problem=problem)

    def _batch_again(self, database: Database, principal: Principal, batch_id: str) -> Batch:
        rights = handout.batch(database, principal, batch_id)
        platform = rights[0].platform
        is_wanted = any(map(handout.is_takable, rights))
        job_id, problem = self._ensure(principal, platform) if is_wanted else (None, None)
        return Batch(id=batch_id, platform=platform, job_id=job_id, problem=problem)

    def _ensure(self, principal: Principal, platform: Platform) -> tuple[str | None, SaveOSError | None]:
        try:
            return self.visit.parts.ensure_base(principal, platform), None
        except SaveOSError as error:
            return None, error

    def _choices(self, database: Database, principal: Principal) -> Choices:
        settings = self.visit.parts.settings
        policies = defaults.find(database, principal)
        return Choices(
            platforms={platform: bases.is_available(settings, platform) for platform in Platform},
            policies={policy.id: policy.name for policy in policies},
            policy_id=next((policy.id for policy in policies if policy.is_default), ""),
            tenant=users.tenant_name(database, principal),
            hours=settings.provisioning_hours,
        )
