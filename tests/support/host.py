"""A host as the wire sees it: key, certificate and token, without the agent's own code."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from saveos.repositories.evidence import Evidence
from tests.support.agent import database

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.appliance import Answer, Appliance


def certificate_request() -> tuple[ec.EllipticCurvePrivateKey, str]:
    """Return a new key and its request as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
    return key, request.public_bytes(serialization.Encoding.PEM).decode()


@dataclass
class WireHost:
    """An enrolled host that speaks the protocol by hand."""

    appliance: Appliance
    folder: Path
    enrolment: dict[str, Any]

    @classmethod
    def enrolled(cls, appliance: Appliance, folder: Path, hostname: str = "wire") -> WireHost:
        """Provision and enrol."""
        made = appliance.call("POST", "/api/v1/agents/provision", {"hostname": hostname}).expect(201)
        return cls.enrolled_with(appliance, folder, made["token"])

    @classmethod
    def enrolled_with(cls, appliance: Appliance, folder: Path, token: str) -> WireHost:
        """Enrol with a token."""
        key, csr = certificate_request()
        answer = register(appliance, token, csr)
        host = cls(appliance, folder, answer.expect(201))
        folder.mkdir(parents=True, exist_ok=True)
        host.keep(key, host.enrolment["certificate"])
        return host

    @property
    def id(self) -> str:
        """The agent's id."""
        return str(self.enrolment["agent_id"])

    @property
    def token(self) -> str:
        """The agent's token."""
        return str(self.enrolment["agent_token"])

    def keep(self, key: ec.EllipticCurvePrivateKey, certificate: str) -> None:
        """Write key and certificate where a TLS context can load them."""
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        (self.folder / "agent.key").write_bytes(private)
        (self.folder / "agent.pem").write_text(certificate)

    def call(self, method: str, path: str, body: Any = None, token: str | None = None) -> Answer:
        """Call as the agent: its certificate, and its token unless another is given."""
        context = self.appliance.context(self.folder / "agent.pem", self.folder / "agent.key")
        bearer = self.token if token is None else token
        return self.appliance.call(method, path, body, token=bearer, name="agent.saveos.internal", context=context)

    def make_ready(self) -> None:
        """Hand over something in the place of a sealed key."""
        sealed = base64.b64encode(bytes(100)).decode()
        body = {"sealed": sealed, "repository_id": "ab" * 32}
        self.call("POST", "/api/v1/agents/escrow", body).expect(204)

    def report_made(self, assignment: dict[str, Any], **facts: Any) -> Answer:
        """Say that a backup is made, whose archive shall have come through the tunnel."""
        job_id = assignment["job_id"]
        archive = {"name": assignment["backup"]["archive"], "archive_id": job_id.encode().hex().ljust(64, "0"), **facts}
        seen = Evidence(base=0, at=datetime.now(UTC), job_id=job_id, newest_id=archive["archive_id"])
        with database(self.appliance) as connection:
            connection.execute(
                "INSERT INTO writes (agent_id, name, job_id, at, put_bytes, facts_json) VALUES (?, ?, ?, '', 0, ?)"
                " ON CONFLICT DO NOTHING",
                (self.id, job_id, job_id, msgspec.json.encode(seen).decode()),
            )
        return self.call("POST", f"/api/v1/jobs/{job_id}/report", {"outcome": "done", "archive": archive})

    def heartbeat(self, **said: Any) -> dict[str, Any]:
        """Send a heartbeat and return the answer."""
        answer: dict[str, Any] = self.call("POST", "/api/v1/agents/heartbeat", said).expect(200)
        return answer


def register(appliance: Appliance, token: str, csr: str, hostname: str = "wire") -> Answer:
    """Ask to enrol."""
    body = {"token": token, "csr": csr, "hostname": hostname}
    return appliance.call("POST", "/api/v1/agents/register", body, token="", name="enrol.saveos.internal")
