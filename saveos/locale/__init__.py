"""Every sentence shown to a person, in English and French; a test fails when one of the two lacks one."""

from __future__ import annotations

import tomllib
from functools import lru_cache
from pathlib import Path

LANGUAGES = ("en", "fr")
FOLDER = Path(__file__).parent


@lru_cache
def catalogue(language: str) -> dict[str, str]:
    """Return the sentences of a language by dotted key: `[agents] title` is `agents.title`."""
    tables = tomllib.loads((FOLDER / f"{language}.toml").read_text(encoding="utf-8"))
    return {f"{table}.{key}": text for table, texts in tables.items() for key, text in texts.items()}


def sentence(language: str, key: str, **values: object) -> str:
    """Return a sentence with its values filled in. Raises KeyError for a key that does not exist."""
    text = catalogue(language if language in LANGUAGES else "en")[key]
    return text.format(**values) if values else text


def preferred(accept_language: str, chosen: str, otherwise: str) -> str:
    """Return the language to speak: the chosen one, else the first known of an Accept-Language header, else that."""
    if chosen in LANGUAGES:
        return chosen
    for part in accept_language.split(","):
        code = part.split(";")[0].strip().lower()[:2]
        if code in LANGUAGES:
            return code
    return otherwise
