"""Hands over the listings that the catalogue lacks: in a process of its own, after the backup, giving way to all else.

What it hands over is the difference to the last listing that the appliance has, if that still lies here; else all.
"""

from __future__ import annotations

import contextlib
import logging
import shutil
import sys
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from saveos.agent import listings, locks
from saveos.agent.archives import COMMON
from saveos.agent.borg import Run
from saveos.agent.client import Client
from saveos.agent.engine_excludes import give_way
from saveos.agent.engine_listing import COMPLETE, UNFINISHED
from saveos.agent.failures import Failure
from saveos.agent.listing_seal import Seal
from saveos.agent.settings import Home
from saveos.protocol import LISTING_PART_BYTES, ListingPart, TunnelMode

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from saveos.agent.settings import Config

log = logging.getLogger("saveos.agent")
SUFFIX = ".gz"
SEAL_BYTES = 64  # more than nonce and tag


def main(words: Sequence[str]) -> int:
    """Send what is wanted by the appliance of this configuration file; return an exit code."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    give_way(cpu_seconds=None)
    home = Home(Path(words[0]))
    try:
        config = home.load()
        if config is not None:
            send(home, config)
    except (Failure, OSError, msgspec.MsgspecError) as error:
        log.warning("A listing was not handed over: %s", error)
        return 1
    return 0


def send(home: Home, config: Config) -> int:
    """Hand over every listing that is wanted, oldest first; return how many. Raises Failure, OSError.

    One at a time on a host: none when another does so already.
    """
    turn = locks.try_take(home.listings_lock)
    if turn is None:
        return 0
    client = Client.for_host(home, config)
    with contextlib.closing(client):
        wanted = client.listings_wanted()
        head = wanted.head
        if head:
            _require_plain(head)  # its listing is read, and what the new one lacks of it is sent
        for archive in wanted.archives:
            _require_plain(archive)
            listing = _listing(home, config, archive)
            if listing is None:
                client.listing(ListingPart(archive=archive, error="snapshot-missing", is_last=True))
                continue
            _hand_over(client, archive, _base(home, head), listing, Seal.of(home) if wanted.is_sealed else None)
            head = archive
            _tidy(home, head, wanted.archives)
        _tidy(home, head, ())
    return len(wanted.archives)


def _listing(home: Home, config: Config, archive: str) -> Path | None:
    """Return an archive's sorted listing: at hand, or from its spool, or read from the repository; None: it is gone."""
    target = home.listings / (archive + SUFFIX)
    if target.exists():
        return target
    spool = home.listings / archive
    if not (spool / COMPLETE).exists():
        outcome = Run(home, config, ["list", *COMMON, f"::{archive}"], mode=TunnelMode.READ).wait()
        if outcome.code == "snapshot-missing":
            return None
        if not outcome.is_good:
            raise Failure(outcome.code, outcome.message)
    listings.assemble(spool, target)
    return target


def _base(home: Home, head: str) -> Path | None:
    path = home.listings / (head + SUFFIX)
    return path if head and path.exists() else None


def _hand_over(client: Client, archive: str, base: Path | None, listing: Path, seal: Seal | None) -> None:
    """Send the difference, or everything when there is no base."""
    lines: Iterable[bytes] = listings.read(listing)
    if base is not None:
        lines = listings.difference(listings.read(base), lines)
    base_name = base.name.removesuffix(SUFFIX) if base else ""
    for number, (data, is_last) in enumerate(_parts(lines)):
        part = ListingPart(archive=archive, base=base_name, number=number, is_last=is_last, data=data)
        client.listing(seal.close(part) if seal else part)


def _parts(lines: Iterable[bytes]) -> Iterator[tuple[bytes, bool]]:
    """Give a zlib stream of the lines in parts, and with each whether it is the last."""
    size = LISTING_PART_BYTES - SEAL_BYTES
    stream, waiting = zlib.compressobj(6), bytearray()
    for line in lines:
        waiting += stream.compress(line)
        if len(waiting) > size:
            yield bytes(waiting[:size]), False
            del waiting[:size]
    waiting += stream.flush()
    while len(waiting) > size:
        yield bytes(waiting[:size]), False
        del waiting[:size]
    yield bytes(waiting), True


def _tidy(home: Home, head: str, wanted: Sequence[str]) -> None:
    """Drop the listings that are neither the base of the next difference nor wanted."""
    kept = {head + SUFFIX, UNFINISHED, *wanted, *(archive + SUFFIX for archive in wanted)}
    for path in home.listings.iterdir():
        if path.name not in kept:
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


def _require_plain(archive: str) -> None:
    """Refuse what would lead out of the folder of listings: the appliance is not believed either."""
    if archive.startswith(".") or archive == UNFINISHED or any(sign in archive for sign in "/\\\0"):
        raise Failure("protocol", "The appliance named an archive that cannot be.")
