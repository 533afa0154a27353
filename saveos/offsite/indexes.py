"""Borg's index travels with some of the copies, so that one file can be read without fetching all; see note 28.

It tells where each object lies. With each copy, one of millions of objects would be most of what travels; so a
generation names an earlier one, which whoever reads brings up to date by the segments that came later.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from saveos.offsite import layout, segments

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from saveos.offsite.layout import Manifest
    from saveos.offsite.model import Generation, Stored
    from saveos.offsite.segments import Local

SHARE = 2  # times its bytes are to have come since the last one was sent


def chosen(
    stored: Sequence[Stored],
    known: Sequence[Generation],
    manifest: Manifest,
    source: Path,
    sources: Sequence[Local],
) -> Local | Stored | None:
    """Return the index of a new generation: that in the folder, to be sent, or the one of the newest generation.

    `known`: newest first; `sources`: the segments that are copied. None: Borg has not written any yet.
    """
    before = _of_newest(stored, known, manifest)
    if before is not None:
        later = sum(local.bytes for local in sources if local.number > before.number)
        if later <= SHARE * before.bytes:
            return before
    return segments.index_of_folder(source, manifest.moment) or before


def _of_newest(stored: Sequence[Stored], known: Sequence[Generation], manifest: Manifest) -> Stored | None:
    """Return the index that the newest generation is read by; none of a former life: numbers are used again."""
    if not known or known[0].life != manifest.life:
        return None
    found = (one for one in stored if layout.is_index(one.key) and not one.is_broken)
    return next((one for one in found if one.last_generation == known[0].number), None)
