"""Become a host under protection: identity, repository, sealed key. Each step can be killed and done again."""

from __future__ import annotations

import base64
import contextlib
import json
import secrets
from typing import TYPE_CHECKING

import msgspec

from saveos import __version__
from saveos.agent import addresses, identity
from saveos.agent.borg import Run
from saveos.agent.client import Client
from saveos.agent.failures import Failure, Refused
from saveos.agent.settings import Config, Home, write_private
from saveos.agent.system import host_name, platform
from saveos.protocol import ESCROW_INFO, EnrolRequest, EscrowContents, EscrowRequest, Stamp, TunnelMode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from saveos.protocol import SealWanted

FIRST = "1"
ALREADY_SEALED = 409
RECOVERY = "recovery"


def enrol(home: Home, stamp: Stamp) -> Config:
    """Spend the stamp's token and make the host ready. Raises Failure.

    A host that is enrolled already only finishes what is missing; one that is ready says so.
    """
    home.prepare()
    config = home.load()
    if config is not None and config.is_sealed:
        message = (
            f"This host is enrolled already, as {config.hostname}. To enrol it anew: saveos-agent uninstall --purge."
        )
        raise Failure("already-enrolled", message)
    if config is None:
        config = _register(home, stamp)
    return protect(home, config)


def protect(home: Home, config: Config, recovery_public_key: str = "") -> Config:
    """Make the repository and hand its key over, sealed; return the configuration of a ready host.

    `recovery_public_key`: if the tenant's is another one by now than at enrolment.
    """
    if recovery_public_key:
        config = msgspec.structs.replace(config, recovery_public_key=recovery_public_key)
    client = Client.for_host(home, config)
    if client.status().state != "ready":
        if not home.passphrase.exists():
            write_private(home.passphrase, secrets.token_hex(32).encode())
        _make_repository(home, config)
        try:
            client.escrow(_sealed(home, config, config.recovery_public_key, RECOVERY))
        except Refused as refusal:
            if refusal.status != ALREADY_SEALED:
                raise
    ready = msgspec.structs.replace(config, is_sealed=True)
    home.save(ready)
    client.close()
    return ready


def seal(home: Home, config: Config, wanted: Sequence[SealWanted]) -> Config:
    """Seal the repository's key to other public keys, as the appliance asks; return the configuration since then."""
    client = Client.for_host(home, config)
    with contextlib.closing(client):
        for one in wanted:
            try:
                client.escrow(_sealed(home, config, one.public_key, one.purpose))
            except Refused as refusal:
                if refusal.status != ALREADY_SEALED:
                    raise
            if one.purpose == RECOVERY:
                config = msgspec.structs.replace(config, recovery_public_key=one.public_key)
                home.save(config)
    return config


def renew(home: Home, config: Config) -> Config:
    """Get the next certificate with a new key, and use it from now on."""
    name = str(int(config.credentials) + 1)
    client = Client.for_host(home, config)
    renewal = client.renew(identity.make_request(home, name))
    client.close()
    identity.keep(home, name, renewal.certificate, renewal.agent_token)
    return identity.switch(home, config, name)


def _register(home: Home, stamp: Stamp) -> Config:
    home.addresses.unlink(missing_ok=True)  # of another appliance, perhaps
    write_private(home.root, stamp.root_certificate.encode())
    request = EnrolRequest(
        token=stamp.token,
        csr=identity.make_request(home, FIRST),
        hostname=host_name(),
        platform=platform(),
        agent_version=__version__,
    )
    client = Client.for_enrolment(stamp.addresses, home.root)
    enrolment = client.enrol(request)
    identity.keep(home, FIRST, enrolment.certificate, enrolment.agent_token)
    config = Config(
        addresses=client.addresses,
        agent_id=enrolment.agent_id,
        hostname=enrolment.hostname,
        tenant_name=enrolment.tenant_name,
        recovery_public_key=enrolment.recovery_public_key,
        credentials=FIRST,
        heartbeat_seconds=enrolment.heartbeat_seconds,
    )
    home.save(config)
    addresses.keep(home, enrolment.addresses, enrolment.addresses_serial, client.at)
    return config


def _make_repository(home: Home, config: Config) -> None:
    """Make the repository; one that an interrupted enrolment made already is taken as it is."""
    try:
        _run(home, config, "init", "--encryption=repokey-blake2")
    except Failure as failure:
        if failure.code != "repository-exists":
            raise


def _sealed(home: Home, config: Config, public_key: str, purpose: str) -> EscrowRequest:
    """Export the key and seal it with the passphrase to a public key: HPKE, RFC 9180."""
    from cryptography.hazmat.primitives import hpke  # noqa: PLC0415 - only enrolment needs it
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey  # noqa: PLC0415

    facts = json.loads(_run(home, config, "info", "--json"))
    repository_id = str(facts["repository"]["id"])
    contents = EscrowContents(
        passphrase=home.passphrase.read_text().strip(),
        key_export=_run(home, config, "key", "export", "::", "-"),
        repository_id=repository_id,
        agent_id=config.agent_id,
        hostname=config.hostname,
    )
    suite = hpke.Suite(hpke.KEM.X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.CHACHA20_POLY1305)
    try:
        public = X25519PublicKey.from_public_bytes(base64.b64decode(public_key))
        sealed = suite.encrypt(msgspec.json.encode(contents), public, ESCROW_INFO + config.agent_id.encode())
    except ValueError as error:
        raise Failure("public-key-wrong", f"Nothing can be sealed to {public_key}: {error}.") from error
    return EscrowRequest(
        sealed=base64.b64encode(sealed).decode(), repository_id=repository_id, public_key=public_key, purpose=purpose
    )


def _run(home: Home, config: Config, *arguments: str) -> str:
    # key export writes to a file only: "-" is standard output
    command: Sequence[str] = ["--log-json", "--lock-wait", "60", *arguments]
    mode = TunnelMode.WRITE if arguments[0] == "init" else TunnelMode.READ
    outcome = Run(home, config, command, mode=mode).wait()
    if not outcome.is_good:
        raise Failure(outcome.code, f"borg {arguments[0]} failed: {outcome.message}")
    return outcome.output
