"""The journeys that matter, in real Chromium against a real appliance; what axe-core finds serious is a failure."""

from __future__ import annotations

import base64
import contextlib
import json
import subprocess
import zipfile
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest

from saveos import clock, config
from saveos.database.connection import Database
from saveos.database.identifiers import new_id
from saveos.installers import stamp
from saveos.jobs import lifecycle, table
from saveos.jobs.model import NewJob, RunsOn
from saveos.protocol import ESCROW_INFO, AgentId, EscrowContents, JobId, JobReport, Kind, LogLine, Outcome, Progress
from saveos.repositories import sealing
from saveos.tenants import recovery, users
from tests.support.agent import RealAgent, back_up_only, database
from tests.support.appliance import wait_until
from tests.support.host import WireHost
from tests.support.slow_line import SlowLine

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.ui.conftest import Dashboard

pytestmark = pytest.mark.slow
HOST = "web-07"
TOTAL = (4_000, 9_000_000_000)


@contextlib.contextmanager
def a_build(dashboard: Dashboard) -> Iterator[tuple[Database, JobId]]:
    """A build that is 40 % done. The real one is tested with its own parts; here only its bar matters."""
    settings = config.load({"data": str(dashboard.appliance.data)}, {})
    database = Database(settings.database)
    job = NewJob(
        id=JobId(new_id("job")),
        tenant_id=users.default_tenant(database),
        kind=Kind.BUILD_AGENT,
        runs_on=RunsOn.APPLIANCE,
        order={"platform": "linux"},
        requested_by="test",
    )

    def begin(connection: object) -> None:
        table.insert(connection, job)
        table.claim(connection, job.id, "test", clock.now() + timedelta(hours=1))
        said = Progress(files_count=40, total_files_count=100, log=(LogLine(line="40 % collecting"),))
        lifecycle.note_progress(connection, job.id, None, said, 3600)

    database.write(begin)
    try:
        yield database, job.id
    finally:
        database.close()


def test_set_up_through_the_printed_link_shows_a_recovery_code_that_is_a_key(dashboard: Dashboard) -> None:
    private = recovery.private_key(dashboard.recovery_code)
    kit = dashboard.appliance.call("GET", "/api/v1/keys/kit").expect(200)

    assert (base64.b64encode(private.public_key().public_bytes_raw()).decode(), "browser", None) == (
        kit["public_key"],
        kit["made_by"],
        kit["confirmed_at"],
    )


def test_recovery_kit_is_confirmed_and_replaced_in_the_browser(dashboard: Dashboard) -> None:
    appliance = dashboard.appliance
    old = appliance.call("GET", "/api/v1/keys/kit").expect(200)["public_key"]
    journey = dashboard.journey("kit", code=dashboard.recovery_code)

    dashboard.recovery_code = journey.until("kit")["code"]

    journey.end()
    kit = appliance.call("GET", "/api/v1/keys/kit").expect(200)
    public = recovery.private_key(dashboard.recovery_code).public_key().public_bytes_raw()
    assert base64.b64encode(public).decode() == kit["public_key"] != old
    assert kit["confirmed_at"] is not None


def test_host_is_unlocked_by_a_code_that_never_leaves_the_page(dashboard: Dashboard) -> None:
    appliance = dashboard.appliance
    host = dashboard.fleet.add("sealed-01")
    private = recovery.private_key(dashboard.recovery_code)
    contents = EscrowContents(
        passphrase="secret", key_export="", repository_id="", agent_id=AgentId(host.id), hostname="sealed-01"
    )
    sealed = sealing.SUITE.encrypt(msgspec.json.encode(contents), private.public_key(), ESCROW_INFO + host.id.encode())
    with database(appliance) as connection:
        connection.execute(
            "UPDATE seals SET sealed = ? WHERE agent_id = ?", (base64.b64encode(sealed).decode(), host.id)
        )

    dashboard.journey("unlock", agent=host.id, code=dashboard.recovery_code).end()

    assert [] == appliance.call("GET", "/api/v1/keys/unlocks").expect(200)["items"]
    appliance.call("DELETE", f"/api/v1/agents/{host.id}").expect(200)


def test_sign_in_and_out_stays_on_this_site_and_closes_other_tabs(dashboard: Dashboard) -> None:
    dashboard.journey("session").end()


def test_provision_a_host_and_follow_it_until_it_is_protected(dashboard: Dashboard) -> None:
    fleet, file = dashboard.fleet, dashboard.folder / "saveos-agent"
    dashboard.base.unlink()

    with a_build(dashboard) as (database, job_id):
        journey = dashboard.journey("provision", host=HOST, file=str(file))
        journey.until("building")
        dashboard.put_base()
        report = JobReport(outcome=Outcome.DONE, message="Built.")
        database.write(lambda connection: lifecycle.finish(connection, job_id, None, report, {}))
        assert journey.until("downloaded")["name"] == "saveos-agent"
    stamped = stamp.read_back(file)
    assert stamped is not None
    assert stamped.hostname == HOST
    host = WireHost.enrolled_with(dashboard.appliance, dashboard.folder / HOST, stamped.token)
    host.make_ready()
    fleet.hosts[HOST] = host
    first = fleet.beat(HOST)["assignment"]["job_id"]
    journey.until("online")
    fleet.progress(HOST, first, 1_200, 2_700_000_000, TOTAL)
    journey.until("quarter")
    fleet.progress(HOST, first, 2_600, 5_850_000_000, TOTAL)
    journey.until("cancelled")
    assert fleet.progress(HOST, first, 2_700, 6_000_000_000, TOTAL)
    fleet.report(HOST, first, outcome="cancelled", message="Cancelled.")
    journey.until("asked")
    fleet.done(HOST, fleet.claim(HOST), *TOTAL, added=4_000_000_000)
    journey.end()


def test_many_hosts_are_downloaded_as_one_zip_and_those_not_used_withdrawn(dashboard: Dashboard) -> None:
    hosts = ["rack-01", "rack-02", "rack-03"]
    file, listed = dashboard.folder / "agents.zip", dashboard.folder / "agents.csv"
    dashboard.put_base()

    journey = dashboard.journey("batch", hosts=hosts, file=str(file), list=str(listed))
    journey.until("downloaded")
    with zipfile.ZipFile(file) as archive:
        archive.extractall(dashboard.folder / "unpacked")
    stamps = [stamp.read_back(dashboard.folder / "unpacked" / host / "saveos-agent") for host in hosts]
    assert hosts == [found.hostname for found in stamps if found is not None]
    assert hosts == [line.partition(",")[0] for line in listed.read_text().splitlines()[1:]]
    assert stamps[0] is not None
    host = WireHost.enrolled_with(dashboard.appliance, dashboard.folder / hosts[0], stamps[0].token)
    host.heartbeat()
    journey.end()
    dashboard.appliance.call("DELETE", f"/api/v1/agents/{host.id}").expect(200)


def test_restore_asks_the_host_for_these_paths_and_revoking_needs_its_name(dashboard: Dashboard) -> None:
    fleet, name = dashboard.fleet, "files-02"
    fleet.protect(name, 900, 3_000_000_000)

    journey = dashboard.journey("restore", host=name)
    journey.until("asked")
    order = fleet.beat(name, wait_seconds=20)["assignment"]
    fleet.progress(name, order["job_id"], 2, 9_000)
    fleet.report(name, order["job_id"], outcome="done")
    journey.until("revoked")
    journey.end()

    assert order["restore"]["paths"] == ["/etc/nginx", "/home/anna/letters"]
    assert order["restore"]["target"] == "/var/tmp/restored"  # noqa: S108 - a path on the host
    assert fleet.hosts[name].call("GET", "/api/v1/agents/self").status == 401


def test_change_a_policy_with_the_folders_and_counts_of_a_live_host(dashboard: Dashboard) -> None:
    folder, name = dashboard.folder / "live-01", "live-01"
    photos = folder / "data" / "photos"
    photos.mkdir(parents=True)
    for file, size in (("a.raw", 70_000), ("b.raw", 30_000), ("c.jpg", 9_000)):
        (photos / file).write_bytes(b"x" * size)
    back_up_only(dashboard.appliance, folder / "data")
    call = dashboard.appliance.call
    made = call("POST", "/api/v1/policies", {"name": "Pictures", "schedule": "0 1 * * 1-5"}).expect(201)
    agent = RealAgent.enrolled(dashboard.appliance, folder / "host", hostname=name)
    agent.start_daemon()
    try:
        agent.first_backup()
        call("PUT", f"/api/v1/agents/{agent.id}/policy", {"policy_id": made["id"]}).expect(200)
        parts = (folder / "data").parts[1:]
        journey = dashboard.journey("policy", policy="Pictures", host=name, folders=parts, source=str(photos))
        journey.until("saved")
        journey.end()
    finally:
        agent.stop()

    kept = call("GET", f"/api/v1/policies/{made['id']}").expect(200)
    assert ("15 3 * * 1,3,4,5", [str(photos)], ["*.raw"]) == (kept["schedule"], kept["sources"], kept["excludes"])
    assert "Pictures" == kept["name"]


def test_account_keeps_language_and_theme_and_makes_tokens(dashboard: Dashboard) -> None:
    journey = dashboard.journey("account")

    token = journey.until("token")["token"]
    journey.until("revoked")
    journey.end()

    assert dashboard.appliance.call("GET", "/api/v1/session", token=token).status == 401


def test_find_what_failed_and_ask_for_it_again(dashboard: Dashboard) -> None:
    fleet, name, why = dashboard.fleet, "db-09", "/srv/db cannot be read"
    fleet.protect(name, 900, 3_000_000_000)
    fleet.fail(name, why)

    journey = dashboard.journey("retry", host=name, why=why)
    journey.until("asked")
    job_id = fleet.beat(name, wait_seconds=20)["assignment"]["job_id"]
    fleet.progress(name, job_id, 10, 4_000_000)
    journey.until("seen")
    fleet.done(name, job_id, 900, 3_000_000_000, 10_000)
    journey.end()


def test_deleted_file_is_found_by_part_of_its_name_and_got_back(dashboard: Dashboard) -> None:
    folder, name = dashboard.folder / "found-01", "found-01"
    kept, lost = folder / "data" / "office", b"what was earned and what was spent" * 1000
    (kept / "letters").mkdir(parents=True)
    (kept / "quarterly budget.xlsx").write_bytes(lost)
    for file in ("letters/one.odt", "<b>bold.txt", "photo\u202egnp.exe"):
        (kept / file).write_bytes(file.encode())
    back_up_only(dashboard.appliance, folder / "data")
    agent = RealAgent.enrolled(dashboard.appliance, folder / "host", hostname=name)
    agent.start_daemon()
    try:
        agent.first_backup()
        (kept / "quarterly budget.xlsx").unlink()
        agent.back_up(folder / "data")
        wait_until(lambda: is_indexed(dashboard, agent), 60, "the catalogue")
        for label, look in {"light": {}, "phone-dark": {"width": 360, "height": 740, "scheme": "dark"}}.items():
            got = folder / label
            got.mkdir()
            journey = dashboard.journey("find", folder=str(got), label=label, **look)
            journey.end()

            assert lost == (got / "found").read_bytes()
            with zipfile.ZipFile(got / "chosen.zip") as archive:
                assert {"quarterly budget.xlsx": lost, "letters/one.odt": b"letters/one.odt"} == {
                    entry: archive.read(entry) for entry in archive.namelist() if not entry.endswith("/")
                }
            listed = subprocess.run(["tar", "-tf", str(got / "chosen.tar.zst")], capture_output=True, check=True)
            assert b"letters/one.odt" in listed.stdout
    finally:
        agent.stop()


def is_indexed(dashboard: Dashboard, agent: RealAgent) -> bool:
    call = dashboard.appliance.call
    found = call("GET", f"/api/v1/backup/{agent.id}/snapshots").expect(200)["items"]
    pages = [call("GET", f"/api/v1/snapshots/{snapshot['id']}/files").expect(200) for snapshot in found]
    return ["indexed", "indexed"] == [page["state"] for page in pages]


def test_slow_line_answers_each_click_and_does_nothing_twice(dashboard: Dashboard) -> None:
    fleet, call = dashboard.fleet, dashboard.appliance.call
    for name in ("far-01", "near-02"):
        fleet.protect(name, 900, 3_000_000_000)
        fleet.beat(name, build="f" * 64, running_job="job_none")
    line = SlowLine(dashboard.appliance.port, latency_seconds=0.2, bytes_per_second=50_000)
    try:
        journey = dashboard.journey("slow", address=f"https://127.0.0.1:{line.port}", host="far-01", other="near-02")
        journey.end()
    finally:
        line.close()

    for name, kind in (("far-01", "backup"), ("near-02", "update")):
        found = call("GET", f"/api/v1/jobs?agent_id={fleet.hosts[name].id}&kind={kind}&state=queued").expect(200)
        assert 1 == len(found["items"]), (name, found)
    tokens = [token for token in call("GET", "/api/v1/tokens").expect(200)["items"] if token["name"] == "slowly"]
    assert 1 == len(tokens)


def test_frozen_host_is_rolled_back_by_two_clicks_and_its_name(dashboard: Dashboard) -> None:
    fleet, call, name = dashboard.fleet, dashboard.appliance.call, "odd-01"
    fleet.protect(name, 900, 3_000_000_000, snapshots=4)
    fleet.age(name, hours=5)
    host = fleet.hosts[name]
    newest = dashboard.appliance.snapshots(host.id)[0]
    evidence = {"before": 3, "since": newest["ended_at"], "findings": {"archives-lost": 2, "objects-deleted": 31}}
    with database(dashboard.appliance) as connection:
        tenant, now = newest["tenant_id"], clock.to_text(clock.now())
        connection.execute(
            "INSERT INTO alerts (id, tenant_id, agent_id, kind, opened_at, evidence_json)"
            " VALUES ('alt_odd', ?, ?, 'hostile-changes', ?, ?)",
            (tenant, host.id, now, json.dumps(evidence)),
        )
        connection.execute(
            "INSERT INTO checkpoints (id, tenant_id, agent_id, moment, made_at, why, job_id, expires_at, state)"
            " VALUES ('chk_odd', ?, ?, 3, ?, 'hostile-changes', 'alt_odd', ?, 'made')",
            (tenant, host.id, newest["ended_at"], clock.to_text(clock.now() + timedelta(days=14))),
        )
        connection.execute("UPDATE repositories SET frozen_at = ? WHERE agent_id = ?", (now, host.id))
        connection.execute(
            "UPDATE snapshots SET standing = 'lost', lost_at = ?"
            " WHERE agent_id = ? AND id <> ? AND kind = 'incremental'",
            (now, host.id, newest["id"]),
        )
    given = {"host": name, "agent": host.id}
    dashboard.journey("protection", label="light", **given).end()
    dashboard.journey("protection", label="phone-dark", width=360, height=740, scheme="dark", **given).end()
    journey = dashboard.journey("protection", label="dark", scheme="dark", typed=True, **given)
    journey.until("asked")
    asked = call("GET", f"/api/v1/jobs?agent_id={host.id}&kind=roll-back").expect(200)["items"]
    assert [{"checkpoint": "chk_odd"}] == [job["order"] for job in asked]
    call("POST", f"/api/v1/jobs/{asked[0]['id']}/cancel")  # there is no repository behind this host
    journey.end()
    call("DELETE", f"/api/v1/agents/{host.id}").expect(200)


def test_viewer_is_offered_nothing_and_a_new_role_ends_the_page(dashboard: Dashboard) -> None:
    dashboard.fleet.protect("seen-01", 900, 3_000_000_000)

    def become(role: str) -> None:
        with database(dashboard.appliance) as connection:
            connection.execute("UPDATE users SET role = ?", (role,))

    become("viewer")
    try:
        journey = dashboard.journey("viewer", harmless=["Copy"])
        journey.until("looked")
    finally:
        become("administrator")
    journey.end()


def test_alerts_are_read_and_put_away(dashboard: Dashboard) -> None:
    fleet = dashboard.fleet
    fleet.protect("files-01", 1_000, 3_000_000_000)
    sampled = {"count": 300, "random": 300, "promised": 300, "broken": 300, "entropy": 7.98}
    guard = {"unchanged_files": 700, "changed_files": 300, "changed": sampled, "vanished_files": 2, "appeared_files": 1}
    fleet.done("files-01", fleet.claim("files-01"), 1_000, 3_000_000_000, 900_000_000, guard=guard)
    agent_id = fleet.hosts["files-01"].id
    snapshot = dashboard.appliance.snapshots(agent_id)[0]["id"]

    dashboard.journey("alerts", agent=agent_id, snapshot=snapshot).end()


def test_look_at_a_fleet_in_both_themes_and_on_a_phone(dashboard: Dashboard) -> None:
    fleet = dashboard.fleet
    ubuntu = "Ubuntu 24.04.3 LTS"
    fleet.protect("web-01", 184_203, 41_800_000_000, snapshots=6)
    fleet.protect("web-02", 179_850, 40_100_000_000, snapshots=4)
    fleet.protect("mail", 402_118, 128_400_000_000, snapshots=3, system=ubuntu)
    fleet.protect("laptop-anna", 96_411, 88_300_000_000, snapshots=2, system=ubuntu)
    fleet.protect("db-01", 12_870, 310_500_000_000, snapshots=4)
    for name, hours, seen in (("web-01", 7.2, 0), ("web-02", 7.1, 0), ("mail", 31, 0), ("db-01", 6.9, 0)):
        fleet.age(name, hours=hours, seen_hours=seen)
    fleet.age("laptop-anna", hours=20, seen_hours=3)
    fleet.fail("mail", "/srv/mail cannot be read: Permission denied")
    job_id = fleet.claim("db-01")
    fleet.progress("db-01", job_id, 3_000, 60_000_000_000, (12_870, 310_500_000_000))
    fleet.add("nas-attic")
    fleet.progress("db-01", job_id, 8_100, 60_300_000_000, (12_870, 310_500_000_000))

    dashboard.journey("look").end()

    shots = Path(__file__).parent / "screenshots"
    assert {"overview-light.png", "overview-dark.png", "overview-phone.png"} <= {shot.name for shot in shots.iterdir()}
