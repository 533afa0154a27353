"""The dialog that restores and the page of a restore: seen first, then done, then told."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from saveos.audit.table import newest
from saveos.jobs import table as jobs
from saveos.jobs.model import State
from saveos.protocol import Difference, Fate, JobId, JobReport, Outcome, RestoreFacts
from saveos.snapshots import again, restore
from tests.support.big_fleet import plant
from tests.ui import board
from tests.ui.board import visit
from tests.ui.hands import Hands

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nicegui.testing import User

    from saveos.jobs.model import Job
    from saveos.parts import Parts

EVIL = "srv/<b>bold</b>\u202etxt.exe"


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Parts]:
    with board.appliance(tmp_path_factory.mktemp("restores")) as parts:
        plant(parts.settings.database, 3, 3)
        yield parts


def asked(parts: Parts) -> list[Job]:
    principal, _cookie = board.sign_in(parts)
    return jobs.find(parts.database.read, principal.tenant_id, {"kind": "restore"}, 100)


def snapshot_of(parts: Parts) -> str:
    return str(parts.database.read.execute("SELECT id FROM snapshots ORDER BY id DESC LIMIT 1").fetchone()[0])


def end(parts: Parts, job: Job, facts: RestoreFacts) -> None:
    """End a job as its host would."""

    def write(connection: object) -> None:
        jobs.end(connection, job.id, State.DONE, "", "", 0)  # type: ignore[arg-type]
        restore.record_end(connection, job, State.DONE, JobReport(outcome=Outcome.DONE, restore=facts))  # type: ignore[arg-type]

    parts.database.write(write)


def test_dialog_asks_for_chosen_entries_as_a_dry_run_that_renames(fleet: Parts) -> None:
    snapshot_id = snapshot_of(fleet)

    async def journey(user: User) -> None:
        await user.open(f"/snapshots/{snapshot_id}")
        hands = Hands(user)
        hands.press("Restore…")
        hands.type("Folder on the host", "/srv/back")
        hands.tick("rename")

        hands.press("See first what would change")

        await hands.until(lambda: user.back_history[-1].startswith("/jobs/job_"))

    visit(fleet, journey)
    order = asked(fleet)[0].order["restore"]
    assert (True, "rename", "/srv/back") == (order["dry_run"], order["conflict"], order["target"])


def test_page_of_a_dry_run_shows_what_would_change_and_carries_it_out(fleet: Parts) -> None:
    principal, _cookie = board.sign_in(fleet)
    snapshot_id = snapshot_of(fleet)
    job = restore.request(fleet.database, principal, snapshot_id, target="/srv/back", dry_run=True)
    listed = (
        Difference(path=EVIL, what=Fate.REPLACED, detail="size time"),
        Difference(path="srv/link/x", what=Fate.REFUSED, detail="link"),
    )
    end(fleet, job, RestoreFacts(is_dry_run=True, new=1234, replaced=1, refused=1, differences=listed, is_cut=True))

    async def journey(user: User) -> None:
        await user.open(f"/jobs/{job.id}")
        hands = Hands(user)
        await hands.read(
            "What would change", "1,234", "Would be overwritten", "size · time", "leads through a link", EVIL
        )
        await hands.read("There is more than this")

        hands.press("Restore now")

        await hands.until(lambda: user.back_history[-1] != f"/jobs/{job.id}")

    visit(fleet, journey)
    made = asked(fleet)[0]
    assert JobId(job.id) != made.id
    assert (False, "/srv/back") == (made.order["restore"]["dry_run"], made.order["restore"]["target"])
    assert made.id == again.carry_out(fleet.database, principal, job.id).id  # pressed twice
    lines = newest(fleet.database.read, principal.tenant_id, 10)
    tried, done = (
        [json.loads(line["detail_json"]) for line in lines if (line["action"], line["target"]) == (action, snapshot_id)]
        for action in ("restore-tried", "restore-requested")
    )
    assert tried[0] == done[0]
    assert 1 == len(done)


def test_report_that_a_host_makes_too_large_is_cut() -> None:
    many = tuple(Difference(path="x" * 16_000, what=Fate.FAILED, detail="y" * 1000) for _ in range(2000))

    kept = restore.bounded(RestoreFacts(failed=2000, differences=many))

    assert kept.is_cut
    assert 0 < len(kept.differences) < 25
