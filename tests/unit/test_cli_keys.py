"""The command line's part on keys."""

from __future__ import annotations

import argparse
import io
import json
import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from saveos import cli_keys
from saveos.errors import NotFound
from saveos.tenants import kits, recovery
from tests.support.catalogues import World

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World.made(tmp_path)
    yield made
    made.close()


def rotate(world: World, *, as_json: bool = True) -> dict[str, Any]:
    stores: Any = SimpleNamespace(database=world.database)
    return cli_keys.rotate(stores, world.principal, argparse.Namespace(json=as_json))


def test_new_code_that_could_not_be_printed_does_not_count(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(io.StringIO):
        def flush(self) -> None:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(sys, "stdout", Full())
    with pytest.raises(OSError, match="No space"):
        rotate(world)

    with pytest.raises(NotFound):
        kits.state(world.database, world.principal)


@pytest.mark.parametrize("as_json", [True, False])
def test_new_code_is_printed_and_counts(world: World, capsys: pytest.CaptureFixture[str], *, as_json: bool) -> None:
    assert not rotate(world, as_json=as_json)

    said = capsys.readouterr().out
    shown = json.loads(said) if as_json else dict(line.split(": ", 1) for line in said.splitlines())
    assert shown["public_key"] == kits.state(world.database, world.principal).public_key
    recovery.private_key(shown["recovery_code"])
