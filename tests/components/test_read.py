"""What reads an archive, on archives that are odd on purpose: forged, linked, damaged."""

from __future__ import annotations

import io
import zipfile

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


@pytest.mark.parametrize("form", [ReadForm.FILE, ReadForm.ZIP])
def test_file_that_somebody_forged_the_item_of_comes_as_it_is(store: Store, form: ReadForm) -> None:
    name = f"forged-{form.name}"
    evil = item("aaa", content="mine", xattrs={"user.x": forged(VICTIM)})
    store.craft(name, evil, item(VICTIM, content="root's"))

    read = store.read(name, VICTIM, form=form, place=0)

    assert (0, "") == (read.code, read.head.error_code)
    if form is ReadForm.FILE:
        assert (b"root's", 6) == (read.body, read.head.whole_bytes)
    else:
        assert b"root's" == zipfile.ZipFile(io.BytesIO(read.body)).read("shadow")
