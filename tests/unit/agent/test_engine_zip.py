"""The ZIP that is made while it is sent, read by the standard library; its names."""

from __future__ import annotations

import io
import zipfile
from urllib.parse import unquote_to_bytes

from hypothesis import given
from hypothesis import strategies as st

from saveos.agent.engine_zip import Entry, Zip, safe_name

FILE, FOLDER, LINK = 0o100640, 0o040755, 0o120777
PARTS = st.binary(min_size=1, max_size=8).map(lambda raw: raw.replace(b"/", b"_").replace(b"\0", b"_"))
PATHS = st.lists(PARTS, min_size=1, max_size=4).map(b"/".join)


def entry(name: str, mode: int = FILE) -> Entry:
    return Entry(name=name, mode=mode, modified=1_234_567_890.0)


@given(st.dictionaries(st.text("abcé/", min_size=1, max_size=6), st.binary(max_size=3000), max_size=20))
def test_zip_holds_what_was_put_in(files: dict[str, bytes]) -> None:
    out = io.BytesIO()
    made = Zip(lambda data: out.write(data) and None)

    for name, content in files.items():
        if content:
            made.add_large(entry(name), [content[:10], content[10:]], len(content))
        else:
            made.add(entry(name), b"")
    made.close("said")

    with zipfile.ZipFile(out) as packed:
        assert packed.testzip() is None
        assert files == {one.filename: packed.read(one) for one in packed.infolist()}
        assert b"said" == packed.comment
        assert {FILE} >= {one.external_attr >> 16 for one in packed.infolist()}


def test_zip_of_very_many_entries_is_read() -> None:
    out = io.BytesIO()
    made = Zip(lambda data: out.write(data) and None)

    for number in range(70_000):
        made.add(entry(f"{number}", LINK if number % 2 else FOLDER), b"there" if number % 2 else b"")
    made.close()

    with zipfile.ZipFile(out) as packed:
        assert 70_000 == len(packed.namelist())
        assert ("69998/", b"there") == (packed.namelist()[-2], packed.read("69999"))


def test_zip_keeps_exact_times_beside_those_of_dos() -> None:
    out = io.BytesIO()
    made = Zip(lambda data: out.write(data) and None)

    for moment in (-(10.0**12), 0.0, 1_234_567_891.0, 10.0**12):
        made.add(Entry(name=str(moment), mode=FILE, modified=moment), b"")
    made.close()

    with zipfile.ZipFile(out) as packed:
        third = packed.infolist()[2]
        assert ((2009, 2, 13, 23, 31, 30), b"UT\x05\x00\x01\xd3\x02\x96\x49") == (third.date_time, third.extra)


@given(PATHS)
def test_name_in_a_zip_leads_nowhere_else(path: bytes) -> None:
    name = safe_name(path)

    assert not name.startswith("/")
    assert ".." not in name.split("/")
    assert not {"\\", ":"} & set(name)
    assert all(" " <= sign != "\x7f" for sign in name)
    name.encode("utf-8")


def test_name_in_a_zip_is_of_no_drive_and_no_stream() -> None:
    assert ["C%3A/Windows/x", "a%3Ab"] == [safe_name(b"C:/Windows/x"), safe_name(b"a:b")]


@given(PATHS)
def test_name_in_a_zip_gives_every_byte_back(path: bytes) -> None:
    expected = b"/".join(part for part in path.split(b"/") if part not in (b"", b"."))

    assert expected == unquote_to_bytes(safe_name(path))
