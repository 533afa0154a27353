"""Handing listings over to an appliance that may be anybody's: it learns what is in listings and nothing else."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

import pytest

from saveos.agent import listing_sender
from saveos.agent.failures import Failure
from saveos.agent.settings import Config, Home
from saveos.protocol import ListingPart, ListingsWanted

if TYPE_CHECKING:
    from pathlib import Path


class Asking:
    """An appliance that asks for something, and what it was sent."""

    def __init__(self, wanted: ListingsWanted) -> None:
        self._wanted = wanted
        self.sent: list[ListingPart] = []

    def listings_wanted(self) -> ListingsWanted:
        return self._wanted

    def listing(self, part: ListingPart) -> None:
        self.sent.append(part)

    def close(self) -> None:
        pass


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A host with the listing of its archive `new`, and a compressed file that is nobody's business."""
    home = Home(tmp_path / "etc" / "agent.json")
    home.listings.mkdir(parents=True)
    (home.listings / "new.gz").write_bytes(gzip.compress(b"etc\0d 0 0 755 0\n"))
    for folder in (tmp_path, home.listings, home.listings / "below"):
        folder.mkdir(exist_ok=True)
        for name in ("shadow", ".shadow"):
            (folder / f"{name}.gz").write_bytes(gzip.compress(b"root:secret:1:\n"))
    return home


def hand_over(home: Home, asking: Asking, monkeypatch: pytest.MonkeyPatch, config: Config) -> None:
    monkeypatch.setattr(listing_sender.Client, "for_host", lambda *_of: asking)
    listing_sender.send(home, config)


@pytest.mark.parametrize(
    "head", ["{elsewhere}/shadow", "../../shadow", "below/shadow", ".shadow", "a\\b", "unfinished"]
)
def test_head_that_is_no_archive_is_not_read(
    home: Home, tmp_path: Path, head: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asking = Asking(ListingsWanted(head=head.format(elsewhere=tmp_path), archives=("new",)))

    with pytest.raises(Failure, match="cannot be"):
        hand_over(home, asking, monkeypatch, None)  # type: ignore[arg-type] - of no use here

    assert [] == asking.sent


@pytest.mark.parametrize("archive", ["../../shadow", ".", "..", ".shadow", "unfinished", "a\0"])
def test_archive_that_cannot_be_is_not_read(home: Home, archive: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asking = Asking(ListingsWanted(archives=(archive,)))

    with pytest.raises(Failure, match="cannot be"):
        hand_over(home, asking, monkeypatch, None)  # type: ignore[arg-type] - of no use here

    assert [] == asking.sent
