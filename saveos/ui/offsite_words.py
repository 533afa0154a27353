"""An offsite copy in words: how it stands, what a store can do, what it costs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from saveos import clock
from saveos.offsite.model import Health, LockMode, Protection, StepName, StepState
from saveos.ui import components

if TYPE_CHECKING:
    from saveos.offsite.costs import Costs
    from saveos.offsite.model import OffsiteState, ProbeReport, Step, Store
    from saveos.ui.frame import Visit
    from saveos.ui.words import Words

HEALTHS = {
    Health.NONE: "offsite.none",
    Health.WAITING: "offsite.waiting",
    Health.CURRENT: "offsite.current",
    Health.LATE: "offsite.late",
    Health.FAILED: "offsite.failed",
    Health.DAMAGED: "offsite.is_damaged",
}
MOODS = {
    Health.NONE: "muted",
    Health.WAITING: "calm",
    Health.CURRENT: "good",
    Health.LATE: "warn",
    Health.FAILED: "warn",
    Health.DAMAGED: "bad",
}
STEPS = {
    StepName.WRITE: "offsite.step_write",
    StepName.READ: "offsite.step_read",
    StepName.LIST: "offsite.step_list",
    StepName.CONDITION: "offsite.step_condition",
    StepName.VERSIONS: "offsite.step_versions",
    StepName.LOCK: "offsite.step_lock",
    StepName.LOCKED_DELETE: "offsite.step_locked_delete",
    StepName.BYPASS: "offsite.step_bypass",
    StepName.DELETE: "offsite.step_delete",
}
STEP_STATES = {
    StepState.OK: ("offsite.step_ok", "good"),
    StepState.UNSUPPORTED: ("offsite.step_unsupported", "warn"),
    StepState.REFUSED: ("offsite.step_refused", "bad"),
    StepState.SKIPPED: ("offsite.step_skipped", "muted"),
}
PROTECTIONS = {
    Protection.LOCK: "offsite.can_lock",
    Protection.VERSIONS: "offsite.has_versions",
    Protection.NONE: "offsite.unprotected",
}
LOCKS = {
    LockMode.OFF: "offsite.lock_off",
    LockMode.GOVERNANCE: "offsite.lock_governance",
    LockMode.COMPLIANCE: "offsite.lock_compliance",
}


def why(words: Words, state: OffsiteState) -> str:
    """Say more of how a copy stands: what failed, what waits for how long, what is damaged."""
    health = state.health(clock.now())
    if health is Health.DAMAGED:
        return words.count("offsite.damaged", len(state.damages))
    failed = words.problem(state.error_code, state.error_message) if health is Health.FAILED else ""
    waits = ""
    if health in (Health.LATE, Health.FAILED, Health.WAITING) and state.behind_count:
        waits = words.count("offsite.behind", state.behind_count)
    return words.listing([failed, waits])


def step_words(words: Words, step: Step) -> str:
    """Say what came of a step; why, where it was refused."""
    said = words.say(STEP_STATES[step.state][0])
    is_error = step.state is StepState.REFUSED and step.code
    return words.listing([said, words.problem(step.code, step.message) if is_error else ""])


def where(store: Store) -> str:
    """Return where copies go, as one address."""
    place = store.place
    return "/".join(part for part in (place.endpoint, place.bucket, place.prefix) if part)


def money(words: Words, costs: Costs, amount: float | None) -> str:
    """Return an amount in the currency of the prices; empty when there are none."""
    if amount is None or costs.prices is None:
        return ""
    return f"{words.number(amount, 2)}\N{NO-BREAK SPACE}{costs.prices.currency}"


def draw_report(visit: Visit, report: ProbeReport) -> None:
    """Draw what came of each step of a test, and what that means."""
    say, words = visit.say, visit.words
    verdict = PROTECTIONS[report.protection] if report.is_usable else "offsite.unusable"
    mood = "bad" if not report.is_usable else "good" if verdict == "offsite.can_lock" else "warn"
    components.text("p", say(verdict), f"notice {mood}", role="status")
    with components.element("ul", "plain-list tried-steps"):
        for step in report.steps:
            with components.element("li"):
                components.text("span", say(STEPS[step.name]))
                components.text("span", step_words(words, step), STEP_STATES[step.state][1])
    if report.left:
        components.text("p", say("offsite.left"), "muted")
