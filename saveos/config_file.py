"""Change one value of saveos.toml and leave everything else as it is: other keys, order, comments."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

import tomlkit
from tomlkit.exceptions import TOMLKitError

from saveos.errors import InvalidRequest, Unavailable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    Value = str | Sequence[str]

MODE = 0o600


def put(path: Path, name: str, value: Value) -> None:
    """Let the top-level key `name` have this value; the file is replaced as a whole, and made if there is none.

    Raises InvalidRequest when the file cannot be read, Unavailable when it cannot be written.
    """
    try:
        document = tomlkit.parse(path.read_text(encoding="utf-8") if path.exists() else "")
    except (OSError, ValueError, TOMLKitError) as error:
        message = f"{path} cannot be read: {error}."
        raise InvalidRequest(message) from error
    document[name] = value if isinstance(value, str) else list(value)
    try:
        _replace(path, tomlkit.dumps(document))
    except OSError as error:
        message = f"{path} cannot be written: {error.strerror or error}."
        raise Unavailable(message) from error


def _replace(path: Path, text: str) -> None:
    mode = path.stat().st_mode & 0o777 if path.exists() else MODE
    temporary = path.with_name(f".{path.name}.new")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(mode)
        temporary.replace(path)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
