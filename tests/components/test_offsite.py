"""A real repository of Borg's, copied to a real store and brought back from it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from saveos import clock
from saveos.errors import ObjectAltered, OffsiteTaken, RepositoryDamaged
from saveos.jobs import table as jobs
from saveos.jobs.model import NewJob, RunsOn
from saveos.offsite import stores
from saveos.offsite import table as table_offsite
from saveos.offsite.hands import Stopped
from saveos.protocol import JobId, Kind
from saveos.repositories import quarantine
from tests.support.offsite import TENANT, Copying, Hands

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.s3 import Weed

PART_BYTES = 5 * 1024**2  # the least that S3 takes


@pytest.fixture
def copying(s3: Weed, tmp_path: Path) -> Iterator[Copying]:
    copying = Copying.made(tmp_path, s3.place(s3.bucket()))
    yield copying
    copying.world.close()


@pytest.fixture(autouse=True)
def clock_of_now() -> Iterator[None]:
    yield
    clock.set_source(None)


def keys(s3: Weed, copying: Copying, folder: str = "") -> dict[str, int]:
    found: dict[str, int] = {}
    pages = s3.client().get_paginator("list_objects_v2")
    for page in pages.paginate(Bucket=copying.store.place.bucket, Prefix=f"{copying.folder}/{folder}"):
        found |= {entry["Key"]: entry["Size"] for entry in page.get("Contents", [])}
    return found


def later(days: float) -> None:
    now = clock.now()
    clock.set_source(lambda: now + timedelta(days=days))


def test_repository_that_is_lost_comes_back_whole(copying: Copying) -> None:
    copying.back_up()
    copying.back_up()
    copying.copy()
    assert copying.state.behind_since is None
    nonce = int((copying.repository / "nonce").read_text(), 16)
    shutil.rmtree(copying.repository.parent)

    copying.rehydrate()

    assert ["archive-0", "archive-1"] == copying.borg("list", "--short").split()
    copying.assert_restores("archive-1")
    assert int((copying.repository / "nonce").read_text(), 16) >= nonce + 2**40
    assert [] == [path.name for path in copying.repository.parent.iterdir() if path.name != copying.agent_id]


def test_bucket_holds_segments_and_manifests_and_says_what_they_are(s3: Weed, copying: Copying) -> None:
    copying.back_up()
    copying.copy()
    client, bucket = s3.client(), copying.store.place.bucket

    text = client.get_object(Bucket=bucket, Key=f"{copying.store.place.prefix}/README.txt")["Body"].read().decode()
    [manifest_key] = keys(s3, copying, "generations/")
    manifest = json.loads(client.get_object(Bucket=bucket, Key=manifest_key)["Body"].read())

    assert "generations" in text
    there = {key.removeprefix(f"{copying.folder}/"): size for key, size in keys(s3, copying, "segments/").items()}
    assert {part["key"]: part["bytes"] for part in [*manifest["segments"], manifest["index"]]} == there
    assert all(key.split("-")[1] == part["sha256"][:16] for part in manifest["segments"] for key in [part["key"]])
    assert (copying.repository / "config").read_text() == manifest["config"]
    assert not any("integrity" in key or "hints" in key for key in keys(s3, copying))


def test_bucket_alone_is_enough_by_the_text_that_lies_in_it(s3: Weed, copying: Copying) -> None:
    copying.back_up()
    copying.copy()
    shutil.rmtree(copying.repository)
    client, bucket = s3.client("READER"), copying.store.place.bucket

    newest = max(keys(s3, copying, "generations/"))
    manifest = json.loads(client.get_object(Bucket=bucket, Key=newest)["Body"].read())
    (copying.repository / "data" / "0").mkdir(parents=True)
    (copying.repository / "config").write_text(manifest["config"])
    (copying.repository / "README").write_text(manifest["readme"])
    (copying.repository / "nonce").write_text(f"{int(manifest['nonce'], 16) + 2**40:016x}")
    for part in manifest["segments"]:
        target = copying.repository / "data" / "0" / str(part["number"])
        client.download_file(bucket, f"{copying.folder}/{part['key']}", str(target))

    copying.lives += 1
    copying.assert_restores("archive-0")


def test_second_copy_sends_only_new_segments(s3: Weed, copying: Copying) -> None:
    copying.back_up()
    copying.copy()
    before = keys(s3, copying, "segments/")
    copying.back_up(files=1)

    said = copying.copy()

    new = {key: size for key, size in keys(s3, copying, "segments/").items() if key not in before}
    assert said.startswith(f"{len(new)} segments, {sum(new.values())} bytes sent; generation 2 ")
    assert 700_000 < sum(new.values()) < 1_000_000
    assert copying.copy().startswith("0 segments, 0 bytes sent; generation 2 ")
    assert len(keys(s3, copying, "generations/")) == 2


def test_copy_is_asked_for_by_a_snapshot_that_it_lacks(copying: Copying) -> None:
    copying.back_up()
    due = copying.world.database.write(offsite_due)
    again = copying.world.database.write(offsite_due)

    [job] = jobs.waiting_of(copying.world.database.read, copying.agent_id, Kind.OFFSITE)
    copying.run(job)

    assert (1, 0) == (due, again)
    assert copying.state.error_code == ""
    assert copying.state.generation == 1


def offsite_due(connection: Any) -> int:
    from saveos.offsite import orders as offsite_orders

    return offsite_orders.queue_due(connection)


def test_snapshot_that_comes_while_a_copy_is_taken_is_left_to_the_next(
    copying: Copying, monkeypatch: pytest.MonkeyPatch
) -> None:
    copying.back_up()
    make = quarantine.make

    def make_while_a_backup_ends(*words: Any) -> None:
        make(*words)
        copying.back_up()

    with monkeypatch.context() as patched:
        patched.setattr(quarantine, "make", make_while_a_backup_ends)
        copying.copy()

    assert copying.state.behind_since is not None
    assert 1 == copying.generations[0].snapshots_count
    copying.copy()
    assert (None, 2) == (copying.state.behind_since, copying.generations[0].snapshots_count)


def test_snapshot_that_its_host_is_to_delete_is_not_said_to_be_copied(copying: Copying) -> None:
    first, second = copying.back_up(), copying.back_up()
    archive_id = copying.world.database.read.execute(
        "SELECT archive_id FROM snapshots WHERE id = ?", (first,)
    ).fetchone()[0]
    asked = NewJob(
        id=JobId("job_prune"),
        tenant_id=TENANT,
        agent_id=copying.agent_id,
        kind=Kind.PRUNE,
        runs_on=RunsOn.HOST,
        order={"prune": {"archives": [{"name": "archive-0", "archive_id": archive_id}]}},
        requested_by="test",
    )
    copying.world.database.write(lambda connection: jobs.insert(connection, asked))

    copying.copy()

    assert [second] == [known.id for known in copying.manifest.snapshots]


def test_copy_that_fails_says_why_and_how_far_behind_it_is(copying: Copying) -> None:
    copying.back_up()
    copying.use(msgspec.structs.replace(copying.store.place, bucket="no-such-bucket"))

    with pytest.raises(Exception, match="no such bucket"):
        copying.copy()

    state = copying.state
    assert state.error_code == "storage-bucket-missing"
    assert state.behind_since is not None
    assert state.lag_seconds(clock.now()) > 3600


@pytest.mark.parametrize("harm", ["missing", "altered", "size"])
def test_segment_that_is_not_what_was_written_is_named_and_sent_again(s3: Weed, copying: Copying, harm: str) -> None:
    copying.back_up()
    copying.copy()
    assert copying.verify().endswith("all as it was written.")
    client, bucket = s3.client(), copying.store.place.bucket
    victim = copying.segments[1]
    where = {"Bucket": bucket, "Key": f"{copying.folder}/{victim.key}"}
    if harm == "missing":
        client.delete_object(**where)
    else:
        client.put_object(**where, Body=os.urandom(victim.bytes - (harm == "size")))

    said = copying.verify()

    assert said.endswith("1 damaged.")
    assert [(victim.key, harm, victim.number)] == [(one.key, one.what, one.number) for one in copying.state.findings]
    assert copying.copy().startswith(f"1 segments, {victim.bytes} bytes sent")
    assert () == copying.state.findings
    assert copying.verify().endswith("all as it was written.")


def test_share_that_is_verified_is_another_one_each_time(copying: Copying) -> None:
    copying.back_up(files=6)
    copying.copy()
    count = len(copying.segments)

    seen = []
    for _ in range(2):
        assert "damaged" not in copying.verify(0.5)
        seen.append({one.key for one in copying.segments if one.verified_at})

    assert 0 < len(seen[0]) < count
    assert len(seen[1]) == count


def test_damaged_repository_is_mended_by_what_is_missing_alone(copying: Copying) -> None:
    copying.back_up(files=6)
    copying.copy()
    segments = sorted((copying.repository / "data" / "0").iterdir(), key=lambda path: int(path.name))
    content = bytearray(segments[1].read_bytes())
    content[len(content) // 2] ^= 1
    status = segments[1].stat()
    segments[1].unlink()
    segments[1].write_bytes(content)
    os.utime(segments[1], ns=(status.st_atime_ns, status.st_mtime_ns))

    said = copying.rehydrate()

    assert said[0].startswith(f"{status.st_size} bytes fetched")
    copying.assert_restores("archive-0")


def test_repository_that_lost_segments_is_not_copied_over_what_has_them(s3: Weed, copying: Copying) -> None:
    copying.back_up()
    copying.copy()
    (copying.repository / "data" / "0" / "1").unlink()

    with pytest.raises(RepositoryDamaged, match="the first of them 1"):
        copying.copy()

    assert len(keys(s3, copying, "generations/")) == 1
    copying.rehydrate()
    copying.assert_restores("archive-0")


def test_way_back_to_an_earlier_generation_takes_the_later_snapshots_away(copying: Copying) -> None:
    first = copying.back_up()
    copying.copy()
    later(0.001)
    copying.back_up()
    copying.copy()

    copying.rehydrate(1)

    rows = copying.world.database.read.execute("SELECT id FROM snapshots").fetchall()
    assert first in {row["id"] for row in rows}
    assert ["archive-0"] == copying.borg("list", "--short").split()
    assert copying.copy().split("; ")[1].startswith("generation 3 ")


def test_old_generations_go_and_segments_that_none_needs(s3: Weed, copying: Copying) -> None:
    copying.back_up()
    copying.copy()
    copying.borg("delete", "::archive-0")
    copying.borg("compact", "--threshold", "0")
    copying.world.database.write(
        lambda connection: connection.execute("UPDATE repositories SET compacted_at = ?", (clock.to_text(clock.now()),))
    )
    copying.back_up()
    copying.copy()
    before = keys(s3, copying, "segments/")

    later(15)
    copying.back_up(files=1)
    copying.copy()

    assert [3] == [
        one.number for one in table_offsite.generations(copying.world.database.read, copying.store.id, copying.agent_id)
    ]
    after = keys(s3, copying, "segments/")
    assert before.keys() - after.keys()
    assert {f"{copying.folder}/{one.key}" for one in copying.segments} == after.keys()
    shutil.rmtree(copying.repository)
    copying.rehydrate()
    copying.assert_restores("archive-2")


def test_nothing_goes_while_a_manifest_is_there_that_nobody_knows(s3: Weed, copying: Copying) -> None:
    copying.back_up()
    copying.copy()
    s3.client().put_object(
        Bucket=copying.store.place.bucket, Key=f"{copying.folder}/generations/00000009.json", Body=b"{}"
    )
    later(15)
    copying.back_up()

    copying.copy()

    assert {"00000001.json", "00000009.json", "00000010.json"} == {
        key.rpartition("/")[2] for key in keys(s3, copying, "generations/")
    }


def test_second_appliance_at_the_same_prefix_is_refused_until_a_person_says_so(
    copying: Copying, tmp_path: Path
) -> None:
    copying.back_up()
    copying.copy()
    other = Copying.made(tmp_path / "other", copying.store.place)
    other.back_up()

    with pytest.raises(OffsiteTaken):
        other.copy()
    stores.take_over(other.world.database, other.world.settings, other.world.principal)
    other.copy()

    with pytest.raises(OffsiteTaken):
        copying.copy()
    other.world.close()


@pytest.mark.parametrize("what", ["lease", "manifest", "segment"])
def test_what_somebody_made_larger_is_not_taken_in(s3: Weed, copying: Copying, what: str) -> None:
    copying.back_up()
    copying.copy()
    prefix, part = copying.store.place.prefix, copying.segments[0]
    key = {
        "lease": f"{prefix}/appliance.json",
        "manifest": f"{copying.folder}/{copying.generations[0].key}",
        "segment": f"{copying.folder}/{part.key}",
    }[what]
    found = s3.client().get_object(Bucket=copying.store.place.bucket, Key=key)["Body"].read()
    s3.client().put_object(Bucket=copying.store.place.bucket, Key=key, Body=found + b" " * 300_000)
    shutil.rmtree(copying.repository)

    with pytest.raises(OffsiteTaken if what == "lease" else ObjectAltered):
        copying.copy() if what == "lease" else copying.rehydrate()
    assert [] == list(copying.repository.parent.glob("**/*.part"))


def test_copy_that_is_cancelled_stops_within_seconds_and_is_gone_on_with(s3: Weed, copying: Copying) -> None:
    copying.limit(500_000)
    copying.back_up(files=6)
    cancelled_at = []

    def cancel(hands: Hands) -> None:
        if hands.steps[-1][0] == "uploading" and hands.steps[-1][1] > 300 and not cancelled_at:
            cancelled_at.append(time.monotonic())
            hands.is_cancelled.set()

    with pytest.raises(Stopped):
        copying.copy(cancel)
    took = time.monotonic() - cancelled_at[0]
    time.sleep(0.5)  # for what had been sent and was not answered yet
    there = sum(keys(s3, copying, "segments/").values())
    copying.limit(0)
    said = copying.copy()

    assert took < 2
    assert there > 0
    whole = sum(keys(s3, copying, "segments/").values())
    assert f", {whole - there} bytes sent" in said


def test_rate_is_kept(copying: Copying) -> None:
    copying.limit(1_000_000)
    copying.back_up(files=4)

    begun = time.monotonic()
    copying.copy()

    seconds = copying.state.bytes / 1_000_000
    assert seconds * 0.7 < time.monotonic() - begun < seconds * 2 + 3


@pytest.mark.parametrize(
    ("segment_bytes", "files", "rate"),
    [(12_000_000, 40, 8_000_000), (1_000_000, 8, 1_500_000)],
    ids=["in parts", "whole"],
)
def test_copy_that_is_killed_is_gone_on_with_and_nothing_travels_twice(
    s3: Weed,
    copying: Copying,
    tmp_path: Path,
    segment_bytes: int,
    files: int,
    rate: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    copying.borg("config", "::", "max_segment_size", str(segment_bytes))
    copying.back_up()
    copying.copy()
    first = keys(s3, copying, "generations/")
    copying.back_up(files=files)
    copying.limit(rate)
    before = sum(keys(s3, copying, "segments/").values())
    words = ["-m", "tests.support.offsite_process", str(tmp_path), str(PART_BYTES)]
    with subprocess.Popen([sys.executable, *words], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            phase, done = line.split()
            if phase == "uploading" and int(done) > 500:
                break
        process.kill()
    assert first == keys(s3, copying, "generations/")
    arrived = sum(keys(s3, copying, "segments/").values()) - before
    parts = 0
    client, bucket = s3.client(), copying.store.place.bucket
    for upload in client.list_multipart_uploads(Bucket=bucket, Prefix=copying.folder).get("Uploads", []):
        there = client.list_parts(Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"])
        parts += sum(part["Size"] for part in there.get("Parts", []))

    copying.limit(0)
    monkeypatch.setattr("saveos.offsite.upload.PART_BYTES", PART_BYTES)
    copying.bury()
    said = copying.copy()

    whole = sum(keys(s3, copying, "segments/").values()) - before
    assert arrived + parts > 0
    assert f", {whole - arrived - parts} bytes sent; generation 2 " in said
    assert [] == client.list_multipart_uploads(Bucket=bucket, Prefix=copying.folder).get("Uploads", [])
    assert not list((copying.world.settings.offsite / TENANT).iterdir())
    assert copying.verify().endswith("all as it was written.")
    shutil.rmtree(copying.repository)
    copying.rehydrate()
    copying.assert_restores("archive-1")


def test_fetching_that_is_cut_off_is_gone_on_with(copying: Copying) -> None:
    copying.back_up(files=6)
    copying.copy()
    shutil.rmtree(copying.repository)

    def cancel(hands: Hands) -> None:
        if hands.steps[-1][0] == "fetching" and hands.steps[-1][1] > 400:
            hands.is_cancelled.set()

    with pytest.raises(Stopped):
        copying.rehydrate(hear=cancel)
    assert not copying.repository.exists()

    said = copying.rehydrate()

    assert said
    copying.assert_restores("archive-0")


def test_way_back_that_is_cut_off_at_its_end_is_not_gone_twice(copying: Copying) -> None:
    copying.back_up()
    copying.copy()
    copying.rehydrate()
    database = copying.world.database
    statement = "UPDATE jobs SET state = 'queued', attempts = 1 WHERE kind = 'rehydrate'"
    database.write(lambda connection: connection.execute(statement))

    [again] = jobs.waiting_of(database.read, copying.agent_id, Kind.REHYDRATE)
    copying.run(again)

    assert [] == jobs.waiting_of(database.read, copying.agent_id, Kind.ROLL_BACK)
