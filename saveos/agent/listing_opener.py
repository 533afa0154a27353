"""Opens sealed listings with a host's passphrase: on the appliance, while a person has unlocked that host.

It reads an UnsealOrder from stdin. What it makes is readable: the folders named there lie in memory alone.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from cryptography.exceptions import InvalidTag

from saveos.agent.listing_seal import Seal
from saveos.protocol import ListingPart

if TYPE_CHECKING:
    from collections.abc import Sequence

FORGED = 4  # the exit code for what was not sealed with this host's passphrase, or has been changed


class SealedListing(msgspec.Struct, frozen=True, kw_only=True):
    """A listing as it was received: its parts lie in a folder, and are to be opened into another one."""

    archive: str
    base: str
    parts: str
    into: str


class UnsealOrder(msgspec.Struct, frozen=True, kw_only=True):
    """What to open."""

    listings: tuple[SealedListing, ...]


def main(_words: Sequence[str] = ()) -> int:
    """Do the order on stdin; return an exit code."""
    order = msgspec.json.decode(sys.stdin.buffer.read(), type=UnsealOrder)
    with os.fdopen(int(os.environ["BORG_PASSPHRASE_FD"]), "rb") as passphrase:
        seal = Seal(passphrase.read())
    try:
        for listing in order.listings:
            _open(seal, listing)
    except InvalidTag:
        return FORGED
    return 0


def _open(seal: Seal, listing: SealedListing) -> None:
    paths = sorted(Path(listing.parts).iterdir())
    for number, path in enumerate(paths):
        part = ListingPart(
            archive=listing.archive,
            base=listing.base,
            number=number,
            is_last=number == len(paths) - 1,
            is_sealed=True,
            data=path.read_bytes(),
        )
        descriptor = os.open(Path(listing.into) / path.name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(seal.open(part).data)
