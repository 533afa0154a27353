"""Every struct, path and constant that crosses the wire between agent and appliance.

New fields always have defaults, so that an older peer's message still decodes. Imports msgspec only: the
agent carries this module.
"""

from __future__ import annotations

import re
import struct
from datetime import datetime
from enum import IntEnum, StrEnum
from functools import lru_cache
from typing import Annotated, NewType

import msgspec
from msgspec import Meta

PROTOCOL_VERSION = 1

# Fixed names that agents verify whatever address they dial, so that a changed address never breaks them. The
# appliance picks the TLS context by them before the handshake starts.
ENROL_SERVER_NAME = "enrol.saveos.internal"
AGENT_SERVER_NAME = "agent.saveos.internal"
TUNNEL_SERVER_NAME = "tunnel.saveos.internal"

REGISTER_PATH = "/api/v1/agents/register"
HEARTBEAT_PATH = "/api/v1/agents/heartbeat"
RENEW_PATH = "/api/v1/agents/renew"
ESCROW_PATH = "/api/v1/agents/escrow"
OWN_JOBS_PATH = "/api/v1/agents/self/jobs"
OWN_SNAPSHOTS_PATH = "/api/v1/agents/self/snapshots"
OWN_STATUS_PATH = "/api/v1/agents/self"
OWN_EXECUTABLE_PATH = "/api/v1/agents/self/executable"
PROGRESS_PATH = "/api/v1/jobs/{job_id}/progress"
REPORT_PATH = "/api/v1/jobs/{job_id}/report"
ANSWER_PATH = "/api/v1/agents/self/answers/{question_id}"
LISTINGS_PATH = "/api/v1/agents/self/listings"

LISTING_PART_BYTES = 2 * 1024 * 1024
STREAM_PATH = "/api/v1/agents/self/streams/{question_id}"
RECOVERY_ROOT_PATH = "/api/v1/recovery/root"
RECOVERY_CHALLENGE_PATH = "/api/v1/recovery/challenge"
RECOVERY_HOSTS_PATH = "/api/v1/recovery/hosts"
RECOVERY_HOST_PATH = "/api/v1/recovery/host"
LENT_KEY_PATH = "/api/v1/agents/self/jobs/{job_id}/key"

STAMP_MAGIC = b"SAVEOSP1"  # ends a stamped executable: payload, its length as 8 bytes big-endian, this
ESCROW_INFO = b"saveos repository key v1"  # HPKE info; the agent id follows it
LENT_INFO = b"saveos lent key v1"  # HPKE info; the lender's agent id and the job id follow it
RECOVERY_INFO = b"saveos recovery challenge v1"  # HPKE info; the challenge's id follows it
DRILL_CONTEXT = b"saveos restore drill v1\n"  # stands before a statement where it is signed
AGENT_URI = "urn:saveos:agent:"  # in an agent's certificate; its id follows

TenantId = NewType("TenantId", str)
UserId = NewType("UserId", str)
AgentId = NewType("AgentId", str)
JobId = NewType("JobId", str)
SnapshotId = NewType("SnapshotId", str)
PolicyId = NewType("PolicyId", str)
ProvisioningId = NewType("ProvisioningId", str)
QuestionId = NewType("QuestionId", str)

Count = Annotated[int, Meta(ge=0, le=2**62)]
ShortText = Annotated[str, Meta(max_length=255)]
Hostname = Annotated[str, Meta(min_length=1, max_length=253, pattern=r"^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$")]
LongText = Annotated[str, Meta(max_length=4096)]
Pem = Annotated[str, Meta(max_length=16384)]
HostPath = Annotated[str, Meta(min_length=1, max_length=4096)]
EntryPath = Annotated[str, Meta(max_length=16384)]  # a path inside an archive: see `entry_path`
Build = Annotated[str, Meta(pattern=r"^([0-9a-f]{64})?$")]  # SHA-256 of an executable without its stamp; "": unknown


ADDRESSES_LIMIT = 16  # of a list of addresses that a host keeps
_ADDRESS = re.compile(r"(?:\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9](?:[A-Za-z0-9._-]{0,243}[A-Za-z0-9])?):([1-9][0-9]{0,4})")


def is_address(text: str) -> bool:
    """Return whether this is where an appliance may be: "host:port", an IPv6 address in brackets."""
    found = _ADDRESS.fullmatch(text)
    return found is not None and int(found[1]) < 1 << 16


# A folder with a file of this name stays out of every backup: the appliance's repositories would copy themselves.
NOT_IN_BACKUPS = ".saveos-not-in-backups"


_NO_UTF8 = re.compile(r"[\udc80-\udcff]")
_ESCAPED = re.compile(r"\\(?:\\|x([89a-f][0-9a-f]))")


def entry_path(raw: bytes) -> str:
    """Return the text of a path inside an archive, from which `entry_bytes` gives back every byte.

    A backslash is doubled, a byte that is no UTF-8 becomes a backslash, x and two hexadecimal digits. Archives name
    paths without the leading slash, with slashes on every platform; "" is the root.
    """
    text = raw.decode("utf-8", "surrogateescape").replace("\\", "\\\\")
    return _NO_UTF8.sub(lambda found: f"\\x{ord(found[0]) - 0xDC00:02x}", text)


def entry_bytes(path: str) -> bytes:
    """Return the bytes of an entry path. Raises ValueError for text that `entry_path` never returns."""
    parts, at = [], 0
    for found in _ESCAPED.finditer(path):
        parts.append(path[at : found.start()].encode())
        parts.append(b"\\" if found[1] is None else bytes((int(found[1], 16),)))
        at = found.end()
    parts.append(path[at:].encode())
    raw = b"".join(parts)
    if entry_path(raw) != path:
        message = "This is no path inside an archive."
        raise ValueError(message)
    return raw


_VERSION = re.compile(r"(\d+(?:\.\d+)*)(?:[.-]?(dev|a|b|rc)(\d*))?(.*)")
_STAGES = {"dev": -4, "a": -3, "b": -2, "rc": -1, None: 0}


def is_newer(version: str, than: str) -> bool:
    """Return whether a version of ours came after another: 0.2.0.dev1 < 0.2.0rc1 < 0.2.0 < 0.10.0; "" is the oldest."""
    return _order(version) > _order(than)


@lru_cache(maxsize=256)
def _order(version: str) -> tuple[tuple[int, ...], int, int]:
    found = _VERSION.fullmatch(version)
    if found is None:
        return (), 0, 0
    numbers = [int(part[:18]) for part in found[1].split(".")]
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return (*numbers,), _STAGES[found[2]], int((found[3] or "0")[:18])


class ExitCode(IntEnum):
    """What every command of SaveOS returns."""

    DONE = 0
    ERROR = 1
    USAGE = 2
    WARNINGS = 3
    REPOSITORY_MISSING = 10
    LOCKED = 11
    PASSPHRASE_WRONG = 12
    UNREACHABLE = 13
    NOT_ENROLLED = 14
    INTERRUPTED = 130


class Platform(StrEnum):
    """What an agent executable runs on."""

    LINUX = "linux"
    WINDOWS = "windows"
    MACOS = "macos"


class MachineClass(StrEnum):
    """How a machine lives: how long it may be away."""

    SERVER = "server"
    WORKSTATION = "workstation"
    LAPTOP = "laptop"


class Kind(StrEnum):
    """What a job does."""

    BACKUP = "backup"
    RESTORE = "restore"
    UPDATE = "update"  # of the agent itself
    PRUNE = "prune"  # delete exactly the archives that are named
    BUILD_AGENT = "build-agent"
    PROTECT_APPLIANCE = "protect-appliance"  # of its own machine
    RETENTION = "retention"  # decide what may go, keep a checkpoint, and ask the host
    COMPACT = "compact"
    ROLL_BACK = "roll-back"  # to a checkpoint
    CHECK = "check"  # read what a repository holds on the disk, on the appliance
    VERIFY = "verify"  # decrypt a part of a repository, and name the files of what is damaged
    DRILL = "drill"  # restore a sample, and compare it with what was noted at backups
    OFFSITE = "offsite"  # copy a repository to the store
    OFFSITE_VERIFY = "offsite-verify"  # look whether the copy is what was written
    OFFSITE_DRILL = "offsite-drill"  # a drill, but out of the copy
    REHYDRATE = "rehydrate"  # fetch a repository back from its copy
    SELF_BACKUP = "self-backup"  # of the appliance


class Outcome(StrEnum):
    """How a job ended, said by who ran it."""

    DONE = "done"
    WARNED = "warned"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Wire(msgspec.Struct, frozen=True, kw_only=True):
    """A message; unknown fields are ignored, so that a newer peer may say more."""


class Confidential(Wire, frozen=True, kw_only=True):
    """A message that carries a secret: it never shows its fields."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}(***)"


class Stamp(Confidential, frozen=True, kw_only=True):
    """What provisioning appends to the agent's executable."""

    addresses: tuple[ShortText, ...]  # "host:port", the best first
    root_certificate: Pem
    token: ShortText
    hostname: ShortText = ""


class EnrolRequest(Confidential, frozen=True, kw_only=True):
    """A one-time token and a certificate request made on the host."""

    token: Annotated[str, Meta(max_length=255)]
    csr: Pem
    hostname: Hostname
    platform: Platform = Platform.LINUX
    agent_version: ShortText = ""
    protocol_version: Count = PROTOCOL_VERSION


class Enrolment(Confidential, frozen=True, kw_only=True):
    """An identity: the certificate chain (leaf first), the token bound to it, and what the host needs."""

    agent_id: AgentId
    hostname: ShortText
    tenant_name: ShortText
    certificate: str
    agent_token: str
    recovery_public_key: str  # X25519, 32 bytes, base64
    heartbeat_seconds: float = 30.0
    addresses: tuple[str, ...] = ()  # see HeartbeatAnswer
    addresses_serial: Count = 0


class RenewRequest(Wire, frozen=True, kw_only=True):
    """A certificate request over a connection that the present certificate opened."""

    csr: Pem


class Renewal(Confidential, frozen=True, kw_only=True):
    """The next certificate chain and the token bound to it."""

    certificate: str
    agent_token: str


class EscrowRequest(Wire, frozen=True, kw_only=True):
    """The repository's passphrase and key export, sealed to the tenant's recovery key."""

    sealed: Annotated[str, Meta(max_length=65536)]  # base64 of HPKE output
    repository_id: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$")]
    public_key: Annotated[str, Meta(max_length=64)] = ""  # what it is sealed to, base64; empty: as told at enrolment
    purpose: Annotated[str, Meta(pattern="^(recovery|managed)$")] = "recovery"


class SealWanted(Wire, frozen=True, kw_only=True):
    """The appliance asks a host to seal its key to another public key too: a new recovery key, or its own."""

    public_key: str  # X25519, 32 bytes, base64
    purpose: ShortText  # recovery, managed


class EscrowContents(Confidential, frozen=True, kw_only=True):
    """What `EscrowRequest.sealed` holds, as JSON, once opened with the recovery code."""

    passphrase: str
    key_export: str  # as printed by `borg key export`
    repository_id: str
    agent_id: AgentId
    hostname: str


class LogLine(Wire, frozen=True, kw_only=True):
    """A line for a person to read in a job's log."""

    level: Annotated[str, Meta(pattern=r"^(debug|info|warning|error)$")] = "info"
    line: Annotated[str, Meta(max_length=2000)]


class BackupOrder(Wire, frozen=True, kw_only=True):
    """What to put in which archive. Empty `sources` means the host's own default set."""

    archive: ShortText
    sources: tuple[HostPath, ...] = ()
    excludes: tuple[HostPath, ...] = ()
    compression: ShortText = "lz4"
    one_file_system: bool = False
    checkpoint_seconds: Count = 300
    expected_files_count: Count = 0  # of the last snapshot: the base of the percentage
    expected_bytes: Count = 0
    canaries: bool = False  # keep decoy files in the sources, which nobody has a reason to change


class OnConflict(StrEnum):
    """What happens where something else than in the snapshot stands already."""

    OVERWRITE = "overwrite"
    SKIP = "skip"
    RENAME = "rename"  # what is restored gets another name


class Lender(Wire, frozen=True, kw_only=True):
    """The host whose repository is read; its key is asked for when the restore begins: `LENT_KEY_PATH`."""

    agent_id: AgentId
    hostname: ShortText = ""


class RestoreOrder(Wire, frozen=True, kw_only=True):
    """What to take out of which archive. No `paths` and no `selected`: all; no `target`: to the original place.

    Both name entries with all below them, none is a pattern. `asked_at` is part of the names that `rename` gives.
    """

    archive: ShortText
    paths: tuple[HostPath, ...] = ()
    target: HostPath | None = None
    expected_files_count: Count = 0
    expected_bytes: Count = 0
    selected: Annotated[tuple[EntryPath, ...], Meta(max_length=10000)] = ()
    conflict: OnConflict = OnConflict.OVERWRITE
    dry_run: bool = False
    asked_at: datetime | None = None
    lender: Lender | None = None  # another host; None: our own repository


class NamedArchive(Wire, frozen=True, kw_only=True):
    """An archive by its name and by Borg's id: what has the one but not the other is something else."""

    name: ShortText
    archive_id: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$")]


class PruneOrder(Wire, frozen=True, kw_only=True):
    """Which archives to delete: these and nothing else. What unfinished backups left goes too."""

    archives: Annotated[tuple[NamedArchive, ...], Meta(max_length=10_000)] = ()


ObjectId = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$")]  # Borg's id of an object of a repository


class DrillOrder(Wire, frozen=True, kw_only=True):
    """Restore a sample of the files that were noted at backups, out of some of these archives, and compare.

    `archives`: newest first. `nonce` makes the answer one to this order. `is_sealed`: no names of files in the answer.
    `copy_generation`: of the offsite copy that the appliance gives to read; 0: the repository itself.
    """

    nonce: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$")]
    archives: Annotated[tuple[NamedArchive, ...], Meta(max_length=100)] = ()
    files_limit: Annotated[int, Meta(ge=1, le=1000)] = 24
    bytes_limit: Count = 256 * 1024**2
    is_sealed: bool = False
    copy_generation: Count = 0


class VerifyOrder(Wire, frozen=True, kw_only=True):
    """Decrypt the objects whose ids come after `marker`, in the order of ids, for so many bytes and seconds.

    `locate`: look at these objects first, and find out which files need those that are damaged.
    """

    marker: Annotated[str, Meta(pattern=r"^([0-9a-f]{64})?$")] = ""  # "": from the first one on
    bytes_limit: Count = 1024**3
    seconds_limit: Count = 600
    locate: Annotated[tuple[ObjectId, ...], Meta(max_length=1000)] = ()
    is_sealed: bool = False


class UpdateOrder(Wire, frozen=True, kw_only=True):
    """Which executable to become: fetched from OWN_EXECUTABLE_PATH, unstamped."""

    sha256: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$")]
    size_bytes: Count
    version: ShortText


class Assignment(Wire, frozen=True, kw_only=True):
    """A job for this host; exactly one order is set.

    `chosen_restore` is a restore with choices that came later than `restore` did: an older agent, which would ignore
    them and restore everything over what is there, finds no order at all and says so.
    """

    job_id: JobId
    kind: Kind
    attempt: Count = 1
    backup: BackupOrder | None = None
    restore: RestoreOrder | None = None
    chosen_restore: RestoreOrder | None = None
    update: UpdateOrder | None = None
    prune: PruneOrder | None = None
    drill: DrillOrder | None = None
    verify: VerifyOrder | None = None
    generation: Count = 0  # of the repository: another one than last time means that it was rolled back


class ListFolder(Wire, frozen=True, kw_only=True):
    """What lies in this folder? An empty path, or "/": where everything begins."""

    path: LongText = ""


class EntryKind(StrEnum):
    """What an entry of a folder is; links are never followed."""

    FOLDER = "folder"
    FILE = "file"
    LINK = "link"
    OTHER = "other"


class FolderEntry(Wire, frozen=True, kw_only=True):
    """One entry. Bytes of its name that are no UTF-8 come as backslash escapes."""

    name: Annotated[str, Meta(max_length=2048)]
    kind: EntryKind = EntryKind.OTHER
    size_bytes: Count = 0
    modified_at: datetime | None = None


class FolderListing(Wire, frozen=True, kw_only=True):
    """What lies in a folder: folders first, then by name. `is_cut`: there is more than this.

    `error` is empty or a code: not-found, not-permitted, not-a-folder, host-error; `message` says it in words.
    """

    path: LongText = ""
    entries: Annotated[tuple[FolderEntry, ...], Meta(max_length=2000)] = ()
    is_cut: bool = False
    error: ShortText = ""
    message: LongText = ""


class TryExcludes(Wire, frozen=True, kw_only=True):
    """What would a backup of these sources take and skip? Empty `sources` means the host's own default set."""

    sources: Annotated[tuple[HostPath, ...], Meta(max_length=1000)] = ()
    excludes: Annotated[tuple[HostPath, ...], Meta(max_length=1000)] = ()
    one_file_system: bool = False


class ExcludesTried(Wire, frozen=True, kw_only=True):
    """Regular files that a backup would take, and those below the sources that it would skip.

    `examples`: what is skipped (an excluded folder stands for all it holds), the largest first. Until `is_final` these
    are the counts so far. `bad_pattern`: the first exclude that Borg refuses; then nothing was counted.
    """

    files_count: Count = 0
    original_bytes: Count = 0
    skipped_files_count: Count = 0
    skipped_bytes: Count = 0
    examples: Annotated[tuple[Annotated[str, Meta(max_length=1024)], ...], Meta(max_length=50)] = ()
    is_final: bool = False
    bad_pattern: LongText = ""
    message: LongText = ""


class ReadForm(StrEnum):
    """What comes of what was chosen: one file as itself, or all of it packed."""

    FILE = "file"
    ZIP = "zip"
    TAR_ZST = "tar.zst"


class Chosen(Wire, frozen=True, kw_only=True):
    """A file, or a folder with all that is in it. `place`: the metadata chunk where it was first seen, a hint."""

    path: EntryPath = ""
    place: Count | None = None


class ReadOrder(Wire, frozen=True, kw_only=True):
    """What to read out of which archive. The range is for the form `file`, both ends included.

    A negative `first_byte` counts from the end; no `last_byte` means to the end. `is_head_only`: no body.
    """

    archive: ShortText
    chosen: Annotated[tuple[Chosen, ...], Meta(max_length=1000)] = ()
    form: ReadForm = ReadForm.FILE
    first_byte: Annotated[int, Meta(ge=-(2**62), le=2**62)] = 0
    last_byte: Count | None = None
    is_head_only: bool = False


class ReadHead(Wire, frozen=True, kw_only=True):
    """The first line of what is read, as JSON; then comes the body. `size_bytes`: of the body, None when not known.

    `error_code` is empty or one of: path-not-found, not-a-file, range-not-satisfiable, damaged, snapshot-missing,
    repository-missing, passphrase-wrong, unreachable, engine-error; then there is no body.
    """

    kind: EntryKind = EntryKind.OTHER
    size_bytes: Count | None = None
    first_byte: Count = 0
    whole_bytes: Count = 0  # of the file
    modified_at: Annotated[datetime, Meta(tz=True)] | None = None
    mode: Count = 0
    error_code: ShortText = ""
    message: LongText = ""


READ_HEAD_LIMIT = 32 * 1024  # bytes of that line


class SealKey(Wire, frozen=True, kw_only=True):
    """Seal your repository's passphrase to the key of another host's certificate, for one restore there."""

    job_id: JobId
    certificate: Pem  # leaf, then intermediate


class SealedKey(Wire, frozen=True, kw_only=True):
    """The passphrase, sealed by HPKE (P-256) to a certificate's key. `error`: empty or why not, in words."""

    sealed: Annotated[str, Meta(max_length=4096)] = ""  # base64
    error: LongText = ""


class LendOrder(Wire, frozen=True, kw_only=True):
    """To the agent's program beside an unlocked key: seal it in that host's place. `root`: who answers for hosts."""

    lender: AgentId
    root: Pem
    seal_key: SealKey


class LentKeyRequest(Wire, frozen=True, kw_only=True):
    """A host that restores another's snapshot wants the key, for the certificate that it speaks with."""

    certificate: Pem  # leaf, then intermediate


class Question(Wire, frozen=True, kw_only=True):
    """What a person who waits wants of this host; exactly one is set. `read` is answered by a stream."""

    question_id: QuestionId
    list_folder: ListFolder | None = None
    try_excludes: TryExcludes | None = None
    read: ReadOrder | None = None
    seal_key: SealKey | None = None


class Answer(Wire, frozen=True, kw_only=True):
    """What the host says to a question; exactly one is set. Each one replaces the one before."""

    folder: FolderListing | None = None
    excludes: ExcludesTried | None = None
    sealed_key: SealedKey | None = None


class AnswerReceipt(Wire, frozen=True, kw_only=True):
    """Whether somebody still waits for more."""

    go_on: bool = False


class Heartbeat(Wire, frozen=True, kw_only=True):
    """I am alive; give me work, and let me wait for it up to `wait_seconds`."""

    agent_version: ShortText = ""
    protocol_version: Count = PROTOCOL_VERSION
    platform: Platform = Platform.LINUX
    system: ShortText = ""  # "Debian GNU/Linux 12 (bookworm)"
    time_zone: ShortText = ""
    local_time: datetime | None = None
    running_job: JobId | None = None
    wait_seconds: Annotated[float, Meta(ge=0, le=60)] = 0.0
    build: Build = ""  # which executable this is; "" when it runs from source
    kinds: Annotated[tuple[ShortText, ...], Meta(max_length=50)] = ()  # of jobs that it knows beside the first three
    machine: ShortText = ""  # what it seems to be: a MachineClass, or "" when that cannot be told
    addresses_serial: Count = 0  # of the list of addresses that it holds


class HeartbeatAnswer(Wire, frozen=True, kw_only=True):
    """What to do next.

    `addresses`: where the appliance is and may be, "host:port", the best first; empty: as the host knows already.
    `addresses_serial`: of that list; a later one is greater. Who has a smaller one than the host is no longer, or not
    yet again, the appliance that the host works for. `has_moved`: it is elsewhere, at the first of these.
    """

    assignment: Assignment | None = None
    next_seconds: float = 30.0
    renew: bool = False
    escrow_wanted: bool = False  # the appliance has no sealed key of this repository yet
    questions: tuple[Question, ...] = ()
    listing_wanted: bool = False  # of a snapshot that the catalogue lacks: ask which
    seals: tuple[SealWanted, ...] = ()
    generation: Count = 0  # see Assignment
    addresses: tuple[str, ...] = ()
    addresses_serial: Count = 0
    has_moved: bool = False


class OwnJobRequest(Wire, frozen=True, kw_only=True):
    """A host asks for a job of its own; `claim` means that the caller runs it at once, itself."""

    kind: Kind = Kind.BACKUP
    claim: bool = False
    sources: Annotated[tuple[HostPath, ...], Meta(max_length=1000)] = ()
    snapshot_id: SnapshotId | None = None
    paths: Annotated[tuple[HostPath, ...], Meta(max_length=10000)] = ()
    target: HostPath | None = None
    selected: Annotated[tuple[EntryPath, ...], Meta(max_length=10000)] = ()
    conflict: OnConflict = OnConflict.OVERWRITE
    dry_run: bool = False
    addresses_serial: Count = 0  # see Heartbeat


class OwnJob(Wire, frozen=True, kw_only=True):
    """The job made for a host that asked; the assignment if it was claimed."""

    job_id: JobId
    assignment: Assignment | None = None


class OwnSnapshot(Wire, frozen=True, kw_only=True):
    """A snapshot of the asking host."""

    snapshot_id: SnapshotId
    archive: str
    kind: str
    started_at: datetime
    files_count: int
    original_bytes: int
    added_bytes: int
    standing: ShortText = "good"  # "lost": its archive is gone from the repository


class ListingsWanted(Wire, frozen=True, kw_only=True):
    """Archives whose listings the catalogue lacks, oldest first, and the last one that it has: `head`, "" for none.

    `is_sealed`: names are not for the appliance's eyes; listings come encrypted under the repository's passphrase.
    """

    head: ShortText = ""
    archives: Annotated[tuple[ShortText, ...], Meta(max_length=10000)] = ()
    is_sealed: bool = False


class ListingPart(Wire, frozen=True, kw_only=True):
    """A part of an archive's listing: `data` of all parts, by `number` from 0, is one zlib stream of lines.

    Lines: see protocol_listing. They are the whole listing, or with a `base` the difference to that archive's.
    `is_sealed`: each part is encrypted instead (a nonce of 12 bytes, AES-256-GCM; archive, base and number are bound).
    """

    archive: Annotated[str, Meta(min_length=1, max_length=255)]
    base: ShortText = ""
    number: Annotated[int, Meta(ge=0, lt=1000)] = 0
    is_last: bool = False
    is_sealed: bool = False
    error: ShortText = ""  # a code: there is no listing and there will be none (the archive is gone)
    data: Annotated[bytes, Meta(max_length=LISTING_PART_BYTES)] = b""


class OwnStatus(Wire, frozen=True, kw_only=True):
    """How the appliance sees the asking host."""

    agent_id: AgentId
    hostname: str
    state: str
    last_backup_at: datetime | None = None
    snapshots_count: int = 0
    next_backup_at: datetime | None = None
    last_proven_at: datetime | None = None  # when a restore drill last gave back what was backed up


class Progress(Wire, frozen=True, kw_only=True):
    """How far a running job is; the last one counts."""

    phase: ShortText = "running"
    files_count: Count = 0
    original_bytes: Count = 0
    compressed_bytes: Count = 0
    added_bytes: Count = 0
    total_files_count: Count = 0  # 0: unknown
    total_bytes: Count = 0
    current_path: LongText = ""
    log: Annotated[tuple[LogLine, ...], Meta(max_length=500)] = ()


class ProgressAnswer(Wire, frozen=True, kw_only=True):
    """Go on, or stop; and what a person wants to know meanwhile."""

    cancel: bool = False
    questions: tuple[Question, ...] = ()


class SampledFacts(Wire, frozen=True, kw_only=True):
    """What samples of files say. `promised`: names that promise a format; `broken`: of these, content that is noise.

    `random`: content that is noise and no known format, whatever its name. `entropy`: bits per byte, on average.
    """

    count: Count = 0
    random: Count = 0
    promised: Count = 0
    broken: Count = 0
    entropy: Annotated[float, Meta(ge=0, le=8)] = 0.0


class GuardFacts(Wire, frozen=True, kw_only=True):
    """How the files of a host changed since its last backup, in numbers alone: no name leaves the host.

    `vanished_files`, `appeared_files`: None when there is nothing to compare with. `renamed_files`: that have another
    or a further extension than before; `one_extension_files`: the most of them that got one and the same.
    """

    unchanged_files: Count = 0
    changed_files: Count = 0
    new_files: Count = 0
    changed_bytes: Count = 0
    new_bytes: Count = 0
    changed: SampledFacts = SampledFacts()
    new: SampledFacts = SampledFacts()
    vanished_files: Count | None = None
    appeared_files: Count | None = None
    renamed_files: Count = 0
    one_extension_files: Count = 0
    canaries: Count = 0
    canaries_lost: Count = 0


class ArchiveFacts(Wire, frozen=True, kw_only=True):
    """What Borg said of a finished archive."""

    name: ShortText
    archive_id: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$")]
    files_count: Count = 0
    original_bytes: Count = 0
    compressed_bytes: Count = 0
    added_bytes: Count = 0  # what this archive added to the repository
    new_files_count: Count | None = None  # since the archive before; None: not known
    changed_files_count: Count | None = None
    duration_seconds: Annotated[float, Meta(ge=0)] = 0.0
    sources: Annotated[tuple[HostPath, ...], Meta(max_length=1000)] = ()
    guard: GuardFacts | None = None  # None: an agent too old to say, or nothing was noted


class Fate(StrEnum):
    """What became of an entry that a restore did not find as it is in the snapshot, or did not bring back."""

    REPLACED = "replaced"
    SKIPPED = "skipped"
    RENAMED = "renamed"
    REFUSED = "refused"  # it would have left the place that is restored into
    FAILED = "failed"


class Difference(Wire, frozen=True, kw_only=True):
    """One such entry.

    `detail`: what differs, as words apart by a space (type, size, time, content, target, link, device, mode, owner);
    the new name; why it was refused (link, outside, not-a-folder, device, no-name); what the system said of a failure.
    """

    path: EntryPath
    what: Fate
    detail: Annotated[str, Meta(max_length=1024)] = ""


class RestoreFacts(Wire, frozen=True, kw_only=True):
    """How many entries a restore found or made how; in a dry run: would have.

    A folder that is there counts as identical: what is in it is merged. `is_cut`: there are more differences.
    """

    is_dry_run: bool = False
    new: Count = 0
    identical: Count = 0
    replaced: Count = 0
    skipped: Count = 0
    renamed: Count = 0
    refused: Count = 0
    failed: Count = 0
    written_bytes: Count = 0
    differences: Annotated[tuple[Difference, ...], Meta(max_length=2000)] = ()
    is_cut: bool = False


class JobReport(Wire, frozen=True, kw_only=True):
    """How a job ended. Sent again until it is accepted; accepting it twice changes nothing."""

    outcome: Outcome
    error_code: ShortText = ""
    message: LongText = ""
    warnings_count: Count = 0
    files_count: Count = 0
    original_bytes: Count = 0
    archive: ArchiveFacts | None = None
    log: Annotated[tuple[LogLine, ...], Meta(max_length=500)] = ()
    restore: RestoreFacts | None = None
    pruned: PruneFacts | None = None
    drill: SignedDrill | None = None
    verified: VerifyFacts | None = None


class PruneFacts(Wire, frozen=True, kw_only=True):
    """What a host says of an order to delete. `absent`: what was ordered and not there (an earlier attempt did it)."""

    deleted: Annotated[tuple[ShortText, ...], Meta(max_length=10_000)] = ()
    absent: Annotated[tuple[ShortText, ...], Meta(max_length=10_000)] = ()


class DrillMismatch(Wire, frozen=True, kw_only=True):
    """A file that did not come back as it was. `path` is empty where names are sealed.

    `what`: content, size, mode, time, missing, damaged (the repository could not give it back), or failed (the host
    could not take it).
    """

    path: EntryPath = ""
    archive: ShortText = ""
    what: ShortText = "content"


class DrillStatement(Wire, frozen=True, kw_only=True):
    """What a host says of a drill, and signs: the bytes of this as JSON, after DRILL_CONTEXT.

    `files_count` were compared; `passed_over`: noted files that had changed or gone since, which say nothing.
    `sample_sha256`: of the lines "SHA-256 of the content, space, SHA-256 of the path" of those compared, sorted.
    `copy_generation`: out of which generation of the offsite copy, as the order said; 0: out of the repository itself.
    """

    version: Count = 1
    agent_id: AgentId
    hostname: ShortText
    job_id: JobId
    nonce: ShortText
    agent_version: ShortText = ""
    archives: Annotated[tuple[NamedArchive, ...], Meta(max_length=100)] = ()
    files_count: Count = 0
    original_bytes: Count = 0
    passed_over: Count = 0
    sample_sha256: ShortText = ""
    mismatches_count: Count = 0
    mismatches: Annotated[tuple[DrillMismatch, ...], Meta(max_length=1000)] = ()
    restore_seconds: Annotated[float, Meta(ge=0, le=10**8)] = 0.0
    began_at: datetime
    ended_at: datetime  # both on the host's clock
    copy_generation: Count = 0


class SignedDrill(Wire, frozen=True, kw_only=True):
    """A statement as it was signed: ECDSA (P-256, SHA-256) by the key of the host's certificate.

    `statement`: the JSON of a DrillStatement. `signature`: DER, base64. `certificate`: leaf, then intermediate.
    """

    statement: Annotated[str, Meta(max_length=1024**2)]
    signature: Annotated[str, Meta(max_length=256)]
    certificate: Pem


class LocatedArchive(Wire, frozen=True, kw_only=True):
    """What an archive loses with damaged objects. `is_listing_damaged`: its own list of files is among them.

    `files`: the first of `files_count`; none where names are sealed. `objects`: which ones it needs; none: not told
    apart, as by older agents, so that it may be any.
    """

    name: ShortText
    archive_id: ObjectId
    is_listing_damaged: bool = False
    files_count: Count = 0
    files: Annotated[tuple[EntryPath, ...], Meta(max_length=100)] = ()
    objects: Annotated[tuple[ObjectId, ...], Meta(max_length=2000)] = ()


class VerifyFacts(Wire, frozen=True, kw_only=True):
    """What a host found. `marker`: where the next part begins; "" when the last object was reached.

    `sound` and `gone`: of those to be located, the ones that are whole (again), or in the repository no more.
    `archives_count` were looked through for `damaged`; `located` names those that need some of it.
    """

    marker: Annotated[str, Meta(pattern=r"^([0-9a-f]{64})?$")] = ""
    objects_count: Count = 0
    read_bytes: Count = 0
    damaged: Annotated[tuple[ObjectId, ...], Meta(max_length=2000)] = ()
    sound: Annotated[tuple[ObjectId, ...], Meta(max_length=1000)] = ()
    gone: Annotated[tuple[ObjectId, ...], Meta(max_length=1000)] = ()
    is_located: bool = False
    archives_count: Count = 0
    unseen_archives_count: Count = 0  # time ran out, or they cannot be opened
    located: Annotated[tuple[LocatedArchive, ...], Meta(max_length=1000)] = ()


class RecoveryRoot(Wire, frozen=True, kw_only=True):
    """The root certificate; whoever reads it compares its fingerprint with the one on paper."""

    root_certificate: Pem


class ChallengeRequest(Wire, frozen=True, kw_only=True):
    """Somebody says they hold the recovery code whose public key this is."""

    recovery_public_key: Annotated[str, Meta(max_length=64)]  # X25519, 32 bytes, base64


class Challenge(Wire, frozen=True, kw_only=True):
    """A secret, sealed by HPKE to that key: who says it back holds the code. Good for minutes."""

    challenge_id: ShortText
    sealed: Annotated[str, Meta(max_length=1024)]  # base64


class RecoveryProof(Confidential, frozen=True, kw_only=True):
    """The secret of a challenge."""

    challenge_id: ShortText
    secret: Annotated[str, Meta(max_length=128)]  # base64


class RecoverableHost(Wire, frozen=True, kw_only=True):
    """A host that can come back on a new machine."""

    agent_id: AgentId
    hostname: str
    last_backup_at: datetime | None = None


class RecoverableHosts(Wire, frozen=True, kw_only=True):
    """Those of the tenant that have a snapshot, the newest first."""

    items: tuple[RecoverableHost, ...] = ()


class RecoveryRequest(RecoveryProof, frozen=True, kw_only=True):
    """A machine takes the place of a host: a certificate request made on it."""

    agent_id: AgentId
    csr: Pem


class Recovery(Enrolment, frozen=True, kw_only=True):
    """The host's identity anew, and its key, which the recovery code opens."""

    sealed_key: str  # base64 of HPKE output: `EscrowContents`


# The tunnel: frames of a type byte and a length (big-endian), then so many bytes. § Borg over our own TLS.
# A stream that answers a question is made of the same ones: DATA, PING and, when it is whole, EXIT.
FRAME_HEADER = struct.Struct(">BI")
FRAME_LIMIT = 1 << 20


class Frame(IntEnum):
    """What a tunnel frame carries."""

    DATA = 0  # Borg's RPC stream, both ways
    STDERR = 2  # lines of Borg's server for Borg's client
    EXIT = 3  # the server closed the repository; one byte: its exit code
    EOF = 4  # the client has no more to say
    PING = 5  # both ways, at least every PING_SECONDS when nothing else travels
    HELLO = 16  # agent: TunnelHello as JSON, first
    READY = 17  # appliance: go on
    REFUSED = 18  # appliance: TunnelRefusal as JSON, last


PING_SECONDS = 10.0
SILENCE_SECONDS = 60.0  # a peer that says nothing for so long is gone


class TunnelMode(StrEnum):
    """What a session may do: `write` sessions of one host follow each other, a new one ends the old."""

    READ = "read"
    WRITE = "write"


class TunnelHello(Confidential, frozen=True, kw_only=True):
    """The first frame of the agent; who it is comes from its certificate, the token is bound to that."""

    agent_token: ShortText
    mode: TunnelMode = TunnelMode.READ
    job_id: JobId | None = None


class TunnelRefusal(Wire, frozen=True, kw_only=True):
    """Why the appliance does not serve the repository now."""

    code: ShortText
    message: LongText
    retry_seconds: float = 0.0
