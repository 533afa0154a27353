"""What a restore found and did, counted; the entries that differ, listed as far as a report holds them."""

from __future__ import annotations

import os
from collections import Counter, deque
from itertools import chain, islice

import msgspec

from saveos.agent.borg_log import printable
from saveos.protocol import Difference, Fate, RestoreFacts, entry_path

LIST_LIMIT = 2000
LIST_BYTES = 256 * 1024
PATH_LENGTH = 16384
DETAIL_LENGTH = 1000
_URGENT = (Fate.FAILED, Fate.REFUSED)


class Tally:
    """Counts while it goes on. What failed or was refused is listed before what merely differed."""

    def __init__(self, *, is_dry_run: bool) -> None:
        """Begin with nothing."""
        self._is_dry_run = is_dry_run
        self._counts: Counter[str] = Counter()
        self._urgent: deque[Difference] = deque()
        self._others: deque[Difference] = deque()
        self._is_cut = False
        self.written_bytes = 0

    def new(self) -> None:
        """Count one where nothing stood."""
        self._counts["new"] += 1

    def identical(self) -> None:
        """Count one that stood there already."""
        self._counts["identical"] += 1

    def differs(self, path: str, what: Fate, detail: str) -> None:
        """Count an entry, named as Borg names it, and list it while there is room."""
        self._counts[what.value] += 1
        entries = self._urgent if what in _URGENT else self._others
        shown = entry_path(os.fsencode(path))
        if len(entries) < LIST_LIMIT and len(shown) <= PATH_LENGTH:
            entries.append(Difference(path=shown, what=what, detail=printable(detail)[:DETAIL_LENGTH]))
        else:
            self._is_cut = True

    def facts(self) -> RestoreFacts:
        """Return all of it, short enough for a report."""
        listed, size = [], 0
        for entry in islice(chain(self._urgent, self._others), LIST_LIMIT):
            size += len(msgspec.json.encode(entry)) + 1
            if size > LIST_BYTES:
                break
            listed.append(entry)
        return RestoreFacts(
            is_dry_run=self._is_dry_run,
            written_bytes=self.written_bytes,
            differences=tuple(listed),
            is_cut=self._is_cut or len(listed) < len(self._urgent) + len(self._others),
            **self._counts,
        )
