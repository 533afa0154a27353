"""What went wrong with a store, in our words: one class for each thing that a person can do something about.

No message holds what the store wrote: it may echo what was sent to it.
"""

from __future__ import annotations

import re

from botocore.exceptions import BotoCoreError, ClientError, SSLError

from saveos.errors import (
    BucketMissing,
    ClockSkewed,
    KeyRefused,
    ObjectAltered,
    ObjectExists,
    ObjectMissing,
    StorageBusy,
    StorageDenied,
    StorageError,
    StorageUnreachable,
    StorageUnsupported,
    StorageUntrusted,
)

FOREIGN = (BotoCoreError, ClientError)
_SENTENCES: dict[type[StorageError], str] = {
    KeyRefused: "The store does not accept this access key and its secret.",
    StorageDenied: "The store does not let this key do that.",
    BucketMissing: "The store has no such bucket.",
    ClockSkewed: "The clocks of the appliance and of the store differ too much.",
    ObjectMissing: "An object is not in the store.",
    ObjectAltered: "An object in the store is shorter than what was written.",
    ObjectExists: "An object that was to be new is there already.",
    StorageBusy: "The store is too busy, or has an error of its own.",
    StorageUnsupported: "The store does not know how to do that.",
}
_CODES: dict[type[StorageError], tuple[str, ...]] = {
    KeyRefused: ("InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken", "TokenRefreshRequired"),
    StorageDenied: ("AccessDenied", "AllAccessDisabled", "AccountProblem", "InvalidObjectState", "403"),
    BucketMissing: ("NoSuchBucket",),
    ClockSkewed: ("RequestTimeTooSkewed", "RequestExpired"),
    ObjectMissing: ("NoSuchKey", "NoSuchVersion", "NoSuchUpload", "NotFound", "404", "MethodNotAllowed", "405"),
    ObjectAltered: ("InvalidRange", "416"),
    ObjectExists: ("PreconditionFailed", "ConditionalRequestConflict", "412"),
    StorageUnsupported: ("NotImplemented", "501"),
}
_BUSY_STATUSES = frozenset({429, 500, 502, 503, 504})
_PLAIN = re.compile(r"[^A-Za-z0-9.]")


def code_of(error: Exception) -> str:
    """Return the store's own word for an error, "" when it never answered."""
    if not isinstance(error, ClientError):
        return ""
    return _PLAIN.sub("", str(error.response.get("Error", {}).get("Code", "")))[:64]


def translated(error: Exception) -> StorageError:
    """Return the error as ours."""
    if not isinstance(error, ClientError):
        return _of_the_line(error)
    code, facts = code_of(error), error.response.get("ResponseMetadata", {})
    status = int(facts.get("HTTPStatusCode") or 0)
    for kind, codes in _CODES.items():
        if code in codes:
            return kind(_SENTENCES[kind], answer=code)
    if status in _BUSY_STATUSES:
        retry = _seconds(facts.get("HTTPHeaders", {}).get("retry-after", ""))
        return StorageBusy(_SENTENCES[StorageBusy], answer=code, retry_seconds=retry)
    if status == 403:  # noqa: PLR2004 - HTTP
        return StorageDenied(_SENTENCES[StorageDenied], answer=code)
    return StorageError(f"The store answered {code or status}.", answer=code)


def _of_the_line(error: Exception) -> StorageError:
    if isinstance(error, SSLError) and "certificate" in str(error).lower():
        return StorageUntrusted("The store's certificate is of nobody whom the appliance trusts.")
    kind = type(error).__name__
    if "Validation" in kind or "Credentials" in kind or "Invalid" in kind:
        return StorageError(f"The store cannot be asked like this ({kind}).")
    return StorageUnreachable(f"The store cannot be reached ({kind}).")


def _seconds(text: str) -> float:
    """Return a Retry-After in seconds; 0 when there is none, or it is a date."""
    try:
        return max(0.0, float(text))
    except ValueError:
        return 0.0
