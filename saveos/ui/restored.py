"""What a restore found and made, or would make: the counts, and each entry that differs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from saveos.protocol import Difference, Fate, RestoreFacts
from saveos.ui import components
from saveos.ui.facts import Facts

if TYPE_CHECKING:
    from saveos.ui.frame import Visit
    from saveos.ui.words import Words

SHOWN = 200
FATES = {
    Fate.REPLACED: "restored.replaced",
    Fate.SKIPPED: "restored.skipped",
    Fate.RENAMED: "restored.renamed",
    Fate.REFUSED: "restored.refused",
    Fate.FAILED: "restored.failed",
}
WOULD = FATES | {
    Fate.REPLACED: "restored.would_replace",
    Fate.SKIPPED: "restored.would_skip",
    Fate.RENAMED: "restored.would_rename",
}
DETAILS = {
    "type": "restored.type",
    "size": "restored.size",
    "time": "restored.time",
    "content": "restored.content",
    "target": "restored.link_target",
    "mode": "restored.mode",
    "owner": "restored.owner",
}
REASONS = {
    "link": "restored.reason_link",
    "outside": "restored.reason_outside",
    "not-a-folder": "restored.reason_no_folder",
    "device": "restored.reason_device",
    "damaged": "restored.reason_damaged",
}


class Restored:
    """A section of a page; hidden until there are facts."""

    def __init__(self, visit: Visit) -> None:
        """Draw it empty."""
        self._visit = visit
        self._box = components.element("section", "hidden")
        self._shown: RestoreFacts | None = None

    def show(self, facts: RestoreFacts | None) -> None:
        """Show the facts; they do not change once they are there."""
        if facts is None or facts == self._shown:
            return
        self._shown = facts
        say, words = self._visit.say, self._visit.words
        components.dress(self._box, "")
        with self._box:
            components.text("h2", say("restored.would") if facts.is_dry_run else say("restored.title"))
            Facts(self._visit).show(_counts(words, facts))
            if facts.differences:
                self._list(facts)

    def _list(self, facts: RestoreFacts) -> None:
        say = self._visit.say
        fates = WOULD if facts.is_dry_run else FATES
        with components.element("div", "table-frame"), components.element("table", "list"):
            components.text("caption", say("restored.differences"), "hidden-label")
            with components.element("thead"), components.element("tr"):
                for title in (say("restored.path"), say("restored.what"), say("restored.why")):
                    components.text("th", title, scope="col")
            with components.element("tbody"):
                for entry in facts.differences[:SHOWN]:
                    with components.element("tr"):
                        with components.element("th", scope="row"):
                            components.text("bdi", f"/{entry.path}")
                        components.text("td", say(fates[entry.what]))
                        with components.element("td"):
                            components.text("bdi", why(self._visit.words, entry))
        if facts.is_cut or len(facts.differences) > SHOWN:
            components.text("p", say("restored.more"), "muted")


def why(words: Words, entry: Difference) -> str:
    """Return what there is to say of an entry, in the reader's language where it is ours to say."""
    if entry.what is Fate.REFUSED:
        return words.say(REASONS[entry.detail]) if entry.detail in REASONS else entry.detail
    if entry.what in (Fate.REPLACED, Fate.SKIPPED):
        return words.listing([words.say(DETAILS[word]) for word in entry.detail.split() if word in DETAILS])
    return entry.detail


def _counts(words: Words, facts: RestoreFacts) -> dict[str, str]:
    counts = {
        "restored.new": facts.new,
        "restored.identical": facts.identical,
        "restored.replaced": facts.replaced,
        "restored.skipped": facts.skipped,
        "restored.renamed": facts.renamed,
        "restored.refused": facts.refused,
        "restored.failed": facts.failed,
    }
    shown = {key: words.number(count) for key, count in counts.items() if count or key == "restored.new"}
    return shown | {"restored.bytes": words.size(facts.written_bytes)}
