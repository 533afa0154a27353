"""The host's key, its certificate request, and the files that hold its identity."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from saveos.agent.settings import Config, Home, write_private

if TYPE_CHECKING:
    from datetime import datetime


def make_request(home: Home, name: str) -> str:
    """Make a key in the credentials folder `name` and return a certificate request for it, as PEM.

    The key never leaves the host. One that is there already is used again: an interrupted enrolment goes on.
    """
    from cryptography import x509  # noqa: PLC0415 - half a second that only few commands need
    from cryptography.hazmat.primitives import hashes, serialization  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415

    path = home.credentials(name) / "agent.key"
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError):
        key = ec.generate_private_key(ec.SECP256R1())
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        write_private(path, pem)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        path.unlink()
        return make_request(home, name)
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
    return request.public_bytes(serialization.Encoding.PEM).decode()


def keep(home: Home, name: str, certificate: str, token: str) -> None:
    """Write the answer to a request beside its key."""
    write_private(home.credentials(name) / "agent.pem", certificate.encode())
    write_private(home.credentials(name) / "token", token.encode())


def switch(home: Home, config: Config, name: str) -> Config:
    """Use other credentials from now on: one file is replaced, so that a kill leaves the old pair or the new."""
    switched = msgspec.structs.replace(config, credentials=name)
    home.save(switched)
    return switched


def validity(home: Home, config: Config) -> tuple[datetime, datetime]:
    """Return from when to when the certificate in use is valid."""
    from cryptography import x509  # noqa: PLC0415 - see above

    certificate = x509.load_pem_x509_certificate((home.credentials(config.credentials) / "agent.pem").read_bytes())
    return certificate.not_valid_before_utc, certificate.not_valid_after_utc
