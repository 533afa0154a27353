"""What may become a tenant's recovery key."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import pytest

from saveos.errors import InvalidRequest, WrongCode
from saveos.tenants import kits, recovery
from saveos.tenants.model import Check
from tests.support.catalogues import World

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LOW_ORDER = "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"  # RFC 7748's reference, § 6.1


def encoded(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


@pytest.mark.parametrize(
    "text",
    ["", "?", encoded(b"k" * 31), encoded(b"k" * 33), encoded(bytes(32)), encoded(bytes.fromhex(LOW_ORDER))],
)
def test_key_that_nothing_can_be_sealed_to_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest):
        kits.parse_key(text)


def test_key_is_32_bytes() -> None:
    public_key = recovery.create()[1]

    assert public_key == kits.parse_key(encoded(public_key))


@pytest.mark.parametrize(
    "check",
    [
        Check(groups=(1, 1), salt=encoded(bytes(16)), proof_hash=encoded(bytes(32))),
        Check(groups=(1, 2), salt=encoded(bytes(15)), proof_hash=encoded(bytes(32))),
        Check(groups=(1, 2), salt=encoded(bytes(16)), proof_hash=encoded(bytes(31))),
        Check(groups=(1, 2), salt="?", proof_hash=encoded(bytes(32))),
    ],
)
def test_check_that_cannot_be_used_is_refused(check: Check) -> None:
    with pytest.raises(InvalidRequest):
        kits.require_check(check)


def test_check_of_a_code_can_be_used() -> None:
    kits.require_check(recovery.check_of(recovery.create()[0]))


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World.made(tmp_path)
    yield made
    made.close()


def rotated(world: World) -> tuple[str, bytes]:
    code, public_key = recovery.create()
    kits.rotate(world.database, world.principal, encoded(public_key), recovery.check_of(code))
    return code, public_key


def test_proof_of_a_key_that_was_replaced_meanwhile_confirms_nothing(world: World) -> None:
    _code, former = rotated(world)
    _code, present = rotated(world)

    assert not world.database.write(lambda connection: kits.note_proof(connection, world.principal, former))
    assert kits.state(world.database, world.principal).confirmed_at is None

    assert world.database.write(lambda connection: kits.note_proof(connection, world.principal, present))
    assert kits.state(world.database, world.principal).confirmed_at is not None


def test_code_of_another_kit_confirms_nothing(world: World) -> None:
    former, _public_key = rotated(world)
    code, _public_key = rotated(world)

    with pytest.raises(WrongCode):
        kits.confirm_by_code(world.database, world.principal, former, kits.note_proof)
    assert kits.confirm_by_code(world.database, world.principal, code, kits.note_proof).confirmed_at is not None


@pytest.mark.parametrize("proof", ["?", "é", ""])
def test_proof_that_cannot_be_read_is_refused(world: World, proof: str) -> None:
    rotated(world)

    with pytest.raises(InvalidRequest):
        kits.confirm(world.database, world.principal, proof, kits.note_proof)
