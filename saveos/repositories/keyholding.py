"""What the main process and a keyholder say to each other: frames of a length and JSON, descriptors beside them."""

from __future__ import annotations

import struct

from cryptography.hazmat.primitives import hpke

from saveos.protocol import AgentId, Confidential, Wire

CODE_INFO = b"saveos recovery code v1"  # HPKE info of a sealed recovery code; the unlock's id follows it
# AES, because that is what browsers have.
CODE_SUITE = hpke.Suite(hpke.KEM.X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)

HEADER = struct.Struct(">I")
LARGEST = 512 * 1024**2  # a fleet's sealed keys at once: each about 1.2 kB
DESCRIPTORS = 3  # of a run: its input, its output, and one for its errors and its end
END_MARK = b"\x00end "  # on the last of them: then the exit code


class Hello(Wire, frozen=True, kw_only=True):
    """Keyholder, first: what to seal the recovery code to (X25519, 32 bytes, base64)."""

    public_key: str


class Seal(Wire, frozen=True, kw_only=True):
    """A host's key, sealed to one public key; both base64."""

    public_key: str
    sealed: str


class SealedHost(Wire, frozen=True, kw_only=True):
    """A host whose key is wanted, and where its repository lies."""

    agent_id: AgentId
    path: str
    seals: tuple[Seal, ...]


class Open(Wire, frozen=True, kw_only=True):
    """Open the keys of these hosts and hold them for so long. Exactly one of code and key file is given."""

    hosts: tuple[SealedHost, ...]
    seconds: float
    sealed_code: str = ""
    key_path: str = ""


class Opened(Wire, frozen=True, kw_only=True):
    """What could be opened, and with which key. `error`: unreadable, mistyped, or empty."""

    public_key: str = ""
    agent_ids: tuple[AgentId, ...] = ()
    error: str = ""


class Start(Wire, frozen=True, kw_only=True):
    """Run the agent's program with these words on a host's repository; three descriptors travel with it."""

    agent_id: AgentId
    words: tuple[str, ...]


class Started(Wire, frozen=True, kw_only=True):
    """It runs, unless there is an error: locked, busy, or what the system said."""

    error: str = ""


class Order(Wire, frozen=True, kw_only=True):
    """Main process, one of: open keys, start a run."""

    open: Open | None = None
    start: Start | None = None


class HostKey(Confidential, frozen=True, kw_only=True):
    """An opened key, in the keyholder's memory alone."""

    path: str
    passphrase: str
