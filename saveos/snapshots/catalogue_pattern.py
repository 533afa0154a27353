"""What a search looks for in names and paths."""

from __future__ import annotations

import fnmatch
import re

from saveos.errors import InvalidRequest

TRIGRAM = 3
TRIGRAMS_LIMIT = 5  # more cost more to look up than they save to look at
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
        folded = text.lower().rstrip("/")
        if "\0" in text or not folded:
            raise InvalidRequest("This text cannot be in a name.", field="text")
        above, self._slash, name = folded.rpartition("/")
        self._is_glob = WILD.search(name) is not None
        self._name = name
        self._whole = re.compile(_translated(name)) if self._is_glob else None
        is_anchored = folded.startswith("/")
        self._above = re.compile(_translated(above if is_anchored else f"*{above}")) if self._slash else None
        self.literals = [piece for piece in WILD.split(name) if piece] if self._is_glob else [name]

    def match_query(self) -> str:
        """Return the full-text query that every fitting name answers to; "" when the text is too short for one."""
        trigrams = dict.fromkeys(
            piece[at : at + TRIGRAM] for piece in self.literals for at in range(len(piece) - TRIGRAM + 1)
        )
        chosen = list(trigrams)
        step = -(-len(chosen) // TRIGRAMS_LIMIT) or 1
        return " AND ".join('"{}"'.format(trigram.replace('"', '""')) for trigram in chosen[::step])

    def fits_name(self, name: str) -> bool:
        """Return whether the name fits; whether its folder does is another question."""
        folded = name.lower()
        if self._whole is not None:
            return self._whole.match(folded) is not None
        return folded.startswith(self._name) if self._slash else self._name in folded

    @property
    def binds_folder(self) -> bool:
        """Whether the folder matters."""
        return self._above is not None

    def fits_folder(self, path: str) -> bool:
        """Return whether the path of an entry's folder fits."""
        return self._above is None or self._above.match(f"/{path.lower()}" if path else "") is not None


def _translated(glob: str) -> str:
    return fnmatch.translate(glob.replace("[", "[[]"))
