"""Objects decrypted part by part, and damage traced to archives and files, on repositories in a folder."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from borg.remote import RemoteRepository

from saveos.agent.engine_locate import require_damage
from saveos.agent.verify_words import SaidOfVerify
from saveos.protocol import VerifyFacts, VerifyOrder
from tests.support.archives import PASSPHRASE, Store

if TYPE_CHECKING:
    from pathlib import Path

# Prints what an archive is made of: (what, id, segment, offset), the chunks of its files by path.
INSIDE = """
import json, sys
from borg.logger import setup_logging
setup_logging()
from borg.archive import Archive
from borg.helpers import Manifest
from borg.repository import Repository
path, name = sys.argv[1:]
with Repository(path, lock=False) as repository:
    manifest, key = Manifest.load(repository, (Manifest.Operation.READ,))
    archive = Archive(repository, key, manifest, name)
    found = {"archive": [archive.id], "items": list(archive.metadata.items)}
    for item in archive.iter_items():
        if "chunks" in item:
            found[item.path] = [chunk.id for chunk in item.chunks]
    repository.get(archive.id)
    print(json.dumps({k: [[i.hex(), *repository.index[i][:2]] for i in ids] for k, ids in found.items()}))
"""


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Two archives: "one" has files a, b and c, "two" has c as it was and another b."""
    store = Store.made(tmp_path / "store")
    tree = tmp_path / "tree"
    tree.mkdir()
    for name in "abc":
        (tree / name).write_bytes(os.urandom(300_000))
    store.back_up("one", "tree", folder=tmp_path)
    (tree / "a").unlink()
    (tree / "b").write_bytes(os.urandom(300_000))
    store.back_up("two", "tree", folder=tmp_path)
    return store


def environment(store: Store) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("BORG_")}
    return kept | {
        "BORG_REPO": str(store.repository),
        "BORG_PASSPHRASE": PASSPHRASE,
        "BORG_BASE_DIR": str(store.home),
        "BORG_RELOCATED_REPO_ACCESS_IS_OK": "yes",
        "BORG_SELFTEST": "disabled",
        "LC_ALL": "C.UTF-8",
    }


def inside(store: Store, name: str) -> dict[str, list[tuple[str, int, int]]]:
    words = [sys.executable, "-c", INSIDE, str(store.repository), name]
    done = subprocess.run(words, env=environment(store), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return {key: [(one[0], one[1], one[2]) for one in found] for key, found in json.loads(done.stdout).items()}


def said(store: Store, **order: Any) -> SaidOfVerify:
    done = subprocess.run(
        [sys.executable, "-m", "saveos.agent", "verify"],
        input=msgspec.json.encode(VerifyOrder(**order)),
        env=environment(store),
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return msgspec.json.decode(done.stdout.splitlines()[-1], type=SaidOfVerify)


def verify(store: Store, **order: Any) -> VerifyFacts:
    facts = said(store, **order).facts
    assert facts is not None
    return facts


def spoil(store: Store, place: tuple[str, int, int]) -> str:
    """Change a byte in the middle of an object; return its id."""
    id_, segment, offset = place
    file = next((store.repository / "data").glob(f"*/{segment}"))
    data = bytearray(file.read_bytes())
    data[offset + 60] ^= 1
    file.write_bytes(data)
    return id_


def located(facts: VerifyFacts) -> dict[str, tuple[bool, tuple[str, ...]]]:
    return {archive.name: (archive.is_listing_damaged, archive.files) for archive in facts.located}


def test_sound_repository_is_decrypted_whole(store: Store) -> None:
    facts = verify(store)

    assert (facts.marker, facts.damaged, facts.is_located, facts.located) == ("", (), False, ())
    assert facts.objects_count == 4 + 2 + 2 + 1  # contents, lists of files, archives, the manifest
    assert facts.read_bytes > 1_200_000


def test_parts_cover_each_object_once(store: Store) -> None:
    whole = verify(store).objects_count
    counts, marker = [], ""
    while marker or not counts:
        facts = verify(store, marker=marker, bytes_limit=1)
        counts.append(facts.objects_count)
        marker = facts.marker

    assert counts == [1] * whole


def test_damaged_object_is_traced_to_the_archives_and_files_that_need_it(store: Store) -> None:
    shared = spoil(store, inside(store, "one")["tree/c"][0])
    own = spoil(store, inside(store, "one")["tree/b"][0])

    facts = verify(store)

    assert set(facts.damaged) == {shared, own}
    assert located(facts) == {"one": (False, ("tree/b", "tree/c")), "two": (False, ("tree/c",))}
    assert {archive.name: set(archive.objects) for archive in facts.located} == {"one": {shared, own}, "two": {shared}}
    assert (facts.is_located, facts.archives_count, facts.unseen_archives_count) == (True, 2, 0)


def test_names_are_left_out_where_they_are_sealed(store: Store) -> None:
    spoil(store, inside(store, "one")["tree/c"][0])

    facts = verify(store, is_sealed=True)

    assert {archive.name: (archive.files_count, archive.files) for archive in facts.located} == {
        "one": (1, ()),
        "two": (1, ()),
    }


@pytest.mark.parametrize("what", ["archive", "items"])
def test_archive_whose_own_list_is_damaged_is_named_and_the_other_stays_good(store: Store, what: str) -> None:
    spoil(store, inside(store, "one")[what][0])

    facts = verify(store)

    assert located(facts) == {"one": (True, ())}
    assert facts.located[0].objects == ()  # nobody can tell which ones it needs


def test_objects_of_a_lost_segment_are_damaged(store: Store) -> None:
    place = inside(store, "two")["tree/b"][0]
    next((store.repository / "data").glob(f"*/{place[1]}")).rename(store.folder / "aside")

    facts = verify(store, locate=(place[0],))

    assert place[0] in facts.damaged
    assert "two" in located(facts)


def test_what_is_asked_for_is_told_sound_damaged_or_gone(store: Store) -> None:
    found = inside(store, "one")
    bad = spoil(store, found["tree/a"][0])
    good, gone = found["tree/c"][0][0], "ab" * 32

    facts = verify(store, locate=(bad, good, gone), bytes_limit=0)

    assert (facts.damaged, facts.sound, facts.gone) == ((bad,), (good,), (gone,))
    assert located(facts) == {"one": (False, ("tree/a",))}


# The verification, on a disk that gives some of a repository's segments no more.
BAD_DISK = """
import errno, sys
from borg.repository import LoggedIO
from saveos.agent import engine_verify
segment, reads = int(sys.argv[1]), LoggedIO.read
def read(self, number, *more, **how):
    if number == segment:
        raise OSError(int(sys.argv[2]), "as the system says")
    return reads(self, number, *more, **how)
LoggedIO.read = read
sys.exit(engine_verify.main())
"""


def said_on_a_bad_disk(store: Store, segment: int, number: int) -> SaidOfVerify:
    done = subprocess.run(
        [sys.executable, "-c", BAD_DISK, str(segment), str(number)],
        input=msgspec.json.encode(VerifyOrder()),
        env=environment(store),
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return msgspec.json.decode(done.stdout.splitlines()[-1], type=SaidOfVerify)


def test_object_that_the_disk_does_not_give_is_damaged_and_the_part_goes_on(store: Store) -> None:
    place = inside(store, "one")["tree/c"][0]

    facts = said_on_a_bad_disk(store, place[1], errno.EIO).facts

    assert facts is not None
    assert place[0] in facts.damaged
    assert facts.marker == ""
    assert located(facts) == {"one": (True, ()), "two": (False, ("tree/c",))}


def test_error_that_says_nothing_of_what_is_stored_is_no_damage(store: Store) -> None:
    ended = said_on_a_bad_disk(store, inside(store, "one")["tree/c"][0][1], errno.EMFILE)

    assert (ended.facts, ended.error_code) == (None, "engine-error")


@pytest.mark.parametrize(
    ("name", "arguments", "is_damage"),
    [("OSError", [errno.EIO, b"x"], True), ("OSError", [errno.EMFILE], False), ("ValueError", [errno.EIO], False)],
)
def test_what_the_appliance_passes_on_of_its_disk_is_damage(
    name: str, arguments: list[Any], *, is_damage: bool
) -> None:
    error = RemoteRepository.RPCError({b"exception_class": name.encode(), b"exception_args": arguments})

    with contextlib.nullcontext() if is_damage else pytest.raises(RemoteRepository.RPCError):
        require_damage(error)


def test_repository_whose_manifest_is_damaged_says_so(store: Store) -> None:
    words = [sys.executable, "-c", INSIDE.replace("archive.id]", "bytes(32)]"), str(store.repository), "two"]
    done = subprocess.run(words, env=environment(store), capture_output=True, text=True, check=True)
    spoil(store, json.loads(done.stdout)["archive"][0])

    ended = said(store)

    assert (ended.facts, ended.error_code) == (None, "damaged")
