"""What is damaged in words: what is lost, what needs it, and what is still good."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from saveos import clock
from saveos.ui.names import short

if TYPE_CHECKING:
    from collections.abc import Mapping

    from saveos.ui.words import Words


def damage(words: Words, told: Mapping[str, Any]) -> list[str]:
    """Say it sentence by sentence, from the evidence of an alert. What an older version kept may lack anything."""
    objects, loose, unlisted = (int(told.get(name, 0)) for name in ("objects", "loose_bytes", "unlisted"))
    if told.get("is_missing"):
        return [words.say("proof.missing")]
    lines = [
        words.count("proof.damaged", objects) if objects else "",
        words.count("proof.loose", loose) if loose else "",
    ]
    if told.get("is_manifest"):  # then it is of no use to say which snapshots need the rest, or do not
        return [*lines, words.say("proof.manifest")]
    is_located = told.get("is_located", True)
    return [
        *lines,
        *concerned(words, told),
        words.count("proof.unlisted", unlisted) if unlisted else "",
        "" if is_located else words.say("proof.not_told"),
        words.say("proof.unneeded") if objects and is_located and told.get("archives_count") == 0 else "",
        *(_good(words, told) if is_located else []),
    ]


def concerned(words: Words, told: Mapping[str, Any]) -> list[str]:
    """Name the files and the snapshots that cannot be had back as they were."""
    names, moments = told.get("files", ()), [_moment(words, text) for text in told.get("snapshots_at", ())]
    files, count = ", ".join(f"/{short(str(path))}" for path in names), int(told.get("files_count", 0))
    # Of a snapshot that is no more, and by older versions, only the archive's name is kept.
    archives = [moment for moment in moments if moment] or [short(str(name)) for name in told.get("archives", ())]
    is_more = int(told.get("archives_count", 0)) > len(archives)
    return [
        words.say("proof.files_more" if count > len(names) else "proof.files", files=files) if files else "",
        words.count("proof.files_sealed", count) if count and not files else "",
        words.say("proof.archives_more" if is_more else "proof.archives", archives="; ".join(archives))
        if archives
        else "",
    ]


def _good(words: Words, told: Mapping[str, Any]) -> list[str]:
    good, every = (int(told.get(name, 0)) for name in ("good_snapshots", "snapshots"))
    newest = _moment(words, told.get("newest_good", ""))
    return [
        words.say("proof.good_of", good=words.number(good), all=words.number(every)) + "." if every else "",
        words.say("proof.newest_good", when=newest) if newest and good < every else "",
    ]


def _moment(words: Words, text: object) -> str:
    try:
        return words.exact(clock.from_text(str(text)))
    except ValueError:
        return ""
