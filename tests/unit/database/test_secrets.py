"""Sealed columns: under a key file, each for one row."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

import pytest

from saveos.database.secrets import Secret, seal, unseal
from saveos.errors import Unavailable

if TYPE_CHECKING:
    from pathlib import Path

SECRET = Secret("a secret with é")


def test_secret_is_opened_for_its_row_alone(tmp_path: Path) -> None:
    key = tmp_path / "keys" / "columns.key"

    sealed = seal(key, SECRET, "sto_1")

    assert unseal(key, sealed, "sto_1") == SECRET
    assert SECRET.value.encode() not in sealed
    assert sealed != seal(key, SECRET, "sto_1")
    with pytest.raises(Unavailable):
        unseal(key, sealed, "sto_2")


def test_key_is_made_once_and_for_its_owner(tmp_path: Path) -> None:
    key = tmp_path / "keys" / "columns.key"
    seal(key, SECRET, "a")
    content = key.read_bytes()

    seal(key, SECRET, "b")

    assert content == key.read_bytes()
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert [key] == list(key.parent.iterdir())


@pytest.mark.parametrize("harm", ["other key", "no key", "short", "other version", "flipped"])
def test_secret_that_cannot_be_opened_is_no_secret(tmp_path: Path, harm: str) -> None:
    key = tmp_path / "columns.key"
    sealed = seal(key, SECRET, "row")
    if harm == "other key":
        key.write_bytes(bytes(32))
    elif harm == "no key":
        key.unlink()
    elif harm == "short":
        sealed = sealed[:5]
    elif harm == "other version":
        sealed = b"\2" + sealed[1:]
    else:
        sealed = sealed[:-1] + bytes([sealed[-1] ^ 1])

    with pytest.raises(Unavailable):
        unseal(key, sealed, "row")


def test_secret_is_never_shown() -> None:
    assert "***" == repr(SECRET) == str(SECRET) == f"{SECRET}"
