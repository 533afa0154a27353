"""The first message of a TLS connection, read without consuming it: it says for which name the client asks."""

from __future__ import annotations

import struct


class NotTlsError(Exception):
    """The first byte is not that of a TLS handshake."""


def server_name(hello: bytes) -> str | None:
    """Return the server name in a TLS ClientHello ("" when it has none), or None while bytes are missing.

    Source: RFC 8446 § 4.1.2, RFC 6066 § 3. Raises NotTlsError.
    """
    if hello[:1] != b"\x16":
        raise NotTlsError
    records, handshake = 0, bytearray()
    while len(hello) >= records + 5 and hello[records] == 0x16:  # noqa: PLR2004 - a handshake record
        size = int.from_bytes(hello[records + 3 : records + 5], "big")
        handshake += hello[records + 5 : records + 5 + size]
        records += 5 + size
    if len(handshake) < 4 or len(handshake) < 4 + int.from_bytes(handshake[1:4], "big"):  # noqa: PLR2004
        return None
    try:
        return _name_in(bytes(handshake[4:]))
    except (IndexError, struct.error, UnicodeDecodeError) as error:
        raise NotTlsError from error


def _name_in(body: bytes) -> str:
    at = 34  # version and random
    at += 1 + body[at]  # session id
    at += 2 + struct.unpack_from("!H", body, at)[0]  # cipher suites
    at += 1 + body[at]  # compression methods
    if at >= len(body):
        return ""
    end = at + 2 + struct.unpack_from("!H", body, at)[0]
    at += 2
    while at + 4 <= end:
        kind, size = struct.unpack_from("!HH", body, at)
        if kind == 0:
            length = struct.unpack_from("!H", body, at + 7)[0]
            return body[at + 9 : at + 9 + length].decode("ascii").lower()
        at += 4 + size
    return ""
