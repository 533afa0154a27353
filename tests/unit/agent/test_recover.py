"""What a rescue system believes of the appliance, and where it puts the identity of the host."""

from __future__ import annotations

import hashlib
import ssl
from pathlib import Path

import pytest

from saveos.agent import recover
from saveos.agent.failures import Failure
from saveos.agent.settings import Config, Home, write_private
from saveos.certificates.authority import open_authority

FINAL = Path("/etc/saveos-agent/config.json")
CONFIG = Config(
    addresses=("127.0.0.1:1",), agent_id="agt_1", hostname="h", recovery_public_key="", credentials=recover.CREDENTIALS
)


def fingerprint(pem: str) -> str:
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest()


def padded(folder: Path) -> str:
    """Make a root whose base64 ends with a mark: a decoder reads no further, and would not see what is behind it."""
    for number in range(100):
        pem = open_authority(folder / str(number)).root_pem
        if "=" in pem:
            return pem
    raise AssertionError


def test_certificate_behind_the_proven_one_is_not_trusted(tmp_path: Path) -> None:
    real, evil = padded(tmp_path), open_authority(tmp_path / "evil").root_pem

    trusted = recover.proven(real + evil, fingerprint(real), "127.0.0.1:1")

    assert (1, fingerprint(real)) == (trusted.count("BEGIN"), fingerprint(trusted))


@pytest.mark.parametrize("pem", ["", "no certificate", "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"])
def test_root_that_cannot_be_read_is_another_appliance(pem: str) -> None:
    with pytest.raises(Failure, match="unreadable"):
        recover.proven(pem, hashlib.sha256(b"").hexdigest(), "127.0.0.1:1")


@pytest.mark.parametrize("name", ["credentials", "state"])
def test_identity_stays_in_the_target_whatever_links_were_restored_there(tmp_path: Path, name: str) -> None:
    target, outside = tmp_path / "target", tmp_path / "outside"
    outside.mkdir()
    place = target / FINAL.parent.relative_to("/")
    place.mkdir(parents=True)
    (place / name).symlink_to(outside)
    home = Home(target / recover.FOLDER / "config.json")
    home.prepare()
    for file in ("agent.key", "agent.pem", "token"):
        write_private(home.credentials(recover.CREDENTIALS) / file, b"secret")
    write_private(home.passphrase, b"passphrase")
    write_private(home.root, b"root")

    settled = recover.settle(home, CONFIG, target, FINAL)

    assert [] == list(outside.iterdir())
    assert b"secret" == (settled.credentials(recover.CREDENTIALS) / "agent.key").read_bytes()
    assert settled.state.is_dir()
    assert not settled.state.is_symlink()
