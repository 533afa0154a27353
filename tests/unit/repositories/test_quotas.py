"""How much a host may add, whose limit it is, and who may set one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from saveos import config
from saveos.errors import InvalidRequest, NotAllowed, NotFound
from saveos.identity.principals import Actor, Principal, Role, system
from saveos.protocol import AgentId, TenantId
from saveos.repositories import quota_model, quotas
from saveos.repositories.quota_model import HostUse, Quota, Scope, TenantUse
from saveos.stores import open_stores
from saveos.tenants import users

if TYPE_CHECKING:
    from collections.abc import Iterator

    from saveos.database.connection import Database


def host(hard: int, used: int) -> HostUse:
    return HostUse(
        agent_id=AgentId("agt"),
        tenant_id=TenantId("ten"),
        hostname="host",
        used_bytes=used,
        quarantine_bytes=0,
        hard_bytes=hard,
    )


def tenant(hard: int, used: int) -> TenantUse:
    return TenantUse(tenant_id=TenantId("ten"), stored_bytes=used, quarantine_bytes=0, used_bytes=used, hard_bytes=hard)


@pytest.mark.parametrize(
    ("own", "all_hosts", "others", "expected"),
    [
        (host(0, 50), tenant(0, 500), 0, None),
        (host(100, 40), tenant(0, 500), 0, 60),
        (host(0, 40), tenant(600, 500), 30, 70),
        (host(100, 40), tenant(600, 590), 0, 10),
        (host(100, 140), tenant(0, 500), 0, 0),
        (host(100, 40), tenant(600, 590), 30, 0),
    ],
)
def test_room_is_what_the_narrower_limit_leaves(
    own: HostUse, all_hosts: TenantUse, others: int, expected: int | None
) -> None:
    assert expected == quota_model.room(own, all_hosts, others)


def test_reached_names_the_narrower_limit() -> None:
    assert Scope.HOST is quota_model.reached(host(100, 99), tenant(600, 10)).scope
    assert Scope.TENANT is quota_model.reached(host(100, 10), tenant(600, 599)).scope
    assert Scope.TENANT is quota_model.reached(host(0, 10), tenant(600, 599)).scope


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    settings = config.load({"data": str(tmp_path_factory.mktemp("quotas"))}, {})
    with open_stores(settings) as stores:
        users.create_administrator(stores.database, "anna@example.org", "correct horse battery", "en", lambda *_: None)
        yield stores.database


def test_limits_are_set_by_administrators_of_their_own_tenant_alone(database: Database) -> None:
    tenant_id = users.default_tenant(database)
    operator = Principal(actor=Actor.USER, id="usr", tenant_id=tenant_id, role=Role.OPERATOR)

    with pytest.raises(NotAllowed):
        quotas.set_tenant(database, operator, Quota(hard_bytes=1))
    with pytest.raises(NotAllowed):
        quotas.set_host(database, operator, "agt_1", Quota(hard_bytes=1))
    with pytest.raises(NotFound):
        quotas.of_host(database, system(tenant_id), "agt_of_somebody_else")
    with pytest.raises(InvalidRequest):
        quotas.set_tenant(database, system(tenant_id), Quota(soft_bytes=2, hard_bytes=1))
    use = quotas.set_tenant(database, system(tenant_id), Quota(soft_bytes=1, hard_bytes=2))
    assert (1, 2, 0) == (use.tenant.soft_bytes, use.tenant.hard_bytes, use.tenant.used_bytes)
    assert quotas.of_tenant(database, operator) == use
