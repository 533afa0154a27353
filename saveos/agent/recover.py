"""A host comes back on a new machine, from a rescue system: only address, fingerprint and recovery code are needed.

What is under way lies in `.saveos-recovery` in the target, for root alone: started again, it goes on where it was.
"""

from __future__ import annotations

import contextlib
import getpass
import hashlib
import shutil
import ssl
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from saveos.agent import identity, service
from saveos.agent.client import Client
from saveos.agent.failures import Failure
from saveos.agent.recovery_code import RecoveryCode
from saveos.agent.settings import Config, Home, write_private
from saveos.protocol import (
    ChallengeRequest,
    EscrowContents,
    RecoverableHost,
    RecoveryProof,
    RecoveryRequest,
)

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

FOLDER = ".saveos-recovery"
CREDENTIALS = "1"


def begin(options: argparse.Namespace) -> tuple[Home, Config]:
    """Take the host's place, or go on with what was begun in this target; return who we are. Raises Failure."""
    target = Path(options.target).absolute()
    if not target.is_dir():
        raise Failure("usage", f"{target} is no folder: mount the new disk there first.")
    home = Home(target / FOLDER / "config.json")
    config = home.load()
    if config is not None and options.host in (None, config.hostname, config.agent_id):
        return home, config
    root = _root(options.address, options.fingerprint)
    home.prepare()
    write_private(home.root, root.encode())
    code = RecoveryCode(_typed())
    client = Client.for_enrolment((options.address,), home.root)
    with contextlib.closing(client):
        return home, _take(home, client, code, options.host)


def settle(home: Home, config: Config, target: Path, final: Path) -> Home:
    """Put the identity where the restored system looks for it, and forget what was under way.

    `final`: the path of config.json as that system sees it. Raises Failure when a link there leads out of the target.
    """
    place = Home(target / final.relative_to("/"))
    service.require_inside(target, place.folder)
    for name in ("credentials", "state"):  # whatever was restored there: a link would lead our key out of the target
        if (place.folder / name).is_symlink():
            (place.folder / name).unlink()
    place.addresses.unlink(missing_ok=True)  # as old as the snapshot
    shutil.rmtree(place.folder / "credentials", ignore_errors=True)  # of the machine that burnt, should it be there
    place.prepare()
    write_private(place.root, home.root.read_bytes())
    for name in ("agent.key", "agent.pem", "token"):
        write_private(place.credentials(CREDENTIALS) / name, (home.credentials(CREDENTIALS) / name).read_bytes())
    write_private(place.passphrase, home.passphrase.read_bytes())
    place.save(config)
    shutil.rmtree(home.folder)
    return place


def _take(home: Home, client: Client, code: RecoveryCode, wanted: str | None) -> Config:
    challenge = client.recovery_challenge(ChallengeRequest(recovery_public_key=code.public_key))
    secret = code.answer(challenge)
    proof = RecoveryProof(challenge_id=challenge.challenge_id, secret=secret)
    host = _chosen(client.recovery_hosts(proof), wanted)
    csr = identity.make_request(home, CREDENTIALS)
    asked = RecoveryRequest(challenge_id=challenge.challenge_id, secret=secret, agent_id=host.agent_id, csr=csr)
    recovery = client.recover(asked)
    contents: EscrowContents = code.open_key(recovery.sealed_key, host.agent_id)
    write_private(home.passphrase, contents.passphrase.encode())
    identity.keep(home, CREDENTIALS, recovery.certificate, recovery.agent_token)
    config = Config(
        addresses=client.addresses,
        agent_id=recovery.agent_id,
        hostname=recovery.hostname,
        tenant_name=recovery.tenant_name,
        recovery_public_key=recovery.recovery_public_key,
        credentials=CREDENTIALS,
        is_sealed=True,
        heartbeat_seconds=recovery.heartbeat_seconds,
    )
    home.save(config)
    return config


def _chosen(hosts: Sequence[RecoverableHost], wanted: str | None) -> RecoverableHost:
    found = [host for host in hosts if wanted in (None, host.hostname, host.agent_id)]
    if len(found) == 1:
        return found[0]
    listed = "\n".join(f"  {host.agent_id}  {host.hostname}  last backup {host.last_backup_at}" for host in hosts)
    if not hosts:
        raise Failure("no-host", "No host of this tenant has a snapshot to come back from.")
    raise Failure("usage", f"Say which host with --host NAME or id. There are:\n{listed}")


def _root(address: str, fingerprint: str) -> str:
    """Return the root certificate of the appliance, once its fingerprint is the one on paper. Raises Failure."""
    unproven = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    unproven.check_hostname = False
    unproven.verify_mode = ssl.CERT_NONE  # nothing is believed of what comes but this fingerprint
    client = Client.unproven((address,), unproven)
    with contextlib.closing(client):
        pem = client.recovery_root().root_certificate
    return proven(pem, fingerprint, address)


def proven(pem: str, fingerprint: str, address: str) -> str:
    """Return the one certificate that the fingerprint is of, as PEM of our own writing. Raises Failure.

    What came may hold more than was hashed: another certificate behind the first would be trusted with it.
    """
    expected = fingerprint.replace(":", "").replace(" ", "").lower()
    try:
        der = ssl.PEM_cert_to_DER_cert(pem)
    except ValueError:
        der = b""
    found = hashlib.sha256(der).hexdigest() if der else "unreadable"
    if found != expected:
        raise Failure("wrong-appliance", f"{address} is another appliance: its fingerprint is {found}.")
    return ssl.DER_cert_to_PEM_cert(der)


def _typed() -> str:
    """Return the recovery code: asked for, or read from standard input. Never an argument: others see those."""
    if sys.stdin.isatty():
        return getpass.getpass("Recovery code: ")
    return sys.stdin.readline()
