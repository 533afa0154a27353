"""Sizes as a person types them: 10 MB, 1,5 Go, 300k."""

from __future__ import annotations

import re

_SIZE = re.compile(r"(\d{1,15}(?:[.,]\d{1,6})?)\s*([kmgtp]?)(i?)[bo]?", re.IGNORECASE)
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4, "p": 5}


def parse(text: str) -> int | None:
    """Return the bytes; None when nothing is typed. Raises ValueError for what is no size.

    Decimal units as they are shown everywhere; with an "i" (MiB) binary ones. "o" is the French byte.
    """
    typed = text.strip()
    if not typed:
        return None
    found = _SIZE.fullmatch(typed.replace("\N{NO-BREAK SPACE}", " "))
    if found is None:
        message = f"{typed!r} is no size."
        raise ValueError(message)
    number, unit, binary = found.groups()
    return int(float(number.replace(",", ".")) * (1024 if binary else 1000) ** _POWERS[unit.lower()])
