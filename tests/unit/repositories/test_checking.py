"""The check on the disk, held against Borg's own check on the same broken repositories."""

from __future__ import annotations

import os
import random
import shutil
from typing import TYPE_CHECKING

import pytest
from borg import logger
from borg import repository as borg_repository
from borg.helpers import Error, IntegrityError
from borg.repository import Repository

from saveos.agent import engine_committed
from saveos.agent.engine_committed import Committed
from saveos.repositories import checking
from saveos.repositories.checking_words import Order

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from saveos.repositories.checking_words import Found, Said

SEGMENT_BYTES = 20_000


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logger, "configured", True)  # Borg's own commands set it up
    monkeypatch.setattr(checking, "CONFIRM_SECONDS", 0.0)
    monkeypatch.setattr(engine_committed, "SETTLE_SECONDS", 0.2)
    monkeypatch.setattr(borg_repository, "DEFAULT_MAX_SEGMENT_SIZE", SEGMENT_BYTES)
    init = Committed.__init__
    monkeypatch.setattr(Committed, "__init__", lambda self, path, _seconds=0.2: init(self, path, 0.2))


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two commits: sixty objects in nine segments; then three superseded, four deleted, twenty more."""
    borg_repository.DEFAULT_MAX_SEGMENT_SIZE = SEGMENT_BYTES
    logger.configured = True
    folder = tmp_path_factory.mktemp("sound") / "repository"
    rng = random.Random(7)  # noqa: S311 - the same repository each time
    with Repository(str(folder), create=True, exclusive=True) as repository:
        for number in range(60):
            repository.put(key(number), rng.randbytes(3000))
        repository.commit(compact=False)
        for number in (3, 20, 40):
            repository.put(key(number), rng.randbytes(500))
        for number in (5, 6, 30, 31):
            repository.delete(key(number))
        for number in range(60, 80):
            repository.put(key(number), rng.randbytes(1500))
        repository.commit(compact=False)
    return folder


@pytest.fixture
def path(sound: Path, tmp_path: Path) -> Path:
    return shutil.copytree(sound, tmp_path / "repository")


def key(number: int) -> bytes:
    return number.to_bytes(32, "big")


def files_of(path: Path) -> list[Path]:
    return sorted((path / "data" / "0").iterdir(), key=lambda file: int(file.name))


def check(path: Path, after: int = -1, known: tuple[str, ...] = ()) -> list[Said]:
    said: list[Said] = []
    checking.check(Order(path=str(path), after=after, known=known, rest_share=0.0), said.append)
    return said


def found(path: Path) -> list[Found]:
    return [damage for said in check(path) for damage in said.damages]


def is_good_to_borg(path: Path) -> bool:
    copy = shutil.copytree(path, path.with_name("copy"))
    try:
        with Repository(str(copy), exclusive=True) as repository:
            return bool(repository.check())
    except Error:
        return False  # it cannot even be opened
    finally:
        shutil.rmtree(copy)


def lost_objects(path: Path) -> set[str]:
    """Return the objects that the index of the last commit names and that cannot be had."""
    lost = set()
    with checking.opened(str(path)) as view:
        for id_, _place in list(view.index.iteritems()):
            try:
                view.get(bytes(id_))
            except (IntegrityError, Repository.ObjectNotFound):
                lost.add(bytes(id_).hex())
    return lost


def flip(file: Path, offset: int, mask: int = 1) -> None:
    data = bytearray(file.read_bytes())
    data[offset] ^= mask
    file.write_bytes(data)


def test_sound_repository_is_read_whole(path: Path) -> None:
    said = check(path)

    assert [damage for one in said for damage in one.damages] == []
    assert sum(one.objects_count for one in said) == 60 + 3 + 20  # superseded ones are read too
    assert sum(one.read_bytes for one in said) == sum(file.stat().st_size for file in files_of(path))
    assert said[-1].is_end
    assert is_good_to_borg(path)


def test_any_flipped_byte_is_found_and_what_is_lost_is_named_exactly(sound: Path, tmp_path: Path) -> None:
    rng = random.Random(11)  # noqa: S311 - the same bytes each time
    for number in range(120):
        path = shutil.copytree(sound, tmp_path / f"{number}")
        file = rng.choice(files_of(path))
        # The first bytes of objects are headers: as many flips there as in contents.
        offset = rng.randrange(file.stat().st_size) if number % 2 else rng.randrange(min(60, file.stat().st_size))
        flip(file, offset, 1 << rng.randrange(8))

        damages = found(path)

        # Where the last commit is hit, Borg goes back to the one before it and calls that good; we say so.
        assert file == files_of(path)[-1] or not is_good_to_borg(path), (file.name, offset)
        assert damages, (file.name, offset)
        assert lost_objects(path) == {damage.place for damage in damages if len(damage.place) == 64}, (
            file.name,
            offset,
        )
        shutil.rmtree(path)


def truncate(path: Path) -> None:
    file = files_of(path)[4]
    file.write_bytes(file.read_bytes()[:7000])


def truncate_between_objects(path: Path) -> None:
    file = files_of(path)[4]
    file.write_bytes(file.read_bytes()[: 8 + 2 * 3041])


def lose(path: Path) -> None:
    files_of(path)[2].unlink()


def lose_the_first(path: Path) -> None:
    files_of(path)[0].unlink()


def lose_the_last_with_objects(path: Path) -> None:
    files_of(path)[-3].unlink()


def empty(path: Path) -> None:
    files_of(path)[3].write_bytes(b"")


def swap(path: Path) -> None:
    """Two segments in each other's place: each object has a right checksum, and lies where another should."""
    one, other = files_of(path)[1], files_of(path)[2]
    contents = one.read_bytes(), other.read_bytes()
    one.write_bytes(contents[1])
    other.write_bytes(contents[0])


BREAKS: list[Callable[[Path], None]] = [
    truncate, truncate_between_objects, lose, lose_the_first, lose_the_last_with_objects, empty, swap,
]  # fmt: skip


@pytest.mark.parametrize("break_it", BREAKS, ids=lambda each: each.__name__)
def test_broken_segments_are_found_as_borg_finds_them(path: Path, break_it: Callable[[Path], None]) -> None:
    break_it(path)

    damages = found(path)

    assert not is_good_to_borg(path)
    assert {damage.place for damage in damages if len(damage.place) == 64} == lost_objects(path) != set()


def test_two_flips_in_one_segment_are_both_found(path: Path) -> None:
    file = files_of(path)[1]
    flip(file, 8 + 100)
    flip(file, 8 + 4 * 3041 + 100)

    assert {damage.place for damage in found(path)} == lost_objects(path)
    assert len(lost_objects(path)) == 2


def test_index_that_cannot_be_read_is_said_and_the_segments_are_read_all_the_same(path: Path) -> None:
    index = next(file for file in path.iterdir() if file.name.startswith("index."))
    flip(index, index.stat().st_size // 2)
    flip(files_of(path)[1], 200)

    places = [damage.place for damage in found(path)]

    assert places == ["index", "segment 1, byte 8"]


def test_interrupted_check_goes_on_behind_what_was_said(path: Path) -> None:
    flip(files_of(path)[2], 500)
    flip(files_of(path)[7], 500)

    later = check(path, after=4)

    assert {damage.segment for said in later for damage in said.damages} == {7}
    assert sum(said.read_bytes for said in later) == sum(file.stat().st_size for file in files_of(path)[5:])


def test_known_object_that_is_whole_again_or_gone_is_said(path: Path) -> None:
    flip(files_of(path)[1], 500)
    (damage,) = found(path)

    still = check(path, known=(damage.place, key(5).hex()))[0]
    flip(files_of(path)[1], 500)
    now = check(path, known=(damage.place,))[0]

    assert still.sound == (key(5).hex(),)  # deleted: nothing needs it
    assert now.sound == (damage.place,)


def test_segments_that_a_compaction_takes_away_meanwhile_are_no_damage(path: Path) -> None:
    said: list[Said] = []

    def hear(one: Said) -> None:
        said.append(one)
        if one.segment == 2:
            with Repository(str(path), exclusive=True) as repository:
                for number in range(8, 28, 2):
                    repository.delete(key(number))
                repository.commit(compact=True, threshold=0.0)

    checking.check(Order(path=str(path), rest_share=0.0), hear)

    assert [damage for one in said for damage in one.damages] == []
    assert said[-1].is_end
    assert len(files_of(path)) < 13
    assert is_good_to_borg(path)


def test_object_that_is_written_meanwhile_is_read_too(path: Path) -> None:
    said: list[Said] = []

    def hear(one: Said) -> None:
        said.append(one)
        if one.segment == 2:
            with Repository(str(path), exclusive=True, append_only=True) as repository:
                repository.put(key(200), os.urandom(4000))
                repository.commit(compact=False)

    checking.check(Order(path=str(path), rest_share=0.0), hear)

    assert sum(one.objects_count for one in said) == 60 + 3 + 20 + 1
