"""The whole way: a host backs up, its copy follows by itself; the repository is lost, and comes back from the store."""

from __future__ import annotations

import contextlib
import os
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from saveos import config
from saveos.database.connection import Database
from saveos.identity.principals import system
from saveos.offsite import orders as offsite_orders
from saveos.offsite import stores
from saveos.protocol import TenantId
from saveos.snapshots import rehydrating
from tests.support.agent import RealAgent, assert_restored, back_up_only, database, put_base
from tests.support.appliance import Appliance, wait_until
from tests.support.s3 import SECRET

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.s3 import Weed


@pytest.fixture
def appliance(tmp_path: Path) -> Iterator[Appliance]:
    with Appliance.started(tmp_path / "appliance") as appliance:
        appliance.set_up()
        put_base(appliance)
        yield appliance


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


def test_host_goes_on_where_it_was_after_its_repository_was_lost(
    appliance: Appliance, s3: Weed, tmp_path: Path
) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    for number in range(20):
        (tree / f"file {number}").write_bytes(os.urandom(50_000))
    back_up_only(appliance, tree)
    with database(appliance) as connection:
        connection.execute("UPDATE policies SET schedule = ''")
    with verbs(appliance) as (settings, opened, principal):
        stores.keep_store(opened, settings, principal, s3.place(s3.bucket()), SECRET)
        host = RealAgent.enrolled(appliance, tmp_path / "host", hostname="host")
        host.start_daemon()
        try:
            host.first_backup()
            state = wait_until(
                lambda: (now := offsite_orders.of_host(opened, principal, host.id)).generation and now, 60, "a copy"
            )
            assert ("", None) == (state.error_code, state.behind_since)
            shutil.rmtree(host.repository.parent)

            job = rehydrating.request(opened, principal, host.id, state.generation, "host", {})
            assert appliance.wait_for_job(job.id)["state"] == "done"
            jobs = appliance.call("GET", "/api/v1/jobs").expect(200)["items"]
            [following] = [job for job in jobs if job["kind"] == "roll-back"]
            assert appliance.wait_for_job(following["id"])["state"] == "done"

            host.restore(appliance.snapshots(host.id)[0]["id"], tmp_path / "back")
            assert_restored(tree, tmp_path / "back")
            (tree / "more").write_bytes(os.urandom(50_000))
            assert appliance.wait_for_job(host.back_up())["state"] == "done"
            wait_until(lambda: offsite_orders.of_host(opened, principal, host.id).generation == 2, 60, "the next copy")
        finally:
            host.stop()
    assert 0 == host.stock_borg("check", "--verify-data").returncode
