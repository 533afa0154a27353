"""What a browser calls itself, as a person would say it. Pure; a guess, for people only."""

from __future__ import annotations

import re

# The first that fits: each later one is also claimed by those before it.
BROWSERS = (
    (r"Edg(e|A|iOS)?/", "Edge"),
    (r"OPR/|Opera", "Opera"),
    (r"SamsungBrowser/", "Samsung Internet"),
    (r"Firefox/|FxiOS/", "Firefox"),
    (r"Chrome/|CriOS/|Chromium/", "Chrome"),
    (r"Safari/", "Safari"),
    (r"curl/", "curl"),
)
SYSTEMS = (
    (r"iPhone", "iPhone"),
    (r"iPad", "iPad"),
    (r"Android", "Android"),
    (r"Windows", "Windows"),
    (r"Mac OS X|Macintosh", "macOS"),
    (r"CrOS", "ChromeOS"),
    (r"Linux", "Linux"),
)
SHOWN_LENGTH = 60


def name_of(agent: str) -> tuple[str, str]:
    """Return (browser, system) of a User-Agent header; an unknown browser is shown as it names itself."""
    browser = next((name for pattern, name in BROWSERS if re.search(pattern, agent)), agent[:SHOWN_LENGTH])
    return browser, next((name for pattern, name in SYSTEMS if re.search(pattern, agent)), "")
