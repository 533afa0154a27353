"""How the files of this host changed since its last backup: counted while Borg read them, and from the two listings.

Names are compared here; what leaves the host are numbers.
"""

from __future__ import annotations

import contextlib
import heapq
import zlib
from collections import Counter
from typing import TYPE_CHECKING

import msgspec

from saveos.agent import canaries, engine_guard, listings
from saveos.agent.engine_listing import COMPLETE
from saveos.agent.settings import write_private
from saveos.protocol_listing import FILE, HARD_LINK, SEPARATOR

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from saveos.agent.settings import Home
    from saveos.protocol import GuardFacts

BASE_NAME = "guard-base.json"  # which archive the next one is compared with
NAMES_LIMIT = 250_000  # that went, and that came, of which the endings are compared
DOT = b"."


class Base(msgspec.Struct, frozen=True, kw_only=True):
    """An archive and what it was made of."""

    archive: str
    sources: tuple[str, ...]


class Moves(msgspec.Struct, frozen=True, kw_only=True):
    """How one listing's files differ in their names from another's: see `GuardFacts`."""

    vanished: int
    appeared: int
    renamed: int
    one_extension: int


def facts_of(home: Home, archive: str, sources: Sequence[str]) -> GuardFacts | None:
    """Return what is known of a finished archive; None: nothing was counted. The next one is compared with it."""
    facts = engine_guard.read(home.state / engine_guard.NAME, archive)
    if facts is None:
        return None
    placed, lost = canaries.look(home.state, archive)
    facts = msgspec.structs.replace(facts, canaries=placed, canaries_lost=lost)
    if (moves := _moves(home, archive, tuple(sources))) is not None:
        facts = msgspec.structs.replace(
            facts,
            vanished_files=moves.vanished,
            appeared_files=moves.appeared,
            renamed_files=moves.renamed,
            one_extension_files=moves.one_extension,
        )
    return facts


def _moves(home: Home, archive: str, sources: tuple[str, ...]) -> Moves | None:
    """Compare the archive's listing with the last one's of the same sources; then it is the one to compare with."""
    path = home.state / BASE_NAME
    base = None
    with contextlib.suppress(OSError, msgspec.MsgspecError):
        base = msgspec.json.decode(path.read_bytes(), type=Base)
    moves = None
    if base is not None and base.sources == sources and base.archive != archive:
        with contextlib.suppress(OSError, EOFError, zlib.error):  # a listing that is gone, or damaged
            moves = compare(files(home.listings, base.archive), files(home.listings, archive))
    if base is None or base.archive != archive:
        with contextlib.suppress(OSError):
            write_private(path, msgspec.json.encode(Base(archive=archive, sources=sources)))
    return moves


def files(folder: Path, archive: str) -> Iterator[bytes]:
    """Give the keys of the files in an archive's listing, sorted: from the listing, or from its spool. Raises OSError.

    The process that hands listings over may turn one into the other meanwhile; then this ends with OSError.
    """
    listing, spool = folder / f"{archive}.gz", folder / archive
    if listing.exists():
        yield from _keys(listings.read(listing))
        return
    if not (spool / COMPLETE).exists():
        raise FileNotFoundError(archive)
    with contextlib.ExitStack() as stack:
        runs = [stack.enter_context(path.open("rb", buffering=1024**2)) for path in sorted(spool.glob("run-*"))]
        yield from _keys(heapq.merge(*runs))


def compare(old: Iterable[bytes], new: Iterable[bytes]) -> Moves:
    """Count the files that went and that came, from sorted keys, and those that came under another ending."""
    gone: set[int] = set()
    stems: set[int] = set()
    came: list[tuple[int, bytes]] = []
    vanished = appeared = 0
    for key, is_gone in _differences(iter(old), iter(new)):
        stem, ending = _parted(key)
        if is_gone:
            vanished += 1
            if len(gone) < NAMES_LIMIT:
                gone.add(hash(key))
                stems.add(hash(stem))
        else:
            appeared += 1
            if ending and len(came) < NAMES_LIMIT:
                came.append((hash(stem), ending))
    endings = Counter(ending for stem, ending in came if stem in gone or stem in stems)
    return Moves(
        vanished=vanished,
        appeared=appeared,
        renamed=endings.total(),
        one_extension=max(endings.values(), default=0),
    )


def _differences(former: Iterator[bytes], present: Iterator[bytes]) -> Iterator[tuple[bytes, bool]]:
    before, after = next(former, None), next(present, None)
    while before is not None or after is not None:
        if before == after:
            before, after = next(former, None), next(present, None)
        elif after is None or (before is not None and before < after):
            yield before or b"", True
            before = next(former, None)
        else:
            yield after, False
            after = next(present, None)


def _keys(lines: Iterable[bytes]) -> Iterator[bytes]:
    last = None
    for line in lines:
        key, _, facts = line.partition(b"\0")
        if facts[:1] in (FILE, HARD_LINK) and key != last:
            yield key
            last = key


def _parted(key: bytes) -> tuple[bytes, bytes]:
    """Return a key up to the last dot of its name, and what follows it; a name without one has no ending."""
    at = key.rfind(DOT)
    name = key.rfind(SEPARATOR) + 1
    return (key[:at], key[at + 1 :]) if at > name else (key, b"")
