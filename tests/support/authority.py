"""A small certificate authority for tests that need no appliance, with the appliance's own layout of files."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from saveos.protocol import TUNNEL_SERVER_NAME

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Identity:
    """Certificate and key of a host, in files, and what the appliance knows it by."""

    certificate_path: Path
    key_path: Path
    serial: str
    thumbprint: str


class SmallAuthority:
    """A root that signs everything itself."""

    def __init__(self, folder: Path) -> None:
        """Make the root and a server certificate for the tunnel's name."""
        folder.mkdir(parents=True)
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._certificate = self._sign("root", self._key)
        self.trust_path = folder / "trust.pem"
        self.trust_path.write_bytes(_pem(self._certificate))
        server = self.issue("server", TUNNEL_SERVER_NAME)
        self.server_chain_path, self.server_key_path = server.certificate_path, server.key_path

    def issue(self, name: str, host: str | None = None) -> Identity:
        """Sign a certificate and write it down with its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._sign(name, key, host)
        paths = self._folder / f"{name}.pem", self._folder / f"{name}.key"
        paths[0].write_bytes(_pem(certificate))
        paths[1].write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        thumbprint = certificate.fingerprint(hashes.SHA256()).hex()
        return Identity(*paths, format(certificate.serial_number, "x"), thumbprint)

    def _sign(self, name: str, key: ec.EllipticCurvePrivateKey, host: str | None = None) -> x509.Certificate:
        is_root = key is self._key
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject if is_root else self._certificate.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=is_root, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )
        if is_root:
            usage = x509.KeyUsage(
                digital_signature=False, content_commitment=False, key_encipherment=False, data_encipherment=False,
                key_agreement=False, key_cert_sign=True, crl_sign=True, encipher_only=False, decipher_only=False,
            )  # fmt: skip
            builder = builder.add_extension(usage, critical=True)
        names = [x509.DNSName(host)] if host else [x509.UniformResourceIdentifier(f"urn:saveos:agent:{name}")]
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return builder.sign(self._key, hashes.SHA256())


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)
