"""Sizes as a person types and reads them: 10 MB, 1,5 Go, 300k. Without a language; `ui/words.py` has those."""

from __future__ import annotations

import re

_SIZE = re.compile(r"(\d{1,15}(?:[.,]\d{1,6})?)\s*([kmgtp]?)(i?)[bo]?", re.IGNORECASE)
THOUSAND = 1000
SHORT_DECIMALS_BELOW = 10
_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")
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


def shown(size: int) -> str:
    """Return bytes in decimal units, in English: 1.2 GB, 34 MB."""
    number, power = float(size), 0
    while number >= THOUSAND - 0.5 and power < len(_UNITS) - 1:
        number /= THOUSAND
        power += 1
    decimals = 1 if power and number < SHORT_DECIMALS_BELOW else 0
    return f"{number:,.{decimals}f} {_UNITS[power]}"
