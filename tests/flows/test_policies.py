"""Policies by REST: made, changed, given to hosts, taken away; each change is in the audit log."""

from __future__ import annotations

import json
import sqlite3
from datetime import datetime
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pytest

from tests.support.host import WireHost

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.appliance import Appliance

POLICIES = "/api/v1/policies"
TERMS: dict[str, Any] = {"name": "Servers", "sources": ["/srv", "C:\\Data"], "excludes": ["sh:**/*.iso"]}


@pytest.fixture
def policy(shared_appliance: Appliance) -> dict[str, Any]:
    """A policy of its own; the default is the one that the appliance began with."""
    taken = {item["name"] for item in shared_appliance.call("GET", POLICIES).expect(200)["items"]}
    name = next(name for number in range(99) if (name := f"Servers {number}") not in taken)
    made: dict[str, Any] = shared_appliance.call("POST", POLICIES, {**TERMS, "name": name}).expect(201)
    return made


def told(appliance: Appliance, target: str) -> list[tuple[str, Any]]:
    with sqlite3.connect(appliance.data / "saveos.db") as connection:
        rows = connection.execute("SELECT action, detail_json FROM audit WHERE target = ? ORDER BY id", (target,))
        return [(action, json.loads(detail)) for action, detail in rows]


def default_of(appliance: Appliance) -> dict[str, Any]:
    items = appliance.call("GET", POLICIES).expect(200)["items"]
    return next(item for item in items if item["is_default"])


def host(appliance: Appliance, folder: Path, name: str) -> WireHost:
    made = WireHost.enrolled(appliance, folder / name, name)
    made.make_ready()
    made.heartbeat(time_zone="America/New_York")
    return made


def test_policy_is_made_with_the_defaults_of_what_is_not_said(
    shared_appliance: Appliance, policy: dict[str, Any]
) -> None:
    shown = shared_appliance.call("GET", f"{POLICIES}/{policy['id']}").expect(200)

    assert policy == shown
    assert (TERMS["sources"], "0 2 * * *", 7, 0, False) == (
        shown["sources"],
        shown["schedule"],
        shown["retention"]["keep_daily"],
        shown["agents_count"],
        shown["is_default"],
    )
    assert ["policy-created"] == [action for action, _detail in told(shared_appliance, policy["id"])]


def test_policy_keeps_its_span_and_its_maintenance_window(shared_appliance: Appliance, policy: dict[str, Any]) -> None:
    wanted = {"name": policy["name"], "retention": {"keep_within_hours": 72}, "maintenance": "22:00-04:00"}

    shown = shared_appliance.call("PUT", f"{POLICIES}/{policy['id']}", wanted).expect(200)

    assert ("03:00-07:00", 0) == (policy["maintenance"], policy["retention"]["keep_within_hours"])
    assert (72, "22:00-04:00") == (shown["retention"]["keep_within_hours"], shown["maintenance"])
    for wrong in ({"retention": {"keep_within_hours": 87_601}}, {"maintenance": "3-7"}, {"maintenance": "03:00-25:00"}):
        assert 400 == shared_appliance.call("PUT", f"{POLICIES}/{policy['id']}", {**wanted, **wrong}).status


def test_policy_of_a_taken_name_is_refused(shared_appliance: Appliance, policy: dict[str, Any]) -> None:
    answer = shared_appliance.call("POST", POLICIES, {"name": f" {policy['name']} "})

    assert (409, "conflict", [{"field": "name"}]) == (answer.status, answer.body["code"], answer.body["fields"])


@pytest.mark.parametrize(
    ("value", "field"),
    [
        ({"sources": ["srv"]}, "sources"),
        ({"excludes": ["re:("]}, "excludes"),
        ({"schedule": "now and then"}, "schedule"),
        ({"time_zone": "Nowhere"}, "time_zone"),
    ],
)
def test_policy_with_a_wrong_value_is_refused_and_changes_nothing(
    shared_appliance: Appliance, policy: dict[str, Any], value: dict[str, Any], field: str
) -> None:
    answer = shared_appliance.call("PUT", f"{POLICIES}/{policy['id']}", {"name": "Other", **value})

    assert (400, [{"field": field}]) == (answer.status, answer.body["fields"])
    assert policy == shared_appliance.call("GET", f"{POLICIES}/{policy['id']}").expect(200)


def test_changed_schedule_moves_the_next_backups_of_its_hosts_in_their_own_zone(
    shared_appliance: Appliance, policy: dict[str, Any], tmp_path: Path
) -> None:
    machine = host(shared_appliance, tmp_path, "zoned-01")
    path = f"/api/v1/agents/{machine.id}/policy"
    shown = shared_appliance.call("PUT", path, {"policy_id": policy["id"]}).expect(200)
    assert policy["id"] == shown["policy_id"]

    changed = shared_appliance.call("PUT", f"{POLICIES}/{policy['id']}", {**TERMS, "schedule": "30 5 * * *"})

    assert 1 == changed.expect(200)["agents_count"]
    agent = shared_appliance.call("GET", f"/api/v1/agents/{machine.id}").expect(200)
    at = datetime.fromisoformat(agent["next_backup_at"]).astimezone(ZoneInfo("America/New_York"))
    assert (5, 30) == (at.hour, at.minute)
    action, detail = told(shared_appliance, policy["id"])[-1]
    assert ("policy-changed", {"name", "schedule"}) == (action, set(detail["fields"]))


def test_duplicate_has_the_same_terms_and_a_name_of_its_own(
    shared_appliance: Appliance, policy: dict[str, Any]
) -> None:
    twin = shared_appliance.call("POST", f"{POLICIES}/{policy['id']}/duplicate").expect(201)

    assert f"{policy['name']} (2)" == twin["name"]
    assert {**policy, "id": twin["id"], "name": twin["name"]} == twin


def test_policy_of_hosts_is_not_deleted_until_they_have_left(
    shared_appliance: Appliance, policy: dict[str, Any], tmp_path: Path
) -> None:
    default = default_of(shared_appliance)["id"]
    shared_appliance.call("PUT", f"{POLICIES}/{policy['id']}/default").expect(200)
    machine = host(shared_appliance, tmp_path, "leaving-01")
    shared_appliance.call("POST", "/api/v1/agents/provision", {"hostname": "coming-01"}).expect(201)
    assert 409 == shared_appliance.call("DELETE", f"{POLICIES}/{policy['id']}").status  # the default
    shared_appliance.call("PUT", f"{POLICIES}/{default}/default").expect(200)
    assert 409 == shared_appliance.call("DELETE", f"{POLICIES}/{policy['id']}").status  # of a host
    shared_appliance.call("DELETE", f"/api/v1/agents/{machine.id}").expect(200)
    assert 409 == shared_appliance.call("DELETE", f"{POLICIES}/{policy['id']}").status  # of one on its way
    with sqlite3.connect(shared_appliance.data / "saveos.db", timeout=10) as connection:
        connection.execute("UPDATE provisionings SET expires_at = '2020-01-01T00:00:00.000000Z' WHERE spent_at IS NULL")

    shared_appliance.call("DELETE", f"{POLICIES}/{policy['id']}").expect(204)

    assert 404 == shared_appliance.call("GET", f"{POLICIES}/{policy['id']}").status
    revoked = shared_appliance.call("GET", f"/api/v1/agents/{machine.id}").expect(200)
    assert default == revoked["policy_id"]


def test_revoked_host_gets_no_policy(shared_appliance: Appliance, policy: dict[str, Any], tmp_path: Path) -> None:
    machine = host(shared_appliance, tmp_path, "gone-01")
    shared_appliance.call("DELETE", f"/api/v1/agents/{machine.id}").expect(200)

    path, body = f"/api/v1/agents/{machine.id}/policy", {"policy_id": policy["id"]}

    assert 409 == shared_appliance.call("PUT", path, body).status
    assert 404 == shared_appliance.call("PUT", "/api/v1/agents/agt_none/policy", body).status


def test_one_policy_is_the_default_and_new_hosts_get_it(shared_appliance: Appliance, policy: dict[str, Any]) -> None:
    before = default_of(shared_appliance)["id"]

    shared_appliance.call("PUT", f"{POLICIES}/{policy['id']}/default").expect(200)

    items = shared_appliance.call("GET", POLICIES).expect(200)["items"]
    assert [policy["id"]] == [item["id"] for item in items if item["is_default"]]
    right = shared_appliance.call("POST", "/api/v1/agents/provision", {"hostname": "new-01"}).expect(201)
    assert policy["id"] == right["provisioning"]["policy_id"]
    shared_appliance.call("PUT", f"{POLICIES}/{before}/default").expect(200)
