"""What can go wrong on a host: a message for a person, a stable code, an exit code."""

from __future__ import annotations

from saveos.protocol import ExitCode

EXIT_CODES = {
    "repository-missing": ExitCode.REPOSITORY_MISSING,
    "repository-locked": ExitCode.LOCKED,
    "passphrase-wrong": ExitCode.PASSPHRASE_WRONG,
    "unreachable": ExitCode.UNREACHABLE,
    "connection-lost": ExitCode.UNREACHABLE,
    "not-enrolled": ExitCode.NOT_ENROLLED,
    "usage": ExitCode.USAGE,
    "invalid-request": ExitCode.USAGE,  # the appliance says so of what was typed here
    "cancelled": ExitCode.INTERRUPTED,
}


class Failure(Exception):
    """A command or job cannot go on."""

    def __init__(self, code: str, message: str) -> None:
        """Keep the stable code and the message."""
        super().__init__(message)
        self.code = code

    @property
    def exit_code(self) -> int:
        """Return what a command ends with."""
        return int(EXIT_CODES.get(self.code, ExitCode.ERROR))


class Refused(Failure):
    """The appliance answered with a problem."""

    def __init__(self, code: str, message: str, status: int) -> None:
        """Keep the HTTP status besides."""
        super().__init__(code, message)
        self.status = status
