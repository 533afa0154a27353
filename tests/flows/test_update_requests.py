"""Asking hosts to update themselves: who is asked, who is passed over, and what waits for a build."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from saveos import __version__, clock
from saveos.agents import heartbeat
from saveos.agents import table as agents
from saveos.agents.model import AgentIdentity, AgentState
from saveos.errors import AlreadyCurrent, Conflict, NotAllowed, NotFound, NotUpdatable
from saveos.identity.principals import Role
from saveos.installers import bases, updates
from saveos.installers.updates import Asked, Offer, has_update
from saveos.jobs import lifecycle
from saveos.jobs import table as jobs
from saveos.jobs.model import JobChoice, NewJob, RunsOn, State
from saveos.protocol import AgentId, JobId, JobReport, Kind, Outcome, Platform
from tests.support.big_fleet import plant
from tests.support.host import WireHost
from tests.ui import board

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator
    from pathlib import Path

    from saveos.agents.heartbeat import Wanted
    from saveos.agents.model import Agent
    from saveos.identity.principals import Principal
    from saveos.jobs.model import Job
    from saveos.parts import Parts
    from tests.support.appliance import Appliance

CONTENT = b"the executable of today"
TODAY = hashlib.sha256(CONTENT).hexdigest()
FORMER = "0" * 64
OFFER = Offer(version="1.2.0", sha256=TODAY, size_bytes=10)


@pytest.fixture
def parts(tmp_path: Path) -> Iterator[Parts]:
    with board.appliance(tmp_path) as made:
        plant(made.settings.database, 4, 0)
        execute(made, f"UPDATE agents SET build = '{FORMER}'")
        yield made


@pytest.fixture
def principal(parts: Parts) -> Principal:
    return board.sign_in(parts)[0]


def execute(parts: Parts, statement: str) -> None:
    parts.database.write(lambda connection: connection.execute(statement) and None)


def put_base(parts: Parts) -> None:
    parts.settings.bases.mkdir(exist_ok=True)
    (parts.settings.bases / bases.name_of(Platform.LINUX)).write_bytes(CONTENT)


def agent_ids(parts: Parts) -> list[str]:
    return [row["id"] for row in parts.database.read.execute("SELECT id FROM agents ORDER BY id")]


def asked_jobs(parts: Parts, principal: Principal, kind: Kind = Kind.UPDATE) -> list[Job]:
    return lifecycle.look(parts.database, principal, JobChoice(kind=kind.value)).jobs


def an_agent(parts: Parts, **changes: Any) -> Agent:
    found = agents.get(parts.database.read, agent_ids(parts)[0])
    assert found is not None
    return msgspec.structs.replace(found, agent_version="1.1.0", build=FORMER, **changes)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, True),
        ({"agent_version": "1.2.0"}, True),
        ({"agent_version": "1.3.0"}, False),
        ({"build": ""}, False),
        ({"build": TODAY}, False),
        ({"state": "revoked"}, False),
        ({"platform": Platform.WINDOWS}, False),
    ],
)
def test_has_update_is_true_for_another_build_that_is_not_newer(
    parts: Parts, changes: dict[str, Any], *, expected: bool
) -> None:
    agent = msgspec.convert(msgspec.to_builtins(an_agent(parts)) | changes, type(an_agent(parts)))

    assert expected == has_update(agent, {Platform.LINUX: OFFER})


def test_request_many_asks_each_once_and_passes_the_others_over(parts: Parts, principal: Principal) -> None:
    put_base(parts)
    first, second, third, fourth = agent_ids(parts)
    execute(parts, f"UPDATE agents SET state = 'revoked' WHERE id = '{second}'")
    execute(parts, f"UPDATE agents SET build = '{TODAY}' WHERE id = '{third}'")
    execute(parts, f"UPDATE agents SET build = '' WHERE id = '{fourth}'")

    asked = [
        updates.request_many(parts.database, parts.settings, principal, [*agent_ids(parts), first, "agt_none"])
        for _ in range(2)
    ]

    assert [Asked(asked_count=1, skipped_count=4)] * 2 == asked
    assert [first] == [job.agent_id for job in asked_jobs(parts, principal)]
    order = asked_jobs(parts, principal)[0].order["update"]
    assert {"sha256": TODAY, "size_bytes": len(CONTENT), "version": __version__} == order


def test_request_of_one_says_why_it_cannot_be(parts: Parts, principal: Principal) -> None:
    put_base(parts)
    first, second, third, fourth = agent_ids(parts)
    execute(parts, f"UPDATE agents SET state = 'revoked' WHERE id = '{second}'")
    execute(parts, f"UPDATE agents SET build = '{TODAY}' WHERE id = '{third}'")
    execute(parts, f"UPDATE agents SET build = '' WHERE id = '{fourth}'")

    for agent_id, refusal in (
        (second, Conflict),
        (third, AlreadyCurrent),
        (fourth, NotUpdatable),
        ("agt_no", NotFound),
    ):
        with pytest.raises(refusal):
            updates.request(parts.database, parts.settings, principal, agent_id)
    made = [updates.request(parts.database, parts.settings, principal, first) for _ in range(2)]
    assert made[0].id == made[1].id


@pytest.mark.parametrize(("role", "may"), [(Role.VIEWER, False), (Role.OPERATOR, True)])
def test_request_needs_the_right_to_hand_out_executables(
    parts: Parts, principal: Principal, role: Role, *, may: bool
) -> None:
    put_base(parts)
    somebody = msgspec.structs.replace(principal, role=role)

    if may:
        updates.request(parts.database, parts.settings, somebody, agent_ids(parts)[0])
    else:
        for ids in ([], agent_ids(parts)):
            with pytest.raises(NotAllowed):
                updates.request_many(parts.database, parts.settings, somebody, ids)


def test_request_of_another_tenants_host_finds_none(parts: Parts, principal: Principal) -> None:
    put_base(parts)
    other = msgspec.structs.replace(principal, tenant_id="ten_other")

    with pytest.raises(NotFound):
        updates.request(parts.database, parts.settings, other, agent_ids(parts)[0])


@pytest.mark.parametrize("is_built", [True, False])
def test_request_before_the_executable_is_built_waits_for_the_end_of_the_build(
    parts: Parts, principal: Principal, *, is_built: bool
) -> None:
    asked = updates.request_many(parts.database, parts.settings, principal, agent_ids(parts))

    build = asked_jobs(parts, principal, Kind.BUILD_AGENT)[0]
    assert (4, build.id) == (asked.asked_count, asked.build_job_id)
    held = asked_jobs(parts, principal)
    assert {None} == {job.order["update"] for job in held}
    assert all(job.not_before > clock.now() for job in held)

    if is_built:
        put_base(parts)
    report = JobReport(outcome=Outcome.DONE if is_built else Outcome.FAILED, error_code="", message="no linker")
    parts.database.write(
        lambda connection: (
            jobs.claim(connection, build.id, "appliance", clock.now())
            and lifecycle.finish(
                connection, build.id, None, msgspec.structs.replace(report, error_code="build-failed"), parts.endings
            )
        )
    )

    ended = asked_jobs(parts, principal)
    if is_built:
        assert {TODAY} == {job.order["update"]["sha256"] for job in ended}
        assert {State.QUEUED} == {job.state for job in ended}
        assert all(job.not_before <= clock.now() for job in ended)
    else:
        assert {(State.FAILED, "build-failed", "no linker")} == {
            (job.state, job.error_code, job.message) for job in ended
        }


@pytest.mark.parametrize("way", ["cancelled", "reaped", "restarted"])
def test_updates_that_wait_end_with_their_build_however_it_ends(parts: Parts, principal: Principal, way: str) -> None:
    updates.request_many(parts.database, parts.settings, principal, agent_ids(parts))
    build = asked_jobs(parts, principal, Kind.BUILD_AGENT)[0]

    if way == "cancelled":
        lifecycle.cancel(parts.database, principal, build.id, parts.endings)
    else:
        execute(parts, f"UPDATE jobs SET attempts_limit = 1 WHERE id = '{build.id}'")
        parts.database.write(lambda connection: jobs.claim(connection, build.id, "appliance", clock.now()))
        if way == "reaped":
            lifecycle.reap(parts.database, parts.endings)
        else:
            lifecycle.resume(parts.database, 60, parts.endings)

    ended = [(job.state, job.error_code) for job in asked_jobs(parts, principal)]
    assert [(State.FAILED, "build-failed")] * 4 == ended


def test_update_whose_build_is_never_heard_of_is_not_handed_out(parts: Parts, principal: Principal) -> None:
    host = AgentIdentity(
        agent_id=AgentId(agent_ids(parts)[0]),
        tenant_id=principal.tenant_id,
        hostname="web01",
        serial="1",
        is_renewal_due=False,
        state=AgentState.READY,
    )
    updates.request_many(parts.database, parts.settings, principal, [host.agent_id])
    held = asked_jobs(parts, principal)[0]
    backup = JobId("job_after_it")

    def come(connection: sqlite3.Connection) -> Wanted:
        return heartbeat.claim(connection, host, 60, parts.endings)

    assert parts.database.write(come).assignment is None
    assert State.QUEUED is lifecycle.get(parts.database, principal, held.id).state
    execute(parts, f"UPDATE jobs SET not_before = '2020-01-01T00:00:00.000000Z' WHERE id = '{held.id}'")
    order = NewJob(
        id=backup,
        tenant_id=host.tenant_id,
        agent_id=host.agent_id,
        kind=Kind.BACKUP,
        runs_on=RunsOn.HOST,
        order={},
        requested_by="system:schedule",
    )
    parts.database.write(lambda connection: lifecycle.request(connection, order))
    got = parts.database.write(come).assignment

    ended = lifecycle.get(parts.database, principal, held.id)
    assert (State.FAILED, "build-failed") == (ended.state, ended.error_code)
    assert backup == (got and got.job_id)


def test_executable_is_sent_from_where_it_is_wanted_and_to_hosts_only(
    shared_appliance: Appliance, tmp_path: Path
) -> None:
    host = WireHost.enrolled(shared_appliance, tmp_path)
    base = next((shared_appliance.data / "bases").glob("saveos-agent-linux-*")).read_bytes()
    path = f"/api/v1/agents/self/executable?sha256={hashlib.sha256(base).hexdigest()}"

    assert base == host.call("GET", path).expect(200)
    rest = ranged(host, path, f"bytes={len(base) - 100}-")
    assert base[-100:] == rest.expect(206)
    assert f"bytes {len(base) - 100}-{len(base) - 1}/{len(base)}" == rest.headers["content-range"]
    for odd in ("bytes=0-", "bytes=5-9", "bytes=-9", f"bytes={len(base)}-", "lines=3-", "bytes=" + "9" * 30 + "-"):
        assert len(base) == len(ranged(host, path, odd).expect(200))
    assert "not-found" == host.call("GET", f"/api/v1/agents/self/executable?sha256={FORMER}").expect(404)["code"]
    assert "invalid-request" == host.call("GET", path[:-1]).expect(400)["code"]
    assert "not-authenticated" == shared_appliance.call("GET", path).expect(401)["code"]


def ranged(host: WireHost, path: str, wanted: str) -> Any:
    context = host.appliance.context(host.folder / "agent.pem", host.folder / "agent.key")
    return host.appliance.call(
        "GET", path, headers={"range": wanted}, token=host.token, name="agent.saveos.internal", context=context
    )


def test_update_is_asked_for_by_rest_and_by_the_command_line(shared_appliance: Appliance, tmp_path: Path) -> None:
    host = WireHost.enrolled(shared_appliance, tmp_path, "by-hand")
    host.make_ready()
    host.heartbeat(running_job="job_none", build="f" * 64)
    assert shared_appliance.call("GET", f"/api/v1/agents/{host.id}").expect(200)["has_update"]

    made = shared_appliance.call("POST", f"/api/v1/agents/{host.id}/update").expect(202)
    asked = shared_appliance.call("POST", "/api/v1/agents/update", {"agent_ids": [host.id, "agt_none"]}).expect(202)
    said = shared_appliance.cli("agent", "update", "by-hand")

    assert "update" == made["kind"]
    assert {"asked_count": 1, "skipped_count": 1, "build_job_id": None} == asked
    assert f'"job": "{made["id"]}"' in said.stdout
    assert 0 == said.returncode
    assert '"skipped_count"' in shared_appliance.cli("agent", "update", "--all").stdout
    assert "invalid-request" == shared_appliance.call("POST", "/api/v1/agents/update", {"agent_ids": []}).body["code"]
    assert 400 == host.call("POST", "/api/v1/agents/heartbeat", {"build": "no digest"}).status
    shared_appliance.call("POST", f"/api/v1/jobs/{made['id']}/cancel").expect(200)
