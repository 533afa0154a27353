from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saveos.protocol import entry_bytes, entry_path


@given(st.binary(max_size=200))
def test_entry_path_of_any_bytes_gives_them_back(raw):
    path = entry_path(raw)

    assert raw == entry_bytes(path)
    path.encode()  # it can travel


@pytest.mark.parametrize(
    ("raw", "path"),
    [
        (b"", ""),
        (b"home/anna/notes.txt", "home/anna/notes.txt"),
        ("home/\u00e9t\u00e9".encode(), "home/\u00e9t\u00e9"),
        (b"a\\b", "a\\\\b"),
        (b"caf\xe9", "caf\\xe9"),
        (b"a\\xe9", "a\\\\xe9"),
    ],
)
def test_entry_path_escapes_backslashes_and_what_is_no_utf8_only(raw, path):
    assert path == entry_path(raw)


@pytest.mark.parametrize("path", ["a\\b", "a\\x41", "\\xE9", "\\xc3\\xa9", "\udc80", "\\"])
def test_entry_bytes_of_what_no_path_becomes_is_refused(path):
    with pytest.raises(ValueError):  # noqa: PT011 - each kind says it in its own words
        entry_bytes(path)
