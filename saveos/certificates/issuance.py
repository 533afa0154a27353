"""Certificates signed by the intermediate: the server's own, and one per agent from its request."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import ipaddress
import socket
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import msgspec
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from saveos import clock
from saveos.certificates.authority import BACKDATE, ORGANISATION, Authority, key_pem, pem_of, write_private
from saveos.errors import InvalidRequest
from saveos.protocol import AGENT_SERVER_NAME, ENROL_SERVER_NAME, TUNNEL_SERVER_NAME

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from saveos.protocol import AgentId, TenantId

REPORT_URI = "urn:saveos:report:"  # in the certificate of a report; the tenant's id follows
DOCUMENT_SIGNING = x509.ObjectIdentifier("1.3.6.1.5.5.7.3.36")
INTERNAL_NAMES = (ENROL_SERVER_NAME, AGENT_SERVER_NAME, TUNNEL_SERVER_NAME)
RENEW_AT = 2 / 3  # of the certificate's life


class Issued(msgspec.Struct, frozen=True, kw_only=True):
    """A certificate just signed."""

    chain_pem: str  # leaf, then intermediate
    serial: str  # lower-case hex
    thumbprint: str  # SHA-256 of the DER, lower-case hex
    subject: str
    expires_at: datetime


def sign_agent(authority: Authority, csr_pem: str, agent_id: AgentId, life: timedelta) -> Issued:
    """Sign a host's request. Only its public key is taken; the name is ours. Raises InvalidRequest."""
    try:
        csr = x509.load_pem_x509_csr(csr_pem.encode())
        is_signed = csr.is_signature_valid
        public_key = csr.public_key()
    except (ValueError, TypeError, UnicodeEncodeError, UnsupportedAlgorithm) as error:
        message = "The certificate request cannot be read."
        raise InvalidRequest(message, field="csr") from error
    if not is_signed or not isinstance(public_key, ec.EllipticCurvePublicKey):
        message = "The certificate request must be signed by an elliptic-curve key."
        raise InvalidRequest(message, field="csr")
    names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(f"urn:saveos:agent:{agent_id}")])
    leaf = _sign_leaf(authority, public_key, agent_id, names, ExtendedKeyUsageOID.CLIENT_AUTH, life)
    return _issued(authority, leaf)


def sign_report(
    authority: Authority, public_key: ec.EllipticCurvePublicKey, tenant_id: TenantId, life: timedelta
) -> str:
    """Sign the key by which one report for a tenant is signed; return the chain: leaf, then intermediate.

    It is good for nothing else: no server and no host takes a certificate of this purpose (RFC 9336).
    """
    names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(f"{REPORT_URI}{tenant_id}")])
    leaf = _sign_leaf(authority, public_key, "SaveOS report", names, DOCUMENT_SIGNING, life)
    return pem_of(leaf, authority.intermediate.certificate)


class ServerCertificate(msgspec.Struct, frozen=True, kw_only=True):
    """The appliance's own certificate: whom it names, for how long."""

    names: tuple[str, ...]
    issued_at: datetime
    expires_at: datetime
    fingerprint: str  # SHA-256, in hex with colons


def server_certificate(authority: Authority) -> ServerCertificate:
    """Return the certificate that is in use; the names that only agents dial are left out."""
    leaf = x509.load_pem_x509_certificate(authority.server_chain_path.read_bytes())
    present = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    names = (str(name.value) for name in present)
    return ServerCertificate(
        names=tuple(name for name in names if name not in INTERNAL_NAMES),
        issued_at=leaf.not_valid_before_utc + BACKDATE,
        expires_at=leaf.not_valid_after_utc,
        fingerprint=leaf.fingerprint(hashes.SHA256()).hex(":").upper(),
    )


def ensure_server_certificate(
    authority: Authority, names: Sequence[str], life: timedelta, *, is_exact: bool = False
) -> bool:
    """Make or renew the server's certificate when it is missing, two thirds old, or lacks a name.

    `is_exact`: also when it has a name too many. The key stays the same over renewals, so that a pinned public key
    stays right. Return whether it changed.
    """
    wanted = sorted({*names, *INTERNAL_NAMES, *machine_names()})
    if _is_good(authority, wanted, is_exact=is_exact):
        return False
    key = _server_key(authority)
    leaf = _sign_leaf(
        authority,
        key.public_key(),
        "SaveOS appliance",
        x509.SubjectAlternativeName([_general_name(name) for name in wanted]),
        ExtendedKeyUsageOID.SERVER_AUTH,
        life,
    )
    write_private(authority.server_key_path, key_pem(key))
    write_private(authority.server_chain_path, pem_of(leaf, authority.intermediate.certificate).encode())
    return True


def machine_names() -> set[str]:
    """Return every name and address of this machine that others may dial."""
    hostname = socket.gethostname()
    names = {"localhost", "127.0.0.1", "::1", hostname, socket.getfqdn()}
    with contextlib.suppress(OSError):  # a machine that does not know its own name still has the addresses below
        names |= {str(entry[4][0]).split("%")[0] for entry in socket.getaddrinfo(hostname, None)}
    names |= {address for address in _route_addresses() if address}
    return {name for name in names if name and len(name) <= 253 and not name.startswith("fe80:")}  # noqa: PLR2004 - the longest DNS name


def public_key_pin(authority: Authority) -> str:
    """Return the SHA-256 pin of the server's public key as curl's --pinnedpubkey takes it."""
    leaf = x509.load_pem_x509_certificate(authority.server_chain_path.read_bytes())
    der = leaf.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return f"sha256//{base64.b64encode(hashlib.sha256(der).digest()).decode()}"


def renew_moment(issued_at: datetime, expires_at: datetime) -> datetime:
    """Return when two thirds of the life are over."""
    return issued_at + (expires_at - issued_at) * RENEW_AT


def _route_addresses() -> Iterable[str]:
    """Ask the routing table which of our addresses faces the world; nothing is sent."""
    for family, target in ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1")):
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as probe:
                probe.connect((target, 9))
                yield str(probe.getsockname()[0]).split("%")[0]
        except OSError:
            continue


def _is_good(authority: Authority, wanted: Sequence[str], *, is_exact: bool = False) -> bool:
    try:
        leaf = x509.load_pem_x509_certificate(authority.server_chain_path.read_bytes())
        _server_key(authority, must_exist=True)
    except (OSError, ValueError):
        return False
    issued_by_us = leaf.issuer == authority.intermediate.certificate.subject
    present = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    asked = {_general_name(name) for name in wanted}
    has_all = asked == set(present) if is_exact else asked <= set(present)
    moment = renew_moment(leaf.not_valid_before_utc, leaf.not_valid_after_utc)
    return issued_by_us and has_all and clock.now() < moment


def _server_key(authority: Authority, *, must_exist: bool = False) -> ec.EllipticCurvePrivateKey:
    try:
        key = serialization.load_pem_private_key(authority.server_key_path.read_bytes(), password=None)
        if isinstance(key, ec.EllipticCurvePrivateKey):
            return key
    except (OSError, ValueError):
        if must_exist:
            raise
    return ec.generate_private_key(ec.SECP256R1())


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name.encode("idna").decode() if not name.isascii() else name)


def _sign_leaf(
    authority: Authority,
    public_key: ec.EllipticCurvePublicKey,
    common_name: str,
    names: x509.SubjectAlternativeName,
    purpose: x509.ObjectIdentifier,
    life: timedelta,
) -> x509.Certificate:
    now = clock.now()
    issuer = authority.intermediate
    usage = x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
    subject = [
        x509.NameAttribute(NameOID.ORGANIZATION_NAME, ORGANISATION),
        x509.NameAttribute(NameOID.COMMON_NAME, common_name),
    ]
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name(subject))
        .issuer_name(issuer.certificate.subject)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATE)
        .not_valid_after(min(now + life, issuer.certificate.not_valid_after_utc))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        .add_extension(names, critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key()), critical=False)
        .sign(issuer.key, hashes.SHA256())
    )


def _issued(authority: Authority, leaf: x509.Certificate) -> Issued:
    return Issued(
        chain_pem=pem_of(leaf, authority.intermediate.certificate),
        serial=format(leaf.serial_number, "x"),
        thumbprint=leaf.fingerprint(hashes.SHA256()).hex(),
        subject=leaf.subject.rfc4514_string(),
        expires_at=leaf.not_valid_after_utc,
    )
