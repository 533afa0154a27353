"""Self-backups in a real store: sent, locked, kept, and found by whoever has nothing left but the kit."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from saveos import clock
from saveos.errors import OffsiteTaken, SelfBackupAltered
from saveos.identity.principals import system
from saveos.jobs import lifecycle
from saveos.jobs import table as jobs
from saveos.offsite import lease, stores
from saveos.offsite.model import LockMode
from saveos.protocol import JobReport, Kind, Outcome
from saveos.selfbackup import aftermath, orders, places, table
from saveos.selfbackup.places import Depot
from saveos.worker.selfbackup import SelfBackup
from tests.support.offsite import TENANT, Hands
from tests.support.selfbackup import Burning

if TYPE_CHECKING:
    from pathlib import Path

    from saveos.offsite.bucket import Bucket
    from tests.support.s3 import Weed


def burning_at(s3: Weed, folder: Path, **kind: Any) -> Burning:
    lock = {"lock_mode": LockMode.COMPLIANCE, "keep_days": 1} if kind.get("is_locked") else {}
    return Burning.made(folder, s3.place(s3.bucket(**kind), **lock))


def bucket_of(burning: Burning) -> Bucket:
    world = burning.copying.world
    return stores.bucket_of(world.database, world.settings, burning.copying.store)


def run(burning: Burning) -> str:
    """Make one as the queue does."""
    world = burning.copying.world
    job = orders.request(world.database, system(TENANT))
    maker = SelfBackup(world.settings, world.database, world.settings.folder / "saveos.toml")
    world.database.write(lambda connection: jobs.claim(connection, job.id, "test", clock.now() + timedelta(minutes=5)))
    report = JobReport(outcome=Outcome.FAILED, error_code="killed")
    try:
        said = maker.make(Hands(job))  # type: ignore[arg-type]
        report = JobReport(outcome=Outcome.DONE, message=said)
    except Exception as error:
        report = JobReport(outcome=Outcome.FAILED, error_code=getattr(error, "code", ""), message=str(error))
        raise
    finally:
        endings = {Kind.SELF_BACKUP: orders.record_end}
        world.database.write(lambda connection: lifecycle.finish(connection, job.id, None, report, endings))
    return said


def keys(burning: Burning) -> list[str]:
    """Return what lies in the folder of self-backups, by name."""
    prefix = f"{burning.copying.store.place.prefix}/appliance/"
    return [entry.key.removeprefix(prefix) for entry in bucket_of(burning).listing(prefix)]


@pytest.mark.parametrize("kind", [{}, {"has_versions": True}, {"is_locked": True}], ids=["plain", "versions", "locked"])
def test_self_backup_goes_there_and_comes_back(s3: Weed, tmp_path: Path, kind: dict[str, bool]) -> None:
    burning = burning_at(s3, tmp_path / "appliance", **kind)

    said = run(burning)

    [path] = burning.copies
    assert sorted(["README.txt", path.name]) == sorted(keys(burning))
    assert path.name in said
    state = table.state(burning.copying.world.database.read)
    assert (path.name, state.made_at, "") == (state.name, state.store_made_at, state.error_code)
    done = burning.recover(Depot(bucket_of(burning)))
    assert path.name == done.name
    held = bucket_of(burning).head(f"{burning.copying.store.place.prefix}/appliance/{path.name}")
    assert bool(kind.get("is_locked")) == (held.locked_until is not None)


def test_altered_object_is_passed_over_and_a_hidden_one_is_found(
    s3: Weed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    burning = burning_at(s3, tmp_path / "appliance", has_versions=True)
    run(burning)
    [path] = burning.copies
    bucket, key = bucket_of(burning), f"{burning.copying.store.place.prefix}/appliance/{path.name}"
    s3.client().put_object(Bucket=bucket.place.bucket, Key=key, Body=b"rubbish")
    monkeypatch.setattr(places, "CHUNK", 100)  # as if it were larger than a piece

    assert path.name == burning.recover(Depot(bucket)).name

    os.rename(burning.back.folder, tmp_path / "first")
    bucket.delete(key)  # a mark hides it
    assert path.name == burning.recover(Depot(bucket)).name


def test_altered_object_without_versions_gives_way_to_the_one_before(s3: Weed, tmp_path: Path) -> None:
    burning = burning_at(s3, tmp_path / "appliance")
    made = [burning.back_up()]
    clock.set_source(lambda: datetime.now(UTC) + timedelta(minutes=1))
    try:
        made.append(burning.back_up())
    finally:
        clock.set_source(None)
    bucket = bucket_of(burning)
    for one in made:
        Depot(bucket).send(one.path, one.sha256, None, lambda _more: None)
    newest = f"{burning.copying.store.place.prefix}/appliance/{made[1].path.name}"
    content = bytearray(made[1].path.read_bytes())
    content[-1] ^= 1
    for altered in (bytes(content), bytes(content[:-10]), b"", bytes(content) * 3):
        s3.client().put_object(Bucket=bucket.place.bucket, Key=newest, Body=altered)

        done = burning.recover(Depot(bucket))

        assert (made[0].path.name, (made[1].path.name,)) == (done.name, done.passed_over)
        os.rename(burning.back.folder, tmp_path / f"back {len(altered)} {altered[:1]!r}")
    s3.client().delete_object(Bucket=bucket.place.bucket, Key=f"{newest.rpartition('/')[0]}/{made[0].path.name}")
    with pytest.raises(SelfBackupAltered):
        burning.recover(Depot(bucket))


def test_old_ones_go_but_no_locked_one(s3: Weed, tmp_path: Path) -> None:
    burning = burning_at(s3, tmp_path / "appliance", is_locked=True)
    bucket = bucket_of(burning)
    now, depot, made = datetime.now(UTC), Depot(bucket), []
    try:
        for count in range(18):
            clock.set_source(lambda count=count: now - timedelta(seconds=100 - count))  # type: ignore[misc]
            made.append(burning.back_up())
    finally:
        clock.set_source(None)
    maker = SelfBackup(burning.copying.world.settings, burning.copying.world.database, tmp_path)
    for number, one in enumerate(made):
        lock = maker._lock(burning.copying.store) if number == 0 else None
        depot.send(one.path, one.sha256, lock, lambda _more: None)
    before = set(keys(burning))

    count = depot.let_go()

    left = set(keys(burning)) - {"README.txt"}
    assert 3 == count
    assert {one.path.name for one in made[-14:]} | {made[0].path.name} == left
    assert before > left
    assert 4 == places.let_go(burning.copying.world.settings.self_backups)
    assert {one.path.name for one in made[-14:]} == {path.name for path in burning.copies}


def test_recovered_appliance_takes_the_prefix_and_the_former_one_is_refused(s3: Weed, tmp_path: Path) -> None:
    burning = burning_at(s3, tmp_path / "appliance")
    run(burning)
    former = stores.appliance_id(burning.copying.world.database)
    burning.recover(Depot(bucket_of(burning)))

    after = aftermath.begin(burning.back, is_fetching=False)

    assert () == after.warnings
    with pytest.raises(OffsiteTaken):
        lease.hold(bucket_of(burning), former)
    with pytest.raises(OffsiteTaken):
        run(burning)
    state = table.state(burning.copying.world.database.read)
    assert "offsite-taken" == state.error_code
    assert 2 == len(burning.copies)  # here it was made all the same


def test_what_came_to_the_store_after_it_is_learned(s3: Weed, tmp_path: Path) -> None:
    burning = burning_at(s3, tmp_path / "appliance")
    copying = burning.copying
    first = copying.back_up()
    copying.copy()
    run(burning)
    second = copying.back_up()
    copying.copy()
    burning.recover(Depot(bucket_of(burning)))
    assert [(first,)] == burning.rows("SELECT id FROM snapshots")

    after = aftermath.begin(burning.back, is_fetching=True)

    assert (1, 1, (), ()) == (after.learned_count, after.asked_count, after.lost, after.warnings)
    assert [(first, "good"), (second, "good")] == burning.rows("SELECT id, standing FROM snapshots ORDER BY id")
    assert [(2,), (1,)] == burning.rows("SELECT number FROM offsite_generations ORDER BY number DESC")
    assert [("rehydrate", "queued")] == burning.rows("SELECT kind, state FROM jobs WHERE kind = 'rehydrate'")


def test_store_that_is_away_is_taken_later(s3: Weed, tmp_path: Path) -> None:
    burning = burning_at(s3, tmp_path / "appliance")
    burning.sql("UPDATE offsite_stores SET place_json = json_set(place_json, '$.bucket', 'not-there')")
    burning.back_up()
    burning.recover()

    after = aftermath.begin(burning.back, is_fetching=False)

    assert 1 == len(after.warnings)
    [(name,)] = burning.rows("SELECT name FROM facts WHERE name LIKE 'inherited-store:%'")
    assert burning.copying.store.id in name


def test_failure_is_told_and_success_ends_it(s3: Weed, tmp_path: Path) -> None:
    burning = burning_at(s3, tmp_path / "appliance")
    right = burning.copying.store.place
    database = burning.copying.world.database
    burning.sql("UPDATE offsite_stores SET place_json = json_set(place_json, '$.bucket', 'not-there')")
    for _ in range(3):
        with pytest.raises(Exception, match="no such bucket"):
            run(burning)
        burning.sql("UPDATE jobs SET attempts = attempts_limit, state = 'failed' WHERE state = 'queued'")

    opened = "SELECT kind FROM alerts WHERE cleared_at IS NULL"
    assert ["self-backup"] == [row["kind"] for row in database.read.execute(opened)]
    assert "storage-bucket-missing" == table.state(database.read).error_code

    burning.sql("UPDATE offsite_stores SET place_json = json_set(place_json, '$.bucket', ?)", right.bucket)
    run(burning)

    assert [] == database.read.execute(opened).fetchall()
