"""/settings: where the appliance is reached, its certificate, language, disk, limits, and what it is made of."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import msgspec
from nicegui import Client, ui

from saveos import standing
from saveos.errors import InvalidRequest
from saveos.identity.principals import Permission
from saveos.locale import LANGUAGES
from saveos.standing import Names
from saveos.ui import account, components, frame, kit_reminder
from saveos.ui.grid import Cell, Column, Grid, Row
from saveos.ui.machine_kind import LimitFields
from saveos.ui.pages import settings_facts
from saveos.ui.pages.settings_addresses import HostAddresses
from saveos.ui.pages.settings_names import FileNames
from saveos.ui.pages.settings_quarantine import Quarantine
from saveos.ui.pages.settings_quota import AllStorage
from saveos.ui.pages.settings_self_backup import SelfBackups

if TYPE_CHECKING:
    from pathlib import Path

    from saveos.database.connection import Database
    from saveos.identity.principals import Principal
    from saveos.ui.frame import Board, Visit


class Disk(msgspec.Struct, frozen=True, kw_only=True):
    """A folder and the disk that it lies on, in bytes."""

    what: str
    path: str
    free_bytes: int
    total_bytes: int


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """What the page shows at one moment. `disks` only for those who may change settings."""

    names: Names
    disks: tuple[Disk, ...]


def register(board: Board) -> None:
    """Make the page known."""

    @ui.page("/settings")
    async def page(client: Client) -> None:
        await frame.open_page(board, client, SettingsPage)


class SettingsPage(frame.Page):
    """The page of one reader: a viewer sees what is harmless and changes nothing."""

    title, section = "settings.title", "settings"

    def __init__(self, visit: Visit) -> None:
        """Nothing is typed."""
        super().__init__(visit)
        self._may = visit.principal.may(Permission.SETTINGS)
        self._typed = ""
        self._quarantine: Quarantine | None = None
        self._host_addresses: HostAddresses | None = None

    def draw(self) -> None:
        """Draw the parts; what may change comes with `refresh`."""
        say = self.visit.say
        self._shown: Names | None = None
        with components.element("div", "lead"), components.element("div"):
            components.text("h1", say("settings.title"))
        with components.element("div", "settings"):
            self._draw_names()
            self._host_addresses = HostAddresses(self.visit, self._host_addresses.typed if self._host_addresses else "")
            with components.element("section"):
                components.text("h2", say("settings.certificate"))
                self._certificate = components.element("div", "certificate")
            if self.visit.principal.may(Permission.KEYS):
                kit_reminder.draw(self.visit)
            self._self_backups = SelfBackups(self.visit)
            self._file_names = FileNames(self.visit)
            self._limits = LimitFields(self.visit)
            self._quarantine = Quarantine(self.visit, self._quarantine.typed if self._quarantine else None)
            self._draw_language()
            self._all_storage = AllStorage(self.visit)
            if self._may:
                self._draw_storage()
            settings_facts.draw_limits(self.visit)
            settings_facts.draw_about(self.visit)

    async def refresh(self) -> None:
        """Show names, certificate and disk as they are now."""
        look = await self.visit.ask(self._look)
        if look.names != self._shown:
            self._shown = look.names
            self._show_names(look.names)
            self._certificate.clear()
            with self._certificate:
                settings_facts.draw_certificate(self.visit, look.names)
        if self._host_addresses is not None:
            await self._host_addresses.refresh()
        await self._self_backups.refresh()
        await self._file_names.refresh()
        await self._limits.refresh()
        if self._quarantine is not None:
            await self._quarantine.refresh()
        await self._all_storage.refresh()
        if self._may:
            self._disks.show([self._disk_row(disk) for disk in look.disks])

    def _look(self, database: Database, principal: Principal) -> Look:
        parts = self.visit.parts
        settings = parts.settings
        places = {
            "settings.data": settings.folder,
            "settings.repositories": settings.repositories,
            "settings.bases": settings.bases,
        }
        disks = tuple(_disk(what, path) for what, path in places.items()) if self._may else ()
        return Look(names=standing.names(database, principal, parts.standing), disks=disks)

    def _draw_names(self) -> None:
        say = self.visit.say
        with components.element("section"):
            components.text("h2", say("settings.names"))
            components.text("p", say("settings.names_lead"), "muted")
            self._addresses = components.text("p", "", "mono whole")
            self._names = components.element("ul", "plain-list")
            self._fixed = components.text("p", "", "notice hidden")
            self._adding = components.element("form", "inline-form hidden", novalidate=True)
            components.on_submit(self._adding, self.visit.doing(self._add))
            with self._adding:
                self._name = components.Field(
                    say("settings.name"),
                    value=self._typed,
                    hint=say("settings.name_hint"),
                    autocomplete="off",
                    spellcheck="false",
                    autocapitalize="off",
                    maxlength=253,
                )
                self._name.on_change(self._keep)
                components.text("button", say("settings.add"), "button", type="submit")

    def _show_names(self, names: Names) -> None:
        say = self.visit.say
        may = self._may and not names.is_fixed
        self._addresses.show(" · ".join(names.addresses))
        components.dress(self._fixed, "notice" if names.is_fixed else "notice hidden")
        self._fixed.show(settings_facts.fixed(self.visit, "names") if names.is_fixed else "")
        components.dress(self._adding, "inline-form" if may else "inline-form hidden")
        self._names.clear()
        with self._names:
            for number, name in enumerate(names.names):
                with components.element("li"):
                    components.text("span", name, "strong whole")
                    if number == 0:
                        components.text("span", say("settings.first"), "muted")
                    if may:
                        label = say("settings.remove")
                        remove = self.visit.doing(lambda name=name: self._remove(name))
                        components.button(label, remove, "small danger", aria_label=f"{label}: {name}")

    def _keep(self) -> None:
        self._typed = self._name.value

    async def _add(self) -> None:
        now = self.visit.parts.standing.names
        if not self._name.value.strip():
            self._name.error.show(self.visit.say("settings.name_wrong"))
            return
        try:
            await self.visit.change(standing.change_names, self.visit.parts.standing, [*now, self._name.value])
        except InvalidRequest as error:
            self._name.error.show(self._problem(error))
            return
        self._typed = ""
        self._name.put("")
        self.visit.notify(self.visit.say("settings.certified"))
        await self.refresh()

    async def _remove(self, name: str) -> None:
        kept = [known for known in self.visit.parts.standing.names if known != name]
        await self.visit.change(standing.change_names, self.visit.parts.standing, kept)
        self.visit.notify(self.visit.say("settings.certified"))
        await self.refresh()

    def _problem(self, error: InvalidRequest) -> str:
        is_name = error.context.get("field") == "names"
        return self.visit.say("settings.name_wrong") if is_name else self.visit.words.problem(error.code, error.message)

    def _draw_language(self) -> None:
        visit, say = self.visit, self.visit.say
        origins = visit.parts.standing.origins
        with components.element("section"):
            components.text("h2", say("settings.language"))
            components.text("p", say("settings.language_lead"), "muted")
            if self._may and not origins.is_fixed("language"):
                names = {code: account.NAMES[code] for code in LANGUAGES}
                with components.element("div", "fields"):
                    self._language = components.Select(
                        say("settings.default_language"),
                        names,
                        visit.parts.standing.language,
                        visit.doing(self._set_language),
                    )
            else:
                components.text("p", account.NAMES[visit.parts.standing.language], "strong")
                if origins.is_fixed("language"):
                    components.text("p", settings_facts.fixed(visit, "language"), "notice")
            with components.element("p", "muted"):
                components.text("span", say("settings.appearance"))
                components.link(say("profile.title"), "/profile")

    async def _set_language(self) -> None:
        await self.visit.ask(standing.change_language, self.visit.parts.standing, self._language.value)
        self.visit.notify(self.visit.say("settings.kept"))

    def _draw_storage(self) -> None:
        say = self.visit.say
        with components.element("section"):
            components.text("h2", say("settings.storage"))
            columns = [
                Column("what", say("settings.what")),
                Column("path", say("settings.path"), "path-cell"),
                Column("free", say("settings.free"), "num"),
                Column("total", say("settings.total"), "num"),
            ]
            self._disks = Grid(say("settings.storage"), columns)

    def _disk_row(self, disk: Disk) -> Row:
        words = self.visit.words
        is_low = disk.free_bytes < self.visit.parts.settings.reserve_bytes
        return Row(
            id=disk.what,
            cells={
                "what": Cell(text=words.say(disk.what)),
                "path": Cell(text=disk.path),
                "free": Cell(text=words.size(disk.free_bytes), mood="bad" if is_low else ""),
                "total": Cell(text=words.size(disk.total_bytes)),
            },
        )


def _disk(what: str, path: Path) -> Disk:
    there = next(folder for folder in (path, *path.parents) if folder.exists())
    usage = shutil.disk_usage(there)
    return Disk(what=what, path=str(path), free_bytes=usage.free, total_bytes=usage.total)
