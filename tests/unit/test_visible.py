"""What a person sees of a text that a host chose, on a page and at a terminal."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saveos import visible
from saveos.cli_catalogue import printed
from saveos.protocol import entry_path


@pytest.mark.parametrize("show", [visible.shown, printed])
@given(st.binary(max_size=100))
def test_shown_of_any_name_holds_nothing_unseen(show, raw):
    shown = show(entry_path(raw))

    assert [] == [sign for sign in shown if unicodedata.category(sign) in ("Cc", "Cf", "Zl", "Zp")]


def test_shown_of_a_name_that_turns_its_direction_shows_where():
    assert "photo\\u{202e}gnp.exe" == visible.shown("photo\u202egnp.exe")


def test_printed_name_that_turns_its_direction_shows_where():
    assert "photo\\u{202e}gnp.exe" == printed("photo\u202egnp.exe")


def test_printed_name_shows_its_controls():
    assert "new\\x0aline\\x1b[31m" == printed("new\nline\x1b[31m")
