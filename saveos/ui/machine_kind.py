"""What kind of machine a host is, on its page; and for how long each kind may be away, among the settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from saveos.agents import machines
from saveos.agents.model import Limits
from saveos.identity.principals import Permission
from saveos.protocol import MachineClass
from saveos.ui import components

if TYPE_CHECKING:
    from saveos.agents.model import Agent
    from saveos.ui.frame import Visit

NAMES = {
    MachineClass.SERVER: "machine.server",
    MachineClass.WORKSTATION: "machine.workstation",
    MachineClass.LAPTOP: "machine.laptop",
}
ITSELF = "itself"


class Kind:
    """The choice on a host's page; hidden from those who may not make it: they read it among the facts."""

    def __init__(self, visit: Visit, agent: Agent) -> None:
        """Draw it."""
        self._visit, self._id = visit, agent.id
        if not visit.principal.may(Permission.POLICIES):
            return
        said = MachineClass(agent.machine) if agent.machine in MachineClass.__members__.values() else None
        what = visit.say(NAMES[said]) if said else visit.say("machine.unknown")
        options = {ITSELF: visit.say("machine.itself", what=what)}
        options |= {kind.value: visit.say(name) for kind, name in NAMES.items()}
        label, value = visit.say("machine.chosen"), agent.machine_class or ITSELF
        with components.element("div", "filters narrow"):
            self._choice = components.Select(label, options, value, visit.doing(self._choose))

    async def _choose(self) -> None:
        chosen = None if self._choice.value == ITSELF else MachineClass(self._choice.value)
        await self._visit.change(machines.set_class, self._id, chosen)
        self._visit.notify(self._visit.say("machine.saved"))


def name_of(visit: Visit, agent: Agent) -> str:
    """Return what a host counts as, in words."""
    return visit.say(NAMES[agent.lives_as])


class LimitFields:
    """The section of the settings; what is typed and not kept stays until it is."""

    def __init__(self, visit: Visit) -> None:
        """Draw it; the numbers come with `refresh`."""
        self._visit = visit
        self._may = visit.principal.may(Permission.POLICIES)
        self._kept: Limits | None = None
        with components.element("section"):
            components.text("h2", visit.say("machine.limits"))
            components.text("p", visit.say("machine.limits_more"), "muted")
            self._place = components.element("div", "fields")
            self._error = components.text("p", "", "field-error", role="alert")

    async def refresh(self) -> None:
        """Show the limits when they are others than those that are shown."""
        kept = await self._visit.ask(machines.limits)
        if kept == self._kept:
            return
        self._kept = kept
        self._place.clear()
        say = self._visit.say
        self._fields = {}
        with self._place:
            for kind, name in NAMES.items():
                label = say("machine.hours", name=say(name))
                hours = str(getattr(kept, kind.value))
                field = self._fields[kind] = components.Field(label, value=hours, inputmode="numeric")
                components.put(field.input, "readonly", None if self._may else True)
            if self._may:
                label = f"{say('machine.save')}: {say('machine.limits')}"  # others on the page save, too
                with components.element("div", "fields-foot"):
                    components.button(say("machine.save"), self._visit.doing(self._keep), aria_label=label)

    async def _keep(self) -> None:
        say = self._visit.say
        typed = {kind.value: field.value.strip() for kind, field in self._fields.items()}
        try:
            wanted = msgspec.convert(typed, Limits, strict=False)
        except msgspec.ValidationError:
            self._error.show(say("machine.limits_wrong"))
            return
        self._error.show("")
        await self._visit.change(machines.set_limits, wanted)
        self._visit.notify(say("machine.limits_saved"))
        await self.refresh()
