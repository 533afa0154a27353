"""The line between a host and the appliance breaks, freezes, or leads nowhere for a while."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from saveos.protocol import SILENCE_SECONDS
from tests.support.appliance import wait_until

if TYPE_CHECKING:
    from tests.faults.conftest import Patient

pytestmark = pytest.mark.faults


def test_line_reset_in_mid_backup(patient: Patient) -> None:
    with patient.under_way() as job_id:
        patient.proxy.drop()

    patient.recovered(job_id)


@pytest.mark.matrix
def test_line_cut_for_longer_than_the_lease(patient: Patient) -> None:
    with patient.under_way() as job_id:
        patient.proxy.cut()
        wait_until(lambda: patient.appliance.job(job_id)["state"] != "running", 60, "the lease to run out")
        patient.proxy.restore()

    patient.recovered(job_id)


@pytest.mark.matrix
def test_line_frozen_until_both_ends_give_up(patient: Patient) -> None:
    with patient.under_way() as job_id:
        patient.proxy.freeze()
        time.sleep(SILENCE_SECONDS + 5)
        patient.proxy.drop()
        patient.proxy.thaw()

    patient.recovered(job_id)


@pytest.mark.matrix
def test_line_frozen_for_a_moment_costs_nothing(patient: Patient) -> None:
    with patient.under_way() as job_id:
        patient.proxy.freeze()
        time.sleep(2)
        patient.proxy.thaw()

    assert patient.recovered(job_id)["attempts"] == 1


@pytest.mark.matrix
def test_appliance_restarts_while_the_agent_waits_for_work(patient: Patient) -> None:
    appliance = patient.appliance
    for how in (appliance.stop, appliance.kill):
        how()
        appliance.start()
        wait_until(
            lambda: appliance.call("GET", f"/api/v1/agents/{patient.agent.id}").expect(200)["is_online"],
            60,
            "the agent to be back",
        )
        patient.change()
        patient.assert_protected()


@pytest.mark.matrix
def test_appliance_stopped_in_order_in_mid_backup(patient: Patient) -> None:
    appliance = patient.appliance
    with patient.under_way() as job_id:
        assert appliance.stop() == 0
        appliance.start()

    patient.recovered(job_id)
