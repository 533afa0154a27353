"""An authority with hosts that signed drills, and reports of them, without an appliance that serves."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from saveos.certificates.issuance import sign_agent
from saveos.protocol import DRILL_CONTEXT, AgentId, DrillStatement, JobId, SignedDrill

if TYPE_CHECKING:
    from saveos.certificates.authority import Authority
    from saveos.certificates.issuance import Issued

HASH = ec.ECDSA(hashes.SHA256())


@dataclass
class Signer:
    """A host with its key and its certificate."""

    agent_id: str
    hostname: str
    key: ec.EllipticCurvePrivateKey
    issued: Issued

    @classmethod
    def of(cls, authority: Authority, agent_id: str, hostname: str) -> Signer:
        """Give a host a certificate."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, hostname)])
        csr = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
        pem = csr.public_bytes(Encoding.PEM).decode()
        return cls(agent_id, hostname, key, sign_agent(authority, pem, AgentId(agent_id), timedelta(days=90)))

    def sign(self, job_id: str, nonce: str, **more: Any) -> SignedDrill:
        """Sign a statement of twelve files that came back, or what else is said."""
        now = datetime.now(UTC)
        facts = {"agent_id": AgentId(self.agent_id), "hostname": self.hostname, "files_count": 12, **more}
        statement = DrillStatement(job_id=JobId(job_id), nonce=nonce, began_at=now, ended_at=now, **facts)
        text = msgspec.json.encode(statement)
        signature = base64.b64encode(self.key.sign(DRILL_CONTEXT + text, HASH)).decode()
        return SignedDrill(statement=text.decode(), signature=signature, certificate=self.issued.chain_pem)
