"""Items found in a stream of metadata: as a plain walk finds them, whatever the chunks, the hint and the names."""

from __future__ import annotations

import hashlib
import itertools
from typing import TYPE_CHECKING, Any

import msgpack
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from saveos.agent import engine_items

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

FILE, FOLDER, LINK = 0o100644, 0o040755, 0o120777
NAMES = st.binary(min_size=1, max_size=6).map(lambda raw: raw.replace(b"/", b"_").replace(b"\0", b"_"))
PATHS = st.lists(NAMES, min_size=1, max_size=3).map(b"/".join)


class Chunked:
    """A stream cut into pieces."""

    def __init__(self, data: bytes, cuts: list[int]) -> None:
        edges = [0, *sorted({cut % (len(data) + 1) for cut in cuts} - {0, len(data)}), len(data)]
        self.pieces = [data[first:end] for first, end in itertools.pairwise(edges)]
        self.count = len(self.pieces)

    def fetch(self, numbers: Iterable[int]) -> Iterator[bytes]:
        """Give pieces."""
        return (self.pieces[number] for number in numbers)


def chunk(content: bytes) -> tuple[bytes, int, int]:
    """Return an entry as Borg makes it: nobody else could know the id."""
    return hashlib.blake2b(content, key=b"secret", digest_size=32).digest(), len(content), len(content)


def packed(path: bytes, mode: int = FILE, **more: Any) -> bytes:
    """Return an item as Borg packs it."""
    item = {b"ctime": 2**62, b"gid": 0, b"group": b"root", b"mode": mode, b"mtime": 1, b"path": path, b"uid": 0}
    item |= {name.encode(): value for name, value in more.items()}
    return bytes(msgpack.packb(dict(sorted(item.items())), use_bin_type=False))


def with_content(path: bytes, **more: Any) -> bytes:
    return packed(path, chunks=[chunk(path + b"1"), chunk(path + b"2")], size=2, **more)


KINDS = st.sampled_from(["content", "empty", "folder", "link"])


@st.composite
def streams(draw: st.DrawFn) -> tuple[dict[bytes, str], Chunked]:
    """Return kinds by path, and their stream, cut anywhere as long as no path lies in three pieces."""
    kinds = draw(st.dictionaries(PATHS, KINDS, min_size=1, max_size=30))
    items = []
    for path, kind in kinds.items():
        xattrs = {b"user.x": draw(st.binary(max_size=40))} if draw(st.booleans()) else {}
        more = {"xattrs": xattrs} if xattrs else {}
        if kind == "content":
            items.append(with_content(path, **more))
        else:
            mode = {"empty": FILE, "folder": FOLDER, "link": LINK}[kind]
            items.append(packed(path, mode, **more, **({"chunks": []} if kind == "empty" else {})))
    data = b"".join(items)
    cuts = draw(st.lists(st.integers(0, 2**16), max_size=8))
    spread = [cut - cut % 64 for cut in (cut % (len(data) + 1) for cut in cuts)]
    return kinds, Chunked(data, spread)


@given(streams(), st.data())
def test_find_file_finds_what_a_walk_finds(made: tuple[dict[bytes, str], Chunked], data: st.DataObject) -> None:
    kinds, stream = made
    path = data.draw(st.sampled_from(sorted(kinds)) | PATHS)
    place = data.draw(st.none() | st.integers(0, stream.count + 2))

    item, is_seen = engine_items.find_file(stream, path, place)

    walked = [found for _number, found in engine_items.items(stream, (b"",)) if found[b"path"] == path]
    assert bool(walked) == (path in kinds)
    if kinds.get(path) == "content":
        assert item is not None
        assert (walked[0][b"chunks"], walked[0][b"mode"], path) == (item[b"chunks"], item[b"mode"], item[b"path"])
    else:
        assert item is None
        assert is_seen or path not in kinds


@given(streams(), st.data())
def test_items_with_a_mark_are_all_given(made: tuple[dict[bytes, str], Chunked], data: st.DataObject) -> None:
    kinds, stream = made
    path = data.draw(st.sampled_from(sorted(kinds)))

    found = [item for _number, item in engine_items.items(stream, (engine_items.needle(path),))]

    assert path in [item[b"path"] for item in found]


@given(st.integers(0, 200), st.none() | st.integers(0, 250))
def test_parts_around_a_place_are_all_of_it(count: int, place: int | None) -> None:
    parts = list(engine_items.around(count, place))

    seen = sorted(number for first, end in parts for number in range(first, end))
    assert list(range(count)) == seen
    assert place is None or place >= count or parts[0][0] <= place < parts[0][1]


FORGED_ID = b"\xee" * 32
VICTIM = b"etc/shadow"


@pytest.mark.parametrize(
    "forged",
    [
        packed(VICTIM, chunks=[], size=0),
        packed(VICTIM, LINK, source=b"/tmp/mine"),
        packed(VICTIM, source=b"home/eve/mine"),
        packed(VICTIM, chunks=[(b"short", 1, 1)], size=1),
        b"\x8f\xa5atime\xa1",  # would swallow the head of the item behind it
        b"\xa6chunks",
        engine_items.needle(VICTIM),
    ],
    ids=["empty", "link", "hard link", "no id", "shifted", "key", "path"],
)
@pytest.mark.parametrize("where", ["xattr", "path", "link"])
def test_bytes_of_others_are_never_taken_for_an_item(forged: bytes, where: str) -> None:
    evil = {
        "xattr": with_content(b"home/eve/a", xattrs={b"user.x": forged}),
        "path": with_content(b"home/eve/" + forged),
        "link": packed(b"home/eve/l", LINK, source=forged),
    }[where]
    real = with_content(VICTIM)
    stream = Chunked(evil + with_content(b"home/eve/b") + real + evil, [200, 400, 600])

    item, is_seen = engine_items.find_file(stream, VICTIM, 0)

    walked = [found for _number, found in engine_items.items(stream, (b"",)) if found[b"path"] == VICTIM]
    assert is_seen
    assert item is None or item[b"chunks"] == walked[0][b"chunks"]
    assert 1 == len(walked)


@given(st.binary(min_size=1, max_size=200), st.lists(st.integers(0, 200), max_size=3))
@example(b"\x81\x80\x00", [])  # a map whose key is a map
def test_stream_that_is_none_is_damaged_or_empty(data: bytes, cuts: list[int]) -> None:
    stream = Chunked(data, cuts)

    try:
        found = list(engine_items.items(stream, (b"",)))
    except engine_items.Damaged:
        return

    assert all(isinstance(item[b"path"], bytes) for _number, item in found)


def test_long_list_of_chunks_is_read_back_over_many_pieces() -> None:
    chunks = [chunk(number.to_bytes(4, "big")) for number in range(20_000)]
    data = with_content(b"before") + packed(b"image", chunks=chunks, size=1) + with_content(b"after")
    stream = Chunked(data, list(range(0, len(data), 100_000)))

    item, _is_seen = engine_items.find_file(stream, b"image", stream.count - 1)

    assert item is not None
    assert tuple(chunks) == item[b"chunks"]


@pytest.mark.parametrize(
    "more",
    [
        {"xattrs": {b"user.x": bytes(60_000)}},
        {"chunks": [(bytes(32), 1, 1)] * 30_000},
        {"xattrs": {b"user.%d" % number: b"" for number in range(30_000)}},
    ],
    ids=["value", "list", "map"],
)
def test_item_that_is_longer_than_a_chunk_of_the_stream_is_none_that_is_damaged(more: dict[str, Any]) -> None:
    data = with_content(b"before") + packed(b"long", **more) + with_content(b"after")
    stream = Chunked(data, list(range(0, len(data), 20_000)))

    found = [item for _number, item in engine_items.items(stream, (b"",))]

    assert [b"before", b"long", b"after"] == [item[b"path"] for item in found]


def test_very_long_item_is_not_begun_anew_with_each_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    chunks = [chunk(number.to_bytes(4, "big")) for number in range(200_000)]
    data = with_content(b"before") + packed(b"image", chunks=chunks, size=1) + with_content(b"after")
    stream = Chunked(data, list(range(0, len(data), 100_000)))
    fed: list[int] = []

    class Counting(msgpack.Unpacker):
        def feed(self, data: bytes) -> None:
            fed.append(len(data))
            super().feed(data)

    monkeypatch.setattr(engine_items.msgpack, "Unpacker", Counting)
    found = [item for _number, item in engine_items.items(stream, (b"",))]

    assert [b"before", b"image", b"after"] == [item[b"path"] for item in found]
    assert tuple(chunks) == found[1][b"chunks"]
    assert sum(fed) < 8 * len(data)


@given(streams(), st.data())
def test_items_are_the_same_whatever_counts_as_long(
    made: tuple[dict[bytes, str], Chunked], data: st.DataObject
) -> None:
    kinds, stream = made
    long_bytes = data.draw(st.integers(0, 64))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine_items, "LONG_BYTES", long_bytes)
        found = [item[b"path"] for _number, item in engine_items.items(stream, (b"",))]

    assert sorted(kinds) == sorted(found)
