"""The agent's own extraction in trouble: a repository that lost something, a full disk, an early end."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from saveos.protocol import Difference, Fate, OnConflict
from tests.support.archives import MOMENT, Store, item

if TYPE_CHECKING:
    from pathlib import Path

STAMP = "2026-11-25 14-03"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store.made(tmp_path_factory.mktemp("trouble") / "store")


class TestLost:
    """The repository has lost the content of a file: Borg gives zeros instead."""

    @pytest.fixture
    def out(self, store: Store, tmp_path: Path) -> Path:
        if "lost" not in store.names:
            store.craft(
                "lost", item("a.txt", content="precious", is_lost=True, hardlink_master=True), item("b", source="a.txt")
            )
        (tmp_path / "out").mkdir()
        return tmp_path / "out"

    def test_file_that_is_healthy_on_the_host_is_left(self, store: Store, out: Path) -> None:
        (out / "a.txt").write_text("precious")
        os.utime(out / "a.txt", ns=(MOMENT, MOMENT))

        extracted = store.restore("lost", out)

        assert "precious" == (out / "a.txt").read_text() == (out / "b").read_text()
        assert (1, 1, ()) == (extracted.facts.identical, extracted.facts.new, extracted.facts.differences)

    def test_file_that_is_healthy_gets_its_attributes(self, store: Store, out: Path) -> None:
        (out / "a.txt").write_text("precious")

        extracted = store.restore("lost", out, b"a.txt")

        assert ("precious", MOMENT) == ((out / "a.txt").read_text(), (out / "a.txt").stat().st_mtime_ns)
        assert (Difference(path="a.txt", what=Fate.REPLACED, detail="time"),) == extracted.facts.differences

    @pytest.mark.parametrize("is_dry_run", [True, False])
    def test_what_may_be_healthy_is_not_replaced_by_zeros(self, store: Store, out: Path, *, is_dry_run: bool) -> None:
        (out / "a.txt").write_text("precious, and more")
        (out / "b").write_text("of its own")

        extracted = store.restore("lost", out, is_dry_run=is_dry_run)

        assert ["precious, and more", "of its own"] == [(out / name).read_text() for name in ("a.txt", "b")]
        assert 2 == extracted.facts.refused
        assert {"damaged"} == {entry.detail for entry in extracted.facts.differences}

    def test_name_of_a_damaged_file_that_has_one_of_its_own_is_not_replaced(self, store: Store, out: Path) -> None:
        (out / "b").write_text("precious")

        extracted = store.restore("lost", out)

        assert "precious" == (out / "b").read_text()
        assert [Fate.FAILED, Fate.REFUSED] == [entry.what for entry in extracted.facts.differences]

    @pytest.mark.parametrize("conflict", [OnConflict.OVERWRITE, OnConflict.RENAME])
    def test_zeros_are_written_once_and_said_each_time(self, store: Store, out: Path, conflict: OnConflict) -> None:
        (out / "a.txt").write_text("mine" if conflict is OnConflict.RENAME else "")
        if conflict is OnConflict.OVERWRITE:
            (out / "a.txt").unlink()

        first = store.restore("lost", out, b"a.txt", conflict=conflict, stamp=STAMP)
        again = store.restore("lost", out, b"a.txt", conflict=conflict, stamp=STAMP)

        assert bytes(8) in [path.read_bytes() for path in out.iterdir()]
        assert (1, 1) == (first.facts.failed, again.facts.refused)
        assert (2 if conflict is OnConflict.RENAME else 1) == len(os.listdir(out))
