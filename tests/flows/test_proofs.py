"""A repository whose bytes change, and restores that prove themselves: real appliance, agent and Borg."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

import pytest

from saveos.protocol import DrillStatement
from tests.support.agent import RealAgent, back_up_only, database, put_base
from tests.support.appliance import Appliance, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def appliance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Appliance]:
    with Appliance.started(tmp_path_factory.mktemp("proofs")) as appliance:
        appliance.set_up()
        put_base(appliance)
        yield appliance


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files large enough to be chunks of their own, and small ones."""
    tree = tmp_path_factory.mktemp("host") / "tree"
    tree.mkdir()
    for number in range(6):
        (tree / f"large-{number}").write_bytes(os.urandom(700_000))
    for number in range(20):
        (tree / f"small-{number:02d}").write_text(f"{number}\n" * 50)
    return tree


@pytest.fixture(scope="module")
def served(appliance: Appliance, tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealAgent]:
    back_up_only(appliance, tree)
    agent = RealAgent.enrolled(appliance, tmp_path_factory.mktemp("served"), hostname="served")
    agent.start_daemon()
    try:
        agent.first_backup()
        yield agent
    finally:
        agent.stop()


def ask(agent: RealAgent, what: str) -> dict[str, Any]:
    job = agent.appliance.call("POST", f"/api/v1/agents/{agent.id}/{what}").expect(202)
    return agent.appliance.wait_for_job((job.get("job") or job)["id"])


def proofs(agent: RealAgent) -> dict[str, Any]:
    return agent.appliance.call("GET", f"/api/v1/agents/{agent.id}/proofs").expect(200)


def test_drill_proves_a_restore_and_is_signed(served: RealAgent) -> None:
    job = ask(served, "drill")

    assert (job["state"], job["error_code"]) == ("done", ""), job
    drill = proofs(served)["drills"][0]
    print(drill)
    assert drill["mismatches_count"] == 0
    assert drill["files_count"] > 5
    agent = served.appliance.call("GET", f"/api/v1/agents/{served.id}").expect(200)
    assert agent["proven_at"] is not None
    assert not list((served.folder / "agent" / "state").glob("drill-*"))


def test_verification_goes_through_all_objects(served: RealAgent) -> None:
    job = ask(served, "verify")

    assert job["state"] == "done", job
    check = proofs(served)["check"]
    assert check["verified_at"] is not None
    assert check["verify_objects_count"] > 6


def test_check_reads_all(served: RealAgent) -> None:
    job = ask(served, "check")

    assert job["state"] == "done", job
    check = proofs(served)["check"]
    assert check["checked_at"] is not None
    assert check["objects_count"] > 6
