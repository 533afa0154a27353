"""Listings whose names are not for the appliance's eyes: encrypted under a key of the repository's passphrase."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import msgspec
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from saveos.protocol_listing import SEALED_INFO

if TYPE_CHECKING:
    from saveos.agent.settings import Home
    from saveos.protocol import ListingPart

NONCE_BYTES = 12


class Seal:
    """One host's key for listings."""

    def __init__(self, passphrase: bytes) -> None:
        """`passphrase`: the repository's, random and long; who has the recovery code has it too."""
        key = HKDF(hashes.SHA256(), 32, salt=None, info=SEALED_INFO).derive(passphrase.strip())
        self._cipher = AESGCM(key)

    @classmethod
    def of(cls, home: Home) -> Seal:
        """Return this host's."""
        return cls(home.passphrase.read_bytes())

    def close(self, part: ListingPart) -> ListingPart:
        """Return the part encrypted, bound to its place so that none can be left out or moved unseen."""
        nonce = os.urandom(NONCE_BYTES)
        data = nonce + self._cipher.encrypt(nonce, part.data, _bound(part))
        return msgspec.structs.replace(part, data=data, is_sealed=True)

    def open(self, part: ListingPart) -> ListingPart:
        """Return the part as it was. Raises cryptography.exceptions.InvalidTag."""
        data = self._cipher.decrypt(part.data[:NONCE_BYTES], part.data[NONCE_BYTES:], _bound(part))
        return msgspec.structs.replace(part, data=data, is_sealed=False)


def _bound(part: ListingPart) -> bytes:
    return msgspec.json.encode([part.archive, part.base, part.number, part.is_last])
