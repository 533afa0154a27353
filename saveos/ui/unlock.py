"""Unlock hosts: a dialog whose code never reaches the server (unlock.js), and a banner while something is unlocked."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import msgspec
from nicegui.element import Element

from saveos import clock
from saveos.errors import NotFound, SaveOSError
from saveos.identity.principals import Permission
from saveos.ui import components

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from saveos.repositories.model import Unlock
    from saveos.ui.frame import Visit

MINUTES = (5, 15, 60, 240)


class _Sealed(msgspec.Struct):
    """What the browser says: never the code itself."""

    unlock_id: str
    sealed_code: str
    minutes: float = 15.0


class _Form(Element, component="unlock.js"):
    """The field, the minutes, and a button."""

    def __init__(self, visit: Visit) -> None:
        super().__init__()
        say, words = visit.say, visit.words
        self._props["choices"] = {str(number): words.count("unlock.minutes_choice", number) for number in MINUTES}
        self._props["words"] = {
            "code": say("unlock.code"),
            "hint": say("unlock.hint"),
            "minutes": say("unlock.minutes"),
            "unlock": say("unlock.button"),
            "cancel": say("action.cancel"),
            "mistyped": say("kit.mistyped"),
            "unable": say("kit.not_able"),
            "unreachable": say("entrance.unreachable"),
            "too-many-requests": say("problem.too-many-requests"),
            "not-allowed": say("problem.not-allowed"),
            "not-authenticated": say("problem.not-authenticated"),
        }


class Dialog:
    """Asks for the recovery code. `on_unlocked` runs when the hosts are unlocked."""

    def __init__(self, visit: Visit, on_unlocked: Callable[[], Awaitable[None]]) -> None:
        """Draw it closed."""
        self._visit, self._on_unlocked = visit, on_unlocked
        self._agent_ids: tuple[str, ...] = ()
        self._dialog, body = components.dialog(visit.say("unlock.title"), visit.say("action.close"))

        async def sealed(event: Any) -> None:  # its signature is how NiceGUI knows that it wants the event
            await visit.doing(self._open)(event.args)

        with body:
            components.text("p", visit.say("unlock.lead"))
            self._form = _Form(visit)
            self._form.on("sealed", sealed)
            self._form.on("cancel", self._dialog.close, [])

    def open(self, agent_ids: Sequence[str] = ()) -> None:
        """Ask for these hosts; none named: all of the tenant."""
        self._agent_ids = tuple(agent_ids)
        self._form.run_method("done")
        self._dialog.open()

    async def _open(self, said_by_browser: object) -> None:
        visit = self._visit
        try:
            said = msgspec.convert(said_by_browser, _Sealed)
        except msgspec.ValidationError:
            return
        try:
            unlock = await visit.parts.unlocks.open(
                await visit.who(), said.unlock_id, said.sealed_code, self._agent_ids, said.minutes
            )
        except SaveOSError as error:
            self._form.run_method("fail", visit.words.problem(error.code, error.message))
            return
        self._form.run_method("done")
        self._dialog.close()
        visit.notify(visit.words.count("unlock.done", len(unlock.agent_ids)))
        await self._on_unlocked()


class Banner:
    """Says on every page that hosts are unlocked, for how long yet, and ends it."""

    def __init__(self, visit: Visit) -> None:
        """Draw it hidden."""
        self._visit = visit
        self._box = components.element("section", "hidden", role="status")
        with self._box:
            self._words = components.text("span")
            if visit.principal.may(Permission.RESTORE):
                components.button(visit.say("unlock.lock"), visit.doing(self._lock), "small")

    async def refresh(self) -> None:
        """Show how it stands; this reads memory alone."""
        unlocks = self._visit.parts.unlocks.current(self._visit.principal)
        components.dress(self._box, "unlocked" if unlocks else "hidden")
        self._words.show(told(self._visit, unlocks) if unlocks else "")

    async def _lock(self) -> None:
        principal = await self._visit.who()
        for unlock in self._visit.parts.unlocks.current(principal):
            with contextlib.suppress(NotFound):  # it ended by itself meanwhile: the others are still to be locked
                await self._visit.parts.unlocks.lock(principal, unlock.unlock_id)
        await self.refresh()


def told(visit: Visit, unlocks: Sequence[Unlock]) -> str:
    """Say how many hosts are unlocked, and for how long yet."""
    hosts = {agent_id for unlock in unlocks for agent_id in unlock.agent_ids}
    seconds = (max(unlock.ends_at for unlock in unlocks) - clock.now()).total_seconds()
    span = visit.words.count("time.span_minute", max(1, int(seconds / 60 + 0.5)))
    return visit.words.count("unlock.banner", len(hosts), span=span)
