"""The appliance's own key pair: whole or not there."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from saveos import config
from saveos.repositories import managed

if TYPE_CHECKING:
    from pathlib import Path

    from saveos.config import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return config.load({"data": str(tmp_path)}, {})


def test_key_pair_that_could_not_be_written_is_made_the_next_time(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space"):
            managed.public_key(settings)
        assert [] == list(settings.managed_key.parent.iterdir())

    assert managed.public_key(settings) == managed.private_key(settings).public_key().public_bytes_raw()


@pytest.mark.parametrize("torn", [b"", b"k" * 31])
def test_public_half_that_is_torn_is_made_again(settings: Settings, torn: bytes) -> None:
    made = managed.public_key(settings)
    public = settings.managed_key.with_suffix(".pub")
    public.write_bytes(torn)

    assert made == managed.public_key(settings) == public.read_bytes()


def test_threads_that_ask_first_at_once_get_one_pair(settings: Settings) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(lambda _number: managed.public_key(settings), range(32)))

    assert found == {managed.private_key(settings).public_key().public_bytes_raw()}
    assert {"managed.key", "managed.pub"} == {path.name for path in settings.managed_key.parent.iterdir()}
    assert 0o600 == settings.managed_key.stat().st_mode & 0o777
