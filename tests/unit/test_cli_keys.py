"""The command line's part on keys."""

from __future__ import annotations

import argparse
import base64
import io
import json
import os
import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from saveos import cli_keys, cli_prompt, cli_remote, cli_unlock
from saveos.agents import enrolment
from saveos.errors import InvalidRequest, NotFound, SaveOSError
from saveos.identity.principals import system
from saveos.protocol import TenantId
from saveos.repositories import keys, sealing
from saveos.repositories.keyholding import CODE_SUITE
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


def export(monkeypatch: pytest.MonkeyPatch, output: Path) -> dict[str, Any]:
    contents = SimpleNamespace(passphrase="p", key_export="the key")
    agent = SimpleNamespace(id="agt_1", hostname="h", tenant_id="ten_1")
    monkeypatch.setattr(enrolment, "by_name", lambda *_words: agent)
    monkeypatch.setattr(keys, "export", lambda *_words: contents)
    monkeypatch.setattr(cli_prompt, "recovery_code", lambda: "")
    stores: Any = SimpleNamespace(database=None, settings=SimpleNamespace(repositories=output.parent))
    return cli_keys.export(stores, system(TenantId("ten_1")), argparse.Namespace(agent="h", output=output))


def test_exported_key_is_for_its_owner_alone_whatever_the_mask(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    former = os.umask(0)
    try:
        export(monkeypatch, tmp_path / "key")
    finally:
        os.umask(former)

    assert ("the key", 0o600) == ((tmp_path / "key").read_text(), (tmp_path / "key").stat().st_mode & 0o777)


def test_key_is_not_exported_into_a_file_that_others_may_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    there = tmp_path / "key"
    there.touch(mode=0o644)
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")

    for output in (there, tmp_path / "link"):
        with pytest.raises(InvalidRequest, match="File exists"):
            export(monkeypatch, output)

    assert "" == there.read_text()
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize(("is_terminal", "code"), [(True, "unseen"), (False, "line\n")])
def test_recovery_code_is_typed_unseen_at_a_terminal(
    monkeypatch: pytest.MonkeyPatch, code: str, *, is_terminal: bool
) -> None:
    line = io.StringIO("line\n")
    monkeypatch.setattr(line, "isatty", lambda: is_terminal)
    monkeypatch.setattr(sys, "stdin", line)
    monkeypatch.setattr("getpass.getpass", lambda _prompt: "unseen")

    assert code == cli_prompt.recovery_code()


def test_unlock_seals_the_code_that_was_typed(monkeypatch: pytest.MonkeyPatch) -> None:
    private = X25519PrivateKey.generate()
    offer = {"unlock_id": "unl_1", "public_key": sealing.as_text(private.public_key().public_bytes_raw()), "info": "i"}
    sent: list[str] = []

    def call(_method: str, path: str, body: Any = None) -> Any:
        if not path.endswith("open"):
            return offer
        sent.append(body["sealed_code"])
        return {"unlock_id": "unl_1", "agent_ids": [], "ends_at": ""}

    settings: Any = None
    monkeypatch.setattr(cli_remote, "of", lambda *_words: SimpleNamespace(call=call))
    monkeypatch.setattr(cli_prompt, "recovery_code", lambda: "typed\n")

    cli_unlock.run(settings, argparse.Namespace(hosts=[], minutes=5))

    assert b"typed" == CODE_SUITE.decrypt(base64.b64decode(sent[0]), private, b"i")


def test_lock_goes_on_when_an_unlock_has_ended_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    locked: list[str] = []

    def call(method: str, path: str) -> Any:
        if method == "GET":
            return {"items": [{"unlock_id": unlock_id} for unlock_id in ("gone", "there")]}
        if path.endswith("gone"):
            refusal = SaveOSError("There is no such unlock.")
            refusal.code = "not-found"
            raise refusal
        locked.append(path.rpartition("/")[2])
        return None

    settings: Any = None
    monkeypatch.setattr(cli_remote, "of", lambda *_words: SimpleNamespace(call=call))

    cli_unlock.lock(settings, argparse.Namespace())

    assert ["there"] == locked
