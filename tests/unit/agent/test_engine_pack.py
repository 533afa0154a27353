"""Packs made of a stream of items: hard links come whole, and are not looked for one by one."""

from __future__ import annotations

import io
import itertools
import subprocess
import tarfile
import zipfile
from typing import TYPE_CHECKING, Any, cast

import pytest

from saveos.agent import engine_links
from saveos.agent.engine_pack import send_packed
from saveos.protocol import Chosen, ReadForm, ReadOrder
from tests.unit.agent.test_engine_items import Chunked, chunk, packed

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from saveos.agent.engine_archive import Opened

NAMES = range(40)
CUT_BYTES = 4096
FORMS = pytest.mark.parametrize("form", [ReadForm.ZIP, ReadForm.TAR_ZST])


class Archive(Chunked):
    """An archive in memory."""

    def __init__(self, data: bytes, contents: Iterable[bytes]) -> None:
        super().__init__(data, list(range(0, len(data), CUT_BYTES)))
        self.contents = {chunk(content)[0]: content for content in contents}
        self.fetched = 0

    def fetch(self, numbers: Iterable[int]) -> Iterator[bytes]:
        """Give pieces, and count them."""
        for piece in super().fetch(numbers):
            self.fetched += 1
            yield piece

    def holds(self, ids: Sequence[bytes]) -> bool:
        """Return whether all of them are there."""
        return all(id_ in self.contents for id_ in ids)

    def ask(self, chunks: Sequence[Any]) -> None:
        """Have them already."""

    def content(self, chunks: Sequence[Any]) -> Iterator[bytes]:
        """Give contents."""
        return (self.contents[entry[0]] for entry in chunks)

    content_begun = content


def file(path: str, content: bytes, **more: Any) -> bytes:
    return packed(path.encode(), chunks=[chunk(content)] if content else [], **more)


def said(number: int) -> bytes:
    return b"file %d" % number if number % 5 else b""


@pytest.fixture
def archive() -> Archive:
    """The folder z holds two more names of each file in the folder a; much lies between."""
    first = [file(f"a/{number}", said(number), hardlink_master=True) for number in NAMES]
    between = [file(f"m/{number:0200d}", b"") for number in range(500)]
    links = [packed(b"z/%d-%d" % (number, name), source=b"a/%d" % number) for number in NAMES for name in (1, 2)]
    return Archive(b"".join(itertools.chain(first, between, links)), map(said, NAMES))


def pack(archive: Archive, form: ReadForm, *paths: str) -> dict[str, bytes]:
    """Return what a pack of these paths holds, links followed."""
    out = io.BytesIO()
    order = ReadOrder(archive="a", chosen=tuple(Chosen(path=path) for path in paths), form=form)
    send_packed(cast("Opened", archive), order, lambda: None, lambda data: out.write(data) and None)
    if form is ReadForm.ZIP:
        with zipfile.ZipFile(out) as zipped:
            return {name: zipped.read(name) for name in zipped.namelist()}
    tar = subprocess.run(["zstd", "-dc"], input=out.getvalue(), capture_output=True, check=True).stdout
    with tarfile.open(fileobj=io.BytesIO(tar)) as tarred:
        return {one.name: cast("Any", tarred.extractfile(one)).read() for one in tarred}


@FORMS
@pytest.mark.parametrize("limit", [8192, 30])
def test_hard_links_to_what_is_not_chosen_come_by_few_walks(
    archive: Archive, form: ReadForm, limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_links, "WAITING_LIMIT", limit)

    found = pack(archive, form, "z")

    assert {f"z/{number}-{name}": said(number) for number in NAMES for name in (1, 2)} == found
    assert archive.fetched <= archive.count * (1 + -(-2 * len(NAMES) // limit))


@FORMS
def test_hard_links_to_what_is_chosen_come_whole(archive: Archive, form: ReadForm) -> None:
    found = pack(archive, form, "a", "z")

    assert {f"z/{number}-1": said(number) for number in NAMES}.items() <= found.items()
    assert len(NAMES) * 3 == len(found)
