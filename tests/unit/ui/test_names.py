from __future__ import annotations

from saveos.ui import names


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
