"""What the excludes would skip on the live host, counted there before anything is saved."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from saveos.agents import questions
from saveos.agents.model import Asked, QuestionState
from saveos.errors import NotFound
from saveos.protocol import ExcludesTried, TryExcludes
from saveos.ui import components

if TYPE_CHECKING:
    from collections.abc import Callable

    from saveos.protocol import QuestionId
    from saveos.snapshots.fleet import Host
    from saveos.ui.frame import Visit
    from saveos.ui.pages.policy_draft import Draft
    from saveos.ui.pages.policy_preview import Preview

OPEN = (QuestionState.WAITING, QuestionState.ANSWERING)


class Trial:
    """One count at a time. It outlives each drawing of the page."""

    def __init__(self, visit: Visit, preview: Preview) -> None:
        """Nothing has been tried."""
        self._visit, self._preview = visit, preview
        self._host: Host | None = None
        self._question_id: QuestionId | None = None
        self._tried: TryExcludes | None = None
        self._asked: Asked | None = None

    def draw_button(self, draft: Draft, on_bad_pattern: Callable[[str], None]) -> None:
        """Draw what begins it."""
        self._draft, self._on_bad_pattern = draft, on_bad_pattern
        self._button = components.button("", self._visit.doing(self._begin), "small")

    def draw(self) -> None:
        """Draw what it says."""
        say = self._visit.say
        self._box = components.element("div", "trial hidden")
        with self._box:
            with components.element("div", "work-line"):
                self._state = components.text("p", "", "muted", role="status")
                self._cancel = components.button(say("action.cancel"), self._visit.doing(self._stop), "quiet small")
            self._bar = components.Bar(say("trial.title"))
            self._takes = components.text("p", "", "num")
            self._skips = components.text("p", "", "num strong")
            with components.element("details") as self._more:
                components.text("summary", say("trial.examples"))
                self._examples = components.element("ul", "examples")
            self._shown: tuple[str, ...] = ()
        self.show()

    @property
    def _is_open(self) -> bool:
        return self._question_id is not None and (self._asked is None or self._asked.state in OPEN)

    async def refresh(self) -> None:
        """Hear what the host says."""
        if self._is_open and self._question_id is not None:
            try:
                self._asked = await self._visit.ask(questions.answer_of, self._question_id)
            except NotFound:  # forgotten meanwhile
                self._question_id = None
            found = self._found
            if found and found.bad_pattern:
                self._on_bad_pattern(found.bad_pattern)

    def show(self) -> None:
        """Show how far it is."""
        words, host = self._visit.words, self._preview.host
        self._button.show(words.say("trial.begin", host=host.agent.hostname) if host else "")
        components.dress(self._button, "button small" if host and not self._is_open else "hidden")
        found = self._found
        is_counted = found is not None and not found.bad_pattern and not (found.is_final and found.message)
        components.dress(self._box, "trial" if self._question_id else "trial hidden")
        components.dress(self._cancel, "button quiet small" if self._is_open else "hidden")
        components.dress(self._bar, "bar" if self._is_open else "hidden")
        self._state.show(self._said())
        for line, key, files, size in (
            (self._takes, "trial.takes", found.files_count if found else 0, found.original_bytes if found else 0),
            (
                self._skips,
                "trial.skips",
                found.skipped_files_count if found else 0,
                found.skipped_bytes if found else 0,
            ),
        ):
            line.show(words.count(key, files, size=words.size(size)) if is_counted else "")
        self._show_examples(found.examples if found and is_counted else ())

    @property
    def _found(self) -> ExcludesTried | None:
        return self._asked.answer.excludes if self._asked and self._asked.answer else None

    def _said(self) -> str:
        say, host = self._visit.say, self._host.agent.hostname if self._host else ""
        found = self._found
        state = self._asked.state if self._asked else QuestionState.WAITING
        if self._is_open:
            return say("trial.counting", host=host)
        if state is QuestionState.WITHDRAWN:
            return say("trial.cancelled", host=host)
        if found is None or state is QuestionState.EXPIRED:
            return say("trial.silent", host=host)
        if found.bad_pattern or found.message:
            return say("trial.bad_pattern", pattern=found.bad_pattern) if found.bad_pattern else found.message
        return say("trial.stale", host=host) if self._tried != self._question() else say("trial.done", host=host)

    def _show_examples(self, examples: tuple[str, ...]) -> None:
        components.dress(self._more, "" if examples else "hidden")
        if examples != self._shown:
            self._shown = examples
            self._examples.clear()
            with self._examples:
                for example in examples:
                    components.text("li", example, "mono")

    def _question(self) -> TryExcludes:
        sources, excludes = (
            tuple(entry.strip() for entry in entries if entry.strip())
            for entries in (self._draft.sources, self._draft.excludes)
        )
        return TryExcludes(sources=sources, excludes=excludes)

    async def _begin(self) -> None:
        host = self._preview.host
        if host is None or self._is_open:
            return
        question = self._question()
        try:
            msgspec.convert(msgspec.to_builtins(question), TryExcludes)
        except msgspec.ValidationError:
            self._visit.notify(self._visit.say("policy.why_many_entries"), is_bad=True)
            return
        self._question_id = await self._visit.ask(questions.ask, host.agent.id, question)
        self._host, self._tried, self._asked = host, question, None
        self.show()

    async def _stop(self) -> None:
        if self._question_id is not None:
            await self._visit.ask(questions.withdraw, self._question_id)
            await self.refresh()
            self.show()
