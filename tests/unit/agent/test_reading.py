"""Readings on a host: what they hold, and what they let go of."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, cast

import pytest

from saveos.agent import reading
from saveos.agent.settings import Home
from saveos.agents import streams

if TYPE_CHECKING:
    from pathlib import Path

    from saveos.agent.settings import Config


def test_reading_that_takes_the_place_of_one_that_ends_is_not_dropped() -> None:
    assert reading.LIMIT >= streams.LIMIT_PER_HOST + 2


@pytest.mark.parametrize("what", ["settings", "passphrase"])
def test_reading_that_cannot_begin_leaves_nothing_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    def settings(*_: Any) -> dict[str, str]:
        if what == "settings":
            raise OSError(what)
        return {}

    monkeypatch.setattr(reading, "tunnel_settings", settings)
    home = Home(tmp_path / "config.json")
    home.prepare()
    opened = len(os.listdir("/proc/self/fd"))

    with pytest.raises(OSError, match=what), reading.with_key(home, cast("Config", None), ["read"]):
        pass

    assert opened == len(os.listdir("/proc/self/fd"))
    assert [] == list(home.state.glob("tunnel-*"))
