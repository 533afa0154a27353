"""What is open to everybody keeps nobody from coming back: challenges of strangers."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from saveos.agent.recovery_code import RecoveryCode
from saveos.errors import InvalidRequest, NotAuthenticated, TooMany
from saveos.protocol import RecoveryProof
from saveos.repositories import sealing
from saveos.snapshots import recovery as recoveries
from saveos.snapshots import table_recovery
from saveos.tenants import kits, recovery
from saveos.tenants.model import MadeBy
from tests.ui import board

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from saveos.parts import Parts


@pytest.fixture
def parts(tmp_path: Path) -> Iterator[Parts]:
    with board.appliance(tmp_path) as made:
        yield made


def strangers_key() -> str:
    return base64.b64encode(X25519PrivateKey.generate().public_key().public_bytes_raw()).decode()


def test_challenges_to_keys_that_nobody_has_take_no_room(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recoveries, "LIVE_LIMIT", 2)
    code, public_key = recovery.create()
    tenant_id = board.sign_in(parts)[0].tenant_id
    parts.database.write(lambda connection: kits.keep(connection, tenant_id, public_key, None, MadeBy.APPLIANCE))
    own = sealing.as_text(public_key)

    strange = [recoveries.challenge(parts.database, strangers_key(), f"192.0.2.{number}") for number in range(5)]
    asked = recoveries.challenge(parts.database, own, "192.0.2.9")

    assert {len(asked.sealed)} == {len(one.sealed) for one in strange}
    assert {len(asked.challenge_id)} == {len(one.challenge_id) for one in strange}
    assert 1 == table_recovery.live_count(parts.database.read)
    proof = RecoveryProof(challenge_id=asked.challenge_id, secret=RecoveryCode(code).answer(asked))
    assert () == recoveries.hosts(parts.database, proof)
    for one in strange:
        with pytest.raises(NotAuthenticated):
            recoveries.hosts(parts.database, RecoveryProof(challenge_id=one.challenge_id, secret=proof.secret))

    recoveries.challenge(parts.database, own, "192.0.2.10")
    with pytest.raises(TooMany):
        recoveries.challenge(parts.database, own, "192.0.2.11")


def test_address_that_asks_for_strangers_too_often_waits(parts: Parts) -> None:
    for _ in range(5):
        recoveries.challenge(parts.database, strangers_key(), "192.0.2.1")

    with pytest.raises(TooMany):
        recoveries.challenge(parts.database, strangers_key(), "192.0.2.1")


def test_challenge_to_a_point_that_no_key_has_is_none(parts: Parts) -> None:
    with pytest.raises(InvalidRequest):
        recoveries.challenge(parts.database, base64.b64encode(bytes(32)).decode(), "192.0.2.1")
