"""What reads an archive, on archives that are odd on purpose: forged, linked, damaged."""

from __future__ import annotations

import io
import subprocess
import tarfile
import zipfile
from typing import Any, cast

import msgpack
import pytest

from saveos.protocol import ReadForm
from tests.support.archives import FILE, Store, item

VICTIM = b"etc/shadow"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store.made(tmp_path_factory.mktemp("read") / "store")


def forged(path: bytes) -> str:
    """Return the end of an item as Borg would write it, with a chunk that nobody has."""
    pairs = (b"chunks", [(b"\xee" * 32, 5, 5)]), (b"mode", FILE), (b"mtime", 0), (b"path", path)
    return b"".join(msgpack.packb(part, use_bin_type=False) for pair in pairs for part in pair).hex()


@pytest.mark.parametrize("is_far", [False, True], ids=["here", "far"])
@pytest.mark.parametrize("form", [ReadForm.FILE, ReadForm.ZIP])
def test_file_that_somebody_forged_the_item_of_comes_as_it_is(store: Store, form: ReadForm, *, is_far: bool) -> None:
    name = f"forged-{form.name}-{is_far}"
    evil = item("aaa", content="mine", xattrs={"user.x": forged(VICTIM)})
    store.craft(name, evil, item(VICTIM, content="root's"))

    read = store.read(name, VICTIM, form=form, place=0, is_far=is_far)

    assert (0, "") == (read.code, read.head.error_code)
    if form is ReadForm.FILE:
        assert (b"root's", 6) == (read.body, read.head.whole_bytes)
    else:
        assert b"root's" == zipfile.ZipFile(io.BytesIO(read.body)).read("shadow")


def unpacked(packed: bytes, form: ReadForm) -> dict[str, bytes]:
    """Return the contents of the regular files in a pack, links followed."""
    if form is ReadForm.ZIP:
        with zipfile.ZipFile(io.BytesIO(packed)) as zipped:
            return {name: zipped.read(name) for name in zipped.namelist()}
    tar = subprocess.run(["zstd", "-dc"], input=packed, capture_output=True, check=True).stdout
    with tarfile.open(fileobj=io.BytesIO(tar)) as tarred:
        return {one.name: cast("Any", tarred.extractfile(one)).read() for one in tarred}


@pytest.mark.parametrize("is_far", [False, True], ids=["here", "far"])
@pytest.mark.parametrize("form", [ReadForm.ZIP, ReadForm.TAR_ZST])
def test_file_that_is_lost_is_left_out_of_a_pack_and_named(store: Store, form: ReadForm, *, is_far: bool) -> None:
    name = f"lost-{form.name}-{is_far}"
    store.craft(
        name,
        item("d/a", content="all of a"),
        item("d/lost\n", content=f"lost of {name}", hardlink_master=True),
        item("d/link", source=b"d/lost\n"),
        item("d/z", content="all of z"),
        item("d/SAVEOS-MISSING.txt", content="of somebody"),
    )
    store.lose(f"lost of {name}".encode())

    whole = store.read(name, b"d", form=form, is_far=is_far)
    one = store.read(name, b"d/lost\n", form=ReadForm.FILE, is_far=is_far)

    found = unpacked(whole.body, form)
    missing = found.pop("SAVEOS-MISSING.txt").decode()
    assert (0, "") == (whole.code, whole.head.error_code)
    assert {"d/a": b"all of a", "d/z": b"all of z", "d/SAVEOS-MISSING.txt": b"of somebody"} == found
    assert ["d/lost\\n", "d/link"] == missing.splitlines()[2:]
    assert (1, b"") == (one.code, one.body)


@pytest.mark.parametrize("form", [ReadForm.ZIP, ReadForm.TAR_ZST])
def test_name_of_what_is_left_out_takes_nobody_elses(store: Store, form: ReadForm) -> None:
    name = f"taken-{form.name}"
    store.craft(name, item("SAVEOS-MISSING.txt", content="of somebody"), item("lost", content=f"gone of {form}"))
    store.lose(f"gone of {form}".encode())

    found = unpacked(store.read(name, b"SAVEOS-MISSING.txt", b"lost", form=form).body, form)

    assert {"SAVEOS-MISSING.txt", "SAVEOS-MISSING-2.txt"} == set(found)
    assert b"of somebody" == found["SAVEOS-MISSING.txt"]
