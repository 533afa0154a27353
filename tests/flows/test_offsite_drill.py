"""A restore drill out of the offsite copy: a real host reads it, though nothing of the repository is left here."""

from __future__ import annotations

import contextlib
import os
import shutil
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import msgspec
import pytest

from saveos import config
from saveos.alerts.model import AlertKind
from saveos.alerts.table import open_of_kind
from saveos.database.connection import Database
from saveos.identity.principals import system
from saveos.offsite import orders as offsite_orders
from saveos.offsite import stores
from saveos.proofs import drills
from saveos.protocol import TenantId
from tests.support.agent import RealAgent, back_up_only, database, put_base
from tests.support.appliance import Appliance, wait_until
from tests.support.s3 import SECRET
from tests.support.s3_line import line_to

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from saveos.offsite.model import Store
    from tests.support.s3 import Weed
    from tests.support.s3_line import Line


@pytest.fixture
def appliance(tmp_path: Path) -> Iterator[Appliance]:
    with Appliance.started(tmp_path / "appliance") as appliance:
        appliance.set_up()
        put_base(appliance)
        yield appliance


@pytest.fixture
def line(s3: Weed) -> Iterator[Line]:
    with line_to(s3.port) as line:
        yield line


@contextlib.contextmanager
def verbs(appliance: Appliance) -> Iterator[Any]:
    """Give settings, database and administrator, as the command line has them beside a serving process."""
    settings = config.load({"data": str(appliance.data)}, {})
    opened = Database(settings.database)
    try:
        tenant_id = opened.read.execute("SELECT id FROM tenants").fetchone()["id"]
        yield settings, opened, system(TenantId(tenant_id), "test")
    finally:
        opened.close()


def test_drill_out_of_the_copy_proves_it_whatever_became_of_the_repository(
    appliance: Appliance, s3: Weed, line: Line, tmp_path: Path
) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    for number in range(6):
        (tree / f"large {number}").write_bytes(os.urandom(700_000))
    back_up_only(appliance, tree)
    with database(appliance) as connection:
        connection.execute("UPDATE policies SET schedule = ''")
    with verbs(appliance) as (settings, opened, principal):
        place = s3.place(s3.bucket(), endpoint=line.endpoint)
        store = stores.keep_store(opened, settings, principal, place, SECRET)
        host = RealAgent.enrolled(appliance, tmp_path / "host", hostname="host")
        host.start_daemon()
        try:
            host.first_backup()
            state = wait_until(
                lambda: (now := offsite_orders.of_host(opened, principal, host.id)).generation and now, 60, "a copy"
            )
            paused = msgspec.structs.replace(store.place, is_enabled=False)
            stores.keep_store(opened, settings, principal, paused, None)
            (tree / "later").write_bytes(os.urandom(50_000))
            assert appliance.wait_for_job(host.back_up())["state"] == "done"  # its host has seen a newer manifest
            proven_at = appliance.call("GET", f"/api/v1/agents/{host.id}").expect(200)["proven_at"]
            hand_key_over(appliance, host)
            shutil.rmtree(host.repository)

            job = drills.request(opened, principal, host.id, is_of_copy=True)

            assert appliance.wait_for_job(job.id)["state"] == "done"
            drill = drills.of_job(opened, principal, job.id)
            assert state.generation == drill.statement.copy_generation
            assert drill.is_good
            assert proven_at == appliance.call("GET", f"/api/v1/agents/{host.id}").expect(200)["proven_at"]

            assert_read_out_of_the_copy(appliance, host, state.generation, tree)
            line.fault, line.every = "dead", 1
            job = drills.request(opened, principal, host.id, is_of_copy=True)

            ended = appliance.wait_for_job(job.id)
            assert "failed" == ended["state"]
            assert "drill-failed" != ended["error_code"]  # a store that is away is no verdict
            assert open_of_kind(opened.read, principal.tenant_id, host.id, AlertKind.UNPROVEN) is None

            line.fault = ""
            spoil(s3, store)
            job = drills.request(opened, principal, host.id, is_of_copy=True)

            assert appliance.wait_for_job(job.id)["state"] == "failed"
            alert = open_of_kind(opened.read, principal.tenant_id, host.id, AlertKind.UNPROVEN)
            assert alert is not None
            assert state.generation == alert.evidence["copy"]
            [verification] = [job for job in newest_jobs(appliance) if job["kind"] == "offsite-verify"]
            assert appliance.wait_for_job(verification["id"])["state"] == "done"
            assert offsite_orders.of_host(opened, principal, host.id).damages
        finally:
            host.stop()


def hand_key_over(appliance: Appliance, host: RealAgent) -> None:
    path = f"/api/v1/agents/{host.id}/key"
    appliance.call("PUT", path, {"mode": "managed"}).expect(200)
    wait_until(lambda: appliance.call("GET", path).expect(200)["is_held"], 60, "the host to seal its key")


def assert_read_out_of_the_copy(appliance: Appliance, host: RealAgent, generation: int, tree: Path) -> None:
    base = f"/api/v1/agents/{host.id}/offsite/generations/{generation}"
    held = appliance.call("GET", base).expect(200)
    assert (True, 1) == (held["has_index"], len(held["snapshots"]))
    path = quote(str(tree / "large 3").lstrip("/"))
    address = f"{base}/snapshots/{held['snapshots'][0]['id']}/download?path={path}"
    whole = appliance.call("GET", address)

    assert (200, (tree / "large 3").read_bytes()) == (whole.status, whole.body)
    part = appliance.call("GET", address, headers={"range": "bytes=10-19"})
    assert (206, (tree / "large 3").read_bytes()[10:20]) == (part.status, part.body)


def newest_jobs(appliance: Appliance) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = appliance.call("GET", "/api/v1/jobs").expect(200)["items"]
    return found


def spoil(s3: Weed, store: Store) -> None:
    """Change a byte in the middle of each large object that was copied."""
    client, place = s3.client(), store.place
    for entry in client.list_objects_v2(Bucket=place.bucket, Prefix=f"{place.prefix}/")["Contents"]:
        if entry["Size"] > 1_000_000:
            content = bytearray(client.get_object(Bucket=place.bucket, Key=entry["Key"])["Body"].read())
            for at in range(100_000, len(content) - 100_000, 100_000):
                content[at] ^= 1
            client.put_object(Bucket=place.bucket, Key=entry["Key"], Body=bytes(content))
