"""The fields of the editor in their order: name, what, when, how long, how."""

from __future__ import annotations

from datetime import UTC, date
from typing import TYPE_CHECKING, Any, cast
from zoneinfo import ZoneInfo

from saveos import clock
from saveos.identity.principals import Permission
from saveos.policies.terms import Why
from saveos.ui import components
from saveos.ui.pages.policy_browser import Browser
from saveos.ui.pages.policy_maintenance import MaintenanceEditor
from saveos.ui.pages.policy_paths import PathList
from saveos.ui.pages.policy_retention import RetentionEditor
from saveos.ui.pages.policy_schedule import ScheduleEditor

if TYPE_CHECKING:
    from collections.abc import Callable

    from nicegui.element import Element

    from saveos.errors import SaveOSError
    from saveos.ui.frame import Visit
    from saveos.ui.pages.policy_draft import Draft
    from saveos.ui.pages.policy_preview import Preview
    from saveos.ui.pages.policy_trial import Trial

WHYS = {
    Why.EMPTY: "policy.why_empty",
    Why.TOO_LONG: "policy.why_long",
    Why.TOO_MANY: "policy.why_many_entries",
    Why.TAKEN: "policy.why_taken",
    Why.UNCLEAN: "policy.why_unclean",
    Why.RELATIVE: "policy.why_relative",
    Why.TWICE: "policy.why_twice",
    Why.PATTERN: "policy.why_pattern",
    Why.CRON: "policy.why_cron",
    Why.NEVER: "policy.why_never",
    Why.ZONE: "policy.why_zone",
    Why.OUT_OF_RANGE: "policy.why_range",
    Why.COMPRESSION: "policy.why_compression",
    Why.WINDOW: "retention.why_window",
}
COMPRESSIONS = {
    "lz4": "policy.lz4",
    "zstd,3": "policy.zstd",
    "zstd,10": "policy.zstd_more",
    "auto,zstd,10": "policy.auto",
    "lzma,6": "policy.lzma",
    "none": "policy.uncompressed",
}


class Form:
    """All fields of one draft."""

    def __init__(
        self, visit: Visit, draft: Draft, preview: Preview, trial: Trial, on_change: Callable[[], None]
    ) -> None:
        """Draw them."""
        self._visit, self._draft, self._on_change = visit, draft, on_change
        self._preview, self._trial = preview, trial
        say = visit.say
        with self._part(say("policy.name"), classes="editor-part bare"):
            self._name = components.Field(say("policy.name"), value=draft.name, maxlength=255, autocomplete="off")
            self._name.on_change(self._take_name)
        with self._part(say("policy.what"), say("policy.what_more")):
            preview.draw(self.show)
            self._draw_paths()
        with self._part(say("policy.when"), say("policy.when_more")):
            self._schedule = ScheduleEditor(visit, draft, on_change)
        with self._part(say("policy.how_long"), say("policy.how_long_more")):
            self._retention = RetentionEditor(visit, draft, on_change)
        with self._part(say("retention.window"), say("retention.window_more")):
            self._maintenance = MaintenanceEditor(visit, draft, on_change)
        with self._part(say("policy.how")):
            known = {key: say(sentence) for key, sentence in COMPRESSIONS.items()}
            options = known if draft.compression in known else {**known, draft.compression: draft.compression}
            label, value = say("policy.compression"), draft.compression
            self._compression = components.Select(label, options, value, self._take_compression)
            with components.element("label", "choice"):
                box = components.element("input", type="checkbox")
                if draft.guard_canaries:
                    box.props["checked"] = True
                box.on("change", self._take_canaries, js_handler="(event) => emit(event.target.checked)")
                components.text("span", say("guard.canaries"))
            components.text("p", say("guard.canaries_more"), "muted")
        self.show()

    def show(self) -> None:
        """Show what follows from the draft."""
        self._preview.show()
        self._schedule.show(self._preview.zone)
        self._retention.show(self._today())
        if self._browser is not None:
            self._browser.show()
            self._trial.show()

    async def refresh(self) -> None:
        """Show what follows from the draft, the hosts that are online and the time."""
        await self._preview.refresh()
        if self._browser is not None:
            await self._trial.refresh()
        if not self._name.box.is_deleted:  # drawn anew meanwhile, in another language
            self.show()

    def point_out(self, error: SaveOSError) -> bool:
        """Say at its field what is wrong; return whether there is such a field."""
        field, why = error.context.get("field"), error.context.get("why")
        position = cast("int | None", error.context.get("position"))
        place = {
            "name": self._name.error.show,
            "sources": lambda said: self._sources.point_out(said, position),
            "excludes": lambda said: self._excludes.point_out(said, position),
            "schedule": self._schedule.point_out,
            "time_zone": self._schedule.zone_error.show,
            "retention": self._retention.point_out,
            "maintenance": self._maintenance.point_out,
        }.get(str(field))
        if place is None or not isinstance(why, Why):
            return False
        place(self._visit.say(WHYS[why]))
        return True

    def point_out_unreadable(self) -> None:
        """Say what cannot even be read as terms."""
        if self._draft.retention is None:
            span = self._draft.wrong_rules == ["within"]
            self._retention.point_out(self._visit.say("retention.why_span" if span else "policy.why_range"))
        if self._draft.is_dayless:
            self._schedule.point_out(self._visit.say("policy.why_dayless"))

    def forget_problems(self) -> None:
        """Draw the tidied lists, and say nothing of them."""
        whens = (self._schedule.error, self._schedule.zone_error, self._maintenance.error)
        for errors in (self._name.error, *whens, self._retention.error):
            errors.show("")
        self._redraw_paths()

    def _part(self, title: str, more: str = "", classes: str = "editor-part") -> Element:
        with components.element("section", classes):
            with components.element("div", "editor-about"):
                components.text("h2", title)
                if more:
                    components.text("p", more, "muted")
            return components.element("div", "editor-fields")

    def _draw_paths(self) -> None:
        say, draft = self._visit.say, self._draft
        self._sources = PathList(
            self._visit,
            draft.sources,
            self._on_change,
            title=say("policy.sources"),
            hint=say("policy.sources_hint"),
            example="/srv/data",
        )
        self._excludes = PathList(
            self._visit,
            draft.excludes,
            self._on_change,
            title=say("policy.excludes"),
            hint=say("policy.excludes_hint"),
            example="sh:/home/*/.cache",
        )
        self._browser: Browser | None = None
        if not self._visit.principal.may(Permission.POLICIES):
            return
        self._browser = Browser(self._visit, draft, self._preview, self._picked)
        with self._sources.below:
            self._browser.draw_button()
        with self._excludes.below:
            self._trial.draw_button(draft, self._point_out_pattern)
        self._trial.draw()

    def _point_out_pattern(self, pattern: str) -> None:
        filled = [entry.strip() for entry in self._draft.excludes]
        position = filled.index(pattern) if pattern in filled else None
        self._excludes.point_out(self._visit.say(WHYS[Why.PATTERN]), position)

    def _picked(self) -> None:
        self._redraw_paths()
        self._on_change()

    def _redraw_paths(self) -> None:
        for paths in (self._sources, self._excludes):
            paths.error.show("")
            paths.draw()

    def _take_name(self) -> None:
        self._draft.name = self._name.value
        self._on_change()

    def _take_canaries(self, event: Any) -> None:
        self._draft.guard_canaries = bool(event.args)
        self._on_change()

    def _take_compression(self) -> None:
        self._draft.compression = self._compression.value
        self._on_change()

    def _today(self) -> date:
        zone = self._draft.time_zone.strip() or self._preview.zone
        try:
            return clock.now().astimezone(ZoneInfo(zone) if zone else UTC).date()
        except (ValueError, OSError, KeyError):
            return clock.now().date()
