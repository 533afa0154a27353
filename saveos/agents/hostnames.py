"""A list of host names as people paste it: one a line, or with commas between. Pure."""

from __future__ import annotations

import ipaddress
import re
from enum import StrEnum
from typing import TYPE_CHECKING

import msgspec

from saveos.protocol import Hostname

if TYPE_CHECKING:
    from collections.abc import Sequence

LIMIT = 500


class Wrong(StrEnum):
    """What is the matter with a name."""

    NAME = "name"
    TWICE = "twice"
    TOO_MANY = "too-many"


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """A name that cannot stay. `line`: from 1; `first_line`: where it stood before, if it comes twice."""

    line: int
    name: str
    wrong: Wrong
    first_line: int = 0


class HostList(msgspec.Struct, frozen=True, kw_only=True):
    """The good names in their order, and what is wrong with the others."""

    names: tuple[str, ...]
    faults: tuple[Fault, ...]


class _Named(msgspec.Struct):
    hostname: Hostname


def is_hostname(name: str) -> bool:
    """Return whether a host may be called so."""
    try:
        msgspec.convert({"hostname": name}, _Named)
    except msgspec.ValidationError:
        return False
    return name.isascii() and not name.endswith("\n")


def name_or_address(text: str) -> str:
    """Return what a machine is reached by as certificates hold it: a name in ASCII, an IP address; empty: neither."""
    text = text.strip().strip("[]").rstrip(".").lower()
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        pass
    try:
        name = text.encode("idna").decode() if not text.isascii() else text
    except UnicodeError:
        return ""
    is_wrong = "_" in name or ".." in name or name.replace(".", "").isdigit()
    return name if is_hostname(name) and not is_wrong else ""


def read(text: str) -> HostList:
    """Read a pasted list. Empty lines and comments (#) say nothing; case does not tell hosts apart.

    More than 500 names: the first one too many is a fault, those after it are not looked at.
    """
    first: dict[str, int] = {}
    names: list[str] = []
    faults: list[Fault] = []
    for number, line in enumerate(text.splitlines(), 1):
        for name in re.split(r"[,;\s]+", line.partition("#")[0].strip()):
            wrong = _fault(number, name, first) if name else None
            if wrong is not None:
                faults.append(wrong)
            elif name and len(names) == LIMIT:
                faults.append(Fault(line=number, name=name, wrong=Wrong.TOO_MANY))
                return HostList(names=tuple(names), faults=tuple(faults))
            elif name:
                names.append(name)
                first[name.casefold()] = number
    return HostList(names=tuple(names), faults=tuple(faults))


def repeated(names: Sequence[str]) -> str:
    """Return the first name that comes twice, or an empty text."""
    seen: set[str] = set()
    for name in names:
        if name.casefold() in seen:
            return name
        seen.add(name.casefold())
    return ""


def _fault(number: int, name: str, first: dict[str, int]) -> Fault | None:
    if not is_hostname(name):
        return Fault(line=number, name=name[:253], wrong=Wrong.NAME)
    if name.casefold() in first:
        return Fault(line=number, name=name, wrong=Wrong.TWICE, first_line=first[name.casefold()])
    return None
