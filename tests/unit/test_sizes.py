from __future__ import annotations

import pytest

from saveos import sizes


@pytest.mark.parametrize(
    ("typed", "count"),
    [
        ("", None),
        ("  ", None),
        ("0", 0),
        ("512", 512),
        ("10 MB", 10_000_000),
        ("10mb", 10_000_000),
        ("1,5 Go", 1_500_000_000),
        ("1.5 GiB", 1_610_612_736),
        ("300k", 300_000),
        ("2\N{NO-BREAK SPACE}To", 2_000_000_000_000),
    ],
)
def test_parse_of_a_typed_size_gives_bytes(typed, count):
    assert count == sizes.parse(typed)


@pytest.mark.parametrize("typed", ["ten", "-1", "10 XB", "1..5 MB", "10 MB or so", "1e9"])
def test_parse_of_what_is_no_size_is_refused(typed):
    with pytest.raises(ValueError, match="is no size"):
        sizes.parse(typed)
