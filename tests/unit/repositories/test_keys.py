"""What a host may hand over as its sealed key, and for how long that is kept."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import pytest

from saveos.agents.model import AgentIdentity, AgentState
from saveos.errors import Conflict
from saveos.identity.principals import system
from saveos.protocol import AgentId, EscrowRequest, TenantId
from saveos.repositories import keys, sealing, table_keys
from saveos.tenants import kits, recovery
from tests.support.catalogues import World

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from saveos.identity.principals import Principal

SEALED = base64.b64encode(b"s" * 100).decode()
ENROLLED = b"k" * 32  # the recovery key when the host enrolled


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A tenant with a recovery key, and a host that enrolled since."""
    made = World.made(tmp_path)
    made.database.write(
        lambda connection: connection.execute("UPDATE tenants SET recovery_public_key = ?", (ENROLLED,))
    )
    made.add_host("a")
    made.database.write(
        lambda connection: connection.execute(
            "INSERT INTO repositories (id, tenant_id, agent_id, state, created_at)"
            " SELECT 'rep_a', tenant_id, id, 'new', enrolled_at FROM agents"
        )
    )
    yield made
    made.close()


def host(world: World) -> AgentIdentity:
    return AgentIdentity(
        agent_id=AgentId("agt_a"), tenant_id=TenantId(world.tenant), hostname="a", serial="1", is_renewal_due=False,
        state=AgentState.READY,
    )  # fmt: skip


def hand_over(world: World, public_key: str = "") -> bool:
    request = EscrowRequest(sealed=SEALED, repository_id="ab" * 32, public_key=public_key)
    return world.database.write(lambda connection: keys.keep(connection, world.settings, host(world), request))


def rotated(world: World, principal: Principal) -> tuple[str, str]:
    code, public_key = recovery.create()
    text = sealing.as_text(public_key)
    kits.rotate(world.database, principal, text, recovery.check_of(code))
    return code, text


def test_host_that_names_no_key_has_sealed_to_that_of_its_enrolment(world: World) -> None:
    assert hand_over(world)


@pytest.mark.parametrize("named", ["", "é", sealing.as_text(ENROLLED)])
def test_host_that_does_not_name_the_new_key_has_not_sealed_to_it(world: World, named: str) -> None:
    _code, present = rotated(world, world.principal)

    with pytest.raises(Conflict):
        hand_over(world, named)
    assert hand_over(world, present)


def sealed_to(world: World) -> set[bytes]:
    return set(table_keys.purposes(world.database.read, "agt_a"))


def confirm(world: World, code: str) -> None:
    kits.confirm_by_code(world.database, world.principal, code, keys.note_proof)


def test_former_seal_is_kept_until_the_new_kit_is_confirmed(world: World) -> None:
    hand_over(world)
    _lost, lost_key = rotated(world, world.principal)
    hand_over(world, lost_key)
    code, present = rotated(world, world.principal)
    hand_over(world, present)
    all_three = {ENROLLED, *(base64.b64decode(key) for key in (lost_key, present))}
    assert all_three == sealed_to(world)

    confirm(world, code)

    assert {base64.b64decode(present)} == sealed_to(world)


def test_host_that_seals_after_the_kit_was_confirmed_keeps_no_former_seal(world: World) -> None:
    hand_over(world)
    code, present = rotated(world, world.principal)
    confirm(world, code)
    assert {ENROLLED} == sealed_to(world)

    hand_over(world, present)

    assert {base64.b64decode(present)} == sealed_to(world)


def test_seals_of_another_tenant_stay_when_a_kit_is_confirmed(world: World) -> None:
    hand_over(world)
    world.add_tenant("ten_2")
    code, public_key = recovery.create()
    other = system(TenantId("ten_2"))
    kits.rotate(world.database, other, sealing.as_text(public_key), recovery.check_of(code))

    kits.confirm_by_code(world.database, other, code, keys.note_proof)

    assert {ENROLLED} == sealed_to(world)
