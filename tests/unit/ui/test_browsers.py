"""Browsers by their User-Agent."""

from __future__ import annotations

import pytest

from saveos.ui import browsers

WEBKIT = "AppleWebKit/537.36 (KHTML, like Gecko)"


@pytest.mark.parametrize(
    ("agent", "named"),
    [
        ("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", ("Firefox", "Linux")),
        (f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {WEBKIT} Chrome/140.0 Safari/537.36", ("Chrome", "Windows")),
        (f"Mozilla/5.0 (Windows NT 10.0) {WEBKIT} Chrome/140.0 Safari/537.36 Edg/140.0", ("Edge", "Windows")),
        ("Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15) AppleWebKit/605 Version/18 Safari/605", ("Safari", "macOS")),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) CriOS/140.0 Mobile Safari/604", ("Chrome", "iPhone")),
        (f"Mozilla/5.0 (Linux; Android 15) {WEBKIT} Chrome/140 Mobile Safari/537", ("Chrome", "Android")),
        ("curl/8.5.0", ("curl", "")),
        ("", ("", "")),
    ],
)
def test_browser_is_named(agent: str, named: tuple[str, str]) -> None:
    assert named == browsers.name_of(agent)


def test_unknown_browser_is_shown_as_it_names_itself() -> None:
    assert ("x" * 60, "") == browsers.name_of("x" * 300)
