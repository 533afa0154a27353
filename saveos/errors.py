"""Every error SaveOS raises on purpose.

SaveOSError                     code, message for a person, context for the log
├─ InvalidRequest      400      a value is wrong; names the field  ├─ WrongCode  ├─ OtherKit
├─ NotAuthenticated    401      ├─ TokenSpent · TokenExpired
├─ NotAllowed          403      ├─ QuotaExceeded · MethodRefused
├─ NotFound            404      ├─ PathNotFound · SelfBackupMissing
├─ Conflict            409      ├─ AlreadyEnrolled · IllegalTransition · RepositoryLocked · AlreadyRunning
│                               ├─ PlatformUnavailable · HostOffline · OfflineAndSealed · Locked
│                               ├─ NotAFile · AlreadyCurrent · NotUpdatable
│                               ├─ HasMoved · OffsiteTaken · OffsiteNoIndex
│                               └─ BeingRemoved · SecondPersonNeeded  ├─ LoneAdministrator
├─ RangeWrong          416      the file does not have these bytes
├─ TooMany             429      slow down; says for how many seconds
├─ EngineError         502      borg: rc, msgid, last lines  ├─ SnapshotDamaged · RepositoryMissing · RepositoryDamaged
├─ StorageError        502      S3  ├─ KeyRefused · StorageDenied · BucketMissing · ClockSkewed · StorageUnreachable
│                                  ├─ StorageUntrusted · StorageBusy · StorageUnsupported · ObjectMissing
│                                  └─ ObjectAltered · ObjectExists · ObjectLocked · SelfBackupAltered
├─ HostError           502      the agent on the appliance's own machine: what it said
├─ CertificateError    500
├─ BuildError          500      PyInstaller or a packager: its last lines
└─ Unavailable         503      a needed part is not there (borg missing, disk full)  ├─ DatabaseDamaged

`code` is stable: programs may depend on it. `exit_code` is what a command line returns for it.
"""

from __future__ import annotations


class SaveOSError(Exception):
    """The root: a message for a person, a stable code, context for the log."""

    code = "error"
    status = 500
    exit_code = 1

    def __init__(self, message: str, **context: object) -> None:
        """Keep the message for a person and the context for the log (never a secret)."""
        super().__init__(message)
        self.message = message
        self.context = context


class InvalidRequest(SaveOSError):
    """A value is wrong; `field` names it."""

    code = "invalid-request"
    status = 400
    exit_code = 2


class NotAuthenticated(SaveOSError):
    """Nobody knows who is asking."""

    code = "not-authenticated"
    status = 401


class TokenSpent(NotAuthenticated):
    """A one-time token that has been used."""

    code = "token-spent"


class TokenExpired(NotAuthenticated):
    """A token past its date."""

    code = "token-expired"


class NotAllowed(SaveOSError):
    """Known, but not permitted."""

    code = "not-allowed"
    status = 403


class QuotaExceeded(NotAllowed):
    """A limit of storage or number is reached."""

    code = "quota-exceeded"


class NotFound(SaveOSError):
    """No such thing, or not in the caller's tenant: both look alike."""

    code = "not-found"
    status = 404


class PathNotFound(NotFound):
    """A snapshot does not hold this path."""

    code = "path-not-found"


class SelfBackupMissing(NotFound):
    """There is no self-backup in that place."""

    code = "self-backup-missing"
    exit_code = 10


class Conflict(SaveOSError):
    """The thing is not in a state for this."""

    code = "conflict"
    status = 409


class AlreadyEnrolled(Conflict):
    """The host has an identity already."""

    code = "already-enrolled"


class HasMoved(Conflict):
    """Another appliance serves in the place of this one."""

    code = "has-moved"


class IllegalTransition(Conflict):
    """A job cannot go from this state to that one."""

    code = "illegal-transition"


class RepositoryLocked(Conflict):
    """Another session holds the repository."""

    code = "repository-locked"
    exit_code = 11


class AlreadyRunning(Conflict):
    """Another appliance holds this data folder."""

    code = "already-running"


class PlatformUnavailable(Conflict):
    """There is no agent executable for that platform here."""

    code = "platform-unavailable"


class HostOffline(Conflict):
    """The host would have to answer now, and is not there."""

    code = "host-offline"


class OfflineAndSealed(Conflict):
    """A host's key is sealed, and the host is not there to use its own."""

    code = "host-offline-and-sealed"


class NotAFile(Conflict):
    """A folder or a link cannot be sent as itself."""

    code = "not-a-file"


class RangeWrong(SaveOSError):
    """The file does not have the bytes asked for; `whole_bytes` in the context is what it has."""

    code = "range-not-satisfiable"
    status = 416


class Locked(Conflict):
    """The host's key is sealed, and nobody has unlocked it."""

    code = "locked"


class WrongCode(InvalidRequest):
    """A recovery code that opens nothing of what was asked for."""

    code = "wrong-recovery-code"


class OtherKit(WrongCode):
    """A recovery code that is right in itself, of another kit than what it is to open."""

    code = "other-kit"
    exit_code = 12


class AlreadyCurrent(Conflict):
    """There is no other executable for this host."""

    code = "up-to-date"


class NotUpdatable(Conflict):
    """The host's agent cannot replace itself: it runs from source, or is too old to know how."""

    code = "not-updatable"


class OffsiteTaken(Conflict):
    """Another appliance keeps its copies under this prefix."""

    code = "offsite-taken"


class OffsiteNoIndex(Conflict):
    """A generation has no index: it can only be fetched whole."""

    code = "offsite-no-index"


class BeingRemoved(Conflict):
    """The snapshot's host has been told to delete it already."""

    code = "snapshot-being-removed"


class SecondPersonNeeded(Conflict):
    """One administrator has asked; another one has to agree."""

    code = "second-person-needed"


class LoneAdministrator(SecondPersonNeeded):
    """There is no other administrator who could agree."""

    code = "lone-administrator"


class TooMany(SaveOSError):
    """Asked too often; `retry_seconds` in the context says when to try again."""

    code = "too-many-requests"
    status = 429


class EngineError(SaveOSError):
    """Borg failed."""

    code = "engine-error"
    status = 502


class SnapshotDamaged(EngineError):
    """A part of what was backed up is not there as it was."""

    code = "snapshot-damaged"


class UpkeepFailed(EngineError):
    """What the appliance itself does to a repository did not go well; again it would not either."""

    code = "upkeep-failed"


class RepositoryMissing(EngineError):
    """There is no repository where one should be."""

    code = "repository-missing"


class RepositoryDamaged(EngineError):
    """Parts of a repository are not there, and nothing of ours took them away."""

    code = "damaged"


class StorageError(SaveOSError):
    """S3 failed."""

    code = "storage-error"
    status = 502


class KeyRefused(StorageError):
    """The store does not know this access key, or its secret is another."""

    code = "storage-key-refused"


class StorageDenied(StorageError):
    """The store knows the key, and does not let it do this."""

    code = "storage-denied"


class BucketMissing(StorageError):
    """There is no such bucket."""

    code = "storage-bucket-missing"


class ClockSkewed(StorageError):
    """The clocks of appliance and store differ too much for a signature."""

    code = "storage-clock-skewed"


class StorageUnreachable(StorageError):
    """Nothing answers there, or the line broke."""

    code = "storage-unreachable"
    exit_code = 13


class StorageUntrusted(StorageError):
    """The store's certificate is of nobody whom the appliance trusts."""

    code = "storage-untrusted"


class StorageBusy(StorageError):
    """The store asks for patience; `retry_seconds` in the context, when it said how much."""

    code = "storage-busy"


class StorageUnsupported(StorageError):
    """The store does not know how to do this."""

    code = "storage-unsupported"


class ObjectMissing(StorageError):
    """An object is not in the store."""

    code = "storage-object-missing"


class ObjectAltered(StorageError):
    """An object is not what was written."""

    code = "storage-object-altered"


class ObjectExists(StorageError):
    """An object that was to be new is there already."""

    code = "storage-object-exists"


class ObjectLocked(StorageError):
    """The store keeps an object until its date, whoever asks."""

    code = "storage-object-locked"


class SelfBackupAltered(StorageError):
    """A self-backup is not what was written, or not all of it."""

    code = "self-backup-altered"


class HostError(SaveOSError):
    """The agent on the appliance's own machine failed; the message is what it said."""

    code = "host-error"
    status = 502


class CertificateError(SaveOSError):
    """The authority could not issue, load or read a certificate."""

    code = "certificate-error"


class BuildError(SaveOSError):
    """PyInstaller or a packager failed; the message ends with its last lines."""

    code = "build-failed"


class Unavailable(SaveOSError):
    """A needed part is not there: disk full, Borg missing, shutting down."""

    code = "unavailable"
    status = 503


class DatabaseDamaged(Unavailable):
    """SQLite finds that the database does not fit together."""

    code = "database-damaged"
