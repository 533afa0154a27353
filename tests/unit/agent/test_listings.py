"""Listings on a host: whatever is noted in whatever order, what is sent leads from one listing to the next."""

from __future__ import annotations

import errno
import gzip
import shutil
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from saveos.agent import engine_listing, listings
from saveos.agent.engine_listing import COMPLETE, UNFINISHED, Spool
from saveos.protocol_listing import key_of, name_of, parent_of, path_of

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

names = st.binary(min_size=1, max_size=4).filter(lambda raw: not set(raw) & {0, 47} and raw not in (b".", b".."))
paths = st.lists(names | st.sampled_from([b"a", b"a-b", b"\x01", b"\x02", b"\n"]), min_size=1, max_size=4).map(
    b"/".join
)
quickly = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def item(path: bytes, mode: int = 0o100644, **more: Any) -> dict[str, Any]:
    return {"path": path, "mode": mode, "mtime": 1_700_000_000_123_456_789, "size": 3, **more}


def lines(tree: dict[bytes, int]) -> list[bytes]:
    """The lines of a listing of files with these sizes."""
    entries = sorted((key_of(path), b"f %d 0 644 0" % size) for path, size in tree.items())
    return [b"%b\0%b\n" % entry for entry in listings.hung_together(entries)]


def applied(old: Iterable[bytes], difference: Iterable[bytes]) -> list[bytes]:
    """What the appliance holds after a difference."""
    present = {line.partition(b"\0")[0]: line for line in old}
    for line in difference:
        key, _, facts = line.partition(b"\0")
        if facts == b"-\n":
            del present[key]
        else:
            present[key] = line
    return [present[key] for key in sorted(present)]


@given(path=paths)
def test_path_comes_back_from_its_key(path: bytes) -> None:
    assert path == path_of(key_of(path))
    assert b"\n" not in key_of(path)
    assert path.rpartition(b"/")[0] == (path_of(parent_of(key_of(path))) if b"/" in path else b"")


@pytest.mark.parametrize("part", [b"", b".", b"..", b"a/b", b"\x02", b"\x02\x06", b"a\n", b"\x01", b"\0"])
def test_part_that_is_no_name_is_refused(part: bytes) -> None:
    with pytest.raises(ValueError, match="no name"):
        name_of(part)


@quickly
@given(before=st.dictionaries(paths, st.integers(0, 3)), after=st.dictionaries(paths, st.integers(0, 3)))
def test_difference_leads_from_one_listing_to_the_other(before: dict[bytes, int], after: dict[bytes, int]) -> None:
    old, new = lines(before), lines(after)

    difference = list(listings.difference(old, new))

    assert new == applied(old, difference)
    assert not set(difference) & set(old)
    assert sorted(difference) == difference


@given(tree=st.dictionaries(paths, st.integers(0, 3)))
def test_every_folder_comes_before_what_it_holds(tree: dict[bytes, int]) -> None:
    seen: set[bytes] = set()

    for line in lines(tree):
        key, _, facts = line.partition(b"\0")
        assert key not in seen
        parent = parent_of(key)
        assert not parent or parent in seen
        seen.add(key)
        assert facts[:1] == (b"i" if any(other.startswith(path_of(key) + b"/") for other in tree) else b"f")


def test_entry_whose_place_alone_moved_is_not_sent() -> None:
    assert [] == list(listings.difference([b"a\0f 1 0 644 0\n"], [b"a\0f 1 0 644 7\n"]))


def test_spool_of_several_runs_becomes_a_sorted_listing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_listing, "RUN_LINES", 3)
    spool = Spool(tmp_path)
    for number in range(10):
        spool.note(item(b"d/%d" % (9 - number)), number * 10)
        if number % 4 == 3:
            spool.chunk(40)
    spool.note(item(b"d", 0o040755), 100)
    spool.note(item(b"d/part", part=1), 110)
    spool.note(item(b"link", 0o120777, source=b"d/1"), 110)
    spool.note(item(b"one", hardlink_master=True), 115)
    spool.note({name: value for name, value in item(b"two", source=b"one").items() if name != "size"}, 117)
    spool.chunk(40)
    spool.finish("archive")

    listings.assemble(tmp_path / "archive", tmp_path / "archive.gz")

    expected = [b"d\0d 3 1700000000123 755 2\n"]
    places = {9 - number: number // 4 for number in range(10)}
    expected += [b"d\x01%d\0f 3 1700000000123 644 %d\n" % (name, places[name]) for name in range(10)]
    expected += [b"link\0l 3 1700000000123 777 2\n", b"one\0f 3 1700000000123 644 2\n"]
    expected += [b"two\0h 3 1700000000123 644 2\n"]
    assert expected == gzip.decompress((tmp_path / "archive.gz").read_bytes()).splitlines(keepends=True)
    assert not (tmp_path / "archive").exists()


def test_spool_that_cannot_be_written_is_given_up(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    (tmp_path / UNFINISHED).rmdir()

    for number in range(engine_listing.RUN_LINES + 1):
        spool.note(item(b"%d" % number), number)
    (tmp_path / UNFINISHED).mkdir()
    spool.finish("archive")

    assert not (tmp_path / "archive" / COMPLETE).exists()


def test_spool_leaves_room_on_the_disk_and_goes_when_it_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_listing, "RUN_LINES", 3)
    free = iter([10**12, engine_listing.RESERVE_BYTES + 10])
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: SimpleNamespace(free=next(free)))
    spool = Spool(tmp_path)

    there = []
    for number in range(9):
        spool.note(item(b"%d" % number), number)
        there.append((tmp_path / UNFINISHED).exists())
    spool.finish("archive")

    assert ([True] * 5 + [False] * 4, []) == (there, list(tmp_path.iterdir()))


def test_listing_that_finds_no_room_leaves_nothing_of_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = Spool(tmp_path)
    spool.note(item(b"a"), 0)
    spool.finish("archive")

    def full(*_of: object) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(listings.heapq, "merge", full)
    with pytest.raises(OSError, match="full"):
        listings.assemble(tmp_path / "archive", tmp_path / "archive.gz")

    assert ["archive"] == [path.name for path in tmp_path.iterdir()]
