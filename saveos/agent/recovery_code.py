"""The recovery code as it is typed: 32 key bytes and 3 check bytes in base 32. The appliance never sees it."""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING

import msgspec

from saveos.agent.failures import Failure
from saveos.protocol import ESCROW_INFO, RECOVERY_INFO, AgentId, Challenge, EscrowContents

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

KEY_BYTES, CHECK_BYTES = 32, 3


class RecoveryCode:
    """The private half of a tenant's recovery key."""

    def __init__(self, text: str) -> None:
        """Read a typed code; spaces, dashes and case do not matter. Raises Failure."""
        from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey  # noqa: PLC0415

        try:
            raw = base64.b32decode("".join(text.split()).replace("-", "").upper())
        except ValueError:
            raw = b""
        key, check = raw[:KEY_BYTES], raw[KEY_BYTES:]
        if len(raw) != KEY_BYTES + CHECK_BYTES or _check(key) != check:
            raise Failure("usage", "The recovery code is mistyped: its check characters do not fit.")
        self._private: X25519PrivateKey = X25519PrivateKey.from_private_bytes(key)

    @property
    def public_key(self) -> str:
        """The public half, base64."""
        return base64.b64encode(self._private.public_key().public_bytes_raw()).decode()

    def answer(self, challenge: Challenge) -> str:
        """Return the secret of a challenge, base64. Raises Failure."""
        opened = self._open(challenge.sealed, RECOVERY_INFO + challenge.challenge_id.encode())
        return base64.b64encode(opened).decode()

    def open_key(self, sealed: str, agent_id: AgentId) -> EscrowContents:
        """Return a host's passphrase and key. Raises Failure."""
        opened = self._open(sealed, ESCROW_INFO + agent_id.encode())
        try:
            return msgspec.json.decode(opened, type=EscrowContents)
        except msgspec.MsgspecError as error:
            raise Failure("protocol", "The host's sealed key holds something else.") from error

    def _open(self, sealed: str, info: bytes) -> bytes:
        from cryptography.exceptions import InvalidTag  # noqa: PLC0415
        from cryptography.hazmat.primitives import hpke  # noqa: PLC0415

        suite = hpke.Suite(hpke.KEM.X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.CHACHA20_POLY1305)
        try:
            return suite.decrypt(base64.b64decode(sealed), self._private, info)
        except (InvalidTag, ValueError) as error:
            raise Failure(
                "passphrase-wrong", "The recovery code does not open this: it is another tenant's."
            ) from error


def _check(raw: bytes) -> bytes:
    return hashlib.sha256(b"saveos recovery code" + raw).digest()[:CHECK_BYTES]
