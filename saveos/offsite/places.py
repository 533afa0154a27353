"""Is that a place to keep copies at? What a person typed, before anything is sent there."""

from __future__ import annotations

import ipaddress
import re
import socket
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import msgspec
from cryptography import x509

from saveos.errors import InvalidRequest
from saveos.offsite.model import Place

URL = re.compile(r"https?://[A-Za-z0-9.:\[\]-]+")
BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
PREFIX = re.compile(r"([A-Za-z0-9!_.*'()-]+(/[A-Za-z0-9!_.*'()-]+)*)?")
WORD = re.compile(r"[A-Za-z0-9_-]{0,64}")
PREFIX_LIMIT = 200


def valid(place: Place, *, is_own_network: bool) -> Place:
    """Return the place as it is kept. Raises InvalidRequest, naming the field.

    `is_own_network`: whoever asks may also name what the appliance alone can reach. From others a name has to lead to
    public addresses over HTTPS: a name that changes later gets no further than a certificate that is not its own.
    """
    place = msgspec.structs.replace(
        place,
        endpoint=place.endpoint.strip().rstrip("/"),
        prefix=place.prefix.strip().strip("/"),
        ca_pem=place.ca_pem.strip() + "\n" if place.ca_pem.strip() else "",
    )
    checks = (
        ("endpoint", _is_url(place.endpoint), "The endpoint is a URL: https://, a host, and a port if need be."),
        ("endpoint", is_own_network or _is_public(place.endpoint), "The endpoint has to be a public one, over HTTPS."),
        ("bucket", BUCKET.fullmatch(place.bucket), "A bucket's name has 3 to 63 of a-z, 0-9, dots and dashes."),
        ("prefix", _is_prefix(place.prefix), "A prefix has names of letters, digits and -_.!*'() between slashes."),
        ("region", place.region and WORD.fullmatch(place.region), "A region is a word such as us-east-1."),
        ("storage_class", WORD.fullmatch(place.storage_class), "A storage class is a word such as STANDARD_IA."),
        ("access_key_id", place.access_key_id.isprintable() and place.access_key_id, "The access key is needed."),
        ("ca_pem", _is_pem(place.ca_pem), "These are no certificates in PEM form."),
        ("rate", _is_zone(place.rate.time_zone), "There is no such time zone."),
    )
    for field, is_right, sentence in checks:
        if not is_right:
            raise InvalidRequest(sentence, field=field)
    try:
        return msgspec.convert(
            msgspec.to_builtins(place), Place
        )  # as it will be read: a struct made here proves nothing
    except msgspec.ValidationError as error:
        raise InvalidRequest(f"It cannot be used: {error}.") from error


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        _port = parts.port
    except ValueError:
        return False
    return bool(parts.hostname) and URL.fullmatch(text) is not None


def _is_public(text: str) -> bool:
    try:
        parts = urlsplit(text)
        found = socket.getaddrinfo(parts.hostname, parts.port or 443, type=socket.SOCK_STREAM)
    except (OSError, ValueError):
        return False
    return parts.scheme == "https" and all(ipaddress.ip_address(entry[4][0]).is_global for entry in found)


def _is_prefix(text: str) -> bool:
    return len(text) <= PREFIX_LIMIT and PREFIX.fullmatch(text) is not None and not {".", ".."} & set(text.split("/"))


def _is_pem(text: str) -> bool:
    try:
        return not text or bool(x509.load_pem_x509_certificates(text.encode()))
    except ValueError:
        return False


def _is_zone(name: str) -> bool:
    try:
        return not name or bool(ZoneInfo(name))
    except (ValueError, OSError, KeyError):
        return False
