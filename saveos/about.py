"""What this appliance is made of: versions, and the licence of everything that is shipped, as each names its own."""

from __future__ import annotations

import platform
import re
import sqlite3
import ssl
from functools import lru_cache
from importlib import metadata
from typing import TYPE_CHECKING

import msgspec

from saveos import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator
    from importlib.metadata import Distribution

LICENCE = "AGPL-3.0-or-later"
OURS = "saveos"
LONGEST = 80  # some put the whole text where its name belongs


class Package(msgspec.Struct, frozen=True, kw_only=True, order=True):
    """One package that is shipped."""

    name: str
    version: str
    licence: str  # empty: its metadata names none


class Made(msgspec.Struct, frozen=True, kw_only=True):
    """What the appliance is made of."""

    version: str
    licence: str
    borg: str
    python: str
    openssl: str
    sqlite: str
    packages: tuple[Package, ...]


@lru_cache(maxsize=1)
def made_of() -> Made:
    """Return it; read once."""
    return Made(
        version=__version__,
        licence=LICENCE,
        borg=metadata.version("borgbackup"),
        python=platform.python_version(),
        openssl=ssl.OPENSSL_VERSION.split(maxsplit=2)[1],
        sqlite=sqlite3.sqlite_version,
        packages=tuple(sorted(_packages(), key=lambda package: package.name.casefold())),
    )


def _packages() -> Iterator[Package]:
    """Yield every package that ours asks for, and those that these ask for; extras are not shipped."""
    seen, waiting = {OURS}, [OURS]
    while waiting:
        for name in _required(waiting.pop()):
            if name in seen:
                continue
            seen.add(name)
            try:
                found = metadata.distribution(name)
            except metadata.PackageNotFoundError:
                continue  # for another system
            waiting.append(name)
            yield Package(name=found.metadata["Name"], version=found.version, licence=_licence(found))


def _required(name: str) -> Iterator[str]:
    try:
        requirements = metadata.requires(name) or []
    except metadata.PackageNotFoundError:
        return
    for requirement in requirements:
        if "extra ==" not in requirement and (match := re.match(r"[A-Za-z0-9._-]+", requirement)):
            yield re.sub(r"[-_.]+", "-", match[0]).lower()


def _licence(found: Distribution) -> str:
    said = _first(found, "License-Expression")
    classes = found.metadata.get_all("Classifier") or []
    named = [text.rpartition("::")[2].strip() for text in classes if text.startswith("License ::")]
    own = _first(found, "License").partition("\n")[0]
    return said or (own if len(own) <= LONGEST else "") or ", ".join(named) or own[:LONGEST]


def _first(found: Distribution, name: str) -> str:
    texts = found.metadata.get_all(name) or [""]
    return str(texts[0]).strip()
