"""A serving appliance measures itself, keeps what it measured through a kill, and answers for it."""

from __future__ import annotations

import sqlite3
import time
from typing import TYPE_CHECKING, Any

from tests.support.appliance import Appliance, wait_until
from tests.support.host import WireHost

if TYPE_CHECKING:
    from pathlib import Path


def measured(appliance: Appliance, *names: str) -> dict[str, list[float]]:
    """Return what is known of the last hour, without the gaps."""
    query = "&".join(["range=1h", *(f"name={name}" for name in names)])
    items = appliance.call("GET", f"/api/v1/measurements?{query}").expect(200)["items"]
    return {item["name"]: [value for value in item["values"] if value is not None] for item in items}


def rows(appliance: Appliance) -> list[Any]:
    with sqlite3.connect(appliance.data / "saveos.db", timeout=20) as connection:
        return connection.execute("SELECT at FROM measurements ORDER BY at").fetchall()


def test_samples_are_taken_from_the_start_and_outlive_a_kill(tmp_path: Path) -> None:
    with Appliance.started(tmp_path) as appliance:
        appliance.set_up()
        first = wait_until(lambda: measured(appliance, "memory_bytes")["memory_bytes"], 20, "the first sample")
        before = rows(appliance)
        appliance.kill()

        appliance.start()

        assert set(before) <= set(rows(appliance))
        assert first[0] > 20_000_000
        assert [] != measured(appliance, "disk_used_bytes")["disk_used_bytes"]


def test_old_samples_thin_out_when_it_starts(tmp_path: Path) -> None:
    two_days_ago = int(time.time()) // 3600 * 3600 - 48 * 3600
    with Appliance.started(tmp_path) as appliance:
        appliance.stop()
        with sqlite3.connect(appliance.data / "saveos.db", timeout=20) as connection:
            samples = [(30, two_days_ago + 30 * number, number) for number in range(20)]
            connection.executemany("INSERT INTO measurements (step, at, jobs_queued) VALUES (?, ?, ?)", samples)

        appliance.start()

        old = "SELECT step, at, jobs_queued FROM measurements WHERE at < ? ORDER BY at"
        means = [(300, two_days_ago, 4.5), (300, two_days_ago + 300, 14.5)]
        with sqlite3.connect(appliance.data / "saveos.db", timeout=20) as connection:
            wait_until(lambda: connection.execute(old, (two_days_ago + 3600,)).fetchall() == means, 20, "the two means")


def test_everything_is_read_by_name_and_range(shared_appliance: Appliance, tmp_path: Path) -> None:
    wait_until(lambda: measured(shared_appliance, "jobs_queued")["jobs_queued"], 40, "a sample")
    host = WireHost.enrolled(shared_appliance, tmp_path / "host", "measured")
    host.make_ready()
    host.heartbeat()

    everything = measured(shared_appliance)

    assert {"cpu_share", "memory_bytes", "disk_free_bytes", "heartbeats_per_minute"} <= everything.keys()
    assert all(values for name, values in everything.items() if name != "cpu_share")
    foreseen = shared_appliance.call("GET", "/api/v1/measurements/storage?range=7d").expect(200)
    assert foreseen["used_bytes"] + foreseen["free_bytes"] == foreseen["total_bytes"]
    page = shared_appliance.call("GET", "/metrics").expect(200).decode()
    beats = next(line for line in page.splitlines() if line.startswith("saveos_heartbeats_total"))
    assert float(beats.split()[1]) >= 1


def test_wrong_names_and_ranges_are_told(shared_appliance: Appliance) -> None:
    shared_appliance.call("GET", "/api/v1/measurements?name=secrets").expect(400)
    shared_appliance.call("GET", "/api/v1/measurements?range=2h").expect(400)
    shared_appliance.call("GET", "/api/v1/measurements", token="").expect(401)
