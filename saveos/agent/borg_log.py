"""What Borg says, understood: its JSON log and return code → how it ended, in our codes and words."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from saveos.protocol import TunnelRefusal

WARNING_CODES = frozenset({1, *range(100, 128)})  # borg(1), "Return codes", modern
ERROR_LINES = 20
# Borg's message ids, not its prose, select our code.
CODES = {
    "PassphraseWrong": "passphrase-wrong",
    "PasscommandFailure": "passphrase-wrong",
    "LockTimeout": "repository-locked",
    "LockError": "repository-locked",
    "LockErrorT": "repository-locked",
    "LockFailed": "repository-locked",
    "Repository.DoesNotExist": "repository-missing",
    "Repository.InvalidRepository": "repository-missing",
    "Archive.DoesNotExist": "snapshot-missing",
    "Archive.AlreadyExists": "archive-exists",
    "Repository.AlreadyExists": "repository-exists",
    "Repository.StorageQuotaExceeded": "quota-exceeded",
    "Repository.InsufficientFreeSpaceError": "disk-full",
    "ConnectionClosed": "connection-lost",
    "ConnectionClosedWithHint": "connection-lost",
    "ConnectionBrokenWithHint": "connection-lost",
    "Cache.RepositoryReplay": "repository-replayed",
    "KeyfileNotFoundError": "key-missing",
    "RepoKeyNotFoundError": "key-missing",
}

# What Borg says badly.
EXPLAINED = {
    "Repository.StorageQuotaExceeded": "A limit of the appliance is reached. What is there can be restored.",
    "Repository.InsufficientFreeSpaceError": "The appliance's disk is full. Make room there; the host tries again.",
}


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """How a run of Borg ended. `code` is empty when it did its work, perhaps with warnings."""

    return_code: int
    code: str
    message: str
    warnings: tuple[tuple[str, str], ...]  # message id, words
    output: str

    @property
    def is_good(self) -> bool:
        """Whether the work was done."""
        return not self.code


class Log:
    """Borg's JSON log, line by line."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._errors: list[tuple[str, str]] = []
        self._warnings: list[tuple[str, str]] = []
        self.refusal: TunnelRefusal | None = None

    def take(self, line: str) -> dict[str, Any] | None:
        """Keep what matters for the end; return the event, None for a line that is none."""
        try:
            event = json.loads(line)
        except ValueError:
            if line.strip():
                self._errors.append(("", line.strip()))
            return None
        if not isinstance(event, dict):
            return None
        if event.get("type") == "log_message":
            msgid = str(event.get("msgid") or "")
            message = EXPLAINED.get(msgid) or printable(str(event.get("message", "")))
            if event.get("levelname") in ("ERROR", "CRITICAL"):
                self._errors.append((msgid, message))
            elif event.get("levelname") == "WARNING":
                self._warnings.append((msgid, message))
        return event

    def outcome(self, return_code: int, output: str, *, is_stopped: bool = False) -> Outcome:
        """Return how it ended. A return code of 0 or a warning's is a success, whatever was logged."""
        is_good = return_code == 0 or return_code in WARNING_CODES
        code = "" if is_good and not is_stopped else "cancelled" if is_stopped else self._code()
        if code and self.refusal is not None:
            self._errors = [("", self.refusal.message)]
        message = "; ".join(text for _msgid, text in self._errors[-ERROR_LINES:]) or f"Borg ended with {return_code}."
        return Outcome(
            return_code=return_code,
            code=code,
            message="" if not code else message[:4000],
            warnings=tuple(self._warnings),
            output=output,
        )

    def _code(self) -> str:
        if self.refusal is not None:
            return self.refusal.code
        if any("No space left on device" in message for _msgid, message in self._errors):
            return "disk-full"
        for msgid, _message in self._errors:
            if msgid in CODES:
                return CODES[msgid]
        return "engine-error"


def printable(text: str) -> str:
    """Return text that any decoder takes: bytes that are no UTF-8 become backslash escapes."""
    return text.encode("utf-8", "backslashreplace").decode()
