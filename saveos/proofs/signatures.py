"""Does a signature come from whom it names? For the appliance, and offline for an auditor with the root alone."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509 import verification

from saveos.certificates.issuance import DOCUMENT_SIGNING
from saveos.errors import InvalidRequest
from saveos.protocol import AGENT_URI, DRILL_CONTEXT, DrillStatement

if TYPE_CHECKING:
    from datetime import datetime

    from saveos.protocol import SignedDrill

HASH = ec.ECDSA(hashes.SHA256())


class NotGenuine(InvalidRequest):
    """It is not what it says, or not by whom it says."""

    code = "not-genuine"


def verify_drill(signed: SignedDrill, root_pem: str, at: datetime) -> tuple[DrillStatement, x509.Certificate]:
    """Return what a host said of a drill, and its certificate. `at`: when that was to be valid. Raises NotGenuine.

    The signature covers the statement's bytes; that its `agent_id` is the certificate's own is part of the proof.
    """
    leaf, others = chain_of(signed.certificate)
    require_chain(leaf, others, root_pem, at)
    verify(leaf, signed.signature, DRILL_CONTEXT + signed.statement.encode())
    try:
        statement = msgspec.json.decode(signed.statement, type=DrillStatement)
    except msgspec.MsgspecError as error:
        raise NotGenuine(f"The statement cannot be read: {error}.") from error
    if agent_of(leaf) != statement.agent_id:
        raise NotGenuine("The statement is about another host than its certificate.")
    return statement, leaf


def chain_of(pem: str) -> tuple[x509.Certificate, list[x509.Certificate]]:
    """Return the first certificate of a chain, and the others. Raises NotGenuine."""
    try:
        leaf, *others = x509.load_pem_x509_certificates(pem.encode())
    except ValueError as error:
        raise NotGenuine("The certificate cannot be read.") from error
    return leaf, others


def require_chain(leaf: x509.Certificate, others: list[x509.Certificate], root_pem: str, at: datetime) -> None:
    """Raise NotGenuine unless the root answers for a certificate at a moment."""
    try:
        store = verification.Store(x509.load_pem_x509_certificates(root_pem.encode()))
        verification.PolicyBuilder().store(store).time(at).build_client_verifier().verify(leaf, others)
    except (ValueError, UnsupportedAlgorithm, verification.VerificationError) as error:
        raise NotGenuine(f"The root does not answer for the certificate: {error}.") from error


def require_report_chain(leaf: x509.Certificate, others: list[x509.Certificate], root_pem: str, at: datetime) -> None:
    """Raise NotGenuine unless the root answers, through one intermediate, for a report's key at a moment."""
    try:
        (root,) = x509.load_pem_x509_certificates(root_pem.encode())
        (intermediate,) = others
        leaf.verify_directly_issued_by(intermediate)
        intermediate.verify_directly_issued_by(root)
        is_authority = all(
            one.extensions.get_extension_for_class(x509.BasicConstraints).value.ca for one in (intermediate, root)
        )
        purposes = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm, x509.ExtensionNotFound) as error:
        raise NotGenuine("The root does not answer for the certificate of the report.") from error
    is_valid = all(one.not_valid_before_utc <= at <= one.not_valid_after_utc for one in (leaf, intermediate, root))
    if not (is_authority and is_valid and DOCUMENT_SIGNING in purposes):
        raise NotGenuine("The certificate of the report is not one for reports, or not of that time.")


def verify(leaf: x509.Certificate, signature: str, message: bytes) -> None:
    """Raise NotGenuine unless the certificate's key signed these bytes. `signature`: DER, in canonical base64."""
    try:
        key = leaf.public_key()
        raw = base64.b64decode(signature, validate=True)
        if not isinstance(key, ec.EllipticCurvePublicKey) or base64.b64encode(raw).decode() != signature:
            raise NotGenuine("The signature has another form than it should have.")
        key.verify(raw, message, HASH)
    except (binascii.Error, InvalidSignature, UnsupportedAlgorithm, ValueError) as error:
        raise NotGenuine("The signature is not that of the certificate's key over these bytes.") from error


def agent_of(leaf: x509.Certificate) -> str:
    """Return the id of the agent that a certificate names; "" when it names none."""
    return next((uri[len(AGENT_URI) :] for uri in uris_of(leaf) if uri.startswith(AGENT_URI)), "")


def uris_of(leaf: x509.Certificate) -> list[str]:
    """Return the URIs that a certificate names."""
    try:
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return []
    return names.get_values_for_type(x509.UniformResourceIdentifier)
