"""What lies where in a bucket, and what a generation's manifest says: enough to bring a repository back without us.

A segment's name tells its content, so that nothing is ever written over: a repository that was rolled back uses numbers
of segments again. Manifests are written last.
"""

from __future__ import annotations

from datetime import datetime

import msgspec

from saveos.errors import ObjectAltered
from saveos.protocol import Wire

FORMAT = "saveos-offsite-1"
DIGITS = 8
HASH_LENGTH = 16
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

    number: int
    bytes: int
    sha256: str
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
    this commit or of an earlier one, whose segment is its number; None: there was none.
    """

    format: str = FORMAT
    number: int
    made_at: datetime
    tenant_id: str
    agent_id: str
    hostname: str
    engine_id: str
    moment: int
    life: int
    config: str
    readme: str
    nonce: str
    seals: tuple[SealedKey, ...] = ()
    snapshots: tuple[KnownSnapshot, ...] = ()
    segments: tuple[Part, ...] = ()
    index: Part | None = None


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
    name = key.rpartition("/")[2]
    number = name.removesuffix(".json")
    return int(number) if name != number and number.isdigit() else -1


def encoded(manifest: Manifest) -> bytes:
    """Return the manifest as it is kept: JSON, a line for each field and each segment's on one."""
    return msgspec.json.format(msgspec.json.encode(manifest), indent=1)


def decoded(content: bytes) -> Manifest:
    """Read a manifest. Raises ObjectAltered: this is none, or one of a newer SaveOS."""
    try:
        manifest = msgspec.json.decode(content, type=Manifest)
    except msgspec.MsgspecError as error:
        raise ObjectAltered("A manifest in the store is not what was written.") from error
    if manifest.format != FORMAT:
        raise ObjectAltered("A manifest in the store is of a newer SaveOS.")
    return manifest
