"""Thousands of commits of one session are judged at once, and what later judgements need of them stays."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec
import pytest

from saveos import clock
from saveos.protocol import AgentId
from saveos.repositories import evidence
from saveos.repositories import table as repositories
from saveos.repositories.evidence import Evidence
from saveos.snapshots import table_protection, witness
from tests.support.big_fleet import plant
from tests.ui import board

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from saveos.parts import Parts
    from saveos.repositories.model import Repository

NOW = datetime(2026, 11, 1, tzinfo=UTC)


@pytest.fixture
def parts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Parts]:
    with board.appliance(tmp_path_factory.mktemp("witness")) as made:
        plant(made.settings.database, 1, 4)
        yield made


@pytest.fixture
def agent_id(parts: Parts) -> AgentId:
    row = parts.database.read.execute("SELECT id, tenant_id FROM agents").fetchone()
    parts.database.write(
        lambda connection: (
            connection.execute(
                "INSERT INTO repositories (id, tenant_id, agent_id, state, created_at, settled_segment, stored_bytes)"
                " VALUES ('rep_1', ?, ?, 'ready', '', 1, 1000)",
                tuple(row)[::-1],
            ).rowcount
        )
    )
    data = repositories.repository_path(parts.settings, row["tenant_id"], row["id"]) / "data" / "0"
    data.mkdir(parents=True)
    (data / "100000").write_bytes(evidence.COMMIT)
    return AgentId(row["id"])


def leave(folder: Path, *commits: Evidence) -> None:
    """Leave evidence as a session does; thousands are not brought to the disk one by one."""
    folder.mkdir(parents=True, exist_ok=True)
    base = len(list(folder.iterdir()))
    for number, commit in enumerate(commits, base):
        (folder / f"{commit.base:020d}-{number}.json").write_bytes(msgspec.json.encode(commit))


def test_flood_is_judged_forgotten_but_for_what_is_needed_and_judged_once(parts: Parts, agent_id: AgentId) -> None:
    connection, folder = parts.database.read, parts.settings.evidence / agent_id
    for job in range(3):
        leave(folder, Evidence(base=2 + job, at=NOW, job_id=f"job_{job}", put_bytes=100, manifest_bytes=500))
    leave(folder, *(Evidence(base=10 + one, at=NOW, job_id="job_flood", put_bytes=7) for one in range(2900)))

    witness.judge(parts.database, parts.settings, agent_id)
    witness.judge(parts.database, parts.settings, agent_id)

    kept = connection.execute("SELECT count(*) FROM writes").fetchone()[0]
    assert kept == witness.WRITES_KEPT + 4  # the first commit of each job
    assert [] == list(folder.iterdir())
    for job, base in (("job_0", 2), ("job_2", 4), ("job_flood", 10)):
        assert (base, clock.to_text(NOW)) == table_protection.found_by(connection, agent_id, job)
    assert 500 == table_protection.last_manifest(connection, agent_id)[0]
    assert ["job_0", "job_1", "job_2", "job_flood"] == list(table_protection.bytes_of_jobs(connection, agent_id, 20))


def test_what_the_end_of_a_job_has_judged_is_not_judged_again_at_the_end_of_its_session(
    parts: Parts, agent_id: AgentId
) -> None:
    folder, many = parts.settings.evidence / agent_id, 2 * witness.WRITES_KEPT
    leave(
        folder,
        *(Evidence(base=2 + one, at=NOW, job_id="job_1", put_bytes=7, manifest_bytes=500) for one in range(many)),
    )
    leave(folder, Evidence(base=2 + many, at=NOW, job_id="job_1", put_bytes=7, manifest_bytes=900))

    parts.database.write(lambda connection: witness.judge_in(connection, parts.settings, agent_id))
    connection = parts.database.read
    assert {"job_1": 7 * (many + 1)} == table_protection.bytes_of_jobs(connection, agent_id, 20)
    witness.judge(parts.database, parts.settings, agent_id)

    assert 900 == table_protection.last_manifest(connection, agent_id)[0]
    assert witness.WRITES_KEPT + 1 == connection.execute("SELECT count(*) FROM writes").fetchone()[0]


def test_growth_within_one_flood_is_seen_by_what_all_its_commits_add(parts: Parts, agent_id: AgentId) -> None:
    folder, gib = parts.settings.evidence / agent_id, 1024**3
    for job in range(5):
        leave(folder, Evidence(base=2 + job, at=NOW, job_id=f"job_{job}", put_bytes=gib))
    witness.judge(parts.database, parts.settings, agent_id)
    assert not _repository(parts, agent_id).frozen_at

    leave(folder, *(Evidence(base=10 + one, at=NOW, job_id="job_growing", put_bytes=gib // 100) for one in range(1100)))
    witness.judge(parts.database, parts.settings, agent_id)

    assert _repository(parts, agent_id).frozen_at


def test_archive_lost_in_one_of_many_commits_is_told(parts: Parts, agent_id: AgentId) -> None:
    folder = parts.settings.evidence / agent_id
    archive_id = parts.database.read.execute("SELECT archive_id FROM snapshots LIMIT 1").fetchone()[0]
    leave(folder, *(Evidence(base=2 + one, at=NOW) for one in range(50)))
    leave(folder, Evidence(base=60, at=NOW, archive_ids=(archive_id,), deleted_count=3))
    leave(folder, *(Evidence(base=70 + one, at=NOW) for one in range(50)))

    witness.judge(parts.database, parts.settings, agent_id)

    assert 3 == table_protection.snapshots_count(parts.database.read, agent_id)
    assert _repository(parts, agent_id).frozen_at


def _repository(parts: Parts, agent_id: AgentId) -> Repository:
    found = repositories.of_agent(parts.database.read, agent_id)
    assert found is not None
    return found
