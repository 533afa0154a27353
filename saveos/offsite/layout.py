"""What lies where in a bucket, and what a generation's manifest says: enough to bring a repository back without us.

A segment's name tells its content, so that nothing is ever written over: a repository that was rolled back uses numbers
of segments again. Manifests are written last.
"""

from __future__ import annotations

import hmac
import re
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import msgspec
from msgspec import Meta

from saveos.database import secrets
from saveos.errors import ObjectAltered
from saveos.protocol import Count, Wire

if TYPE_CHECKING:
    from pathlib import Path

FORMAT = "saveos-offsite-1"
DIGITS = 8
HASH_LENGTH = 16
NUMBER = re.compile(r"(?:.*/)?([0-9]{8,15})\.json")  # of eight digits at least, and of no more than anybody counts to
PURPOSE = b"saveos offsite manifest v1"
Hash = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
INDEX = "segments/index-"  # kept, verified and let go as segments are

README = """\
What is kept here
=================

Offsite copies of Borg repositories (https://www.borgbackup.org, version 1.4), made by SaveOS. Everything is encrypted
on the hosts that were backed up; whoever can read this bucket reads no content and no names of files, but the names
of the hosts, when each was backed up, and how much it added.

README.txt                                            this text
appliance.json                                        which appliance keeps its copies here; another one is refused
appliance/<moment>-<hash>.saveos                      backups of the appliance itself, sealed to its recovery kit
<tenant>/<host>/segments/<number>-<hash>              a segment of the repository: its number, and the first 16 digits
                                                      of its SHA-256; never changed once it is written
<tenant>/<host>/segments/index-<number>-<hash>        Borg's index of the repository at that segment, now and then:
                                                      one file is read by it without fetching all; else not needed
<tenant>/<host>/generations/<number>.json             the repository at one moment, written last: its segments with
                                                      size, SHA-256, key (below <tenant>/<host>/) and version, the
                                                      files `config` and `README`, the nonce, and the host's key as it
                                                      was sealed to the recovery kit

Without SaveOS
--------------

Take the newest manifest. Make a folder with its `config` and `README` in files of these names. For each of its segments
copy the object to data/<number divided by segments_per_dir in config, rounded down>/<number>. Write a file `nonce`
with 16 hexadecimal digits: the manifest's plus 2^40. Borg makes its index anew when it opens the repository. To read
it, Borg asks for the passphrase, which the recovery kit opens: see SaveOS's manual, "When the appliance is gone".
"""


class Part(Wire, frozen=True, kw_only=True):
    """A segment of a generation. `key`: below the folder of the host."""

    number: Count
    bytes: Count
    sha256: Hash
    key: str
    version_id: str = ""


class SealedKey(Wire, frozen=True, kw_only=True):
    """A host's key as it sealed it to a public key (base64, both)."""

    public_key: str
    purpose: str
    sealed: str


class KnownSnapshot(Wire, frozen=True, kw_only=True):
    """A snapshot whose archive is in the generation."""

    id: str
    archive: str
    archive_id: str
    started_at: datetime
    ended_at: datetime


class Manifest(Wire, frozen=True, kw_only=True):
    """A generation. `nonce`: hexadecimal; what was encrypted by then used smaller ones; later backups may have gone on.

    `moment`: the segment of the commit; `life`: how often the repository had been replaced by then. `index`: Borg's of
    this commit or of an earlier one, whose segment is its number; None: there was none. `mac`: of all of it with this
    empty, by a key of the appliance that its self-backups hold, too.
    """

    format: str = FORMAT
    number: Count
    made_at: datetime
    tenant_id: str
    agent_id: str
    hostname: str
    engine_id: str
    moment: Count
    life: Count
    config: str
    readme: str
    nonce: Annotated[str, Meta(pattern="^[0-9a-f]{0,16}$")]
    seals: tuple[SealedKey, ...] = ()
    snapshots: tuple[KnownSnapshot, ...] = ()
    segments: tuple[Part, ...] = ()
    index: Part | None = None
    mac: str = ""


class Lease(Wire, frozen=True, kw_only=True):
    """Whose prefix it is."""

    appliance_id: str
    renewed_at: datetime


def below(prefix: str, *names: str) -> str:
    """Return a whole key."""
    return "/".join(name for name in (prefix, *names) if name)


def host_folder(prefix: str, tenant_id: str, agent_id: str) -> str:
    """Return where a host's copy lies; keys in manifests are below it, with a slash between."""
    return below(prefix, tenant_id, agent_id)


def segment_key(number: int, sha256: str) -> str:
    """Return the key of a segment below its host's folder."""
    return f"segments/{number:0{DIGITS}d}-{sha256[:HASH_LENGTH]}"


def index_key(number: int, sha256: str) -> str:
    """Return the key of Borg's index at a segment below its host's folder."""
    return f"{INDEX}{number:0{DIGITS}d}-{sha256[:HASH_LENGTH]}"


def is_index(key: str) -> bool:
    """Return whether the key below a host's folder is an index's."""
    return key.startswith(INDEX)


def generation_key(number: int) -> str:
    """Return the key of a generation's manifest below its host's folder."""
    return f"generations/{number:0{DIGITS}d}.json"


def generation_number(key: str) -> int:
    """Return the number in the key of a manifest, -1 for another key."""
    found = NUMBER.fullmatch(key)
    return int(found[1]) if found else -1


def encoded(manifest: Manifest, column_key: Path) -> bytes:
    """Return the manifest as it is kept: JSON, a line for each field and each segment's on one, with its `mac`."""
    plain = msgspec.json.format(msgspec.json.encode(msgspec.structs.replace(manifest, mac="")), indent=1)
    return plain.replace(_told(""), _told(secrets.mac(column_key, plain, PURPOSE)), 1)


def is_genuine(content: bytes, manifest: Manifest, column_key: Path) -> bool:
    """Return whether this appliance, or the one whose place it takes, wrote a manifest; no key of a store is enough."""
    plain = content.replace(_told(manifest.mac), _told(""), 1)
    return hmac.compare_digest(manifest.mac.encode(), secrets.mac(column_key, plain, PURPOSE).encode())


def decoded(content: bytes) -> Manifest:
    """Read a manifest. Raises ObjectAltered: this is none, or one of a newer SaveOS."""
    try:
        manifest = msgspec.json.decode(content, type=Manifest)
    except msgspec.MsgspecError as error:
        raise ObjectAltered("A manifest in the store is not what was written.") from error
    if manifest.format != FORMAT:
        raise ObjectAltered("A manifest in the store is of a newer SaveOS.")
    return manifest


def _told(mac: str) -> bytes:
    """Return how the JSON says it; no text inside a string of it looks like this, as its quotes are escaped there."""
    return f'"mac": "{mac}"'.encode()
