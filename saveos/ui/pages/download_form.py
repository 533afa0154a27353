"""The form of /downloads: which hosts, for which platform, under which policy, for how long."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from saveos.agents import hostnames
from saveos.agents.hostnames import Wrong
from saveos.agents.provisioning import Terms
from saveos.protocol import Platform
from saveos.ui import components
from saveos.ui.host_cells import PLATFORMS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from saveos.agents.hostnames import Fault
    from saveos.ui.frame import Visit

FAULTS = {
    Wrong.NAME: "downloads.fault_name",
    Wrong.TWICE: "downloads.fault_twice",
    Wrong.TOO_MANY: "downloads.fault_limit",
}
FAULTS_SHOWN = 8
HOURS = {"hours": 1, "days": 24}
LONGEST_HOURS = 8760


class Choices(msgspec.Struct, frozen=True, kw_only=True):
    """What can be chosen. `platforms`: whether this appliance has or can make that agent; `hours`: the usual span."""

    platforms: dict[Platform, bool]
    policies: dict[str, str]  # id → name
    policy_id: str
    tenant: str
    hours: float


class Draft(msgspec.Struct, kw_only=True):
    """What is typed and not yet sent; it outlives a drawing."""

    names: str = ""
    platform: str = Platform.LINUX.value
    policy_id: str = ""
    span: str = ""
    unit: str = "hours"


class Form:
    """Drawn once per language; the draft stays."""

    def __init__(self, visit: Visit, on_begin: Callable[[Sequence[str], Terms], Awaitable[None]]) -> None:
        """`on_begin` makes the rights."""
        self._visit, self._on_begin = visit, on_begin
        self.choices: Choices | None = None
        self._draft: Draft | None = None
        self._is_told = False

    def draw(self) -> None:
        """Draw it, filled with the draft."""
        choices = self.choices
        if choices is None:
            return
        if self._draft is None:
            span, unit = _span(choices.hours)
            self._draft = Draft(policy_id=choices.policy_id, span=span, unit=unit)
        with components.element("form", "provision", novalidate=True) as form:
            components.on_submit(form, self._visit.doing(self._begin))
            with components.element("div", "provision-hosts"):
                self._draw_names(self._draft)
            with components.element("div", "provision-terms"):
                self._draw_terms(self._draft, choices)
            with components.element("div", "provision-foot"):
                components.text("button", self._visit.say("downloads.begin"), "button primary", type="submit")
        self._tell()

    def _draw_names(self, draft: Draft) -> None:
        say = self._visit.say
        self._names = components.Field(
            say("downloads.hosts"),
            value=draft.names,
            hint=say("downloads.hosts_hint", count=hostnames.LIMIT),
            tag="textarea",
            rows=7,
            autocomplete="off",
            spellcheck="false",
            autocapitalize="off",
        )
        self._names.on_change(self._on_names)
        self._count = components.text("p", "", "muted num", aria_live="polite")
        with components.element("div", role="alert"):
            self._faults = components.element("ul", "faults hidden")

    def _draw_terms(self, draft: Draft, choices: Choices) -> None:
        say = self._visit.say
        with components.element("fieldset", "choices"):
            components.text("legend", say("download.platform"))
            names = {platform.value: PLATFORMS[platform] for platform in Platform}
            boxes = components.radios("platform", names, draft.platform, self._on_platform)
            for platform, is_available in choices.platforms.items():
                if not is_available:
                    boxes[platform.value].props["disabled"] = True
                    with boxes[platform.value].parent_slot.parent:  # type: ignore[union-attr]
                        components.text("span", say("download.unavailable"), "muted")
        self._policy = components.Select(say("downloads.policy"), choices.policies, draft.policy_id, self._on_terms)
        with components.element("div", "span-fields"):
            self._span = components.Field(
                say("downloads.valid_for"), value=draft.span, inputmode="decimal", autocomplete="off", maxlength=6
            )
            units = {"hours": say("downloads.hours"), "days": say("downloads.days")}
            self._unit = components.Select(
                say("downloads.unit"), units, draft.unit, self._on_terms, is_label_hidden=True
            )
        self._span.on_change(self._on_terms)
        with components.element("dl", "facts"):
            components.text("dt", say("downloads.tenant"))
            components.text("dd", choices.tenant)

    def _on_names(self) -> None:
        if self._draft is not None:
            self._draft.names = self._names.value
            self._tell()

    def _on_platform(self, platform: str) -> None:
        if self._draft is not None:
            self._draft.platform = Platform(platform).value

    def _on_terms(self) -> None:
        if self._draft is not None:
            self._draft.policy_id, self._draft.unit = self._policy.value, self._unit.value
            self._draft.span = self._span.value

    def _tell(self) -> None:
        """Say how many hosts are named, and what is wrong with the others once somebody wanted to go on."""
        found = hostnames.read(self._names.value)
        self._count.show(self._visit.words.count("downloads.named", len(found.names)) if found.names else "")
        faults = found.faults if self._is_told else ()
        components.dress(self._faults, "faults" if faults else "faults hidden")
        self._faults.clear()
        with self._faults:
            for fault in faults[:FAULTS_SHOWN]:
                components.text("li", self._sentence(fault))
            if len(faults) > FAULTS_SHOWN:
                components.text("li", self._visit.words.count("downloads.fault_more", len(faults) - FAULTS_SHOWN))

    def _sentence(self, fault: Fault) -> str:
        values = {"line": fault.line, "name": fault.name, "first": fault.first_line, "count": hostnames.LIMIT}
        return self._visit.say(FAULTS[fault.wrong], **values)

    async def _begin(self) -> None:
        say, draft = self._visit.say, self._draft
        found = hostnames.read(self._names.value)
        self._is_told = True
        self._tell()
        hours = _hours(self._span.value, self._unit.value)
        if not found.names and not found.faults:
            self._names.error.show(say("downloads.no_host"))
        if hours is None:
            self._span.error.show(say("downloads.span_wrong"))
        if draft is None or hours is None or found.faults or not found.names:
            return
        terms = Terms(platform=Platform(draft.platform), hours=hours, policy_id=self._policy.value)
        await self._on_begin(found.names, terms)


def _span(hours: float) -> tuple[str, str]:
    """Return a span as number and unit: whole days if it is more than one."""
    if hours > HOURS["days"] and hours % HOURS["days"] == 0:
        return f"{hours / HOURS['days']:g}", "days"
    return f"{hours:g}", "hours"


def _hours(text: str, unit: str) -> float | None:
    """Return the hours of a typed span, a comma being as good as a dot; None if it is none, or longer than a year."""
    try:
        hours = float(text.strip().replace(",", ".")) * HOURS[unit]
    except (ValueError, KeyError):
        return None
    return hours if 0 < hours <= LONGEST_HOURS else None
