"""The appliance's own authority: a root that signs an intermediate that signs everything else.

Files (0600) in one folder (0700): root.key root.pem intermediate.key intermediate.pem server.key server.pem
(server.pem and the agents' chains: leaf, intermediate). Moments of issue lie two days back, so that a host whose
clock is a day off can still connect.
"""

from __future__ import annotations

import os
from datetime import datetime, timedelta
from pathlib import Path

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from saveos import clock
from saveos.errors import CertificateError

BACKDATE = timedelta(days=2)
ROOT_LIFE = timedelta(days=365 * 20)
INTERMEDIATE_LIFE = timedelta(days=365 * 10)
ORGANISATION = "SaveOS"


class Signer(msgspec.Struct, frozen=True):
    """A certificate that may sign, with its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    def __repr__(self) -> str:
        return f"Signer({self.certificate.subject.rfc4514_string()!r})"


class Authority(msgspec.Struct, frozen=True, kw_only=True):
    """The two signers and where they live."""

    folder: Path
    root: Signer
    intermediate: Signer

    @property
    def root_pem(self) -> str:
        """The root certificate, which agents pin."""
        return pem_of(self.root.certificate)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the root certificate, in hex with colons as people compare it."""
        return self.root.certificate.fingerprint(hashes.SHA256()).hex(":").upper()

    @property
    def trust_path(self) -> Path:
        """Root and intermediate in one file, to verify agents against."""
        return self.folder / "trust.pem"

    @property
    def server_chain_path(self) -> Path:
        """The server's certificate and the intermediate."""
        return self.folder / "server.pem"

    @property
    def server_key_path(self) -> Path:
        """The server's key."""
        return self.folder / "server.key"


def open_authority(folder: Path) -> Authority:
    """Load the authority in the folder, or make it on the first start. Raises CertificateError."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    if not (folder / "trust.pem").exists():
        _create(folder)
    return Authority(folder=folder, root=_load(folder, "root"), intermediate=_load(folder, "intermediate"))


def pem_of(*certificates: x509.Certificate) -> str:
    """Return certificates as one PEM text."""
    return "".join(certificate.public_bytes(serialization.Encoding.PEM).decode() for certificate in certificates)


def key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """Return a private key as unencrypted PKCS #8 PEM."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def write_private(path: Path, content: bytes) -> None:
    """Write a file readable by its owner alone, whole or not at all."""
    temporary = path.with_name(f".{path.name}.new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def _create(folder: Path) -> None:
    """Make root and intermediate; trust.pem is written last and says that all is there."""
    now = clock.now()
    root_key = ec.generate_private_key(ec.SECP256R1())
    root = _sign_authority(f"{ORGANISATION} root", root_key, None, now, ROOT_LIFE)
    key = ec.generate_private_key(ec.SECP256R1())
    intermediate = _sign_authority(f"{ORGANISATION} intermediate", key, Signer(root, root_key), now, INTERMEDIATE_LIFE)
    write_private(folder / "root.key", key_pem(root_key))
    write_private(folder / "root.pem", pem_of(root).encode())
    write_private(folder / "intermediate.key", key_pem(key))
    write_private(folder / "intermediate.pem", pem_of(intermediate).encode())
    write_private(folder / "trust.pem", pem_of(root, intermediate).encode())


def _sign_authority(
    name: str, key: ec.EllipticCurvePrivateKey, issuer: Signer | None, now: datetime, life: timedelta
) -> x509.Certificate:
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, ORGANISATION),
            x509.NameAttribute(NameOID.COMMON_NAME, name),
        ]
    )
    signing_key = issuer.key if issuer else key
    usage = x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATE)
        .not_valid_after(now + life)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0 if issuer else 1), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signing_key.public_key()), critical=False)
        .sign(signing_key, hashes.SHA256())
    )


def _load(folder: Path, name: str) -> Signer:
    try:
        certificate = x509.load_pem_x509_certificate((folder / f"{name}.pem").read_bytes())
        key = serialization.load_pem_private_key((folder / f"{name}.key").read_bytes(), password=None)
    except (OSError, ValueError) as error:
        message = f"The authority's {name} in {folder} cannot be read: {error}."
        raise CertificateError(message) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        message = f"The authority's {name} key has an unknown type."
        raise CertificateError(message)
    return Signer(certificate, key)
