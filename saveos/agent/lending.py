"""A repository's passphrase for one restore on another host of the tenant: sealed to its certificate's key.

It travels through the appliance, which cannot read it. That the other host is one, its certificate says: the
appliance's authority signed it, so who holds that authority could name a host of its own. `keeps_key` in config.json
ends all lending. `saveos-agent lend` does it beside a key that somebody unlocked, for a host that is gone: it reads a
LendOrder on standard input and the passphrase where Borg would, and writes a SealedKey.
"""

from __future__ import annotations

import base64
import os
import sys
from typing import TYPE_CHECKING

import msgspec

from saveos.agent.failures import Failure
from saveos.protocol import AGENT_URI, LENT_INFO, AgentId, JobId, LendOrder, SealedKey, SealKey

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

    from saveos.agent.settings import Config, Home


def seal(home: Home, config: Config, asked: SealKey) -> SealedKey:
    """Seal the passphrase to another agent's certificate; say why not when it is none of our appliance."""
    if config.keeps_key:
        return SealedKey(error="This host lends its key to nobody. Unlock its snapshots with the recovery code.")
    return _sealed(home.passphrase.read_bytes(), home.root.read_bytes(), config.agent_id, asked)


def main(_words: Sequence[str] = ()) -> int:
    """Seal an unlocked key in place of its host."""
    with os.fdopen(int(os.environ["BORG_PASSPHRASE_FD"]), "rb") as pipe:
        passphrase = pipe.read()
    try:
        order = msgspec.json.decode(sys.stdin.buffer.read(), type=LendOrder)
        answer = _sealed(passphrase, order.root.encode(), order.lender, order.seal_key)
    except msgspec.MsgspecError as error:
        answer = SealedKey(error=f"This is no order to lend a key: {error}.")
    sys.stdout.buffer.write(msgspec.json.encode(answer))
    return 1 if answer.error else 0


def _sealed(passphrase: bytes, root: bytes, lender: AgentId, asked: SealKey) -> SealedKey:
    from cryptography.hazmat.primitives import hpke  # noqa: PLC0415 - half a second that only few need

    try:
        public = _key_of(asked.certificate, root)
    except Failure as failure:
        return SealedKey(error=str(failure))
    suite = hpke.Suite(hpke.KEM.P256, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)
    sealed = suite.encrypt(passphrase, public, _info(lender, asked.job_id))
    return SealedKey(sealed=base64.b64encode(sealed).decode())


def unseal(home: Home, config: Config, lender: AgentId, job_id: JobId, sealed: str) -> bytes:
    """Return the passphrase of another host's repository. Raises Failure."""
    from cryptography.exceptions import InvalidTag  # noqa: PLC0415
    from cryptography.hazmat.primitives import hpke, serialization  # noqa: PLC0415

    pem = (home.credentials(config.credentials) / "agent.key").read_bytes()
    private = serialization.load_pem_private_key(pem, password=None)
    suite = hpke.Suite(hpke.KEM.P256, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)
    try:
        return suite.decrypt(base64.b64decode(sealed), private, _info(lender, job_id))  # type: ignore[arg-type]
    except (InvalidTag, ValueError) as error:
        raise Failure("passphrase-wrong", "The other host's key was not sealed to this one.") from error


def _info(lender: AgentId, job_id: JobId) -> bytes:
    return LENT_INFO + f" {lender} {job_id}".encode()


def _key_of(chain: str, root: bytes) -> EllipticCurvePublicKey:
    """Return the key of an agent's certificate that our root answers for. Raises Failure."""
    from cryptography import x509  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415
    from cryptography.x509 import verification  # noqa: PLC0415

    try:
        leaf, *others = x509.load_pem_x509_certificates(chain.encode())
        store = verification.Store(x509.load_pem_x509_certificates(root))
        verification.PolicyBuilder().store(store).build_client_verifier().verify(leaf, others)
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, x509.ExtensionNotFound, verification.VerificationError) as error:
        raise Failure("not-an-agent", f"That is no certificate of a host of our appliance: {error}.") from error
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    key = leaf.public_key()
    if not any(uri.startswith(AGENT_URI) for uri in uris) or not isinstance(key, ec.EllipticCurvePublicKey):
        raise Failure("not-an-agent", "That is no certificate of a host of our appliance.")
    return key
