"""What a search looks for in names and paths."""

from __future__ import annotations

import fnmatch
import re
import unicodedata
from functools import lru_cache
from typing import TYPE_CHECKING
from zlib import crc32

from saveos.errors import InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

TERMS_LIMIT = 3  # more cost more to look up than they save to look at
TRIGRAM = 3
JOINT = re.compile(r"(?=(...[\0-/:-@\[-`{-\x7f]..))", re.DOTALL)  # three, then no letter or digit of ASCII, then two
WILD = re.compile(r"[*?]")


class Pattern:
    """Part of a name; the whole of it when it holds * or ?. Slashes bind the folders above; case does not matter.

    With slashes, what stands before the last one ends the path of the folder, or is all of it when the text begins with
    a slash; the name begins with what stands behind. There, * crosses slashes too.
    """

    def __init__(self, text: str) -> None:
        """Take a text as it was typed. Raises InvalidRequest for what no name can hold."""
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise InvalidRequest("This text cannot be in a name.", field="text") from error
        folded = fold(text).rstrip("/")
        if "\0" in text or not folded:
            raise InvalidRequest("This text cannot be in a name.", field="text")
        above, self._slash, name = folded.rpartition("/")
        self._is_glob = WILD.search(name) is not None
        self._name = name
        self._whole = re.compile(_translated(name)) if self._is_glob else None
        is_anchored = folded.startswith("/")
        self._above = re.compile(_translated(above if is_anchored else f"*{above}")) if self._slash else None
        self.literals = [piece for piece in WILD.split(name) if piece] if self._is_glob else [name]
        # What every fitting name holds, by where it begins; nothing when the text is too short for it.
        self.trigrams: dict[str, int] = {}
        self.joints: dict[str, int] = {}
        begin = 0
        for piece in self.literals:
            for at, trigram in enumerate(trigrams_of(piece), begin):
                self.trigrams.setdefault(trigram, at)
            for found in JOINT.finditer(piece):
                self.joints.setdefault(_letter_of(found[1]), begin + found.start())
            begin += len(piece) + TRIGRAM

    def rarest_joints(self, counts: Mapping[str, int]) -> str:
        """Return the full-text query for the rarest joints; "" if a trigram is rarer. `counts`: 0 where it has none."""
        rarest = min((counts.get(trigram, 0) for trigram in self.trigrams), default=0)
        if not self.joints or rarest < min(counts.get(joint, 0) for joint in self.joints):
            return ""
        return _rarest(self.joints, counts)

    def rarest_trigrams(self, counts: Mapping[str, int]) -> str:
        """Return the full-text query for the rarest trigrams; there have to be some."""
        return _rarest(self.trigrams, counts)

    def fits_name(self, name: str) -> bool:
        """Return whether the name fits; whether its folder does is another question."""
        folded = fold(name)
        if self._whole is not None:
            return self._whole.match(folded) is not None
        return folded.startswith(self._name) if self._slash else self._name in folded

    @property
    def binds_folder(self) -> bool:
        """Whether the folder matters."""
        return self._above is not None

    def fits_folder(self, path: str) -> bool:
        """Return whether the path of an entry's folder fits."""
        return self._above is None or self._above.match(f"/{fold(path)}" if path else "") is not None


def fold(text: str) -> str:
    """Return a text as it is compared: whatever its case, and whether its accents are letters of their own or not.

    Unicode's caseless matching (The Unicode Standard, section 3.13) without compatibility: macOS writes accents apart.
    """
    if text.isascii():
        return text.lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", text).casefold())


def trigrams_of(folded: str) -> Iterator[str]:
    """Give the trigrams of a folded text, each as often as it occurs."""
    return (folded[at : at + TRIGRAM] for at in range(len(folded) - TRIGRAM + 1))


def joints_of(folded: str) -> list[str]:
    """Return a letter for each joint of a folded text: each place where its words or numbers meet.

    What stands on both sides of a joint is rare even where both words are common; their trigrams are not.
    """
    return list(map(_letter_of, JOINT.findall(folded)))


@lru_cache(1 << 14)
def _letter_of(joint: str) -> str:
    """Return one of 65,536 letters, a word by itself to FTS5: names at random would fill an index of all joints."""
    return chr(0x10000 + (crc32(joint.encode()) & 0xFFFF))


def _rarest(terms: Mapping[str, int], counts: Mapping[str, int]) -> str:
    """Return the full-text query for the rarest of some terms, which are given by where they begin.

    None of them overlaps another: those of one word come together in the same names, and narrow nothing down.
    """
    chosen: list[str] = []
    for term in sorted(terms, key=lambda one: counts.get(one, 0)):
        if len(chosen) < TERMS_LIMIT and all(abs(terms[term] - terms[other]) >= TRIGRAM for other in chosen):
            chosen.append(term)
    return " AND ".join('"{}"'.format(term.replace('"', '""')) for term in chosen)


def _translated(glob: str) -> str:
    return fnmatch.translate(glob.replace("[", "[[]"))
