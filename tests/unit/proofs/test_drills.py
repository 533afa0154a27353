"""What the appliance believes of a drill, and what follows from it."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from saveos import clock
from saveos.agents import table as agents
from saveos.alerts import table as alerts
from saveos.alerts.model import AlertKind
from saveos.certificates import authority as authorities
from saveos.certificates import table as certificates
from saveos.jobs import table as jobs
from saveos.jobs.model import Job, State
from saveos.offsite.model import OffsiteState
from saveos.proofs import drills, table, table_drills
from saveos.protocol import AgentId, DrillMismatch, JobReport, Kind, Outcome, SignedDrill, TenantId
from tests.support.catalogues import World
from tests.support.proofs import Signer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from saveos.certificates.authority import Authority


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World.made(tmp_path / "data")


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return authorities.open_authority(tmp_path / "authority")


@pytest.fixture
def host(world: World, authority: Authority) -> Signer:
    signer = Signer.of(authority, world.add_host("atelier"), "atelier")
    know(world, signer)
    world.add_snapshot(signer.agent_id)
    return signer


def know(world: World, signer: Signer) -> None:
    world.database.write(
        lambda connection: certificates.insert_agent_certificate(
            connection, signer.issued, TenantId(world.tenant), AgentId(signer.agent_id), "hash"
        )
    )


def ordered(world: World, host: Signer, generation: int = 0) -> Job:
    copy = OffsiteState(agent_id=AgentId(host.agent_id), generation=generation, snapshot_at=clock.now())
    return world.database.write(
        lambda connection: drills.queue(
            connection, AgentId(host.agent_id), TenantId(world.tenant), "test", copy=copy if generation else None
        )
    )


def end(world: World, authority: Authority, job: Job, signed: SignedDrill) -> None:
    record_end = drills.ending(authority.root_pem)
    report = JobReport(outcome=Outcome.DONE, drill=signed)
    world.database.write(lambda connection: record_end(connection, job, State.DONE, report))


def nonce_of(job: Job) -> str:
    return str(job.order["drill"]["nonce"])


def proven_at(world: World, host: Signer) -> datetime | None:
    found = agents.get(world.database.read, host.agent_id)
    assert found is not None
    return found.proven_at


def unproven(world: World, host: Signer) -> dict[str, Any] | None:
    found = alerts.open_of_kind(world.database.read, TenantId(world.tenant), AgentId(host.agent_id), AlertKind.UNPROVEN)
    return found.evidence if found else None


def test_drill_that_a_host_signed_proves_it_once(world: World, authority: Authority, host: Signer) -> None:
    job = ordered(world, host)
    signed = host.sign(job.id, nonce_of(job))

    end(world, authority, job, signed)
    first = proven_at(world, host)
    end(world, authority, job, signed)  # reported twice

    assert first is not None
    assert proven_at(world, host) == first
    (drill,) = table_drills.find(world.database.read, TenantId(world.tenant))
    assert (drill.statement_text, drill.files_count, drill.is_good) == (signed.statement, 12, True)
    assert drill.chain_pem == host.issued.chain_pem


def test_drill_that_compared_nothing_proves_nothing(world: World, authority: Authority, host: Signer) -> None:
    job = ordered(world, host)

    end(world, authority, job, host.sign(job.id, nonce_of(job), files_count=0))

    assert proven_at(world, host) is None
    assert unproven(world, host) is None


def test_mismatch_opens_an_alert_that_a_good_drill_clears(world: World, authority: Authority, host: Signer) -> None:
    job = ordered(world, host)
    bad = DrillMismatch(path="srv/a", archive="archive", what="content")

    end(world, authority, job, host.sign(job.id, nonce_of(job), mismatches=(bad,), mismatches_count=1))

    assert proven_at(world, host) is None
    evidence = unproven(world, host)
    assert evidence is not None
    assert (evidence["host"], evidence["archives"], evidence["files"]) == ("atelier", ["archive"], ["srv/a"])
    assert table.check_of(world.database.read, AgentId(host.agent_id), TenantId(world.tenant)).is_asked
    job = ordered(world, host)
    end(world, authority, job, host.sign(job.id, nonce_of(job)))
    assert unproven(world, host) is None
    assert proven_at(world, host) is not None


def test_mismatches_that_are_named_but_not_counted_count(world: World, authority: Authority, host: Signer) -> None:
    job = ordered(world, host)
    bad = DrillMismatch(path="srv/a", archive="archive", what="content")

    end(world, authority, job, host.sign(job.id, nonce_of(job), mismatches=(bad,), mismatches_count=0))

    assert proven_at(world, host) is None


def test_drill_out_of_the_copy_says_nothing_of_the_repository(world: World, authority: Authority, host: Signer) -> None:
    job = ordered(world, host, 5)

    end(world, authority, job, host.sign(job.id, nonce_of(job), copy_generation=5))

    assert Kind.OFFSITE_DRILL is job.kind
    (drill,) = table_drills.find(world.database.read, TenantId(world.tenant))
    assert (True, 5) == (drill.is_good, drill.statement.copy_generation)
    assert proven_at(world, host) is None


def test_alert_about_the_copy_ends_with_a_good_drill_out_of_the_copy_alone(
    world: World, authority: Authority, host: Signer
) -> None:
    bad = {"mismatches": (DrillMismatch(path="srv/a", archive="archive", what="damaged"),), "mismatches_count": 1}

    def drilled(generation: int, **facts: Any) -> dict[str, Any] | None:
        job = ordered(world, host, generation)
        end(world, authority, job, host.sign(job.id, nonce_of(job), copy_generation=generation, **facts))
        return unproven(world, host)

    evidence = drilled(5, **bad)
    assert evidence is not None
    assert 5 == evidence["copy"]
    [verification] = jobs.waiting_of(world.database.read, AgentId(host.agent_id), Kind.OFFSITE_VERIFY)
    assert {"share": 1.0} == verification.order
    assert not table.check_of(world.database.read, AgentId(host.agent_id), TenantId(world.tenant)).is_asked
    assert evidence == drilled(0)
    evidence = drilled(0, **bad)  # the repository's own is the worse, and stands before it
    assert evidence is not None
    assert "copy" not in evidence
    assert evidence == drilled(5)
    assert drilled(0) is None


def spoilt(signed: SignedDrill) -> SignedDrill:
    raw = bytearray(base64.b64decode(signed.signature))
    raw[-1] ^= 1
    return msgspec.structs.replace(signed, signature=base64.b64encode(raw).decode())


# How each is forged: from the host, the job's id and nonce, and another host of the same authority.
FORGED: dict[str, Callable[[Signer, Job, Signer], SignedDrill]] = {
    "nonce": lambda host, job, _other: host.sign(job.id, "00" * 32),
    "generation": lambda host, job, _other: host.sign(job.id, nonce_of(job), copy_generation=3),
    "job": lambda host, job, _other: host.sign("job_another", nonce_of(job)),
    "agent": lambda host, job, other: host.sign(job.id, nonce_of(job), agent_id=AgentId(other.agent_id)),
    "hostname": lambda host, job, _other: host.sign(job.id, nonce_of(job), hostname="bureau"),
    "signature": lambda host, job, _other: spoilt(host.sign(job.id, nonce_of(job))),
    "other host": lambda _host, job, other: other.sign(job.id, nonce_of(job)),
    "statement": lambda host, job, _other: changed(host.sign(job.id, nonce_of(job)), "statement", "12", "13"),
    "no json": lambda host, job, _other: msgspec.structs.replace(host.sign(job.id, nonce_of(job)), statement="\0"),
    "no chain": lambda host, job, _other: changed(host.sign(job.id, nonce_of(job)), "certificate", "M", ""),
    "other key": lambda host, job, other: msgspec.structs.replace(
        host.sign(job.id, nonce_of(job)), certificate=other.issued.chain_pem
    ),
}


def changed(signed: SignedDrill, field: str, what: str, by: str) -> SignedDrill:
    return msgspec.structs.replace(signed, **{field: getattr(signed, field).replace(what, by)})


@pytest.mark.parametrize("how", FORGED)
def test_what_a_host_did_not_sign_for_this_order_is_not_believed(
    world: World, authority: Authority, host: Signer, how: str
) -> None:
    job = ordered(world, host)
    other = Signer.of(authority, world.add_host("other"), "other")
    know(world, other)

    end(world, authority, job, FORGED[how](host, job, other))

    assert_not_believed(world, host, job)


@pytest.mark.parametrize("how", ["another authority", "revoked", "expired", "unknown"])
def test_certificate_that_is_none_of_the_host_now_is_not_believed(
    world: World, authority: Authority, host: Signer, tmp_path: Path, how: str
) -> None:
    job = ordered(world, host)
    signer = host
    if how == "another authority":
        signer = Signer.of(authorities.open_authority(tmp_path / "foreign"), host.agent_id, host.hostname)
        know(world, signer)
    elif how == "unknown":
        signer = Signer.of(authority, host.agent_id, host.hostname)
    elif how == "revoked":
        world.database.write(lambda connection: certificates.revoke_all(connection, AgentId(host.agent_id)))
    else:
        clock.set_source(lambda: datetime.now(UTC) + timedelta(days=100))

    try:
        end(world, authority, job, signer.sign(job.id, nonce_of(job)))
    finally:
        clock.set_source(None)

    assert_not_believed(world, host, job)


def assert_not_believed(world: World, host: Signer, job: Job) -> None:
    assert proven_at(world, host) is None
    assert table_drills.find(world.database.read, TenantId(world.tenant)) == []
    evidence = unproven(world, host)
    assert evidence is not None
    assert evidence["reason"] == "not-genuine"
    ended = jobs.get(world.database.read, job.id)
    assert ended is not None
    assert (ended.state, ended.error_code) == (State.FAILED, "drill-not-genuine")
