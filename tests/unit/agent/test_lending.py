"""Whom a host seals its key to, and who can open it."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives import serialization

from saveos.agent.failures import Failure
from saveos.agent.lending import seal, unseal
from saveos.agent.settings import Config, Home
from saveos.certificates import issuance
from saveos.certificates.authority import Authority, open_authority
from saveos.protocol import AgentId, JobId, SealKey
from tests.support.host import certificate_request

if TYPE_CHECKING:
    from pathlib import Path

LENDER, BORROWER, JOB = AgentId("agt_lender"), AgentId("agt_borrower"), JobId("job_one")


def config(agent_id: AgentId, *, keeps_key: bool = False) -> Config:
    return Config(
        addresses=("127.0.0.1:1",), agent_id=agent_id, hostname="h", recovery_public_key="", keeps_key=keeps_key
    )


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return open_authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def lender(authority: Authority, tmp_path: Path) -> Home:
    home = Home(tmp_path / "lender" / "config.json")
    home.prepare()
    home.root.write_text(authority.root_pem)
    home.passphrase.write_text("the passphrase\n")
    return home


def borrower(authority: Authority, folder: Path) -> tuple[Home, str]:
    home = Home(folder / "config.json")
    home.prepare()
    key, csr = certificate_request()
    home.credentials("1").mkdir(parents=True)
    (home.credentials("1") / "agent.key").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return home, issuance.sign_agent(authority, csr, BORROWER, timedelta(days=1)).chain_pem


def test_key_sealed_to_a_host_of_ours_opens_there_alone(authority: Authority, lender: Home, tmp_path: Path) -> None:
    home, chain = borrower(authority, tmp_path / "borrower")
    stranger, _chain = borrower(authority, tmp_path / "stranger")

    answer = seal(lender, config(LENDER), SealKey(job_id=JOB, certificate=chain))

    assert b"the passphrase\n" == unseal(home, config(BORROWER), LENDER, JOB, answer.sealed)
    for who, lent_by, job in ((stranger, LENDER, JOB), (home, BORROWER, JOB), (home, LENDER, JobId("job_two"))):
        with pytest.raises(Failure):
            unseal(who, config(BORROWER), lent_by, job, answer.sealed)


def test_key_is_not_sealed_to_a_host_of_another_appliance(lender: Home, tmp_path: Path) -> None:
    _home, chain = borrower(open_authority(tmp_path / "other"), tmp_path / "borrower")

    answer = seal(lender, config(LENDER), SealKey(job_id=JOB, certificate=chain))

    assert ("", True) == (answer.sealed, answer.error.startswith("That is no certificate of a host"))


def test_key_is_not_sealed_to_the_appliance_itself(authority: Authority, lender: Home) -> None:
    issuance.ensure_server_certificate(authority, ["localhost"], timedelta(days=1))

    answer = seal(lender, config(LENDER), SealKey(job_id=JOB, certificate=authority.server_chain_path.read_text()))

    assert "" == answer.sealed


@pytest.mark.parametrize(
    "chain", ["", "no certificate", "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----"]
)
def test_key_is_not_sealed_to_what_is_no_certificate(lender: Home, chain: str) -> None:
    answer = seal(lender, config(LENDER), SealKey(job_id=JOB, certificate=chain))

    assert "" == answer.sealed != answer.error


def test_host_that_keeps_its_key_seals_it_to_nobody(authority: Authority, lender: Home, tmp_path: Path) -> None:
    _home, chain = borrower(authority, tmp_path / "borrower")

    answer = seal(lender, config(LENDER, keeps_key=True), SealKey(job_id=JOB, certificate=chain))

    assert "" == answer.sealed != answer.error
