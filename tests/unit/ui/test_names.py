from __future__ import annotations

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from saveos.protocol import entry_path
from saveos.ui import names


@given(st.binary(max_size=100))
def test_shown_of_any_name_holds_nothing_unseen(raw):
    shown = names.shown(entry_path(raw))

    assert [] == [sign for sign in shown if unicodedata.category(sign) in ("Cc", "Cf", "Zl", "Zp")]


def test_shown_of_a_name_that_turns_its_direction_shows_where():
    assert "photo\\u{202e}gnp.exe" == names.shown("photo\u202egnp.exe")


def test_short_of_a_long_name_keeps_both_ends():
    short = names.short("a" * 5000 + ".txt")

    assert short.startswith("aaa")
    assert short.endswith(".txt")
    assert len(short) <= 256


def test_crumbs_of_a_path_lead_down_to_it():
    assert [("home", "home"), ("anna", "home/anna")] == [
        (crumb.name, crumb.path) for crumb in names.crumbs("home/anna")
    ]
    assert [] == names.crumbs("")


def test_files_url_of_an_odd_path_can_stand_in_an_address():
    assert "/snapshots/s/files?path=a%26b%3Fc%25" == names.files_url("s", "a&b?c%")
