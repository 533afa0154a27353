"""What proves that a host's backups can be restored: on the host's page, with the ways to prove it now."""

from __future__ import annotations

from typing import TYPE_CHECKING

from saveos import clock
from saveos.identity.principals import Permission
from saveos.proofs import checks, drills
from saveos.protocol import Kind
from saveos.ui import components, damage_words
from saveos.ui.facts import Facts
from saveos.ui.host_cells import PROOF_MOODS, PROOFS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from saveos.proofs.model import Check, Drill, Health
    from saveos.snapshots.fleet import Host
    from saveos.ui.frame import Visit
    from saveos.ui.words import Words


class ProofsPart:
    """The section."""

    def __init__(self, visit: Visit, agent_id: str, on_change: Callable[[], Awaitable[None]]) -> None:
        """Draw it empty."""
        self._visit, self._id, self._on_change = visit, agent_id, on_change
        say = visit.say
        may = visit.principal.may(Permission.BACK_UP)
        with components.element("section", "part proofs"):
            components.text("h2", say("proof.title"))
            with components.element("div", "standing", aria_live="polite"):
                self._state = components.text("p", "", "state")
            self._damage = components.text("p", "", "notice hidden", role="alert")
            self._facts = Facts(visit)
            with components.element("div", "row"):
                self._drill = components.button(say("proof.drill_now"), visit.doing(self._ask_drill), "hidden")
                self._check = components.button(say("proof.check_now"), visit.doing(self._ask_check), "hidden")
                components.link(say("proof.report"), f"/proofs?host={agent_id}", "button")
        self._may = may

    def show(self, host: Host, health: Health) -> None:
        """Show what is known now."""
        words, agent = self._visit.words, host.agent
        proof = agent.proof_at(clock.now())
        last = words.say("proof.last_at", when=words.ago(agent.proven_at)) if agent.proven_at else ""
        sentence = words.say(PROOFS[proof]) if last and PROOFS[proof] else ""  # what never was is not long ago
        self._state.show(words.listing([last or words.say("proof.never"), sentence]))
        components.dress(self._state, f"state {PROOF_MOODS[proof] or ('good' if agent.proven_at else 'muted')}")
        damage = damage_sentences(words, health)
        self._damage.show(damage)
        components.dress(self._damage, "notice bad" if damage else "notice hidden")
        self._facts.show(self._described(health))
        can_ask = self._may and agent.state == "ready" and agent.snapshots_count > 0
        is_free = host.job is None or host.job.kind is not Kind.DRILL
        components.dress(self._drill, "button" if can_ask and is_free and agent.knows(Kind.DRILL) else "hidden")
        components.dress(self._check, "button" if can_ask else "hidden")

    def _described(self, health: Health) -> dict[str, str]:
        words = self._visit.words
        return {
            "proof.last_drill": drill_words(words, health.drills[0]) if health.drills else "",
            "proof.checked": check_words(words, health.check),
            "proof.verified": words.exact(health.check.verified_at) if health.check.verified_at else "",
            "proof.good": words.say("proof.good_of", good=health.sound_count, all=health.snapshots_count)
            if health.snapshots_count
            else "",
        }

    async def _ask_drill(self) -> None:
        await self._visit.change(drills.request, self._id)
        await self._on_change()

    async def _ask_check(self) -> None:
        job = await self._visit.change(checks.request, self._id)
        self._visit.notify(self._visit.say("proof.check_asked" if job else "proof.check_later"))
        await self._on_change()


def drill_words(words: Words, drill: Drill) -> str:
    """Say how a drill ended, and whether it was one out of the copy."""
    if drill.mismatches_count:
        sentence = words.count("proof.differ", drill.mismatches_count, all=words.number(drill.files_count))
    elif drill.files_count:
        size, span = words.size(drill.original_bytes), words.duration(drill.restore_seconds)
        sentence = words.count("proof.came_back", drill.files_count, size=size, span=span)
    else:
        sentence = words.say("proof.nothing")
    generation = drill.statement.copy_generation
    of_copy = [words.say("proof.of_copy", number=words.number(generation))] if generation else []
    return words.listing([words.exact(drill.received_at), *of_copy, sentence])


def check_words(words: Words, check: Check) -> str:
    """Say when a repository was last read on the disk, and that it is being read."""
    return words.listing(
        [
            words.exact(check.checked_at) if check.checked_at else "",
            words.say("proof.under_way", size=words.size(check.read_bytes)) if check.began_at else "",
        ]
    )


def damage_sentences(words: Words, health: Health) -> str:
    """Say what is damaged, what needs it, what is still good and what to do; empty when nothing is."""
    if not health.evidence:
        return ""
    lines = [*damage_words.damage(words, health.evidence), words.say("alert.damage_do")]
    return " ".join(line for line in lines if line)
