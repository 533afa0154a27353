"""What the command line asks a person for."""

from __future__ import annotations

import getpass
import sys


def recovery_code() -> str:
    """Return the recovery code: typed unseen at a terminal, else a line of standard input."""
    if not sys.stdin.isatty():
        return sys.stdin.readline()
    try:
        return getpass.getpass("Recovery code: ")
    except EOFError:
        return ""
