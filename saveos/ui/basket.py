"""What has been ticked, in a tree or among what was found, until it is got back: a line for each moment of a host."""

from __future__ import annotations

from typing import TYPE_CHECKING

from saveos.protocol import ReadForm
from saveos.ui import components, names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from saveos.snapshots.catalogue_model import Entry
    from saveos.snapshots.model import ListedSnapshot
    from saveos.ui.downloading import Downloads
    from saveos.ui.frame import Visit
    from saveos.ui.pages.restore import Dialog


FORMS = {ReadForm.ZIP: "basket.zip", ReadForm.TAR_ZST: "basket.tar_zst"}


class Basket:
    """The ticked entries of a page. What lies in a ticked folder is ticked with it."""

    def __init__(self, visit: Visit, dialog: Dialog, downloads: Downloads, on_clear: Callable[[], None]) -> None:
        """Draw it empty. `on_clear` hears that the ticks of the page have to go."""
        self._visit, self._dialog, self._downloads, self._on_clear = visit, dialog, downloads, on_clear
        self._groups: dict[str, tuple[ListedSnapshot, dict[str, Entry]]] = {}
        self._box = components.element("div", "basket", aria_live="polite")

    def ticked(self, snapshot_id: str, paths: Iterable[str]) -> set[str]:
        """Return which of these entries of a snapshot are ticked themselves."""
        _snapshot, chosen = self._groups.get(snapshot_id, (None, {}))
        return {path for path in paths if path in chosen}

    def holds(self, snapshot_id: str, path: str) -> str:
        """Return the ticked folder that an entry lies in; empty when there is none."""
        _snapshot, chosen = self._groups.get(snapshot_id, (None, {}))
        folder = names.folder_of(path)
        while folder and folder not in chosen:
            folder = names.folder_of(folder)
        return folder

    def tick(self, snapshot: ListedSnapshot, shown: dict[str, Entry], selected: set[str]) -> None:
        """Take over which of the shown entries are ticked."""
        _snapshot, chosen = self._groups.setdefault(snapshot.id, (snapshot, {}))
        for path, entry in shown.items():
            if path not in selected:
                chosen.pop(path, None)
            elif path not in chosen:
                for inner in [other for other in chosen if other.startswith(f"{path}/")]:
                    del chosen[inner]
                chosen[path] = entry
        if not chosen:
            del self._groups[snapshot.id]
        self._draw()

    def draw_again(self) -> None:
        """Draw what is in it, in the words of the moment."""
        self._draw()

    def _draw(self) -> None:
        self._box.clear()
        with self._box:
            for snapshot, chosen in self._groups.values():
                self._draw_group(snapshot, chosen)

    def _draw_group(self, snapshot: ListedSnapshot, chosen: dict[str, Entry]) -> None:
        visit, say, words = self._visit, self._visit.say, self._visit.words
        size = sum(entry.size_bytes for entry in chosen.values())
        parts = [words.count("basket.entries", len(chosen)), words.size(size)]
        whose = f"{snapshot.hostname}, {words.exact(snapshot.started_at)}"
        with components.element("div", "bulk", role="group", aria_label=whose):
            components.text("span", whose, "strong")
            components.text("span", words.listing(parts), "muted num")
            entries = tuple(chosen.values())
            for form, look in ((ReadForm.ZIP, "small primary"), (ReadForm.TAR_ZST, "small")):
                fetch = visit.doing(lambda form=form: self._downloads.fetch(snapshot, entries, form))
                components.button(say("basket.download", form=form.value.upper()), fetch, look, title=say(FORMS[form]))
            restore = lambda: self._restore(snapshot, entries)  # noqa: E731 - of this group
            components.button(say("basket.restore"), restore, "small")
            clear = lambda: self._forget(snapshot.id)  # noqa: E731 - of this group
            components.button(say("basket.clear"), clear, "small quiet")

    def _restore(self, snapshot: ListedSnapshot, entries: tuple[Entry, ...]) -> None:
        self._dialog.open(
            snapshot,
            snapshot.hostname,
            [entry.path for entry in entries],
            expected_files_count=sum(1 if entry.files_count is None else entry.files_count for entry in entries),
            expected_bytes=sum(entry.size_bytes for entry in entries),
        )

    def _forget(self, snapshot_id: str) -> None:
        self._groups.pop(snapshot_id, None)
        self._draw()
        self._on_clear()
