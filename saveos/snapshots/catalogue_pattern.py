"""What a search looks for in names and paths."""

from __future__ import annotations

import fnmatch
import re
import unicodedata
from typing import TYPE_CHECKING

from saveos.errors import InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

TRIGRAMS_LIMIT = 3  # more cost more to look up than they save to look at
TRIGRAM = 3
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
        begin = 0
        for piece in self.literals:
            for at, trigram in enumerate(trigrams_of(piece), begin):
                self.trigrams.setdefault(trigram, at)
            begin += len(piece) + TRIGRAM

    def match_query(self, counts: Mapping[str, int]) -> str:
        """Return the full-text query for the rarest trigrams; there have to be some. `counts`: 0 where it has none.

        None of them overlaps another: those of one word come together in the same names, and narrow nothing down.
        """
        trigrams = self.trigrams
        chosen: list[str] = []
        for trigram in sorted(trigrams, key=lambda one: counts.get(one, 0)):
            is_apart = all(abs(trigrams[trigram] - trigrams[other]) >= TRIGRAM for other in chosen)
            if is_apart and len(chosen) < TRIGRAMS_LIMIT:
                chosen.append(trigram)
        return " AND ".join('"{}"'.format(trigram.replace('"', '""')) for trigram in chosen)

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


def _translated(glob: str) -> str:
    return fnmatch.translate(glob.replace("[", "[[]"))
