"""Protection on the pages: what froze a host, rolling it back, letting it go on, lost snapshots, and for how long."""

from __future__ import annotations

import asyncio
import sqlite3
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from saveos import clock
from saveos.agents import enrolment
from saveos.alerts import raising
from saveos.alerts import table as alerts
from saveos.alerts.model import AlertKind
from saveos.database.identifiers import new_id
from saveos.jobs import lifecycle
from saveos.jobs import table as jobs
from saveos.jobs.model import NewJob, RunsOn
from saveos.protocol import AgentId, JobId, Kind, Progress
from saveos.repositories import table as repositories
from saveos.repositories import table_checkpoints
from saveos.repositories.model import Checkpoint, CheckpointState, CheckpointWhy
from saveos.snapshots import listing, table_protection
from saveos.snapshots.model import SnapshotChoice
from saveos.snapshots.outcomes import Ended, told
from saveos.ui.words import Words
from tests.support.big_fleet import plant
from tests.ui import board
from tests.ui.hands import Hands
from tests.ui.test_pages import become

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from saveos.jobs.model import State
    from saveos.parts import Parts
    from saveos.snapshots.model import ListedSnapshot

FINDINGS = {
    "archives-lost": 2,
    "objects-deleted": 31,
    "objects-replaced": 1,
    "manifest-shrunk": 2_000,
    "archives-added": 500,
    "malformed": 5,
    "replayed": 4,
    "growth": 90_000_000_000,
}


@pytest.fixture
def parts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Parts]:
    with board.appliance(tmp_path_factory.mktemp("protection")) as made:
        plant(made.settings.database, 2, 4)
        with sqlite3.connect(made.settings.database) as connection:
            connection.execute(
                "INSERT INTO repositories (id, tenant_id, agent_id, state, created_at, quarantine_bytes)"
                " SELECT 'rep_' || id, tenant_id, id, 'ready', enrolled_at, 3400000 FROM agents"
            )
        yield made


@pytest.fixture
def host(parts: Parts) -> Host:
    return Host(parts)


class Host:
    """One of the two hosts, with four snapshots a day apart."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        principal, _cookie = board.sign_in(parts)
        self.agent = enrolment.find(parts.database, principal)[0]
        self.id, self.name = AgentId(self.agent.id), self.agent.hostname

    def snapshots(self) -> list[ListedSnapshot]:
        """Return its snapshots, newest first."""
        principal, _cookie = board.sign_in(self.parts)
        return listing.look(self.parts.database, principal, SnapshotChoice(agent_id=self.id)).snapshots

    def keep(self, why: CheckpointWhy, job_id: str = "", *, after: int = 1) -> Checkpoint:
        """Keep a checkpoint of right after one of its snapshots, counted from the newest."""
        made_at = self.snapshots()[after].ended_at + timedelta(seconds=1)
        checkpoint = Checkpoint(
            id=new_id("chk"),
            tenant_id=self.agent.tenant_id,
            agent_id=self.id,
            moment=7,
            made_at=made_at,
            why=why,
            job_id=job_id,
            expires_at=clock.now() + timedelta(days=14),
            state=CheckpointState.MADE,
            own_bytes=12_300_000,
        )
        self.parts.database.write(lambda connection: table_checkpoints.insert(connection, checkpoint))
        return checkpoint

    def freeze(self) -> Checkpoint:
        """Let it have done everything at once; what was before is kept."""
        archives = [snapshot.archive_id for snapshot in self.snapshots()[2:]]

        def write(connection: sqlite3.Connection) -> str:
            raising.raise_alert(
                connection, self.agent.tenant_id, self.id, AlertKind.HOSTILE, before=7, findings=FINDINGS
            )
            repositories.freeze(connection, self.id, "hostile-changes")
            table_protection.set_lost(connection, self.id, archives, clock.now())
            alert = alerts.open_of_kind(connection, self.agent.tenant_id, self.id, AlertKind.HOSTILE)
            assert alert is not None
            return alert.id

        return self.keep(CheckpointWhy.HOSTILE, self.parts.database.write(write))

    def is_frozen(self) -> bool:
        repository = repositories.of_agent(self.parts.database.read, self.id)
        return repository is not None and repository.frozen_at is not None

    def waiting(self, kind: Kind) -> list[str]:
        """Return the checkpoint (or nothing) that the jobs of a kind which wait are about."""
        found = jobs.waiting_of(self.parts.database.read, self.id, kind)
        return [str(job.order.get("checkpoint", "")) for job in found]

    def ended(self, kind: Kind, state: State, message: str) -> str:
        """Let a job of the appliance have ended."""
        job_id = self.begun(kind)
        self.parts.database.write(lambda connection: jobs.end(connection, job_id, state, "", message, 0))
        return job_id

    def begun(self, kind: Kind) -> JobId:
        """Let a job of the appliance run."""
        made = NewJob(
            id=JobId(new_id("job")),
            tenant_id=self.agent.tenant_id,
            agent_id=self.id,
            kind=kind,
            runs_on=RunsOn.APPLIANCE,
            order={},
            requested_by="system:retention",
        )

        def write(connection: sqlite3.Connection) -> None:
            lifecycle.request(connection, made)
            jobs.claim(connection, made.id, "appliance", clock.now() + timedelta(hours=1))

        self.parts.database.write(write)
        return made.id


def visit(parts: Parts, path: str, journey: Callable[[Hands], Awaitable[None]]) -> None:
    async def go() -> None:
        _principal, cookie = board.sign_in(parts)
        async with board.visitor(parts, cookie) as user:
            await user.open(path)
            await journey(Hands(user))

    asyncio.run(go())


def buttons(hands: Hands) -> set[str]:
    return {getattr(element, "text", "") for element in hands.elements if element.tag == "button"}


def test_frozen_host_stands_first_on_the_overview_and_says_what_was_found(parts: Parts, host: Host) -> None:
    host.freeze()

    async def overview(hands: Hands) -> None:
        await hands.read("One host needs you.")
        assert "Changed its repository oddly" in hands.grid_texts()

    async def page(hands: Hands) -> None:
        await hands.read(
            "The repository is frozen",
            "2 snapshots were deleted that were to stay.",
            "31 pieces of data that snapshots need were deleted.",
            "A piece of data that snapshots need was overwritten.",
            "The list of archives shrank by 2.0",
            "About 500 archives were added that no backup made.",
            "5 pieces of data were written that its key did not make.",
            "4 pieces of data were written that look like old ones sent again.",
            "One backup added 90",
            f"Look first: who worked on {host.name}",
        )
        assert "Carry retention out now" not in buttons(hands)
        assert "while it is frozen" in hands.grid_texts()

    visit(parts, "/", overview)
    visit(parts, f"/agents/{host.id}", page)


def test_roll_back_takes_two_clicks_and_the_typed_name(parts: Parts, host: Host) -> None:
    checkpoint = host.freeze()

    async def journey(hands: Hands) -> None:
        await hands.read("The repository is frozen")
        hands.press("Roll back to before it…")
        await hands.read(
            f"Roll {host.name} back?", "2 snapshots come back", "1 newer snapshot goes", "kept for 14 days"
        )
        assert Words("en").exact(host.snapshots()[0].started_at).split(",")[0] in " ".join(hands.texts)
        with pytest.raises(AssertionError, match="cannot be pressed"):
            hands.press("Roll back")
        hands.type(f"Type {host.name} to confirm", "another")
        with pytest.raises(AssertionError, match="cannot be pressed"):
            hands.press("Roll back")
        hands.type(f"Type {host.name} to confirm", f" {host.name} ")
        hands.press("Roll back")
        await hands.until(lambda: host.waiting(Kind.ROLL_BACK))

    visit(parts, f"/agents/{host.id}", journey)

    assert [checkpoint.id] == host.waiting(Kind.ROLL_BACK)


def test_roll_back_to_a_checkpoint_of_retention_warns_that_it_removes_again(parts: Parts, host: Host) -> None:
    checkpoint = host.keep(CheckpointWhy.RETENTION, after=0)
    oldest = host.snapshots()[3]
    parts.database.write(
        lambda connection: table_protection.remove(connection, host.id, [oldest.archive_id], "retention", "job_1")
    )
    parts.database.write(lambda connection: table_checkpoints.set_quarantine_days(connection, host.agent.tenant_id, 0))

    async def journey(hands: Hands) -> None:
        await hands.until(lambda: checkpoint.id in row_ids(hands))
        hands.act(checkpoint.id, "roll-back")
        await hands.read("1 snapshot comes back", "No snapshot goes.", "Retention would remove them again")
        await hands.read("this cannot be undone")
        assert {"Before snapshots were removed", "12 MB"} <= {text.replace("\xa0", " ") for text in hands.grid_texts()}

    visit(parts, f"/agents/{host.id}", journey)


def row_ids(hands: Hands) -> set[str]:
    return {row.id for element in hands.elements for row in getattr(element, "rows", ())}


def test_let_retention_go_on_asks_once_more_and_thaws(parts: Parts, host: Host) -> None:
    host.freeze()

    async def journey(hands: Hands) -> None:
        await hands.read("The repository is frozen")
        hands.press("It was meant: go on…")
        await hands.read("Was all of this meant?")
        assert host.is_frozen()
        hands.press("Go on")
        await hands.until(lambda: "The repository is frozen" not in hands.texts)
        await hands.until(lambda: "Carry retention out now" in buttons(hands))

    visit(parts, f"/agents/{host.id}", journey)

    assert not host.is_frozen()
    assert alerts.open_of_kind(parts.database.read, host.agent.tenant_id, host.id, AlertKind.HOSTILE) is None


@pytest.mark.parametrize(("role", "offered"), [("operator", {"Carry retention out now"}), ("viewer", set())])
def test_who_may_not_decide_reads_it_all_the_same(parts: Parts, host: Host, role: str, offered: set[str]) -> None:
    checkpoint = host.freeze()
    become(parts, role)
    ours = {"Carry retention out now", "Roll back to before it…", "It was meant: go on…"}

    async def frozen(hands: Hands) -> None:
        await hands.read("The repository is frozen", "An administrator decides.", "2 snapshots were deleted")
        assert checkpoint.id in row_ids(hands)
        assert set() == ours & buttons(hands)
        acts = [row.cells["acts"].acts for e in hands.elements for row in getattr(e, "rows", ()) if row.id[:3] == "chk"]
        assert [()] == acts

    async def thawed(hands: Hands) -> None:
        await hands.read("Protection", "Checkpoints are kept for")
        assert offered == ours & buttons(hands)

    visit(parts, f"/agents/{host.id}", frozen)
    parts.database.write(lambda connection: repositories.thaw(connection, host.id))
    visit(parts, f"/agents/{host.id}", thawed)


def test_retention_is_carried_out_on_a_press(parts: Parts, host: Host) -> None:
    parts.database.write(lambda connection: connection.execute("UPDATE agents SET kinds = 'prune'"))

    async def journey(hands: Hands) -> None:
        await hands.until(lambda: "Carry retention out now" in buttons(hands))
        hands.press("Carry retention out now")
        await hands.until(lambda: host.waiting(Kind.RETENTION))
        await hands.until(lambda: "Retention" in hands.grid_texts())

    visit(parts, f"/agents/{host.id}", journey)


def test_lost_snapshot_is_shown_as_such_and_offers_no_restore(parts: Parts, host: Host) -> None:
    host.freeze()
    good, lost = host.snapshots()[0], host.snapshots()[2]

    async def in_list(hands: Hands) -> None:
        await hands.until(lambda: row_ids(hands))
        assert {lost.id, host.snapshots()[3].id} == row_ids(hands)
        assert {"Lost: its archive is gone"} <= set(hands.grid_texts())
        acts = [act.id for e in hands.elements for row in getattr(e, "rows", ()) for act in row.cells["acts"].acts]
        assert ["files", "pin", "files", "pin"] == acts

    async def on_host(hands: Hands) -> None:
        await hands.until(lambda: good.id in row_ids(hands))
        rows = {row.id: row for e in hands.elements for row in getattr(e, "rows", ())}
        assert ["files", "pin", "restore"] == [act.id for act in rows[good.id].cells["acts"].acts]
        assert ["files", "pin"] == [act.id for act in rows[lost.id].cells["acts"].acts]

    async def itself(hands: Hands) -> None:
        await hands.read("its archive is gone", "The archive of this snapshot is gone from the repository")
        assert "Restore…" not in buttons(hands)

    visit(parts, f"/snapshots?state=lost&search={host.name}", in_list)
    visit(parts, f"/agents/{host.id}", on_host)
    visit(parts, f"/snapshots/{lost.id}", itself)


def test_snapshots_are_chosen_by_how_they_stand(parts: Parts, host: Host) -> None:
    newest, second, third, fourth = (snapshot.id for snapshot in host.snapshots())
    standings = {second: "suspect", third: "damaged", fourth: "lost"}
    with sqlite3.connect(parts.settings.database) as connection:
        connection.executemany("UPDATE snapshots SET standing = ? WHERE id = ?", [(s, i) for i, s in standings.items()])

    async def journey(hands: Hands) -> None:
        await hands.until(lambda: len(row_ids(hands)) == 4)
        for state, wanted in {"good": newest, "suspect": second, "damaged": third, "lost": fourth}.items():
            hands.choose("State", state)
            await hands.until(lambda wanted=wanted: row_ids(hands) == {wanted}, state)

    visit(parts, f"/snapshots?search={host.name}", journey)


def test_days_are_kept_and_a_wrong_number_is_told(parts: Parts, host: Host) -> None:
    def days() -> int:
        return table_checkpoints.quarantine_days(parts.database.read, host.agent.tenant_id)

    async def journey(hands: Hands) -> None:
        await hands.read("Checkpoints are kept for 14 days", "they hold 6.8")
        await hands.until(lambda: hands.field("Days").props["value"] == "14")
        for wrong in ("366", "-1", "two", ""):
            hands.type("Days", wrong)
            hands.press("Save: Checkpoints")
            await hands.read("A whole number from 0 to 365.")
        assert 14 == days()
        hands.type("Days", " 30 ")
        hands.press("Save: Checkpoints")
        await hands.read("Checkpoints are kept for 30 days")

    visit(parts, "/settings", journey)

    assert 30 == days()


def test_viewer_reads_for_how_long_and_changes_nothing(parts: Parts) -> None:
    become(parts, "viewer")

    async def journey(hands: Hands) -> None:
        await hands.read("Checkpoints are kept for 14 days")
        assert "Save" not in buttons(hands)

    visit(parts, "/settings", journey)


def test_monitoring_tells_apart_what_checkpoints_hold(parts: Parts) -> None:
    async def journey(hands: Hands) -> None:
        await hands.read("checkpoints hold 6.8")

    visit(parts, "/monitoring", journey)


def test_job_of_a_compaction_tells_sizes_for_people(parts: Parts, host: Host) -> None:
    message = told(Ended.COMPACTED, freed_bytes=1_234_567_890, held_bytes=5_000_000)
    job_id = host.ended(Kind.COMPACT, lifecycle.State.DONE, message)

    async def english(hands: Hands) -> None:
        await hands.read("1.2\xa0GB freed in the repository; checkpoints hold 5.0\xa0MB.")
        hands.tick("fr")
        await hands.read("1,2\xa0Go libérés dans le dépôt ; les points de contrôle retiennent 5,0\xa0Mo.")

    visit(parts, f"/jobs/{job_id}", english)


def test_compaction_that_runs_tells_how_far_it_is(parts: Parts, host: Host) -> None:
    job_id = host.begun(Kind.COMPACT)
    said = Progress(phase="compacting", files_count=374, total_files_count=1000)
    parts.database.write(lambda connection: lifecycle.note_progress(connection, job_id, None, said, 3600))

    async def journey(hands: Hands) -> None:
        await hands.read("Giving space back", "37%")
        assert not [text for text in hands.texts if "374" in text]

    visit(parts, f"/jobs/{job_id}", journey)
