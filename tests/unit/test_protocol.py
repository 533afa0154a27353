from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saveos.protocol import entry_bytes, entry_path, is_newer


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


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        ("", "0.0.1"),
        ("nonsense", "0.0.1"),
        ("0.1.0", "0.1.1"),
        ("0.9.0", "0.10.0"),
        ("0.2.0.dev3", "0.2.0a1"),
        ("0.2.0rc1", "0.2.0rc2"),
        ("0.2.0rc2", "0.2.0"),
        ("0.2", "0.2.1"),
    ],
)
def test_is_newer_orders_versions_as_they_come_out(older, newer):
    assert is_newer(newer, older)
    assert not is_newer(older, newer)


@pytest.mark.parametrize(("one", "other"), [("0.2", "0.2.0"), ("", "nonsense"), ("9" * 255, "9" * 200)])
def test_is_newer_of_the_same_is_false(one, other):
    assert not is_newer(one, other)
    assert not is_newer(other, one)
