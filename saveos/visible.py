"""Text that others chose, as a person sees it: whatever is in it, it looks like what it is.

Source: Unicode TR 36 § 3 and TR 55, on characters that turn the direction of text or cannot be seen.
"""

from __future__ import annotations

import unicodedata

_UNSEEN = frozenset({"Cc", "Cf", "Zl", "Zp"})  # controls, marks of direction, breaks of line and paragraph
_BLANK = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")  # letters that are drawn as nothing


def shown(name: str) -> str:
    """Return a name, or a path, with everything visible that would hide or turn what stands beside it.

    What is shown is not what is asked for: the entry path stays as it is.
    """
    if name.isascii() and name.isprintable():
        return name
    return "".join(f"\\u{{{ord(sign):x}}}" if _is_hidden(sign) else sign for sign in name)


def _is_hidden(sign: str) -> bool:
    return sign in _BLANK or unicodedata.category(sign) in _UNSEEN
